"""The exam: every operator with its right codes, and the scripts that are mutated."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.doctor.mutant_edits import (
    COLLAPSES,
    DIVERGES,
    Operator,
    activation,
    built,
    clipped,
    detached,
    half_precision,
    head,
    kept,
    log_softmax,
    momentum,
    no_zero_grad,
    pixels,
    python_list,
    rate,
    second_half,
    steep_sigmoid,
    summed,
    targets,
    tiny_batches,
)
from benchmarks.doctor.scripts import SCRIPTS, Script

WEIGHTS = "for weight in [each for each in MODEL.parameters() if each.dim() > 1]:\n    "
HIDDEN = (
    "for layer in [each for each in MODEL.modules() if isinstance(each, (torch.nn.Linear, torch.nn.Conv2d))][:-1]:\n"
    "    layer.bias.data.fill_(-100.0)"
)
RELU = r"\b(relu|ReLU)\("
TOO_LARGE = frozenset({"exploding-depth", "exploding-time", "saturated-units", "saturated-output", "overflow-forward"})
PRECISION = frozenset({"precision-overflow", "precision-underflow"})

OPERATORS = (
    Operator("softmax-before-loss", "loss-head-mismatch", head("classes", text="torch.softmax(X, -1)")),
    Operator("sigmoid-before-loss", "loss-head-mismatch", head("classes", text="torch.sigmoid(X)")),
    Operator("sigmoid-twice", "loss-head-mismatch", head("chances", text="torch.sigmoid(X)")),
    Operator("log-softmax-dropped", "loss-head-mismatch", log_softmax("X"), told="below zero"),
    Operator("softmax-for-log-softmax", "loss-head-mismatch", log_softmax("torch.softmax(X, 1)"), told="below zero"),
    Operator(
        "relu-before-loss",
        "loss-head-mismatch",
        head("classes", "values", text="torch.relu(X)"),
        frozenset({"dead-units"}),
    ),
    Operator(
        "sigmoid-of-values",
        "saturated-output",
        head("values", text="torch.sigmoid(X)"),
        frozenset({"loss-head-mismatch", "unscaled-targets"}),
    ),
    Operator(
        "log-of-output", "nan-forward", head("classes", "values", text="torch.log(X)"), frozenset({"nan-backward"})
    ),
    Operator(
        "square-root-where-positive",
        "nan-backward",
        activation("torch.where(X > 0, torch.sqrt(X), torch.zeros_like(X))"),
        frozenset({"nan-forward"}),
        needs=RELU,
    ),
    Operator(
        "sigmoid-for-relu",
        "vanishing-depth",
        activation("torch.sigmoid(X)", "torch.nn.Sigmoid()"),
        frozenset({"signal-collapse", "saturated-units"}),
        needs=RELU,
    ),
    Operator(
        "sigmoid-of-a-hundredfold",
        "saturated-output",
        steep_sigmoid,
        frozenset({"saturated-units", "exploding-depth", "exploding-time"}),
    ),
    Operator("no-zero-grad", "stale-gradients", no_zero_grad),
    Operator("half-of-the-parameters", "not-in-optimizer", second_half),
    Operator(
        "copied-after-the-optimiser",
        "not-in-optimizer",
        built("MODEL = copy.deepcopy(MODEL)", before=False),
    ),
    Operator("layers-in-a-list", "unregistered-parameters", python_list, frozenset({"not-in-optimizer"})),
    Operator("detached", "disconnected-parameters", detached),
    Operator("rate-x100", "step-too-large", rate("100"), DIVERGES),
    Operator("rate-x1000", "step-too-large", rate("1000"), DIVERGES),
    Operator("rate-by-10000", "step-too-small", rate("0.0001")),
    Operator("clipped-to-a-millionth", "step-too-small", clipped, needs="SGD|Adadelta"),
    Operator("momentum-0.999", "oscillation", momentum, DIVERGES | {"step-too-large"}, needs="SGD"),
    Operator("sum-for-mean", "step-too-large", summed, DIVERGES, told="fall"),
    Operator(
        "weights-zero",
        "stuck-at-zero",
        built(WEIGHTS + "torch.nn.init.zeros_(weight)"),
        COLLAPSES | {"symmetric-initialisation"},
    ),
    Operator("weights-constant", "symmetric-initialisation", built(WEIGHTS + "torch.nn.init.constant_(weight, 0.01)")),
    Operator("weights-x10", "exploding-depth", built(WEIGHTS + "weight.data.mul_(10)"), TOO_LARGE),
    Operator("weights-x0.01", "vanishing-depth", built(WEIGHTS + "weight.data.mul_(0.01)"), COLLAPSES),
    Operator("hidden-biases--100", "dead-units", built(HIDDEN), frozenset({"saturated-units"}), needs=RELU),
    Operator("inputs-x255", "unscaled-inputs", pixels("X * 255"), frozenset({"saturated-units", "step-too-large"})),
    Operator("inputs-+1000", "unscaled-inputs", pixels("X + 1000"), frozenset({"saturated-units", "step-too-large"})),
    Operator("targets-x1000", "unscaled-targets", targets, told="fall"),
    Operator("batches-of-2", "batchnorm-tiny-batch", tiny_batches, needs="BatchNorm"),
    Operator(
        "frozen-but-in-training-mode",
        "frozen-buffers-move",
        built("for parameter in list(MODEL.parameters())[:-2]:\n    parameter.requires_grad_(False)"),
        told="given",
        needs="BatchNorm",
    ),
    Operator(
        "running-sum-of-losses",
        "graph-grows",
        kept("totals = {'loss': 0.0}", "totals['loss'] = totals['loss'] + LOSS"),
        told="given",
    ),
    Operator("list-of-losses", "graph-grows", kept("history = []", "history.append(LOSS)"), told="given"),
    Operator(
        "backward-of-the-sum",
        "graph-grows",
        kept(
            "totals = {'loss': 0.0}",
            "totals['loss'] = totals['loss'] + LOSS\ntotals['loss'].backward(retain_graph=True)",
            replace=True,
        ),
        frozenset({"stale-gradients"}),
        told="given",
    ),
    Operator(
        "float16",
        "precision-underflow",
        half_precision,
        PRECISION | {"nan-forward", "nan-backward", "overflow-forward"},
    ),
)
"""All faults, with what is right for each."""


@dataclass(frozen=True)
class Subject:
    """A script that is mutated.

    Args:
        facts: "inputs" and "targets": the names of a small table's variables; "fake": in a game, the call whose
            gradient teaches the generator, and the same call with a detached argument.
    """

    script: Script
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def is_game(self) -> bool:
        """Whether two networks play against each other, so that their losses tell no harm."""
        return "fake" in self.facts


LANGUAGE = {"no sigmoid": "of the file's classes it is the GRU that has one"}
TABLE = {"inputs": "x", "targets": "y"}
FACTS: dict[str, dict[str, str]] = {
    "mnist_rnn/": {},
    "examples: vae/": {},
    "01-basics/linear_regression/": {"inputs": "x_train", "targets": "y_train"},
    "01-basics/logistic_regression/": {},
    "feedforward_neural_network/": {},
    "convolutional_neural_network/": {},
    "02-intermediate/recurrent_neural_network/": {},
    "generative_adversarial_network/": {"fake": "D(fake_images) < D(fake_images.detach())"},
    "variational_autoencoder/": {},
    "--type transformer": LANGUAGE,
    "--type rnn": LANGUAGE,
    "--type gru": {},
    "--type mlp": LANGUAGE,
    "--type bow": LANGUAGE,
    "301_regression": TABLE,
    "302_classification": {"inputs": "x"},
    "306_optimizer": {},
    "402_RNN_classifier": {},
    "403_RNN_regressor": TABLE,
    "406_GAN": {"fake": "D(G_paintings) < D(G_paintings.detach())"},
    "501_why_torch_dynamic_graph": TABLE,
    "503_dropout": TABLE,
    "gan/gan.py": {"fake": "discriminator(gen_imgs) < discriminator(gen_imgs.detach())"},
    "wgan_gp/": {"fake": "discriminator(fake_imgs) < discriminator(fake_imgs.detach())"},
    "05_linear_regression": {"inputs": "x_data", "targets": "y_data"},
    "06_logistic_regression": {"inputs": "x_data"},
    "09_2_softmax_mnist": {},
    "10_1_cnn_mnist": {},
    "12_4_hello_rnn_emb": {},
}
"""By a part of a script's name. The doctor finds nothing in them as they are, and each is watched within 40 s."""


def subjects() -> list[Subject]:
    """Return the scripts that are mutated, with what is known of them."""
    found = {part: [script for script in SCRIPTS if part in script.name] for part in FACTS}
    if any(len(scripts) != 1 for scripts in found.values()):
        raise ValueError(f"not one script each: {found}")
    return [Subject(found[part][0], facts) for part, facts in FACTS.items()]
