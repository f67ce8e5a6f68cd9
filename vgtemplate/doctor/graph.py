"""The graph behind a loss: how large it is, which leaves it has, and whether somebody still holds it later."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, NamedTuple

from torch import Tensor

_LARGE_GRAPH = 50_000


class Mark:
    """Lives as long as the node of a graph that it was put on."""


class Graph(NamedTuple):
    """The graph behind a loss: its number of nodes, at most _LARGE_GRAPH, the ids of the tensors at whose gradients it
    ends, and a mark on a node far from the loss: whoever holds the loss, an output or a sum of losses holds it as well.
    """

    nodes: int
    leaves: set[int]
    mark: weakref.ref[Mark] | None


def walk(loss: Tensor) -> Graph:
    """Go through the graph behind a loss."""
    seen: set[Any] = set()
    leaves: set[int] = set()
    queue, last = deque([loss.grad_fn]), None
    while queue and len(seen) < _LARGE_GRAPH:
        node = queue.popleft()
        if node is None or node in seen:
            continue
        seen.add(node)
        if following := node.next_functions:
            last = node
            queue.extend([each for each, _ in following])
        elif (leaf := getattr(node, "variable", None)) is not None:
            leaves.add(id(leaf))
    if last is None:
        return Graph(len(seen), leaves, None)
    mark = Mark()
    metadata: Any = last.metadata
    metadata["vgtemplate"] = mark
    return Graph(len(seen), leaves, weakref.ref(mark))
