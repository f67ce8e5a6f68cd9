"""What the doctor found, in the terminal: no more than a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vgtemplate.text import visible, write_count

if TYPE_CHECKING:
    from vgtemplate.doctor.report import Finding, Report

_SHOWN, _NOTES, _PLACES = 5, 4, 3


def print_report(console: Console, report: Report, title: str) -> None:
    """Print the findings, the gravest first, then the notes."""
    steps = f"{write_count(len(report.steps), 'step')} watched"
    if report.steps:
        steps += f", {report.steps[0]} to {report.steps[-1]}"
    number = write_count(len(report.findings), "finding")
    word = Text("healthy", "bold green") if report.is_healthy else Text(number, "bold red")
    console.print(Text.assemble((f"{title}: ", "bold"), word, f" ({steps})"))
    if report.findings:
        console.print(_table(report.findings[:_SHOWN]))
    if rest := report.codes[_SHOWN:]:
        console.print(Text(f"and {', '.join(rest)}"))
    for note in report.notes[:_NOTES]:
        console.print(Text(f"note: {visible(note)}", "dim"))
    if len(report.notes) > _NOTES:
        console.print(Text(f"and {write_count(len(report.notes) - _NOTES, 'more note')} (--json, --html)", "dim"))


def _table(findings: list[Finding]) -> Table:
    table = Table(show_lines=True)
    for name, share in (("finding", 2), ("seen", 4), ("cause, and what to do", 5)):
        table.add_column(name, ratio=share, overflow="fold")
    for finding in findings:
        places = ", ".join(finding.where[:_PLACES])
        more = f" and {len(finding.where) - _PLACES} more" if finding.where[_PLACES:] else ""
        since = f"{finding.confidence}, since step {finding.since_step}"
        table.add_row(
            Text.assemble((finding.code, "bold"), f"\n{visible(places)}{more}\n", (since, "dim")),
            Text(visible(finding.evidence)),
            Text.assemble(visible(finding.cause), *_what_to_do(finding)),
        )
    return table


def _what_to_do(finding: Finding) -> list[str | tuple[str, str]]:
    said: list[str | tuple[str, str]] = ["\n", (f"{finding.advice}: {visible(finding.cure)}", "bold")]
    if finding.proof is not None:
        style = "green" if finding.proof.is_proven else "yellow"
        said += ["\n", (visible(str(finding.proof)), style)]
    return said
