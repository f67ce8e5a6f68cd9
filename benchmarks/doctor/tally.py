"""Results of cases -> recall, right codes, false positives, confusion; each with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import beta

from benchmarks.doctor.case import Case


def clopper_pearson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share of `hits` among `of`, in [0, 1]; (0, 1) of nothing."""
    if of == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, of - hits + 1))
    high = 1.0 if hits == of else float(beta.ppf(1 - tail, hits + 1, of - hits))
    return low, high


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = clopper_pearson(self.hits, self.of)
        return f"{self.hits}/{self.of} = {100 * self.hits / self.of:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"

    def to_json(self) -> dict[str, Any]:
        """Return the share with its interval."""
        return {**asdict(self), "interval": list(clopper_pearson(self.hits, self.of))}


def share(flags: Iterable[bool]) -> Share:
    """Return how many are true."""
    all_of_them = list(flags)
    return Share(sum(all_of_them), len(all_of_them))


def is_right(case: Case, codes: Sequence[str]) -> bool:
    """Whether the label, or another name of the same fault, is among the codes."""
    return bool({case.label, *case.also} & set(codes))


@dataclass(frozen=True)
class Tally:
    """What a tool said of ill cases (anything, the right code, that one first) and of healthy ones (anything)."""

    recall: Share
    right: Share
    first: Share
    false: Share
    per_code: dict[str, tuple[Share, Share]]
    per_family: dict[str, Share]
    confusion: dict[str, dict[str, int]]
    misses: list[tuple[str, str, list[str]]]
    alarms: list[tuple[str, list[str]]]

    def to_json(self) -> dict[str, Any]:
        """Return everything with intervals."""
        return {
            "recall": self.recall.to_json(),
            "right": self.right.to_json(),
            "first": self.first.to_json(),
            "false_positives": self.false.to_json(),
            "per_code": {code: [one.to_json(), two.to_json()] for code, (one, two) in self.per_code.items()},
            "per_family": {family: each.to_json() for family, each in self.per_family.items()},
            "confusion": self.confusion,
            "misses": self.misses,
            "false_alarms": self.alarms,
        }


def tally(cases: Sequence[Case], codes: dict[str, list[str]]) -> Tally:
    """Count what a tool said (case's name -> codes in its order)."""
    ill = [case for case in cases if case.kind == "ill"]
    well = [case for case in cases if case.kind == "healthy"]
    labels = sorted({case.label for case in ill})
    families = sorted({case.family for case in well})

    def found(case: Case) -> bool:
        return bool(codes[case.name])

    def right(case: Case) -> bool:
        return is_right(case, codes[case.name])

    confusion: dict[str, dict[str, int]] = {}
    for case in cases:
        counts = confusion.setdefault(case.label, {})
        for code, count in Counter(codes[case.name] or ["none"]).items():
            counts[code] = counts.get(code, 0) + count
    return Tally(
        share(map(found, ill)),
        share(map(right, ill)),
        share(is_right(case, codes[case.name][:1]) for case in ill),
        share(map(found, well)),
        {
            label: (
                share(found(case) for case in ill if case.label == label),
                share(right(case) for case in ill if case.label == label),
            )
            for label in labels
        },
        {family: share(found(case) for case in well if case.family == family) for family in families},
        confusion,
        [(case.name, case.label, codes[case.name]) for case in ill if not right(case)],
        [(case.name, codes[case.name]) for case in well if found(case)],
    )
