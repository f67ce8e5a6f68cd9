"""Reads YAML: no key given twice; every failure is one line that names file, line and column."""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import Any

import yaml

from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_text
from vgtemplate.text import is_text

_MOST_BYTES = 4_000_000
"""Of a YAML file: some hundred times the largest that anybody wrote."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses a key given twice and reads 1e-3 as a number (YAML 1.2)."""

    # Here rather than in construct_mapping, which also sees keys that `<<` has merged in.
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if not is_text(node.value):
            raise yaml.MarkedYAMLError(problem="half a surrogate pair is no text", problem_mark=node.start_mark)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        # A mapping that merges one mapping twice, and is itself merged twice, and so on, would double at each step.
        last = {
            (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key): (key, value)
            for key, value in node.value
        }
        node.value = list(last.values())


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str, where: str) -> Any:
    """Return what a text says; raise UserError, beginning with `where`, if it is no YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}:{place} {error.problem or 'is not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: is not YAML: {' '.join(str(error).split())}") from None
    except (AttributeError, LookupError, TypeError, OverflowError):
        # PyYAML's own constructors fall over an explicit tag that does not fit, e.g. `!!timestamp soon`.
        raise UserError(f"{where}: is not YAML: a value does not fit its !!tag") from None


_parse_once = functools.lru_cache(maxsize=1024)(parse_yaml)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raise UserError if it is missing, broken or anything else."""
    if not is_text(path.name):
        raise UserError(f"{path}: a name that is no UTF-8 cannot be shown or tracked; rename the file")
    text = read_text(path, _MOST_BYTES)
    # A copy: what is parsed once serves all claims of the same base.
    content = copy.deepcopy(_parse_once(text, str(path)))
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path}: must hold a mapping of names to settings")
    return content
