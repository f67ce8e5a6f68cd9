"""What can be named in a YAML file: one frozen row for each activation, initialiser, data set, metric and so on.

Names are checked here, before torch is loaded. The functions behind the rows live in the room that owns them;
a row without its function, or a function without its row, fails a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from vgtemplate.config.errors import UserError, unknown_name


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Row = TypeVar("_Row", bound=_Named)


def _table(rows: Iterable[_Row]) -> Mapping[str, _Row]:
    table: dict[str, _Row] = {}
    for row in rows:
        if row.name in table:
            raise ValueError(f"the catalogue has two rows named {row.name!r}")
        table[row.name] = row
    return MappingProxyType(table)


def check_name(kind: str, name: str, table: Mapping[str, object]) -> str:
    """Return `name` if `table` has it; raise UserError with the nearest known name otherwise."""
    if name not in table:
        raise UserError(unknown_name(kind, name, table))
    return name


@dataclass(frozen=True)
class ActivationRow:
    """An activation: its largest derivative (what "saturated" is relative to) and its usual initialiser."""

    name: str
    source: str
    max_derivative: float
    initialiser: str


ACTIVATIONS = _table(
    [
        ActivationRow("sigmoid", "logistic function", 0.25, "glorot_normal"),
        ActivationRow("tanh", "LeCun et al. 1998, Efficient BackProp", 1.0, "glorot_normal"),
        ActivationRow("relu", "Nair & Hinton 2010", 1.0, "he_normal"),
        ActivationRow("leaky_relu", "Maas et al. 2013; slope 0.01", 1.0, "he_normal"),
        ActivationRow("rrelu", "Xu et al. 2015; slope from U[1/8, 1/3]", 1.0, "he_normal"),
        ActivationRow("prelu", "He et al. 2015; learned slope, starts at 0.25", 1.0, "he_normal"),
        ActivationRow("elu", "Clevert et al. 2016; alpha 1", 1.0, "he_normal"),
        ActivationRow("selu", "Klambauer et al. 2017", 1.7580993408473766, "lecun_normal"),
        ActivationRow("gelu", "Hendrycks & Gimpel 2016; exact form", 1.1289041, "he_normal"),
        ActivationRow("silu", "Elfwing et al. 2018", 1.0998393, "he_normal"),
        ActivationRow("identity", "no non-linearity: a deep linear network", 1.0, "glorot_normal"),
    ]
)


@dataclass(frozen=True)
class InitialiserRow:
    """A weight initialiser; `needs_std` where the deviation is given rather than computed from the fans."""

    name: str
    source: str
    needs_std: bool = False


INITIALISERS = _table(
    [
        InitialiserRow("glorot_normal", "Glorot & Bengio 2010 (Xavier): variance 1/fan_avg"),
        InitialiserRow("glorot_uniform", "Glorot & Bengio 2010, eq. 16: r = sqrt(3/fan_avg)"),
        InitialiserRow("lecun_normal", "LeCun et al. 1998: variance 1/fan_in"),
        InitialiserRow("lecun_uniform", "LeCun et al. 1998: r = sqrt(3/fan_in)"),
        InitialiserRow("he_normal", "He et al. 2015 (Kaiming): variance 2/fan_in"),
        InitialiserRow("he_uniform", "He et al. 2015: r = sqrt(6/fan_in)"),
        InitialiserRow("pytorch_default", "torch.nn.Linear.reset_parameters: r = 1/sqrt(fan_in)"),
        InitialiserRow("normal", "N(0, std^2), whatever the fans", needs_std=True),
        InitialiserRow("orthogonal", "Saxe et al. 2014"),
    ]
)


@dataclass(frozen=True)
class BlockRow:
    """A preset that turns the plain network into a variant: a patch of an arm's configuration."""

    name: str
    source: str
    patch: Mapping[str, Any] = field(hash=False)


BLOCKS = _table(
    [
        BlockRow("plain", "linear map, then activation", {}),
        BlockRow(
            "batchnorm",
            "Ioffe & Szegedy 2015: normalised before the activation",
            {"model": {"norm": "batch"}},
        ),
        BlockRow("residual", "He et al. 2016: x + branch(x)", {"model": {"residual": True}}),
        BlockRow("clipped", "Pascanu et al. 2013: gradient norm at most 1", {"clipping": {"kind": "norm"}}),
    ]
)


@dataclass(frozen=True)
class DatasetRow:
    """A data set: where it comes from, and whether it can be fetched over the network."""

    name: str
    source: str
    fetchable: bool
    num_classes: int | None


DATASETS = _table(
    [
        DatasetRow("mnist", "LeCun et al. 1998: 60,000 + 10,000 digits, 28x28", True, 10),
        DatasetRow("fashion_mnist", "Xiao et al. 2017: 60,000 + 10,000 garments, 28x28", True, 10),
        DatasetRow("kmnist", "Clanuwat et al. 2018: 60,000 + 10,000 kuzushiji, 28x28", True, 10),
        DatasetRow("cifar10", "Krizhevsky 2009: 50,000 + 10,000 photographs, 3x32x32", True, 10),
        DatasetRow("cifar100", "Krizhevsky 2009: the same in 100 classes", True, 100),
        DatasetRow("digits", "scikit-learn (Alpaydin & Kaynak 1998): 1,437 + 360 real digits, 8x8", False, 10),
        DatasetRow("image_folder", "your own: PATH/train/CLASS/* and PATH/test/CLASS/*", False, None),
        DatasetRow("synthetic", "Gaussian classes, drawn from a fixed seed: for timing and tests", False, 10),
    ]
)


@dataclass(frozen=True)
class MetricRow:
    """A number a seed: what it measures, where it is defined, its unit, and the options it takes."""

    name: str
    source: str
    unit: str
    options: tuple[str, ...] = ()


METRICS = _table(
    [
        MetricRow("gradient_slope", "register, Terms", "decades per layer"),
        MetricRow("abs_gradient_slope", "register, Terms", "decades per layer"),
        MetricRow("gradient_fit_r2", "R^2 of the gradient slope's fit", ""),
        MetricRow("signal_slope", "register, Terms", "decades per layer"),
        MetricRow("abs_signal_slope", "register, Terms", "decades per layer"),
        MetricRow("larger_abs_slope", "larger of |signal slope| and |gradient slope|", "decades per layer"),
        MetricRow("factor_error", "|gradient slope - mean log10 of the per-layer factor|", "decades per layer"),
        MetricRow("factor_sign_agrees", "1 where slope and mean log10 factor have one sign, else 0", ""),
        MetricRow("bias_gradient_ratio", "Nielsen, ch. 5: last over first hidden layer", ""),
        MetricRow("log10_bias_gradient_ratio", "Nielsen, ch. 5: last over first hidden layer", "decades"),
        MetricRow("saturated_fraction", "register, Terms; mean over hidden layers", ""),
        MetricRow("largest_abs_mean", "largest |mean| of the activations over layers", "", ("from_layer",)),
        MetricRow(
            "largest_variance_error",
            "largest |variance - 1| of the activations over layers",
            "",
            ("from_layer",),
        ),
        MetricRow("self_normalising_excess", "how far outside Klambauer's band: > 1 is outside", "", ("from_layer",)),
        MetricRow("update_ratio_spread", "largest over smallest ||dW||/||W|| of the hidden layers", ""),
        MetricRow("smallest_offset", "smallest |mean|/std of the activations over layers", ""),
        MetricRow("offset", "|mean|/std of the activations, averaged over layers", ""),
        MetricRow("test_accuracy", "share of test images classified correctly; diverged = 0.1", ""),
        MetricRow("test_error", "1 - test accuracy; diverged = 0.9", ""),
        MetricRow("training_error", "share of all training images misclassified at the end; diverged = 0.9", ""),
        MetricRow("final_loss", "mean training loss over the last tenth of the steps; diverged = inf", "nats"),
        MetricRow("validation_loss", "loss over the validation images at the end; diverged = inf", "nats"),
        MetricRow("psnr", "peak signal-to-noise ratio of the denoised test images; diverged = 0", "dB"),
        MetricRow("diverged", "1 where a training loss was not finite, else 0", ""),
        MetricRow("first_layer_travel", "||W_t - W_0|| / ||W_0|| of hidden layer 1 at the end", ""),
        MetricRow("log10_travel_ratio", "travel of the last over that of the first hidden layer", "decades"),
        MetricRow("steps_to_loss", "steps until the training loss is at stop_loss; never = inf", "steps"),
        MetricRow("dead_fraction", "share of hidden units that are dead at the end (register, Terms)", ""),
        MetricRow("generalisation_gap", "training accuracy minus test accuracy at the end", ""),
        MetricRow("input_shift", "Ioffe & Szegedy 2015: drift of each layer's input a step, averaged", "deviations"),
        MetricRow("gradient_change", "Santurkar et al. 2018, definition 2.1: ||G - G'|| / ||G||, averaged", ""),
    ]
)


@dataclass(frozen=True)
class CombinationRow:
    """How the metric of several arms becomes one number a seed; `arms` is the least number of arms it needs."""

    name: str
    source: str
    arms: int


COMBINATIONS = _table(
    [
        CombinationRow("only", "the one arm's value", 1),
        CombinationRow("largest", "the largest over the arms", 2),
        CombinationRow("smallest", "the smallest over the arms", 2),
        CombinationRow("difference", "first arm minus second", 2),
        CombinationRow("ratio", "first arm over second", 2),
        CombinationRow("margin_above", "first arm minus the largest of the others", 2),
        CombinationRow("margin_below", "smallest of the others minus the first arm", 2),
        CombinationRow("spread", "the largest over the arms minus the smallest", 2),
        CombinationRow("spread_difference", "spread of the first half of the arms minus that of the second", 4),
        CombinationRow("smallest_growth", "the smallest rise from one arm to the next", 2),
    ]
)


@dataclass(frozen=True)
class CheckRow:
    """An exact check: a function without seeds, and the quantities it returns for the claim's parts to judge."""

    name: str
    source: str
    quantities: tuple[str, ...]


def _words(*lines: str) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


CHECKS = _table(
    [
        CheckRow(
            "derivative_bounds",
            "autograd on a grid of [-40, 40] against sech^2",
            _words(
                "sigmoid_excess sigmoid_error_at_zero sigmoid_farthest_maximum sigmoid_smallest",
                "sigmoid_largest_rise sigmoid_tail sigmoid_closed_form_error tanh_excess tanh_error_at_zero",
                "tanh_farthest_maximum tanh_smallest tanh_largest_rise tanh_tail tanh_closed_form_error relu_error",
            ),
        ),
        CheckRow(
            "saturation_kills_gradient",
            "phi'(z) / max phi' by autograd on the same grid",
            _words(
                "sigmoid_at_3 sigmoid_at_5 sigmoid_at_10 sigmoid_beyond_7 sigmoid_largest_rise tanh_at_3 tanh_at_5",
                "tanh_at_10 tanh_beyond_4 tanh_largest_rise closed_form_error",
            ),
        ),
        CheckRow(
            "chain_rule_product",
            "1,000 sigmoid chains of one neuron a layer, in NumPy",
            _words("error_at_depth_4 error_at_depth_50"),
        ),
        CheckRow(
            "residual_gradient_identity",
            "He et al. 2016, Identity Mappings, eq. 5; residual stacks of 20 layers",
            _words("relu_error tanh_error sigmoid_error smallest_branch_share"),
        ),
        CheckRow(
            "init_formulas",
            "480,000 weights a layer, fans 300 and 200 either way; scipy.stats.kstest",
            _words(
                "glorot_normal_variance_error glorot_normal_offset glorot_normal_ks_p glorot_uniform_variance_error",
                "glorot_uniform_offset glorot_uniform_ks_p glorot_uniform_reach lecun_normal_variance_error",
                "lecun_normal_offset lecun_normal_ks_p lecun_uniform_variance_error lecun_uniform_offset",
                "lecun_uniform_ks_p lecun_uniform_reach he_normal_variance_error he_normal_offset he_normal_ks_p",
                "he_uniform_variance_error he_uniform_offset he_uniform_ks_p he_uniform_reach square_difference",
            ),
        ),
        CheckRow(
            "batchnorm_moments",
            "Ioffe & Szegedy 2015, algorithms 1 and 2, in NumPy",
            _words(
                "vectors learned_vectors estimated_vectors mean_error deviation_error estimate_formula_error",
                "mean_estimate_error deviation_estimate_error test_formula_error test_estimate_change",
                "test_row_difference training_row_difference",
            ),
        ),
        CheckRow(
            "rrelu_slope",
            "Xu et al. 2015; 200,000 slopes, scipy.stats.kstest",
            _words("training_ks_p training_outside repeated_share evaluation_spread evaluation_error positive_error"),
        ),
        CheckRow(
            "prelu_slope_learned",
            "He et al. 2015, eq. 2; central differences of the loss",
            _words("slopes_a_layer smallest_gradient gradient_error update_error smallest_move"),
        ),
        CheckRow(
            "dead_unit_no_gradient",
            "three epochs of SGD with silenced units",
            _words(
                "relu_largest_gradient relu_changed_weights relu_largest_input relu_smallest_gradient_of_others",
                "leaky_smallest_gradient leaky_unchanged_weights",
            ),
        ),
        CheckRow(
            "activation_formulas",
            "Maas et al. 2013, Clevert et al. 2016, Klambauer et al. 2017, in NumPy",
            _words(
                "leaky_error elu_error elu_derivative_error elu_jump elu_derivative_jump selu_error",
                "selu_scale_error selu_alpha_error selu_fixed_point_error",
            ),
        ),
        CheckRow("elu_costs_more", "wall time, ten blocks of five rounds in turn; differs by machine", ("time_ratio",)),
    ]
)


@dataclass(frozen=True)
class ArticleRow:
    """One of the four articles that make the claims."""

    name: str
    source: str
    title: str


ARTICLES = _table(
    [
        ArticleRow(
            "bn-relu",
            "Analytics Vidhya, Medium, 3f1a8ace1c88",
            "How Batch Normalization and ReLU solve vanishing gradients",
        ),
        ArticleRow(
            "slow-training",
            "Towards Data Science, b5b78c142bb7",
            "Is your model training too slow? Vanishing and exploding gradients",
        ),
        ArticleRow(
            "unstable-gradients",
            "PythonLearner, cnblogs 13173560",
            "Vanishing and exploding gradients, in sum: gradient instability",
        ),
        ArticleRow(
            "causes-cures",
            "2018-09-05, reprinted from CSDN 78847691",
            "Causes of vanishing and exploding gradients in neural networks and their cures",
        ),
    ]
)
