"""How verdicts look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.lab.judge import PartVerdict
from vgtemplate.lab.picks import describe_picks
from vgtemplate.lab.result import Result, mixed_environments
from vgtemplate.text import describe_seeds, write_number, write_spread

_COLOURS = {
    "confirmed": "green",
    "refuted": "red",
    "partly": "yellow",
    "depends on the seed": "magenta",
    "not tested": "bright_black",
    "open": "cyan",
    "clears": "green",
    "does not clear": "red",
    "not run": "bright_black",
    "failed": "bold white on red",
}
_COLUMNS = (
    Column("claim", folds=True),
    Column("verdict"),
    Column("effect: median \\[min, max]", rank=1),
    Column("networks", rank=2, justify="right"),
    Column("threshold", rank=3),
)
_CAPTION = "effect, networks that clear, threshold: of the part that decides (--details shows all parts)"
_PROVISIONAL = "* provisional: judged on fewer than ten seeds"


def coloured(verdict: str) -> str:
    """Return a verdict in its colour."""
    return f"[{_COLOURS[verdict]}]{verdict}[/]"


def describe_part(part: PartVerdict) -> str:
    """Say in a line what a part's effect is, what it has to be, and for how many networks of which seeds it is."""
    seeds = f", {describe_seeds(part.seeds)}" if part.seeds else ""
    return f"{part.title}: {write_spread(part.effects)}, to be {part.needed}: {part.count}{seeds}"


def verdict_line(result: Result) -> str:
    """Return a claim's verdict and what decided it as one line of markup, to be printed when it is judged."""
    start, part = f"{coloured(result.outcome)} [bold]{result.claim.id}[/bold]", result.deciding
    if part is None:
        return f"{start}: {escape(result.failure or '')}"
    return f"{start}: {escape(write_spread(part.effects))}, to be {part.needed}: {part.count}"


def _short(threshold: str) -> str:
    """Return a threshold that fits a narrow column: "between 1 and 2" as "1 to 2"."""
    return " to ".join(threshold.removeprefix("between ").split(" and "))


def verdict_table(results: Sequence[Result], title: str, width: int) -> Group:
    """Return the table of verdicts, one line per claim."""
    rows = []
    for result in results:
        part, mark = result.deciding, "*" if result.is_provisional else ""
        evidence = ["-", "-", "-"]
        if part is not None:
            evidence = [
                escape(write_spread(part.effects)),
                f"{part.cleared} of {len(part.effects)}",
                _short(part.threshold),
            ]
        rows.append([result.claim.id, coloured(result.outcome) + mark, *evidence])
    provisional = any(result.is_provisional for result in results)
    notes = [_CAPTION, _PROVISIONAL if provisional else "", escape(mixed_environments(results))]
    return make_table(title, _COLUMNS, rows, width, "\n".join(filter(None, notes)))


def print_details(result: Result, console: Console) -> None:
    """Print a claim's statement, its parts, the theory beside what was measured, the picks, and the literature."""
    provisional = " (provisional: judged on fewer than ten seeds)" if result.is_provisional else ""
    console.print(f"[bold]{result.claim.id}[/bold]: {coloured(result.outcome)}{provisional}")
    lines = [escape(result.claim.statement)]
    if result.because:
        lines.append(escape(result.because))
    for part in result.parts:
        published = result.claim.published.get(part.title)
        beside = "" if published is None else f" (published: {write_number(published)})"
        role = "premise: " if part.role == "premise" else ""
        lines.append(f"{role}{escape(describe_part(part))}{beside}, {coloured(part.verdict)}")
    if result.claim.kind == "initial" and result.slopes:
        pairs = [f"{arm} {found.predicted:+.3f} / {found.median:+.3f}" for arm, found in result.slopes.items()]
        lines.append(escape(f"gradient slope in theory / measured: {', '.join(pairs)}"))
    if result.picks:
        lines.append(escape(f"picked: {describe_picks(result.picks)}"))
    if result.mixed:
        lines.append(escape(result.mixed))
    lines += [f"literature: {escape(result.claim.literature)}", f"time: {result.wall_seconds:.1f} s"]
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2)), highlight=False)
