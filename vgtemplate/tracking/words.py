"""What MLflow says of a run and of an experiment in words: parameters, tags, descriptions. Knows nothing of mlflow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgtemplate.config.catalogue import BLOCKS
from vgtemplate.config.strict import MOST
from vgtemplate.metrics.initial import gradient_slope
from vgtemplate.metrics.trained import final_loss
from vgtemplate.records import Record, read_part
from vgtemplate.text import describe_seeds, flatten, visible, write_count, write_spread
from vgtemplate.tracking.outbox import Description, runs_of
from vgtemplate.tracking.view import link_to_table

_PARAM_LENGTH = 6000
_TAG_LENGTH = 5000
_READING = (
    "The charts show medians over the seeds. Under `layer_as_step` the axis called Step is the layer (1: nearest the "
    "input); everywhere else it is the training step. Names ending in `log10` are logarithms: a straight line that "
    "falls towards layer 1 is a gradient that vanishes."
)


def write_parameters(configuration: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, str]:
    """Return an arm's settings as parameters; what is longer than MLflow takes says that it was cut."""
    # A setting of one's own may be named in marks that MLflow does not take.
    flat = flatten(configuration).items()
    settings = {
        re.sub(r"[^/\w.\- :]", "_", name, flags=re.ASCII): "all" if value == MOST else str(value)
        for name, value in flat
    }
    settings |= {"seeds": describe_seeds(seeds), "num_seeds": str(len(seeds))}
    return {name: cut(text, _PARAM_LENGTH) for name, text in settings.items()}


def cut(text: str, length: int) -> str:
    """Return a text that can be shown and is at most so long; where something was cut off, its end says so."""
    text = visible(text)
    note = f" ... (cut, {len(text)} characters; the whole is in record.json)"
    return text if len(text) <= length else text[: length - len(note)] + note


def _contains(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    """Say whether settings have all that a patch sets."""
    return all(
        _contains(settings.get(key, {}), value) if isinstance(value, Mapping) else settings.get(key) == value
        for key, value in patch.items()
    )


def sorting_tags(configuration: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, str]:
    """Return tags to sort and filter by, under plain names, of a network that is built here."""
    tags = {"seeds": str(len(seeds))}
    model = configuration.get("model") or {}
    if "factory" in model or "module" in configuration:
        return tags | {"variant": str((model or configuration["module"])["factory"])}
    blocks = [name for name, block in BLOCKS.items() if block.patch and _contains(configuration, block.patch)]
    tags["variant"] = " ".join(blocks) or "plain"
    return tags | {name: str(model[name]) for name in ("depth", "norm", "activation") if name in model}


def write_tags(record: Record, left_out: int) -> dict[str, str]:
    """Return what else is known of a run, as tags."""
    tags = {
        "vgt.dataset": str(record.dataset.get("name", "none")),
        "vgt.dataset_fingerprint": str(record.dataset.get("fingerprint", "none")),
    }
    tags |= {f"vgt.{name}": str(value) for name, value in flatten(record.environment).items() if name}
    if commit := record.environment.get("commit"):
        tags["mlflow.source.git.commit"] = str(commit)
    configuration, layers = record.configuration, record.labels.get("layer", [])
    if layers and ("module" in configuration or "factory" in configuration.get("model", {})):
        # What the numbers in the metrics' names stand for, in a network that the package does not know.
        tags["vgt.layers"] = ", ".join(f"{number} {name}" for number, name in enumerate(layers, 1))
    if left_out:
        tags["vgt.values_left_out"] = f"{left_out} that are not finite, or zero where a logarithm is shown"
    tags["mlflow.note.content"] = describe_run(record)
    return {name: cut(text, _TAG_LENGTH) for name, text in tags.items()}


def describe_run(record: Record) -> str:
    """Return a run's description: what was trained on what, what came out, how to read the charts."""
    lines = [f"`{record.name}` on {record.dataset.get('name', 'no data')}, {describe_seeds(record.seeds)}."]
    shown = {
        "test accuracy": record.series.get("test_accuracy"),
        "test score": record.series.get("test_score"),
        "final training loss": final_loss(record) if "train_loss" in record.series else None,
        "gradient slope, decades per layer": gradient_slope(record) if "gradient_rms" in record.series else None,
    }
    known = [f"- {name}: {write_spread(list(values))}" for name, values in shown.items() if values is not None]
    if known:
        lines += ["", f"Median{' [smallest, largest]' if len(record.seeds) > 1 else ''} over the seeds:", "", *known]
    diverged = record.series.get("diverged_at")
    if diverged is not None and (diverged >= 0).any():
        lines += ["", f"{(diverged >= 0).sum()} of {write_count(len(record.seeds), 'seed')} diverged."]
    return "\n".join([*lines, "", _READING])


def describe_experiment(description: Description | None, experiment: str) -> str:
    """Return an experiment's text; the UI shows its first line, and the rest on request."""
    head = description.headline if description else "Trained by vgt"
    rest = f"{description.text}\n\n" if description and description.text else ""
    table, charts = link_to_table(experiment), link_to_table(experiment, charts=True)
    text = f"{head} ([compare the arms]({table}), [in charts]({charts}))\n\n{rest}{_READING}\n"
    return visible(text)


def differing_parameters(results: Path, experiment: str) -> list[str]:
    """Return the settings in which the runs of an experiment differ, as far as there are records of them."""
    found: dict[str, dict[str, str]] = {}
    for run in runs_of(results, experiment):
        try:
            content = json.loads(read_part(results, run.key, "record.json"))
            found[run.key] = write_parameters(content["configuration"], content["seeds"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    names = sorted({name for parameters in found.values() for name in parameters})
    return [name for name in names if len({parameters.get(name) for parameters in found.values()}) > 1]
