"""One fault each, put into a training script as a person would: what is edited, and which codes are right for it.

The right codes were written down, and committed, before the doctor had seen any mutant. `expected` is the fault's
name; `also` are codes that somebody reasonable would accept in its place, since they name what follows at once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.doctor.mutant_trees import (
    LAYERS,
    before_loss,
    change_calls,
    classes_of_models,
    expression,
    insert,
    is_call,
    keyword,
    last_name,
    losses,
    method,
    models,
    optimised,
    own_call,
    with_models,
)

Edit = Callable[[ast.Module, dict[str, str]], bool]
DIVERGES = frozenset({"oscillation", "overflow-forward", "nan-forward", "nan-backward"})
COLLAPSES = frozenset({"vanishing-depth", "vanishing-time", "signal-collapse", "stuck-at-zero"})


@dataclass(frozen=True)
class Operator:
    """A fault: its name, the right code, others that are right too, the edit, and by what its harm is told.

    Args:
        edit: (tree, facts of the script) -> whether anything was edited; the tree is edited in place.
        told: "loss", as `mutants.harm` says; "fall" where the loss's scale changes; "below zero" where the loss is
            a negative log-likelihood no more; "given" where the fault is one by construction (a graph that is kept).
        needs: a pattern that the script must have.
    """

    name: str
    expected: str
    edit: Edit
    also: frozenset[str] = frozenset()
    told: str = "loss"
    needs: str = ""


def head(*kinds: str, text: str) -> Edit:
    """Another function before the loss."""
    return lambda tree, _: before_loss(tree, set(kinds), text)


def built(text: str, before: bool = True) -> Edit:
    """Something is done to each network before (or after) its optimiser is made."""
    return lambda tree, _: with_models(tree, text, before)


def log_softmax(replacement: str) -> Edit:
    """Another function, or none, in place of log_softmax."""

    def change(call: ast.Call) -> ast.expr | None:
        return expression(replacement, X=call.args[0]) if last_name(call.func) == "log_softmax" else None

    return lambda tree, _: change_calls(tree, change)


def activation(text: str, module: str = "") -> Edit:
    """Another function in place of relu, another module in place of ReLU."""

    def change(call: ast.Call) -> ast.expr | None:
        name = last_name(call.func)
        if name == "relu" and call.args:
            return expression(text, X=call.args[0])
        return expression(module) if module and name in {"ReLU", "LeakyReLU"} else None

    return lambda tree, _: change_calls(tree, change)


def steep_sigmoid(tree: ast.Module, facts: dict[str, str]) -> bool:
    """Sigmoids of a hundred times what they were of."""
    if "no sigmoid" in facts:
        return False

    def change(call: ast.Call) -> ast.expr | None:
        if last_name(call.func) != "sigmoid" or not call.args:
            return None
        call.args[0] = expression("100 * X", X=call.args[0])
        return call

    return change_calls(tree, change)


def rate(factor: str) -> Edit:
    """A learning rate that is another one by a factor."""

    def change(call: ast.Call) -> ast.expr | None:
        named = keyword(call, "lr") if optimised(call) else None
        if named is None:
            return None
        named.value = expression(f"X * {factor}", X=named.value)
        return call

    return lambda tree, _: change_calls(tree, change)


def momentum(tree: ast.Module, _: dict[str, str]) -> bool:
    """A momentum of 0.999."""

    def change(call: ast.Call) -> ast.expr | None:
        if not optimised(call) or last_name(call.func) != "SGD":
            return None
        others = [each for each in call.keywords if each.arg != "momentum"]
        call.keywords = [*others, ast.keyword("momentum", ast.Constant(0.999))]
        return call

    return change_calls(tree, change)


def summed(tree: ast.Module, _: dict[str, str]) -> bool:
    """A sum over the samples where the mean was."""

    def change(call: ast.Call) -> ast.expr | None:
        if last_name(call.func) not in {"CrossEntropyLoss", "MSELoss", "cross_entropy", "nll_loss", "BCELoss"}:
            return None
        others = [each for each in call.keywords if each.arg != "reduction"]
        call.keywords = [*others, ast.keyword("reduction", ast.Constant("sum"))]
        return call

    return change_calls(tree, change)


def second_half(tree: ast.Module, _: dict[str, str]) -> bool:
    """Only the second half of a network's parameters is given to its optimiser."""

    def change(call: ast.Call) -> ast.expr | None:
        if not optimised(call):
            return None
        call.args[0] = expression("list(X)[len(list(X)) // 2:]", X=call.args[0])
        return call

    return change_calls(tree, change)


def no_zero_grad(tree: ast.Module, _: dict[str, str]) -> bool:
    """Gradients are never cleared."""

    def change(call: ast.Call) -> ast.expr | None:
        return ast.Constant(None) if last_name(call.func) == "zero_grad" else None

    return change_calls(tree, change)


def clipped(tree: ast.Module, _: dict[str, str]) -> bool:
    """Gradients are clipped to a norm of a millionth."""
    names = models(tree)
    if len(names) != 1:
        return False
    text = f"torch.nn.utils.clip_grad_norm_({names[0]}.parameters(), 1e-6)"

    def at(statement: ast.stmt) -> str | None:
        return text if is_call(statement, "step") and "scheduler" not in ast.unparse(statement) else None

    return insert(tree, at)


def python_list(tree: ast.Module, _: dict[str, str]) -> bool:
    """Layers of a module, but its last, stand in Python lists."""
    done = False
    for each in classes_of_models(tree):
        begin = method(each, "__init__")
        made = [
            node
            for node in ast.walk(begin or ast.Module([], []))
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Attribute)
            and isinstance(node.value, ast.Call)
            and last_name(node.value.func) in LAYERS
        ]
        listed = {last_name(node.targets[0]) for node in made[:-1]}
        for node in made[:-1]:
            node.value = ast.List([node.value], ast.Load())

        def change(call: ast.Call, listed: set[str] = listed) -> ast.expr | None:
            if own_call(call) not in listed:
                return None
            call.func = expression("X[0]", X=call.func)
            return call

        done = change_calls(each, change) or done
    return done


def detached(tree: ast.Module, facts: dict[str, str]) -> bool:
    """What the last layer is given is detached; in a game, what the generator's opponent is given."""
    if "fake" in facts:
        call, fake = facts["fake"].split(" < ")

        def in_game(node: ast.Call) -> ast.expr | None:
            return expression(fake) if ast.unparse(node) == call else None

        return change_calls(tree, in_game)
    done = False
    for each in classes_of_models(tree):
        forward = method(each, "forward")
        own = [node for node in ast.walk(forward) if own_call(node)] if forward else []
        last = max(own, key=lambda node: (node.lineno, -node.col_offset), default=None)  # type: ignore[attr-defined]
        if isinstance(last, ast.Call) and last.args and len({own_call(node) for node in own}) > 1:
            last.args[0] = expression("X.detach()", X=last.args[0])
            done = True
    return done


def kept(before: str, after: str, replace: bool = False) -> Edit:
    """Something is done with the loss behind (or in place of) its backward pass; LOSS is the loss."""

    def edit(tree: ast.Module, _: dict[str, str]) -> bool:
        def at(statement: ast.stmt) -> str | None:
            call = is_call(statement, "backward")
            return after.replace("LOSS", ast.unparse(call.func.value)) if call else None  # type: ignore[attr-defined]

        if (replace and len(models(tree)) != 1) or not insert(tree, at, before=replace):
            return False
        if replace:
            change_calls(tree, lambda call: ast.Constant(None) if _is_plain_backward(call) else None)
        tree.body[:0] = ast.parse(before).body
        return True

    return edit


def _is_plain_backward(call: ast.Call) -> bool:
    return last_name(call.func) == "backward" and not call.keywords


def pixels(text: str) -> Edit:
    """Images, or the numbers of a small table, of another scale; X is the tensor."""

    def edit(tree: ast.Module, facts: dict[str, str]) -> bool:
        def change(call: ast.Call) -> ast.expr | None:
            if last_name(call.func) != "ToTensor":
                return None
            scaled = "transforms.Compose([MADE, transforms.Lambda(lambda X: " + text + ")])"
            module = expression(ast.unparse(call.func).removesuffix(".ToTensor"))
            return expression(scaled, MADE=call, transforms=module)

        return scaled_table(facts["inputs"], text)(tree, facts) if facts.get("inputs") else change_calls(tree, change)

    return edit


def scaled_table(name: str, text: str) -> Edit:
    """A variable of another scale, before the optimiser is made, or where a loop makes the variable y."""
    code = f"{name} = {text}".replace("X", name)

    def edit(tree: ast.Module, _: dict[str, str]) -> bool:
        loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
        made = [line for loop in loops for line in loop.body if _assigns(line, "y" if name == "x" else name)]
        if made:
            return insert(tree, lambda statement: code if statement is made[-1] else None, before=False)
        return with_models(tree, code, once=True)

    return edit


def _assigns(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Assign) and last_name(statement.targets[0]) == name


def targets(tree: ast.Module, facts: dict[str, str]) -> bool:
    """Targets of a regression a thousand times as large."""
    if "values" not in losses(tree).values() or not facts.get("targets"):
        return False
    return scaled_table(facts["targets"], "X * 1000")(tree, facts)


def tiny_batches(tree: ast.Module, _: dict[str, str]) -> bool:
    """Two samples in a batch."""
    done = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and re.fullmatch("batch_size", last_name(node.targets[0]), re.IGNORECASE):
            node.value, done = ast.Constant(2), True
        if isinstance(node, ast.Call) and last_name(node.func) == "add_argument":
            named = keyword(node, "default")
            if named and re.search(r"'--batch.size'", ast.unparse(node.args[0])):
                named.value, done = ast.Constant(2), True
    return done


def half_precision(tree: ast.Module, _: dict[str, str]) -> bool:
    """All of the training in float16."""
    tree.body[:0] = ast.parse("torch.set_default_dtype(torch.float16)").body
    return True
