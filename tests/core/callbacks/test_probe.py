"""When the probes look, and that they leave no trace: no other weights, no hooks, no graph, no other host transfers."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vgtemplate.callbacks import recorder as recorder_module
from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe


def hooks_of(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(child, kind)) for child in module.modules() for kind in kinds)


@pytest.mark.parametrize(
    ("every", "steps", "probed"),
    [
        (1, 4, [0, 1, 2, 3]),
        (3, 8, [0, 3, 6, 7]),
        (3, 7, [0, 3, 6]),
        (100, 5, [0, 4]),
        (100, 1, [0]),
        (None, 3, [0, 1, 2]),
    ],
)
def test_step_zero_each_so_many_and_the_last_are_probed(
    every: int | None, steps: int, probed: list[int], lab: Any
) -> None:
    recorder, callbacks = lab.probes(every)
    lab.run(lab.module(), lab.batches(steps), *callbacks)
    assert recorder.steps == probed
    for name, array in recorder.series().items():
        assert array.shape[1] == len(probed), name


@pytest.mark.slow
@pytest.mark.parametrize("steps", [49, 50, 51, 98, 130])
def test_without_a_cadence_there_are_at_most_fifty_probes(steps: int, lab: Any) -> None:
    recorder, callbacks = lab.probes(None)
    batches = lab.batches(1) * steps
    lab.run(lab.module(model={"depth": 1}, probe=False), batches, *callbacks)
    assert min(steps, 25) <= len(recorder.steps) <= 50
    assert recorder.steps[0] == 0
    assert recorder.steps[-1] == steps - 1


def test_steps_are_counted_over_epochs_and_limits(lab: Any) -> None:
    recorder, callbacks = lab.probes(4)
    lab.run(lab.module(), lab.batches(3), *callbacks, max_epochs=3)
    assert recorder.steps == [0, 4, 8]
    recorder, callbacks = lab.probes(4)
    lab.run(lab.module(), lab.batches(3), *callbacks, max_epochs=-1, max_steps=6)
    assert recorder.steps == [0, 4, 5]


@pytest.mark.parametrize("every", [0, -1])
@pytest.mark.parametrize("rule", [GradientProbe, ActivationProbe, WeightProbe, Recorder])
def test_cadence_below_one_is_refused(rule: type, every: int) -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        rule(every)


@pytest.mark.parametrize("rule", [GradientProbe, ActivationProbe, WeightProbe])
def test_probe_alone_measures_what_it_measures_in_the_set(rule: type, lab: Any) -> None:
    batches = lab.batches(3)
    recorder, callbacks = lab.probes()
    lab.run(lab.module(), batches, *callbacks)
    probe = rule(every=1)
    lab.run(lab.module(), batches, probe)
    alone = probe.recorder.series()
    assert probe.recorder.steps == [0, 1, 2]
    assert alone
    for name, values in alone.items():
        np.testing.assert_array_equal(values, recorder.series()[name], err_msg=name)


NETWORKS: dict[str, dict[str, dict[str, Any]]] = {
    "dropout": {"model": {"dropout": 0.3}},
    "rrelu": {"model": {"activation": "rrelu"}},
    "batch norm": {"model": {"norm": "batch"}, "optimiser": {"momentum": 0.9}},
    "all, clipped": {
        "model": {"activation": "rrelu", "norm": "batch", "norm_position": "after", "dropout": 0.2, "residual": True},
        "clipping": {"kind": "norm", "threshold": 0.1},
        "optimiser": {"name": "adam", "lr": 0.01},
    },
    "cnn": {"model": {"kind": "cnn", "norm": "batch", "width": 3, "num_stages": 2, "activation": "prelu"}},
}


@pytest.mark.parametrize("sections", NETWORKS.values(), ids=NETWORKS)
def test_observers_change_nothing(sections: dict[str, Any], lab: Any) -> None:
    states = []
    for callbacks in ([], lab.probes(1)[1], lab.probes(2)[1]):
        torch.manual_seed(len(states))  # nothing draws from the global generator
        module = lab.module(**sections)
        before = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
        lab.run(module, lab.batches(5), *callbacks)
        states.append(module.model.state_dict())
        assert any(not torch.equal(before[name], tensor) for name, tensor in states[-1].items())
        if sections["model"].get("norm") == "batch":
            name = next(name for name in before if name.endswith("running_mean"))
            assert not torch.equal(before[name], states[-1][name])
    for watched in states[1:]:
        for name, tensor in states[0].items():
            assert torch.equal(tensor, watched[name]), name


def test_global_generator_is_left_alone(lab: Any) -> None:
    module, (_, callbacks) = lab.module(model={"activation": "rrelu", "dropout": 0.2}), lab.probes()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    lab.run(module, lab.batches(2), *callbacks)
    assert torch.equal(torch.rand(3), expected)


class Look(pl.Callback):
    """Calls a function in the middle and at the end of each step; stands behind the probes."""

    def __init__(self, during: Any, after: Any) -> None:
        self.during, self.after = during, after

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.during(pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.after(pl_module)


def test_hooks_live_for_the_probed_step_only(lab: Any) -> None:
    during: list[int] = []
    after: list[int] = []
    _, callbacks = lab.probes(2)
    look = Look(lambda module: during.append(hooks_of(module)), lambda module: after.append(hooks_of(module)))
    module = lab.module()
    lab.run(module, lab.batches(4), *callbacks, look)
    assert [number > 0 for number in during] == [True, False, True, True]
    assert after == [0, 0, 0, 0]
    assert hooks_of(module) == 0


def test_hooks_are_taken_out_when_a_step_breaks(lab: Any) -> None:
    def fail(module: pl.LightningModule) -> None:
        assert hooks_of(module) > 0
        raise RuntimeError("the step broke")

    _, callbacks = lab.probes(1)
    module = lab.module()
    with pytest.raises(RuntimeError, match="the step broke"):
        lab.run(module, lab.batches(1), *callbacks, Look(fail, None))
    assert hooks_of(module) == 0


@pytest.mark.slow
def test_no_graph_and_no_activation_is_kept_past_a_step(lab: Any) -> None:
    """Everything that has the batch axis, or a gradient function, is gone when the step is over."""
    alive: list[weakref.ref[Tensor]] = []
    left: list[int] = []

    def watch(module: pl.LightningModule) -> None:
        for hidden in module.model.hidden_layers:
            for part in (hidden, hidden.linear, hidden.activation):
                handles.append(part.register_forward_hook(lambda *arguments: alive.append(weakref.ref(arguments[2]))))

    handles: list[Any] = []
    _, callbacks = lab.probes(1)

    class After(pl.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            gc.collect()
            left.append(sum(reference() is not None for reference in alive))
            alive.clear()
            watch(pl_module)

        def on_train_batch_end(self, *_: Any) -> None:
            for handle in handles:
                handle.remove()
            handles.clear()

    module = lab.module()
    lab.run(module, lab.batches(4), After(), *callbacks)
    assert len(alive) >= 9
    assert left == [0, 0, 0, 0]
    gc.collect()
    assert [reference() for reference in alive if reference() is not None] == []
    for callback in callbacks:
        for value in vars(callback).values():
            for tensor in flat_tensors(value):
                assert tensor.grad_fn is None


def flat_tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from flat_tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from flat_tensors(item)


class ReadsOfTheHost(TorchDispatchMode):
    """Counts the operations that make the host wait for a value: `item`, `bool`, `float`, `nonzero` and their like."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if Steps.running and any(
            name in str(func) for name in ("_local_scalar_dense", "is_nonzero", "nonzero", "equal.default")
        ):
            self.count += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted_transfers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count `to_host`, and everything else that brings a tensor to the host while training steps run."""
    counts = {"to_host": 0, "others": 0}
    real = recorder_module.to_host
    inside = [False]

    def to_host(tensor: Tensor) -> Any:
        counts["to_host"] += 1
        inside[0] = True
        try:
            return real(tensor)
        finally:
            inside[0] = False

    monkeypatch.setattr(recorder_module, "to_host", to_host)
    for name in ("item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__float__", "__int__", "__index__"):
        original = getattr(Tensor, name)

        def method(tensor: Tensor, *arguments: Any, original: Any = original, **settings: Any) -> Any:
            counts["others"] += not inside[0] and Steps.running
            return original(tensor, *arguments, **settings)

        monkeypatch.setattr(Tensor, name, method)
    with ReadsOfTheHost() as reads:
        yield counts
    counts["others"] += reads.count


class Steps(pl.Callback):
    """Says whether a training step is running: what Lightning does before and after a run is its own affair."""

    running = False

    def on_train_epoch_start(self, *_: Any) -> None:
        Steps.running = True

    def on_train_epoch_end(self, *_: Any) -> None:
        Steps.running = False


@pytest.mark.parametrize("depth", [1, 12])
@pytest.mark.parametrize("sections", [{}, {"norm": "batch", "activation": "rrelu", "residual": True}])
def test_probed_step_costs_one_host_transfer_whatever_the_depth(
    depth: int, sections: dict[str, Any], lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, callbacks = lab.probes(2)
    module = lab.module(model={"depth": depth} | sections, clipping={"kind": "norm"})
    with counted_transfers(monkeypatch) as counts:
        lab.run(module, lab.batches(5), Steps(), *callbacks)
    assert recorder.steps == [0, 2, 4]
    assert counts == {"to_host": 3, "others": 0}


def test_counter_of_transfers_sees_them(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
            float(outputs["losses"].sum())
            bool(outputs["losses"][0] > 0)
            outputs["losses"].tolist()

    with counted_transfers(monkeypatch) as counts:
        lab.run(lab.module(), lab.batches(1), Steps(), Reader())
    assert counts["to_host"] == 0
    assert counts["others"] >= 3


def test_values_are_the_steps_own_where_gradients_are_accumulated(lab: Any) -> None:
    """Two batches of half the loss each are one step; what is looked at is the batch that completes it."""
    batches = lab.batches(6)
    recorder, callbacks = lab.probes(1)
    lab.run(lab.module(), batches, *callbacks, accumulate_grad_batches=2)
    assert recorder.steps == [0, 1, 2]
    series = recorder.series()
    module = lab.module()
    z = module.model.hidden_layers[0].activation.register_forward_pre_hook(lambda _, inputs: inputs[0].retain_grad())
    pre_activations: list[Tensor] = []
    module.model.hidden_layers[0].activation.register_forward_pre_hook(
        lambda _, inputs: pre_activations.append(inputs[0])
    )
    for images, labels in batches[:2]:
        logits = module.model(images)
        losses = [nn.functional.cross_entropy(logits[r], labels[r]) for r in range(len(lab.seeds))]
        (torch.stack(losses).sum() / 2).backward()
    z.remove()
    norms = module.model.hidden_layers[0].linear.weight.grad.flatten(1).norm(dim=1)
    np.testing.assert_allclose(series["weight_grad_norm_before_clip"][:, 0, 0], norms.numpy(), rtol=1e-10)
    rms = pre_activations[1].grad.flatten(1).square().mean(dim=1).sqrt()
    np.testing.assert_allclose(series["gradient_rms"][:, 0, 0], rms.numpy(), rtol=1e-10)


def test_series_that_a_probed_step_lacks_has_a_hole_there() -> None:
    recorder = Recorder(every=1)
    recorder.hidden = ["layer_1"]
    whole, frozen = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)

    class NoTrainer:
        loggers = ()

    for step in range(3):
        recorder._step = step
        recorder.add("signal_rms", [whole])
        if step != 1:
            recorder.add("bias_grad_norm", [frozen])
        recorder.flush(NoTrainer())
    series = recorder.series()
    assert np.isnan(series["bias_grad_norm"][:, 1]).all()
    assert (series["bias_grad_norm"][:, [0, 2]] == 0).all()
    assert (series["signal_rms"] == 1).all()
    assert series["signal_rms"].shape == series["bias_grad_norm"].shape == (2, 3, 1)


def test_probe_of_ones_own_continues_from_a_checkpoint(lab: Any, tmp_path: Any) -> None:
    """As a template's user has it: the probe alone, in a Trainer of one's own, with Lightning's own checkpoint."""

    def train(epochs: int, checkpoint: Any = None) -> tuple[dict[str, Any], pl.Trainer]:
        probes = [GradientProbe(every=1), WeightProbe(every=2)]
        module = lab.module(optimiser={"lr": 0.1, "momentum": 0.9})
        trainer = lab.run(module.double(), lab.batches(4), *probes, max_epochs=epochs, checkpoint=checkpoint)
        return {name: rows for probe in probes for name, rows in probe.recorder.series().items()}, trainer

    whole, _ = train(2)
    _, stopped = train(1)
    stopped.save_checkpoint(tmp_path / "stopped.ckpt")
    resumed, _ = train(2, tmp_path / "stopped.ckpt")
    assert set(resumed) == set(whole)
    # Travel is measured from the initial weights, not from those that the second run began with.
    np.testing.assert_array_equal(resumed["travel"][:, -1], whole["travel"][:, -1])
    np.testing.assert_array_equal(resumed["gradient_rms"], whole["gradient_rms"])
