"""The curves of every replica, and a replica that diverges beside others that do not notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vgtemplate.callbacks.curves import CurveRecorder


def curves_of(lab: Any, module: Any, batches: Any, **settings: Any) -> dict[str, Any]:
    curves = CurveRecorder()
    trainer = lab.run(module, batches, curves, **settings)
    return curves.series(trainer)


def test_curves_are_each_steps_loss_and_accuracy(lab: Any) -> None:
    module, batches = lab.module(optimiser={"lr": 0.0}), lab.batches(3)
    series = curves_of(lab, module, batches)
    for step, (images, labels) in enumerate(batches):
        with torch.no_grad():
            logits = module(images)
        for r in range(len(lab.seeds)):
            loss = F.cross_entropy(logits[r], labels[r])
            accuracy = (logits[r].argmax(dim=1) == labels[r]).double().mean()
            np.testing.assert_allclose(series["train_loss"][r, step], float(loss), rtol=1e-12)
            np.testing.assert_allclose(series["train_accuracy"][r, step], float(accuracy), rtol=1e-6)
    assert series["diverged_at"].tolist() == [-1, -1, -1]


def test_curves_run_over_all_epochs(lab: Any) -> None:
    series = curves_of(lab, lab.module(), lab.batches(3), max_epochs=2)
    assert series["train_loss"].shape == series["train_accuracy"].shape == (3, 6)


def test_diverged_replica_is_named_with_its_first_bad_step_and_its_neighbours_do_not_notice(lab: Any) -> None:
    """Replica 1 gets images of 1e200 in step 2: its weights, and all its later losses, are no numbers."""
    batches = lab.batches(6)
    exploding = [(images.clone(), labels) for images, labels in batches]
    exploding[2][0][1] *= 1e308
    exploding[2][0][1] *= 1e308
    settings = {"model": {"activation": "relu"}, "optimiser": {"lr": 0.5, "momentum": 0.9}}
    module, beside = lab.module(**settings), lab.module(**settings)
    series = curves_of(lab, module, batches)
    broken = curves_of(lab, beside, exploding)
    assert series["diverged_at"].tolist() == [-1, -1, -1]
    assert broken["diverged_at"].tolist() == [-1, 2, -1]
    assert not np.isfinite(broken["train_loss"][1, 2:]).any()
    assert (broken["train_accuracy"][1, 2:] == 0).all()
    for name in ("train_loss", "train_accuracy"):
        np.testing.assert_array_equal(broken[name][[0, 2]], series[name][[0, 2]])
    for name, tensor in module.model.state_dict().items():
        assert torch.equal(beside.model.state_dict()[name][[0, 2]], tensor[[0, 2]]), name


def test_replica_with_a_huge_rate_diverges_and_the_others_train_as_if_alone(lab: Any) -> None:
    """The population's rate is one, so replica 1 gets its huge one through its gradients."""
    batches = lab.batches(8)
    settings = {"model": {"activation": "relu"}, "optimiser": {"lr": 0.2}}
    together = lab.module(**settings)
    for parameter in together.parameters():
        rates = torch.tensor([1.0, 1e120, 1.0], dtype=torch.float64).view(-1, *[1] * (parameter.dim() - 1))
        parameter.register_hook(lambda gradient, rates=rates: gradient * rates)
    series = curves_of(lab, together, batches)
    step = int(series["diverged_at"][1])
    assert 1 <= step < 8
    assert np.isfinite(series["train_loss"][1, :step]).all()
    assert not np.isfinite(series["train_loss"][1, step])
    assert series["diverged_at"].tolist() == [-1, step, -1]
    for r in (0, 2):
        alone = lab.module([lab.seeds[r]], **settings)
        own = [(images[r : r + 1], labels[r : r + 1]) for images, labels in batches]
        expected = curves_of(lab, alone, own)
        np.testing.assert_allclose(series["train_loss"][r], expected["train_loss"][0], rtol=1e-11)
        for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(ours[r], theirs[0], rtol=1e-9, atol=1e-12)


def test_first_step_can_be_the_one_that_diverges(lab: Any) -> None:
    module = lab.module()
    module.model.output.weight.data[2] = float("inf")
    assert curves_of(lab, module, lab.batches(2))["diverged_at"].tolist() == [-1, -1, 0]
