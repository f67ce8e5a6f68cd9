"""The pages' common ground: Jinja templates, each page one file without a network; figures as inline SVG.

Owns how text and figures get into HTML, and HTML onto the disk; never what a page says. Every value is escaped unless
it is Markup.
"""

from __future__ import annotations

import hashlib
import io
import re
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.figures.style import GRID, INK, MUTED, PAPER
from vgtemplate.text import visible

_SCHEME = {PAPER: "var(--ground)", INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--line)"}
_NOT_WANTED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)([^")]+)')
_COLOUR = re.compile("|".join(_SCHEME))
_DRAWN = re.compile(r' d="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r"font-family: [^;\"]+;? ?")


@cache
def _environment() -> Environment:
    loader = PackageLoader("vgtemplate.lab.report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(template: str, **context: Any) -> str:
    """Return the page that a template of this package makes of `context`.

    Raises:
        jinja2.UndefinedError: the template names what `context` lacks.
    """
    return _environment().get_template(template).render(**context)


def _adapt(tag: str, prefix: str) -> str:
    """Return a tag in the page's colours and font, its identifiers prefixed, its paths to a hundredth of a point."""
    tag = _DRAWN.sub(lambda path: _DECIMALS.sub(r"\1", path[0]), tag)
    tag = _COLOUR.sub(lambda colour: _SCHEME[colour[0]], _FONT.sub("", tag))
    return _REFERENCE.sub(rf"\1{prefix}-\2", tag)


def embed(figure: Figure, alt: str) -> Markup:
    """Return a figure as inline SVG: an image called `alt`, its text as text, its ground transparent.

    The same figure and `alt` give the same characters. The colours PAPER, INK, MUTED and GRID (matplotlib's defaults
    are PAPER and INK) become those of the page's scheme; others stay, so take SERIES_COLOURS for curves.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vgtemplate"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = _NOT_WANTED.sub("", buffer.getvalue())
    svg = svg[svg.index("<svg") :]
    # One page holds many figures: an identifier that two of them share would let one borrow the other's clip path.
    prefix = "f" + hashlib.sha256((alt + svg).encode()).hexdigest()[:10]
    svg = _TAG.sub(lambda tag: _adapt(tag[0], prefix), svg)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1).strip())


def write_page(path: Path, text: str) -> Path:
    """Write a page, whole or not at all.

    Raises:
        UserError: the folder refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, visible(text))
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written ({error.strerror})") from None
    return path
