"""The best network of a trained arm, by itself and as others use it: batches (B, ...) in, outputs (B, ...) out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import LARGEST_IS_BEST, ArmConfig
from vgtemplate.data.theirs import build_data
from vgtemplate.metrics.trained import final_loss
from vgtemplate.nn.build import build_model
from vgtemplate.nn.replicate import Population
from vgtemplate.records import Array, Record
from vgtemplate.training.models import BEST, LAST, TrainedModel, read_model

_EXAMPLES = 2
"""A batch of one would fix the size of the batch when the network is exported."""


@dataclass(frozen=True)
class Served:
    """A network with two inputs of its data, what it makes of them, and what is to be known of it."""

    module: nn.Module
    inputs: Array
    outputs: Array
    metadata: dict[str, Any]
    requirements: list[str]


class OfPixels(nn.Module):
    """A network of 8-bit pictures as they are, (B, C, H, W) in 0 to 255; it scales them as it was trained."""

    def __init__(self, network: nn.Module, scaling: str, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.network = network
        shift, spread = (mean, [value or 1.0 for value in std]) if scaling == "standardise" else ([0.0], [1.0])
        self.shift = nn.Buffer(torch.tensor(shift).view(1, -1, 1, 1))
        self.spread = nn.Buffer(torch.tensor(spread).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Any:
        return self.network((pixels / 255 - self.shift) / self.spread)

    def pixels(self, scaled: Tensor) -> Tensor:
        """Return the pictures that are scaled to `scaled`."""
        return (scaled * self.spread + self.shift) * 255


class Logits(nn.Module):
    """A network of one's own; of an object with `logits` these alone, as when it was trained."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:
        outputs = self.network(inputs)
        return outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", outputs)


class OneOf(nn.Module):
    """The one network of a population of one, without the replica axis."""

    def __init__(self, population: nn.Module) -> None:
        super().__init__()
        self.population = population

    def forward(self, inputs: Tensor) -> Any:
        return self.population(inputs[None])[0]


def best_seed(record: Record) -> int:
    """Return the number of the replica that did best on held-out data; without such, the one of least training loss."""
    config = ArmConfig.model_validate(record.configuration)
    name = f"validation_{config.training.score_name}"
    if config.training.score_name in LARGEST_IS_BEST and name in record.series:
        return int(np.argmax(np.nan_to_num(record.series[name].max(axis=1), nan=-np.inf)))
    if "validation_loss" in record.series:
        return int(np.argmin(np.nan_to_num(record.series["validation_loss"].min(axis=1), nan=np.inf)))
    return int(np.argmin(np.nan_to_num(final_loss(record), nan=np.inf)))


def serve(record: Record, folder: Path, root: Path) -> Served | None:
    """Return the best network that `vgt train` has left beside a record; None where it has left none.

    Args:
        folder: the record's.
        root: the folder of the data sets, of which two inputs are taken.

    Raises:
        UserError: the network cannot be read, or its inputs are no single tensor.
    """
    path = next((path for name in (BEST, LAST) if (path := folder / name).exists()), None)
    if path is None:
        return None
    model, index = read_model(path), best_seed(record)
    module = _alone(model, index)
    data = build_data(model.config.data, [model.seeds[index]], root, alone=model.config.module is not None)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    if not isinstance(inputs, Tensor):
        raise UserError(f"its inputs are a {type(inputs).__name__}, not one tensor")
    inputs = inputs[:_EXAMPLES] if model.config.module is not None else inputs[0, :_EXAMPLES]
    metadata: dict[str, Any] = {"seed": model.seeds[index], "weights": path.name}
    if model.dataset["mean"] and inputs.dim() == 4:
        module = OfPixels(module, model.config.data.scaling, model.dataset["mean"], model.dataset["std"]).eval()
        inputs = module.pixels(inputs)
        metadata["inputs"] = "pictures (B, C, H, W), 0 to 255"
    if model.dataset["classes"]:
        metadata |= {"outputs": "logits", "classes": list(map(str, model.dataset["classes"]))}
    with torch.no_grad():
        outputs = module(inputs)
    if not isinstance(outputs, Tensor):
        raise UserError(f"its outputs are a {type(outputs).__name__}, not one tensor")
    torch_version = torch.__version__.partition("+")[0]
    return Served(module, inputs.numpy(), outputs.numpy(), metadata, [f"torch=={torch_version}"])


def _alone(model: TrainedModel, index: int) -> nn.Module:
    """Return one replica by itself, in evaluation mode."""
    network = model.network()
    if isinstance(network, nn.ModuleList):
        return network[index]
    if isinstance(network, Population):
        return Logits(network.replica(index)).eval()
    num_outputs = model.dataset.get("num_outputs", len(model.dataset["classes"]))
    seed = model.seeds[index]
    single = build_model(model.config.model, model.input_shape, num_outputs, [seed])
    # Whatever a layer keeps, that of the replicas follow each other along the first axis.
    single.load_state_dict({name: each.chunk(len(model.seeds))[index] for name, each in model.weights.items()})
    return OneOf(single).eval()
