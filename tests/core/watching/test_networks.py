"""Every kind of network under the watch: the same weights in the end, bit for bit, and nothing hidden that is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.core.watching.networks import NETWORKS, loss_of, make
from vgtemplate.watching.loop import watch
from vgtemplate.watching.measurements import Measurements

FORWARD, BACKWARD, MOVES = "signal_rms", "weight_grad_norm_before_clip", "update_ratio"


def train(name: str, watched: bool) -> tuple[dict[str, Tensor], Measurements | None, Any]:
    model, optimiser, batches, kind = make(name)
    torch.manual_seed(1)

    def steps() -> None:
        for batch in batches:
            optimiser.zero_grad()
            loss_of(model, batch).backward()
            optimiser.step()

    if not watched:
        steps()
        return dict(model.state_dict()), None, kind
    with watch(model, optimiser, every=1) as seen:
        steps()
    return dict(model.state_dict()), seen, kind


@pytest.mark.parametrize("name", NETWORKS)
def test_watched_network_ends_with_the_same_bits_and_shows_what_it_has(name: str) -> None:
    plain, _, _ = train(name, False)
    watched, seen, kind = train(name, True)
    assert seen is not None
    assert all(torch.equal(tensor, watched[key]) for key, tensor in plain.items())
    assert not [note for note in seen.notes if "not measured" in note], seen.notes
    assert not kind.unseen or any(kind.unseen in note for note in seen.notes), seen.notes
    series = seen.series()
    assert series[MOVES].shape == (1, len(seen.steps), len(seen.layers))
    assert len(seen.layers) == len(set(seen.layers))
    if "lazy" not in kind.unseen:
        assert seen.steps == [0, 1, 2]
    # Whatever moves has a gradient, and whatever has one moves.
    has = {key: np.isfinite(series[key]).any(axis=(0, 1)) for key in (MOVES, "weight_grad_norm_after_clip")}
    moving = has[MOVES] & (np.nan_to_num(series[MOVES]).max(axis=(0, 1)) > 0)
    assert (moving <= has["weight_grad_norm_after_clip"]).all(), dict(zip(seen.layers, moving, strict=True))
