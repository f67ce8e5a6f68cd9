import gzip
import os

import pytest
import torchvision.datasets

from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data import checksums, sources
from vgtemplate.data.checksums import FILES, DataFile, digits_path, files_fingerprint, require_intact, verify
from vgtemplate.data.sources import fingerprint, load_images


def truncate(content: bytes) -> bytes:
    return content[:-7]


def alter(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def wrong_magic(content: bytes) -> bytes:
    return b"\x7fELF" + content[4:]


def empty(_content: bytes) -> bytes:
    return b""


def longer(content: bytes) -> bytes:
    return content + b"\0"


DAMAGES = {truncate: "truncated", empty: "truncated", alter: "altered", wrong_magic: "altered", longer: "altered"}


def assert_refused_by_name(name, root, path, state):
    """Every way to the data names the damaged file and the cure, and loads nothing."""
    config = DataConfig(dataset=name)
    for attempt in (lambda: load_images(config, root), lambda: fingerprint(config, root)):
        with pytest.raises(UserError) as error:
            attempt()
        message = str(error.value)
        assert str(root / path) in message
        assert state in message
        assert f"vgt data fetch {name}" in message
        assert "VGT_DATA_DIR" in message
        assert "\n" not in message


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("index", range(4))
def test_damaged_mnist_file_is_named_and_refused(tiny_mnist, mnist_table, damage, index):
    path = list(mnist_table)[index]
    (tiny_mnist / path).write_bytes(damage(mnist_table[path]))
    states = {state.name: state.state for state in verify("mnist", tiny_mnist)}
    assert states.pop(str(tiny_mnist / path)) == DAMAGES[damage]
    assert set(states.values()) == {"ok"}
    assert_refused_by_name("mnist", tiny_mnist, path, DAMAGES[damage])


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("index", range(7))
def test_damaged_cifar_file_is_refused_before_it_is_unpickled(tiny_cifar, cifar_table, damage, index, monkeypatch):
    def unpickled(*_args, **_settings):
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(sources, "read_table", unpickled)
    path = list(cifar_table)[index]
    (tiny_cifar / path).write_bytes(damage(cifar_table[path]))
    # Files before the damaged one are read, and only compared: none may be unpickled until all have been.
    assert_refused_by_name("cifar10", tiny_cifar, path, DAMAGES[damage])


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_archive_of_published_checksum_is_named_and_refused(tiny_kmnist, kmnist_table, damage):
    path = "KMNIST/raw/train-images-idx3-ubyte.gz"
    (tiny_kmnist / path).write_bytes(damage(kmnist_table[path]))
    # How long the archive should be is not published.
    assert_refused_by_name("kmnist", tiny_kmnist, path, "truncated" if damage is empty else "altered")


def test_raw_file_does_not_stand_in_for_the_archive_of_published_checksum(tiny_kmnist, kmnist_table):
    path = "KMNIST/raw/train-labels-idx1-ubyte.gz"
    (tiny_kmnist / path).unlink()
    (tiny_kmnist / path.removesuffix(".gz")).write_bytes(gzip.decompress(kmnist_table[path]))
    assert [state.state for state in verify("kmnist", tiny_kmnist)] == ["ok", "missing", "ok", "ok"]
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte.gz: missing .*vgt data fetch kmnist"):
        require_intact("kmnist", tiny_kmnist)


@pytest.mark.parametrize("index", range(4))
def test_missing_file_is_named_and_refused(tiny_mnist, mnist_table, index):
    path = list(mnist_table)[index]
    (tiny_mnist / path).unlink()
    assert verify("mnist", tiny_mnist)[index].state == "missing"
    with pytest.raises(UserError, match=f"{path}: missing"):
        fingerprint(DataConfig(dataset="mnist"), tiny_mnist)


def test_folder_in_the_place_of_a_file_is_unverifiable(tiny_mnist):
    path = tiny_mnist / "MNIST/raw/train-labels-idx1-ubyte"
    path.unlink()
    path.mkdir()
    assert verify("mnist", tiny_mnist)[1].state == "unverifiable"


def test_intact_files_are_ok(tiny_mnist, tiny_cifar, tiny_kmnist):
    for name in ("mnist", "cifar10", "kmnist"):
        assert {state.state for state in verify(name, tiny_mnist)} == {"ok"}
        require_intact(name, tiny_mnist)


def test_file_changed_right_after_it_was_verified_is_noticed(tiny_mnist, mnist_table):
    path = tiny_mnist / "MNIST/raw/t10k-labels-idx1-ubyte"
    for _ in range(50):
        path.write_bytes(mnist_table["MNIST/raw/t10k-labels-idx1-ubyte"])
        assert verify("mnist", tiny_mnist)[3].state == "ok"
        path.write_bytes(alter(path.read_bytes()))
        assert verify("mnist", tiny_mnist)[3].state == "altered"


def test_file_altered_with_size_and_time_restored_is_noticed(tiny_mnist, monkeypatch):
    monkeypatch.setattr(checksums, "RACY_NANOSECONDS", 0)
    path = tiny_mnist / "MNIST/raw/t10k-labels-idx1-ubyte"
    # Neither a time in the past nor one to come hides the change.
    for time in (1, path.stat().st_mtime_ns, path.stat().st_mtime_ns + 10**12):
        content = path.read_bytes()
        os.utime(path, ns=(time, time))
        assert verify("mnist", tiny_mnist)[3].state == "ok"
        path.write_bytes(alter(content))
        os.utime(path, ns=(time, time))
        assert path.stat().st_size == len(content)
        assert verify("mnist", tiny_mnist)[3].state == "altered"
        path.write_bytes(content)


@pytest.mark.parametrize("folder", ["tiny_mnist", "packed_mnist"])
def test_old_file_is_read_once(request, folder, monkeypatch):
    root = request.getfixturevalue(folder)
    monkeypatch.setattr(checksums, "RACY_NANOSECONDS", 0)
    path, _ = checksums.locate(checksums.FILES["mnist"][3], root)
    assert verify("mnist", root)[3].state == "ok"
    before = checksums._measure_once.cache_info().misses
    assert verify("mnist", root)[3].state == "ok"
    assert checksums._measure_once.cache_info().misses == before
    os.utime(path, ns=(1, 1))
    verify("mnist", root)
    assert checksums._measure_once.cache_info().misses == before + 1


def test_fingerprint_changes_with_any_file(mnist_table, monkeypatch):
    rows = checksums.FILES["mnist"]
    fingerprints = {files_fingerprint("mnist")}
    for index, row in enumerate(rows):
        other = DataFile(row.path, row.md5[::-1])
        monkeypatch.setitem(checksums.FILES, "mnist", (*rows[:index], other, *rows[index + 1 :]))
        fingerprints.add(files_fingerprint("mnist"))
    assert len(fingerprints) == 5


def test_fingerprint_of_mnist_is_the_one_that_records_are_kept_under():
    assert files_fingerprint("mnist") == "8be3ae23b65417a4b84c6e0282a86858"


def test_altered_digits_are_refused(tmp_path, monkeypatch):
    packed = digits_path().with_name("digits.csv.gz")
    content = gzip.decompress(packed.read_bytes())
    copy = tmp_path / "digits.csv.gz"
    copy.write_bytes(gzip.compress(content.replace(b"0,0,5,13", b"0,0,5,12", 1)))
    monkeypatch.setattr(checksums, "digits_path", lambda: tmp_path / "digits.csv")
    with pytest.raises(UserError, match=r"digits.csv.gz: altered .*scikit-learn"):
        load_images(DataConfig(dataset="digits"), tmp_path)
    copy.write_bytes(gzip.compress(content)[:-100])
    with pytest.raises(UserError, match=r"digits.csv.gz: truncated"):
        load_images(DataConfig(dataset="digits"), tmp_path)


def test_digits_without_scikit_learn_are_an_error(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="scikit-learn is not installed: pip install"):
        digits_path()


def test_unknown_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        verify("mnits", tmp_path)


def test_the_table_holds_exactly_the_fetchable_data_sets():
    assert set(FILES) == {name for name, row in DATASETS.items() if row.fetchable}


def test_checksums_are_those_of_torchvision():
    archives = {f"KMNIST/raw/{name}": md5 for name, md5 in torchvision.datasets.KMNIST.resources}
    assert {file.path: file.md5 for file in FILES["kmnist"]} == archives
    for name, dataset in (("cifar10", torchvision.datasets.CIFAR10), ("cifar100", torchvision.datasets.CIFAR100)):
        published = {*map(tuple, dataset.train_list), *map(tuple, dataset.test_list)}
        published.add((dataset.meta["filename"], dataset.meta["md5"]))
        assert {(file.path, file.md5) for file in FILES[name]} == {
            (f"{dataset.base_folder}/{path}", md5) for path, md5 in published
        }
    for name, dataset in (("mnist", torchvision.datasets.MNIST), ("fashion_mnist", torchvision.datasets.FashionMNIST)):
        expected = {f"{dataset.__name__}/raw/{path[:-3]}" for path, _ in dataset.resources}
        assert {file.path for file in FILES[name]} == expected


@pytest.mark.real_data
def test_real_mnist_is_intact(mnist_root):
    assert [state.state for state in verify("mnist", mnist_root)] == ["ok"] * 4


@pytest.mark.real_data
def test_real_mnist_with_one_label_changed_is_refused(mnist_root, tmp_path):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for file in FILES["mnist"]:
        path, _ = checksums.locate(file, mnist_root)
        (tmp_path / path.relative_to(mnist_root)).symlink_to(path)
    labels = FILES["mnist"][1]
    content = checksums.read_verified("mnist", labels, mnist_root)
    (tmp_path / labels.path).unlink(missing_ok=True)
    (tmp_path / labels.path).write_bytes(alter(content))
    with pytest.raises(UserError, match="train-labels-idx1-ubyte: altered"):
        load_images(DataConfig(dataset="mnist"), tmp_path)
