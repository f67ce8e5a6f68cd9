import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import folder as folder_file
from vgtemplate.data import folder_cache
from vgtemplate.data.sources import fingerprint, load_images

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (2, 2, 3, 6, 5, 3), np.uint8)
"""Split, class, picture, then H, W, channel."""
CLASSES = ("cat", "dog")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder that only this test sees."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vgtemplate" / "pictures"


@pytest.fixture
def pictures(tmp_path):
    """A folder of 3 colour pictures a class and split, 5 wide and 6 high."""
    for split, name in enumerate(("train", "test")):
        for label, class_name in enumerate(CLASSES):
            for index in range(3):
                save(tmp_path / "pictures" / name / class_name / f"{index}.png", COLOUR[split, label, index])
    return tmp_path / "pictures"


def load(pictures):
    return load_images(DataConfig(dataset="image_folder", path=str(pictures)), pictures.parent / "root")


def caches(pictures):
    return sorted((pictures.parent / "cache" / "vgtemplate" / "pictures").iterdir())


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


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


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


def other_size(pictures):
    save(pictures / "test/dog/1.png", COLOUR[0, 0, 0][:, :4])


def no_picture(pictures):
    (pictures / "train/cat/notes.jpg").write_text("hello")


def half_a_picture(pictures):
    path = pictures / "train/dog/0.png"
    path.write_bytes(path.read_bytes()[:60])


def folder_among_pictures(pictures):
    (pictures / "train/dog/more").mkdir()


def broken_link(pictures):
    (pictures / "train/dog/9.png").symlink_to(pictures / "nowhere.png")


def empty_class(pictures):
    for split in ("train", "test"):
        (pictures / split / "fox").mkdir()


def class_in_one_split(pictures):
    save(pictures / "test/fox/0.png", COLOUR[0, 0, 0])


def picture_outside_a_class(pictures):
    save(pictures / "train/0.png", COLOUR[0, 0, 0])


def no_test_split(pictures):
    shutil.rmtree(pictures / "test")


def no_class(pictures):
    shutil.rmtree(pictures / "train/cat")
    shutil.rmtree(pictures / "train/dog")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_size, r"test/dog/1.png: is 4x6 pixels, but .*train/cat/0.png is 5x6"),
        (no_picture, r"train/cat/notes.jpg: cannot be read as a picture"),
        (half_a_picture, r"train/dog/0.png: cannot be read as a picture"),
        (folder_among_pictures, r"train/dog/more: cannot be read as a picture"),
        (broken_link, r"train/dog/9.png: cannot be read as a picture"),
        (empty_class, r"train/fox: this class has no picture"),
        (class_in_one_split, r"must have the same classes; only in test/: fox"),
        (picture_outside_a_class, r"train/0.png: must be a folder named after a class"),
        (no_test_split, r"test: no such folder; an image folder has train/CLASS/\* and test/CLASS/\*"),
        (no_class, r"train: holds no class"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_folder_is_an_error_that_names_the_place(pictures, spoil, message):
    spoil(pictures)
    for attempt in range(2):
        with pytest.raises(UserError, match=message) as error:
            load(pictures)
        assert "\n" not in str(error.value), attempt
    assert not (pictures.parent / "cache").exists()


def truncated_jpeg(pictures):
    save(pictures / "train/cat/5.jpg", COLOUR[0, 0, 0])
    path = pictures / "train/cat/5.jpg"
    path.write_bytes(path.read_bytes()[:-60])


def empty_file(pictures):
    (pictures / "train/cat/5.png").touch()


def picture_too_large(pictures):
    """A PNG that says it is 60000 x 60000, in 60 bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    (pictures / "train/cat/5.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks))


def picture_of_which_pillow_only_warns(pictures):
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    (pictures / "train/cat/5.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks))


def postscript(pictures):
    """Pillow would start another program to read it."""
    Image.fromarray(COLOUR[0, 0, 0]).save(pictures / "train/cat/5.eps")


def pipe(pictures):
    os.mkfifo(pictures / "train/cat/5.png")


def device(pictures):
    (pictures / "train/cat/5.png").symlink_to("/dev/zero")


def loop_of_links(pictures):
    (pictures / "train/cat/5.png").symlink_to(pictures / "train/cat/5.png")


def class_that_is_a_loop(pictures):
    (pictures / "train/fox").symlink_to(pictures / "train/fox")


def folder_in_itself(pictures):
    (pictures / "train/cat/5.png").symlink_to(pictures / "train")


def split_that_is_a_loop(pictures):
    shutil.rmtree(pictures / "test")
    (pictures / "test").symlink_to(pictures / "test")


def name_of_two_lines(pictures):
    (pictures / "train/cat/two\nlines.png").write_text("no picture")


def name_that_is_markup(pictures):
    (pictures / "train/cat/<script>alert(1)<|script>.png").write_text("no picture")


def name_that_is_no_text(pictures):
    (pictures / os.fsdecode(b"train/cat/\xff\xfe.png")).write_text("no picture")


SPOILT = {
    other_size: "test/dog/1.png",
    no_picture: "train/cat/notes.jpg",
    half_a_picture: "train/dog/0.png",
    folder_among_pictures: "train/dog/more",
    broken_link: "train/dog/9.png",
    empty_class: "train/fox",
    class_in_one_split: "only in test/: fox",
    picture_outside_a_class: "train/0.png",
    no_test_split: "test: no such folder",
    no_class: "train: holds no class",
    truncated_jpeg: "train/cat/5.jpg",
    empty_file: "train/cat/5.png",
    picture_too_large: "train/cat/5.png",
    picture_of_which_pillow_only_warns: "train/cat/5.png",
    postscript: "train/cat/5.eps",
    pipe: "train/cat/5.png",
    device: "train/cat/5.png",
    loop_of_links: "train/cat/5.png",
    class_that_is_a_loop: "train/fox",
    folder_in_itself: "train/cat/5.png",
    split_that_is_a_loop: "test: no such folder",
    name_of_two_lines: "train/cat/two lines.png",
    name_that_is_markup: "train/cat/<script>alert(1)<|script>.png",
    name_that_is_no_text: "train/cat/",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_unusable_folder_is_one_line_of_the_command_line(pictures, spoil, call_vgt, tmp_path):
    spoil(pictures)
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    ended = call_vgt(
        *("train", "it.yaml", "--dry-run", "--dataset", "image_folder", "--set", "data.path=pictures"),
    )
    assert ended.refused, ended
    assert SPOILT[spoil] in ended.err


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
