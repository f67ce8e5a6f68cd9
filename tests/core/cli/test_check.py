"""`vgt check`: what a network shows before it is trained."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vgtemplate.cli.commands.check import check
from vgtemplate.config.errors import UserError

NETS = """
import torch
from torch import nn
from torch.nn.functional import softmax

def tanh(width=64, depth=6):
    layers = [each for _ in range(depth) for each in (nn.Linear(width, width), nn.Tanh())]
    for each in layers[::2]:
        nn.init.xavier_normal_(each.weight)
        nn.init.zeros_(each.bias)
    return nn.Sequential(*layers, nn.Linear(width, 10))

class Weaker(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * 1e-3

class Leaky(nn.Linear):
    def forward(self, x):
        return Weaker.apply(super().forward(x))

def leaky():
    network = tanh()
    layer = Leaky(64, 64)
    layer.load_state_dict(network[6].state_dict())
    network[6] = layer
    return network

class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x).detach())

def convolutions():
    sizes = (3, 16, 16, 16)
    parts = ((nn.Conv2d(size, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()) for size in sizes)
    hidden = [each for part in parts for each in part]
    return nn.Sequential(*hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))

def ends_with(last, outputs=3):
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, outputs), last)

def sigmoid():
    return ends_with(nn.Sigmoid(), 1)

def sigmoids():
    return ends_with(nn.Sigmoid())

def logarithms():
    return ends_with(nn.LogSoftmax(1))

def one_logit():
    return ends_with(nn.Identity(), 1)

def softmax_twice():
    return nn.Sequential(nn.Linear(64, 10), nn.Softmax(-1))

def huge():
    return 1e4 * torch.rand(32, 64), torch.randint(10, (32,))

def fails():
    raise ValueError("no such width")
"""
WITHIN = "dL/dz of each hidden layer lies within the band that the theory gives for its width"


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checked_nets.py").write_text(NETS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def vgt(*arguments: str) -> Result:
    return CliRunner().invoke(check, [f"checked_nets:{arguments[0]}", *arguments[1:]])


@pytest.mark.parametrize(("name", "shape"), [("tanh", "64,64"), ("convolutions", "16,3,16,16")])
def test_sound_network_lies_within_the_band_of_theory(name: str, shape: str) -> None:
    done = vgt(name, "--input", shape, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["healthy"] is True
    assert WITHIN in found["notes"]


def test_layer_at_which_the_gradient_leaves_the_band_is_named(tmp_path: Path) -> None:
    done = vgt("leaky", "--input", "64,64", "--json", "--html", str(tmp_path / "page.html"))
    assert done.exit_code == 1
    (finding,) = json.loads(done.output)["findings"]
    assert finding["code"] == "vanishing-depth"
    assert finding["where"][0] == "6"
    assert "vanishing-depth" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "code"), [("Cut", "disconnected-parameters"), ("softmax_twice", "loss-head-mismatch")]
)
def test_faults_that_one_step_shows(name: str, code: str) -> None:
    done = vgt(name, "--input", "32,64", "--json")
    assert done.exit_code == 1
    (finding,) = json.loads(done.output)["findings"]
    assert finding["code"] == code
    # The loss is ours: a network that ends with a softmax may be trained with another one.
    assert finding["confidence"] == ("likely" if code == "loss-head-mismatch" else "certain")


@pytest.mark.parametrize("name", ["sigmoid", "sigmoids", "logarithms", "one_logit"])
def test_loss_that_nobody_has_named_is_the_one_that_the_output_asks_for(name: str) -> None:
    done = vgt(name, "--input", "32,64", "--json")
    assert done.exit_code == 0, done.output


def test_batch_of_ones_own_shows_its_scale() -> None:
    done = vgt("tanh", "--batch", "checked_nets:huge", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["findings"][0]["code"] == "unscaled-inputs"


def test_table_says_the_verdict_first() -> None:
    assert vgt("tanh", "--input", "64,64", "--regression").output.startswith("vgt check checked_nets:tanh: healthy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tanh",), "which input?"),
        (("tanh", "--input", "a,b"), "is no shape of a batch"),
        (("tanh", "--input", "8,3"), "shapes cannot be multiplied"),
        (("tan", "--input", "8,64"), "did you mean 'tanh'?"),
        (("fails", "--input", "8,64"), "ValueError: no such width ("),
        (("huge", "--input", "8,64"), "it returned a tuple"),
        (("tanh", "--input", "8,64", "--classes", "3", "--regression"), "give one of them"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = vgt(*arguments)
    assert isinstance(done.exception, UserError)
    assert words in str(done.exception)
