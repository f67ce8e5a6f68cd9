"""Arrays of several trainings as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def concatenate(arrays: Sequence[Array]) -> Array:
    """Join (R1, ...), (R2, ...), ... along their replicas; where one is shorter than others its last places are NaN."""
    shape = tuple(max(array.shape[axis] for array in arrays) for axis in range(1, arrays[0].ndim))
    if all(array.shape[1:] == shape for array in arrays):
        return np.concatenate(arrays)
    kind = np.result_type(*arrays, np.float16)  # a whole number has no NaN
    joined = np.full((sum(map(len, arrays)), *shape), np.nan, kind)
    start = 0
    for array in arrays:
        joined[(slice(start, start + len(array)), *map(slice, array.shape[1:]))] = array
        start += len(array)
    return joined
