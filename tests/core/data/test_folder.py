"""An image folder: which pictures are read, and as what."""

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.core.data.pictures import CLASSES, COLOUR, RNG, chunk, load, save
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.sources import load_images

pytestmark = pytest.mark.usefixtures("cache")


def contents(images, labels):
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


def test_every_picture_is_read_with_its_class(pictures):
    images = load(pictures)
    for split, found, labels in (
        (0, images.train_images, images.train_labels),
        (1, images.test_images, images.test_labels),
    ):
        expected = COLOUR[split].reshape(6, 6, 5, 3).transpose(0, 3, 1, 2)
        assert contents(found, labels) == contents(expected, [0, 0, 0, 1, 1, 1])
    assert images.classes == CLASSES
    assert (images.name, images.max_value) == ("image_folder", 255)


def test_the_first_images_are_not_all_of_the_first_class(tmp_path):
    for split in ("train", "test"):
        for name in CLASSES:
            for index in range(50):
                save(tmp_path / "pictures" / split / name / f"{index:02d}.png", np.full((2, 2), index, np.uint8))
    images = load(tmp_path / "pictures")
    for labels in (images.train_labels, images.test_labels):
        assert 10 < labels[:50].sum() < 40
    assert not np.array_equal(images.train_labels, images.test_labels)


def test_grey_pictures_have_one_channel(tmp_path):
    grey = RNG.integers(0, 256, (2, 4, 5), np.uint8)
    for split in ("train", "test"):
        for index, pixels in enumerate(grey):
            save(tmp_path / "pictures" / split / "a" / f"{index}.png", pixels)
    images = load(tmp_path / "pictures").train_images
    assert contents(images[:, 0], [0, 0]) == contents(grey, [0, 0])


def test_one_colour_picture_makes_all_of_them_rgb(tmp_path):
    grey, colour = RNG.integers(0, 256, (4, 5), np.uint8), RNG.integers(0, 256, (4, 5, 3), np.uint8)
    save(tmp_path / "pictures/train/a/0.png", grey)
    save(tmp_path / "pictures/test/a/0.png", colour)
    images = load(tmp_path / "pictures")
    assert np.array_equal(images.train_images[0], np.stack([grey] * 3))
    assert np.array_equal(images.test_images[0], colour.transpose(2, 0, 1))


def test_palette_and_transparent_pictures_become_rgb(tmp_path):
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[:2] = (200, 10, 30)
    (tmp_path / "pictures/train/a").mkdir(parents=True)
    Image.fromarray(colour).quantize(4).save(tmp_path / "pictures/train/a/0.png")
    save(tmp_path / "pictures/test/a/0.png", np.dstack([colour, np.full((4, 4), 128, np.uint8)]))
    images = load(tmp_path / "pictures")
    assert np.array_equal(images.train_images[0], colour.transpose(2, 0, 1))
    assert np.array_equal(images.test_images[0], colour.transpose(2, 0, 1))


def png_16_bit(values):
    """A grey PNG of one row of 16-bit values, put together by hand."""
    header = struct.pack(">IIBBBBB", len(values), 1, 16, 0, 0, 0, 0)
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def test_16_bit_pictures_are_rounded_to_the_nearest_of_256_levels(tmp_path):
    values = [0, 128, 129, 257, 32767, 32768, 65406, 65407, 65535]
    for split in ("train", "test"):
        (tmp_path / "pictures" / split / "a").mkdir(parents=True)
        (tmp_path / "pictures" / split / "a" / "0.png").write_bytes(png_16_bit(values))
    expected = [round(value / 65535 * 255) for value in values]
    assert expected[:4] == [0, 0, 1, 1]
    assert load(tmp_path / "pictures").train_images.ravel().tolist() == expected


def test_16_bit_tiff_is_read_too(tmp_path):
    values = np.array([[0, 300, 65535]], np.uint16)
    for split in ("train", "test"):
        (tmp_path / "pictures" / split / "a").mkdir(parents=True)
        Image.fromarray(values).save(tmp_path / "pictures" / split / "a" / "0.tif")
    assert load(tmp_path / "pictures").train_images.ravel().tolist() == [0, 1, 255]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_picture_of_unknown_range_is_refused(pictures, kind):
    Image.fromarray(np.full((6, 5), 70_000, kind)).save(pictures / "test/cat/9.tif")
    with pytest.raises(UserError, match=r"test/cat/9.tif: cannot be read as a picture \(its values are"):
        load(pictures)


def test_hidden_files_are_passed_over(pictures):
    for place in ("", "train", "test", "train/cat"):
        (pictures / place / ".hidden").write_text("no picture")
    (pictures / "train" / ".git").mkdir()
    assert len(load(pictures).train_images) == 6


STRAYS = (
    "Thumbs.db",
    "desktop.ini",
    "readme.txt",
    "README",
    "train/desktop.ini",
    "train/cat/Thumbs.db",
    "test/notes.md",
)


def test_stray_files_are_passed_over_and_said_once(pictures):
    first = load(pictures).fingerprint
    for name in STRAYS:
        (pictures / name).write_bytes(b"\xd0\xcf\x11\xe0 no picture")
    with pytest.warns(UserWarning, match=r"train/cat/Thumbs.db and 2 more: no picture, passed over") as said:
        again = [load(pictures).fingerprint for _ in range(2)]
    assert again == [first, first]
    assert len(said) == 1


def test_picture_without_an_ending_is_one(pictures):
    first = load(pictures)
    (pictures / "train/cat/0.png").rename(pictures / "train/cat/0")
    assert load(pictures).fingerprint == first.fingerprint


def test_nothing_is_written_beside_the_pictures(pictures, cache):
    before = sorted(pictures.parent.rglob("*"))
    load_images(DataConfig(dataset="image_folder", path=str(pictures)), pictures)
    assert [path for path in sorted(pictures.rglob("*")) if path not in before] == []
    assert len(list(cache.iterdir())) == 1


def test_symbolic_links_are_followed(pictures):
    (pictures / "train/cat/0.png").rename(pictures / "elsewhere.png")
    (pictures / "train/cat/0.png").symlink_to(pictures / "elsewhere.png")
    linked = np.ascontiguousarray(COLOUR[0, 0, 0].transpose(2, 0, 1)).tobytes()
    assert linked in {image.tobytes() for image in load(pictures).train_images}


def test_unusual_names_are_names_like_others(pictures, call_vgt, tmp_path):
    names = ("with space", "kočka", "猫", "<script>alert(1)<|script>", "a'b\"c", "two\nlines", "-rf", "~", "%s", "..x")
    for name in (*names, os.fsdecode(b"\xff\xfe")):
        for split in ("train", "test"):
            shutil.copytree(pictures / split / "cat", pictures / split / name.replace("..x", "x.."))
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    arguments = ("train", "it.yaml", "--dry-run", "--dataset", "image_folder", "--set", "data.path=pictures")
    first, second = call_vgt(*arguments), call_vgt(*arguments)
    assert first.succeeded, first
    assert first == second
    images = load(pictures)
    assert len(images.classes) == 2 + 1 + len(names)
    assert {*images.classes} >= {"cat", "猫", "two\nlines", os.fsdecode(b"\xff\xfe")}
