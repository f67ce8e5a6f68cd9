"""The three probes together, against autograd by hand on plain networks with the same weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.callbacks import recorder as recorder_file
from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.nn.replicate import replicate
from vgtemplate.training.module import PopulationModule

SEEDS = [4, 11]
R, B, SHAPE, CLASSES = 2, 16, (1, 4, 4), 3
LR, MAX_NORM = 0.05, 0.02
Batches = list[tuple[Tensor, Tensor]]


class Loader:
    """Batches in memory; Lightning would take a plain list for a list of loaders."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def draw_batches(number: int) -> Batches:
    generator = torch.Generator().manual_seed(5)
    return [
        (
            torch.randn(R, B, *SHAPE, generator=generator, dtype=torch.float64),
            torch.randint(CLASSES, (R, B), generator=generator),
        )
        for _ in range(number)
    ]


def config(depth: int = 3, activation: str = "tanh") -> ArmConfig:
    return ArmConfig.model_validate(
        {
            "model": {"depth": depth, "width": 6, "activation": activation, "bias": "normal"},
            "optimiser": {"lr": LR},
            "clipping": {"kind": "norm", "threshold": MAX_NORM},
        }
    )


def trainer(callbacks: list[pl.Callback], steps: int, **settings: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    settings = {"logger": False} | settings
    return pl.Trainer(accelerator="cpu", max_steps=steps, max_epochs=-1, callbacks=callbacks, **quiet, **settings)


def run(
    steps: int, every: int, activation: str = "tanh", depth: int = 3
) -> tuple[Recorder, PopulationModule, Batches, Tensor, dict[str, Tensor]]:
    arm = config(depth, activation)
    model = build_model(arm.model, SHAPE, CLASSES, SEEDS).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    module = PopulationModule(model, arm, R, images)
    batches, recorder = draw_batches(steps), Recorder(every)
    probes = [probe(recorder=recorder) for probe in (GradientProbe, ActivationProbe, WeightProbe)]
    trainer([*probes, recorder], steps).fit(module, Loader(batches))
    return recorder, module, batches, images, start


def forward_by_hand(weights: list[Tensor], biases: list[Tensor], x: Tensor, phi: Any) -> tuple[list[Tensor], ...]:
    h, zs, hs = x.flatten(1), [], []
    for weight, bias in zip(weights, biases, strict=True):
        zs.append(h @ weight + bias)
        h = phi(zs[-1])
        hs.append(h)
    return zs, hs


def step_by_hand(
    weights: list[Tensor], biases: list[Tensor], last: list[Tensor], batch: tuple[Tensor, Tensor], phi: Any
) -> dict[str, list[Tensor]]:
    """Measure one step of a plain network, and take it: the parameters are changed in place."""
    parameters = [tensor.requires_grad_() for tensor in (*weights, *biases, *last)]
    zs, hs = forward_by_hand(weights, biases, batch[0], phi)
    loss = F.cross_entropy(hs[-1] @ last[0] + last[1], batch[1])
    gradients = torch.autograd.grad(loss, [*zs, *parameters])
    of_z, of_parameters = gradients[: len(zs)], gradients[len(zs) :]
    scale = min(1.0, MAX_NORM / (float(torch.cat([g.flatten() for g in of_parameters]).norm()) + 1e-6))
    slopes = [torch.autograd.grad(phi(z).sum(), z)[0] for z in zs]
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, of_parameters, strict=True):
            parameter -= LR * scale * gradient
    for parameter in parameters:
        parameter.requires_grad_(False)
    depth = len(zs)
    return {
        "gradient_rms": [g.square().mean().sqrt() for g in of_z],
        "weight_grad_norm_before_clip": [g.norm() for g in of_parameters[:depth]],
        "weight_grad_norm_after_clip": [g.norm() * scale for g in of_parameters[:depth]],
        "bias_grad_norm": [g.norm() for g in of_parameters[depth : 2 * depth]],
        "signal_rms": [h.square().mean().sqrt() for h in hs],
        "signal_mean": [h.mean() for h in hs],
        "derivative_rms": [slope.square().mean().sqrt() for slope in slopes],
        "saturated_fraction": [(slope.abs() < 0.1).double().mean() for slope in slopes],
        "weight_rms": [weight.square().mean().sqrt() for weight in before],
        "update_ratio": [(w - b).norm() / b.norm() for w, b in zip(weights, before, strict=True)],
    }


def by_hand(start: dict[str, Tensor], replica: int, batches: Batches, images: Tensor, phi: Any) -> list[Any]:
    """Train one plain network step by step and measure everything the probes claim to measure."""
    weights = [start[f"hidden_layers.{layer}.linear.weight"][replica].clone() for layer in range(3)]
    biases = [start[f"hidden_layers.{layer}.linear.bias"][replica].clone() for layer in range(3)]
    last = [start["output.weight"][replica].clone(), start["output.bias"][replica].clone()]
    initial, found = [weight.clone() for weight in weights], []
    for batch_images, batch_labels in batches:
        step = step_by_hand(weights, biases, last, (batch_images[replica], batch_labels[replica]), phi)
        travel = [(w - i).norm() / i.norm() for w, i in zip(weights, initial, strict=True)]
        found.append(step | {"travel": travel})
    return found


@pytest.mark.parametrize(("activation", "phi"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_every_series_equals_autograd_by_hand(activation: str, phi: Any) -> None:
    recorder, _, batches, images, start = run(steps=4, every=1, activation=activation)
    series = recorder.series()
    assert recorder.steps == [0, 1, 2, 3]
    for replica in range(R):
        expected = by_hand(start, replica, batches, images, phi)
        assert set(series) == set(expected[0])
        for name, array in series.items():
            rows = np.array([[float(value) for value in step[name]] for step in expected])
            np.testing.assert_allclose(array[replica], rows, rtol=1e-9, atol=1e-15, err_msg=name)


def test_step_zero_and_the_last_are_always_probed() -> None:
    assert run(steps=8, every=3)[0].steps == [0, 3, 6, 7]
    assert run(steps=2, every=100)[0].steps == [0, 1]


@pytest.mark.parametrize("depth", [1, 12])
def test_a_probed_step_costs_one_host_transfer_whatever_the_depth(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []
    outside: list[str] = []
    real = recorder_file.to_host

    def to_host(tensor: Tensor) -> Any:
        moved.append(tensor.numel())
        with monkeypatch.context() as patch:
            for name, method in originals.items():
                patch.setattr(Tensor, name, method)
            return real(tensor)

    originals = {name: getattr(Tensor, name) for name in ("item", "tolist", "numpy", "cpu", "__float__", "__bool__")}

    def forbid(name: str) -> Any:
        def method(self: Tensor, *arguments: Any) -> Any:
            moves_the_module = sys._getframe(1).f_code.co_filename.endswith("nn/modules/module.py")
            if self.dim() and not moves_the_module:  # Lightning takes the module off the device after the run
                outside.append(name)
            return originals[name](self, *arguments)

        return method

    monkeypatch.setattr(recorder_file, "to_host", to_host)
    for name in originals:
        monkeypatch.setattr(Tensor, name, forbid(name))
    recorder = run(steps=5, every=2, depth=depth)[0]
    assert len(moved) == len(recorder.steps) == 3
    assert moved == [11 * R * depth] * 3
    assert outside == []


def test_hooks_are_gone_after_the_run() -> None:
    _, module, *_ = run(steps=3, every=1)
    for child in module.modules():
        assert not child._forward_hooks
        assert not child._forward_pre_hooks


def functional_network() -> nn.Module:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(5, 7), nn.Linear(7, 6), nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.last(F.relu(self.second(F.relu(self.first(x)))))
            return logits

    return Functional()


def sequential_network(inplace: bool) -> nn.Module:
    activations = nn.ReLU(inplace), nn.ReLU(inplace)
    return nn.Sequential(nn.Linear(5, 7), activations[0], nn.Linear(7, 6), activations[1], nn.Linear(6, CLASSES))


class Ordinary(pl.LightningModule):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    "build",
    [lambda: sequential_network(False), lambda: sequential_network(True), functional_network],
    ids=["sequential", "in-place", "functional"],
)
def test_gradient_probe_works_on_any_lightning_module(build: Any, tmp_path: Any) -> None:
    torch.manual_seed(3)
    network = build().double()
    x, y = torch.randn(9, 5, dtype=torch.float64), torch.randint(CLASSES, (9,))
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    z1 = linears[0](x)
    z2 = linears[1](torch.relu(z1))
    logits = linears[2](torch.relu(z2))
    weights = [linear.weight for linear in linears]
    expected = torch.autograd.grad(F.cross_entropy(logits, y), [z1, z2, logits, *weights])
    probe = GradientProbe(every=1)
    logger = pl.loggers.CSVLogger(tmp_path)
    trainer([probe], steps=1, logger=logger).fit(Ordinary(network), Loader([(x, y)]))
    series = probe.recorder.series()
    rms = [float(gradient.square().mean().sqrt()) for gradient in expected[:3]]
    np.testing.assert_allclose(series["gradient_rms"][0, 0], rms, rtol=1e-12)
    norms = [float(gradient.norm()) for gradient in expected[3:]]
    np.testing.assert_allclose(series["weight_grad_norm_before_clip"][0, 0], norms, rtol=1e-12)
    logger.save()
    logged = next(iter(tmp_path.rglob("metrics.csv"))).read_text().splitlines()[0]
    assert f"gradient_rms/{probe.recorder.layers[0]}" in logged


def test_a_replica_that_diverges_leaves_the_other_bitwise_alone() -> None:
    def final(poison: bool) -> Iterator[Tensor]:
        arm = config()
        model = build_model(arm.model, SHAPE, CLASSES, SEEDS).double()
        if poison:
            with torch.no_grad():
                model.output.weight[0] = torch.nan
        module = PopulationModule(model, arm, R)
        trainer([], 5).fit(module, Loader(draw_batches(5)))
        for parameter in model.parameters():
            yield parameter.detach()

    for healthy, beside_nan in zip(final(False), final(True), strict=True):
        assert torch.equal(healthy[1], beside_nan[1])


@pytest.mark.parametrize("vectorise", [True, False])
def test_a_replicated_network_is_seen_per_replica(vectorise: bool) -> None:
    population = replicate(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3)), SEEDS, vectorise=vectorise
    )
    module = PopulationModule(population.double(), config(), R)
    (images, labels), *_ = batches = draw_batches(1)
    norms, profile, signal, saturated = [], [], [], []
    for replica in range(R):
        plain = population.replica(replica)
        z = plain[1](images[replica].flatten(1))
        h = torch.tanh(z)
        logits = plain[3](h)
        loss = F.cross_entropy(logits, labels[replica])
        gradients = torch.autograd.grad(loss, [plain[1].weight, plain[3].weight, z, logits])
        norms.append([float(gradient.norm()) for gradient in gradients[:2]])
        profile.append([float(gradient.square().mean().sqrt()) for gradient in gradients[2:]])
        signal.append([float(each.detach().square().mean().sqrt()) for each in (h, logits)])
        saturated.append(float((1 - h.detach() ** 2 < 0.1).double().mean()))
    recorder = Recorder(1)
    probes = [probe(recorder=recorder) for probe in (GradientProbe, ActivationProbe, WeightProbe)]
    trainer([*probes, recorder], 1).fit(module, Loader(batches))
    series = recorder.series()
    assert recorder.layers == ["1", "3"]
    np.testing.assert_allclose(series["weight_grad_norm_before_clip"][:, 0], norms, rtol=1e-9)
    np.testing.assert_allclose(series["gradient_rms"][:, 0], profile, rtol=1e-9)
    np.testing.assert_allclose(series["signal_rms"][:, 0], signal, rtol=1e-9)
    np.testing.assert_allclose(series["saturated_fraction"][:, 0, 0], saturated, rtol=1e-9)
    assert series["travel"].shape == (R, 1, 2)
