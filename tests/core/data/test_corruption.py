"""Files damaged in every way, by hand and at random: the file is named in one line, and nothing is trained on it.

First damage that the checksum tells, through the real command line; then damage that it does not tell, because the
table of checksums is made to match: the content itself has to be refused.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import checksums
from vgtemplate.data.checksums import DataFile, md5_of
from vgtemplate.data.sources import load_images
from vgtemplate.data.unpickle import read_table

FEW = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Files = dict[str, bytes]


def write(files: Files, root: Path) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def publish(monkeypatch: pytest.MonkeyPatch, name: str, files: Files) -> None:
    """Make the table expect just these files."""
    rows = tuple(DataFile(path, md5_of(content), num_bytes=len(content)) for path, content in files.items())
    monkeypatch.setitem(checksums.FILES, name, rows)


@pytest.fixture
def cifar100_table(monkeypatch) -> Files:
    """Make the table expect a tiny CIFAR-100; return its files."""
    rng = np.random.default_rng(2)
    files = {"cifar-100-python/meta": pickle.dumps({"fine_label_names": [f"class {k}" for k in range(100)]}, 2)}
    for name, count in (("train", 20), ("test", 5)):
        table = {"data": rng.integers(0, 256, (count, 3072), np.uint8), "fine_labels": [7] * count}
        files[f"cifar-100-python/{name}"] = pickle.dumps(table, 2)
    files = {path: files[path] for path in sorted(files, key=lambda path: ("train", "test", "meta").index(path[17:]))}
    publish(monkeypatch, "cifar100", files)
    return files


@pytest.fixture
def data_set(request, tmp_path):
    """Return a data set's name and files, which lie in the data folder."""
    tables = {
        "mnist": "mnist_table",
        "kmnist": "kmnist_table",
        "cifar10": "cifar_table",
        "cifar100": "cifar100_table",
    }
    files = request.getfixturevalue(tables[request.param])
    write(files, tmp_path)
    return request.param, files


def truncations(content: bytes) -> Files:
    lengths = sorted({0, 1, 3, 4, 7, 8, 15, 16, 17, len(content) // 2, len(content) - 1} & set(range(len(content))))
    return {f"truncated to {length}": content[:length] for length in lengths}


def flipped(content: bytes, position: int, mask: int = 1) -> bytes:
    return content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :]


def damages(content: bytes, seed: int) -> Files:
    """Return a file's damaged contents by what was done."""
    draw = random.Random(seed)
    positions = {0, 1, 2, 3, 4, 7, len(content) - 1} | {draw.randrange(len(content)) for _ in range(8)}
    contents = truncations(content)
    contents |= {f"byte {at} flipped": flipped(content, at, 1 << draw.randrange(8)) for at in sorted(positions)}
    contents["packed"] = gzip.compress(content)
    contents["unpacked twice"] = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else b"plain"
    contents["web page"] = b"<html><body>404 not found</body></html>"
    contents["zeros"] = bytes(len(content))
    contents["longer"] = content + b"\0"
    contents["doubled"] = content * 2
    contents["wrong magic"] = b"\x7fELF" + content[4:]
    contents["one more in the header"] = content[:4] + (int.from_bytes(content[4:8]) + 1).to_bytes(4) + content[8:]
    return {what: damaged for what, damaged in contents.items() if damaged != content}


def replace_by_folder(path: Path) -> None:
    path.mkdir()


def replace_by_link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def replace_by_loop(path: Path) -> None:
    path.symlink_to(path.name)


def replace_by_pipe(path: Path) -> None:
    os.mkfifo(path)


def replace_by_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def replace_by_nothing(_path: Path) -> None:
    pass


REPLACEMENTS = (
    replace_by_folder,
    replace_by_link_to_nowhere,
    replace_by_loop,
    replace_by_pipe,
    replace_by_device,
    replace_by_nothing,
)


@pytest.fixture
def assert_never_trained(call_vgt, tmp_path, monkeypatch) -> Callable[[str, str], None]:
    """Check that no command comes as far as training on a data set, and that each names the file."""
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    monkeypatch.setenv("VGT_DATA_DIR", ".")

    def check(name: str, path: str) -> None:
        for option in ("--dry-run", "--no-tracking"):
            ended = call_vgt("train", "it.yaml", option, "--dataset", name)
            assert ended.refused, (option, ended)
            assert path in ended.err, (option, ended)
        assert not Path("results").exists()

    return check


SETS = ["mnist", "kmnist", "cifar10", "cifar100"]
INDEX = [(name, index) for name, count in zip(SETS, (4, 4, 7, 3), strict=True) for index in range(count)]


@pytest.mark.parametrize(("data_set", "index"), INDEX, indirect=["data_set"])
def test_damage_that_the_checksum_tells(data_set, index, tmp_path, assert_never_trained):
    name, files = data_set
    path = list(files)[index]
    for damaged in damages(files[path], index).values():
        (tmp_path / path).write_bytes(damaged)
        assert_never_trained(name, path)


@pytest.mark.parametrize("replace", REPLACEMENTS, ids=lambda replace: replace.__name__)
@pytest.mark.parametrize(("data_set", "index"), INDEX, indirect=["data_set"])
def test_something_else_in_the_place_of_a_file(data_set, index, replace, tmp_path, assert_never_trained):
    name, files = data_set
    path = list(files)[index]
    (tmp_path / path).unlink()
    replace(tmp_path / path)
    assert_never_trained(name, path)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody for a while: to root every file is readable."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("what", ["the file", "its folder"])
@pytest.mark.parametrize(("data_set", "index"), [(name, 0) for name in SETS], indirect=["data_set"])
def test_file_that_may_not_be_read(data_set, index, what, tmp_path, assert_never_trained):
    name, files = data_set
    path = list(files)[index]
    place = tmp_path / path if what == "the file" else (tmp_path / path).parent
    tmp_path.chmod(0o755)
    place.chmod(0)
    try:
        with without_privileges():
            assert_never_trained(name, path)
    finally:
        place.chmod(0o755)


@pytest.mark.parametrize(("data_set", "other"), [("mnist", "cifar10"), ("cifar10", "mnist")], indirect=["data_set"])
def test_files_exchanged_for_each_other(data_set, other, tmp_path, assert_never_trained):
    name, files = data_set
    first, *_, last = files
    (tmp_path / first).write_bytes(files[last])
    assert_never_trained(name, first)
    (tmp_path / first).write_bytes(files[first])
    (tmp_path / last).write_bytes(files[first])
    assert_never_trained(name, last)


def header(*sizes: int, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(sizes)]) + b"".join(size.to_bytes(4) for size in sizes)


PIXELS = bytes(30 * 28 * 28)
CONTENTS = {
    # Index of the file among train images, train labels, test images, test labels; its content.
    "magic": (0, b"\x01" + header(30, 28, 28)[1:] + PIXELS),
    "of floats": (0, header(30, 28, 28, kind=13) + PIXELS),
    "one image too many in the header": (0, header(31, 28, 28) + PIXELS),
    "one image too few in the header": (0, header(29, 28, 28) + PIXELS),
    "as many pixels otherwise": (0, header(28, 30, 28) + PIXELS),
    "one axis": (0, header(30 * 28 * 28) + PIXELS),
    "two axes": (0, header(30, 28 * 28) + PIXELS),
    "sizes that overflow to the right number": (0, header(2**32 - 1, 2**31, 2**31, 0) + PIXELS),
    "sizes of 2**96": (0, header(2**31, 2**31, 2**31) + PIXELS),
    "255 axes": (0, b"\0\0\x08\xff" + PIXELS),
    "no axes": (0, b"\0\0\x08\0" + PIXELS),
    "no images": (0, header(0, 28, 28)),
    "images of no size": (0, header(30, 0, 28)),
    "empty": (0, b""),
    "a label too many": (1, header(31) + bytes(31)),
    "a label too few": (1, header(29) + bytes(29)),
    "labels in a table": (1, header(30, 1) + bytes(30)),
    "a label beyond the classes": (1, header(30) + bytes(29) + b"\x0a"),
    "a label of 255": (3, header(12) + b"\xff" + bytes(11)),
    "no labels": (3, header(0)),
    "test images of another size": (2, header(12, 14, 56) + bytes(12 * 28 * 28)),
    "images for labels": (1, header(30, 28, 28) + PIXELS),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_idx_content_that_cannot_be_is_refused_whatever_its_checksum(mnist_table, tmp_path, monkeypatch, what):
    index, content = CONTENTS[what]
    files = dict(mnist_table)
    files[list(files)[index]] = content
    write(files, tmp_path)
    publish(monkeypatch, "mnist", files)
    with pytest.raises(UserError) as error:
        load_images(DataConfig(dataset="mnist"), tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300


def rewrite_cifar(files: Files, **changes: object) -> Files:
    """Return the files with `data` or `labels` of the first batch, or the class names, changed or (None) dropped."""
    changed = dict(files)
    for path in ("cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"):
        table = {**pickle.loads(files[path]), **{key: value for key, value in changes.items() if value is not None}}
        changed[path] = pickle.dumps({key: value for key, value in table.items() if changes.get(key, 0) is not None}, 2)
    return changed


CIFAR_CHANGES = {
    "no pixels": {"data": None},
    "no labels": {"labels": None},
    "no class names": {"label_names": None},
    "a picture too many": {"data": np.zeros((9, 3072), np.uint8)},
    "pictures of another size": {"data": np.zeros((8, 3071), np.uint8)},
    "text for pixels": {"data": "pixels"},
    "pixels beyond a byte": {"data": [[300] * 3072] * 8},
    "objects for pixels": {"data": np.full((8, 3072), None)},
    "a label beyond the classes": {"labels": [10] * 8},
    "a negative label": {"labels": [-1] * 8},
    "text for labels": {"labels": ["cat"] * 8},
    "a number for class names": {"label_names": 10},
}


@pytest.mark.parametrize("change", CIFAR_CHANGES)
def test_cifar_content_that_cannot_be_is_refused_whatever_its_checksum(cifar_table, tmp_path, monkeypatch, change):
    files = rewrite_cifar(cifar_table, **CIFAR_CHANGES[change])
    write(files, tmp_path)
    publish(monkeypatch, "cifar10", files)
    with pytest.raises(UserError, match="cifar10: ") as error:
        load_images(DataConfig(dataset="cifar10"), tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_content_that_cannot_be_is_never_trained_on(mnist_table, tmp_path, monkeypatch, call_vgt):
    """Through the real command, which plans by checksum and finds out when it loads; one content for each file."""
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    monkeypatch.setenv("VGT_DATA_DIR", ".")
    for index, content in dict(CONTENTS.values()).items():
        files = dict(mnist_table)
        files[list(files)[index]] = content
        write(files, tmp_path)
        publish(monkeypatch, "mnist", files)
        ended = call_vgt("train", "it.yaml", "--dataset", "mnist", "--no-tracking", "--accelerator", "cpu")
        assert ended.refused, ended
        assert not list(tmp_path.glob("results/*/record.json"))


def read_or_refuse(content: bytes) -> None:
    """Read a pickle: a table, or a UserError of one line."""
    refusal = ""
    try:
        assert isinstance(read_table(content, "batch"), dict)
    except UserError as error:
        refusal = str(error)
    assert len(refusal.splitlines()) <= 1


TABLE = pickle.dumps({"data": np.arange(24, dtype=np.uint8).reshape(2, 12), "labels": [3, 4]}, protocol=2)
FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4)


@FEW
@given(FLIPS)
def test_any_bytes_changed_in_a_pickle(flips):
    """Millions of other changes: `python -m benchmarks.reliability fuzz`."""
    damaged = bytearray(TABLE)
    for place, value in flips:
        damaged[int(place * (len(damaged) - 1))] = value
    read_or_refuse(bytes(damaged))


@pytest.mark.parametrize("number", [100, 2**27, 2**32 - 1])
def test_pickle_that_would_have_memory_made_for_what_it_does_not_hold_is_refused(number):
    put = b"\x80\x02}r" + number.to_bytes(4, "little") + b"."
    with pytest.raises(UserError, match=f"it numbers an object {number}"):
        read_table(put, "a file")
    assert read_table(b"\x80\x02}r\x01\x00\x00\x00.", "a file") == {}


@FEW
@given(st.binary(max_size=60))
def test_any_bytes_as_a_pickle(content):
    read_or_refuse(content)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_mnist_with_any_byte_flipped_is_refused(mnist_root, tmp_path, call_vgt, monkeypatch):
    monkeypatch.setenv("VGT_DATA_DIR", ".")
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    sources = [checksums.locate(row, mnist_root)[0] for row in checksums.FILES["mnist"]]
    for source in sources:
        (tmp_path / source.relative_to(mnist_root)).symlink_to(source)
    draw = random.Random(0)
    for source in sources:
        content, path = source.read_bytes(), tmp_path / source.relative_to(mnist_root)
        for _ in range(4):
            # Of an archive, its first ten bytes and its last eight say nothing of the content.
            place = draw.randrange(10, len(content) - 8)
            path.unlink()
            path.write_bytes(flipped(content, place, 1 << draw.randrange(8)))
            ended = call_vgt("train", "it.yaml", "--dataset", "mnist", "--dry-run")
            assert ended.refused, ended
            assert path.name in ended.err
        path.write_bytes(content)
