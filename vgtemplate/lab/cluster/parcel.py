"""A record's two files as bytes, in pieces that one message holds; they arrive whole and intact or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from vgtemplate.atomic import put_in_place, write_flushed
from vgtemplate.config.errors import UserError
from vgtemplate.jobs.job import open_job
from vgtemplate.records import RecordError, read_part, record_path

PIECE_BYTES = 4 * 2**20
"""Of a message: well below the 10 MB that Dask warns of."""
_FILES = ("record.json", "series.npz")


def pack(results: Path, key: str) -> bytes:
    """Return the files of a record; whatever else lies beside them stays; OSError or ValueError: not to be read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in _FILES:
            # A file's time and rights would be facts about the machine.
            archive.writestr(zipfile.ZipInfo(name), read_part(results, key, name))
    return buffer.getvalue()


def piece_of(content: bytes, index: int) -> bytes:
    """Return one piece of what is sent."""
    return content[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]


def num_pieces(size: int) -> int:
    """Return how many pieces so many bytes are sent in."""
    return max(1, -(-size // PIECE_BYTES))


def digest(content: bytes) -> str:
    """Return the checksum by which the receiver knows that all of it has arrived."""
    return hashlib.sha256(content).hexdigest()


def unpack(content: bytes, results: Path, key: str) -> None:
    """Write a record that has arrived, once it has proven to be that of its key.

    Raises:
        RecordError: it is not.
        UserError: it cannot be written.
    """
    staging = None
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".writing-{key}-", dir=results))
        folder = record_path(staging, key)
        folder.mkdir()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in _FILES:
                write_flushed(folder / name, archive.read(name))
        open_job(staging, key)
        aside = f".replaced-{key}-{os.getpid()}"
        put_in_place(folder, record_path(results, key), results / aside)
    except (KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise RecordError(f"what arrived is no record ({error})") from None
    except OSError as error:
        raise UserError(f"{results}: the record cannot be written ({error.strerror})") from None
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
