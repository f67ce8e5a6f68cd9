import gzip
import pickle

import numpy as np
import pytest
import torchvision.datasets
from sklearn.datasets import load_digits

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import checksums
from vgtemplate.data.checksums import DataFile, md5_of
from vgtemplate.data.sources import load_images, read_idx


def assert_same_as_torchvision(images, dataset, root):
    for train, pixels, labels in (
        (True, images.train_images, images.train_labels),
        (False, images.test_images, images.test_labels),
    ):
        official = dataset(root, train=train, download=False)
        expected = np.asarray(official.data)
        expected = expected[:, None] if expected.ndim == 3 else expected.transpose(0, 3, 1, 2)
        assert np.array_equal(pixels, expected)
        assert pixels.dtype == np.uint8
        assert np.array_equal(labels, np.asarray(official.targets))
        assert labels.dtype == np.int64


def test_idx_files_are_read_as_torchvision_reads_them(tiny_mnist, tiny_kmnist):
    mnist = load_images(DataConfig(dataset="mnist"), tiny_mnist)
    kmnist = load_images(DataConfig(dataset="kmnist"), tiny_kmnist)
    for path in (tiny_kmnist / "KMNIST/raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert_same_as_torchvision(mnist, torchvision.datasets.MNIST, tiny_mnist)
    assert_same_as_torchvision(kmnist, torchvision.datasets.KMNIST, tiny_kmnist)


def patch_cifar(monkeypatch, dataset, rows):
    md5s = {row.path.split("/")[1]: row.md5 for row in rows}
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, name, [[file, md5s[file]] for file, _ in getattr(dataset, name)])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": md5s[dataset.meta["filename"]]})


def test_cifar10_is_read_as_torchvision_reads_it(tiny_cifar, monkeypatch):
    patch_cifar(monkeypatch, torchvision.datasets.CIFAR10, checksums.FILES["cifar10"])
    images = load_images(DataConfig(dataset="cifar10"), tiny_cifar)
    assert_same_as_torchvision(images, torchvision.datasets.CIFAR10, tiny_cifar)
    assert images.classes == tuple("abcdefghij")


def test_cifar100_is_read_with_its_fine_labels(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    contents = {"meta": pickle.dumps({"fine_label_names": [f"class {k}" for k in range(100)]}, protocol=2)}
    for name, count in (("train", 40), ("test", 9)):
        table = {
            "data": rng.integers(0, 256, (count, 3072), np.uint8),
            "fine_labels": rng.integers(0, 100, count).tolist(),
            "coarse_labels": rng.integers(0, 20, count).tolist(),
        }
        contents[name] = pickle.dumps(table, protocol=2)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    rows = tuple(DataFile(f"cifar-100-python/{name}", md5_of(contents[name])) for name in ("train", "test", "meta"))
    monkeypatch.setitem(checksums.FILES, "cifar100", rows)
    patch_cifar(monkeypatch, torchvision.datasets.CIFAR100, rows)
    images = load_images(DataConfig(dataset="cifar100"), tmp_path)
    assert_same_as_torchvision(images, torchvision.datasets.CIFAR100, tmp_path)
    assert images.classes[99] == "class 99"


def test_digits_are_scikit_learns_in_their_order_and_values(tmp_path):
    images = load_images(DataConfig(dataset="digits"), tmp_path)
    official = load_digits()
    pixels = np.concatenate([images.train_images, images.test_images])
    assert np.array_equal(pixels[:, 0], official.images)
    assert np.array_equal(np.concatenate([images.train_labels, images.test_labels]), official.target)
    assert (len(images.train_labels), len(images.test_labels)) == (1437, 360)
    assert (pixels.min(), pixels.max(), images.max_value) == (0, 16, 16)


def test_class_names_are_torchvisions(tiny_kmnist):
    from vgtemplate.data.sources import _CLASSES

    assert list(_CLASSES["kmnist"]) == torchvision.datasets.KMNIST.classes
    assert list(_CLASSES["fashion_mnist"]) == torchvision.datasets.FashionMNIST.classes
    assert [name[0] for name in torchvision.datasets.MNIST.classes] == list(_CLASSES["mnist"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x01\0\0\0\x02a",
        b"\0\0\x08\x01\0\0\0\x02abc",
        b"\0\0\x0d\x01\0\0\0\x02ab",
        b"\x1f\x8b\x08\0",
        b"\0\0\x08\x04\0\0\0\x03\0\0",
        b"\0\0\x08\x05" + b"\xd4" * 12 + bytes(4) + b"\0\0\xde\0",
        b"\0\0\x08\xff" + bytes(4 * 255),
    ],
    ids=["empty", "no axes", "short", "long", "floats", "still packed", "half an axis", "empty and long", "255 axes"],
)
def test_content_that_is_no_idx_file_is_an_error(content):
    with pytest.raises(UserError, match="some/file: is no IDX file"):
        read_idx(content, "some/file")


def test_synthetic_images_are_always_the_same_and_shaped_like_mnist(tmp_path):
    first, second = (load_images(DataConfig(dataset="synthetic"), tmp_path) for _ in range(2))
    assert np.array_equal(first.train_images, second.train_images)
    assert np.array_equal(first.test_labels, second.test_labels)
    assert first.train_images.shape[1:] == (1, 28, 28)
    assert first.train_images.dtype == np.uint8
    assert np.bincount(first.train_labels).tolist() == [2000] * 10


def test_synthetic_classes_have_the_stated_centres_and_deviations(tmp_path):
    images = load_images(DataConfig(dataset="synthetic"), tmp_path)
    pixels = images.train_images[:, 0].astype(np.float64)
    centres = np.stack([pixels[images.train_labels == label].mean(0) for label in range(10)])
    assert centres.std(0).mean() == pytest.approx(12, rel=0.1)
    within = pixels - centres[images.train_labels]
    # Clipping to 0..255 takes a little off the deviation.
    assert within.std() == pytest.approx(48, rel=0.05)
    nearest = ((images.test_images[:500, 0].reshape(500, 1, -1) - centres.reshape(1, 10, -1)) ** 2).sum(-1).argmin(1)
    assert (nearest == images.test_labels[:500]).mean() > 0.95


def test_synthetic_fingerprint_changes_with_every_constant(monkeypatch):
    from vgtemplate.data import synthetic

    fingerprints = {synthetic.synthetic_fingerprint()}
    names = ("NUM_CLASSES", "NUM_TRAIN", "NUM_TEST", "SIDE", "SEED", "MEAN", "CLASS_STD", "NOISE_STD")
    for name in names:
        with monkeypatch.context() as patch:
            patch.setattr(synthetic, name, getattr(synthetic, name) + 1)
            fingerprints.add(synthetic.synthetic_fingerprint())
    assert len(fingerprints) == 1 + len(names)


@pytest.mark.real_data
def test_real_mnist_has_the_official_splits_and_published_statistics(mnist_root, tmp_path):
    images = load_images(DataConfig(dataset="mnist"), mnist_root)
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for file in checksums.FILES["mnist"]:
        # torchvision reads no archive.
        (tmp_path / file.path).write_bytes(checksums.read_verified("mnist", file, mnist_root))
    assert_same_as_torchvision(images, torchvision.datasets.MNIST, tmp_path)
    assert images.train_images.shape == (60_000, 1, 28, 28)
    assert images.test_images.shape == (10_000, 1, 28, 28)
    assert images.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert images.train_images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
