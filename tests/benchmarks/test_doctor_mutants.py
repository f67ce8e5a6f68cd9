"""Faults put into scripts of others: each edit is the one it says, and harm is told without a doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.doctor.case import CODES
from benchmarks.doctor.mutant_exam import OPERATORS, Subject, subjects
from benchmarks.doctor.mutants import Mutant, bare, harm, is_ill, look, mutate
from benchmarks.doctor.scripts import Script

SCRIPT = '''
"""Somebody's training."""
from __future__ import annotations
import torch
from torch import nn
import torch.nn.functional as F
x = torch.randn(64, 8)
y = (x @ torch.randn(8, 4)).argmax(1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(8, 24)
        self.two = nn.Linear(24, 4)

    def forward(self, x):
        x = F.relu(self.one(x))
        return self.two(x)

model = Net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for _ in range(90):
    optimizer.zero_grad()
    out = model(x)
    loss = criterion(out, y)
    loss.backward()
    optimizer.step()
'''
FACTS = {"inputs": "x", "targets": "y"}
EDITS = {
    "softmax-before-loss": "criterion(torch.softmax(out, -1), y)",
    "sigmoid-before-loss": "criterion(torch.sigmoid(out), y)",
    "relu-before-loss": "criterion(torch.relu(out), y)",
    "log-of-output": "criterion(torch.log(out), y)",
    "square-root-where-positive": "x = torch.where(self.one(x) > 0, torch.sqrt(self.one(x)), torch.zeros_like(",
    "sigmoid-for-relu": "x = torch.sigmoid(self.one(x))",
    "no-zero-grad": "    None\n    out = model(x)",
    "half-of-the-parameters": "SGD(list(model.parameters())[len(list(model.parameters())) // 2:], lr=0.5)",
    "copied-after-the-optimiser": "lr=0.5)\nmodel = copy.deepcopy(model)",
    "layers-in-a-list": "self.one = [nn.Linear(8, 24)]",
    "detached": "self.two(x.detach())",
    "rate-x100": "lr=0.5 * 100",
    "rate-x1000": "lr=0.5 * 1000",
    "rate-by-10000": "lr=0.5 * 0.0001",
    "clipped-to-a-millionth": "clip_grad_norm_(model.parameters(), 1e-06)\n    optimizer.step()",
    "momentum-0.999": "lr=0.5, momentum=0.999",
    "sum-for-mean": "nn.CrossEntropyLoss(reduction='sum')",
    "weights-zero": "torch.nn.init.zeros_(weight)\noptimizer =",
    "weights-constant": "torch.nn.init.constant_(weight, 0.01)\noptimizer =",
    "weights-x10": "weight.data.mul_(10)\noptimizer =",
    "weights-x0.01": "weight.data.mul_(0.01)\noptimizer =",
    "hidden-biases--100": "layer.bias.data.fill_(-100.0)\noptimizer =",
    "inputs-x255": "x = x * 255\noptimizer =",
    "inputs-+1000": "x = x + 1000\noptimizer =",
    "running-sum-of-losses": "loss.backward()\n    totals['loss'] = totals['loss'] + loss",
    "list-of-losses": "loss.backward()\n    history.append(loss)",
    "backward-of-the-sum": "totals['loss'].backward(retain_graph=True)\n    None\n",
    "float16": "torch.manual_seed(0)\ntorch.set_default_dtype(torch.float16)",
}
"""What stands in the script above afterwards, and did not before."""
OPERATOR = {operator.name: operator for operator in OPERATORS}


def test_codes_are_those_of_the_issue_and_names_differ() -> None:
    assert len(OPERATOR) == len(OPERATORS)
    for operator in OPERATORS:
        assert {operator.expected, *operator.also} <= set(CODES)


@pytest.mark.parametrize("name", OPERATOR)
def test_edit_is_the_fault_and_nothing_else(name: str) -> None:
    text = mutate(SCRIPT, OPERATOR[name], FACTS)
    if name not in EDITS:
        assert text is None
        return
    before = mutate(SCRIPT, None, FACTS)
    assert text is not None
    assert before is not None
    assert EDITS[name] in text
    assert EDITS[name] not in before
    assert len(set(before.splitlines()) - set(text.splitlines())) <= 4
    compile(text, name, "exec")


def test_edits_of_what_the_script_above_lacks() -> None:
    def text(name: str, source: str, facts: dict[str, str]) -> str:
        return mutate(source, OPERATOR[name], facts) or ""

    values = SCRIPT.replace("CrossEntropyLoss", "MSELoss")
    assert "y = y * 1000\noptimizer =" in text("targets-x1000", values, FACTS)
    assert "criterion(torch.sigmoid(out), y)" in text("sigmoid-of-values", values, FACTS)
    chances = SCRIPT.replace("CrossEntropyLoss", "BCELoss").replace("self.two(x)", "torch.sigmoid(self.two(x))")
    assert "criterion(torch.sigmoid(out), y)" in text("sigmoid-twice", chances, FACTS)
    assert "torch.sigmoid(100 * self.two(x))" in text("sigmoid-of-a-hundredfold", chances, FACTS)
    logs = SCRIPT.replace("self.two(x)", "F.log_softmax(self.two(x), 1)")
    assert "return self.two(x)" in text("log-softmax-dropped", logs, FACTS)
    assert "return torch.softmax(self.two(x), 1)" in text("softmax-for-log-softmax", logs, FACTS)
    normed = SCRIPT + "nn.BatchNorm1d(3)\nbatch_size = 100\nparser.add_argument('--batch-size', default=64)\n"
    assert "batch_size = 2\nparser.add_argument('--batch-size', default=2)" in text("batches-of-2", normed, FACTS)
    assert "parameter.requires_grad_(False)\noptimizer" in text("frozen-but-in-training-mode", normed, FACTS)
    game = {"fake": "criterion(out, y) < criterion(out.detach(), y)"}
    assert "criterion(out.detach(), y)" in text("detached", SCRIPT, game)
    images = "from torchvision import transforms\nt = transforms.ToTensor()\n"
    scaled = "transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda X: X * 255)])"
    assert scaled in text("inputs-x255", images, {})


def test_subjects_are_one_script_each() -> None:
    assert len({subject.script.name for subject in subjects()}) >= 15


def _mutant(name: str, told: dict[str, str] | None = None) -> Mutant:
    subject = Subject(Script("some/body", "part", "train.py"), told or {})
    return Mutant(subject, OPERATOR[name], mutate(SCRIPT, OPERATOR[name], FACTS) or "")


def _run(losses: list[float], still: int = 0, ended: str = "") -> dict[str, Any]:
    return {"losses": losses, "still": still, "ended": ended}


def test_harm_is_told_by_the_loss_by_what_stands_still_and_by_values_that_are_not_finite() -> None:
    falls = _run([2.0] * 10 + [1.0] * 10)
    mutant = _mutant("rate-x100")
    assert harm(mutant, falls, _run([2.0] * 10 + [1.6] * 10)) == "the loss ends at 1.6, not 1"
    assert harm(mutant, falls, _run([2.0] * 10 + [1.4] * 10)) == "no harm"
    assert harm(mutant, falls, _run([2.0] * 10 + [1.4] * 10, still=2)) == "2 parameters stand still"
    assert harm(mutant, falls, _run([2.0] * 10 + [float("nan")] * 10)) == "the loss is not finite"
    assert harm(mutant, falls, falls) == "no change"
    assert harm(mutant, falls, _run([2.0] * 8, ended="ValueError: x")) == "it breaks off: ValueError: x"
    assert not is_ill(harm(mutant, falls, _run([2.0], ended="ValueError: x")))
    level = _run([2.0] * 10 + [1.99] * 10)
    assert harm(mutant, level, _run([2.0] * 20)) == "no harm"
    game = _mutant("rate-x100", {"fake": "a < b"})
    assert harm(game, falls, _run([2.0] * 20)) == "no harm"
    scaled = _mutant("sum-for-mean")
    assert harm(scaled, falls, _run([200.0] * 10 + [110.0] * 10)) == "no harm"
    assert is_ill(harm(scaled, falls, _run([200.0] * 10 + [190.0] * 10)))
    assert harm(_mutant("list-of-losses"), falls, falls) == "by construction"


def test_mutants_are_run_without_a_doctor_and_then_with_one(tmp_path: Path) -> None:
    place = tmp_path / "some+body" / "part"
    place.mkdir(parents=True)
    subject = Subject(Script("some/body", "part", "train.py"), FACTS)
    original = bare(Mutant(subject, None, mutate(SCRIPT, None, FACTS) or ""), tmp_path)
    assert (len(original["losses"]), original["still"], original["ended"]) == (90, 0, "")
    mutant = _mutant("half-of-the-parameters")
    ill = bare(mutant, tmp_path)
    assert ill["losses"][0] == original["losses"][0]
    assert harm(mutant, original, ill) == "2 parameters stand still"
    assert "not-in-optimizer" in {finding["code"] for finding in look(mutant, tmp_path)["findings"]}
    kept = sorted(path.name.partition(".")[2] for path in (tmp_path / "records").iterdir())
    assert kept == ["bare.json", "bare.json", "look.json"]


def test_recorder_ends_a_script_after_its_steps(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    target = tmp_path / "seen.json"
    command = [sys.executable, "-m", "benchmarks.doctor.mutant_bare", str(target), "7", str(tmp_path / "train.py")]
    subprocess.run(command, check=True)
    seen = json.loads(target.read_text(encoding="utf-8"))
    assert (len(seen["losses"]), seen["parameters"]) == (7, 4)
