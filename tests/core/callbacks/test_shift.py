"""The drift of a layer's input, against plain networks, against closed forms, and without a trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.shift import ShiftProbe
from vgtemplate.nn.noise import Noise, set_step

STEPS = 4


class Scaling(torch.optim.Optimizer):
    """Multiplies every weight matrix by a factor, whatever its gradient."""

    def __init__(self, parameters: Iterator[nn.Parameter], factor: float) -> None:
        super().__init__(parameters, {"factor": factor})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() > 2:
                    parameter *= group["factor"]
        return loss


def scale_weights(module: pl.LightningModule, factor: float) -> None:
    module.configure_optimizers = lambda: Scaling(module.parameters(), factor)  # type: ignore[method-assign]


def shifts(lab: Any, module: pl.LightningModule, every: int = 1, steps: int = STEPS) -> np.ndarray:
    probe = ShiftProbe(every)
    lab.run(module, lab.batches(steps, replicas=module.num_replicas), probe)
    return probe.recorder.series()["input_shift"]


def plain_network(module: Any, r: int, norm: bool) -> nn.Sequential:
    """Replica r of a tanh MLP: one nn.Sequential per hidden layer, and the output layer."""
    parts: list[nn.Module] = []
    for layer in [*(hidden.linear for hidden in module.model.hidden_layers), module.model.output]:
        linear = nn.Linear(*layer.weight.shape[1:]).double()
        linear.weight.data = layer.weight.detach()[r].T.clone()
        linear.bias.data = layer.bias.detach()[r].clone()
        parts.append(linear)
    hidden = [
        nn.Sequential(linear, *([nn.BatchNorm1d(linear.out_features).double()] * norm), nn.Tanh())
        for linear in parts[:-1]
    ]
    return nn.Sequential(*hidden, parts[-1])


def moments_by_hand(network: nn.Sequential, images: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """NumPy's mean and deviation of the input of layers 2 to L, in training mode, on a copy of the network."""
    h, found = images.flatten(1), []
    for layer in list(copy.deepcopy(network))[:-2]:
        h = layer(h)
        found.append((h.detach().numpy().mean(axis=0), h.detach().numpy().std(axis=0)))
    return found


def shifts_by_hand(module: Any, batches: Any, images: Tensor, norm: bool, lr: float) -> np.ndarray:
    replicas = []
    for r in range(module.num_replicas):
        network = plain_network(module, r, norm)
        optimiser = torch.optim.SGD(network.parameters(), lr)
        rows = []
        for x, labels in batches:
            before = moments_by_hand(network, images)
            optimiser.zero_grad()
            F.cross_entropy(network(x[r].flatten(1)), labels[r]).backward()
            optimiser.step()
            row = [0.0]
            for (mu, sigma), (mu_after, sigma_after) in zip(before, moments_by_hand(network, images), strict=True):
                row.append(np.mean((abs(mu_after - mu) + abs(sigma_after - sigma)) / sigma))
            rows.append(row)
        replicas.append(rows)
    return np.array(replicas)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_shift_is_that_of_plain_networks(norm: str, lab: Any) -> None:
    settings = {"model": {"norm": norm, "depth": 4, "bias": "normal"}, "optimiser": {"lr": 0.5}}
    module = lab.module(**settings)
    expected = shifts_by_hand(module, lab.batches(STEPS), lab.probe_images(), norm == "batch", lr=0.5)
    found = shifts(lab, module)
    assert found.shape == (3, STEPS, 4)
    assert (found[:, :, 1:] > 1e-3).all()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_linear_network_whose_weights_double(lab: Any) -> None:
    """The input of layer l grows 2^(l-1) times, so it moves by (2^(l-1) - 1)(1 + |mu| / sigma)."""
    module = lab.module(model={"activation": "identity", "bias": "zeros"})
    scale_weights(module, 2.0)
    h, expected = lab.probe_images().flatten(1).numpy(), [np.zeros(3)]
    for number, hidden in enumerate(list(module.model.hidden_layers)[:-1], start=1):
        h = h @ hidden.linear.weight.detach().numpy()
        ratio = np.abs(h.mean(axis=1)) / h.std(axis=1)
        expected.append((2**number - 1) * (1 + ratio.mean(axis=1)))
    found = shifts(lab, module, steps=3)
    for step in range(3):  # in deviations, which double too: every step moves as far as the first
        np.testing.assert_allclose(found[:, step], np.stack(expected, axis=1), rtol=1e-10)


def test_batch_normalisation_takes_doubled_weights_back(lab: Any) -> None:
    module = lab.module(model={"activation": "identity", "norm": "batch", "bias": "zeros"})
    for hidden in module.model.hidden_layers:
        hidden.linear.weight.data *= 1e4  # beside which the eps of the normalisation vanishes
    scale_weights(module, 2.0)
    np.testing.assert_allclose(shifts(lab, module), 0.0, atol=1e-9)


def test_noise_after_the_norm_is_a_shift_even_where_the_weights_stay(lab: Any) -> None:
    """Layer 2's input at each step by hand: tanh of the noise of that step on the normalised pre-activations."""
    module = lab.module(model={"norm": "batch", "norm_noise": True, "norm_affine": False, "depth": 2})
    scale_weights(module, 1.0)
    found, hidden = shifts(lab, module), module.model.hidden_layers[0]
    h, moments = (
        lab.probe_images().flatten(1) @ hidden.linear.weight.detach() + hidden.linear.bias.detach()[:, None],
        [],
    )
    for step in range(STEPS + 1):
        set_step(hidden, step)
        z = (h - h.mean(dim=1, keepdim=True)) / (h.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
        x = torch.tanh(hidden.norm_before[1].train()(z)).numpy()
        moments.append((x.mean(axis=1), x.std(axis=1)))
    expected = [
        np.mean((abs(after[0] - before[0]) + abs(after[1] - before[1])) / before[1], axis=1)
        for before, after in pairwise(moments)
    ]
    np.testing.assert_allclose(found[:, :, 1], np.stack(expected, axis=1), rtol=1e-9)
    assert (found[:, :, 1] > 0.1).all()


def test_weights_that_stay_move_nothing_whatever_the_noise(lab: Any) -> None:
    module = lab.module(model={"activation": "rrelu", "dropout": 0.4, "norm": "batch", "depth": 4})
    scale_weights(module, 1.0)
    assert (shifts(lab, module) == 0).all()


def test_constant_units_are_left_out_and_a_constant_layer_has_no_shift(lab: Any) -> None:
    module = lab.module(model={"activation": "identity", "bias": "normal", "depth": 2})
    first = module.model.hidden_layers[0].linear
    with torch.no_grad():
        first.weight[0, :, 1:] = 0  # one unit left
        first.weight[1] = 0  # none left
        first.bias[0] = 0
    h = (lab.probe_images().flatten(1) @ first.weight.detach()[0, :, 0]).numpy()
    scale_weights(module, 3.0)
    found = shifts(lab, module, steps=1)[:, 0]
    assert found[0, 1] == pytest.approx(2 * (1 + abs(h.mean()) / h.std()), rel=1e-10)
    assert np.isnan(found[1, 1])
    assert np.isfinite(found[2, 1])
    assert (found[:, 0] == 0).all()


def test_channels_are_a_convolutions_units(lab: Any) -> None:
    module = lab.module(model={"kind": "cnn", "activation": "identity", "bias": "zeros", "depth": 3, "num_stages": 1})
    scale_weights(module, 2.0)
    x = lab.probe_images()
    ratios = []
    for r in range(3):
        weight = module.model.hidden_layers[0].linear.weight.detach()[r]
        h = F.conv2d(x, weight, padding=1).transpose(0, 1).flatten(1).numpy()
        ratios.append(np.mean(1 + np.abs(h.mean(axis=1)) / h.std(axis=1)))
    np.testing.assert_allclose(shifts(lab, module)[:, 0, 1], ratios, rtol=1e-10)


def test_skipped_steps_change_no_value_that_is_measured(lab: Any) -> None:
    settings = {"model": {"norm": "batch", "dropout": 0.2, "activation": "relu"}, "optimiser": {"lr": 0.3}}
    each, some = (shifts(lab, lab.module(**settings), every, steps=6) for every in (1, 3))
    np.testing.assert_array_equal(some, each[:, [0, 3, 5]])


def test_consecutive_steps_share_a_measurement(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = lab.module(), []
    forward = module.forward
    monkeypatch.setattr(module, "forward", lambda images: calls.append(images.shape[1]) or forward(images))
    shifts(lab, module, steps=5)
    assert calls.count(len(lab.probe_images())) == 6


def test_replicas_are_alone(lab: Any) -> None:
    settings: dict[str, Any] = {"model": {"norm": "batch", "activation": "rrelu", "dropout": 0.3}}
    batches = lab.batches(STEPS)
    together = shifts(lab, lab.module(**settings))
    for r, seed in enumerate(lab.seeds):
        probe = ShiftProbe(1)
        own = [(x[r : r + 1], y[r : r + 1]) for x, y in batches]
        lab.run(lab.module([seed], **settings), own, probe)
        np.testing.assert_allclose(probe.recorder.series()["input_shift"][0], together[r], rtol=1e-9, atol=1e-12)


def test_a_replica_that_diverges_is_nan_and_alone(lab: Any) -> None:
    broken, whole = lab.module(), shifts(lab, lab.module())
    broken.model.hidden_layers[0].linear.weight.data[1, 0, 0] = torch.nan
    found = shifts(lab, broken)
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
    for callbacks in ([], [ShiftProbe(1)], [ShiftProbe(2)]):
        module = lab.module(model=model, optimiser={"name": "adam", "lr": 0.01})
        lab.run(module, lab.batches(5), *callbacks)
        assert all(child.training for child in module.modules())
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
    lab.run(module, lab.batches(3), ShiftProbe(1), Look())
    assert steps == [{0}, {1}, {2}]


@pytest.mark.parametrize("shift_first", [True, False])
def test_other_probes_see_the_training_batch_only(shift_first: bool, lab: Any) -> None:
    alone, together = Recorder(1), Recorder(1)
    lab.run(lab.module(), lab.batches(3), ActivationProbe(recorder=alone), alone)
    probes = [ShiftProbe(recorder=together), ActivationProbe(recorder=together)]
    lab.run(lab.module(), lab.batches(3), *(probes if shift_first else probes[::-1]), together)
    for name, values in alone.series().items():
        np.testing.assert_array_equal(together.series()[name], values, err_msg=name)


def test_a_module_without_probe_images_or_hidden_layers_is_refused(lab: Any) -> None:
    class Ordinary(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))

    needed = "a LightningModule with probe_images and num_replicas"
    with pytest.raises(ValueError, match=f"ShiftProbe needs {needed}; PopulationModule lacks probe_images$"):
        shifts(lab, lab.module(probe=False))
    with pytest.raises(ValueError, match="ShiftProbe needs a population with hidden_layers; Ordinary has none"):
        ShiftProbe(1).on_fit_start(lab.trainer(), Ordinary())
