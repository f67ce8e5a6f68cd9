"""Image folders that cannot be used: one line that names the place."""

import os
import shutil
import struct
import zlib

import pytest
from PIL import Image

from tests.core.data.pictures import COLOUR, chunk, load, save
from vgtemplate.config.errors import UserError

pytestmark = pytest.mark.usefixtures("cache")


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
