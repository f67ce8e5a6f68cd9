"""The record of one arm: what was run, where, and every measured number with its axes and unit.

`results/KEY/record.json` holds the configuration and the environment, `series.npz` the arrays. A record is the
evidence: training writes it, judgement reads it. It appears on disk whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vgtemplate.atomic import put_in_place, write_flushed
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_file

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Axes:
    """The named axes of a series and its unit: R replica, S probe step, L hidden layer, T training step."""

    axes: tuple[str, ...]
    unit: str = ""


_PROBED = ("replica", "probe_step", "layer")
_OF_ACTIVATIONS = ("derivative_rms", "saturated_fraction", "dead_fraction")
_LOSS = "nats; networks that put out images: squared pixels; of numbers: as the loss has it"
_SCORE = "as training.score has it"
SERIES: Mapping[str, Axes] = {
    "gradient_rms": Axes(_PROBED, "loss per unit of pre-activation"),
    "weight_grad_norm_before_clip": Axes(_PROBED, "loss per unit of weight"),
    "weight_grad_norm_after_clip": Axes(_PROBED, "loss per unit of weight"),
    "bias_grad_norm": Axes(_PROBED, "loss per unit of bias"),
    "input_mean_square": Axes(("image", "row", "column")),
    "signal_rms": Axes(_PROBED),
    "signal_mean": Axes(_PROBED),
    "derivative_rms": Axes(_PROBED),
    "saturated_fraction": Axes(_PROBED),
    "dead_fraction": Axes(("replica", "look", "layer")),
    "weight_rms": Axes(_PROBED),
    "update_ratio": Axes(_PROBED),
    "travel": Axes(_PROBED),
    "input_shift": Axes(_PROBED, "deviations per step"),
    "gradient_change": Axes(_PROBED),
    "zero_gradient_fraction": Axes(("replica", "look", "layer")),
    "gradient_norm": Axes(("replica", "step"), "loss per unit of weight"),
    "weight_norm": Axes(("replica", "step")),
    "accuracy_without_layer": Axes(("replica", "layer")),
    "probe_steps": Axes(("probe_step",), "steps"),
    "train_loss": Axes(("replica", "step"), _LOSS),
    "train_accuracy": Axes(("replica", "step")),
    "train_score": Axes(("replica", "step"), _SCORE),
    "train_psnr": Axes(("replica", "step"), "dB"),
    "validation_steps": Axes(("validation_step",), "steps"),
    "validation_loss": Axes(("replica", "validation_step"), _LOSS),
    "validation_accuracy": Axes(("replica", "validation_step")),
    "validation_score": Axes(("replica", "validation_step"), _SCORE),
    "validation_psnr": Axes(("replica", "validation_step"), "dB"),
    "test_loss": Axes(("replica",), _LOSS),
    "test_accuracy": Axes(("replica",)),
    "test_score": Axes(("replica",), _SCORE),
    "test_psnr": Axes(("replica",), "dB"),
    "final_train_accuracy": Axes(("replica",)),
    "finished_at": Axes(("replica",), "steps; -1: never"),
    "reconstruction_loss": Axes(("replica", "layer", "pretraining_step"), "nats per image"),
    "diverged_at": Axes(("replica",), "steps; -1: never"),
    "diverged_layer": Axes(("replica",), "hidden layer from 1; one more: the output; 0: not known; -1: never"),
    "logged": Axes(("replica", "logged")),
    "quantities": Axes(("quantity", "block")),
}
"""Every series a record can hold; `layer` counts hidden layers from the input."""


@dataclass(frozen=True)
class Record:
    """What one arm (or one exact check) left behind."""

    key: str
    name: str
    configuration: Mapping[str, Any]
    seeds: tuple[int, ...]
    dataset: Mapping[str, Any]
    environment: Mapping[str, Any]
    wall_seconds: float
    series: Mapping[str, Array] = field(repr=False)
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    """Names along an axis, e.g. {"layer": [...]}, {"quantity": [...]}; of a network of one's own also "mixing": those
    layers whose weights mix units, as the weights of normalisations do not."""
    weights_sha256: str = ""
    """Of the trained parameters and running statistics, by which two runs are compared; empty for an exact check."""
    code: Mapping[str, Any] = field(default_factory=dict)
    """The source that decides the numbers (`config.key.code_of`): with it the key can be computed from the record."""

    def __post_init__(self) -> None:
        for name, array in self.series.items():
            expected = SERIES[name].axes
            if array.ndim != len(expected):
                raise ValueError(f"series {name} has {array.ndim} axes, expected {expected}")

    def probe(self, name: str, index: int = 0) -> Array:
        """Return the probed series `name` at probe number `index` (0: before the first update), shape (R, L)."""
        return np.asarray(self.series[name][:, index, :], dtype=np.float64)

    def of_seeds(self, seeds: Sequence[int]) -> Record:
        """Return the part of the record that is some seeds'; what holds for all seeds stays as it is."""
        chosen = [self.seeds.index(seed) for seed in seeds]
        series = {
            name: array[chosen] if SERIES[name].axes[0] == "replica" else array for name, array in self.series.items()
        }
        return replace(self, seeds=tuple(seeds), series=series)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what was trained, on what, and which series there are."""
        series = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in self.series.items())
        seeds = ", ".join(map(str, self.seeds)) or "none"
        facts = {"key": self.key, "data set": self.dataset.get("name", "-"), "seeds": seeds, "series": series}
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(fact))}</td></tr>" for name, fact in facts.items())
        return f"<table><caption>{escape(self.name)}, {self.wall_seconds:.1f} s</caption>{rows}</table>"

    @property
    def is_of_own_network(self) -> bool:
        """Whether the network is one of one's own, of whose layers nobody knew before it was trained."""
        model = self.configuration.get("model")
        return model is None or "factory" in model

    def hidden(self, name: str, index: int = 0) -> Array:
        """Return the probed series `name` of the hidden layers, (R, L), as metrics count them; NaN if there are none.

        Of a built-in network these are all that were probed. Of one of one's own they are, in the order in which they
        were called, the layers that mix units and have a value, but the last through which something flowed: that is
        the output. What an activation does is told of the layer before it, which may be a normalisation.
        """
        missing = np.full((len(self.seeds), 1), np.nan)
        if name not in self.series:
            return missing
        values = self.probe(name, index)
        if not self.is_of_own_network or "layer" not in self.labels:
            return values
        layers = self.labels["layer"]
        flow = next((self.probe(each) for each in ("gradient_rms", "signal_rms") if each in self.series), values)
        mixing = np.isin(layers, self.labels.get("mixing", layers))
        flowing = np.flatnonzero(mixing & ~np.isnan(flow).all(axis=0))
        counted = mixing | (name in _OF_ACTIVATIONS)
        counted[flowing[-1:]] = False
        found = values[:, counted & ~np.isnan(values).all(axis=0)]
        return found if found.shape[1] else missing


class RecordError(Exception):
    """Why what lies under a key is no record, or is not the one that the key stands for."""


_PLAIN = tuple(field.name for field in fields(Record) if field.name != "series")
"""What of a record is kept as JSON."""


def record_path(results: Path, key: str) -> Path:
    """Return the folder of the record `key`."""
    return results / key


def _metadata(record: Record, checksum: str) -> dict[str, Any]:
    return {
        **{name: getattr(record, name) for name in _PLAIN},
        "series": {
            name: {"axes": list(SERIES[name].axes), "unit": SERIES[name].unit, "shape": list(array.shape)}
            for name, array in record.series.items()
        },
        "series_sha256": checksum,
    }


def _checksum(metadata: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def make_results_folder(results: Path) -> Path:
    """Create the results folder and prove that it can be written; raise UserError if it cannot be."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            f"{results}: the results folder cannot be written ({error.strerror}); set VGT_RESULTS_DIR to another"
        ) from None
    return results


def write_record(results: Path, record: Record, add: Callable[[Path], object] | None = None) -> Path:
    """Write a record under a temporary name, flush it to disk, and rename it to its key.

    Where another process writes the same key at the same time, one of the two records stays: they are equal. A record
    that is replaced is there until the new one is.

    Args:
        add: called with the record's folder while that still has its temporary name; what it writes there appears with
            the record or, like the record, not at all.

    Raises:
        UserError: the disk refuses (full, read-only); nothing is left behind.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(record.series))
    content = buffer.getvalue()
    metadata = _metadata(record, hashlib.sha256(content).hexdigest())
    metadata["metadata_sha256"] = _checksum(metadata)
    target, staging = record_path(results, record.key), None
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".writing-{record.key}-", dir=results))
        write_flushed(staging / "series.npz", content)
        write_flushed(staging / "record.json", json.dumps(metadata, indent=1).encode())
        if add is not None:
            add(staging)
        staging.chmod(0o755)
        put_in_place(staging, target, results / staging.name.replace("writing", "replaced", 1))
    except OSError as error:
        raise UserError(f"{results}: the record cannot be written ({error.strerror})") from None
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return target


_MOST_BYTES = 4 * 2**30
"""Of all series of a record together, unpacked: some thousand times what the largest has."""


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return how many bytes a series has unpacked; ValueError if its head promises more, for which room is made."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed in a way that NumPy does not pack")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} is shorter than its head says")
    return member.file_size


def _read_series(content: bytes, declared: Mapping[str, Any]) -> dict[str, Array]:
    """Unpack the series; ValueError if they are not those that the metadata declare, or too large to be any."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(map(partial(_check_size, archive), archive.infolist())) > _MOST_BYTES:
            raise ValueError("series of more than 4 GB")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        series = {name: archive[name] for name in archive.files}
    shapes = {name: list(array.shape) for name, array in series.items()}
    if shapes != {name: declared[name]["shape"] for name in declared}:
        raise ValueError("other series than declared")
    return series


def _check_types(record: Record) -> None:
    """Raise a ValueError unless a record holds what its annotations say: numbers per seed, plain data, texts."""
    mappings = (record.configuration, record.dataset, record.environment, record.labels, record.code)
    if not isinstance(record.name, str) or not all(isinstance(mapping, dict) for mapping in mappings):
        raise ValueError("a part of the record is of another kind")
    if not all(type(seed) is int for seed in record.seeds) or len(set(record.seeds)) < len(record.seeds):
        raise ValueError("seeds are whole numbers, each once")
    if not math.isfinite(record.wall_seconds):
        raise ValueError("the time is no number")
    for name, array in record.series.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"series {name} holds no numbers")
        if SERIES[name].axes[0] == "replica" and len(array) != len(record.seeds):
            raise ValueError(f"series {name} has not one row per seed")


def read_part(results: Path, key: str, name: str) -> bytes:
    """Return one of the files of the record `key`; ValueError with its name for what cannot be one; OSError."""
    try:
        return read_file(record_path(results, key) / name, _MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def open_record(results: Path, key: str) -> Record:
    """Read the record `key` whole.

    Raises:
        RecordError: it is incomplete, a checksum is wrong, or it says something else of itself than it holds, with
            checksums made to fit. Whether it is the record of the settings that the key stands for, `jobs.job` says.
        OSError: it cannot be read just now.
    """
    try:
        metadata = json.loads(read_part(results, key, "record.json"))
        content = read_part(results, key, "series.npz")
        expected = metadata.pop("metadata_sha256"), metadata["series_sha256"]
        if metadata["key"] != key:
            raise ValueError(f"it says that its key is {metadata['key']}")
        if expected != (_checksum(metadata), hashlib.sha256(content).hexdigest()):
            raise ValueError("it was altered after it was written: a checksum is wrong")
        series = _read_series(content, metadata["series"])
        metadata = {"weights_sha256": "", "code": {}} | metadata  # which older records lack
        plain = {name: metadata[name] for name in _PLAIN}
        record = Record(**plain | {"seeds": tuple(metadata["seeds"]), "series": series})
        _check_types(record)
        return record
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecordError(f"it lacks {Path(error.filename).name}") from None
    except KeyError as error:
        raise RecordError(f"it lacks {error.args[0]!r}") from None
    except _DAMAGE as error:
        raise RecordError(str(error) or type(error).__name__) from None


def read_record(results: Path, key: str) -> Record | None:
    """Read the record `key` as `open_record` does; return None if there is none that can be read."""
    try:
        return open_record(results, key)
    except (OSError, RecordError):
        return None


def read_all(results: Path) -> Iterator[Record]:
    """Yield every intact record of a results folder, by key."""
    for path in sorted(results.glob("*/record.json")):
        if (record := read_record(results, path.parent.name)) is not None:
            yield record
