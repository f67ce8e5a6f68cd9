"""The probes on people's own LightningModules, without a replica axis, against autograd by hand."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.layers import find_layers
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.config.catalogue import ACTIVATIONS

IN, K, B = 6, 3, 8
IMAGE = (2, 6, 6)


def mlp(activation: Any) -> nn.Module:
    return nn.Sequential(
        nn.Linear(IN, 7), activation(), nn.Linear(7, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, K)
    )


class Functional(nn.Module):
    """A network whose activations are mere function calls."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(IN, 7), nn.Linear(7, 5), nn.Linear(5, 4)
        self.head = nn.Linear(4, K)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.fc1, self.fc2, self.fc3):
            x = F.relu(layer(x))
        return self.head(x)


class Shared(Functional):
    """A network that uses one activation module everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.fc1, self.fc2, self.fc3):
            x = self.relu(layer(x))
        return self.head(x)


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(IMAGE[0], 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3, 5),
        nn.Tanh(),
        nn.Linear(5, K),
    )


class Own(pl.LightningModule):
    """An ordinary LightningModule."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def weighted(network: nn.Module) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def make_batches(image: tuple[int, ...], count: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(B, *image, dtype=torch.float64, generator=generator),
            torch.randint(0, K, (B,), generator=generator),
        )
        for _ in range(count)
    ]


def by_hand(network: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Train and measure a copy whose activations do not work in place."""
    layers = weighted(network)
    series: dict[str, list[list[float]]] = {}
    for images, labels in batches:
        pre_activations: list[Tensor] = []
        handles = [
            layer.register_forward_hook(lambda *arguments, seen=pre_activations: seen.append(arguments[2]))
            for layer in layers
        ]
        loss = F.cross_entropy(network(images), labels)
        gradients = torch.autograd.grad(loss, pre_activations, retain_graph=True)
        network.zero_grad()
        loss.backward()
        series.setdefault("gradient_rms", []).append([float(g.square().mean().sqrt()) for g in gradients])
        norms = [float(layer.weight.grad.norm()) for layer in layers]
        series.setdefault("weight_grad_norm_before_clip", []).append(norms)
        series.setdefault("weight_grad_norm_after_clip", []).append(norms)
        series.setdefault("bias_grad_norm", []).append([float(layer.bias.grad.norm()) for layer in layers])
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
        for handle in handles:
            handle.remove()
    return {name: np.array(rows)[None] for name, rows in series.items()}


def out_of_place(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return network


BUILDERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "nn.ReLU": (lambda: mlp(nn.ReLU), (IN,)),
    "nn.ReLU in place": (lambda: mlp(lambda: nn.ReLU(inplace=True)), (IN,)),
    "nn.ELU in place": (lambda: mlp(lambda: nn.ELU(inplace=True)), (IN,)),
    "F.relu": (Functional, (IN,)),
    "one nn.ReLU for all": (Shared, (IN,)),
    "cnn": (cnn, IMAGE),
}


@pytest.mark.parametrize(("build", "image"), BUILDERS.values(), ids=BUILDERS)
def test_gradients_of_an_ordinary_network_are_autograds(build: Any, image: tuple[int, ...], lab: Any) -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(build())
    probe, batches = GradientProbe(every=1), make_batches(image)
    lab.run(Own(networks[0]), batches, probe)
    measured, expected = probe.recorder.series(), by_hand(out_of_place(networks[1].double()), batches)
    assert set(measured) == set(expected)
    for name, values in expected.items():
        assert values.shape == (1, 3, 4)
        np.testing.assert_allclose(measured[name], values, rtol=1e-10, err_msg=name)
    names = {module: name for name, module in Own(networks[0]).named_modules()}
    assert probe.recorder.layers == [names[layer] for layer in weighted(networks[0])]


def test_values_reach_the_trainers_logger(lab: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    probe = GradientProbe(every=2)
    logger = CSVLogger(tmp_path)
    lab.run(Own(mlp(nn.ReLU)), make_batches((IN,), 4), probe, logger=logger, log_every_n_steps=1)
    logger.save()
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        written = list(csv.DictReader(file))
    rows = {int(row["step"]): row for row in written}
    assert len(rows) == len(written)
    assert list(rows) == probe.recorder.steps == [0, 2, 3]
    for name, values in probe.recorder.series().items():
        for index, step in enumerate(probe.recorder.steps):
            for layer, value in zip(probe.recorder.layers, values[0, index], strict=True):
                assert float(rows[step][f"{name}/{layer}"]) == pytest.approx(value, rel=1e-6)
    assert probe.recorder.layers == ["network.0", "network.2", "network.4", "network.6"]


def test_logger_gets_the_median_over_the_replicas(lab: Any, tmp_path: Path) -> None:
    recorder, callbacks = lab.probes(1)
    logger = CSVLogger(tmp_path)
    lab.run(lab.module(), lab.batches(1), *callbacks, logger=logger, log_every_n_steps=1)
    logger.save()
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        (row,) = (row for row in csv.DictReader(file) if row["travel/layer_2"])
    expected = np.median(recorder.series()["travel"][:, 0, 1])
    assert float(row["travel/layer_2"]) == pytest.approx(expected, rel=1e-6)


CLOSED_FORMS: dict[str, tuple[Any, Any, Any]] = {
    "relu": (nn.ReLU, lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "elu": (nn.ELU, lambda z: np.where(z > 0, z, np.expm1(z)), lambda z: np.where(z > 0, 1, np.exp(z))),
    "tanh": (lambda inplace: nn.Tanh(), np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "silu": (
        nn.SiLU,
        lambda z: z / (1 + np.exp(-z)),
        lambda z: 1 / (1 + np.exp(-z)) + z * np.exp(-z) / (1 + np.exp(-z)) ** 2,
    ),
}


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_activations_of_an_ordinary_network_are_their_closed_forms(name: str, inplace: bool, lab: Any) -> None:
    rule, phi, slope = CLOSED_FORMS[name]
    torch.manual_seed(0)
    network, batches = mlp(lambda: rule(inplace=inplace)).double(), make_batches((IN,), 1)
    layers = [(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()) for layer in weighted(network)]
    probe = ActivationProbe(every=1)
    lab.run(Own(network), batches, probe)
    measured = probe.recorder.series()
    x = batches[0][0].numpy()
    for index, (weight, bias) in enumerate(layers[:-1]):
        z = x @ weight.T + bias
        x = phi(z)
        expected = {
            "signal_rms": np.sqrt(np.mean(x**2)),
            "signal_mean": x.mean(),
            "derivative_rms": np.sqrt(np.mean(slope(z) ** 2)),
            "saturated_fraction": np.mean(abs(slope(z)) < 0.1 * ACTIVATIONS[name].max_derivative),
            "dead_fraction": np.mean(abs(slope(z)).max(axis=0) < 1e-3),
        }
        assert set(measured) == set(expected)
        for key, value in expected.items():
            assert measured[key][0, 0, index] == pytest.approx(value, rel=1e-10), key


def test_weights_of_an_ordinary_network_are_followed(lab: Any) -> None:
    torch.manual_seed(0)
    network = cnn().double()
    before = [layer.weight.detach().clone() for layer in weighted(network)]
    probe = WeightProbe(every=1)
    lab.run(Own(network), make_batches(IMAGE, 1), probe)
    after = [layer.weight.detach() for layer in weighted(network)]
    series = probe.recorder.series()
    ratios = [float((a - b).norm() / b.norm()) for a, b in zip(after, before, strict=True)]
    np.testing.assert_allclose(series["update_ratio"][0, 0], ratios, rtol=1e-10)
    np.testing.assert_allclose(series["travel"][0, 0], ratios, rtol=1e-10)
    np.testing.assert_allclose(
        series["weight_rms"][0, 0], [float(b.square().mean().sqrt()) for b in before], rtol=1e-10
    )


def test_set_of_probes_changes_nothing_in_an_ordinary_network(lab: Any) -> None:
    states = []
    for watched in (False, True):
        torch.manual_seed(0)
        module = Own(nn.Sequential(*mlp(lambda: nn.ReLU(inplace=True))[:4], nn.Dropout(0.5), nn.Linear(5, K)))
        recorder = Recorder(1)
        probes = [rule(recorder=recorder) for rule in (GradientProbe, ActivationProbe, WeightProbe)]
        torch.manual_seed(1)
        lab.run(module, make_batches((IN,)), *([*probes, recorder] if watched else []))
        states.append(module.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_ordinary_network_has_no_hidden_layers_of_a_population() -> None:
    assert find_layers(Own(cnn())) == []
    network = Functional()
    network.hidden_layers = nn.ModuleList([network.fc1, network.fc2])
    assert find_layers(Own(network)) == []


def test_network_of_one_layer_is_seen(lab: Any) -> None:
    recorder = Recorder(1)
    probes = [rule(recorder=recorder) for rule in (GradientProbe, ActivationProbe, WeightProbe)]
    lab.run(Own(nn.Linear(IN, K)), make_batches((IN,), 1), *probes, recorder)
    assert recorder.layers == ["network"]
    assert {"gradient_rms", "signal_rms", "update_ratio"} <= set(recorder.series())


def frozen() -> nn.Module:
    """A network whose hidden layers do not learn."""
    network = mlp(nn.ReLU)
    for layer in weighted(network)[:-1]:
        layer.requires_grad_(False)
    return network


@pytest.mark.parametrize("rule", [GradientProbe, ActivationProbe, WeightProbe])
@pytest.mark.parametrize("build", [lambda: nn.Linear(IN, K), Functional, frozen], ids=["one layer", "F.relu", "frozen"])
def test_probe_neither_ends_nor_changes_a_training(build: Any, rule: Any, lab: Any) -> None:
    states = []
    for watched in (False, True):
        torch.manual_seed(0)
        module = Own(build())
        lab.run(module, make_batches((IN,)), *([rule(every=1)] if watched else []))
        assert module.global_step == 3
        states.append(module.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
