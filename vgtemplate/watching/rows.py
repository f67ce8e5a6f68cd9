"""What holds weights in a network: one row per weight, whatever kind of layer it belongs to; never a measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_PARAMETRISED = "parametrizations."
"""How torch.nn.utils.parametrize files away the tensors that a weight is computed from."""
_BIASES = ("bias", "in_proj_bias", "bias_k", "bias_v")


@dataclass(frozen=True, eq=False)
class Row:
    """A weight with its bias.

    Args:
        name: of the layer, or of the weight where its layer has several; a tied weight has all its names.
        weight: a parameter of any shape.
        bias: the bias beside it, or None.
        parameters: the names of both in the network.
        stacked: the parameters have the replica axis in front, since the network is a population.
    """

    name: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    parameters: frozenset[str]
    stacked: bool

    @property
    def is_matrix(self) -> bool:
        """Whether it mixes units, as the weights of a normalisation do not."""
        return self.weight.dim() - self.stacked > 1


def population_in(model: nn.Module) -> nn.Module | None:
    """Return the population of `replicate` that a network is or holds."""
    return next((child for child in model.modules() if getattr(child, "has_stacked_parameters", False)), None)


def _named(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    """Return every parameter with all of its names; one that is lazy is not there yet."""
    found: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if not is_lazy(parameter):
            found.setdefault(parameter, []).append(name)
    return found


def _prefix(model: nn.Module, population: nn.Module | None) -> str:
    """Return what stands before every name of a population's network."""
    names = [name for name, child in model.named_modules() if child is population]
    return f"{names[0]}.network.".lstrip(".") if names else ""


def _is_bias(name: str) -> bool:
    own = name.rpartition(".")[2]
    return own in _BIASES or own.startswith("bias_")


def _owner(name: str) -> str:
    """Return the layer of a parameter; a parametrised one's is the layer that has the parametrisation."""
    return name.partition(_PARAMETRISED)[0].rstrip(".") if _PARAMETRISED in name else name.rpartition(".")[0]


def _bias_of(name: str) -> str:
    """Return the name that a weight's bias has."""
    if _PARAMETRISED in name:
        layer, _, own = name.partition(_PARAMETRISED)
        # Of several originals the last is the one that has a direction (weight norm: size, direction).
        return f"{layer}bias" if own in ("weight.original", "weight.original1") else ""
    owner, dot, own = name.rpartition(".")
    return f"{owner}{dot}{own.replace('weight', 'bias')}" if "weight" in own else ""


def find_rows(model: nn.Module) -> list[Row]:
    """Return the rows of a network in the order in which its weights are defined; each weight once."""
    named = _named(model)
    by_name = {name: parameter for parameter, names in named.items() for name in names}
    num_weights = Counter(_owner(name) for name in by_name if not _is_bias(name))
    population = population_in(model)
    stacked = set() if population is None else set(population.parameters())
    prefix = _prefix(model, population)

    def shown(name: str) -> str:
        owner, own = _owner(name), name.rpartition(".")[2]
        is_only = bool(owner) and num_weights[owner] == 1 and (own == "weight" or _PARAMETRISED in name)
        return (owner if is_only else name.replace(_PARAMETRISED, "")).removeprefix(prefix)

    def row(parameter: nn.Parameter, bias: nn.Parameter | None) -> Row:
        names = dict.fromkeys(map(shown, named[parameter]))
        parameters = frozenset(named[parameter] + ([] if bias is None else named[bias]))
        return Row(" = ".join(names), parameter, bias, parameters, parameter in stacked)

    def bias_of(weight: nn.Parameter) -> nn.Parameter | None:
        bias = by_name.get(_bias_of(named[weight][0]))
        # Where the bias alone is trained it has a row of its own.
        return bias if bias is None or weight.requires_grad or not bias.requires_grad else None

    biases = {parameter: bias_of(parameter) for parameter, names in named.items() if not _is_bias(names[0])}
    rows = [row(weight, bias) for weight, bias in biases.items()]
    # So has one without a weight (a bare parameter that happens to be called so).
    taken = {*biases, *biases.values()}
    return rows + [row(parameter, None) for parameter in named if parameter not in taken]


def leaves(tensor: Tensor, stop: Container[object], most: int = 48) -> Iterator[tuple[Tensor, int]]:
    """Yield the parameters that a tensor was computed from, looking at no more than `most` nodes of its graph.

    With each comes its place among what `unbind` made of it, which is the replica where networks run in turn.

    Args:
        stop: nodes behind which nothing is looked for.
    """
    queue, seen = [(tensor.grad_fn, tensor.output_nr)], 0
    while queue and seen < most:
        node, place = queue.pop(0)
        seen += 1
        if node is None or node in stop:
            continue
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            yield variable, place
        is_unbind = node.name().startswith("Unbind")
        queue += [(following, place if is_unbind else index) for following, index in node.next_functions]
