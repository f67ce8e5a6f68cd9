"""One hash per arm: its whole configuration, its seeds, its data and the code that decides its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vgtemplate.config.catalogue import ACTIVATIONS
from vgtemplate.config.own import is_own
from vgtemplate.config.schema import LOSS_WINDOW
from vgtemplate.config.source import source_of

_PACKAGE = Path(__file__).resolve().parents[1]
_DECIDING = ("config/seeding.py", "data", "nn", "measure.py", "stacking.py", "watching", "callbacks", "training")


@cache
def source_hash(parts: tuple[str, ...] = _DECIDING) -> str:
    """Return the hash of the package's source files that decide an arm's numbers."""
    digest = hashlib.sha256()
    for part in parts:
        path = _PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file.exists():
                digest.update(str(file.relative_to(_PACKAGE)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def hash_of(content: Mapping[str, Any]) -> str:
    """Return the hash of plain data, which decides a record's key."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


_OWN = {"model": ("factory",), "module": ("factory",), "data": ("factory",), "training": ("loss", "score")}
"""Where in a configuration code of one's own is named."""


def own_code(configuration: Mapping[str, Any]) -> list[str]:
    """Return all code of one's own that an arm's configuration names, as `module:name`."""
    sections = {name: configuration.get(name) or {} for name in _OWN}
    return [sections[name][key] for name, keys in _OWN.items() for key in keys if is_own(sections[name].get(key))]


def package_code(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of this package's code decides an arm's numbers, JSON-ready."""
    row = ACTIVATIONS.get((configuration.get("model") or {}).get("activation", ""))
    return {
        "source": source_hash(),
        # What of this room decides an arm's numbers and stands in no configuration.
        "constants": {"loss_window": LOSS_WINDOW, "max_derivative": row.max_derivative if row else 0.0},
    }


def code_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return all code that decides an arm's numbers; records keep it, so that their keys can be computed.

    Raises:
        UserError: code of one's own that the configuration names is not found.
    """
    return {**package_code(configuration), "own": {text: source_of(text) for text in own_code(configuration)}}


def arm_key(
    configuration: Mapping[str, Any],
    seeds: Sequence[int],
    fingerprint: str,
    code: Mapping[str, Any] | None = None,
) -> str:
    """Return the key under which the record of this arm, these seeds and these data is kept.

    Args:
        code: as `code_of` returned it when a record was made; None: the code that is there now.
    """
    made_by = code_of(configuration) if code is None else code
    return hash_of({**made_by, "configuration": configuration, "seeds": list(seeds), "fingerprint": fingerprint})
