"""The small networks out of public reports, where the folder with them is beside the checkout."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.doctor.case import Case, Training

FOLDER = Path(os.environ.get("VGT_CASES_DIR") or Path(__file__).resolve().parents[2].parent / "shared" / "cases")


class Again:
    """A loader's batches for ever; each time they are asked for, from a loader made anew."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        loader = self.make()
        while True:
            yield from loader


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("case_" + path.stem.replace("-", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _facts(path: Path) -> tuple[str, str, int] | None:
    """Return kind, label and steps from the line that tells them; None for what is about machinery."""
    for line in path.read_text().splitlines():
        if line.startswith("KIND, LABEL, STEPS = "):
            kind, label, steps = line.partition(" = ")[2].split(", ")
            return kind.strip('"'), label.strip('"'), int(steps)
    return None


def _make(path: Path, cured: bool, seed: int) -> Training:
    case = _load(path)

    def pick(name: str) -> Any:
        return (
            getattr(case, f"{name}_fixed", None)
            if cured and hasattr(case, f"{name}_fixed")
            else getattr(case, name, None)
        )

    torch.manual_seed(seed)
    model = (case.make_fixed if cured else case.make_model)()
    make_loader, make_optimizer = pick("make_loader"), pick("make_optimizer")
    if make_optimizer is None:
        return Training(model, make_loader(), trainer=getattr(case, "TRAINER", {}))
    step = getattr(case, "train_step", None)
    return Training(model, Again(make_loader), make_optimizer(model), None if step else pick("loss"), step)


def cases() -> list[Case]:
    """Return every public case but those about machinery; none where the folder is missing."""
    found = []
    for path in sorted(FOLDER.glob("[0-9]*.py")):
        facts = _facts(path)
        if facts is None:
            continue
        kind, label, steps = facts
        cured = partial(_make, path, True) if kind == "ill" else None
        make = partial(_make, path, False)
        found.append(
            Case(f"public-{path.stem}", kind, label, "public reports", make, steps=steps, cured=cured, falls=False)
        )
    return found
