"""The norms of gradient and weights at every step against plain networks, and without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.core.callbacks.conftest import Reference
from vgtemplate.callbacks.growth import GrowthRecorder
from vgtemplate.lightning import pl

STEPS = 5
SETTINGS: dict[str, Any] = {
    "model": {"norm": "batch", "bias": "normal"},
    "optimiser": {"lr": 0.4, "weight_decay": 0.01},
    "clipping": {"kind": "norm", "threshold": 0.05},
}


def series_of(lab: Any, module: Any, **settings: Any) -> Any:
    recorder = GrowthRecorder()
    lab.run(module, lab.batches(STEPS), recorder, **settings)
    return recorder.series()


def test_norms_are_those_of_plain_networks_before_clipping_and_after_the_step(lab: Any) -> None:
    module, gradients, weights = lab.module(**SETTINGS), [], []
    for r in range(module.num_replicas):
        network = Reference(module, r)
        optimiser = torch.optim.SGD(network.parameters(), 0.4, weight_decay=0.01)
        gradient, weight = [], []
        for images, labels in lab.batches(STEPS):
            optimiser.zero_grad()
            F.cross_entropy(network(images[r]), labels[r]).backward()
            gradient.append(float(torch.nn.utils.clip_grad_norm_(network.parameters(), 0.05)))
            optimiser.step()
            matrices = [*(layer.weight for layer in network.weighted), network.output.weight]
            weight.append(float(torch.cat([matrix.detach().flatten() for matrix in matrices]).norm()))
        gradients.append(gradient)
        weights.append(weight)
    series = series_of(lab, module)
    np.testing.assert_allclose(series["gradient_norm"], gradients, rtol=1e-9)
    np.testing.assert_allclose(series["weight_norm"], weights, rtol=1e-9)
    assert (series["gradient_norm"] > 0.05).all()


def test_a_replica_that_diverges_is_alone(lab: Any) -> None:
    broken, whole = lab.module(), series_of(lab, lab.module())
    broken.model.hidden_layers[0].linear.weight.data[1, 0, 0] = torch.nan
    found = series_of(lab, broken)
    for name in ("gradient_norm", "weight_norm"):
        assert not np.isfinite(found[name][1]).any()
        np.testing.assert_array_equal(found[name][[0, 2]], whole[name][[0, 2]])


def test_a_run_that_goes_on_has_all_steps(lab: Any, tmp_path: Any) -> None:
    first, second = GrowthRecorder(), GrowthRecorder()
    trainer = lab.run(lab.module(), lab.batches(STEPS), first, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    lab.run(lab.module(), lab.batches(STEPS), second, checkpoint=tmp_path / "half.ckpt", max_epochs=2)
    whole = series_of(lab, lab.module(), max_epochs=2)
    for name, values in second.series().items():
        np.testing.assert_array_equal(values, whole[name])
    assert whole["gradient_norm"].shape == (3, 2 * STEPS)


def test_recorder_changes_nothing_and_counts_updates_not_batches(lab: Any) -> None:
    plain, watched = lab.module(**SETTINGS), lab.module(**SETTINGS)
    lab.run(plain, lab.batches(STEPS))
    series_of(lab, watched)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name]), name
    half = series_of(lab, lab.module(), accumulate_grad_batches=2)
    assert half["gradient_norm"].shape == half["weight_norm"].shape == (3, 3)


def test_learned_slopes_one_per_replica_count_too(lab: Any) -> None:
    """A parameter of a network may be one number, which has no axis but the replicas'."""
    norms = []

    class Sums(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            gradients = [parameter.grad.reshape(3, -1) for parameter in pl_module.parameters()]
            norms.append(torch.cat(gradients, dim=1).double().norm(dim=1).numpy())

    module, recorder = lab.module(model={"activation": "prelu"}), GrowthRecorder()
    lab.run(module, lab.batches(STEPS), recorder, Sums())
    assert any(parameter.dim() == 1 for parameter in module.parameters())
    np.testing.assert_allclose(recorder.series()["gradient_norm"], np.stack(norms, axis=1), rtol=1e-9)
