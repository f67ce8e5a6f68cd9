"""The networks of He et al. on real photographs: the JPEG copy of CIFAR-10."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.data.files import data_root
from vgtemplate.training.models import BEST, read_model, write_models
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

CIFAR = Path(__file__).parents[3] / "experiments" / "cifar-resnet.yaml"
PER_CLASS = {"train": 300, "test": 100}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first photographs of each class, as an image folder."""
    archive = data_root() / "cifar10_jpeg.tar.xz"
    if not archive.exists():
        pytest.skip(f"no JPEG copy of CIFAR-10 at {archive}; the project's users have the original, which is not here")
    folder = tmp_path_factory.mktemp("cifar")
    with tarfile.open(archive) as copy:
        for member in copy:
            place = Path(member.name)
            if member.isfile() and int(place.stem) < PER_CLASS[place.parts[0]]:
                copy.extract(member, folder, filter="data")
    return folder


@pytest.mark.slow
@pytest.mark.real_data
def test_a_residual_network_learns_photographs_and_knows_them_again(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes its time: two networks that have to learn something of photographs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shorter = ["model.depth=8", "data.num_train=2400", "data.num_validation=200", "data.batch_size=20"]
    shorter += ["training.epochs=2", "training.validate_every=60", "probes.num_images=20", "optimiser.lr=0.025"]
    folder = [f"data.path={photographs}", "data.dataset=image_folder"]
    config = resolve_arms(CIFAR, load_experiment(CIFAR, ExperimentConfig), [*shorter, *folder])
    record, module = train_arm("residual-8", config["residual-20"], [0, 1], tmp_path, Hardware("cpu"))
    assert module.model.hidden_layers[0].get_parameter("linear.weight").shape == (2, 16, 3, 3, 3)
    # Chance is 0.1; 0.25 is five deviations of chance's count over 1,000 images, three times over.
    assert (record.series["test_accuracy"] > 0.25).all()
    assert (record.series["train_loss"][:, -20:].mean(axis=1) < record.series["train_loss"][:, :20].mean(axis=1)).all()
    write_models(tmp_path, record, module)
    model = read_model(tmp_path / BEST)
    files = sorted((photographs / "test").glob("*/*.jpg"))
    pictures = np.stack([np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1) for file in files])
    known = [model.dataset["classes"].index(file.parent.name) for file in files]
    accuracy = (model.probabilities(pictures).argmax(axis=2) == np.array(known)).mean(axis=1)
    assert (accuracy > 0.25).all()
