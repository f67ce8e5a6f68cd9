"""The layer at which a replica diverged, and neighbours that do not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vgtemplate.callbacks.curves import CurveRecorder
from vgtemplate.callbacks.divergence import DivergenceRecorder
from vgtemplate.config.load import merge
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.nn.replicate import replicate
from vgtemplate.records import Record
from vgtemplate.training import run
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.trainer import Hardware

DEPTH = 3
BASE: dict[str, Any] = {
    "data": {"dataset": "digits", "num_train": 64, "batch_size": 16, "num_validation": 20},
    "model": {"depth": DEPTH, "width": 8},
    "training": {"steps": 6, "validate_every": 2},
    "probes": {"every": 2, "num_images": 20},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "batch norm": {"model": {"norm": "batch"}},
    "layer norm": {"model": {"norm": "layer"}},
    "cnn": {"model": {"kind": "cnn", "norm": "batch"}},
    "residual": {"model": {"residual": True}},
    "dropout": {"model": {"dropout": 0.2, "activation": "rrelu"}},
    "adam": {"optimiser": {"name": "adam", "l1": 1e-3}},
    "momentum": {"optimiser": {"momentum": 0.9, "weight_decay": 0.1}},
    "clipped norm": {"clipping": {"kind": "norm", "threshold": 0.1}},
    "clipped value": {"clipping": {"kind": "value", "threshold": 0.1}},
}


def train(configuration: dict[str, Any], root: Path, seeds: list[int]) -> Record:
    return run.train_arm("a", ArmConfig.model_validate(configuration), seeds, root, Hardware("cpu"))[0]


def poison(monkeypatch: pytest.MonkeyPatch, layer: int, *values: float) -> None:
    """Put values into the weights of a hidden layer, from 1, of replica 1 and 2, before anything is trained."""

    def build(*arguments: Any) -> Any:
        model = build_model(*arguments)
        with torch.no_grad():
            weight = model.hidden_layers[layer - 1].get_submodule("linear").weight
            for replica, value in enumerate(values, start=1):
                weight.view(len(arguments[-1]), -1)[replica] = value
        return model

    monkeypatch.setattr(run, "build_model", build)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_replicas_that_diverge_are_named_with_their_layer_and_change_no_bit_of_the_others(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration, seeds = merge(BASE, NETWORKS[network]), [3, 8, 5, 2]
    healthy = train(configuration, tmp_path, seeds)
    assert healthy.series["diverged_layer"].tolist() == [-1, -1, -1, -1]
    layer = 2
    poison(monkeypatch, layer, float("nan"), float("inf"))
    broken = train(configuration, tmp_path, seeds)
    assert broken.series["diverged_at"].tolist() == [-1, 0, 0, -1]
    assert broken.series["diverged_layer"].tolist() == [-1, layer, layer, -1]
    for name, array in healthy.series.items():
        if name not in ("probe_steps", "validation_steps"):
            np.testing.assert_array_equal(broken.series[name][[0, 3]], array[[0, 3]], err_msg=name)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_first_layer_from_the_input_is_meant(layer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, layer, float("nan"))
    assert train(BASE, tmp_path, [3, 8, 2]).series["diverged_layer"].tolist() == [-1, layer, -1]


def watch(model: Any, replica: int) -> list[bool]:
    """Return a list that a forward pass will fill: whether each hidden layer's output is finite."""
    finite: list[bool] = []

    def look(_: Any, __: Any, output: torch.Tensor) -> None:
        finite.append(bool(output[replica].isfinite().all()))

    for hidden in model.hidden_layers:
        hidden.register_forward_hook(look)
    return finite


@pytest.mark.slow
def test_layer_is_looked_for_at_the_step_of_the_divergence_not_after_it(tmp_path: Path) -> None:
    """Against a slow second way: the same training once more, its weights looked at after every step."""
    configuration = merge(BASE, {"optimiser": {"lr": 1e4}, "model": {"activation": "leaky_relu"}})
    record = train(configuration, tmp_path, [0, 1, 2, 3])
    steps, layers = record.series["diverged_at"], record.series["diverged_layer"]
    assert (steps > 0).all()
    for replica, (step, layer) in enumerate(zip(steps, layers, strict=True)):
        before = merge(configuration, {"training": {"steps": int(step), "evaluate": False}})
        config = ArmConfig.model_validate(before)
        _, module = run.train_arm("a", config, [0, 1, 2, 3], tmp_path, Hardware("cpu"))
        data = module.trainer.datamodule
        images, _ = data.train_dataloader().batch(int(step))
        finite = watch(module.model, replica)
        with torch.no_grad():
            logits = module.model(images)
        assert not logits[replica].isfinite().all()
        assert ([*finite, False].index(False) + 1) == layer


def test_network_whose_layers_are_unknown_says_so(lab: Any) -> None:
    """A population of `replicate` does not show what flows through it: the step is known, the layer is not."""
    network = replicate(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 4)), lab.seeds)
    module = PopulationModule(network.double(), lab.module().config, 3)
    with torch.no_grad():
        network.network.get_parameter("3.weight")[1] = torch.inf
    recorder, curves = DivergenceRecorder(), CurveRecorder()
    trainer = lab.run(module, lab.batches(2), recorder, curves)
    assert curves.series(trainer)["diverged_at"].tolist() == [-1, 0, -1]
    assert recorder.series()["diverged_layer"].tolist() == [-1, 0, -1]
