"""The probes in Trainers of both Lightnings: accumulation, clipping, several optimisers, loggers, checkpoints."""

from __future__ import annotations

import csv
import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe

IN, K, B = 6, 3, 8
PACKAGES = ("pytorch_lightning", "lightning.pytorch")
Batch = tuple[Tensor, Tensor]


def batches(count: int, same: bool = False) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    drawn = [
        (torch.randn(B, IN, generator=generator), torch.randint(0, K, (B,), generator=generator)) for _ in range(count)
    ]
    return drawn[:1] * count if same else drawn


def make_module(package: str, manual: bool = False, clip: float = 0.0) -> Any:
    pl = importlib.import_module(package)

    class Own(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.head = nn.Linear(7, K)
            self.body = nn.Sequential(nn.Linear(IN, 7), nn.BatchNorm1d(7))
            self.automatic_optimization = not manual

        def loss(self, batch: Batch) -> Tensor:
            return F.cross_entropy(self.head(F.relu(self.body(batch[0]))), batch[1])

        def training_step(self, batch: Batch, batch_idx: int) -> Any:
            loss = self.loss(batch)
            if not manual:
                return loss
            optimiser = self.optimizers()
            optimiser.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(optimiser, clip, "norm")
            optimiser.step()
            return None

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)

    return Own()


def fit(
    package: str, module: Any, data: list[Batch], callbacks: list[Any], checkpoint: Any = None, **settings: Any
) -> Any:
    pl = importlib.import_module(package)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_epochs": 1}
    trainer = pl.Trainer(accelerator="cpu", enable_model_summary=False, callbacks=callbacks, **{**quiet, **settings})
    loader = torch.utils.data.DataLoader(data, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    return trainer


def probes(every: int | None = 1) -> tuple[Recorder, list[Any]]:
    recorder = Recorder(every)
    return recorder, [*(rule(recorder=recorder) for rule in (GradientProbe, ActivationProbe, WeightProbe)), recorder]


def first(recorder: Recorder, name: str) -> dict[str, float]:
    return dict(zip(recorder.layers, recorder.series()[name][0, 0].tolist(), strict=True))


@pytest.mark.parametrize("package", PACKAGES)
def test_probes_change_nothing_in_either_lightning(package: str) -> None:
    states = []
    for callbacks in ([], probes()[1], [GradientProbe(1), ActivationProbe(2), WeightProbe()]):
        module = make_module(package)
        fit(package, module, batches(4), callbacks)
        states.append(module.state_dict())
        assert torch.overrides._get_current_function_mode_stack() == []
    assert all(torch.equal(tensor, other[name]) for other in states[1:] for name, tensor in states[0].items())


def test_head_that_is_defined_first_stands_last() -> None:
    recorder, callbacks = probes()
    fit(PACKAGES[0], make_module(PACKAGES[0]), batches(1), callbacks)
    assert recorder.layers == ["body.0", "body.1", "head"]


@pytest.mark.parametrize("package", PACKAGES)
def test_gradients_that_are_accumulated_are_those_of_one_batch(package: str) -> None:
    found = []
    for times in (1, 4):
        recorder, callbacks = probes()
        fit(package, make_module(package), batches(times, same=True), callbacks, accumulate_grad_batches=times)
        found.append(recorder)
    assert found[0].steps == found[1].steps == [0]
    for name in ("gradient_rms", "weight_grad_norm_before_clip", "bias_grad_norm", "signal_rms"):
        assert first(found[1], name) == pytest.approx(first(found[0], name), rel=1e-5), name


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("fused", [False, True])
def test_gradients_under_float16_are_the_true_ones(package: str, fused: bool) -> None:
    plugins = importlib.import_module(f"{package}.plugins.precision")
    found = []
    for scale in (None, 2.0**10):
        module = make_module(package)
        module.configure_optimizers = lambda own=module: torch.optim.SGD(own.parameters(), 0.1, fused=fused)
        recorder, callbacks = probes()
        settings: dict[str, Any] = {}
        if scale is not None:
            scaler = torch.amp.GradScaler("cpu", init_scale=scale)
            settings = {"plugins": [plugins.MixedPrecision("16-mixed", "cpu", scaler)]}
        fit(package, module, batches(2), callbacks, **settings)
        found.append(recorder.series())
    for name in ("gradient_rms", "weight_grad_norm_before_clip", "weight_grad_norm_after_clip", "bias_grad_norm"):
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=0.02, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("manual", [False, True])
def test_norms_before_a_clip_are_those_before_it(package: str, manual: bool) -> None:
    recorder, callbacks = probes()
    module = make_module(package, manual, clip=1e-3)
    settings = {} if manual else {"gradient_clip_val": 1e-3}
    fit(package, module, batches(1), callbacks, **settings)
    plain = make_module(package)
    plain.loss(batches(1)[0]).backward()
    expected = {
        "body.0": plain.body[0].weight.grad,
        "body.1": plain.body[1].weight.grad,
        "head": plain.head.weight.grad,
    }
    norms = {name: float(gradient.norm()) for name, gradient in expected.items()}
    assert first(recorder, "weight_grad_norm_before_clip") == pytest.approx(norms, rel=1e-5)
    total = float(torch.stack([each.grad.norm() for each in plain.parameters()]).norm())
    after = {name: norm * 1e-3 / (total + 1e-6) for name, norm in norms.items()}
    assert first(recorder, "weight_grad_norm_after_clip") == pytest.approx(after, rel=1e-4)


@pytest.mark.parametrize("package", PACKAGES)
def test_run_that_goes_on_from_a_checkpoint_has_the_series_of_one_that_was_not_stopped(
    package: str, tmp_path: Path
) -> None:
    def run(epochs: int, checkpoint: Any = None) -> tuple[Recorder, Any]:
        recorder, callbacks = probes()
        return recorder, fit(package, make_module(package), batches(3), callbacks, checkpoint, max_epochs=epochs)

    whole, _ = run(2)
    _, stopped = run(1)
    path = tmp_path / "half.ckpt"
    stopped.save_checkpoint(path)
    resumed, _ = run(2, path)
    assert resumed.steps == whole.steps
    for name, values in whole.series().items():
        np.testing.assert_array_equal(resumed.series()[name], values, err_msg=name)


@pytest.mark.slow  # the first one loads all of torch's compiler
@pytest.mark.parametrize("package", PACKAGES)
def test_module_that_is_compiled_is_not_compiled_once_more(package: str) -> None:
    def frames(callbacks: list[Any]) -> tuple[int, dict[str, Tensor]]:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        module = make_module(package)
        fit(package, torch.compile(module, backend="aot_eager"), batches(3), callbacks)
        return int(torch._dynamo.utils.counters["frames"]["total"]), module.state_dict()

    recorder, callbacks = probes()
    (plain, expected), (watched, found) = frames([]), frames(callbacks)
    assert plain == watched
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert np.isfinite(recorder.series()["update_ratio"]).all()
    assert any("compiled" in note for note in recorder.measurements.notes)


def test_layer_that_is_unfrozen_later_has_a_hole_until_then() -> None:
    import pytorch_lightning as pl

    class Unfreeze(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            module.body[0].requires_grad_(index > 0)

    recorder, callbacks = probes()
    fit(PACKAGES[0], make_module(PACKAGES[0]), batches(3), [Unfreeze(), *callbacks])
    column = recorder.layers.index("body.0")
    for name in ("weight_grad_norm_before_clip", "update_ratio"):
        assert np.isfinite(recorder.series()[name][0, :, column]).tolist() == [False, True, True]
    assert any(note.startswith("frozen") and "body.0" in note for note in recorder.measurements.notes)


@pytest.mark.parametrize("package", PACKAGES)
def test_csv_logger_has_a_column_per_series_and_layer_and_a_picture(package: str, tmp_path: Path) -> None:
    logger = importlib.import_module(f"{package}.loggers").CSVLogger(tmp_path)
    recorder, callbacks = probes()
    fit(package, make_module(package), batches(3), callbacks, logger=logger, log_every_n_steps=1)
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    for index, step in enumerate(recorder.steps):
        expected = recorder.series()["gradient_rms"][0, index, recorder.layers.index("head")]
        assert float(rows[step]["gradient_rms/head"]) == pytest.approx(expected)
    picture = Path(logger.log_dir) / "gradient_profile.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("package", PACKAGES)
def test_tensorboard_groups_the_layers_of_a_series_and_keeps_the_picture(package: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = importlib.import_module(f"{package}.loggers").TensorBoardLogger(tmp_path)
    _, callbacks = probes()
    fit(package, make_module(package), batches(3), callbacks, logger=logger)
    events = EventAccumulator(logger.log_dir).Reload()
    assert {"gradient_rms/body.0", "gradient_rms/head", "update_ratio/head"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["gradient_profile"]


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_mlflow_takes_the_names_and_the_picture(package: str, tmp_path: Path, empty_database: Path) -> None:
    from mlflow.tracking import MlflowClient

    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    logger = importlib.import_module(f"{package}.loggers").MLFlowLogger(
        tracking_uri=uri, artifact_location=(tmp_path / "files").as_uri()
    )
    module = make_module(package)
    module.twin = nn.Linear(7, K)
    module.twin.weight = module.head.weight
    _, callbacks = probes()
    fit(package, module, batches(3), callbacks, logger=logger)
    client = MlflowClient(uri)
    run = client.get_run(logger.run_id)
    assert {"gradient_rms/body.0", "gradient_rms/head and twin"} <= set(run.data.metrics)
    assert [file.path for file in client.list_artifacts(logger.run_id)] == ["gradient_profile.png"]


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_wandb_takes_them_without_a_network(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first takes its time: wandb is loaded, and starts a process that writes for it."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = importlib.import_module(f"{package}.loggers").WandbLogger(save_dir=tmp_path, offline=True)
    _, callbacks = probes()
    fit(package, make_module(package), batches(3), callbacks, logger=logger)
    summary = dict(logger.experiment.summary)
    logger.experiment.finish()
    assert {"gradient_rms/body.0", "gradient_rms/head", "gradient_profile"} <= set(summary)
    assert list(tmp_path.rglob("gradient_profile*.png"))


def test_logger_that_fails_ends_no_training() -> None:
    from pytorch_lightning.loggers import CSVLogger

    class Broken(CSVLogger):
        def log_metrics(self, *_: object, **__: object) -> None:
            raise OSError("the server is down")

    _, callbacks = probes()
    module = make_module(PACKAGES[0])
    with pytest.warns(UserWarning, match="the server is down"):
        trainer = fit(PACKAGES[0], module, batches(3), callbacks, logger=Broken("/nowhere"))
    assert trainer.global_step == 3
