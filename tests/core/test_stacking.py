"""Arrays of trainings that ended at different steps, as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vgtemplate.stacking import concatenate

SHAPES = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3))


@given(st.lists(st.one_of(*(hnp.arrays(kind, SHAPES) for kind in (np.float64, np.float32, np.int64))), min_size=1))
def test_every_row_is_what_it_was_and_what_was_not_reached_is_nan(arrays: list[Any]) -> None:
    joined = concatenate(arrays)
    rows = [row for array in arrays for row in array]
    assert len(joined) == len(rows)
    for whole, row in zip(joined, rows, strict=True):
        inside = tuple(map(slice, row.shape))
        np.testing.assert_array_equal(whole[inside], row)
        outside = np.ones(whole.shape, bool)
        outside[inside] = False
        assert np.isnan(whole[outside]).all()


def test_arrays_of_one_length_keep_their_type() -> None:
    assert concatenate([np.zeros((1, 2), np.int64), np.ones((2, 2), np.int64)]).dtype == np.int64
