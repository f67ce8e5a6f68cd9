"""Reads the pickles that CIFAR is published in; calls no code but its own, not even NumPy's.

NumPy restores its types from a pickle unchecked, so that a damaged one leaves types behind that crash the process.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vgtemplate.config.errors import UserError
from vgtemplate.data.images import Bytes


class _ByteType:
    """Stands for NumPy's dtype: unsigned bytes, and no other."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if code not in ("u1", "|u1"):
            raise pickle.UnpicklingError(f"its array is not of bytes but of {code!r}")

    def __setstate__(self, state: object) -> None:
        """Pass over byte order and alignment, which single bytes do not have."""


class _Array:
    """Stands for NumPy's ndarray: its shape and bytes."""

    array: Bytes

    def __setstate__(self, state: tuple[int, tuple[int, ...], _ByteType, bool, bytes | str]) -> None:
        _, shape, kind, is_fortran, content = state
        if not isinstance(kind, _ByteType):
            raise pickle.UnpicklingError("its array is not of bytes")
        # Python 2 wrote bytes as text.
        content = content.encode("latin1") if isinstance(content, str) else content
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(_kind: object, _shape: object, _code: object) -> _Array:
    return _Array()


def _encode(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")


# What CIFAR's own files name (NumPy 1, Python 2), and what the same tables name if they are written today.
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _ByteType,
    ("_codecs", "encode"): _encode,
}


class _TableUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def _require_small_memo(content: bytes) -> None:
    """Refuse a number in the memo that is beyond the pickle's length: room would be made for all numbers up to it."""
    for opcode, argument, _ in pickletools.genops(content):
        is_put = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if is_put and isinstance(argument, int) and argument > len(content):
            raise pickle.UnpicklingError(f"it numbers an object {argument}")


def read_table(content: bytes, path: str) -> dict[str, Any]:
    """Return the table of a pickle, its arrays uint8; whatever is in it, none but this file's functions are called.

    Raises:
        UserError: it asks for anything else, or is no pickled table.
    """
    try:
        _require_small_memo(content)
        table = _TableUnpickler(io.BytesIO(content), encoding="latin1").load()
        return {name: value.array if isinstance(value, _Array) else value for name, value in table.items()}
    except Exception as error:  # damaged opcodes raise whatever the call that they spell raises
        raise UserError(f"{path}: is no pickled table of pictures ({error or type(error).__name__})") from None
