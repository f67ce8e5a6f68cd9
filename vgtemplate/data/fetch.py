"""Fetches data sets over the network, through torchvision; never leaves a file behind that is not verified.

torchvision takes two seconds to import, so it is imported inside `fetch` and nowhere else in this room.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import shutil
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from vgtemplate.config.catalogue import DATASETS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.extras import require
from vgtemplate.data.checksums import FILES, require_intact, verify

_TORCHVISION_CLASSES = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
_FAILURES = (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error, UserError)


@contextlib.contextmanager
def _time_out(seconds: float) -> Iterator[None]:
    """Limit every wait for the network; torchvision offers no setting of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _download(name: str, staging: Path, quiet: bool) -> None:
    import torchvision.datasets

    dataset = getattr(torchvision.datasets, _TORCHVISION_CLASSES[name])
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        if hasattr(dataset, "tgz_md5"):
            # torchvision's own class would unpack whatever the archive names, and load the pickles in it.
            torchvision.datasets.utils.download_url(dataset.url, str(staging), dataset.filename, dataset.tgz_md5)
            _unpack(name, staging / dataset.filename, staging)
        else:
            dataset(str(staging), download=True)
    require_intact(name, staging)


def _unpack(name: str, archive: Path, folder: Path) -> None:
    """Write the regular files of data set `name` from its archive to `folder`, and nothing else that is in it."""
    wanted = {file.path for file in FILES[name]}
    with tarfile.open(archive) as members:
        for member in members:
            content = members.extractfile(member) if member.isreg() and member.name in wanted else None
            if content is not None:
                (folder / member.name).parent.mkdir(exist_ok=True)
                (folder / member.name).write_bytes(content.read())


def fetch(name: str, root: Path, timeout_seconds: float = 5.0, attempts: int = 2, quiet: bool = True) -> None:
    """Fetch a data set unless it is there and intact; files that are damaged are replaced.

    Everything is downloaded into a folder of its own and moved to its place once all of it is verified.

    Args:
        timeout_seconds: longest wait for a connection, and for each piece of an answer.
        attempts: how often to try; what an earlier attempt verified is kept.
        quiet: no progress bars.

    Raises:
        UserError: the name is no fetchable data set's, torchvision is missing, the network or the data folder refuses.
    """
    check_name("fetchable data set", name, {key: row for key, row in DATASETS.items() if row.fetchable})
    lacking = [state for state in verify(name, root) if state.state != "ok"]
    if not lacking:
        return
    require("torchvision")
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".fetching-{name}-", dir=root))
    except OSError as error:
        raise UserError(
            f"{root}: the data folder cannot be written ({error.strerror}); set VGT_DATA_DIR to another"
        ) from None
    try:
        for attempt in range(attempts):
            try:
                with _time_out(timeout_seconds):
                    _download(name, staging, quiet)
                for file in FILES[name]:
                    (root / file.path).parent.mkdir(parents=True, exist_ok=True)
                    (staging / file.path).replace(root / file.path)
                return
            except _FAILURES as error:
                if attempt == attempts - 1:
                    reason = " ".join(str(error).split()) or type(error).__name__
                    raise UserError(
                        f"{lacking[0].name}: {lacking[0].state}, and {name} cannot be fetched ({reason}); "
                        f"run `vgt data fetch {name}` with a network, or set VGT_DATA_DIR to a folder that has it"
                    ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
