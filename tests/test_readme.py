"""What the README tells a stranger to do works as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from tests.readme import BLOCKS, PYTHON, README, REPOSITORY, SHELL, check_line, lines_of
from vgtemplate.cli.main import COMMANDS
from vgtemplate.records import read_all


def named(language: str, name: str) -> str:
    """The block of code of a file, whose first line says its name."""
    (code,) = re.findall(rf"```{language}\n# {re.escape(name)}\n(.*?)```", README, re.DOTALL)
    return str(code)


@pytest.mark.slow
def test_own_network_is_trained_from_the_files_that_are_shown(tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text(named("python", "my_nets.py"))
    (tmp_path / "waves.yaml").write_text(named("yaml", "waves.yaml"))
    results = tmp_path / "results"
    commands = [line.partition("#")[0].split() for line in SHELL if line.startswith("vgt train waves.yaml")]
    assert len(commands) == 2
    scores = []
    for _, *words in commands:
        line = [sys.executable, "-m", "vgtemplate", *words, "--no-tracking", "--accelerator", "cpu"]
        done = subprocess.run(
            line,
            cwd=tmp_path,
            env={**os.environ, "VGT_RESULTS_DIR": str(results), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = [each for each in read_all(results) if each.key not in [other.key for other in scores]]
        assert record.series["test_loss"].shape == (10,)
        assert record.series["gradient_rms"].shape[2] == 3
        scores.append(record)
    wide, narrow = (float(np.median(record.series["test_loss"])) for record in scores)
    assert wide < narrow < 0.5  # the variance of the targets


def test_watched_loop_is_the_loop_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in PYTHON if "watch(model" in block]
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(11):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().sum().backward()
            optimizer.step()

    names = {"model": model, "optimizer": torch.optim.SGD(model.parameters(), 0.1), "train": train}
    exec(compile(code, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert names["series"]["gradient_rms"].shape == (1, 2, 2)  # type: ignore[attr-defined]
    assert printed.startswith("{'0': ")
    assert printed.endswith("[]\n")


def test_probes_are_the_callbacks_that_are_shown() -> None:
    (code,) = [block for block in PYTHON if "callbacks=probes" in block]

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            return self.layer(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    loader = torch.utils.data.DataLoader(torch.ones(8, 4), batch_size=4)  # type: ignore[arg-type]
    names = {"my_module": Module(), "my_loader": loader}
    quiet = "enable_progress_bar=False, logger=False, enable_checkpointing=False, accelerator='cpu', max_epochs=3"
    exec(compile(code.replace("max_epochs=3", quiet), "README.md", "exec"), names)
    # The Trainer adds callbacks of its own to the list.
    probes = names["probes"][:3]  # type: ignore[index]
    assert [probe.recorder.steps for probe in probes] == [[0, 5]] * 3


def test_theory_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in PYTHON if "theory" in block]
    exec(compile(code, "README.md", "exec"), {})
    gain, slope, *_ = capsys.readouterr().out.splitlines()
    assert gain.startswith("1.41421")
    assert abs(float(slope)) < 0.02


@pytest.mark.parametrize("line", lines_of(COMMANDS))
def test_every_command_line_is_one_that_vgt_takes(line: str) -> None:
    check_line(line)


def targets_of(block: str) -> list[str]:
    return [line.split()[1] for line in block.splitlines() if line.startswith("make ")]


@pytest.mark.parametrize("block", [block for block in BLOCKS if targets_of(block)], ids=lambda block: block[:30])
def test_every_make_target_exists(block: str) -> None:
    """Here, or in the project that the block begins with making."""
    makefile = "vgtemplate/project/Makefile.jinja" if "vgt new" in block else "Makefile"
    names = re.findall(r"^([\w%-]+):", (REPOSITORY / makefile).read_text(), re.MULTILINE)
    for target in targets_of(block):
        assert any(re.fullmatch(name.replace("%", ".+"), target) for name in names), target


def test_doctor_finds_what_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in PYTHON if "import diagnose" in block]
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    said = re.search(r"print\(report\)  # (\S+) \(certain; since step 0\)", code)
    assert said is not None
    assert namespace["report"].codes == [said.group(1)]  # type: ignore[attr-defined]
    assert said.group(0).partition("# ")[2] in capsys.readouterr().out
