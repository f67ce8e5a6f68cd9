"""Image in, image out: the denoising module against plain formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.config.schema import ArmConfig, OptimiserConfig
from vgtemplate.training.denoising import DenoisingModule
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware


def config(**training: Any) -> ArmConfig:
    return ArmConfig.model_validate(
        {
            "model": {"kind": "cnn", "depth": 2, "width": 4, "output": "image"},
            "data": {"dataset": "digits", "batch_size": 32, "scaling": "unit", "num_test": 50},
            "optimiser": {"lr": 0.003},
            "training": {"steps": 30, "noise": 0.3, **training},
        }
    )


def module_of(network: nn.Module, noise: float = 0.3) -> DenoisingModule:
    return DenoisingModule(network, config(noise=noise), [0, 1])


def batch(images: Tensor) -> tuple[Tensor, Tensor]:
    return images, torch.zeros(images.shape[:2], dtype=torch.int64)


def test_network_that_does_nothing_leaves_the_noise() -> None:
    images = torch.full((2, 200, 1, 8, 8), 0.5, dtype=torch.float64)
    losses, _ = module_of(nn.Identity(), 0.1).compare(batch(images))
    torch.testing.assert_close(losses, torch.full((2,), 0.01, dtype=torch.float64), rtol=0.05, atol=0)
    assert losses[0] != losses[1]


def test_psnr_is_the_published_formula_averaged_over_images_with_outputs_clamped() -> None:
    images = torch.rand(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x, 3.0)

    losses, psnr = module_of(Constant()).compare(batch(images))
    error = ((1.0 - images) ** 2).flatten(2).mean(dim=2)
    torch.testing.assert_close(psnr, (10 * torch.log10(1 / error)).mean(dim=1))
    torch.testing.assert_close(losses, ((3.0 - images) ** 2).flatten(1).mean(dim=1))


def test_training_removes_noise_and_is_the_same_twice(tmp_path: Path) -> None:
    records = [train_arm("a", config(), [0, 1], tmp_path, Hardware("cpu"))[0] for _ in range(2)]
    series = records[0].series
    assert series["train_psnr"].shape == (2, 30)
    assert series["test_psnr"].shape == (2,)
    assert (series["train_loss"][:, -5:].mean(axis=1) < series["train_loss"][:, :5].mean(axis=1)).all()
    for name, array in series.items():
        np.testing.assert_array_equal(array, records[1].series[name], err_msg=name)


def test_noise_of_the_evaluation_does_not_depend_on_how_long_was_trained(tmp_path: Path) -> None:
    module = module_of(nn.Identity())
    images = torch.rand(2, 8, 1, 4, 4)
    scores = []
    for step in (3, 700):
        module.noise.step = step
        scores.append(module.score_over([batch(images)]))
    assert torch.equal(*scores)


def test_noise_of_the_training_is_new_at_each_step(tmp_path: Path) -> None:
    # One batch per epoch and no learning: what differs from step to step is the noise alone.
    still = config(steps=3).model_copy(update={"optimiser": OptimiserConfig(lr=0.0)})
    settled = still.model_copy(update={"data": still.data.model_copy(update={"num_train": 32})})
    record, _ = train_arm("a", settled, [0, 1], tmp_path, Hardware("cpu"))
    assert len(np.unique(record.series["train_loss"])) == 6
