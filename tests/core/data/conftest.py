"""Tiny stand-ins for the published files, in the published formats, with their own checksums in the table."""

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.core.data.pictures import CLASSES, COLOUR, save
from vgtemplate.data import checksums
from vgtemplate.data.checksums import DataFile

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def idx_contents(num_train: int = 30, num_test: int = 12) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    arrays = []
    for count in (num_train, num_test):
        arrays += [rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count, np.uint8)]
    return dict(zip(NAMES, map(idx, arrays), strict=True))


def write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def mnist_table(monkeypatch):
    """Make the table expect a tiny MNIST, which is nowhere yet; return its raw files."""
    files = {f"MNIST/raw/{name}": content for name, content in idx_contents().items()}
    rows = tuple(DataFile(path, md5(content), num_bytes=len(content)) for path, content in files.items())
    monkeypatch.setitem(checksums.FILES, "mnist", rows)
    return files


@pytest.fixture
def tiny_mnist(mnist_table, tmp_path):
    """Return a data folder that holds a tiny MNIST."""
    write(mnist_table, tmp_path)
    return tmp_path


@pytest.fixture
def packed_mnist(mnist_table, tmp_path):
    """Return a data folder that holds a tiny MNIST, every file gzipped by somebody."""
    write({f"{path}.gz": gzip.compress(content, 1) for path, content in mnist_table.items()}, tmp_path)
    return tmp_path


@pytest.fixture
def kmnist_table(monkeypatch):
    """Make the table expect a tiny KMNIST, known by its archives, which are nowhere yet; return them."""
    files = {f"KMNIST/raw/{name}.gz": gzip.compress(content, mtime=0) for name, content in idx_contents().items()}
    rows = tuple(DataFile(path, md5(archive)) for path, archive in files.items())
    monkeypatch.setitem(checksums.FILES, "kmnist", rows)
    return files


@pytest.fixture
def tiny_kmnist(kmnist_table, tmp_path):
    """Return a data folder that holds a tiny KMNIST."""
    write(kmnist_table, tmp_path)
    return tmp_path


def cifar_batch(seed: int, labels: str, count: int = 8) -> bytes:
    rng = np.random.default_rng(seed)
    return pickle.dumps(
        {"data": rng.integers(0, 256, (count, 3072), np.uint8), labels: rng.integers(0, 10, count).tolist()}, protocol=2
    )


@pytest.fixture
def cifar_table(monkeypatch):
    """Make the table expect a tiny CIFAR-10; return its files."""
    folder = "cifar-10-batches-py"
    files = {f"{folder}/data_batch_{index}": cifar_batch(index, "labels") for index in range(1, 6)}
    files[f"{folder}/test_batch"] = cifar_batch(6, "labels")
    files[f"{folder}/batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")}, protocol=2)
    rows = tuple(DataFile(path, md5(content), num_bytes=len(content)) for path, content in files.items())
    monkeypatch.setitem(checksums.FILES, "cifar10", rows)
    return files


@pytest.fixture
def tiny_cifar(cifar_table, tmp_path):
    """Return a data folder that holds a tiny CIFAR-10."""
    write(cifar_table, tmp_path)
    return tmp_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder that only this test sees."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vgtemplate" / "pictures"


@pytest.fixture
def pictures(tmp_path, cache):
    """A folder of 3 colour pictures a class and split, 5 wide and 6 high."""
    for split, name in enumerate(("train", "test")):
        for label, class_name in enumerate(CLASSES):
            for index in range(3):
                save(tmp_path / "pictures" / name / class_name / f"{index}.png", COLOUR[split, label, index])
    return tmp_path / "pictures"
