"""A database whose disk has no room left, for as long as a block lasts; needs root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = 64 * 2**20


def query(port: int, text: str) -> list[str]:
    """Return what MLflow's database in PostgreSQL answers, line by line."""
    command = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "-d", "mlflow", "-Atc", text]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@contextmanager
def full_database(port: int, disk: Path) -> Iterator[None]:
    """Move the points of all curves to a disk of their own, and fill that."""
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(disk)], check=True)
    try:
        place, ballast = disk / "points", disk / "ballast"
        place.mkdir()
        shutil.chown(place, "postgres")
        query(port, f"create tablespace small location '{place}'")
        query(port, "alter table metrics set tablespace small")
        _fill(ballast)
        yield
        ballast.unlink()
        query(port, "alter table metrics set tablespace pg_default")
        query(port, "drop tablespace small")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
