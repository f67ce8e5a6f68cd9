"""A small population on batches in memory, a quiet trainer, and a by-hand training of plain networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.config.catalogue import ACTIVATIONS
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.training.module import PopulationModule

SEEDS = [5, 0, 9]
B, K = 6, 4
SHAPE = (1, 4, 4)
Batch = tuple[Tensor, Tensor]
TORCHS: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU}


class Loader:
    """Batches in memory; a bare list would be taken for several loaders."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Reference(nn.Module):
    """Replica r of a population as plain torch.nn layers with copies of its weights."""

    def __init__(self, module: PopulationModule, r: int) -> None:
        super().__init__()
        config = module.config.model
        self.flat = config.kind == "mlp"
        self.residual = config.residual
        self.weighted, self.norms, self.activations = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for hidden in module.model.hidden_layers:
            self.weighted.append(self._copy(hidden.linear, r))
            features = hidden.linear.weight.shape[2 if self.flat else 1]
            norm = nn.BatchNorm1d(features) if self.flat else nn.BatchNorm2d(features)
            self.norms.append(norm if config.norm == "batch" else nn.Identity())
            self.activations.append(TORCHS[config.activation]())
        self.output = self._copy(module.model.output, r)
        self.max_derivative = ACTIVATIONS[config.activation].max_derivative
        self.double()

    @staticmethod
    def _copy(layer: Any, r: int) -> nn.Module:
        weight, bias = layer.weight.detach()[r], layer.bias
        if weight.dim() == 4:
            plain: nn.Module = nn.Conv2d(weight.shape[1], weight.shape[0], 3, layer.stride, 1, bias=bias is not None)
            plain.weight = nn.Parameter(weight.clone())
        else:
            plain = nn.Linear(*weight.shape, bias=bias is not None)
            plain.weight = nn.Parameter(weight.T.clone())
        if bias is not None:
            plain.bias = nn.Parameter(bias.detach()[r].clone())
        return plain

    def forward(self, x: Tensor) -> Tensor:
        self.z, self.a, self.h = [], [], []
        x = x.flatten(1) if self.flat else x
        for weighted, norm, activation in zip(self.weighted, self.norms, self.activations, strict=True):
            z = norm(weighted(x))
            a = activation(z)
            x = a + x if self.residual and len(self.z) > 0 else a
            self.z.append(z)
            self.a.append(a)
            self.h.append(x)
        return self.output(x if self.flat else x.mean(dim=(-2, -1)))


def slope_of(activation: nn.Module, z: Tensor) -> Tensor:
    """phi'(z) in closed form."""
    if isinstance(activation, nn.Sigmoid):
        return torch.sigmoid(z) * (1 - torch.sigmoid(z))
    if isinstance(activation, nn.Tanh):
        return 1 - torch.tanh(z) ** 2
    if isinstance(activation, nn.ReLU):
        return (z > 0).to(z.dtype)
    return torch.where(z > 0, torch.ones_like(z), torch.exp(z))


def rms(x: Tensor) -> float:
    return float((x.detach() ** 2).mean().sqrt())


def dead_fractions(network: Reference, images: Tensor) -> list[float]:
    network.eval()
    with torch.no_grad():
        network(images)
    network.train()
    slopes = [slope_of(*pair) for pair in zip(network.activations, network.z, strict=True)]
    largest = [slope.abs().transpose(0, 1).flatten(1).amax(dim=1) for slope in slopes]
    return [float((each < 1e-3).double().mean()) for each in largest]


def probe_by_hand(module: PopulationModule, batches: list[Batch], probe_images: Tensor) -> dict[str, Tensor]:
    """Train a plain network for each replica and measure every series, (R, S, L), with autograd alone."""
    config = module.config
    replicas: list[dict[str, list[list[float]]]] = []
    for r in range(module.num_replicas):
        network = Reference(module, r)
        optimiser = torch.optim.SGD(network.parameters(), config.optimiser.lr, config.optimiser.momentum)
        start = [layer.weight.detach().clone() for layer in network.weighted]
        series: dict[str, list[list[float]]] = {}

        def keep(name: str, values: list[float], series: dict[str, list[list[float]]] = series) -> None:
            series.setdefault(name, []).append(values)

        keep("dead_fraction", dead_fractions(network, probe_images))
        for images, labels in batches:
            before = [layer.weight.detach().clone() for layer in network.weighted]
            optimiser.zero_grad()
            logits = network(images[r])
            loss = F.cross_entropy(logits, labels[r])
            keep(
                "gradient_rms", [rms(gradient) for gradient in torch.autograd.grad(loss, network.z, retain_graph=True)]
            )
            loss.backward()
            slopes = [slope_of(*pair) for pair in zip(network.activations, network.z, strict=True)]
            keep("derivative_rms", [rms(slope) for slope in slopes])
            bound = 0.1 * network.max_derivative
            keep("saturated_fraction", [float((slope.abs() < bound).double().mean()) for slope in slopes])
            keep("signal_rms", [rms(h) for h in network.h])
            keep("signal_mean", [float(h.mean()) for h in network.h])
            keep("weight_rms", [rms(weight) for weight in before])
            keep("weight_grad_norm_before_clip", [float(layer.weight.grad.norm()) for layer in network.weighted])
            if network.weighted[0].bias is not None:
                keep("bias_grad_norm", [float(layer.bias.grad.norm()) for layer in network.weighted])
            if config.clipping.kind == "norm":
                nn.utils.clip_grad_norm_(network.parameters(), config.clipping.threshold)
            keep("weight_grad_norm_after_clip", [float(layer.weight.grad.norm()) for layer in network.weighted])
            optimiser.step()
            after = [layer.weight.detach() for layer in network.weighted]
            moved = [float((a - b).norm() / b.norm()) for a, b in zip(after, before, strict=True)]
            keep("update_ratio", moved)
            keep("travel", [float((a - b).norm() / b.norm()) for a, b in zip(after, start, strict=True)])
        keep("dead_fraction", dead_fractions(network, probe_images))
        replicas.append(series)
    return {name: torch.tensor([series[name] for series in replicas], dtype=torch.float64) for name in replicas[0]}


class Lab:
    """What the tests of the probes build."""

    seeds = SEEDS
    shape = SHAPE
    Loader = Loader
    probe_by_hand = staticmethod(probe_by_hand)

    @staticmethod
    def batches(count: int, seed: int = 0, replicas: int = len(SEEDS), dtype: Any = torch.float64) -> list[Batch]:
        generator = torch.Generator().manual_seed(seed)
        return [
            (
                torch.randn(replicas, B, *SHAPE, dtype=torch.float64, generator=generator).to(dtype),
                torch.randint(0, K, (replicas, B), generator=generator),
            )
            for _ in range(count)
        ]

    @staticmethod
    def probe_images() -> Tensor:
        return torch.randn(7, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    @staticmethod
    def module(seeds: list[int] = SEEDS, probe: bool = True, **sections: dict[str, Any]) -> PopulationModule:
        model = {"depth": 3, "width": 5, "activation": "tanh"} | sections.pop("model", {})
        config = ArmConfig.model_validate({"model": model, **sections})
        network = build_model(config.model, SHAPE, K, seeds).double()
        return PopulationModule(network, config, len(seeds), Lab.probe_images() if probe else None)

    @staticmethod
    def trainer(*callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        quiet |= {"enable_model_summary": False, "num_sanity_val_steps": 0}
        return pl.Trainer(accelerator="cpu", callbacks=list(callbacks), **({"max_epochs": 1} | quiet | settings))

    @staticmethod
    def probes(every: int | None = 1) -> tuple[Recorder, list[pl.Callback]]:
        """The set of probes that an arm is trained with."""
        recorder = Recorder(every)
        probes = [rule(recorder=recorder) for rule in (GradientProbe, ActivationProbe, WeightProbe)]
        return recorder, [*probes, recorder]

    @staticmethod
    def run(
        module: pl.LightningModule,
        batches: list[Batch],
        *callbacks: pl.Callback,
        checkpoint: Any = None,
        **settings: Any,
    ) -> pl.Trainer:
        trainer = Lab.trainer(*callbacks, **settings)
        trainer.fit(module, Loader(batches), ckpt_path=checkpoint, weights_only=True)
        return trainer


@pytest.fixture
def lab() -> type[Lab]:
    return Lab
