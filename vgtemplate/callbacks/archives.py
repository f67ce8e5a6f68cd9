"""Reads what torch has saved and somebody may have altered: no pickle is run, nothing unpacks to more than it is."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vgtemplate.config.inputs import check_file


def read_archive(path: Path) -> Any:
    """Return what `torch.save` has written to a file, on the processor.

    Raises:
        ValueError: it is no intact archive of torch's, in a line that says why.
        OSError, MemoryError: it cannot be read just now, which says nothing against it.
    """
    num_bytes = check_file(path).st_size
    try:
        # torch reads past a flipped bit; the archive's own checksums tell.
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > num_bytes:
                raise ValueError("it unpacks to more than it is, as no archive of torch's does")
            if (member := archive.testzip()) is not None:
                raise ValueError(f"{member} in it is altered")
        with warnings.catch_warnings():
            # What torch thinks of a file that is not its own is not for the user.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # which errors a damaged archive leads to, neither library says
        raise ValueError(gist(error)) from None


def gist(error: BaseException) -> str:
    """Return what an error says in one line, shortened."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def form_of(content: object) -> str:
    """Return the digest of what there is in a checkpoint, whatever its values: names, types, shapes.

    Of a checkpoint from which something was taken out, or in which something has another shape, it is another.
    """
    return hashlib.sha256(repr(_form(content)).encode(errors="surrogateescape")).hexdigest()


def _form(content: object) -> object:
    if isinstance(content, Tensor):
        return str(content.dtype), tuple(content.shape)
    if isinstance(content, Mapping):
        return {repr(key): _form(part) for key, part in content.items()}
    if isinstance(content, list | tuple):
        return [_form(part) for part in content]
    return type(content).__name__
