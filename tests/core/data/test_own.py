"""A data set of one's own is one function below its decorator: known, checked, fingerprinted and loaded at once."""

import numpy as np
import pytest

from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import sources
from vgtemplate.data.checksums import verify
from vgtemplate.data.files import is_present, resolve
from vgtemplate.data.images import Images
from vgtemplate.data.sources import fingerprint, load_images


def draw(**changes):
    rng = np.random.default_rng(0)
    content = {
        "train_images": rng.integers(0, 256, (6, 1, 8, 8), np.uint8),
        "train_labels": np.array([0, 1, 0, 1, 0, 1]),
        "test_images": rng.integers(0, 256, (2, 1, 8, 8), np.uint8),
        "test_labels": np.array([1, 0]),
        "classes": ("vertical", "horizontal"),
    }
    return Images(**{**content, **changes})


@pytest.fixture
def declare(monkeypatch):
    """Return what declares a data set of given images for this test, and returns the list of its loader's calls."""
    monkeypatch.setattr(DATASETS, "_added", {})
    monkeypatch.setattr(sources, "LOADERS", dict(sources.LOADERS))

    def give(name, images):
        calls = []

        @DATASETS.decorator(sources.LOADERS)("drawn for a test", name=name)
        def load(config, root):
            calls.append(config.dataset)
            return images

        return calls

    return give


def test_function_and_decorator_are_enough(declare, tmp_path):
    declare("bars", draw())
    config = DataConfig(dataset="bars")
    assert (is_present("bars", tmp_path), resolve("bars", tmp_path), verify("bars", tmp_path)) == (True, "bars", [])
    images = load_images(config, tmp_path)
    assert (images.name, len(images.fingerprint)) == ("bars", 32)
    assert fingerprint(config, tmp_path) == images.fingerprint


def test_fingerprint_is_taken_once_in_a_process(declare, tmp_path):
    calls = declare("bars-once", draw())
    config = DataConfig(dataset="bars-once")
    assert fingerprint(config, tmp_path) == fingerprint(config, tmp_path)
    assert calls == ["bars-once"]


def test_fingerprint_changes_with_all_that_is_learned_from(declare, tmp_path):
    first = draw()
    changed = [
        {"train_images": first.train_images[::-1]},
        {"train_labels": first.train_labels[::-1].copy()},
        {"test_images": first.test_images + np.uint8(1)},
        {"test_labels": first.test_labels[::-1].copy()},
        {
            "test_images": first.test_images.reshape(2, 1, 4, 16),
            "train_images": first.train_images.reshape(6, 1, 4, 16),
        },
        {"classes": ("horizontal", "vertical")},
        {"max_value": 16},
    ]
    found = set()
    for index, change in enumerate([{}, *changed]):
        declare(f"bars-{index}", draw(**change))
        found.add(fingerprint(DataConfig(dataset=f"bars-{index}"), tmp_path))
    assert len(found) == 1 + len(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": np.zeros((6, 1, 8, 8))}, "images must be uint8 and labels int64, not float64 and int64"),
        ({"test_labels": np.array([1, 0], np.int32)}, "must be uint8 and labels int64, not uint8 and int32"),
        ({"test_labels": np.array([1])}, "do not belong together"),
        ({"train_labels": np.array([0, 1, 0, 1, 0, 2])}, "labels beyond its 2 classes"),
    ],
)
def test_what_cannot_be_learned_from_is_said_in_a_line(declare, tmp_path, change, message):
    declare("bars", draw(**change))
    with pytest.raises(UserError, match=f"bars: .*{message}"):
        load_images(DataConfig(dataset="bars"), tmp_path)
