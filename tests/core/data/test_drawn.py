"""Training images that each seed draws for itself: which they are, how they are scaled, what stays as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.config.seeding import Stream, generator
from vgtemplate.data.drawn import draw
from vgtemplate.data.module import PopulationData
from vgtemplate.data.sources import load_images
from vgtemplate.training.run import train_arm

ROOT = Path("nowhere")
DIGITS: dict[str, Any] = {"dataset": "digits", "num_train": 100, "num_validation": 200, "draw": "per_seed"}


def data(seeds: list[int], **settings: Any) -> PopulationData:
    found = PopulationData(DataConfig.model_validate(DIGITS | settings), seeds, ROOT)
    found.setup()
    return found


def by_hand(seed: int, number: int = 100, held_out: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """The seed's images of the digits, standardised by all that were drawn from, and their labels."""
    images = load_images(DataConfig(dataset="digits"), ROOT)
    available = len(images.train_labels) - held_out
    pool = images.train_images[:available].astype(np.float64)
    chosen = np.random.default_rng(np.random.SeedSequence([seed, 7])).permutation(available)[:number]
    scaled = (pool[chosen] - pool.mean()) / pool.std()
    return torch.from_numpy(scaled).float(), torch.from_numpy(images.train_labels[chosen].astype(np.int64))


def test_draws_are_without_replacement_and_of_each_seed_alone() -> None:
    chosen = draw([3, 8, 3], 50, 20)
    assert chosen.shape == (3, 20)
    assert all(len(set(row)) == 20 for row in chosen.tolist())
    assert (
        chosen[0].tolist() == chosen[2].tolist() == generator(3, Stream.TRAINING_IMAGES).permutation(50)[:20].tolist()
    )
    assert set(chosen[1]) != set(chosen[0])
    assert sorted(draw([1], 5, 9)[0]) == [0, 1, 2, 3, 4]


def test_every_image_is_drawn_equally_often() -> None:
    counts = np.bincount(draw(range(2000), 40, 10).ravel(), minlength=40)
    expected = 2000 * 10 / 40
    assert ((counts - expected) ** 2 / expected).sum() < 80  # chi-squared of 39 degrees, p < 1e-4 beyond


def test_images_to_evaluate_on_are_each_seeds_own() -> None:
    images, labels = zip(*data([4, 9]).ordered_train_dataloader(), strict=True)
    assert [len(part) for part in images] == [2]
    for replica, seed in enumerate((4, 9)):
        expected, expected_labels = by_hand(seed)
        torch.testing.assert_close(torch.cat(images, dim=1)[replica], expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(torch.cat(labels, dim=1)[replica], expected_labels)


def test_batches_are_of_each_seeds_own_images_in_its_own_order() -> None:
    found = data([4, 9], batch_size=30)
    for batch_number, (images, labels) in enumerate(found.train_dataloader()):
        for replica, seed in enumerate((4, 9)):
            expected, expected_labels = by_hand(seed)
            order = generator(seed, Stream.BATCHES, 0).permutation(100)[30 * batch_number : 30 * (batch_number + 1)]
            torch.testing.assert_close(images[replica], expected[order], rtol=1e-5, atol=1e-5)
            assert torch.equal(labels[replica], expected_labels[order])


def test_one_network_alone_has_the_images_of_its_seed() -> None:
    found = PopulationData(DataConfig.model_validate(DIGITS), [9], ROOT, alone=True)
    found.setup()
    (images, _), *_ = found.ordered_train_dataloader()
    torch.testing.assert_close(images, by_hand(9)[0][: len(images)], rtol=1e-5, atol=1e-5)
    (batch, _), *_ = found.train_dataloader()
    order = generator(9, Stream.BATCHES, 0).permutation(100)
    torch.testing.assert_close(batch, by_hand(9)[0][order][: len(batch)], rtol=1e-5, atol=1e-5)


def test_what_is_held_out_and_tested_on_is_as_without() -> None:
    drawn, first = data([4, 9]), data([4, 9], draw="first", num_train=10_000)
    for name in ("val_dataloader", "test_dataloader"):
        pairs = zip(getattr(drawn, name)(), getattr(first, name)(), strict=True)
        assert all(torch.equal(ours, theirs) for one, other in pairs for ours, theirs in zip(one, other, strict=True))
    assert drawn.info["num_train"] == drawn.info["num_train_asked"] == 100
    assert (drawn.info["mean"], drawn.info["std"]) == (first.info["mean"], first.info["std"])
    assert np.array_equal(drawn.mean_squares(flat=True), first.mean_squares(flat=True))


@pytest.mark.slow
def test_replica_is_the_same_whichever_seeds_train_beside_it() -> None:
    model = {"depth": 2, "width": 8, "activation": "relu"}
    training = {"steps": 12, "stop_accuracy": 0.9, "evaluate_train": True, "precision": "64-true"}
    config = ArmConfig.model_validate({"model": model, "data": DIGITS | {"batch_size": 20}, "training": training})
    together, _ = train_arm("a", config, [2, 7, 5], ROOT)
    alone, _ = train_arm("a", config, [7], ROOT)
    for name in ("train_loss", "final_train_accuracy", "test_accuracy", "validation_loss", "finished_at"):
        np.testing.assert_allclose(together.series[name][1], alone.series[name][0], rtol=1e-9, err_msg=name)
    np.testing.assert_array_equal(together.series["input_mean_square"], alone.series["input_mean_square"])
    assert together.series["train_loss"][0, 0] != together.series["train_loss"][1, 0]


def make_dataset() -> dict[str, Any]:
    pairs = TensorDataset(torch.randn(20, 3), torch.arange(20) % 2)
    return {"train": pairs, "test": pairs}


def test_dataset_of_items_is_refused_in_one_line() -> None:
    config = DataConfig.model_validate({"factory": f"{__name__}:make_dataset", "num_train": 5, "draw": "per_seed"})
    with pytest.raises(UserError, match=r"^data.draw: per_seed needs arrays in memory, .*; allowed: first$"):
        PopulationData(config, [0], ROOT).setup()
