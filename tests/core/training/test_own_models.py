"""Networks of one's own, trained as a population, against the same networks trained one by one in plain PyTorch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.training import own_nets
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.data.module import PopulationData
from vgtemplate.nn.replicate import replicate
from vgtemplate.records import Record
from vgtemplate.training.models import LAST, read_model, write_models
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

SEEDS = [4, 11, 2]
NETS = "tests.core.training.own_nets"
DATA: dict[str, Any] = {"dataset": "digits", "num_train": 100, "num_test": 50, "batch_size": 16}


def make(factory: str, data: dict[str, Any] | None = None, **sections: dict[str, Any]) -> ArmConfig:
    training = {"steps": 6, "precision": "64-true"} | sections.pop("training", {})
    content = {"model": {"factory": f"{NETS}:{factory}"}, "data": DATA | (data or {}), "training": training}
    return ArmConfig.model_validate({"optimiser": {"lr": 0.05}, "probes": {"every": 0}} | content | sections)


def train(config: ArmConfig, seeds: list[int] = SEEDS) -> tuple[Record, PopulationModule]:
    record, module = train_arm("own", config, seeds, Path("nowhere"), Hardware("cpu", threads=1))
    assert isinstance(module, PopulationModule)
    return record, module


def plain(factory: Callable[..., nn.Module], seed: int, **settings: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, Stream.WEIGHTS))
        return factory(**settings).double()


def batches_of(config: ArmConfig, count: int) -> list[tuple[Tensor, Tensor]]:
    """The first batches of every seed, (R, B, ...), in float64."""
    data = PopulationData(config.data, SEEDS, Path("nowhere"))
    data.setup()
    found: list[tuple[Tensor, Tensor]] = []
    loader = data.train_dataloader()
    while len(found) < count:
        found += [(images.double(), labels) for images, labels in loader]
    return found[:count]


def outputs_of(network: nn.Module, images: Tensor, seed: int, step: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, Stream.NOISE, 0, step))
        found = network(images)
    return found if isinstance(found, Tensor) else found.logits


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "lstm": ("Recurrent", {"input_shape": (1, 8, 8), "num_classes": 10}, "one after the other"),
    "transformer": ("Attention", {"input_shape": (1, 8, 8), "num_classes": 10, "dropout": 0.0}, "at once"),
    "normalised, with logits": ("Normalised", {"num_classes": 10}, "at once"),
}


@pytest.mark.filterwarnings("ignore:.*one after the other")
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(("name", "settings", "how"), CASES.values(), ids=list(CASES))
def test_a_network_trains_as_it_would_alone_in_plain_torch(
    name: str, settings: dict[str, Any], how: str, accumulate: int
) -> None:
    own = {"dropout": 0.0} if "dropout" in settings else {}
    model = {"factory": f"{NETS}:{name}", "settings": own}
    config = make(name, model=model, training={"accumulate": accumulate}, clipping={"kind": "norm", "threshold": 0.5})
    record, module = train(config)
    assert record.environment["replicas"] == how
    assert record.series["train_loss"].shape == (3, 6)
    # An epoch of 100 images has 6 batches of 16.
    batches = batches_of(config, 6 * accumulate)
    for replica, seed in enumerate(SEEDS):
        network = plain(getattr(own_nets, name), seed, **settings)
        rule = torch.optim.SGD(network.parameters(), 0.05)
        for step in range(6):
            losses = []
            for part in range(accumulate):
                number = step * accumulate + part
                images, labels = (tensor[replica] for tensor in batches[number])
                losses.append(F.cross_entropy(outputs_of(network, images, seed, number), labels))
            loss = torch.stack(losses).mean()
            np.testing.assert_allclose(record.series["train_loss"][replica, step], loss.item(), rtol=1e-9)
            rule.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            rule.step()
        trained = module.model.network.state_dict()
        for key, tensor in network.state_dict().items():
            torch.testing.assert_close(trained[key][replica], tensor, rtol=0, atol=1e-9, msg=key)


@pytest.mark.filterwarnings("ignore:.*one after the other")
@pytest.mark.parametrize("name", ["Recurrent", "Attention"])
def test_a_seed_gives_the_same_whatever_is_beside_it(name: str) -> None:
    together, alone = train(make(name))[0], train(make(name), SEEDS[1:2])[0]
    for series in ("train_loss", "test_loss"):
        np.testing.assert_allclose(together.series[series][1:2], alone.series[series], rtol=1e-9)


def test_the_note_says_how_and_why_once() -> None:
    with pytest.warns(
        UserWarning, match=r"^Recurrent: its 3 replicas run one after the other, since vmap cannot \(.+\)$"
    ):
        train(make("Recurrent"))


class Shuffling(nn.Module):
    """vmap would shuffle the units of all replicas alike."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, torch.randperm(6)]


class Skipping(nn.Module):
    """Draws from Python's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * random.random() * np.random.rand()


@pytest.mark.parametrize("factory", [Shuffling, Skipping])
def test_what_would_draw_for_all_replicas_runs_in_turn(factory: Callable[[], nn.Module]) -> None:
    population, alone = replicate(factory, SEEDS), replicate(factory, SEEDS[1:2])
    x = torch.randn(3, 5, 6)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.warns(UserWarning, match="depends on those beside it"):
        found = population(x)
    torch.testing.assert_close(found[1:2], alone(x[1:2]))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])
    torch.testing.assert_close(population(x), found)  # the same step, the same numbers


def test_the_trial_leaves_no_trace() -> None:
    def factory() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))

    tried, plain_one = replicate(factory, SEEDS), replicate(factory, SEEDS, vectorise=True)
    calls: list[int] = []
    tried.network[0].register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(3, 5, 6)
    with torch.inference_mode():
        tried.eval()(x)
    assert (tried.vectorise, len(calls), tried.network[1].training) == (True, 1, False)
    tried.train()(x)
    plain_one(x)
    for name, tensor in plain_one.state_dict().items():
        assert torch.equal(tried.state_dict()[name], tensor), name
    assert all(parameter.grad is None for parameter in tried.parameters())


def test_scores_and_losses_of_ones_own_are_recorded() -> None:
    config = make(
        "Normalised", training={"loss": f"{NETS}:focal", "score": f"{NETS}:surprise"}, data={"num_validation": 30}
    )
    record, module = train(config)
    assert record.series["train_score"].shape == (3, 6)
    assert record.series["validation_score"].shape == (3, 1)
    assert "test_accuracy" not in record.series
    data = PopulationData(config.data, SEEDS, Path("nowhere"))
    data.setup()
    images, labels = next(iter(data.test_dataloader()))
    with torch.no_grad():
        for replica in range(3):
            network = module.model.replica(replica).eval()
            logits = network(images[replica].double()).logits
            expected = own_nets.focal(logits, labels[replica]).item(), own_nets.surprise(logits, labels[replica])
            found = record.series["test_loss"][replica], record.series["test_score"][replica]
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_without_a_score_there_is_none() -> None:
    record, _ = train(make("Normalised", training={"score": "none"}, data={"num_validation": 30}))
    assert not {name for name in record.series if name.endswith(("score", "accuracy"))}
    assert {"train_loss", "validation_loss", "test_loss"} <= record.series.keys()


def test_record_says_which_layers_mix_units_so_that_metrics_leave_the_others_out() -> None:
    record, _ = train(make("Normalised", probes={"every": 2}))
    assert record.labels == {"layer": ["layers.1", "layers.2", "output"], "mixing": ["layers.1", "output"]}
    np.testing.assert_array_equal(record.hidden("signal_rms"), record.probe("signal_rms")[:, :1])
    built_in = ArmConfig.model_validate({"data": DATA, "training": {"steps": 2}, "model": {"depth": 2, "width": 4}})
    record, _ = train(built_in)
    assert record.labels.keys() == {"layer"}
    assert "not_seen" not in record.environment


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "forward": (
        {"factory": "misfit"},
        rf"^model\.factory {NETS}:misfit: RuntimeError: .*mat1 and mat2 shapes cannot be multiplied",
    ),
    "outputs": (
        {"factory": "too_few_outputs"},
        r"^training\.loss: cross_entropy: Target \d is out of bounds. The network gives 3 outputs.$",
    ),
    "loss": (
        {"factory": "Normalised", "training": {"loss": f"{NETS}:broken"}},
        rf"^training\.loss {NETS}:broken: IndexError: .*own_nets\.py:\d+\)$",
    ),
    "losses": (
        {"factory": "Normalised", "training": {"loss": f"{NETS}:several"}},
        rf"^training\.loss {NETS}:several: gives \(16,\); it must give one number for a batch$",
    ),
    "targets": (
        {"factory": "Normalised", "training": {"loss": "l1"}},
        r"^the network's outputs \(16, 10\) and its targets \(16,\) differ$",
    ),
}


@pytest.mark.parametrize(("sections", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_in_ones_own_code_is_one_line(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        train(make(**sections))
    assert "\n" not in str(caught.value)


def test_float16_is_a_setting() -> None:
    record, _ = train(make("Normalised", training={"precision": "16-mixed"}))
    assert np.isfinite(record.series["train_loss"]).all()


@pytest.mark.filterwarnings("ignore:.*one after the other")
@pytest.mark.parametrize("name", ["Recurrent", "Normalised"])
def test_its_file_classifies_pictures(name: str, tmp_path: Path) -> None:
    record, module = train(make(name, training={"precision": "32-true"}))
    write_models(tmp_path, record, module)
    pictures = np.random.default_rng(0).integers(0, 17, (5, 1, 8, 8), dtype=np.uint8)
    probabilities = read_model(tmp_path / LAST).probabilities(pictures)
    assert probabilities.shape == (3, 5, 10)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1)


@pytest.mark.parametrize("factory", ["subprocess:run", "os:system", "shutil:rmtree"])
def test_a_strangers_file_calls_nothing(factory: str, tmp_path: Path) -> None:
    record, module = train(make("Normalised"))
    write_models(tmp_path, record, module)
    content = torch.load(tmp_path / LAST, weights_only=True)
    content["configuration"]["model"] = {"factory": factory, "settings": {"args": ["touch", str(tmp_path / "ran")]}}
    torch.save(content, tmp_path / "stranger.pt")
    with pytest.raises(UserError, match=r"is not called$"):
        read_model(tmp_path / "stranger.pt")
    assert not (tmp_path / "ran").exists()
    content["configuration"]["model"] = {"factory": "torchvision.models:resnet18", "settings": {"num_classes": 10}}
    torch.save(content, tmp_path / "library.pt")
    with pytest.raises(UserError, match="is no model of `vgt train`"):  # its weights are another network's
        read_model(tmp_path / "library.pt")
