"""What the doctor knows of a training: plain numbers on the host, by step, parameter, layer and loss function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vgtemplate.watching.measurements import Measurements

CHUNK, WINDOW = 3, 2
"""Watched steps that are looked at together, and how many such chunks make a window."""
Array = npt.NDArray[np.float64]
Keep = Callable[[Tensor, Callable[[Any], None]], None]
"""Takes a tensor, and where its values go when they are on the host."""
BOUNDED = ("sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign")
"""Activations that are flat at both ends."""
NORMALISATIONS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of the network, as it was found in the first watched step."""

    name: str
    module: str
    shape: tuple[int, ...]
    is_trained: bool
    """Whether it asks for a gradient."""
    is_owned: bool
    """Whether an optimiser has it."""
    is_used: bool
    """Whether a layer's function was seen to use it."""
    dtype: str = "float32"
    is_used_apart: bool = False
    """Whether one was where no gradients are recorded."""

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) > 1


_NOTHING: Array = np.empty(0)


def _nothing() -> Array:
    return _NOTHING


@dataclass
class ParameterStep:
    """A parameter in one step: norms, and a sample of the same few entries each time.

    A norm is zero only where all entries are, and not finite where any is not. Of weights beside which all gradients
    are finite it is that of the kept entries, unless these are zero.
    """

    has_gradient: bool
    gradient_norm: float = 0.0
    weight_norm: float = 0.0
    gradient: Array = field(default_factory=_nothing)
    before: Array = field(default_factory=_nothing)
    after: Array = field(default_factory=_nothing)
    """The entries' values before and after the optimiser's step; empty where it did not step."""

    @property
    def is_broken(self) -> bool:
        """Whether the gradient, or what was kept of it, is not finite."""
        return not (np.isfinite(self.gradient_norm) and np.isfinite(self.gradient).all())


@dataclass
class LayerStep:
    """A layer in one step, NaN where there is no value."""

    count: int = 0
    """Entries of dL/dz."""
    norm: float = float("nan")
    """Of dL/dz; not finite where any entry is not."""
    lost: float = float("nan")
    """In half precision: the share of dL/dz that is zero or next to the smallest number, of what should not be."""
    spread: float = float("nan")
    """How far the samples of a batch lie apart, relative to the size of the values."""
    signal: float = float("nan")
    """RMS of what it, or its activation, puts out. Signal and spread rest on some 4,096 entries of a call; the signal
    is that of the newest call, the spread the largest one."""
    saturated: float = float("nan")
    """Of an activation that is flat at both ends: the share of flat ones, among some samples."""
    dtype: str = ""
    by_place: Array = field(default_factory=_nothing)
    """Of the first layer, where it puts out a sequence, (B, T, E): the RMS of dL/dz at each place, (T,)."""


@dataclass(frozen=True)
class BadOperation:
    """The first function of a step that put out what is not finite."""

    function: str
    module: str
    place: str
    """File and line of the code that called it."""
    is_nan: bool
    had_infinity: bool
    """Whether its inputs held infinities already, as masks do."""
    dtype: str
    largest_input: float
    samples: tuple[int, ...]
    """Which entries of the batch, where they can be told apart."""
    had_zero: bool = False


@dataclass
class LossCall:
    """A call of a loss function, or a difference that was taken outside of the network."""

    kind: str
    place: str
    made_by: str
    """The function that made its input, as autograd names it."""
    made_before: str
    """The one that made what that function was handed."""
    input_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_is_class: bool
    softmax_axis: int | None = None
    mixes_axes: bool = False
    """Whether channels or places were taken for classes after a reshape that does not move their axis."""
    are_cosines: bool = False
    """Whether its input is the product of two matrices of which both were divided, as by the norms of their rows."""
    takes_logarithm: bool = False
    """Of a Poisson loss: whether its input is the rate's logarithm."""
    values: dict[str, float] = field(default_factory=dict)
    classes: Array | None = None
    """How often each class is the target."""
    target_sums: tuple[Array, Array, float] | None = None
    """Of real targets: sums, sums of squares, by column, and their number."""


@dataclass
class Inputs:
    """What reaches the first layer that has weights."""

    layer: str
    followed_by: str
    """The next layer function."""
    rms: float
    smallest_feature: float
    largest_feature: float
    """RMS of the weakest and of the strongest feature."""


@dataclass
class Step:
    """One watched step."""

    number: int
    is_brief: bool = False
    """Whether only the loss and the samples of the parameters were kept."""
    loss: float = float("nan")
    nodes: int = 0
    """Nodes of the graph behind the loss."""
    is_scaled: bool = False
    """Whether mixed precision scales the loss."""
    losses: list[LossCall] = field(default_factory=list)
    bad: BadOperation | None = None
    edge: tuple[str, str] | None = None
    """A root, norm or power of exactly zero, whose derivative is infinite: function and place."""
    inputs: Inputs | None = None
    """Measured once, in the first step that shows them."""
    parameters: dict[str, ParameterStep] = field(default_factory=dict)
    layers: dict[str, LayerStep] = field(default_factory=dict)
    batch_counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By normalisation over the batch: values per channel, samples."""
    stale: dict[str, float] = field(default_factory=dict)
    """Norm of what was left in a parameter's gradient when the backward pass began, though it had been used."""
    unregistered: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Weights that the network uses and does not know, by where they are used."""
    thawed: dict[str, float] = field(default_factory=dict)
    """By normalisation of a frozen part: how far its running mean has moved."""


@dataclass
class Evidence:
    """All that is known of a training."""

    measurements: Measurements
    parameters: dict[str, Parameter] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    """Those in which everything was looked at."""
    between: list[Step] = field(default_factory=list)
    """Those that were looked at briefly."""
    activations: dict[str, str] = field(default_factory=dict)
    """By layer: the activation behind it."""
    slopes: dict[str, list[Array]] = field(default_factory=dict)
    """By layer: the largest |phi'| of any sample, by unit; one array per CHUNK watched steps."""
    constant: dict[str, str] = field(default_factory=dict)
    """Matrices whose entries, or whose units, are all alike at the start: "zero", "constant", "units"."""
    still_constant: dict[str, str] = field(default_factory=dict)
    """The same at the end."""
    order: list[str] = field(default_factory=list)
    """Layers with a matrix, in the order in which they are first used."""
    goes_back_twice: bool = False
    """Whether a backward pass came to the graph of an earlier step, which is gone."""
    kept_graphs: int = 0
    """Graphs of earlier steps that somebody still holds."""
    is_moved: bool = True
    """Whether an optimiser was given, so that the weights move."""
    num_optimisers: int = 1
    decay_rates: list[tuple[float, float]] = field(default_factory=list)
    """Of the optimisers' running means of gradients and of their squares: the share that stays from step to step."""
    foreign: int = 0
    """Entries of parameters that an optimiser has and the network does not."""
    holds_copy: bool = False
    """Whether these are of the shapes of the network's own."""
    notes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [step.number for step in self.steps]

    def best_slopes(self) -> dict[str, Array]:
        """Return the largest |phi'| of each unit in the last watched steps, by layer."""
        return {name: np.max(parts[-WINDOW:], axis=0) for name, parts in self.slopes.items()}

    def spreads(self, layer: str) -> Array:
        """Return how far the samples of a batch lie apart at a layer, in the steps in which that is known."""
        values = [step.layers[layer].spread for step in self.steps if layer in step.layers]
        return np.array([each for each in values if np.isfinite(each)], dtype=np.float64)

    def all_steps(self) -> list[Step]:
        """Return the steps that were looked at, briefly or not, in their order."""
        return sorted([*self.steps, *self.between], key=lambda step: step.number)

    def losses(self) -> Array:
        """Return the loss of each step that was looked at, (S,)."""
        return np.array([step.loss for step in self.all_steps()], dtype=np.float64)

    def series(self, name: str) -> Array:
        """Return a series of the watch, (S, L), in the order of `measurements.layers`; empty where there is none."""
        found = self.measurements.series().get(name)
        return np.empty((0, 0)) if found is None else found[0]
