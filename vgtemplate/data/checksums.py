"""The files of each data set and the checksums that decide whether a file may be used.

Never decodes a file and never touches the network; a file is trusted for its checksum, never for its name or size.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from vgtemplate.config.catalogue import DATASETS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.extras import describe_missing
from vgtemplate.config.inputs import check_file

State = Literal["ok", "missing", "truncated", "altered", "unverifiable"]
RACY_NANOSECONDS = 2_000_000_000
"""Two changes within the file system's clock tick leave one time stamp: a file that is younger is read anew."""
_MOST_BYTES = 2**28
"""More than any file holds whose size is not published."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set, with what is published of it."""

    path: str
    """Relative to the data folder; the file may also lie there gzipped, under this name and `.gz`."""
    md5: str
    """Of the file; of what it unpacks to if it lies there gzipped, since everybody's archive is another."""
    num_bytes: int | None = None
    """The file's size; None where it is not published."""


@dataclass(frozen=True)
class FileState:
    """Whether a file may be used, and if not, why not."""

    name: str
    state: State
    detail: str = ""


def _idx_files(folder: str, *md5s: str) -> tuple[DataFile, ...]:
    sizes = {
        "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
        "train-labels-idx1-ubyte": 8 + 60_000,
        "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
        "t10k-labels-idx1-ubyte": 8 + 10_000,
    }
    return tuple(DataFile(f"{folder}/raw/{name}", md5, sizes[name]) for name, md5 in zip(sizes, md5s, strict=True))


# CIFAR's md5, and that of KMNIST's archives, are torchvision's (torchvision/datasets/cifar.py, mnist.py). MNIST's and
# Fashion-MNIST's are of the files that torchvision's archives unpack to, as many projects publish them.
FILES: Mapping[str, tuple[DataFile, ...]] = {
    "mnist": _idx_files(
        "MNIST",
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion_mnist": _idx_files(
        "FashionMNIST",
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    "kmnist": (
        DataFile("KMNIST/raw/train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        DataFile("KMNIST/raw/train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        DataFile("KMNIST/raw/t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        DataFile("KMNIST/raw/t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ),
    "cifar10": (
        DataFile("cifar-10-batches-py/data_batch_1", "c99cafc152244af753f735de768cd75f", num_bytes=31_035_704),
        DataFile("cifar-10-batches-py/data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec", num_bytes=31_035_320),
        DataFile("cifar-10-batches-py/data_batch_3", "54ebc095f3ab1f0389bbae665268c751", num_bytes=31_035_999),
        DataFile("cifar-10-batches-py/data_batch_4", "634d18415352ddfa80567beed471001a", num_bytes=31_035_696),
        DataFile("cifar-10-batches-py/data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb", num_bytes=31_035_623),
        DataFile("cifar-10-batches-py/test_batch", "40351d587109b95175f43aff81a1287e", num_bytes=31_035_526),
        DataFile("cifar-10-batches-py/batches.meta", "5ff9c542aee3614f3951f8cda6e48888", num_bytes=158),
    ),
    "cifar100": (
        DataFile("cifar-100-python/train", "16019d7e3df5f24257cddd939b257f8d", num_bytes=155_249_918),
        DataFile("cifar-100-python/test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        DataFile("cifar-100-python/meta", "7973b15100ade9c7d40fb424638fde48"),
    ),
}

DIGITS_MD5 = "a0339c30a8a5312a1b6f9e5c719dcce5"
"""Of scikit-learn's digits.csv, unpacked; the same in its releases 1.6 to 1.9."""


def digits_path() -> Path:
    """Return where scikit-learn keeps its digits, less `.gz`, without importing it; UserError if it is absent."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError(f"data set 'digits' comes with scikit-learn; {describe_missing('sklearn')}")
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv"


def files_of(name: str) -> tuple[DataFile, ...]:
    """Return the files of a data set; none for one that is drawn or lies in a folder of the user's.

    Raises:
        UserError: there is no data set of this name, or it is digits and scikit-learn is not installed.
    """
    check_name("data set", name, DATASETS)
    return (DataFile(str(digits_path()), DIGITS_MD5),) if name == "digits" else FILES.get(name, ())


def md5_of(content: bytes) -> str:
    """Return the md5 of bytes."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def exists(path: Path) -> bool:
    """Say whether there is something at a path; False also where that cannot be known."""
    return os.access(path, os.F_OK)


def locate(file: DataFile, root: Path) -> tuple[Path, bool]:
    """Return where a file lies, and whether it is gzipped there; one that is not is taken first."""
    path = root / file.path
    packed = path.with_name(f"{path.name}.gz")
    return (packed, True) if exists(packed) and not exists(path) else (path, False)


def _read(path: Path, is_packed: bool, most: int) -> bytes:
    """Return what a file holds, unpacked; of more than `most` bytes, the first `most` and one more."""
    with gzip.open(path) if is_packed else path.open("rb") as file:
        return file.read(most + 1)


@lru_cache(maxsize=256)
def _measure_once(path: Path, is_packed: bool, most: int, *_identity: int) -> tuple[str, int]:
    content = _read(path, is_packed, most)
    return md5_of(content), len(content)


def _measure(path: Path, is_packed: bool, most: int, status: os.stat_result) -> tuple[str, int]:
    """Return md5 and length of what a file holds, remembered in this process while inode, size and times stay the same.

    Each process reads a file once. That its time of modification was set back does not hide a change: the kernel notes
    when a file was last changed (`ctime`), and no program can set that.
    """
    times = status.st_mtime_ns, status.st_ctime_ns
    is_young = time.time_ns() - max(times) < RACY_NANOSECONDS
    measure = _measure_once.__wrapped__ if is_young else _measure_once
    return measure(path, is_packed, most, status.st_ino, status.st_size, *times)


def check(file: DataFile, root: Path) -> FileState:
    """Return the state of one file."""
    path, is_packed = locate(file, root)
    try:
        status = check_file(path)
        found, size = _measure(path, is_packed, file.num_bytes or _MOST_BYTES, status)
    except FileNotFoundError:
        return FileState(str(path), "missing", "no such file")
    except EOFError:
        return FileState(str(path), "truncated", "the archive ends early")
    except (gzip.BadGzipFile, zlib.error) as error:
        return FileState(str(path), "altered", f"no intact gzip archive: {error}")
    except (OSError, ValueError) as error:
        return FileState(str(path), "unverifiable", f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if found == file.md5:
        return FileState(str(path), "ok")
    if size < (file.num_bytes or 1):
        return FileState(str(path), "truncated", f"{size:,} bytes, should be {file.num_bytes or 'more'}")
    return FileState(str(path), "altered", f"md5 {found}, should be {file.md5}")


def verify(name: str, root: Path) -> list[FileState]:
    """Return the state of every file of a data set; raise UserError if there is none of this name."""
    return [check(file, root) for file in files_of(name)]


def refusal(name: str, state: FileState) -> UserError:
    """Return the error that says why a file of data set `name` is not used, and what to do."""
    cure = f"run `vgt data fetch {name}`, or set VGT_DATA_DIR to a folder that has it intact"
    cure = "install scikit-learn anew" if name == "digits" else cure
    return UserError(f"{state.name}: {state.state} ({state.detail}), so nothing is trained on it; {cure}")


def require_intact(name: str, root: Path) -> None:
    """Raise UserError naming the first file that is missing, truncated, altered or unverifiable."""
    for state in verify(name, root):
        if state.state != "ok":
            raise refusal(name, state)


def read_verified(name: str, file: DataFile, root: Path) -> bytes:
    """Return a file's bytes, unpacked, these very bytes having been verified; raise UserError if they are not right."""
    path, is_packed = locate(file, root)
    try:
        check_file(path)
        content = _read(path, is_packed, file.num_bytes or _MOST_BYTES)
    except (OSError, ValueError, EOFError, zlib.error):
        content = b""
    if md5_of(content) != file.md5:
        raise refusal(name, check(file, root))
    return content


def content_hash(*parts: str | bytes | memoryview) -> str:
    """Return the fingerprint of a sequence of parts."""
    digest = hashlib.sha256()
    for part in parts:
        # A file's name need not be UTF-8.
        content = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()[:32]


def files_fingerprint(name: str) -> str:
    """Return the fingerprint of a data set whose files are intact: the same wherever and however they are kept."""
    return content_hash(name, *(file.md5 for file in files_of(name)))
