"""Few data of one's own get sensible lengths, which is said; built-in ones stay as asked."""

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data.lengths import LEAST_STEPS, long_enough, num_held_out
from vgtemplate.data.notes import note


@pytest.fixture(autouse=True)
def nothing_said_yet():
    note.cache_clear()


PICTURES = {"dataset": "image_folder", "path": "pictures"}


@pytest.mark.parametrize(
    ("asked", "available", "held_out"), [(0, 180, 0), (36, 180, 36), (90, 180, 90), (91, 180, 36), (400, 3, 1)]
)
def test_more_than_half_of_ones_own_becomes_a_fifth(asked, available, held_out, recwarn):
    assert num_held_out(DataConfig(**PICTURES, num_validation=asked), available) == held_out
    said = [str(each.message) for each in recwarn]
    assert len(said) == (asked != held_out)
    assert all(f"data.num_validation: {asked} of {available}" in text and str(held_out) in text for text in said)


def test_built_in_data_are_held_out_as_asked():
    assert num_held_out(DataConfig(dataset="digits", num_validation=1436), 1437) == 1436
    with pytest.raises(UserError, match=r"data.num_validation: 2000 .* at most 1436, e.g. data.num_validation=287"):
        num_held_out(DataConfig(dataset="digits", num_validation=2000), 1437)


def test_one_picture_cannot_be_divided():
    with pytest.raises(UserError, match=r"data.num_validation: 1 leaves nothing to train on of the 1"):
        num_held_out(DataConfig(**PICTURES, num_validation=1), 1)


def lengths(data, training, num_train, asked=10_000):
    config = ArmConfig.model_validate({"data": data, "training": training})
    found = long_enough(config, 1, {"num_train": num_train, "num_train_asked": asked}).training
    return found.steps, found.epochs


def test_few_epochs_of_few_pictures_become_a_training():
    with pytest.warns(UserWarning, match=r"training.epochs: 2 of 144 are 2 steps; trained for 500 instead"):
        assert lengths(PICTURES, {"epochs": 2}, 144) == (LEAST_STEPS, None)


@pytest.mark.parametrize(
    ("data", "training", "num_train", "asked"),
    [
        ({"dataset": "digits"}, {"epochs": 2}, 144, 10_000),
        (PICTURES, {"steps": 3}, 144, 10_000),
        (PICTURES, {"epochs": 2}, 144, 144),
        (PICTURES, {"epochs": 500}, 144, 10_000),
    ],
    ids=["built-in", "steps", "as many as asked for", "long enough"],
)
def test_nothing_else_is_changed(data, training, num_train, asked, recwarn):
    assert lengths(data, training, num_train, asked) == (training.get("steps", 500), training.get("epochs"))
    assert not recwarn.list
