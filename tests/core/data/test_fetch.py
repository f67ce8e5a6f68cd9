"""torchvision's real downloader against a real server on loopback, with a tiny data set in the published format."""

import gzip
import http.server
import io
import socket
import tarfile
import threading
from pathlib import Path

import pytest
import torchvision.datasets

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.checksums import md5_of, verify
from vgtemplate.data.fetch import fetch
from vgtemplate.data.files import resolve
from vgtemplate.data.sources import load_images


class Server:
    """Serves `files`; `behaviour` says how, `requests` counts the requests a file.

    The first `num_altered[name]` answers for a file are altered, whatever the behaviour.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.behaviour = "good"
        self.requests: dict[str, int] = {}
        self.num_altered: dict[str, int] = {}
        self.released = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/")
                server.requests[name] = server.requests.get(name, 0) + 1
                if server.behaviour == "hanging":
                    server.released.wait(30)
                    return
                content = server.files[name]
                self.send_response(500 if server.behaviour == "failing" else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if server.behaviour == "altered" or server.requests[name] <= server.num_altered.get(name, 0):
                    content = content[:-1] + bytes([content[-1] ^ 1])
                self.wfile.write(content[: len(content) // 2] if server.behaviour == "truncated" else content)

            def log_message(self, *_arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.close()


def serve_idx(server, monkeypatch, dataset, files):
    """Let torchvision's class look for archives of `files` on the server."""
    archives = {f"{Path(path).name}.gz": gzip.compress(content, mtime=0) for path, content in files.items()}
    server.files |= archives
    monkeypatch.setattr(dataset, "mirrors", [server.url])
    monkeypatch.setattr(dataset, "resources", [(name, md5_of(content)) for name, content in archives.items()])


@pytest.fixture
def mnist_server(server, monkeypatch, mnist_table):
    serve_idx(server, monkeypatch, torchvision.datasets.MNIST, mnist_table)
    return server


def left_behind(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_good_answer_is_fetched_verified_and_moved_in(mnist_server, mnist_table, tmp_path):
    root = tmp_path / "new" / "folder"
    fetch("mnist", root, 5)
    assert {path: (root / path).read_bytes() for path in mnist_table} == mnist_table
    assert [path for path in left_behind(root) if (root / path).is_file()] == sorted(mnist_table)
    assert load_images(DataConfig(dataset="mnist"), root).train_images.shape == (30, 1, 28, 28)


def test_archives_are_kept_where_they_are_the_proof(server, monkeypatch, kmnist_table, tmp_path):
    raw = {path.removesuffix(".gz"): gzip.decompress(content) for path, content in kmnist_table.items()}
    serve_idx(server, monkeypatch, torchvision.datasets.KMNIST, raw)
    fetch("kmnist", tmp_path, 5)
    assert {path: (tmp_path / path).read_bytes() for path in kmnist_table} == kmnist_table
    assert {state.state for state in verify("kmnist", tmp_path)} == {"ok"}


@pytest.fixture
def cifar_server(server, monkeypatch, cifar_table):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in cifar_table.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    dataset = torchvision.datasets.CIFAR10
    server.files["cifar-10-python.tar.gz"] = buffer.getvalue()
    md5s = {Path(path).name: md5_of(content) for path, content in cifar_table.items()}
    monkeypatch.setattr(dataset, "url", f"{server.url}cifar-10-python.tar.gz")
    monkeypatch.setattr(dataset, "tgz_md5", md5_of(buffer.getvalue()))
    monkeypatch.setattr(dataset, "train_list", [[name, md5s[name]] for name, _ in dataset.train_list])
    monkeypatch.setattr(dataset, "test_list", [["test_batch", md5s["test_batch"]]])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": md5s["batches.meta"]})
    return server


def test_cifar_archive_is_unpacked_and_dropped(cifar_server, cifar_table, tmp_path):
    fetch("cifar10", tmp_path, 5)
    assert {path: (tmp_path / path).read_bytes() for path in cifar_table} == cifar_table
    assert len(left_behind(tmp_path)) == 1 + len(cifar_table)


@pytest.mark.parametrize("behaviour", ["failing", "truncated", "altered", "hanging"])
def test_bad_answer_is_an_error_and_leaves_nothing_behind(mnist_server, tmp_path, behaviour):
    mnist_server.behaviour = behaviour
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte: missing, and mnist cannot be fetched") as error:
        fetch("mnist", tmp_path, 0.2, attempts=2)
    assert "\n" not in str(error.value)
    assert "VGT_DATA_DIR" in str(error.value)
    assert left_behind(tmp_path) == []
    assert mnist_server.requests["train-images-idx3-ubyte.gz"] >= 2


@pytest.mark.parametrize("behaviour", ["failing", "truncated", "altered", "hanging"])
def test_bad_archive_is_an_error_and_leaves_nothing_behind(cifar_server, tmp_path, behaviour):
    cifar_server.behaviour = behaviour
    with pytest.raises(UserError, match=r"data_batch_1: missing, and cifar10 cannot be fetched"):
        fetch("cifar10", tmp_path, 0.2)
    assert left_behind(tmp_path) == []


def test_refused_connection_is_an_error(monkeypatch, mnist_table, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{port}/"])
    with pytest.raises(UserError, match="refused"):
        fetch("mnist", tmp_path, 1)
    assert left_behind(tmp_path) == []


def test_second_attempt_keeps_what_the_first_one_verified(mnist_server, tmp_path):
    first, *_, last = mnist_server.files
    # torchvision asks twice a download: for a redirection, then for the file.
    mnist_server.num_altered = {last: 2}
    fetch("mnist", tmp_path, 5)
    assert {state.state for state in verify("mnist", tmp_path)} == {"ok"}
    assert (mnist_server.requests[first], mnist_server.requests[last]) == (2, 4)


def test_time_out_of_the_process_is_as_before(mnist_server, tmp_path):
    before = socket.getdefaulttimeout()
    fetch("mnist", tmp_path, 3)
    mnist_server.behaviour = "failing"
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError):
        fetch("mnist", tmp_path, 3)
    assert socket.getdefaulttimeout() == before


def test_intact_data_set_is_not_fetched_again(tiny_mnist, mnist_server):
    fetch("mnist", tiny_mnist, 5)
    assert mnist_server.requests == {}


def test_damaged_file_is_replaced(tiny_mnist, mnist_table, mnist_server):
    path = "MNIST/raw/train-labels-idx1-ubyte"
    (tiny_mnist / path).write_bytes(b"half")
    fetch("mnist", tiny_mnist, 5)
    assert (tiny_mnist / path).read_bytes() == mnist_table[path]


def test_damaged_file_stays_as_it_is_if_it_cannot_be_replaced(tiny_mnist, mnist_server):
    path = tiny_mnist / "MNIST/raw/train-labels-idx1-ubyte"
    path.write_bytes(b"half")
    mnist_server.behaviour = "truncated"
    with pytest.raises(UserError, match="train-labels-idx1-ubyte: truncated, and mnist cannot be fetched"):
        fetch("mnist", tiny_mnist, 5)
    assert path.read_bytes() == b"half"
    assert list(tiny_mnist.glob(".*")) == []


def test_fetching_is_quiet_unless_asked(mnist_server, tmp_path, capfd):
    fetch("mnist", tmp_path / "quiet", 5)
    assert capfd.readouterr() == ("", "")
    fetch("mnist", tmp_path / "loud", 5, quiet=False)
    assert "%" in capfd.readouterr().err


def test_folder_that_cannot_be_written_is_an_error(mnist_server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the data folder cannot be written"):
        fetch("mnist", tmp_path / "file", 5)


def test_embedded_data_set_cannot_be_fetched(tmp_path):
    with pytest.raises(UserError, match="fetchable data set 'digits'"):
        fetch("digits", tmp_path)


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_missing_mnist_is_fetched_when_it_is_wanted(mnist_server, tmp_path, name):
    assert resolve(name, tmp_path, 5) == "mnist"
    assert {state.state for state in verify("mnist", tmp_path)} == {"ok"}


def test_auto_is_digits_where_mnist_can_be_neither_found_nor_fetched(mnist_server, tmp_path):
    mnist_server.behaviour = "hanging"
    assert resolve("auto", tmp_path, 0.2) == "digits"
    assert left_behind(tmp_path) == []


def test_explicit_mnist_that_cannot_be_had_is_an_error(mnist_server, tmp_path):
    mnist_server.behaviour = "failing"
    with pytest.raises(UserError, match=r"MNIST/raw/.* cannot be fetched .*vgt data fetch mnist.*VGT_DATA_DIR"):
        resolve("mnist", tmp_path, 1)


def test_auto_completes_a_data_set_with_a_file_missing(tiny_mnist, mnist_server):
    (tiny_mnist / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    assert resolve("auto", tiny_mnist, 5) == "mnist"


def test_auto_does_not_pass_over_an_incomplete_data_set(tiny_mnist, mnist_server):
    mnist_server.behaviour = "failing"
    (tiny_mnist / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte: missing"):
        resolve("auto", tiny_mnist, 1)


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_damaged_file_is_neither_trained_on_nor_passed_over_nor_silently_replaced(tiny_mnist, mnist_server, name):
    path = tiny_mnist / "MNIST/raw/t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte: truncated"):
        resolve(name, tiny_mnist, 5)
    assert mnist_server.requests == {}


def member(name, content=b"evil", kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, len(content) if kind == tarfile.REGTYPE else 0
    return entry, content


def pack(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


BATCH = "cifar-10-batches-py/data_batch_1"


def hostile_members(outside):
    """What an archive can hold to write outside its folder, by name; the good files come after it, or before."""
    return {
        "parent": [member("../evil"), member("cifar-10-batches-py/../../evil")],
        "absolute": [member(str(outside / "evil"))],
        "absolute over a good name": [member(f"/{BATCH}")],
        "link to a folder outside": [
            member("cifar-10-batches-py", kind=tarfile.SYMTYPE, target=str(outside)),
        ],
        "link to a file outside": [member(BATCH, kind=tarfile.SYMTYPE, target=str(outside / "evil"))],
        "link and a file through it": [
            member("way", kind=tarfile.SYMTYPE, target=str(outside)),
            member("way/evil"),
        ],
        "hard link": [member(BATCH, kind=tarfile.LNKTYPE, target=str(outside / "precious"))],
        "hard link and a write through it": [
            member("cifar-10-batches-py/data_batch_2", kind=tarfile.LNKTYPE, target=str(outside / "precious")),
            member("cifar-10-batches-py/data_batch_2"),
        ],
        "device": [member("cifar-10-batches-py/data_batch_3", kind=tarfile.CHRTYPE)],
        "pipe": [member("cifar-10-batches-py/data_batch_4", kind=tarfile.FIFOTYPE)],
        "folder for a file": [member("cifar-10-batches-py/data_batch_5", kind=tarfile.DIRTYPE)],
        "more than is asked for": [member("cifar-10-batches-py/evil"), member("evil")],
        "a name that never ends": [member("evil/" * 1000 + "evil")],
    }


@pytest.mark.parametrize("place", ["before the good files", "after them", "instead of them"])
@pytest.mark.parametrize("name", hostile_members(Path("outside")))
def test_hostile_archive_writes_nothing_but_the_files_of_the_table(
    cifar_server, cifar_table, tmp_path, monkeypatch, name, place
):
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "precious").write_bytes(b"precious")
    good, hostile = [member(path, content) for path, content in cifar_table.items()], hostile_members(outside)[name]
    orders = {"before the good files": hostile + good, "after them": good + hostile, "instead of them": hostile}
    archive = pack(orders[place])
    cifar_server.files["cifar-10-python.tar.gz"] = archive
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5_of(archive))
    if place == "before the good files" or (place == "after them" and "write" not in name):
        fetch("cifar10", root, 5)
        assert {path: (root / path).read_bytes() for path in cifar_table} == cifar_table
        assert len(left_behind(root)) == 1 + len(cifar_table)
    else:
        # A file of the table that the archive lacks, or holds in another form, is missed by its checksum.
        with pytest.raises(UserError, match="cifar10 cannot be fetched") as error:
            fetch("cifar10", root, 5)
        assert len(str(error.value).splitlines()) == 1
        assert left_behind(root) == []
    assert left_behind(outside) == ["precious"]
    assert (outside / "precious").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


def test_fetching_loads_no_pickle(cifar_server, tmp_path, monkeypatch):
    def loaded(*_arguments, **_settings):
        raise AssertionError("a pickle was loaded")

    monkeypatch.setattr("pickle.load", loaded)
    monkeypatch.setattr("pickle.loads", loaded)
    fetch("cifar10", tmp_path, 5)
    assert {state.state for state in verify("cifar10", tmp_path)} == {"ok"}
