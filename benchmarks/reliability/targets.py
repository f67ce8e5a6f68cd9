"""Everything of vgtemplate that reads what somebody else may have written, one function per parser.

Each takes bytes. A UserError says that they cannot be used, and is right; any other exception is a failure.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vgtemplate.callbacks.checkpointer import Checkpointer
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, parse_override, resolve_arms
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.yaml import parse_yaml
from vgtemplate.data.folder import read_pictures
from vgtemplate.data.sources import read_idx
from vgtemplate.data.unpickle import read_table
from vgtemplate.nn.build import build_model
from vgtemplate.records import Record, read_record, write_record
from vgtemplate.tracking.outbox import missed
from vgtemplate.training.models import TrainedModel, read_model, write_model

KEY = "0" * 20
_ARM = {"model": {"depth": 2, "width": 4, "norm": "batch"}, "data": {"dataset": "digits", "num_train": 10}}
_TEXTS = (
    "base: mlp\nnotes: x\nvariants: {wide: {model: {width: 64}}}\narms:\n  a: {model: {depth: 3, activation: tanh}}\n",
    "arms: {a: &a {optimiser: {lr: 1e-3}}, b: {<<: *a, data: {dataset: digits, num_train: 200}}}\n",
    "arms: {a: {variants: [residual], training: {epochs: 2, stop_loss: .5}, model: {norm: batch}}}\n",
    "arms: {a: {module: {factory: 'x:Y', settings: {a: [1, 2.5, null, !!str 3]}}}}\n",
)
_OVERRIDES = (
    "model.depth=20",
    "optimiser={name: adam, lr: 1e-3}",
    "data.path=~/x",
    "probes.every=null",
    "model.width=[4, 8]",
)


@dataclass(frozen=True)
class Target:
    """A parser, and inputs to begin with.

    Args:
        read: takes the bytes, and a folder of its own for files.
    """

    read: Callable[[bytes, Path], object]
    seeds: Callable[[Path], list[bytes]]


def _yaml(content: bytes, _: Path) -> None:
    parse_yaml(content.decode("utf-8", "surrogateescape"), "text")


def _experiment(content: bytes, folder: Path) -> None:
    path = folder / "experiment.yaml"
    path.write_bytes(content)
    load_experiment(path, ExperimentConfig)


def _override(content: bytes, folder: Path) -> None:
    text, path = content.decode("utf-8", "surrogateescape"), folder / "arms.yaml"
    parse_override(text)
    resolve_arms(path, ExperimentConfig.model_validate({"arms": {"a": {}}}), (text,), ())


def _idx(content: bytes, _: Path) -> None:
    read_idx(content, "file")


def _table(content: bytes, _: Path) -> None:
    read_table(content, "table")


def _picture(content: bytes, folder: Path) -> None:
    path = folder / "picture"
    path.write_bytes(content)
    read_pictures([path], (3, 8, 8))


def _record(content: bytes, folder: Path) -> None:
    """Read metadata with checksums that fit: whoever wants to can make them fit."""
    place = folder / KEY
    try:
        metadata = json.loads(content)
        metadata.pop("metadata_sha256", None)
        metadata["metadata_sha256"] = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
        content = json.dumps(metadata).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass
    (place / "record.json").write_bytes(content)
    read_record(folder, KEY)


def _series(content: bytes, folder: Path) -> None:
    """Read arrays with checksums that fit."""
    place = folder / KEY
    metadata: dict[str, Any] = json.loads((place / "record.json").read_bytes())
    metadata.pop("metadata_sha256")
    metadata["series_sha256"] = hashlib.sha256(content).hexdigest()
    metadata["metadata_sha256"] = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
    (place / "record.json").write_text(json.dumps(metadata))
    (place / "series.npz").write_bytes(content)
    read_record(folder, KEY)


def _checkpoint(content: bytes, folder: Path) -> None:
    path = folder / "training.ckpt"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Checkpointer(path, {}, 1.0).usable()


def _model(content: bytes, folder: Path) -> None:
    path = folder / "last.pt"
    path.write_bytes(content)
    read_model(path)


def _outbox(content: bytes, folder: Path) -> None:
    place = folder / "tracking" / "experiment"
    place.mkdir(parents=True, exist_ok=True)
    for name in (f"arm--{KEY}.json", "experiment.json"):
        (place / name).write_bytes(content)
    missed(folder)


def _texts(_: Path) -> list[bytes]:
    return [text.encode() for text in _TEXTS]


def _overrides(_: Path) -> list[bytes]:
    return [text.encode() for text in _OVERRIDES]


def _idx_seeds(_: Path) -> list[bytes]:
    return [
        b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes(3),
        b"\0\0\x08\x03" + struct.pack(">III", 1, 2, 2) + bytes(4),
    ]


def _table_seeds(_: Path) -> list[bytes]:
    table = {"data": np.zeros((2, 12), np.uint8), "labels": [0, 1], "label_names": ["a", "b"]}
    return [pickle.dumps(table, protocol) for protocol in (0, 1, 2, 3, 4)]


def _picture_seeds(_: Path) -> list[bytes]:
    seeds = []
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"):
        buffer = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, kind)
        seeds.append(buffer.getvalue())
    return seeds


def _some_record() -> Record:
    series = {"train_loss": np.ones((2, 3)), "gradient_rms": np.ones((2, 1, 4)), "probe_steps": np.zeros(1)}
    series |= {"test_loss": np.ones(2), "diverged_at": np.full(2, -1)}
    labels = {"layer": ["a", "b", "c", "d"]}
    return Record(KEY, "arm", ArmConfig().model_dump(mode="json"), (0, 1), {"name": "digits"}, {}, 1.0, series, labels)


def _record_seeds(folder: Path) -> list[bytes]:
    return [(write_record(folder, _some_record()) / "record.json").read_bytes()]


def _series_seeds(folder: Path) -> list[bytes]:
    return [(write_record(folder, _some_record()) / "series.npz").read_bytes()]


def _checkpoint_seeds(_: Path) -> list[bytes]:
    buffer = io.BytesIO()
    content = {"versions": {}, "callbacks": {"Checkpointer": {"ended_at": None}}, "state_dict": {"a": torch.ones(2)}}
    torch.save(content, buffer)
    return [buffer.getvalue()]


def _model_seeds(folder: Path) -> list[bytes]:
    config = ArmConfig.model_validate(_ARM)
    dataset = {"name": "digits", "classes": ["a", "b"], "input_shape": [1, 2, 2], "mean": [0.0], "std": [1.0]}
    network = build_model(config.model, (1, 2, 2), 2, (0,))
    write_model(folder / "last.pt", TrainedModel(config, (0,), dataset, network.state_dict()))
    return [(folder / "last.pt").read_bytes()]


def _outbox_seeds(_: Path) -> list[bytes]:
    parcels: list[dict[str, object]] = [
        {"experiment": "e", "arm": "a", "key": KEY, "seed": None, "sent": {"default": "1"}}
    ]
    parcels.append({"experiment": "e", "headline": "h", "text": "", "tags": {}, "parameters": []})
    return [json.dumps(parcel).encode() for parcel in parcels]


TARGETS = {
    "YAML": Target(_yaml, _texts),
    "experiment": Target(_experiment, _texts),
    "--set": Target(_override, _overrides),
    "record": Target(_record, _record_seeds),
    "series": Target(_series, _series_seeds),
    "IDX": Target(_idx, _idx_seeds),
    "pickle table": Target(_table, _table_seeds),
    "picture": Target(_picture, _picture_seeds),
    "checkpoint": Target(_checkpoint, _checkpoint_seeds),
    "model": Target(_model, _model_seeds),
    "outbox": Target(_outbox, _outbox_seeds),
}
