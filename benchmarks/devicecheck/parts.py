"""What is asked of a device, what is most worth knowing first, each with a limit of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "verdicts"
Rows = list[tuple[str, str]]
"""What a part has found: what, and how much."""


@dataclass(frozen=True)
class Part:
    """One question.

    Args:
        name: in the table.
        limit: seconds; what is left of the whole limit, if that is less.
        command: the arguments of Python that answer it.
        read: what its standard output says.
    """

    name: str
    limit: float
    command: list[str]
    read: Callable[[str], Rows]


def read_verdicts(output: str) -> Rows:
    """Compare the verdicts of a reproduction with the committed ones, claim by claim."""
    here = {each["id"]: str(each["verdict"]) for each in json.loads(output[("\n" + output).index("\n[") :])}
    rows: Rows = [("claims judged", str(len(here)))]
    for path in sorted(REFERENCE.glob("*.json")):
        there = json.loads(path.read_text(encoding="utf-8"))["claims"]
        both = [name for name in here if name in there]
        # Ten seeds are the first look; what took more of them elsewhere is open here, and contradicts nothing.
        decided = [name for name in both if here[name] not in ("open", "failed", "not run")]
        differ = [name for name in decided if there[name]["verdict"] != here[name]]
        rows.append((f"as on {path.stem}", f"{len(decided) - len(differ)} of {len(decided)} decided"))
        rows += [(f"  {name}", f"{here[name]} here, {there[name]['verdict']} there") for name in differ]
    rows += [(f"  {name}", "failed") for name, verdict in here.items() if verdict == "failed"]
    return rows


def read_rows(output: str) -> Rows:
    """Return the lines `name<TAB>value` of an output."""
    return [(name, value) for name, _, value in (line.partition("\t") for line in output.splitlines()) if value]


def read_results(output: str) -> Rows:
    """Return the median and range of each arm's test accuracy, of `vgt train --json`."""
    rows: Rows = []
    for each in json.loads(output[("\n" + output).index("\n[") :]):
        values = sorted(float(value) for value in _accuracies(each))
        if values:
            found = f"{values[len(values) // 2]:.3f} [{values[0]:.3f}, {values[-1]:.3f}], {len(values)} seeds"
            rows.append((f"accuracy of {each.get('arm', '?')}", found))
    return rows


def _accuracies(arm: dict[str, Any]) -> list[float]:
    for name, value in arm.items():
        if name == "test_accuracy" and isinstance(value, list):
            return value
        if isinstance(value, dict) and (found := _accuracies(value)):
            return found
    return []


def parts(device: str, quick: bool) -> list[Part]:
    """Return the questions, the most important first.

    Args:
        device: cuda or cpu.
        quick: a small form of each, to see that all is ready.
    """
    accelerator = "gpu" if device == "cuda" else "cpu"
    vgt, own = ["-m", "vgtemplate"], "benchmarks.devicecheck"
    run = ["--accelerator", accelerator, "--no-tracking"]
    few = ["relu-keeps-gradient", "sigmoid-vanishes", "--seeds", "10"] if quick else ["--jobs", "4"]
    rounds = ["--quick"] if quick else []
    resnet = ["--set", "training.epochs=1", "--seeds", "1"] if quick else ["--set", "training.epochs=12"]
    digits = ["--dataset", "digits"] if quick else []
    full = [*vgt, "reproduce", "residual-thousand", "--setting", "short" if quick else "full", *run, "--json"]
    found = [
        Part("every claim, ten seeds, cold", 240, [*vgt, "reproduce", *few, *run, "--json"], read_verdicts),
        Part("the same numbers", 60, ["-m", f"{own}.same", device], read_rows),
        Part("killed and taken up again", 120 if quick else 60, ["-m", f"{own}.resumed", accelerator], read_rows),
        Part("training steps per second", 90, ["-m", f"{own}.speed", device, *rounds], read_rows),
        Part("ResNet-20 on CIFAR-10", 120, [*vgt, "train", "cifar-resnet", "--arm", "residual-20", *resnet, *digits,
             *run, "--json"], read_results),
        Part("a thousand layers", 120, full, read_verdicts),
    ]  # fmt: skip
    return found[:-2] if quick else found
