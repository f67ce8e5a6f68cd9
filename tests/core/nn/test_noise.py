"""Random numbers inside the network: against the published sequence, statistical tests, and the promise of purity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from vgtemplate.nn import noise
from vgtemplate.nn.noise import Dropout, Noise, set_step, splitmix64, to_normal

PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
"""The first outputs of Vigna's splitmix64.c for the state 1234567."""


def draw(seeds: list[int], layer: int = 0, step: int = 0, num: int = 20_000) -> Tensor:
    source = Noise(seeds, layer)
    set_step(source, step)
    return source.uniform(torch.empty(len(seeds), num))


def test_normal_numbers_follow_the_normal_distribution_and_repeat() -> None:
    noise = Noise([3, 4], 0)
    numbers = noise.normal(torch.empty(2, 20_000, dtype=torch.float64))
    for row in numbers:
        assert stats.kstest(row.numpy(), "norm").pvalue > 0.001
    assert numbers.isfinite().all()
    assert not torch.equal(numbers[0], numbers[1])
    assert torch.equal(numbers, noise.normal(torch.empty(2, 20_000, dtype=torch.float64)))


def test_normal_numbers_of_the_smallest_and_largest_word_are_finite() -> None:
    expected = stats.norm.ppf([2.0**-25, 1 - 2.0**-25])
    np.testing.assert_allclose(to_normal(torch.tensor([0, 2**24 - 1])).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 100), (3, 7, 11), (2, 1)])
def test_numbers_do_not_depend_on_how_many_are_made_at_once(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, like = Noise(range(shape[0]), 4), torch.empty(shape)
    at_once = source.uniform(like), source.normal(like)
    monkeypatch.setattr(noise, "_BLOCK", 5)
    assert torch.equal(source.uniform(like), at_once[0])
    assert torch.equal(source.normal(like), at_once[1])


def test_words_equal_the_published_sequence() -> None:
    words = splitmix64(torch.tensor([1234567, 1234567]), 5)
    for row in words:
        assert [word % 2**64 for word in row.tolist()] == PUBLISHED


def test_words_wrap_like_unsigned_integers_of_64_bits() -> None:
    """Plain Python integers as second implementation, from states at both ends of the range."""

    def by_hand(state: int, count: int) -> list[int]:
        words = []
        for _ in range(count):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            z = state
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
            words.append(z ^ (z >> 31))
        return words

    states = [0, 1, 2**63 - 1, -(2**63), -1]
    words = splitmix64(torch.tensor(states), 50)
    for state, row in zip(states, words, strict=True):
        assert [word % 2**64 for word in row.tolist()] == by_hand(state % 2**64, 50)


def test_numbers_are_uniform_in_the_half_open_unit_interval() -> None:
    numbers = draw([0, 1, 2], num=200_000)
    assert numbers.dtype == torch.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for row in numbers:
        assert stats.kstest(row.double().numpy(), "uniform").pvalue > 1e-3


def test_neighbouring_elements_are_uncorrelated() -> None:
    numbers = draw([5], num=200_000)[0].double().numpy()
    for lag in (1, 2, 784):
        # 4 standard deviations of the correlation of independent numbers.
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 4 / np.sqrt(len(numbers))


def test_replicas_layers_and_steps_are_independent_of_each_other() -> None:
    rows = [draw([seed], layer, step)[0] for seed in (0, 1, 2) for layer in (0, 1) for step in (0, 1, 2, 1_000_000)]
    correlations = np.corrcoef(torch.stack(rows).double().numpy())
    off_diagonal = correlations[~np.eye(len(rows), dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(20_000)


def test_first_element_is_uniform_over_the_steps() -> None:
    noise = Noise([3], layer=1)
    first = []
    for step in range(3000):
        set_step(noise, step)
        first.append(noise.uniform(torch.empty(1, 1)).item())
    assert stats.kstest(first, "uniform").pvalue > 1e-3


def test_equal_seed_and_step_give_equal_noise_whatever_else_was_drawn() -> None:
    noise = Noise([4, 9], layer=2)
    set_step(noise, 17)
    first = noise.uniform(torch.empty(2, 100))
    set_step(noise, 18)
    other = noise.uniform(torch.empty(2, 100))
    set_step(noise, 17)
    assert torch.equal(noise.uniform(torch.empty(2, 100)), first)
    assert not torch.equal(other, first)


def test_replica_draws_the_same_whoever_stands_beside_it() -> None:
    assert torch.equal(draw([4, 9, 2], step=5)[1], draw([9], step=5)[0])


def test_noise_has_the_shape_of_the_tensor_and_does_not_depend_on_its_type() -> None:
    noise = Noise([1, 2], layer=0)
    images = noise.uniform(torch.empty(2, 3, 4, 5, 6, dtype=torch.float64))
    assert images.shape == (2, 3, 4, 5, 6)
    assert torch.equal(images.flatten(1), noise.uniform(torch.empty(2, 360)))


def test_set_step_reaches_every_source_of_noise() -> None:
    network = nn.Sequential(Dropout(0.5, [0], 0), nn.Sequential(Dropout(0.5, [0], 1)))
    set_step(network, 12)
    assert [module.step for module in network.modules() if isinstance(module, Noise)] == [12, 12]


def test_keys_move_with_the_module_and_are_no_part_of_its_state() -> None:
    noise = Noise([0, 1], layer=0)
    assert noise.state_dict() == {}
    assert noise.to("meta").keys.device.type == "meta"
    assert Noise([0, 1], layer=0).double().keys.dtype == torch.int64


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_with_its_probability_and_scales_the_rest(p: float) -> None:
    dropout = Dropout(p, [0, 1], layer=1)
    y = dropout(torch.full((2, 100, 500), 3.0, dtype=torch.float64))
    kept = y != 0
    torch.testing.assert_close(y[kept], torch.full((int(kept.sum()),), 3 / (1 - p), dtype=torch.float64))
    for replica in range(2):
        num_zeros = int((~kept[replica]).sum())
        assert stats.binomtest(num_zeros, 50_000, p).pvalue > 1e-3


def test_dropout_scales_the_gradient_like_the_output() -> None:
    x = torch.ones(2, 50, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.3, [0, 1], layer=1)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_dropout_is_the_identity_in_evaluation() -> None:
    x = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Dropout(0.9, [0, 1], layer=1).eval()(x), x)
