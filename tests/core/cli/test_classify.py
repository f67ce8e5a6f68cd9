"""`vgt train` leaves networks that `vgt classify` applies to pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vgtemplate.config.seeding import Stream, generator

Vgt = Callable[..., Any]
CLASSES = ("blue", "red")
ARM = """
arms:
  colours:
    data: {{dataset: image_folder, path: {path}, num_validation: 10, batch_size: 10}}
    model: {{kind: resnet, depth: 8, width: 4, norm: batch, residual: true}}
    optimiser: {{lr: 0.1}}
    training: {{steps: 30, validate_every: 10}}
    probes: {{every: 0}}
"""


def picture(label: int, index: int, size: int = 8) -> Image.Image:
    """A noisy picture of one colour."""
    pixels = generator(index, Stream.DATA, label).integers(0, 60, (size, size, 3))
    pixels[:, :, 2 if label == 0 else 0] += 180
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def trained(call_vgt: Vgt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the record of a population that tells two colours apart."""
    for split, num in (("train", 30), ("test", 10)):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for index in range(num):
                picture(label, index + (100 if split == "test" else 0)).save(folder / f"{index}.png")
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "arm.yaml").write_text(ARM.format(path=tmp_path / "pictures"))
    done = call_vgt("train", str(tmp_path / "arm.yaml"), "--seeds", "3", "--no-tracking")
    assert done.code == 0, done.err
    (record,) = (tmp_path / "results").glob("*/record.json")
    assert f"{record.parent} with best.pt, last.pt" in done.out.replace("\n", "")
    return record.parent


def test_pictures_of_any_size_and_kind_are_told_apart(trained: Path, call_vgt: Vgt, tmp_path: Path) -> None:
    picture(1, 500, size=8).save(tmp_path / "a.png")
    picture(0, 501, size=33).save(tmp_path / "b.jpg")
    picture(1, 502).convert("RGBA").save(tmp_path / "c.webp")
    files = [str(tmp_path / name) for name in ("a.png", "b.jpg", "c.webp")]
    for model in ("best.pt", "last.pt"):
        done = call_vgt("classify", str(trained / model), *files, "--json")
        assert done.code == 0, done.err
        rows = json.loads(done.out)
        assert [row["file"] for row in rows] == files
        names = [max(row["probabilities"], key=row["probabilities"].get) for row in rows]
        assert names == ["red", "blue", "red"]
        for row in rows:
            assert sum(row["probabilities"].values()) == pytest.approx(1)
    table = call_vgt("classify", str(trained / "best.pt"), files[0]).out
    assert call_vgt("predict-images", str(trained / "best.pt"), files[0]).out == table
    assert "red" in table
    assert "3 of 3" in table


@pytest.mark.parametrize(
    ("model", "file", "message"),
    [
        ("absent.pt", "a.png", "no such file"),
        ("record.json", "a.png", "is no model of `vgt train`"),
        ("last.pt", "absent.png", "cannot be read as a picture"),
        ("last.pt", "text.png", "cannot be read as a picture"),
    ],
)
def test_what_cannot_be_used_is_named(
    trained: Path, call_vgt: Vgt, tmp_path: Path, model: str, file: str, message: str
) -> None:
    picture(1, 1).save(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no picture")
    done = call_vgt("classify", str(trained / model), str(tmp_path / file))
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_network_that_puts_out_images_is_refused(call_vgt: Vgt, tmp_path: Path) -> None:
    (tmp_path / "arm.yaml").write_text(
        "arms: {a: {data: {dataset: digits, num_train: 100, scaling: unit}, training: {steps: 2, noise: 0.1}, "
        "model: {kind: cnn, depth: 1, width: 2, output: image}, probes: {every: 0}}}"
    )
    assert call_vgt("train", str(tmp_path / "arm.yaml"), "--seeds", "1", "--no-tracking").code == 0
    (path,) = tmp_path.glob("results/*/last.pt")
    picture(1, 1).save(tmp_path / "a.png")
    done = call_vgt("classify", str(path), str(tmp_path / "a.png"))
    assert (done.code, "puts out images" in done.err) == (2, True)
