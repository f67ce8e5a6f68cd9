"""The peers do the same work as we do: the same network, the same number of steps, and they learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import peers
from benchmarks.cases import NUM_CLASSES, SHAPE, Work, arm
from benchmarks.clock import Clock
from benchmarks.ours import population
from benchmarks.price import products
from vgtemplate.nn.build import build_model

NETWORKS = [("mlp", 3, 7, "none"), ("mlp", 2, 5, "batch"), ("cnn", 6, 4, "none"), ("cnn", 3, 4, "batch")]


@pytest.mark.parametrize(("kind", "depth", "width", "norm"), NETWORKS)
def test_plain_network_is_the_populations_network(kind: str, depth: int, width: int, norm: str) -> None:
    config = arm(kind, depth, width, norm).model
    plain = peers.build_plain(config)
    model = build_model(config, SHAPE, NUM_CLASSES, [3])
    theirs = [layer for layer in plain if isinstance(layer, (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d))]
    ours = [part for hidden in model.hidden_layers for part in (hidden.linear, hidden.norm_before) if part is not None]
    for own, layer in zip([*ours, model.output], theirs, strict=True):
        weight = own.weight.detach()[0]
        layer.weight.data.copy_(weight.T if isinstance(layer, nn.Linear) else weight)
        layer.bias.data.copy_(own.bias.detach()[0])
    images = torch.randn(8, *SHAPE)
    torch.testing.assert_close(plain(images), model(images[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "way",
    [peers.by_hand, peers.lightning, peers.lightning_mlflow, peers.keras_fit, lambda work: population(work, 2)],
    ids=["by hand", "Lightning", "Lightning with MLflow", "Keras", "ours"],
)
@pytest.mark.slow
def test_every_way_trains_the_steps_that_are_timed(
    way: Callable[[Work], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    stop = Clock.stop

    def count(clock: Clock) -> None:
        steps.append(clock._step)
        stop(clock)

    monkeypatch.setattr(Clock, "stop", count)
    # More steps than the three of an epoch: each way has to begin another.
    seconds = way(Work("", arm(depth=2, width=8, num_train=400), 5, 2))
    assert steps == [7]
    assert seconds > 0


@pytest.mark.parametrize(("kind", "depth", "width", "norm"), NETWORKS)
def test_products_are_those_that_torch_counts(kind: str, depth: int, width: int, norm: str) -> None:
    config = arm(kind, depth, width, norm)
    config = config.model_copy(update={"data": config.data.model_copy(update={"batch_size": 4})})
    network = peers.build_plain(config.model)
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(4, *SHAPE)).sum().backward()
    assert products(config, 28 * 28) == counter.get_total_flops()


def test_works_images_are_always_the_same() -> None:
    work = Work("", arm(num_train=50), 1)
    assert torch.equal(work.images()[0], replace(work, steps=2).images()[0])
    assert work.images()[0].shape == (50, *SHAPE)
