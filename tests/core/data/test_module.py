from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import prepare as prepare_file
from vgtemplate.data.batches import BatchOrder
from vgtemplate.data.module import PopulationData
from vgtemplate.data.sources import load_images
from vgtemplate.data.statistics import measure_channels

NOWHERE = Path("unused")
SEEDS = (3, 11, 4)


def build(num_probe_images=1000, seeds=SEEDS, **settings):
    data = PopulationData(DataConfig(**{"dataset": "digits", **settings}), seeds, NOWHERE, num_probe_images)
    data.setup("fit")
    return data


def whole_train(data):
    """The training images in the order of the official split."""
    return data._splits["train"].content


def evaluated(loader):
    parts = list(loader)
    return torch.cat([images[0] for images, _ in parts]), torch.cat([labels[0] for _, labels in parts])


def test_splits_are_the_first_the_last_and_the_official_test_images():
    official = load_images(DataConfig(dataset="digits"), NOWHERE)
    data = build(num_train=100, num_validation=30, scaling="unit")
    assert torch.equal(whole_train(data)[0], torch.tensor(official.train_images[:100]) / 16)
    assert torch.equal(whole_train(data)[1], torch.tensor(official.train_labels[:100]))
    images, labels = evaluated(data.val_dataloader())
    assert torch.equal(images, torch.tensor(official.train_images[-30:]) / 16)
    assert torch.equal(labels, torch.tensor(official.train_labels[-30:]))
    images, labels = evaluated(data.test_dataloader())
    assert torch.equal(images, torch.tensor(official.test_images) / 16)
    assert torch.equal(labels, torch.tensor(official.test_labels))


def test_unit_scaling_reaches_exactly_0_and_1():
    images = whole_train(build(scaling="unit"))[0]
    assert (images.min(), images.max()) == (0, 1)


@pytest.mark.parametrize("dataset", ["digits", "synthetic"])
def test_standardised_training_images_have_mean_0_and_deviation_1(dataset):
    images = whole_train(build(dataset=dataset, num_train=900))[0].double()
    assert images.mean().abs() < 1e-5
    assert (images.var(correction=0) - 1).abs() < 1e-5


def test_test_images_are_scaled_by_the_training_images_statistics():
    data, unit = build(num_train=200), build(num_train=200, scaling="unit")
    mean, std = data.info["mean"][0], data.info["std"][0]
    expected = (evaluated(unit.test_dataloader())[0] - mean) / std
    torch.testing.assert_close(evaluated(data.test_dataloader())[0], expected)
    raw = whole_train(unit)[0].double()
    assert mean == pytest.approx(raw.mean().item(), abs=1e-7)
    assert std == pytest.approx(raw.std(correction=0).item(), abs=1e-7)


def test_channels_are_measured_one_by_one():
    pixels = np.random.default_rng(0).integers(0, [100, 256, 30], (2500, 4, 4, 3)).astype(np.uint8)
    pixels = pixels.transpose(0, 3, 1, 2)
    mean, std = measure_channels(pixels, 255)
    np.testing.assert_allclose(mean, (pixels / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (pixels / 255).std((0, 2, 3)), rtol=1e-12)


def test_each_channel_of_colour_images_is_standardised(tiny_cifar):
    data = PopulationData(DataConfig(dataset="cifar10"), SEEDS, tiny_cifar)
    data.setup()
    images = whole_train(data)[0]
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3))


def test_constant_channel_is_only_centred(monkeypatch):
    official = load_images(DataConfig(dataset="digits"), NOWHERE)
    flat = replace(official, train_images=np.full_like(official.train_images, 8))
    monkeypatch.setattr(prepare_file, "load_images", lambda *_arguments: flat)
    data = build()
    assert (whole_train(data)[0] == 0).all()
    assert data.info["std"] == [0.0]
    assert evaluated(data.test_dataloader())[0].isfinite().all()


def test_info_says_what_was_used_and_what_was_asked_for():
    data = build(num_train=10_000, num_validation=37)
    assert data.info | {"mean": None, "std": None} == {
        "name": "digits",
        "fingerprint": load_images(DataConfig(dataset="digits"), NOWHERE).fingerprint,
        "num_train": 1400,
        "num_train_asked": 10_000,
        "num_validation": 37,
        "num_test": 360,
        "classes": [str(digit) for digit in range(10)],
        "input_shape": [1, 8, 8],
        "mean": None,
        "std": None,
    }
    assert data.input_shape == (1, 8, 8)
    assert data.num_classes == 10
    assert data.steps_per_epoch == 1400 // 128


def test_validation_that_leaves_no_training_image_is_an_error():
    with pytest.raises(
        UserError, match=r"data.num_validation: 1437 leaves nothing .* at most 1436, e.g. data.num_validation=287"
    ):
        build(num_validation=1437)
    assert build(num_validation=1436).info["num_train"] == 1


def test_training_and_validation_never_overlap():
    data = build(num_train=1437, num_validation=400, scaling="unit")
    assert data.info["num_train"] == 1037
    official = load_images(DataConfig(dataset="digits"), NOWHERE).train_images
    joined = torch.cat([whole_train(data)[0], evaluated(data.val_dataloader())[0]])
    assert torch.equal(joined, torch.tensor(official) / 16)


def test_train_loader_yields_the_order_of_its_seeds():
    data = build(num_train=50, batch_size=8)
    order = BatchOrder(SEEDS, 50, 8)
    batches = list(data.train_dataloader())
    assert len(batches) == len(data.train_dataloader()) == data.steps_per_epoch == 6
    for step, (images, labels) in enumerate(batches):
        assert images.shape == (3, 8, 1, 8, 8)
        assert images.dtype == torch.float32
        assert torch.equal(images, whole_train(data)[0][order.indices(step)])
        assert torch.equal(labels, whole_train(data)[1][order.indices(step)])


def test_replica_sees_the_same_batches_whatever_trains_beside_it():
    alone = build(seeds=(11,), num_train=50).train_dataloader()
    among = build(seeds=SEEDS, num_train=50).train_dataloader()
    for (one, one_labels), (many, many_labels) in zip(alone, among, strict=True):
        assert torch.equal(one[0], many[1])
        assert torch.equal(one_labels[0], many_labels[1])


def test_batch_larger_than_the_set_is_the_set():
    data = build(num_train=20, batch_size=500)
    assert data.steps_per_epoch == 1
    assert next(iter(data.train_dataloader()))[0].shape[:2] == (3, 20)


def test_probe_images_are_the_first_test_images():
    data = build(num_probe_images=17)
    assert torch.equal(data.probe_images(), evaluated(data.test_dataloader())[0][:17])
    assert len(build(num_probe_images=5000).probe_images()) == 360


def test_without_validation_images_there_is_no_validation_batch():
    loader = build().val_dataloader()
    assert len(loader) == 0
    assert list(loader) == []


def test_second_setup_loads_nothing(monkeypatch):
    data = build()
    monkeypatch.setattr(prepare_file, "load_images", lambda *_arguments: pytest.fail("loaded again"))
    before = whole_train(data)[0]
    data.setup("test")
    assert whole_train(data)[0].data_ptr() == before.data_ptr()


def trainer(rank=0, world_size=1, device="cpu"):
    progress = SimpleNamespace(total=SimpleNamespace(processed=0))
    return SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device(device)),
        global_rank=rank,
        world_size=world_size,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
    )


def build_at(rank, world_size, **settings):
    data = PopulationData(DataConfig(dataset="digits", **settings), SEEDS, NOWHERE)
    data.trainer = trainer(rank, world_size)
    data.setup()
    return data


def test_processes_partition_each_replicas_batch_and_the_test_images():
    whole = next(iter(build(num_train=50, batch_size=12).train_dataloader()))
    parts = [build_at(rank, 3, num_train=50, batch_size=12) for rank in range(3)]
    firsts = [next(iter(part.train_dataloader())) for part in parts]
    assert torch.equal(torch.cat([images for images, _ in firsts], dim=1), whole[0])
    assert torch.equal(torch.cat([labels for _, labels in firsts], dim=1), whole[1])
    seen = torch.cat([evaluated(part.test_dataloader())[0] for part in parts])
    assert torch.equal(seen, evaluated(build(num_train=50).test_dataloader())[0])


def test_batch_that_the_processes_cannot_share_is_an_error():
    with pytest.raises(UserError, match=r"data.batch_size: 10 cannot be shared equally by 3 devices.* multiples of 3"):
        build_at(0, 3, batch_size=10).train_dataloader()


def test_tensors_live_on_the_trainers_device():
    data = build()
    data.trainer = trainer(device="meta")
    data.setup("fit")
    assert data.probe_images().device.type == "meta"
    assert whole_train(data)[1].device.type == "meta"


@pytest.mark.real_data
def test_real_mnist_is_standardised_by_its_published_statistics(mnist_root):
    data = PopulationData(DataConfig(dataset="mnist", num_train=60_000), SEEDS, mnist_root)
    data.setup()
    assert data.info["mean"] == [pytest.approx(0.1307, abs=5e-5)]
    assert data.info["std"] == [pytest.approx(0.3081, abs=5e-5)]
    assert data.steps_per_epoch == 468
    assert data.input_shape == (1, 28, 28)
