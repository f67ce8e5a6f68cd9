"""Scripts of others under `vgt diagnose`: the list is sound, and what a script does is what the row says."""

from __future__ import annotations

import gzip
from pathlib import Path

from benchmarks.doctor.scripts import COMMITS, SCRIPTS, Script, diagnose, place_mnist

TRAINING = """
import sys
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4), *([nn.Softmax(1)] if "ill" in sys.argv else []))
optimiser = torch.optim.Adam(model.parameters(), 3e-3)
rule = torch.randn(16, 4)
for _ in range(60):
    x = torch.randn(64, 16)
    optimiser.zero_grad()
    nn.functional.cross_entropy(model(x), (x @ rule).argmax(1)).backward()
    optimiser.step()
"""


def test_every_script_has_a_commit_and_a_name_of_its_own() -> None:
    assert {script.repository for script in SCRIPTS} == set(COMMITS)
    assert len({script.name for script in SCRIPTS}) == len(SCRIPTS)


def test_row_says_what_was_found_or_why_nothing_was_seen(tmp_path: Path) -> None:
    place = tmp_path / "some+body" / "part"
    place.mkdir(parents=True)
    (place / "train.py").write_text(TRAINING, encoding="utf-8")
    (place / "fails.py").write_text("raise SystemExit('no data here')", encoding="utf-8")
    ill = diagnose(Script("some/body", "part", "train.py ill"), tmp_path, tmp_path)
    assert [finding["code"] for finding in ill["findings"]] == ["loss-head-mismatch"]
    well = diagnose(Script("some/body", "part", "train.py"), tmp_path, tmp_path)
    assert well["findings"] == []
    assert well["steps"] > 5
    fails = diagnose(Script("some/body", "part", "fails.py"), tmp_path, tmp_path)
    assert (fails["steps"], fails["ended"]) == (0, "no data here")


def test_mnist_is_unpacked_where_torchvision_looks(tmp_path: Path) -> None:
    packed = tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(gzip.compress(b"labels"))
    place_mnist(tmp_path / "elsewhere", tmp_path / "data")
    assert (tmp_path / "elsewhere" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").read_bytes() == b"labels"
