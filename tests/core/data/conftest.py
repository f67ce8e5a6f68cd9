"""Tiny stand-ins for the published files, in the published formats, with their own checksums in the table."""

import gzip
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

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
def kmnist_table(monkeypatch):
    """Make the table expect a tiny KMNIST, known by its archives; return raw files and archives."""
    files, rows = {}, []
    for name, content in idx_contents().items():
        archive = gzip.compress(content, mtime=0)
        files |= {f"KMNIST/raw/{name}": content, f"KMNIST/raw/{name}.gz": archive}
        rows.append(DataFile(f"KMNIST/raw/{name}", archive_md5=md5(archive), num_bytes=len(content)))
    monkeypatch.setitem(checksums.FILES, "kmnist", tuple(rows))
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


@pytest.fixture(scope="session")
def real_mnist():
    """Return the folder of the real MNIST; where VGT_DATA_DIR is set it must be there."""
    given = os.environ.get("VGT_DATA_DIR")
    root = Path(given or "data")
    if not given and not (root / "MNIST").is_dir():
        pytest.skip("MNIST is not in data/, and VGT_DATA_DIR is not set")
    return root
