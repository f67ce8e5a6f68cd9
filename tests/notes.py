"""Numbers in the notes of claims, and whether committed verdicts bear them out.

What is read: a number, `A to B` or `A [B, C]`, plain or in %, points or dB, that follows the name of a part within 40
characters in which there is no digit, full stop, colon, semicolon or closing bracket, and no word of a bound (above,
than, ...) or of a setting (rate, layer, ...). A part's names are its title, what stands in it after a colon, its metric
in words, that without test, final, abs and log10, and "median". Read as well is a number before an arm in brackets,
`0.014 (tanh)`, as that of the parts that are computed from this arm alone. Where several parts have a name, any of them
may be meant.

What is not read: from the first sentence of a paragraph on that speaks of other seeds, data, widths, settings,
precisions or machines, or of theory; numbers that count (networks, steps, layers); the part's own threshold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vgtemplate.lab.claim import ClaimConfig, PartConfig
from vgtemplate.lab.verdicts import PartEntry, Verdicts
from vgtemplate.text import read_number

ELSEWHERE = re.compile(
    r"\bdigits\b|seeds? (?!0 to (9|29|99)\b)\d|\bwidths?\b(?! 64\b)|\b\d+ (units|channels)\b|theory|predict|setting|"
    r"float32|CIFAR|published|had been|tuning|processor|machine|[Ww]ithout the",
)
"""A sentence of what no committed verdict is about."""
SETTINGS = re.compile(
    r"\b(above|below|than|threshold|asked|least|most|within|under|over|up|by|layers?|depth|seeds?|rate|gain|step|in)\b"
)
"""Between a name and a number: it is a bound, or no value at all."""
NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?"
_NUMBERS = (
    rf"(?P<first>{NUMBER})(?: to (?P<last>{NUMBER})| \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])?"
    r"(?P<unit> ?%| points?\b| dB\b)?"
    r"(?P<counted> (?:of (?:ten|\d+)|networks|seeds|steps|layers|epochs|images|units)\b)?"
)
VALUES = re.compile(rf"(?P<gap>(?: \(median\))?[^\d.:;)\n]{{0,40}}?){_NUMBERS}")


class Statement(NamedTuple):
    """Numbers of a sentence, in the parts' own unit, and the parts that may be meant."""

    text: str
    values: tuple[float, ...]
    tolerance: float
    """Half a unit of the last digit."""
    titles: tuple[str, ...]


def names_of(part: PartConfig) -> set[str]:
    """What a part is called in a sentence."""
    words = part.metric.replace("_", " ")
    short = re.sub(r"^(test|final|abs|log10) ", "", words)
    return {name.lower() for name in (part.title, part.title.rpartition(": ")[2], words, short, "median")}


def statements(claim: ClaimConfig, notes: str) -> list[Statement]:
    """Every number of a text that is read, by the rules above."""
    by_name: dict[str, list[PartConfig]] = {}
    for part in claim.parts:
        for name in names_of(part):
            by_name.setdefault(name, []).append(part)
    found: list[Statement] = []
    for sentence in _sentences(notes):
        taken: list[range] = []
        # The longest name first: "accuracy" is a part of others.
        for name in sorted(by_name, key=len, reverse=True):
            for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", sentence, re.IGNORECASE):
                values = VALUES.match(sentence, match.end())
                span = range(match.start(), values.end() if values else match.end())
                if any(match.start() in other for other in taken):
                    continue
                taken.append(span)
                if values and (statement := _statement(sentence[span.start : span.stop], values, by_name[name])):
                    found.append(statement)
        found += _before_arms(claim, sentence)
    return found


def _before_arms(claim: ClaimConfig, sentence: str) -> Iterator[Statement]:
    for arm in claim.arms:
        parts = [part for part in claim.parts if part.arms == [arm]]
        for match in re.finditer(rf"(?P<gap>(?<![\w.])){_NUMBERS} \({re.escape(arm)}\)", sentence) if parts else ():
            if statement := _statement(match[0].strip(), match, parts):
                yield statement


def _sentences(notes: str) -> Iterator[str]:
    """The sentences of each paragraph up to the first that speaks of something else."""
    for paragraph in notes.splitlines():
        for sentence in re.split(r"(?<=[.;])\s+", paragraph):
            if ELSEWHERE.search(sentence):
                break
            yield sentence


def _statement(text: str, match: re.Match[str], parts: Sequence[PartConfig]) -> Statement | None:
    of_steps = any("steps" in part.metric for part in parts)
    counted = match["counted"] and not (of_steps and match["counted"] == " steps")
    if counted or SETTINGS.search(match["gap"]):
        return None
    written = [number.replace(",", "") for number in match.group("first", "last", "low", "high") if number]
    if {written[0]} & {number for part in parts for number in re.findall(NUMBER, part.threshold)}:
        return None
    scale = 0.01 if match["unit"] and "dB" not in match["unit"] else 1.0
    digits = max(len(number.partition("e")[0].partition(".")[2]) for number in written)
    power = int(written[0].partition("e")[2] or 0)
    return Statement(
        text,
        tuple(scale * float(number) for number in written),
        scale * 0.5 * 10.0 ** (power - digits) * (1 + 1e-9),
        tuple(part.title for part in parts),
    )


def held(statement: Statement, claim: str, files: Sequence[Verdicts]) -> bool | None:
    """Whether every value lies in the range of a part that may be meant, on some machine; None: none has the part."""
    entries = [part for each in files if claim in each.claims for part in each.claims[claim].parts]
    ranges = [_range(part) for part in entries if part.title in statement.titles and part.median is not None]
    if not ranges:
        return None
    slack = statement.tolerance
    return all(any(low - slack <= value <= high + slack for low, high in ranges) for value in statement.values)


def _range(part: PartEntry) -> tuple[float, float]:
    return read_number(part.lowest), read_number(part.highest)
