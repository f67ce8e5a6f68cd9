"""A report as one page that loads nothing from anywhere, and its short form for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from vgtemplate.doctor.charts import Curve, draw

if TYPE_CHECKING:
    from vgtemplate.doctor.report import Finding, Report

_STYLE = """
.vgt{--line:#d5d9de;--soft:#5c6773;--ill:#b3261e;--well:#1b7f4b;--card:#f6f7f9;--c0:#2a6fdb;--c1:#c2571a;--c2:#1c2127;
font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
.vgt h1{font-size:1.35em;margin:.2em 0}.vgt h2{font-size:1.1em;margin:1.4em 0 .5em}.vgt p{margin:.3em 0}
.vgt .soft,.vgt dt{color:var(--soft)}.vgt .ill{color:var(--ill)}.vgt .well{color:var(--well)}
.vgt .grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px}
.vgt article,.vgt figure{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:0;
padding:12px 14px}
.vgt article{border-left:4px solid var(--ill);margin-bottom:12px}.vgt h3{margin:0;font-size:1em}
.vgt dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 12px;margin:.5em 0 0}.vgt dd{margin:0}
.vgt figcaption{font-weight:600}.vgt svg{width:100%;height:auto;display:block}
.vgt svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.vgt svg path{stroke:var(--line);fill:none}
.vgt svg path.line{stroke:currentColor;stroke-width:1.6}.vgt circle{fill:currentColor}
.vgt .c0{color:var(--c0)}.vgt .c1{color:var(--c1)}.vgt .c2{color:var(--c2)}
.vgt .legend{font-size:.85em}.vgt .legend span{margin-right:1em}
.vgt .legend i{display:inline-block;width:14px;border-top:2px solid;margin-right:.4em;vertical-align:middle}
.vgt ol{columns:2 260px;padding-left:2.2em;font-size:.9em}
@media(prefers-color-scheme:dark){.vgt{--line:#3a424c;--soft:#9aa7b4;--ill:#ff8a80;--well:#69d39b;--card:#1d2228;
--c0:#7fb0ff;--c1:#ffab70;--c2:#f2f4f7}}
"""
_PAGE_STYLE = """
:root{color-scheme:light dark}body{margin:0;background:#fff;color:#1c2127}
.vgt{max-width:1080px;margin:0 auto;padding:16px 16px 40px}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#e6eaee}}
"""
_NOTEBOOK_STYLE = ".vgt article,.vgt figure{background:none;max-width:720px}"
_SERIES = (
    ("gradient_rms", "dL/dz, RMS by layer"),
    ("signal_rms", "Signal, RMS by layer"),
    ("update_ratio", "Update over weight, by layer"),
)


def write_page(report: Report, name: str = "") -> str:
    """Return a report as a whole HTML page.

    Args:
        name: of what was looked at.
    """
    title = f"vgt diagnose {name}".strip()
    charts = [_loss(report), *(_profile(report, series, text) for series, text in _SERIES)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{_PAGE_STYLE}</style></head>"
        f'<body><main class="vgt"><h1>{escape(title)}</h1>{_summary(report)}{_findings(report)}'
        f'<h2>What was measured</h2><div class="grid2">{"".join(charts)}</div>{_layers(report)}{_notes(report)}'
        "</main></body></html>"
    )


def write_short(report: Report) -> str:
    """Return findings, profile of the gradient and notes as a piece of HTML, for a notebook."""
    style = f"<style>{_STYLE}{_NOTEBOOK_STYLE}</style>"
    profile = _profile(report, *_SERIES[0]) if report.layers else ""
    return f'{style}<div class="vgt">{_summary(report)}{_findings(report)}{profile}{_notes(report)}</div>'


def _summary(report: Report) -> str:
    number = len(report.findings)
    word = '<b class="well">healthy</b>' if report.is_healthy else f'<b class="ill">{_count(number, "finding")}</b>'
    span = f", {report.steps[0]} to {report.steps[-1]}" if report.steps else ""
    return f'<p>{word} <span class="soft">{_count(len(report.steps), "step")} watched{span}</span></p>'


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _findings(report: Report) -> str:
    return "".join(map(_card, report.findings))


def _card(finding: Finding) -> str:
    rows = (
        ("where", ", ".join(finding.where)),
        ("seen", finding.evidence),
        ("cause", finding.cause),
        (finding.advice, finding.cure),
        *([("tried", str(finding.proof))] if finding.proof is not None else []),
    )
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    since = f"{finding.confidence}, since step {finding.since_step}"
    return (
        f'<article><h3>{escape(finding.code)} <span class="soft">{escape(since)}</span></h3><dl>{listed}</dl></article>'
    )


def _loss(report: Report) -> str:
    number = min(len(report.steps), len(report.losses))
    steps, losses = np.array(report.steps[:number], float), np.array(report.losses[:number], float)
    return draw("Loss, by step", [Curve("", steps, losses)], "step", is_log=False)


def _profile(report: Report, series: str, title: str) -> str:
    values = report.profiles.get(series, np.empty((0, 0)))
    shown = _shown_layers(report)
    names = [report.layers[place] for place in shown]
    rows = dict.fromkeys((0, len(values) // 2, len(values) - 1)) if len(values) else {}
    x = np.arange(1.0, len(shown) + 1)
    curves = [Curve(f"step {report.steps[row]}", x, values[row][shown]) for row in rows]
    return draw(title, curves, "layer, in order of use", is_log=True, names=names)


def _shown_layers(report: Report) -> list[int]:
    """Return the places of the layers that a gradient was measured of in any step."""
    values = report.profiles.get("gradient_rms", np.empty((0, 0)))
    return [] if not values.size else [int(place) for place in np.flatnonzero(np.isfinite(values).any(axis=0))]


def _layers(report: Report) -> str:
    names = "".join(f"<li>{escape(report.layers[place])}</li>" for place in _shown_layers(report))
    return f"<details><summary>The layers by number</summary><ol>{names}</ol></details>" if names else ""


def _notes(report: Report) -> str:
    listed = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return f"<h2>Notes</h2><ul>{listed}</ul>" if listed else ""
