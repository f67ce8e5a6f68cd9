"""One arm from configuration to record, alone, beside others, and in two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.processes import run_vgt
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.records import SERIES, read_record
from vgtemplate.training import run
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware


def arm(**sections: dict[str, object]) -> ArmConfig:
    settings: dict[str, dict[str, object]] = {
        "model": {"depth": 3, "width": 8},
        "data": {"dataset": "digits", "batch_size": 32},
        "training": {"steps": 6, "precision": "64-true"},
    }
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    return ArmConfig.model_validate(settings)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"model": {"norm": "batch", "activation": "rrelu", "dropout": 0.2}},
        {"clipping": {"kind": "norm", "threshold": 0.1}, "optimiser": {"momentum": 0.9}},
        {"model": {"kind": "cnn", "width": 4}, "optimiser": {"name": "adam", "lr": 0.01}},
        {
            "model": {"norm": "batch", "norm_noise": True, "norm_affine": False, "residual": True},
            "probes": {"growth": True, "removal": True, "zero_gradients": True, "shift": True},
        },
    ],
)
def test_a_replica_does_not_depend_on_the_seeds_beside_it(
    sections: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    config = arm(**sections)
    together, _ = train_arm("a", config, [3, 7, 1], tmp_path, Hardware("cpu"))
    alone, _ = train_arm("a", config, [7], tmp_path, Hardware("cpu"))
    assert {"gradient_rms", "travel", "train_loss", "test_accuracy", "dead_fraction"} <= set(together.series)
    for name, array in alone.series.items():
        has_replicas = SERIES[name].axes[0] == "replica"
        ours, theirs = (together.series[name][1], array[0]) if has_replicas else (together.series[name], array)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_same_arm_twice_is_bitwise_the_same(tmp_path: Path) -> None:
    config = arm(training={"precision": "32-true"}, model={"dropout": 0.1, "norm": "batch"})
    first, second = (train_arm("a", config, [0, 1], tmp_path, Hardware("cpu"))[0] for _ in range(2))
    for name, array in first.series.items():
        np.testing.assert_array_equal(array, second.series[name], err_msg=name)


def test_probes_and_validation_change_no_weight(tmp_path: Path) -> None:
    plain = arm(probes={"every": 0}, data={"num_validation": 50})
    watched = arm(probes={"every": 1}, data={"num_validation": 50}, training={"validate_every": 2})
    weights = [
        train_arm("a", config, [0, 1], tmp_path, Hardware("cpu"))[1].model.state_dict() for config in (plain, watched)
    ]
    for name, tensor in weights[0].items():
        assert tensor.equal(weights[1][name]), name


def test_probes_of_the_whole_run_are_measured_where_they_are_asked_for(tmp_path: Path) -> None:
    asked = {"growth": True, "removal": True, "zero_gradients": True, "num_images": 30}
    record, module = train_arm("a", arm(probes=asked), [0, 1], tmp_path, Hardware("cpu"))
    shapes = {name: record.series[name].shape for name in ("gradient_norm", "weight_norm", "accuracy_without_layer")}
    assert shapes == {"gradient_norm": (2, 6), "weight_norm": (2, 6), "accuracy_without_layer": (2, 3)}
    assert record.series["zero_gradient_fraction"].shape == (2, 2, 3)
    weights = [parameter.detach()[0].flatten() for parameter in module.parameters() if parameter.dim() > 2]
    assert record.series["weight_norm"][0, -1] == pytest.approx(float(torch.cat(weights).norm()), rel=1e-12)
    plain, same = train_arm("a", arm(), [0, 1], tmp_path, Hardware("cpu"))
    assert not {*shapes, "zero_gradient_fraction"} & set(plain.series)
    assert all(tensor.equal(same.state_dict()[name]) for name, tensor in module.state_dict().items())
    silent, _ = train_arm("a", arm(probes=asked | {"every": 0}), [0, 1], tmp_path, Hardware("cpu"))
    assert not {*shapes, "zero_gradient_fraction"} & set(silent.series)


def test_validation_curves_have_their_steps(tmp_path: Path) -> None:
    config = arm(data={"num_validation": 50}, training={"validate_every": 2})
    record, _ = train_arm("a", config, [0, 1], tmp_path, Hardware("cpu"))
    assert record.series["validation_steps"].tolist() == [2, 4, 6]
    assert record.series["validation_loss"].shape == (2, 3)


def test_epochs_replace_steps(tmp_path: Path) -> None:
    record, _ = train_arm("a", arm(training={"epochs": 2}), [0], tmp_path, Hardware("cpu"))
    assert record.series["train_loss"].shape == (1, 2 * (1437 // 32))


def test_a_diverged_replica_is_recorded_and_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output weights of replica 1 learn at a rate of their own, a huge one."""
    config, others = arm(optimiser={"momentum": 0.9}, training={"steps": 8}), [0, 2]
    healthy, module = train_arm("a", config, [0, 1, 2], tmp_path, Hardware("cpu"))

    def build(*arguments: Any) -> Any:
        model = build_model(*arguments).double()
        rates = torch.tensor([1.0, 1e150, 1.0], dtype=torch.float64)
        model.output.weight.register_hook(lambda gradient: gradient * rates[:, None, None])
        return model

    monkeypatch.setattr(run, "build_model", build)
    record, beside = train_arm("a", config, [0, 1, 2], tmp_path, Hardware("cpu"))
    assert healthy.series["diverged_at"].tolist() == [-1, -1, -1]
    assert record.series["diverged_at"][others].tolist() == [-1, -1]
    assert record.series["diverged_at"][1] > 0
    assert record.series["test_accuracy"][1] == 0
    for name, array in healthy.series.items():
        kept = others if SERIES[name].axes[0] == "replica" else slice(None)
        np.testing.assert_array_equal(record.series[name][kept], array[kept], err_msg=name)
    for name, tensor in module.model.state_dict().items():
        assert beside.model.state_dict()[name][others].equal(tensor[others]), name


@pytest.mark.slow
def test_ddp_with_two_real_processes_equals_one(tmp_path: Path) -> None:
    """Takes its time: both processes start Python anew, and wait for each other."""
    experiment = tmp_path / "mine.yaml"
    experiment.write_text(
        "arms:\n"
        "  one: {model: {depth: 3, width: 8}, data: {batch_size: 32}, training: {steps: 6, precision: 64-true}}\n"
        "  two: {model: {depth: 2, width: 8}, data: {batch_size: 32}, training: {steps: 6, precision: 64-true}}\n"
    )
    command = ["train", str(experiment), "--seeds", "2", "--no-tracking", "--dataset", "digits", "--accelerator", "cpu"]
    found = []
    for name, extra in (("single", []), ("double", ["--strategy", "ddp", "--devices", "2"])):
        results = tmp_path / name
        environment = os.environ | {"VGT_RESULTS_DIR": str(results), "OMP_NUM_THREADS": "1"}
        if extra:  # starts its second process as it was started itself
            whole = [sys.executable, "-m", "vgtemplate", *command, *extra]
            done = subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=300)
        else:
            done = run_vgt(*command, cwd=tmp_path, environment=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("test accuracy") == 1
        keys = [json.loads(path.read_text())["key"] for path in results.glob("*/record.json")]
        records = [read_record(results, key) for key in keys]
        found.append({record.name: record for record in records if record is not None})
    single, double = found
    assert set(single) == set(double) == {"one", "two"}
    for name, record in single.items():
        for series in ("train_loss", "test_loss", "weight_grad_norm_before_clip", "travel"):
            np.testing.assert_allclose(record.series[series], double[name].series[series], rtol=1e-9, err_msg=series)


def test_batch_that_ddp_cannot_share_out_is_refused(tmp_path: Path) -> None:
    from vgtemplate.config.errors import UserError
    from vgtemplate.data.module import PopulationData

    data = PopulationData(arm(data={"batch_size": 33}).data, [0], tmp_path)
    data.setup("fit")

    class Trainer:
        world_size, global_rank = 2, 0

    data.trainer = Trainer()  # type: ignore[assignment]
    with pytest.raises(UserError, match="33"):
        iter(data.train_dataloader())


def test_gpu_that_is_not_there_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        UserError, match=r"^--accelerator gpu: torch finds no GPU that it can use; allowed here: auto, cpu$"
    ):
        train_arm("a", arm(), [0], tmp_path, Hardware("gpu"))
