"""What is kept of an image folder: when it is read, when it is made anew, and that no altered byte is used."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.core.data.pictures import COLOUR, caches, load, save
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import folder as folder_file
from vgtemplate.data import folder_cache
from vgtemplate.data.sources import fingerprint

pytestmark = pytest.mark.usefixtures("cache")


def test_second_load_reads_the_cache_and_finds_the_same(pictures, monkeypatch):
    first = load(pictures)
    monkeypatch.setattr(folder_file, "_decode", lambda path, _: pytest.fail(f"{path} was decoded again"))
    second = load(pictures)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype
    assert (first.classes, first.fingerprint, first.name) == (second.classes, second.fingerprint, second.name)


def test_fingerprint_needs_only_the_cache(pictures, monkeypatch):
    config = DataConfig(dataset="image_folder", path=str(pictures))
    first = fingerprint(config, pictures.parent / "root")
    assert first == load(pictures).fingerprint
    monkeypatch.setattr(folder_file, "_decode", lambda path, _: pytest.fail(f"{path} was decoded again"))
    assert fingerprint(config, pictures.parent / "root") == first


def test_fingerprint_is_of_the_content_not_of_the_place_or_the_time(pictures):
    first = load(pictures).fingerprint
    copy = pictures.parent / "elsewhere"
    shutil.copytree(pictures, copy)
    os.utime(copy / "train/cat/0.png", ns=(1, 1))
    assert load(copy).fingerprint == first
    assert len(caches(pictures)) == 2


def test_changed_pixel_is_noticed_and_the_old_cache_dropped(pictures):
    first = load(pictures).fingerprint
    path = pictures / "test/dog/2.png"
    pixels = COLOUR[1, 1, 2].copy()
    pixels[0, 0, 0] ^= 1
    save(path, pixels)
    os.utime(path, ns=(1, 1))
    assert load(pictures).fingerprint != first
    assert len(caches(pictures)) == 1


def alter_in_place(path):
    """Change a picture's content so that its size and its time of modification are as they were."""
    status = path.stat()
    Image.fromarray(COLOUR[1, 1, 2][::-1]).save(path.with_suffix(".bmp"))
    content = path.with_suffix(".bmp").read_bytes()
    path.with_suffix(".bmp").unlink()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def bitmaps(pictures):
    """The folder with a picture whose size in bytes does not depend on what it shows."""
    path = pictures / "test/dog/2.png"
    Image.fromarray(COLOUR[1, 1, 2]).save(path.with_suffix(".bmp"))
    path.with_suffix(".bmp").rename(path)
    return pictures, path


def new_process(monkeypatch):
    monkeypatch.setattr(folder_cache, "_read_once", set())


@pytest.mark.parametrize("again", [True, False])
def test_picture_altered_with_size_and_time_restored_is_noticed(bitmaps, monkeypatch, again):
    monkeypatch.setattr(folder_cache, "RACY_NANOSECONDS", 0)
    pictures, path = bitmaps
    config, root = DataConfig(dataset="image_folder", path=str(pictures)), pictures.parent / "root"
    first = fingerprint(config, root)
    alter_in_place(path)
    if again:
        new_process(monkeypatch)
    assert fingerprint(config, root) != first


def test_picture_altered_where_the_file_system_notes_nothing_is_noticed_by_the_next_process(bitmaps, monkeypatch):
    pictures, path = bitmaps
    first, before, stat = load(pictures), path.stat(), type(path).stat
    alter_in_place(path)
    monkeypatch.setattr(type(path), "stat", lambda self, **how: before if self == path else stat(self, **how))
    new_process(monkeypatch)
    assert load(pictures).fingerprint != first.fingerprint
    (kept,) = caches(pictures)
    assert load(pictures).fingerprint == str(np.load(kept)["fingerprint"])


def test_files_are_read_once_per_process(pictures, monkeypatch):
    config, root = DataConfig(dataset="image_folder", path=str(pictures)), pictures.parent / "root"
    read, seen = folder_file._read, []
    monkeypatch.setattr(folder_file, "_read", lambda path: seen.append(path) or read(path))
    monkeypatch.setattr(folder_cache, "RACY_NANOSECONDS", 0)
    for _ in range(2):
        for _ in range(3):
            fingerprint(config, root)
            load(pictures)
        assert sorted(seen) == sorted(pictures.rglob("*.png"))
        seen.clear()
        new_process(monkeypatch)


def test_young_files_are_read_each_time(pictures, monkeypatch):
    """A second change within the file system's tick would leave the same times."""
    load(pictures)
    read, seen = folder_file._read, []
    monkeypatch.setattr(folder_file, "_read", lambda path: seen.append(path) or read(path))
    load(pictures)
    assert len(seen) == 12


def test_file_that_is_larger_than_any_picture_is_not_read(pictures):
    with (pictures / "train/cat/0.png").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(
        UserError,
        match=r"train/cat/0.png: cannot be read as a picture \(it has 1,099,511,627,776 bytes",
    ):
        load(pictures)


@pytest.mark.parametrize("change", ["swap two classes' names", "add", "remove", "rename a class"])
def test_fingerprint_changes_with_the_folder(pictures, change):
    first = load(pictures).fingerprint
    for split in ("train", "test"):
        place = pictures / split
        if change == "swap two classes' names":
            (place / "cat").rename(place / "x")
            (place / "dog").rename(place / "cat")
            (place / "x").rename(place / "dog")
        elif change == "add":
            shutil.copy(place / "cat/0.png", place / "cat/7.png")
        elif change == "remove":
            (place / "dog/1.png").unlink()
        else:
            (place / "dog").rename(place / "fox")
    assert load(pictures).fingerprint != first


def test_cache_that_is_a_pipe_is_replaced(pictures):
    first = load(pictures)
    (cache,) = caches(pictures)
    cache.unlink()
    os.mkfifo(cache)
    assert folder_cache.folder_fingerprint(pictures) == first.fingerprint
    assert cache.is_file()


@pytest.mark.parametrize("damage", [lambda content: content[:-200], lambda _content: b"", lambda _content: b"text"])
def test_damaged_cache_is_replaced(pictures, damage):
    first = load(pictures)
    (cache,) = caches(pictures)
    intact = cache.read_bytes()
    cache.write_bytes(damage(intact))
    assert load(pictures).fingerprint == first.fingerprint
    assert len(cache.read_bytes()) == len(intact)


def test_altered_pixel_in_the_cache_is_never_used(pictures):
    first = load(pictures)
    (cache,) = caches(pictures)
    content = bytearray(cache.read_bytes())
    position = content.index(first.train_images.tobytes())
    content[position] ^= 1
    cache.write_bytes(content)
    assert np.array_equal(load(pictures).train_images, first.train_images)


def test_cache_that_cannot_be_written_is_said_and_no_more(pictures):
    (pictures.parent / "cache").touch()
    with pytest.warns(UserWarning, match="cannot be cached"):
        assert len(load(pictures).train_images) == 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_cache_with_bytes_changed_is_decoded_anew_or_still_right(pictures, seed):
    first = load(pictures)
    (cache,) = caches(pictures)
    intact = cache.read_bytes()
    draw = np.random.default_rng(seed)
    for _ in range(25):
        content = bytearray(intact)
        for position in draw.integers(0, len(content), draw.integers(1, 4)):
            content[position] = draw.integers(0, 256)
        cache.write_bytes(content)
        assert np.array_equal(load(pictures).train_images, first.train_images)
        assert fingerprint(DataConfig(dataset="image_folder", path=str(pictures)), cache.parent.parent)
