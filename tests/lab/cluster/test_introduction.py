"""Who may take jobs, and how a worker comes to a data set that it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster.conftest import arm
from vgtemplate.data import checksums
from vgtemplate.data.checksums import DataFile, content_hash, md5_of
from vgtemplate.lab.cluster.introduction import data_pieces, introduce, lacking, refusal, take_piece
from vgtemplate.lab.cluster.order import data_of
from vgtemplate.lab.cluster.parcel import PIECE_BYTES

DIGITS = str(data_of(arm("one")))
CONTENT = bytes(range(256)) * (PIECE_BYTES // 100)
"""Two and a half pieces."""


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    files = tuple(DataFile(f"MNIST/raw/{name}", md5_of(CONTENT)) for name in ("images", "labels"))
    monkeypatch.setitem(checksums.FILES, "mnist", files)  # type: ignore[arg-type]


def test_worker_like_us_is_accepted(tmp_path: Path) -> None:
    theirs = introduce([DIGITS], tmp_path)
    _, known = theirs["data"][DIGITS]
    assert refusal(theirs, {DIGITS: known}) is None
    assert lacking(theirs) == {}
    assert refusal(theirs, {DIGITS: "another"}) == (
        f"its data set digits is another than the one here (fingerprint {known}, here another)"
    )


@pytest.mark.parametrize("name", ["python", "torch", "numpy", "the source of vgtemplate"])
def test_other_version_of_anything_that_decides_numbers_is_refused(tmp_path: Path, name: str) -> None:
    theirs: dict[str, Any] = introduce([], tmp_path)
    ours = theirs["versions"][name]
    for other in ("0.0", None):
        versions = {key: value for key, value in theirs["versions"].items() if key != name}
        versions |= {name: other} if other else {}
        assert refusal(theirs | {"versions": versions}, {}) == f"it has {name} {other or 'none'}, and here it is {ours}"


def test_data_set_that_is_missing_arrives_in_pieces_and_is_verified(small_mnist: None, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    (ours / "MNIST/raw").mkdir(parents=True)
    for name in ("images", "labels"):
        (ours / "MNIST/raw" / name).write_bytes(CONTENT)
    text = DIGITS.replace("digits", "mnist")
    before = introduce([text], theirs)
    assert lacking(before) == {"mnist": str(theirs)}
    assert refusal(before, {text: "whatever"}) is None
    parts: dict[str, list[bytes]] = {}
    pieces = list(data_pieces("mnist", ours))
    assert max(len(content) for _, _, _, content in pieces) == PIECE_BYTES
    assert [take_piece(parts, theirs, piece, "mnist") for piece in pieces] == [None] * 6
    assert introduce([text], theirs) == introduce([text], ours)
    assert introduce([text], theirs)["data"][text][1] == content_hash("mnist", md5_of(CONTENT), md5_of(CONTENT))
    (theirs / "MNIST/raw/images").write_bytes(b"altered")
    assert "altered" in str(refusal(introduce([text], theirs), {text: "whatever"}))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "MNIST/raw/other", ""])
def test_nothing_but_the_data_sets_own_files_is_written(small_mnist: None, tmp_path: Path, name: str) -> None:
    assert take_piece({}, tmp_path, (name, 0, 1, b"x"), "mnist") == f"{name} is no file of mnist"
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_named(small_mnist: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fault = take_piece({}, tmp_path / "file", ("MNIST/raw/images", 0, 1, b"x"), "mnist")
    assert fault == f"{tmp_path / 'file'} cannot be written (Not a directory)"
