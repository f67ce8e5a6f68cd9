"""Verdicts of whole runs that are kept in the repository, one file per data set and machine: do others agree?

`vgt verdicts save` writes them from records; here they are read, and held against one another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_input
from vgtemplate.config.shipped import is_installed, shipped_dir
from vgtemplate.lab.judge import OPEN, VERDICTS
from vgtemplate.text import Plain

FOLDER = Path("docs/verdicts")
"""In the repository, and in a project of one's own."""
_STRICT = ConfigDict(extra="forbid", frozen=True)
_MOST_BYTES = 2**26
"""Some hundred times what all claims have."""


class PartEntry(BaseModel):
    """One condition: how many networks cleared it, and how its effect is spread over them."""

    model_config = _STRICT
    role: str
    title: str
    threshold: str
    verdict: str
    cleared: int
    count: int
    seeds: str
    """E.g. "seeds 0 to 29"; empty for an exact claim, which has no networks."""
    lowest: Plain
    p05: Plain
    p25: Plain
    median: Plain
    p75: Plain
    p95: Plain
    highest: Plain
    without_value: int = 0
    """Networks whose effect is not a number; the spread is that of the others."""


class ClaimEntry(BaseModel):
    """A claim that was judged to its end."""

    model_config = _STRICT
    kind: str
    verdict: str
    deciding: str
    """The title of the part that made the verdict what it is."""
    parts: list[PartEntry]

    @property
    def counts(self) -> tuple[str, ...]:
        """How many networks cleared each part, e.g. "28 of 30"."""
        return tuple(f"{part.cleared} of {part.count}" for part in self.parts)


class Machine(BaseModel):
    """What computed: numbers differ from one processor to another in their last bits."""

    model_config = _STRICT
    name: str
    """Short, as in the file's name."""
    model: str
    features: list[str]
    capability: str
    """The instructions that torch chose, e.g. AVX2; empty for a GPU."""
    cores: int
    blas: str

    @property
    def title(self) -> str:
        """Name it for people."""
        return f"{self.model}, {self.capability}" if self.capability else self.model


class Verdicts(BaseModel):
    """A file: the verdicts of one run of the claims on one data set and one machine."""

    model_config = _STRICT
    date: str
    dataset: str
    setting: str
    machine: Machine
    versions: dict[str, str]
    commits: list[str]
    networks: int
    """Trained for these verdicts, those that several claims share once."""
    seconds: float
    """Summed over all trainings, as if one ran after the other."""
    claims: dict[str, ClaimEntry]

    @property
    def file_name(self) -> str:
        """Return the name of its file."""
        return f"{self.dataset}-{self.machine.name}.json"


class Other(NamedTuple):
    """What a committed file says of one claim."""

    machine: str
    verdict: str
    counts: tuple[str, ...]
    date: str


def differs(here: str, there: str) -> bool:
    """Say whether two words contradict one another: both decided, and not the same."""
    return here != there and {here, there} <= set(VERDICTS) - {OPEN}


def verdicts_dir() -> Path:
    """Return the folder of committed verdicts: the working folder's, else those that came with the package."""
    return FOLDER if FOLDER.is_dir() else shipped_dir().parent / ("verdicts" if is_installed() else FOLDER)


def read_verdicts(path: Path) -> Verdicts:
    """Read one file; UserError if it is none of `vgt verdicts save`."""
    try:
        return _parse(read_input(path, _MOST_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise UserError(f"{path}: {reason}; `vgt verdicts save` writes this file") from None


@cache
def _parse(content: bytes) -> Verdicts:
    return Verdicts.model_validate_json(content)


def committed(dataset: str, folder: Path | None = None) -> list[Verdicts]:
    """Return the committed verdicts on a data set, or on every one for "-", the newest first."""
    found = [read_verdicts(path) for path in sorted((folder or verdicts_dir()).glob("*.json"))]
    chosen = [each for each in found if dataset in {each.dataset, "-"}]
    return sorted(chosen, key=lambda each: each.date, reverse=True)


def others(claim: str, dataset: str) -> list[Other]:
    """Return what the committed files say of a claim, the newest first; an exact claim's data set is "-"."""
    pairs = [(each, each.claims[claim]) for each in committed(dataset) if claim in each.claims]
    return [Other(each.machine.title, entry.verdict, entry.counts, each.date) for each, entry in pairs]


def write_verdicts(folder: Path, verdicts: Verdicts) -> Path:
    """Write the file whole or not at all, keys sorted so that a diff shows what changed; UserError if it cannot be."""
    path = folder / verdicts.file_name
    text = json.dumps(verdicts.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, text + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def disagreements(one: Verdicts, rest: Sequence[Verdicts]) -> dict[str, list[Verdicts]]:
    """Return the claims whose word differs in some of the others, with those that say otherwise."""
    found = {
        name: [each for each in rest if name in each.claims and differs(entry.verdict, each.claims[name].verdict)]
        for name, entry in one.claims.items()
    }
    return {name: each for name, each in found.items() if each}
