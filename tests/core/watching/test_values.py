"""What is written down against autograd by hand: profiles, signals, mixed precision, time, optimisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.watching.networks import CLASSES, HIDDEN, IN, Attention, B, Block, Head, Lora, Tied, loss_of, mlp
from vgtemplate.watching.loop import watch
from vgtemplate.watching.measurements import Measurements
from vgtemplate.watching.rows import find_rows
from vgtemplate.watching.tally import time_slope

Batch = tuple[Tensor, Tensor]


def rms(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())


def draw(*shape: int) -> Batch:
    torch.manual_seed(5)
    return torch.randn(B, *shape, dtype=torch.float64), torch.randint(CLASSES, (B,))


def one_step(model: nn.Module, batch: Batch, optimiser: torch.optim.Optimizer | None = None) -> Measurements:
    optimiser = optimiser or torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimiser, every=1) as seen:
        loss_of(model, batch).backward()
        optimiser.step()
    return seen


def by_layer(seen: Measurements, name: str) -> dict[str, float]:
    values = seen.series()[name][0, 0]
    return {layer: float(value) for layer, value in zip(seen.layers, values, strict=True) if np.isfinite(value)}


def test_layers_stand_in_the_order_of_their_call_and_functions_count_as_modules_do() -> None:
    torch.manual_seed(0)
    model = Head().double()
    x, y = batch = draw(IN)
    z1 = model.first(x)
    h1 = torch.relu(z1)
    z2 = model.second(h1)
    h2 = torch.tanh(z2)
    logits = model.head(h2)
    gradients = torch.autograd.grad(F.cross_entropy(logits, y), [z1, z2, logits])
    seen = one_step(model, batch)
    assert seen.layers == ["first", "second", "head"]
    assert by_layer(seen, "gradient_rms") == pytest.approx(dict(zip(seen.layers, map(rms, gradients), strict=True)))
    assert by_layer(seen, "signal_rms") == pytest.approx({"first": rms(h1), "second": rms(h2), "head": rms(logits)})
    slopes = {"first": (z1 > 0).double(), "second": 1 - h2**2}
    assert by_layer(seen, "derivative_rms") == pytest.approx({name: rms(slope) for name, slope in slopes.items()})
    low = {name: float((slope < 0.1).double().mean()) for name, slope in slopes.items()}
    assert by_layer(seen, "saturated_fraction") == pytest.approx(low)
    dead = {name: float((slope.amax(dim=0) < 1e-3).double().mean()) for name, slope in slopes.items()}
    assert by_layer(seen, "dead_fraction") == pytest.approx(dead)


def test_profile_is_taken_at_the_activations_input_after_normalisation_and_shortcut() -> None:
    torch.manual_seed(0)
    model = Block().double()
    x, y = batch = draw(3, 8, 8)
    first = model.bn1(model.conv1(x))
    second = model.bn2(model.conv2(F.relu(first))) + x
    logits = model.head(F.relu(second).mean(dim=(2, 3)))
    expected = torch.autograd.grad(F.cross_entropy(logits, y), [first, second, logits])
    found = by_layer(one_step(model, batch), "gradient_rms")
    assert [found[name] for name in ("conv1", "conv2", "head")] == pytest.approx([rms(each) for each in expected])
    assert found["bn1"] == pytest.approx(rms(expected[0]))


def test_channels_are_the_units_of_a_convolution_and_features_those_of_a_transformers_layer() -> None:
    conv = nn.Conv2d(1, 3, 1, bias=False).double()
    linear = nn.Linear(2, 3, bias=False).double()
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -1.0, 2.0]).view(3, 1, 1, 1))
        linear.weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0]]))
    picture, text = torch.rand(2, 1, 4, 4, dtype=torch.float64) + 0.1, torch.rand(2, 5, 2, dtype=torch.float64) + 0.1
    for model, x in ((nn.Sequential(conv, nn.ReLU()), picture), (nn.Sequential(linear, nn.ReLU()), text)):
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        with watch(model, optimiser, every=1) as seen:
            model(x).sum().backward()
            optimiser.step()
        assert by_layer(seen, "dead_fraction") == pytest.approx({"0": 1 / 3})


def test_weights_before_and_after_a_clip_and_how_far_they_move() -> None:
    torch.manual_seed(0)
    model = mlp(nn.Tanh).double()
    batch = draw(IN)
    loss_of(model, batch).backward()
    layers = {name: model.get_submodule(name) for name in ("0", "2", "4")}
    norms = {name: float(layer.weight.grad.norm()) for name, layer in layers.items()}
    biases = {name: float(layer.bias.grad.norm()) for name, layer in layers.items()}
    model.zero_grad()
    start = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, foreach=True)
    with watch(model, optimiser, every=1) as seen:
        for _ in range(2):
            optimiser.zero_grad()
            loss_of(model, batch).backward()
            total = nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimiser.step()
    assert by_layer(seen, "weight_grad_norm_before_clip") == pytest.approx(norms)
    assert by_layer(seen, "bias_grad_norm") == pytest.approx(biases)
    factor = 1e-3 / (np.sqrt(sum(each**2 for each in (*norms.values(), *biases.values()))) + 1e-6)
    after = by_layer(seen, "weight_grad_norm_after_clip")
    assert after == pytest.approx({name: norm * factor for name, norm in norms.items()})
    assert total > 1e-3
    moved = {name: float((layers[name].weight - start[name]).norm() / start[name].norm()) for name in layers}
    travel = seen.series()["travel"][0, 1]
    assert dict(zip(seen.layers, travel, strict=True)) == pytest.approx(moved)
    assert by_layer(seen, "weight_rms") == pytest.approx({name: rms(weight) for name, weight in start.items()})


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscales", [False, True])
def test_gradients_under_mixed_precision_are_the_true_ones(fused: bool, unscales: bool) -> None:
    """A scale is a power of two, so that it leaves no trace where it is taken out again."""

    def steps(scaler: Any) -> Measurements:
        torch.manual_seed(0)
        model = mlp().float()
        optimiser = torch.optim.SGD(model.parameters(), 0.1, fused=fused)
        x, y = draw(IN)
        with watch(model, optimiser, every=1) as seen:
            for _ in range(2):
                optimiser.zero_grad()
                loss = loss_of(model, (x.float(), y))
                if scaler is None:
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 0.1) if unscales else None
                    optimiser.step()
                    continue
                scaler.scale(loss).backward()
                if unscales:
                    scaler.unscale_(optimiser)
                    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                scaler.step(optimiser)
                scaler.update()
        return seen

    plain, scaled = steps(None), steps(torch.amp.GradScaler("cpu", init_scale=2.0**12))
    assert plain.steps == scaled.steps == [0, 1]
    assert plain.series().keys() == scaled.series().keys()
    for name, values in plain.series().items():
        np.testing.assert_allclose(scaled.series()[name], values, rtol=1e-5, err_msg=name)


def test_step_that_mixed_precision_skips_is_not_mixed_with_the_next() -> None:
    torch.manual_seed(0)
    model = mlp().float()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    x, y = draw(IN)
    with watch(model, optimiser, every=1) as seen:
        for _ in range(3):
            optimiser.zero_grad()
            scaler.scale(1e6 * loss_of(model, (x.float(), y))).backward()
            scaler.step(optimiser)
            scaler.update(2.0**4)
    assert np.isfinite(seen.series()["weight_grad_norm_before_clip"]).all()
    gradients = seen.series()["gradient_rms"][0]
    assert np.isfinite(gradients).all()


CELLS: dict[str, tuple[Callable[..., nn.Module], Callable[..., Any]]] = {
    "lstm": (nn.LSTM, torch.lstm_cell),
    "gru": (nn.GRU, torch.gru_cell),
    "rnn": (nn.RNN, torch.rnn_tanh_cell),
}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_gradient_over_time_is_that_of_the_recurrence_by_hand(name: str, layers: int, batch_first: bool) -> None:
    rule, cell = CELLS[name]
    torch.manual_seed(0)
    rnn = rule(IN, HIDDEN, num_layers=layers, batch_first=batch_first).double()
    length = 6
    x = torch.randn(length, B, IN, dtype=torch.float64)
    goal = torch.randn(B, HIDDEN, dtype=torch.float64)
    inputs, hidden = list(x), []
    for layer in range(layers):
        weights = [rnn.get_parameter(f"{part}_l{layer}") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        zeros = torch.zeros(B, HIDDEN, dtype=torch.float64)
        state: Any = (zeros, zeros) if name == "lstm" else zeros
        outputs = []
        for step in inputs:
            state = cell(step, state, *weights)
            outputs.append(state[0] if name == "lstm" else state)
            outputs[-1].retain_grad()
        hidden.append(outputs)
        inputs = outputs
    (inputs[-1] - goal).square().mean().add(inputs[2].sum() / 9).backward()
    optimiser = torch.optim.SGD(rnn.parameters(), 0.1)
    with watch(rnn, optimiser, every=1) as seen:
        out, _ = rnn(x.transpose(0, 1) if batch_first else x)
        steps = out.transpose(0, 1) if batch_first else out
        optimiser.zero_grad()
        (steps[-1] - goal).square().mean().add(steps[2].sum() / 9).backward()
        optimiser.step()
    for layer in range(layers):
        profile = seen.over_time[f"weight_hh_l{layer}"][0]
        assert profile.tolist() == pytest.approx([rms(h.grad) for h in hidden[layer]], rel=1e-9)
        slope = by_layer(seen, "time_slope")[f"weight_hh_l{layer}"]
        assert slope == pytest.approx(time_slope(profile))


def test_slope_over_time_is_negative_where_the_gradient_vanishes_on_its_way_back() -> None:
    assert time_slope(10.0 ** np.arange(5)) == pytest.approx(-1)
    assert time_slope(np.array([0.0, 1.0, 2.0])) == -np.inf
    assert np.isnan(time_slope(np.array([1.0, np.nan, 2.0])))


def test_tied_weight_stands_once_with_both_names() -> None:
    seen = one_step(Tied().double(), (torch.randint(20, (B, 5)), draw(IN)[1]))
    assert seen.layers == ["embedding = out", "mix"]


def test_projections_of_an_attention_are_seen_though_nobody_calls_them() -> None:
    torch.manual_seed(0)
    model = Attention().double()
    batch = draw(5, IN)
    loss_of(model, batch).backward()
    expected = {
        "attention.in_proj_weight": float(model.attention.in_proj_weight.grad.norm()),
        "attention.out_proj": float(model.attention.out_proj.weight.grad.norm()),
    }
    model.zero_grad()
    found = by_layer(one_step(model, batch), "weight_grad_norm_before_clip")
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_adapter_is_told_apart_from_the_frozen_layer_beside_it() -> None:
    torch.manual_seed(0)
    seen = one_step(Lora().double(), draw(IN))
    assert set(by_layer(seen, "update_ratio")) == {"a", "head"}  # b begins at zero, and has no size to compare with
    assert by_layer(seen, "weight_grad_norm_before_clip")["b"] > 0
    assert by_layer(seen, "weight_grad_norm_before_clip")["a"] == 0
    assert "base" in by_layer(seen, "signal_rms")
    assert any(note.startswith("frozen") and "base" in note for note in seen.notes)


def test_each_optimiser_is_given_its_own_losss_gradient() -> None:
    """A GAN: what the generator's loss sends through the discriminator is no gradient of the discriminator."""
    torch.manual_seed(0)
    generator, critic = nn.Linear(4, IN).double(), mlp().double()
    model = nn.ModuleDict({"generator": generator, "critic": critic})
    optimisers = [torch.optim.SGD(each.parameters(), 0.1) for each in (critic, generator)]
    noise, (real, _) = torch.randn(B, 4, dtype=torch.float64), draw(IN)

    def critic_loss() -> Tensor:
        return (critic(generator(noise).detach()) - critic(real)).mean()

    critic_loss().backward()
    expected = float(critic[0].weight.grad.norm())
    critic.zero_grad()
    with watch(model, optimisers, every=1) as seen:
        for _ in range(2):
            for optimiser, loss in zip(
                optimisers, (critic_loss, lambda: -critic(generator(noise)).mean()), strict=True
            ):
                model.zero_grad()
                loss().backward()
                optimiser.step()
    assert seen.steps == [0, 1]
    found = by_layer(seen, "weight_grad_norm_before_clip")
    assert found["critic.0"] == pytest.approx(expected)
    assert found["generator"] > 0
    assert np.isfinite(seen.series()["update_ratio"]).all()


def test_optimiser_with_a_closure_is_seen_after_it() -> None:
    def train(watched: bool) -> tuple[nn.Module, Measurements | None]:
        torch.manual_seed(0)
        model = mlp(nn.Tanh).double()
        optimiser = torch.optim.LBFGS(model.parameters(), max_iter=4)
        batch = draw(IN)

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        if not watched:
            optimiser.step(closure)
            return model, None
        with watch(model, optimiser, every=1) as seen:
            optimiser.step(closure)
        return model, seen

    (plain, _), (watched, seen) = train(False), train(True)
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), watched.parameters(), strict=True))
    assert seen is not None
    assert np.isfinite(seen.series()["weight_grad_norm_after_clip"]).all()
    assert (seen.series()["update_ratio"] > 0).all()


def test_only_each_so_many_steps_are_seen_and_a_validation_between_them_is_not() -> None:
    torch.manual_seed(0)
    model = mlp().double()
    batch = draw(IN)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    signals = []
    with watch(model, optimiser, every=3) as seen:
        for _ in range(8):
            optimiser.zero_grad()
            signals.append(rms(torch.relu(F.linear(batch[0], model[0].weight, model[0].bias))))
            loss_of(model, batch).backward()
            with torch.no_grad():
                model(100 * batch[0])
            optimiser.step()
    assert seen.steps == [0, 3, 6]
    assert seen.series()["signal_rms"].shape == (1, 3, 3)
    first = seen.series()["signal_rms"][0, :, seen.layers.index("0")]
    assert first.tolist() == pytest.approx([signals[step] for step in seen.steps])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []


def test_block_that_fails_leaves_nothing_behind() -> None:
    model = mlp().double()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)

    def fail() -> None:
        with watch(model, optimiser):
            loss_of(model, draw(IN)).backward()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())


def test_network_whose_forward_fails_is_left_as_it_was() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(IN, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            self.layer(x)
            raise ArithmeticError

    model = Fails()
    with watch(model, torch.optim.SGD(model.parameters(), 0.1)), pytest.raises(ArithmeticError):
        model(torch.randn(2, IN))
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_mode_of_the_users_own_is_never_taken_away() -> None:
    model = mlp()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimiser, every=1), torch.device("cpu"):
        before = torch.overrides._get_current_function_mode_stack()
        for _ in range(3):
            loss_of(model, (torch.randn(B, IN), torch.randint(CLASSES, (B,)))).backward()
            optimiser.step()
        assert torch.overrides._get_current_function_mode_stack() == before


def test_what_cannot_be_measured_is_said_and_the_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Tensor:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("vgtemplate.watching.flow.derivative", broken)
    torch.manual_seed(0)
    seen = one_step(mlp().double(), draw(IN))
    assert "derivative_rms" not in seen.series()
    assert "gradient_rms" in seen.series()
    assert [note for note in seen.notes if "no such thing" in note]


@pytest.mark.parametrize(("settings", "words"), [({"every": 0}, "every: 0"), ({"looks": ["gradient"]}, "'gradient'")])
def test_wrong_settings_are_refused_in_a_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words), watch(mlp(), **settings):
        pass


def test_no_look_waits_for_the_device_before_the_step_is_over() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Waits(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.count += func.overloadpacket is torch.ops.aten._local_scalar_dense
            return func(*args, **(kwargs or {}))

    model = mlp(nn.GELU)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with Waits() as waits, watch(model, optimiser, every=1):
        for _ in range(3):
            loss_of(model, (torch.randn(B, IN), torch.randint(CLASSES, (B,)))).backward()
            optimiser.step()
    assert waits.count == 0


def test_every_weight_of_a_network_has_one_row() -> None:
    from tests.core.watching.networks import NETWORKS

    for name, kind in NETWORKS.items():
        model = kind.build()
        rows = find_rows(model)
        found = [parameter for row in rows for parameter in (row.weight, row.bias) if parameter is not None]
        expected = [each for each in model.parameters() if not nn.parameter.is_lazy(each)]
        assert sorted(map(id, found)) == sorted(map(id, expected)), name
        assert len({row.name for row in rows}) == len(rows), name
