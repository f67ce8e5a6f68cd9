"""The turn of a layer's gradient, against plain networks, against closed forms, and without a trace."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.gradient_change import GradientChangeProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.nn.noise import Noise
from vgtemplate.nn.replicate import replicate
from vgtemplate.training.module import PopulationModule

STEPS = 4


def changes(lab: Any, module: pl.LightningModule, every: int = 1, steps: int = STEPS) -> np.ndarray:
    probe = GradientChangeProbe(every)
    lab.run(module, lab.batches(steps, replicas=module.num_replicas), probe)
    return probe.recorder.series()["gradient_change"]


def plain_network(module: Any, r: int) -> nn.Sequential:
    """Replica r of an MLP: one nn.Sequential per hidden layer, and the output layer."""
    settings = module.config.model
    layers: list[nn.Module] = []
    for layer in [*(hidden.linear for hidden in module.model.hidden_layers), module.model.output]:
        linear = nn.Linear(*layer.weight.shape[1:])
        linear.weight.data = layer.weight.detach()[r].T.clone()
        linear.bias.data = layer.bias.detach()[r].clone()
        activation = nn.PReLU() if settings.activation == "prelu" else nn.Tanh()
        norm = [nn.BatchNorm1d(linear.out_features)] * (settings.norm == "batch")
        layers.append(nn.Sequential(linear, *norm, activation))
    return nn.Sequential(*layers[:-1], layers[-1][0]).double()


def gradient_of(network: nn.Sequential, index: int, x: Tensor, labels: Tensor) -> Tensor:
    network = copy.deepcopy(network)
    network.zero_grad()
    F.cross_entropy(network(x), labels).backward()
    return network[index][0].weight.grad


def changes_by_hand(module: Any, batches: Any, lr: float, max_norm: float | None) -> np.ndarray:
    """Definition 2.1 of Santurkar et al. with one deep copy per layer: old layers, the new ones put in from below."""
    replicas = []
    for r in range(module.num_replicas):
        network = plain_network(module, r)
        optimiser = torch.optim.SGD(network.parameters(), lr, momentum=0.9)
        rows = []
        for images, labels in batches:
            x, y = images[r].flatten(1), labels[r]
            before = copy.deepcopy(network)
            optimiser.zero_grad()
            F.cross_entropy(network(x), y).backward()
            if max_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), max_norm)
            optimiser.step()
            row = []
            for index in range(len(before) - 1):
                mixed = nn.Sequential(*copy.deepcopy(network)[:index], *copy.deepcopy(before)[index:])
                gradient = gradient_of(before, index, x, y)
                row.append(float((gradient_of(mixed, index, x, y) - gradient).norm() / gradient.norm()))
            rows.append(row)
        replicas.append(rows)
    return np.array(replicas)


@pytest.mark.parametrize(
    ("activation", "norm", "max_norm"),
    [("tanh", "none", None), ("tanh", "batch", 0.1), ("prelu", "none", 0.1), ("prelu", "batch", None)],
)
def test_change_is_that_of_plain_networks(activation: str, norm: str, max_norm: float | None, lab: Any) -> None:
    clipping = {} if max_norm is None else {"clipping": {"kind": "norm", "threshold": max_norm}}
    module = lab.module(
        model={"norm": norm, "depth": 4, "bias": "normal", "activation": activation},
        optimiser={"lr": 0.3, "momentum": 0.9},
        **clipping,
    )
    expected = changes_by_hand(module, lab.batches(STEPS), 0.3, max_norm)
    found = changes(lab, module)
    assert found.shape == (3, STEPS, 4)
    assert (found[:, :, 0] == 0).all()
    assert (found[:, :, 1:] > 1e-4).all()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


class Doubling(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        for parameter in self.param_groups[0]["params"]:
            parameter *= 2
        return loss


def test_linear_network_whose_weights_double(lab: Any) -> None:
    """With a loss linear in the outputs G_i is a multiple of the product of the weights below: 2^(i-1) - 1."""
    module = lab.module(model={"activation": "identity", "bias": "zeros", "depth": 5})
    module.configure_optimizers = lambda: Doubling(module.parameters(), {})
    module.replica_losses = lambda batch: module(batch[0]).flatten(1).sum(dim=1)
    np.testing.assert_allclose(changes(lab, module), np.tile([0, 1, 3, 7, 15], (3, STEPS, 1)), rtol=1e-10)


def test_step_that_moves_nothing_changes_no_gradient_whatever_the_noise(lab: Any) -> None:
    model = {"activation": "rrelu", "dropout": 0.4, "norm": "batch", "depth": 4}
    module = lab.module(model=model)
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
    assert (changes(lab, module) == 0).all()


class Kept(pl.Callback):
    """Compares the probe's gradient of step t with the one that the training made of the same batch and noise."""

    def __init__(self, probe: GradientChangeProbe) -> None:
        self.probe, self.matches = probe, 0
        recompute = probe._gradients

        def watch(pl_module: Any, state: Any, names: Any) -> Any:
            found = recompute(pl_module, state, names)
            if len(names) == len(probe._weights):
                for name, gradient in zip(names, found, strict=True):
                    torch.testing.assert_close(gradient, self.gradients[name], rtol=1e-12, atol=1e-15)
                self.matches += 1
            return found

        probe._gradients = watch  # type: ignore[method-assign]

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.gradients = {name: p.grad.clone() for name, p in pl_module.named_parameters()}


class Disturb(pl.Callback):
    """Passes another batch through the network between the step and the probe, as an evaluation would."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.score_over([batch])


def test_gradient_is_the_steps_own_before_clipping_with_its_noise(lab: Any) -> None:
    module = lab.module(
        model={"activation": "rrelu", "dropout": 0.4, "norm": "batch"}, clipping={"kind": "norm", "threshold": 1e-3}
    )
    probe = GradientChangeProbe(1)
    kept = Kept(probe)
    lab.run(module, lab.batches(3), Disturb(), kept, probe)
    assert kept.matches == 3


def test_zero_gradient_gives_nan(lab: Any) -> None:
    module = lab.module()
    module.model.output.weight.data[1] = 0
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
    found = changes(lab, module)
    assert (found[:, :, 0] == 0).all()
    assert np.isnan(found[1, :, 1:]).all()
    assert (found[[0, 2]] == 0).all()


def test_skipped_steps_change_no_value_that_is_measured(lab: Any) -> None:
    settings = {"model": {"norm": "batch", "dropout": 0.2}, "optimiser": {"lr": 0.3}}
    each, some = (changes(lab, lab.module(**settings), every, steps=6) for every in (1, 3))
    np.testing.assert_array_equal(some, each[:, [0, 3, 5]])


def test_replicas_are_alone(lab: Any) -> None:
    settings: dict[str, Any] = {"model": {"norm": "batch", "activation": "rrelu", "dropout": 0.3}}
    together = changes(lab, lab.module(**settings))
    for r, seed in enumerate(lab.seeds):
        probe = GradientChangeProbe(1)
        own = [(x[r : r + 1], y[r : r + 1]) for x, y in lab.batches(STEPS)]
        lab.run(lab.module([seed], **settings), own, probe)
        np.testing.assert_allclose(probe.recorder.series()["gradient_change"][0], together[r], rtol=1e-9, atol=1e-12)


def test_a_replica_that_diverges_leaves_the_others_alone(lab: Any) -> None:
    broken, whole = lab.module(), changes(lab, lab.module())
    broken.model.hidden_layers[0].linear.weight.data[1, 0, 0] = torch.nan
    found = changes(lab, broken)
    assert np.isnan(found[1, :, 1:]).all()
    np.testing.assert_array_equal(found[[0, 2]], whole[[0, 2]])


@pytest.mark.parametrize(
    "model",
    [
        {"norm": "batch", "activation": "rrelu", "dropout": 0.3},
        {"norm": "batch", "norm_position": "after", "activation": "prelu", "residual": True},
        {"kind": "cnn", "norm": "batch", "width": 3, "num_stages": 2, "activation": "rrelu"},
    ],
)
def test_the_probe_changes_nothing(model: dict[str, Any], lab: Any) -> None:
    states = []
    for callbacks in ([], [GradientChangeProbe(1)], [GradientChangeProbe(2)]):
        module = lab.module(model=model, optimiser={"name": "adam", "lr": 0.01})
        lab.run(module, lab.batches(5), *callbacks)
        assert all(child.training for child in module.modules())
        assert all(parameter.requires_grad for parameter in module.parameters())
        states.append(module.state_dict() | {f"grad of {n}": p.grad for n, p in module.named_parameters()})
    for watched in states[1:]:
        for name, tensor in states[0].items():
            assert torch.equal(tensor, watched[name]), name


def test_sources_of_noise_stay_at_their_step(lab: Any) -> None:
    steps: list[set[int]] = []

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            steps.append({child.step for child in pl_module.modules() if isinstance(child, Noise)})

    module = lab.module(model={"activation": "rrelu", "dropout": 0.3})
    lab.run(module, lab.batches(3), Disturb(), GradientChangeProbe(1), Look())
    assert steps == [{-1}] * 3


@pytest.mark.parametrize("change_first", [True, False])
def test_other_probes_see_the_training_only(change_first: bool, lab: Any) -> None:
    alone, together = Recorder(1), Recorder(1)
    others = [rule(recorder=alone) for rule in (GradientProbe, ActivationProbe)]
    lab.run(lab.module(), lab.batches(3), *others, alone)
    probes = [rule(recorder=together) for rule in (GradientChangeProbe, GradientProbe, ActivationProbe)]
    lab.run(lab.module(), lab.batches(3), *(probes if change_first else probes[::-1]), together)
    for name, values in alone.series().items():
        np.testing.assert_array_equal(together.series()[name], values, err_msg=name)


def test_a_module_without_hidden_layers_or_losses_is_refused(lab: Any) -> None:
    class Ordinary(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))

    class Lossless(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = lab.module().model

    network = replicate(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 4)), [0, 1])
    stacked = PopulationModule(network, lab.module().config, 2)
    for module, fault in (
        (Ordinary(), "a population with hidden_layers; Ordinary has none"),
        (stacked, "a population with hidden_layers; PopulationModule has none"),
        (Lossless(), "a LightningModule with replica_losses; Lossless lacks replica_losses"),
    ):
        with pytest.raises(ValueError, match=f"GradientChangeProbe needs {fault}"):
            GradientChangeProbe(1).on_fit_start(lab.trainer(), module)
