"""A look at a network before it is trained: forward and backward, and the profile beside what theory expects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from vgtemplate.doctor.diagnose import diagnose
from vgtemplate.doctor.evidence import Array
from vgtemplate.doctor.report import CERTAIN, LIKELY, Finding, Report
from vgtemplate.theory.layers import Layer
from vgtemplate.theory.numpy_activations import FORMULAS
from vgtemplate.theory.profiles import predict_layers

_ACTIVATIONS = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.SiLU: "silu",
}
_PASSED = (nn.Flatten, nn.Identity)
_NORMS = {nn.BatchNorm1d: "batch", nn.BatchNorm2d: "batch", nn.LayerNorm: "layer"}
_POOLS = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
_PASSES = 3
_LEEWAY = 0.3
"""Decades beside the band that are left to a network's width and to its batch."""
_NEGLIGIBLE = 0.5
"""Decades that no training notices."""


@dataclass(frozen=True)
class Comparison:
    """The profile of dL/dz that was measured, beside the theory's: log10, relative to the last hidden layer; (L,)."""

    layers: tuple[str, ...]
    measured: Array
    low: Array
    high: Array

    @property
    def outside(self) -> list[int]:
        """The places of the layers that leave the band, the one nearest to the output first."""
        beyond = np.maximum(self.low - self.measured, self.measured - self.high)
        left = (beyond > _LEEWAY) & (np.abs(self.measured) > _NEGLIGIBLE)
        return [int(place) for place in np.flatnonzero(left)[::-1]]


def loss_of(model: nn.Module, batch: Any) -> Tensor:
    """Return the usual loss: the squared error for real targets, for classes what the output asks for.

    Nobody has said which: logits go into cross-entropy, a single one into the binary one, and what a log-softmax or a
    sigmoid has made into the losses of these.
    """
    x, y = batch
    output = model(x)
    if not isinstance(y, Tensor) or y.is_floating_point():
        return functional.mse_loss(output, y)
    made_by = output.grad_fn.name() if isinstance(output, Tensor) and output.grad_fn is not None else ""
    if made_by.startswith("LogSoftmax"):
        return functional.nll_loss(output, y)
    is_single = y.numel() == output.numel()
    if made_by.startswith("Sigmoid"):
        yes = y.view_as(output) if is_single else functional.one_hot(y, output.shape[1]).movedim(-1, 1)
        return functional.binary_cross_entropy(output, yes.to(output.dtype))
    if is_single:
        return functional.binary_cross_entropy_with_logits(output, y.view_as(output).to(output.dtype))
    return functional.cross_entropy(output, y)


def check(model: nn.Module, batch: Any, loss: Callable[[nn.Module, Any], Tensor] = loss_of) -> Report:
    """Report what a forward and a backward pass show; the network stays as it was.

    Raises:
        ValueError: the loss is no scalar.
    """
    # Without an optimiser each pass is the same; rules want to see three.
    report = diagnose(model, [batch], loss, steps=_PASSES)
    if loss is loss_of:
        report.findings = [_by_our_loss(each) for each in report.findings]
    found = compare(model, report, batch)
    if isinstance(found, str):
        report.notes.append(f"not compared with the theory: {found}")
    elif found.outside:
        finding = _leaves_band(found)
        # Which layer it is says more than that the gradient vanishes.
        report.findings = [finding, *(each for each in report.findings if each.code != finding.code)]
    else:
        report.notes.append("dL/dz of each hidden layer lies within the band that the theory gives for its width")
    return report


def _by_our_loss(finding: Finding) -> Finding:
    if finding.code != "loss-head-mismatch":
        return finding
    return replace(finding, cause=f"{finding.cause} (the loss is a stand-in for yours)", confidence=LIKELY)


def _leaves_band(found: Comparison) -> Finding:
    place = found.outside[0]
    low, measured, high = found.low[place], found.measured[place], found.high[place]
    way = "vanishing-depth" if measured < low else "exploding-depth"
    return Finding(
        way,
        tuple(found.layers[each] for each in found.outside),
        0,
        f"dL/dz at {found.layers[place]} is 10^{measured:.2f} of that at {found.layers[-1]}; for such weights the "
        f"theory expects 10^{low:.2f} to 10^{high:.2f}",
        "something on the way back is not what its layers are: a scale, a detached or doubled path, dependent weights",
        "look at what stands between this layer and the next",
        CERTAIN,
    )


def compare(model: nn.Module, report: Report, batch: Any) -> Comparison | str:
    """Set the measured profile beside the theory's; where the theory does not know the network, say why."""
    described = _describe(model)
    if isinstance(described, str):
        return described
    names, layers, activation = described
    if len(layers) < 2:
        return "fewer than two hidden layers"
    places = {name: place for place, name in enumerate(report.layers)}
    profile = report.profiles.get("gradient_rms")
    if profile is None or not len(profile) or any(name not in places for name in names):
        return "dL/dz of a hidden layer was not seen"
    values = profile[0][[places[name] for name in names]]
    if not (np.isfinite(values).all() and (values > 0).all()):
        return "dL/dz of a hidden layer is zero, or not finite"
    x = batch[0].detach().double()
    squares = x.square().mean(1) if layers[0].kernel > 1 else x.flatten(1).square().mean(1)[:, None, None]
    prediction = predict_layers(FORMULAS[activation], layers, squares.numpy()[:8])
    low, high = prediction.gradient_band
    logs = np.log10(values)
    return Comparison(tuple(names), logs - logs[-1], low, high)


def _describe(model: nn.Module) -> tuple[list[str], list[Layer], str] | str:
    """Return the hidden layers of a sequence as the theory sees them; in words, why it is none that it knows."""
    modules = [(name, each) for name, each in model.named_modules() if not next(each.children(), None)]
    if any(not isinstance(each, nn.Sequential) for each in model.modules() if next(each.children(), None)):
        return "the network is no plain sequence of layers"
    names: list[str] = []
    layers: list[Layer] = []
    kinds: set[str] = set()
    pending: tuple[str, Any, str] | None = None
    is_pooled = False
    for name, module in modules:
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            if pending is not None:
                return f"no activation behind {pending[0]}"
            pending = name, module, "none"
        elif type(module) in _NORMS and pending is not None and pending[2] == "none":
            pending = *pending[:2], _NORMS[type(module)]
        elif type(module) in _ACTIVATIONS and pending is not None:
            layer = _layer(pending[1], pending[2])
            if isinstance(layer, str) or is_pooled:
                return f"{layer} at {pending[0]}" if isinstance(layer, str) else f"a pooling before {pending[0]}"
            names.append(pending[0])
            layers.append(layer)
            kinds.add(_ACTIVATIONS[type(module)])
            pending = None
        elif isinstance(module, _POOLS) and pending is None and not is_pooled:
            is_pooled = True
        elif not isinstance(module, _PASSED):
            return f"the theory does not know {type(module).__name__} at this place ({name})"
    if len(kinds) > 1:
        return "several kinds of activation"
    if any(layer.kernel > 1 for layer in layers) and any(layer.kernel == 1 for layer in layers):
        return "convolutions and fully connected layers in one sequence"
    return names, layers, kinds.pop() if kinds else ""


def _layer(module: nn.Linear | nn.Conv2d, norm: Any) -> Layer | str:
    weight, bias = module.weight.detach(), module.bias
    kernel, stride = 1, 1
    if isinstance(module, nn.Conv2d):
        kernel, stride = module.kernel_size[0], module.stride[0]
        usual = (kernel // 2, kernel // 2)
        is_usual = module.kernel_size == (kernel, kernel) and module.padding == usual and kernel % 2 and kernel > 1
        if not is_usual or module.groups != 1 or module.dilation != (1, 1) or module.padding_mode != "zeros":
            return "the theory does not know this convolution"
    return Layer(
        in_width=weight.shape[1],
        width=weight.shape[0],
        weight_std=float(weight.square().mean().sqrt()),
        bias_std=0.0 if bias is None else float(bias.detach().square().mean().sqrt()),
        kernel=kernel,
        stride=stride,
        norm=norm,
    )
