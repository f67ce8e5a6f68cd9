"""What the operators of `mutant_edits` are made of: places in a training script's syntax tree, and changes there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

OPTIMISERS = {"SGD", "Adam", "AdamW", "Adadelta", "RMSprop"}
LAYERS = {"Linear", "Conv2d", "LSTM", "RNN", "GRU", "Embedding", "Sequential"}
LOSSES = {
    "CrossEntropyLoss": "classes",
    "cross_entropy": "classes",
    "nll_loss": "log-classes",
    "MSELoss": "values",
    "BCELoss": "chances",
    "binary_cross_entropy": "chances",
}
"""What a loss of torch is given: logits of classes, their log-probabilities, values, probabilities."""


def last_name(node: ast.AST) -> str:
    """Return b of a.b, or of b; empty for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield every call."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def expression(text: str, **parts: ast.expr) -> ast.expr:
    """Parse an expression; names that are parts are replaced by them."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:  # ast's own spelling
            return parts.get(node.id, node)

    filled: ast.expr = Fill().visit(ast.parse(text, mode="eval").body)
    return filled


def change_calls(tree: ast.AST, change: Callable[[ast.Call], ast.expr | None]) -> bool:
    """Replace calls by what `change` returns, None: as it is; whether any was replaced."""
    done: list[bool] = []

    class Change(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            self.generic_visit(node)
            new = change(node)
            done.extend([] if new is None else [True])
            return node if new is None else new

    Change().visit(tree)
    return bool(done)


def insert(tree: ast.AST, text: Callable[[ast.stmt], str | None], before: bool = True) -> bool:
    """Insert statements before (or behind) each statement of which `text` gives some; whether any was."""
    done = False
    for node in list(ast.walk(tree)):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if not isinstance(body, list) or not body or not isinstance(body[0], ast.stmt):
                continue
            new: list[ast.stmt] = []
            for statement in body:
                code = text(statement)
                added = ast.parse(code).body if code else []
                new += [*added, statement] if before else [statement, *added]
                done = done or bool(added)
            setattr(node, name, new)
    return done


def optimised(node: ast.AST) -> str | None:
    """Return the model of a call of an optimiser on a model's parameters(), as text."""
    if isinstance(node, ast.Call) and last_name(node.func) in OPTIMISERS and node.args:
        first = node.args[0]
        if isinstance(first, ast.Call) and last_name(first.func) == "parameters":
            return ast.unparse(first.func.value)  # type: ignore[attr-defined]
    return None


def models(tree: ast.AST) -> list[str]:
    """Return the names of what has an optimiser of its own."""
    return [model for call in calls(tree) if (model := optimised(call))]


def with_models(tree: ast.AST, text: str, before: bool = True, once: bool = False) -> bool:
    """Insert statements at each statement (or once, at the first) that makes an optimiser; MODEL is its model."""
    done: list[str] = []

    def at(statement: ast.stmt) -> str | None:
        model = optimised(statement.value) if isinstance(statement, ast.Assign) else None
        if not model or (once and done):
            return None
        done.append(model)
        return re.sub(r"\bMODEL\b", model, text)

    return insert(tree, at, before)


def losses(tree: ast.AST) -> dict[str, str]:
    """Return what a call of such a name is given, of torch's losses and of the names they are assigned to."""
    known = {name: kind for name, kind in LOSSES.items() if not name.endswith("Loss")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            kind = LOSSES.get(last_name(node.value.func), "")
            if kind and isinstance(node.targets[0], ast.Name):
                known[node.targets[0].id] = kind
    return known


def before_loss(tree: ast.AST, kinds: set[str], text: str) -> bool:
    """Hand losses of some kinds a function of what they were handed; X in the text is that."""
    known = losses(tree)

    def change(call: ast.Call) -> ast.expr | None:
        if known.get(last_name(call.func)) not in kinds or len(call.args) < 2:
            return None
        call.args[0] = expression(text, X=call.args[0])
        return call

    return change_calls(tree, change)


def is_call(statement: ast.stmt, method: str) -> ast.Call | None:
    """Return the call, if a statement is nothing but a call of such a method."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value if isinstance(value, ast.Call) and last_name(value.func) == method else None


def keyword(call: ast.Call, name: str) -> ast.keyword | None:
    """Return a named argument of a call."""
    return next((each for each in call.keywords if each.arg == name), None)


def classes_of_models(tree: ast.AST) -> list[ast.ClassDef]:
    """Return the classes that are called where a model's name is assigned."""
    names = set(models(tree))
    made = {
        last_name(call.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and last_name(node.targets[0]) in names
        for call in calls(node.value)
    }
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name in made]


def method(of: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """Return a class's method."""
    return next((each for each in of.body if isinstance(each, ast.FunctionDef) and each.name == name), None)


def own_call(node: ast.AST) -> str:
    """Return x of a call self.x(...)."""
    own = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and last_name(node.func.value) == "self"
    return node.func.attr if own else ""  # type: ignore[attr-defined]
