"""Data of one's own: arrays, torch Datasets, LightningDataModules; the same bits wherever a run is taken up."""

import random
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import own
from vgtemplate.data.own import own_fingerprint
from vgtemplate.data.split import Items
from vgtemplate.data.statistics import measure_channels
from vgtemplate.data.theirs import build_data

X, Y = np.arange(40.0).reshape(10, 4), np.arange(10.0)


@pytest.fixture
def factory(monkeypatch):
    """Return what makes a function the data.factory `written:make`, with its settings, and gives the configuration."""
    module = types.ModuleType("written")
    monkeypatch.setitem(sys.modules, "written", module)
    monkeypatch.setattr("vgtemplate.data.own.source_of", lambda text: f"source of {text}")

    def declare(make, **settings):
        own._call.cache_clear()
        own._fingerprint.cache_clear()
        module.make = make
        return DataConfig(factory="written:make", **settings)

    return declare


def ready(config, seeds=(3, 8), alone=False):
    data = build_data(config, seeds, "unused", alone=alone)
    data.setup("fit")
    return data


def at(data, processed):
    """Pretend that a trainer stands at a batch."""
    progress = SimpleNamespace(total=SimpleNamespace(processed=processed))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    device = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(fit_loop=loop, strategy=device, global_rank=0, world_size=1)
    return data


def test_arrays_come_as_the_network_takes_them(factory):
    data = ready(factory(lambda: (X, Y, X[:3], Y[:3]), batch_size=5))
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((2, 5, 4), torch.float32, (2, 5), torch.float32)
    assert torch.equal(x[..., 0] / 4, y)
    assert (data.input_shape, data.num_classes, data.info["classes"]) == ((4,), 1, [])
    assert (data.info["num_train"], data.info["num_test"], data.info["name"]) == (10, 3, "written:make")
    assert [tuple(part.shape) for part in next(iter(data.test_dataloader()))] == [(2, 3, 4), (2, 3)]
    assert data.probe_images().shape == (3, 4)


def test_all_of_ones_own_data_are_used_unless_a_number_is_given(factory):
    many = np.zeros((10_100, 1), np.float32)
    assert ready(factory(lambda: (many, many[:, 0], many, many[:, 0]))).info["num_train"] == 10_100
    assert ready(factory(lambda: (many, many[:, 0], many, many[:, 0]), num_train=7)).info["num_train"] == 7


def test_class_numbers_say_how_many_classes_there_are(factory):
    labels = np.array([0, 2, 1, 0], np.int16)
    data = ready(factory(lambda: (X[:4], labels, X[:2], np.array([4, 0]))))
    assert (data.num_classes, data.info["classes"]) == (5, ["0", "1", "2", "3", "4"])
    named = factory(lambda: {"train": (X[:4], labels), "test": (X[:4], labels), "classes": ["a", "b"]})
    with pytest.raises(UserError, match="labels go up to 2, so that 2 classes are too few"):
        ready(named)


def test_token_numbers_stay_whole_and_are_no_probe_images(factory):
    tokens = np.arange(12, dtype=np.int32).reshape(4, 3)
    data = ready(factory(lambda: (tokens, tokens, tokens, tokens), batch_size=2))
    x, _ = next(iter(data.train_dataloader()))
    assert (x.dtype, data.num_classes) == (torch.int64, 12)
    assert data.probe_images() is None
    assert data.mean_squares(flat=True) is None


def test_pictures_are_scaled_as_the_built_in_ones(factory):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 5), np.uint8)
    labels = np.arange(20) % 2
    data = ready(factory(lambda: (torch.from_numpy(pixels), labels, pixels[:4], labels[:4]), num_validation=4))
    mean, std = measure_channels(pixels[:16], 255)
    assert (data.info["mean"], data.info["std"]) == (mean, std)
    (found, _), _ = next(iter(data.val_dataloader())), None
    shape = (1, 3, 1, 1)
    expected = (pixels[16:] / 255 - np.reshape(mean, shape)) / np.reshape(std, shape)
    torch.testing.assert_close(found[1].double(), torch.tensor(expected), atol=1e-5, rtol=0)


def test_mappings_of_arrays_stay_mappings(factory):
    split = {"ids": np.arange(6).reshape(3, 2), "mask": np.ones((3, 2), bool), "labels": np.arange(3)}
    data = ready(factory(lambda: {"train": split, "test": split, "validation": split}, batch_size=2), [3], alone=True)
    batch = next(iter(data.train_dataloader()))
    assert {name: (tuple(part.shape), part.dtype) for name, part in batch.items()} == {
        "ids": ((2, 2), torch.int64),
        "mask": ((2, 2), torch.bool),
        "labels": ((2,), torch.int64),
    }
    assert (data.info["num_validation"], data.info["input_shape"]) == (3, [])


def test_fingerprint_of_arrays_is_their_content(factory):
    first = own_fingerprint(factory(lambda: (X, Y, X, Y)))
    assert own_fingerprint(factory(lambda: {"train": (X.copy(), Y), "test": (X, Y)})) == first
    assert own_fingerprint(factory(lambda: (X + (X == 7), Y, X, Y))) != first
    assert own_fingerprint(factory(lambda: (X.astype(np.float32), Y, X, Y))) != first


def test_what_a_factory_draws_is_the_same_each_time(factory):
    def draw():
        x = np.random.standard_normal((4, 2)) + random.random() + torch.rand(1).item()
        return x, x[:, 0], x, x[:, 0]

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = own_fingerprint(factory(draw))
    assert torch.equal(torch.get_rng_state(), before)
    np.random.seed(99)
    assert own_fingerprint(factory(draw)) == first


class Noisy(Dataset):
    """Items that draw from every global generator; counts what is asked for."""

    classes = ("even", "odd")

    def __init__(self, num=12):
        self.num = num
        self.asked = []

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        self.asked.append(index)
        drawn = torch.rand(1) + np.random.random() + random.random()
        return torch.cat([torch.tensor([float(index)]), drawn.float()]), index % 2


def test_items_are_asked_for_when_they_are_needed(factory):
    dataset = Noisy()
    data = ready(factory(lambda: (dataset, Noisy(4)), batch_size=3))
    dataset.asked.clear()
    x, y = data.train_dataloader().batch(2)
    assert (x.shape, y.shape) == ((2, 3, 2), (2, 3))
    assert sorted(dataset.asked) == sorted(x[..., 0].int().flatten().tolist())
    assert torch.equal(y, x[..., 0].long() % 2)
    assert data.info["classes"] == ["even", "odd"]


def test_what_an_item_draws_depends_on_seed_epoch_and_index_alone(factory):
    config = factory(lambda: (Noisy(), Noisy(4)), batch_size=3)
    together, alone = ready(config, [3, 8]).train_dataloader(), ready(config, [8], alone=True).train_dataloader()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for step in (0, 3, 5, 4):
        assert torch.equal(together.batch(step)[0][1], alone.batch(step)[0])
    assert torch.equal(torch.get_rng_state(), state)
    by_item = [
        {int(row[0]): float(row[1]) for step in steps for row in alone.batch(step)[0]}
        for steps in (range(4), range(4, 8))
    ]
    assert by_item[0].keys() == by_item[1].keys() == set(range(12))
    assert all(by_item[0][item] != by_item[1][item] for item in range(12))


def test_items_are_evaluated_the_same_each_time():
    split = Items(Noisy(), "test")
    assert torch.equal(split.ordered(2, 6)[0], split.ordered(2, 6)[0])
    assert torch.equal(split.ordered(4, 6)[0], split.ordered(2, 6)[0][2:])


class Loaders(pl.LightningDataModule):
    """Shuffles with a generator that goes on from epoch to epoch, and draws noise in each batch."""

    num_classes = 2

    def setup(self, stage=None):
        x = torch.arange(20.0)[:, None]
        self.data = TensorDataset(x, (x[:, 0] % 2).long())
        self.generator = torch.Generator().manual_seed(0)

    def train_dataloader(self):
        return DataLoader(self.data, 6, shuffle=True, generator=self.generator)

    def val_dataloader(self):
        return DataLoader(self.data, 8)

    def test_dataloader(self):
        return DataLoader(self.data, 8)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        x, y = batch
        return torch.cat([x, torch.rand(len(x), 1)], dim=1), y


def all_batches(data, first, count):
    found = []
    while len(found) < count:
        loader = at(data, first + len(found)).train_dataloader()
        found += [x for x, _ in loader]
    return found[:count]


def test_loaders_of_a_datamodule_give_every_replica_its_own_batches(factory):
    data = ready(factory(Loaders), [3, 8])
    assert (data.steps_per_epoch, data.batch_size, data.num_classes, data.input_shape) == (4, 6, 2, (2,))
    epoch = all_batches(data, 0, 4)
    assert [tuple(x.shape) for x in epoch] == [(2, 6, 2)] * 3 + [(2, 2, 2)]
    shown = torch.cat([x[..., 0] for x in epoch], dim=1)
    assert all(sorted(row.tolist()) == list(range(20)) for row in shown)
    assert not torch.equal(shown[0], shown[1])
    (alone, *_) = all_batches(ready(factory(Loaders), [8], alone=True), 0, 1)
    assert torch.equal(alone, epoch[0][1])


@pytest.mark.parametrize("position", [1, 3, 4, 6])
def test_a_resumed_epoch_of_a_datamodule_is_replayed(factory, position):
    whole = all_batches(ready(factory(Loaders)), 0, 8)
    rest = all_batches(ready(factory(Loaders)), position, 8 - position)
    assert all(torch.equal(*pair) for pair in zip(whole[position:], rest, strict=True))
    assert not torch.equal(whole[0], whole[4])


def test_a_datamodule_is_evaluated_the_same_each_time_and_leaves_the_generators_alone(factory):
    data = ready(factory(Loaders))
    state = torch.get_rng_state()
    first, second = ([x for x, _ in data.val_dataloader()] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert torch.equal(first[0][0], first[0][1])
    assert torch.equal(torch.get_rng_state(), state)


def two_arrays():
    return X, Y


def wrong_name():
    return {"train": (X, Y), "tests": (X, Y)}


def no_test():
    return {"train": (X, Y)}


def other_lengths():
    return X, Y[:3], X, Y


def nothing_in_it():
    return X[:0], Y[:0], X, Y


def words():
    return np.array(["a", "b"]), Y[:2], X, Y


def channels_last():
    pictures = np.zeros((4, 8, 8, 3), np.uint8)
    return pictures, Y[:4], pictures, Y[:4]


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([1])


def stream():
    return Stream(), Stream()


def breaks():
    raise RuntimeError("the disk\nis gone")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_arrays, r"returns a tuple; allowed: \(x_train, y_train, x_test, y_test\)"),
        (wrong_name, "unknown split 'tests'; did you mean 'test'"),
        (no_test, "gives no 'test'"),
        (other_lengths, r"train: its arrays must have one length above 0, not \[3, 10\]"),
        (nothing_in_it, "train: its arrays must have one length above 0"),
        (words, "train: holds <U1 values; allowed: numbers"),
        (channels_last, r"pictures are \(4, 8, 8, 3\); allowed: \(number, channels, height, width\)"),
        (stream, "train: is an IterableDataset, whose items cannot be asked for by number"),
        (breaks, r"RuntimeError: the disk is gone \(.*test_own_data.py:\d+\)"),
        (pl.LightningDataModule, "LightningDataModule has no train_dataloader"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_used_is_one_line(factory, make, message):
    with pytest.raises(UserError, match=message) as error:
        ready(factory(make))
    assert str(error.value).count("\n") == 0
    assert "written:make" in str(error.value)


def test_how_a_datamodule_batches_cannot_be_set_and_numbers_of_a_base_are_left_out(factory):
    with pytest.raises(UserError, match=r"data.batch_size: 7 says nothing; written:make, a LightningDataModule"):
        ready(factory(Loaders, batch_size=7))
    with pytest.warns(UserWarning, match=r"data.num_train: 3 is not used; written:make, a LightningDataModule"):
        data = ready(factory(Loaders, num_train=3))
    assert data.info["num_train"] == ready(factory(Loaders)).info["num_train"] > 3


def test_validation_split_of_ones_own_stands_for_what_would_be_held_out(factory):
    with pytest.warns(UserWarning, match=r"data.num_validation: 2 is not used; .* a validation split of its own"):
        data = ready(factory(lambda: {"train": (X, Y), "test": (X, Y), "validation": (X[:3], Y[:3])}, num_validation=2))
    assert (data.info["num_train"], data.info["num_validation"]) == (10, 3)


def test_an_item_that_fails_is_one_line_with_its_place(factory):
    class Broken(Noisy):
        def __getitem__(self, index):
            if index == 7:
                raise ValueError("item seven")
            return super().__getitem__(index)

    data = ready(factory(lambda: (Broken(), Noisy(2)), batch_size=12))
    with pytest.raises(UserError, match=r"data.factory written:make: train: ValueError: item seven \(.*:\d+\)"):
        data.train_dataloader().batch(0)
