"""Trained networks as files: what `vgt train` leaves of each arm, and what is needed to use it on other pictures.

A file holds tensors and plain settings and is read with `weights_only=True`, so that it can run nothing.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vgtemplate.atomic import write_whole
from vgtemplate.callbacks.archives import read_archive
from vgtemplate.config.errors import UserError
from vgtemplate.config.own import Factory, find, is_library
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.images import Bytes
from vgtemplate.data.statistics import scale_pixels
from vgtemplate.nn.build import build_model
from vgtemplate.records import Record
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.own_module import build_module

LAST, BEST = "last.pt", "best.pt"
_FORMAT = 1
_OF_THE_DATA = ("name", "classes", "input_shape", "mean", "std", "num_outputs")
_BLOCK = 256


@dataclass(frozen=True)
class TrainedModel:
    """A trained population with what it needs to read a picture.

    `dataset` is what the record says of the data: `classes`, `input_shape` (C, H, W), `mean` and `std` per channel. The
    weights have the replica axis; of a LightningModule of one's own they are those of each seed, under its number.
    """

    config: ArmConfig
    seeds: tuple[int, ...]
    dataset: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return tuple(int(size) for size in self.dataset["input_shape"])

    def network(self) -> nn.Module:
        """Return the population in evaluation mode."""
        network: nn.Module
        if self.config.module is not None:
            network = nn.ModuleList(build_module(self.config, self.dataset, seed) for seed in self.seeds)
        else:
            num_outputs = self.dataset.get("num_outputs", len(self.dataset["classes"]))
            network = build_model(self.config.model, self.input_shape, num_outputs, self.seeds)
        network.load_state_dict(self.weights)
        return network.eval()

    def require_classifier(self, path: Path) -> None:
        """Raise UserError unless the network tells classes from pictures."""
        if self.config.module is not None:
            raise UserError(f"{path}: is a LightningModule of one's own, which classifies in a way of its own")
        if self.config.outputs_image:
            raise UserError(f"{path}: this network puts out images, not classes")
        if not self.dataset["mean"] or not self.dataset["classes"]:
            raise UserError(f"{path}: this network was not trained to tell classes from pictures of 8 bits")

    def probabilities(self, pixels: Bytes) -> np.ndarray[Any, Any]:
        """Return what each replica makes of 8-bit pictures: (N, C, H, W) to (R, N, K)."""
        network = self.network()
        outputs = []
        with torch.inference_mode():
            scaled = scale_pixels(pixels, self.config.data.scaling, self.dataset["mean"], self.dataset["std"])
            for images in torch.from_numpy(scaled).split(_BLOCK):
                logits = network(images.expand(len(self.seeds), *images.shape))
                outputs.append(logits.double().softmax(dim=2))
        return torch.cat(outputs, dim=1).numpy()


def write_model(path: Path, model: TrainedModel) -> None:
    """Write a trained population, whole or not at all.

    Raises:
        UserError: the disk refuses.
    """
    buffer = io.BytesIO()
    content = {
        "format": _FORMAT,
        "configuration": model.config.model_dump(mode="json"),
        "seeds": list(model.seeds),
        "dataset": {name: model.dataset[name] for name in _OF_THE_DATA if name in model.dataset},
        "weights": dict(model.weights),
    }
    torch.save(content, buffer)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"{path}: the model cannot be written ({error.strerror})") from None


def write_models(folder: Path, record: Record, module: nn.Module) -> None:
    """Write an arm's last weights and, if it was validated while it trained, its best, beside its record.

    Of LightningModules of one's own, one per seed, the last weights: those of the first begin with "0.".

    Raises:
        UserError: the disk refuses.
    """
    config = ArmConfig.model_validate(record.configuration)
    weights: dict[str, Mapping[str, Tensor] | None] = {LAST: module.state_dict()}
    if isinstance(module, PopulationModule):
        weights = {LAST: module.model.state_dict(), BEST: module.best_weights}
    for name, found in weights.items():
        if found is not None:
            write_model(folder / name, TrainedModel(config, record.seeds, record.dataset, found))


def _require_network(path: Path, factory: Factory) -> None:
    """Raise UserError unless the code that a file names makes networks: a file of a stranger may name any there is.

    Code of the working folder is the user's own; of a library, what is or says that it returns an nn.Module.
    """
    function = inspect.unwrap(find(f"{path}: factory", factory.factory))
    made = function if inspect.isclass(function) else getattr(function, "__annotations__", {}).get("return")
    source = inspect.getsourcefile(function) if inspect.isclass(function) or inspect.isfunction(function) else None
    is_theirs = source is not None and Path(source).is_relative_to(Path.cwd()) and not is_library(Path(source))
    if not is_theirs and not (inspect.isclass(made) and issubclass(made, nn.Module)):
        raise UserError(
            f"{path}: names {factory.factory}, which is no code of this folder and does not say that it makes an "
            "nn.Module; it is not called"
        )


def read_model(path: Path) -> TrainedModel:
    """Read a trained population that `vgt train` has written.

    Raises:
        UserError: there is none, or it is something else.
    """
    try:
        content = read_archive(path)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError("it has another form")
        model = TrainedModel(
            config=ArmConfig.model_validate(content["configuration"]),
            seeds=tuple(int(seed) for seed in content["seeds"]),
            dataset={name: content["dataset"][name] for name in _OF_THE_DATA if name in content["dataset"]},
            weights=content["weights"],
        )
        own = model.config.module or model.config.model
        if isinstance(own, Factory):
            _require_network(path, own)
        model.network()
        return model
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `vgt train` writes {BEST} and {LAST} beside its record") from None
    except ValidationError:
        raise UserError(f"{path}: another version of vgtemplate wrote this model") from None
    except Exception as error:  # torch does not say which errors a file that is not its own leads to
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: is no model of `vgt train` ({reason or type(error).__name__})") from None
