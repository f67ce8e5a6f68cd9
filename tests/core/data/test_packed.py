"""A data set whose files lie there gzipped: read in memory, trusted for their content, never unpacked to disk."""

import gzip

import numpy as np
import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import checksums
from vgtemplate.data.checksums import verify
from vgtemplate.data.files import is_present, resolve
from vgtemplate.data.sources import fingerprint, load_images

MNIST = DataConfig(dataset="mnist")
IMAGES = "MNIST/raw/train-images-idx3-ubyte"


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_refused(root, message):
    for attempt in (lambda: load_images(MNIST, root), lambda: fingerprint(MNIST, root)):
        with pytest.raises(UserError, match=message) as error:
            attempt()
        assert len(str(error.value).splitlines()) == 1


def test_packed_files_are_the_data_set_and_stay_as_they_are(packed_mnist, mnist_table, tmp_path_factory):
    before = contents(packed_mnist)
    assert is_present("mnist", packed_mnist)
    assert resolve("auto", packed_mnist) == "mnist"
    assert {state.state for state in verify("mnist", packed_mnist)} == {"ok"}
    packed = load_images(MNIST, packed_mnist)
    assert contents(packed_mnist) == before

    root = tmp_path_factory.mktemp("raw")
    for path, content in mnist_table.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    raw = load_images(MNIST, root)
    assert np.array_equal(packed.train_images, raw.train_images)
    assert np.array_equal(packed.test_labels, raw.test_labels)
    assert packed.fingerprint == raw.fingerprint == fingerprint(MNIST, packed_mnist)


DAMAGES = {
    "content altered": (lambda content: gzip.compress(content[:-1] + bytes([content[-1] ^ 1])), "altered"),
    "content truncated": (lambda content: gzip.compress(content[:-7]), "truncated"),
    "content longer": (lambda content: gzip.compress(content + b"0"), "altered"),
    "content huge": (lambda _content: gzip.compress(bytes(2**24)), "altered"),
    "archive truncated": (lambda content: gzip.compress(content)[:-9], "truncated"),
    "archive altered": (lambda content: gzip.compress(content)[:-8] + bytes(8), "altered"),
    "archive of an archive": (lambda content: gzip.compress(gzip.compress(content)), "altered"),
    "not packed": (lambda content: content, "altered"),
    "empty": (lambda _content: b"", "truncated"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_archive_is_named_and_refused(packed_mnist, mnist_table, what):
    damage, state = DAMAGES[what]
    (packed_mnist / f"{IMAGES}.gz").write_bytes(damage(mnist_table[IMAGES]))
    assert [found.state for found in verify("mnist", packed_mnist)] == [state, "ok", "ok", "ok"]
    assert_refused(packed_mnist, f"train-images-idx3-ubyte.gz: {state} .*vgt data fetch mnist")


def test_no_more_is_unpacked_than_the_file_can_hold(packed_mnist, mnist_table):
    path = packed_mnist / f"{IMAGES}.gz"
    path.write_bytes(gzip.compress(bytes(2**24)))
    assert len(checksums._read(path, True, 1000)) == 1001


def test_raw_file_is_taken_before_the_archive_beside_it(packed_mnist, mnist_table):
    (packed_mnist / IMAGES).write_bytes(mnist_table[IMAGES])
    (packed_mnist / f"{IMAGES}.gz").write_bytes(b"nothing")
    assert len(load_images(MNIST, packed_mnist).train_images) == 30
    (packed_mnist / f"{IMAGES}.gz").write_bytes(gzip.compress(mnist_table[IMAGES]))
    (packed_mnist / IMAGES).write_bytes(mnist_table[IMAGES][:-1])
    assert_refused(packed_mnist, "train-images-idx3-ubyte: truncated")
