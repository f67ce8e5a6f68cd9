"""The check of Keras's default: with a stand-in of the same interface that draws what it is told to, and with Keras."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vgtemplate.lab.catalogue import CHECKS
from vgtemplate.lab.checks.registry import load_check

SIZE = (256, 512)
DEVIATION = np.sqrt(2 / sum(SIZE))


class Initialiser:
    """What the stand-in's initialisers share with those of Keras."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initialiser:
        return cls(**config)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        raise NotImplementedError


class GlorotUniform(Initialiser):
    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.uniform(-np.sqrt(3) * DEVIATION, np.sqrt(3) * DEVIATION, SIZE)


class GlorotNormal(Initialiser):
    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.normal(0, DEVIATION, SIZE)


class TruncatedNormal(Initialiser):
    """As Keras's own GlorotNormal: cut off at two deviations, and widened."""

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        scale = DEVIATION / 0.87962566103423978
        return stats.truncnorm.rvs(-2, 2, scale=scale, size=SIZE, random_state=generator)


class HeNormal(Initialiser):
    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.normal(0, np.sqrt(2 / SIZE[0]), SIZE)


def stand_in(default: type[Initialiser]) -> Any:
    class Dense:
        def __init__(self, units: int, kernel_initializer: Initialiser | None = None) -> None:
            assert units == SIZE[1]
            self.kernel_initializer = kernel_initializer or default()

        def build(self, shape: tuple[int | None, int]) -> None:
            assert shape == (None, SIZE[0])
            self.kernel = self.kernel_initializer.draw(np.random.default_rng(self.kernel_initializer.seed))

        def get_weights(self) -> list[np.ndarray]:
            return [self.kernel.astype(np.float32), np.zeros(SIZE[1], np.float32)]

    return SimpleNamespace(layers=SimpleNamespace(Dense=Dense))


@pytest.mark.parametrize(
    ("default", "is_normal", "is_uniform", "class_is_normal"),
    [
        (GlorotUniform, False, True, 0.0),
        (GlorotNormal, True, False, 1.0),
        (TruncatedNormal, True, False, 1.0),
        (HeNormal, False, False, 1.0),
    ],
)
def test_default_is_recognised_by_its_weights(
    default: type[Initialiser],
    is_normal: bool,
    is_uniform: bool,
    class_is_normal: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keras", stand_in(default))
    found = load_check("keras_default_initialiser")()
    assert list(found) == CHECKS["keras_default_initialiser"].quantities.split()
    assert (found["normal_ks_p"] > 0.001, found["uniform_ks_p"] > 0.001) == (is_normal, is_uniform)  # type: ignore[operator]
    assert found["class_is_normal"] == class_is_normal
    assert load_check("keras_default_initialiser")() == found


@pytest.mark.slow
def test_keras_draws_from_the_uniform_distribution() -> None:
    found = load_check("keras_default_initialiser")()
    assert (found["normal_ks_p"] > 0.001, found["uniform_ks_p"] > 0.001, found["class_is_normal"]) == (False, True, 0.0)  # type: ignore[operator]
