"""What can be named in a YAML file: one frozen row for each activation, initialiser, data set, metric and variant.

A row stands where its function is written, in the decorator above it (config/declared.py); only the variants, which
are settings and no functions, stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vgtemplate.config.declared import Declared, Row
from vgtemplate.config.errors import UserError, unknown_name


def table(*rows: Row) -> Mapping[str, Row]:
    """Return rows by name; two of one name are an error."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.name in found:
            raise ValueError(f"the catalogue has two rows named {row.name!r}")
        found[row.name] = row
    return MappingProxyType(found)


def check_name(kind: str, name: str, known: Mapping[str, object]) -> str:
    """Return `name` if it is known; raise UserError with the nearest known name otherwise."""
    if name not in known:
        raise UserError(unknown_name(kind, name, known))
    return name


@dataclass(frozen=True)
class ActivationRow:
    """An activation: its largest derivative (what "saturated" is relative to) and its usual initialiser."""

    name: str
    source: str
    max_derivative: float
    initialiser: str


ACTIVATIONS = Declared(ActivationRow, "activation", "nn/activations.py")


@dataclass(frozen=True)
class InitialiserRow:
    """A weight initialiser; `needs_std` where the deviation is given rather than computed from the fans."""

    name: str
    source: str
    needs_std: bool = False


INITIALISERS = Declared(InitialiserRow, "initialiser", "nn/initialisers.py")


@dataclass(frozen=True)
class BlockRow:
    """A preset that turns the plain network into a variant: a patch of an arm's configuration."""

    name: str
    source: str
    patch: Mapping[str, Any] = field(hash=False)


BLOCKS = table(
    BlockRow("plain", "linear map, then activation", {}),
    BlockRow("batchnorm", "Ioffe & Szegedy 2015: normalised before the activation", {"model": {"norm": "batch"}}),
    BlockRow("residual", "He et al. 2016: x + branch(x)", {"model": {"residual": True}}),
    BlockRow("clipped", "Pascanu et al. 2013: gradient norm at most 1", {"clipping": {"kind": "norm"}}),
)


@dataclass(frozen=True)
class DatasetRow:
    """A data set: where it comes from, whether it can be fetched over the network, whether it needs `data.path`."""

    name: str
    source: str
    fetchable: bool = False
    needs_path: bool = False


DATASETS = Declared(DatasetRow, "dataset", "data/sources.py")


@dataclass(frozen=True)
class MetricRow:
    """A number per seed: what it measures or where it is defined, its unit, and the options it takes."""

    name: str
    source: str
    unit: str = ""
    options: tuple[str, ...] = ()


METRICS = Declared(MetricRow, "metric", "metrics")
