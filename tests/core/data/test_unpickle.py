"""A pickle is a program: none of it may run, whatever its checksum says."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import pickle
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import checksums
from vgtemplate.data.checksums import DataFile, md5_of
from vgtemplate.data.sources import load_images
from vgtemplate.data.unpickle import read_table


class Calling:
    """Pickles to a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call


def opcodes(module: str, name: str, argument: str) -> dict[str, bytes]:
    """The ways in which the opcodes can name and call a function of one text."""
    text = b"X" + struct.pack("<I", len(argument.encode())) + argument.encode()
    names = [b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)]
    path = f"{module}\n{name}\n".encode()
    return {
        "GLOBAL and REDUCE": b"\x80\x02c" + path + text + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + names[0] + names[1] + b"\x93" + text + b"\x85R.",
        "INST": b"(" + text + b"i" + path + b".",
        "OBJ": b"(c" + path + text + b"o.",
    }


def programs(mark: Path) -> dict[str, bytes]:
    """Pickles that create the file `mark` if they are loaded as any pickle is."""
    command, source = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    calls: dict[str, Any] = {
        "os.system": Calling(os.system, command),
        "eval": Calling(eval, source),
        "exec": Calling(exec, source),
        "open": Calling(open, str(mark), "w"),
        "subprocess": Calling(subprocess.check_call, ["touch", str(mark)]),
        "inside an argument": Calling(np.array, [Calling(os.system, command)]),
        "of a partial function": Calling(functools.reduce, operator.add, [Calling(eval, source), 1]),
        "inside a table": {"data": np.zeros((8, 3072), np.uint8), "labels": [Calling(os.mkdir, str(mark))]},
        "an array of objects": {"data": np.array([Calling(os.mkdir, str(mark))], dtype=object)},
    }
    found = {name: pickle.dumps(call, 2) for name, call in calls.items()}
    return found | opcodes("posix", "system", command) | {"os.path": opcodes("os", "mkdir", str(mark))["STACK_GLOBAL"]}


NAMES = list(programs(Path("mark")))


@pytest.mark.parametrize("name", NAMES)
def test_program_would_run_anywhere_else_and_does_not_run_here(tmp_path, name):
    mark = tmp_path / "mark"
    program = programs(mark)[name]
    with pytest.raises(UserError, match=r"^batch: is no pickled table of pictures \(.*\)$"):
        read_table(program, "batch")
    assert not mark.exists()
    # The control: a plain load does run it, so the test above tests something.
    with contextlib.suppress(Exception):
        pickle.loads(program)
    assert mark.exists()


@pytest.mark.parametrize("file", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
@pytest.mark.parametrize("name", NAMES)
def test_program_with_the_right_checksum_is_refused(cifar_table, tmp_path, monkeypatch, name, file):
    mark = tmp_path / "mark"
    path = f"cifar-10-batches-py/{file}"
    files = {**cifar_table, path: programs(mark)[name]}
    for each, content in files.items():
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).write_bytes(content)
    rows = tuple(DataFile(each, md5_of(content)) for each, content in files.items())
    monkeypatch.setitem(checksums.FILES, "cifar10", rows)
    with pytest.raises(UserError, match=f"^cifar10: {file}: is no pickled table of pictures"):
        load_images(DataConfig(dataset="cifar10"), tmp_path)
    assert not mark.exists()


def python_2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A batch as cPickle of Python 2 and NumPy 1 wrote it in 2009: protocol 2, bytes as text."""
    rows, columns = pixels.shape
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85U\x01b\x87Rq\x06"
        + (b"(K\x01M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", columns) + b"\x86")
        + b"cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87Rq\x08(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"T" + struct.pack("<I", pixels.nbytes) + pixels.tobytes() + b"tb")
    )
    return b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(" + numbers + b"eU\x04data" + array + b"u."


def test_batch_of_python_2_is_read_as_pickle_reads_it():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)
    content = python_2_batch(pixels, [3, 8, 0, 9])
    table, expected = read_table(content, "batch"), pickle.loads(content, encoding="latin1")
    assert table["labels"] == expected["labels"] == [3, 8, 0, 9]
    assert np.array_equal(table["data"], expected["data"])
    assert np.array_equal(table["data"], pixels)
    assert table["data"].dtype == np.uint8


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("order", ["C", "F"])
def test_table_of_today_is_read_in_every_protocol(protocol, order):
    pixels = np.asarray(np.random.default_rng(1).integers(0, 256, (3, 12), np.uint8), order=order)
    table = read_table(pickle.dumps({"data": pixels, "labels": [1, 2, 3]}, protocol), "batch")
    assert np.array_equal(table["data"], pixels)
    assert table["labels"] == [1, 2, 3]


@pytest.mark.parametrize(
    "value", [np.zeros(3, np.float64), np.zeros(3, np.int8), np.array(["a"]), np.array([None]), np.float32(1)]
)
def test_array_of_anything_but_bytes_is_refused(value):
    with pytest.raises(UserError, match="is no pickled table of pictures"):
        read_table(pickle.dumps({"data": value}, 2), "batch")


@pytest.mark.parametrize("value", [[1], 1, None, "text", np.zeros(3, np.uint8)])
def test_pickle_of_anything_but_a_table_is_refused(value):
    with pytest.raises(UserError, match="is no pickled table of pictures"):
        read_table(pickle.dumps(value, 2), "batch")
