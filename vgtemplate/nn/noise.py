"""Random numbers inside the network: a pure function of (seed, layer, step, element), so never a hidden state.

A counter-based generator (splitmix64) needs no loop over replicas and gives the same bits on every device. It is
made for dropout masks and random slopes, not for cryptography.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vgtemplate.config.seeding import Stream, derive

_BLOCK = 1 << 15
"""Words that a processor makes at once, so that they stay in its cache: one pass through memory takes as long as all
the arithmetic."""


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


# Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", as signed 64-bit words.
_WORD = (1 << 64) - 1
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift_right(words: Tensor, bits: int) -> Tensor:
    return (words >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def mix64(words: Tensor) -> Tensor:
    """Return splitmix64's output function of each int64 word, wrapping modulo 2^64."""
    # In place but for the first: the words are many, and new memory is what takes the time.
    words = (words ^ _shift_right(words, 30)).mul_(_MIX_1)
    words.bitwise_xor_(_shift_right(words, 27)).mul_(_MIX_2)
    return words.bitwise_xor_(_shift_right(words, 31))


def splitmix64(start: Tensor, count: int) -> Tensor:
    """Return the next `count` words of splitmix64 for each starting state: (R,) -> (R, count), int64."""
    counters = torch.arange(1, count + 1, device=start.device, dtype=torch.int64)
    return mix64(start[:, None] + counters * _GOLDEN)


class Noise(nn.Module):
    """A source of random numbers for the layer of that number in the network: each replica's own, new at each step.

    Several sources of one layer are told apart by further numbers, `parts`.
    """

    keys: Tensor

    def __init__(self, seeds: Sequence[int], layer: int, *parts: int) -> None:
        super().__init__()
        keys = [derive(seed, Stream.NOISE, layer, *parts) for seed in seeds]
        self.register_buffer("keys", torch.tensor(keys, dtype=torch.int64), persistent=False)
        self.step = 0

    def _fill(self, numbers: Tensor, turn: Callable[[Tensor], Tensor]) -> Tensor:
        """Write what `turn` makes of this step's words of 24 bits into a tensor (R, ...), and return it."""
        start = mix64(self.keys + torch.full_like(self.keys, self.step) * _GOLDEN)
        rows = numbers.view(len(start), -1)
        count = rows.shape[1]
        each = max(1, _BLOCK // len(start)) if start.is_cpu else count
        for first in range(0, count, each):
            words = splitmix64(start + _signed(first * _GOLDEN & _WORD), min(each, count - first))
            rows[:, first : first + each] = turn(_shift_right(words, 40))
        return numbers

    def uniform(self, like: Tensor) -> Tensor:
        """Return numbers uniform in [0, 1), shaped like the (R, ...) tensor, for this replica, layer and step."""
        numbers = torch.empty(like.shape, device=self.keys.device)
        return self._fill(numbers, lambda words: words.to(torch.float32).mul_(2.0**-24))

    def normal(self, like: Tensor) -> Tensor:
        """Return numbers from N(0, 1), by the inverse of the normal distribution, in the type of `like`."""
        numbers = torch.empty(like.shape, dtype=like.dtype, device=self.keys.device)
        return self._fill(numbers, to_normal)


def to_normal(words: Tensor) -> Tensor:
    """Return N(0, 1)'s quantile of each word of 24 bits, float64."""
    # Half a cell off the grid of `uniform`, in a type that can tell it from 1: there the inverse is infinite.
    centred = 2 * (words.to(torch.float64) * 2.0**-24 + 2.0**-25) - 1
    return torch.erfinv(centred) * math.sqrt(2)


class Dropout(nn.Module):
    """Sets each unit to zero with probability p in training and scales the rest by 1/(1-p) (Srivastava et al. 2014).

    Shape: (R, ...) to the same.
    """

    def __init__(self, p: float, seeds: Sequence[int], layer: int) -> None:
        super().__init__()
        self.noise = Noise(seeds, layer)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = self.noise.uniform(x) >= self.p
        return x * keep.to(x.dtype) / (1 - self.p)


def noise_sources(model: nn.Module) -> list[Noise]:
    """Return every source of noise of a network."""
    return [module for module in model.modules() if isinstance(module, Noise)]


def set_step(model: nn.Module, step: int) -> None:
    """Tell every source of noise which training step comes next; with equal steps the noise is equal."""
    for source in noise_sources(model):
        # Past nn.Module's own way to set an attribute, which takes longer than to find the sources.
        vars(source)["step"] = step


def current_step(model: nn.Module) -> int:
    """Return the step that a network's sources of noise were told last; 0 where it has none."""
    return next((source.step for source in noise_sources(model)), 0)
