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
_USED = re.compile(r'(?:url\(#|href="#)([^")]+)')
_COLOUR = re.compile("|".join(_SCHEME))
_DRAWN = re.compile(r'(?<= d=")[^"]*')
_COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_BETWEEN = re.compile(r">\n\s*<")
_SPACE = re.compile(r"(?<=[:;]) ")
_IDENTIFIER = re.compile(r' id="([^"]*)"')
_DPI = 72
_LONG = 500
"""Characters of a path."""
_STYLE = re.compile(r'(?<=<)(path|use)([^>]*) style="([^"]*)"')
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


def _shorten_path(path: str) -> str:
    """Return a path with its lines as steps from point to point, which takes half the room.

    Numbers are kept to a hundredth of a point, those of a long path, which is no small sign, to a tenth.
    """
    scale = 100 if len(path) < _LONG else 10
    words, at, start, last = [], (0, 0), (0, 0), ""
    for command, rest in _COMMAND.findall(path):
        numbers = [round(scale * float(number)) for number in rest.split()]
        here = (numbers[-2], numbers[-1]) if numbers else start
        if command == "L":
            numbers = [here[0] - at[0], here[1] - at[1]]
            command = "l"
        written = "".join(f"{'' if value < 0 else ' '}{value / scale:g}" for value in numbers).strip()
        words.append(f" {written}" if command == last == "l" else command + written)
        at, start, last = here, here if command == "M" else start, command
    return "".join(words).replace(" -", "-")


def _adapt(tag: str, prefix: str, used: set[str]) -> str:
    """Return a tag in the page's colours and font, as short as it can be.

    Its identifier is prefixed if it is in `used`, else left out.
    """
    tag = _COLOUR.sub(lambda colour: _SCHEME[colour[0]], _FONT.sub("", _DRAWN.sub(lambda d: _shorten_path(d[0]), tag)))
    tag = _IDENTIFIER.sub(lambda found: found[0] if found[1] in used else "", _SPACE.sub("", tag))
    return _REFERENCE.sub(rf"\1{prefix}-\2", tag)


def embed(figure: Figure, alt: str) -> Markup:
    """Return a figure as inline SVG: an image called `alt`, its text as text, its ground transparent.

    The same figure and `alt` give the same characters. The colours PAPER, INK, MUTED and GRID (matplotlib's defaults
    are PAPER and INK) become those of the page's scheme; others stay, so take SERIES_COLOURS for curves.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vgtemplate"}):
        # The resolution is that of what is drawn as pixels: grounds that change smoothly.
        figure.savefig(buffer, format="svg", dpi=_DPI, transparent=True, metadata={"Date": None, "Creator": None})
    svg = _NOT_WANTED.sub("", buffer.getvalue())
    svg = svg[svg.index("<svg") :]
    # One page holds many figures: an identifier that two of them share would let one borrow the other's clip path.
    prefix = "f" + hashlib.sha256((alt + svg).encode()).hexdigest()[:10]
    used = set(_USED.findall(svg))
    svg = _BETWEEN.sub("><", _TAG.sub(lambda tag: _adapt(tag[0], prefix, used), svg))
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1).strip())


def _share_styles(page: str) -> str:
    """Return a page whose paths have each style once, as a class: it was a quarter of the page."""
    names = {
        style: f"s{index}" for index, style in enumerate(dict.fromkeys(found[2] for found in _STYLE.findall(page)))
    }
    page = _STYLE.sub(lambda found: f'{found[1]}{found[2]} class="{names[found[3]]}"', page)
    return page.replace("</style>", "".join(f".{name}{{{style}}}\n" for style, name in names.items()) + "</style>", 1)


def write_page(path: Path, text: str) -> Path:
    """Write a page, whole or not at all.

    Raises:
        UserError: the folder refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, visible(_share_styles(text)))
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written ({error.strerror})") from None
    return path
