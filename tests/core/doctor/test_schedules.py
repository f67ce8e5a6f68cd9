"""Schedules that take the learning rate away, and those that end a training as they should."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import cycle, islice

import pytest
import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import LambdaLR

from tests.core.doctor.test_diagnose import ill
from vgtemplate import watch

STEPS = 60
SCHEDULES: dict[str, tuple[Callable[[int], float], bool]] = {
    "a step per batch instead of per epoch": (lambda step: 0.1 ** (step // 5), True),
    "a factor per batch": (lambda step: 0.6**step, True),
    "constant": (lambda step: 1.0, False),
    "cosine to the end": (lambda step: (1 + math.cos(math.pi * step / STEPS)) / 2, False),
    "linear to the end": (lambda step: 1 - step / STEPS, False),
    "a tenth at half and three quarters": (lambda step: 0.1 ** ((step > STEPS / 2) + (step > 3 * STEPS / 4)), False),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_that_decays_to_nothing_is_found_and_one_that_ends_a_training_is_not(name: str) -> None:
    factor, is_ill = SCHEDULES[name]
    torch.manual_seed(0)
    model = torch.nn.Sequential(*ill.stack(24, 2, torch.nn.ReLU, outputs=4))
    optimizer = ill.adam(model, 3e-3)
    schedule = LambdaLR(optimizer, factor)
    with watch(model, optimizer) as report:
        for inputs, labels in islice(cycle(ill.classes()), STEPS):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            schedule.step()
    assert report.codes == ["step-too-small"] * is_ill
    if is_ill:
        assert 0 < report.findings[0].since_step < STEPS / 2
