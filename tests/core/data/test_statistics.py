"""Typical images: chosen by their size, as the network sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vgtemplate.config.schema import DataConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.data.sources import load_images
from vgtemplate.data.statistics import TYPICAL_IMAGES, scale_first, typical_mean_squares


def test_typical_images_have_the_quantiles_of_all() -> None:
    random = np.random.default_rng(0)
    sizes = random.permutation(np.arange(1, 401))
    images = np.sqrt(sizes)[:, None, None, None] * np.ones((400, 2, 3, 5))
    chosen = typical_mean_squares(images, flat=True)
    np.testing.assert_allclose(chosen.ravel(), [26, 76, 126, 176, 226, 276, 326, 376])
    assert abs(chosen.mean() - sizes.mean()) < 1


def test_pixels_keep_their_places() -> None:
    images = np.zeros((20, 3, 4, 6))
    images[:, :, 1, 2] = np.sqrt([1.0, 2.0, 6.0])
    found = typical_mean_squares(images, flat=False)
    assert found.shape == (TYPICAL_IMAGES, 4, 6)
    assert found[0, 1, 2] == pytest.approx(3)
    assert found.sum() == pytest.approx(3 * TYPICAL_IMAGES)


@pytest.mark.parametrize("num", [1, 3, 8])
def test_few_images_are_all_taken(num: int) -> None:
    images = np.arange(1.0, num + 1)[:, None, None, None] * np.ones((num, 1, 2, 2))
    assert sorted(typical_mean_squares(images, flat=True).ravel()) == pytest.approx(np.arange(1.0, num + 1) ** 2)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("scaling", ["standardise", "unit"])
@pytest.mark.parametrize("num_validation", [0, 37])
def test_prediction_before_training_sees_what_training_records(
    scaling: str, flat: bool, num_validation: int, tmp_path: Path
) -> None:
    config = DataConfig.model_validate(
        {"dataset": "digits", "num_train": 300, "scaling": scaling, "num_validation": num_validation}
    )
    data = PopulationData(config, [0], tmp_path)
    data.setup("fit")
    scaled = scale_first(load_images(config, tmp_path), config.num_train, scaling)
    assert len(scaled) == 300
    np.testing.assert_allclose(typical_mean_squares(scaled, flat), data.mean_squares(flat), rtol=1e-5)
