"""Reads the pickles that CIFAR is published in; never calls anything that a table of pictures does not need."""

from __future__ import annotations

import codecs
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct

from vgtemplate.config.errors import UserError

# What CIFAR's own files name (NumPy 1, Python 2) and what the same tables name if they are written today.
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class _TableUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def read_table(content: bytes, path: str) -> dict[str, Any]:
    """Return the table of a pickle, which can name nothing but the parts of an array: no code of its own is run.

    Raises:
        UserError: it asks for anything else, or is no pickled table.
    """
    try:
        table = _TableUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # damaged opcodes raise whatever the call that they spell raises
        raise UserError(f"{path}: is no pickled table of pictures ({error or type(error).__name__})") from None
    if not isinstance(table, dict):
        raise UserError(f"{path}: is no pickled table of pictures")
    return table
