"""A diagnosis in MLflow: in the run of Lightning's logger, and what happens where nothing can be sent."""

import shutil
from pathlib import Path

import mlflow
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import MLFlowLogger
from torch import nn

from vgtemplate.callbacks.doctor import Doctor
from vgtemplate.tracking.doctor import note_in_run


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(-1))

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3)


@pytest.mark.slow
def test_callback_notes_it_in_the_run_of_the_logger(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    logger = MLFlowLogger("mine", tracking_uri=uri, artifact_location=str(tmp_path / "artifacts"))
    data = torch.utils.data.TensorDataset(torch.randn(64, 6), torch.randint(3, (64,)))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_steps=6, accelerator="cpu", logger=logger, callbacks=[Doctor()], **quiet)
    trainer.fit(Module(), torch.utils.data.DataLoader(data, 16))
    run = mlflow.MlflowClient(uri).get_run(logger.run_id)
    assert run.data.tags["doctor.healthy"] == "false"
    assert run.data.tags["doctor.codes"] == "loss-head-mismatch"
    (page,) = tmp_path.rglob("doctor.html")
    assert "loss-head-mismatch" in page.read_text(encoding="utf-8")


def test_server_that_is_down_is_said_and_ends_nothing() -> None:
    class Down:
        def set_tag(self, *_: object) -> None:
            raise ConnectionError("nobody\n answers")

    assert note_in_run(Down(), "1", True, [], "") == "not noted in MLflow (ConnectionError: nobody answers)"
