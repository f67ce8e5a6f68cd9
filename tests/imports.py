"""Every import statement of the package, read with `ast`: what the tests of the architecture hold against its rules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "vgtemplate"
LIGHTNING = frozenset(["pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "torchmetrics"])
HEAVY = LIGHTNING | {"torch", "torchvision"}


@dataclass(frozen=True)
class Import:
    """One imported module, and where it stands: `late` inside a function, `typing` under TYPE_CHECKING."""

    file: str
    line: int
    module: str
    late: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    @property
    def is_ours(self) -> bool:
        return self.module.split(".")[0] == "vgtemplate"

    @property
    def room(self) -> str:
        """The room of the package, or the library."""
        parts = self.module.split(".")
        if not self.is_ours or len(parts) == 1:
            return parts[0]
        return room_of("/".join(parts[1:]) + ".py")

    @property
    def is_library(self) -> bool:
        return not self.is_ours and self.room not in sys.stdlib_module_names


def room_of(file: str) -> str:
    """The room of a file, by its path in the package; the laboratory's folders are rooms of their own."""
    first, *rest = Path(file.removesuffix(".py")).parts
    inner = PACKAGE / "lab" / rest[0] if first == "lab" and rest else PACKAGE
    return f"lab/{rest[0]}" if first == "lab" and rest and inner.is_dir() else first


def files(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _is_module(name: str) -> bool:
    path = REPOSITORY / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def _imported(node: ast.stmt) -> list[str]:
    """The modules a statement imports: `from a import b` is a.b where that is a module, else a."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "no relative imports"
        module = str(node.module)
        inside = [f"{module}.{alias.name}" for alias in node.names]
        return sorted({name if module.startswith("vgtemplate") and _is_module(name) else module for name in inside})
    return []


def walk(node: ast.AST, file: str, late: bool = False, typing: bool = False) -> Iterator[Import]:
    """Yield every import below a node of a file."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            for module in _imported(child):
                yield Import(file, child.lineno, module, late, typing)
        in_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for_types = isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        yield from walk(child, file, late or in_function, typing or for_types)


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the package."""
    found: list[Import] = []
    for path in files():
        found += walk(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(PACKAGE).as_posix())
    return tuple(found)


def find_circle() -> list[str]:
    """Files that import each other in a circle, at their top; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for each in imports():
        if each.is_ours and not each.late and not each.typing:
            inner = each.module.removeprefix("vgtemplate").strip(".").replace(".", "/")
            target = f"{inner}.py" if (PACKAGE / f"{inner}.py").exists() else f"{inner}/__init__.py".lstrip("/")
            graph.setdefault(each.file, set()).add(target)
    done: set[str] = set()

    def visit(file: str, way: list[str]) -> list[str]:
        if file in way:
            return [*way[way.index(file) :], file]
        if file in done:
            return []
        found = next((circle for other in graph.get(file, ()) if (circle := visit(other, [*way, file]))), [])
        done.add(file)
        return found

    return next((circle for file in graph if (circle := visit(file, []))), [])


def loaded_by(modules: Sequence[str], heavy: frozenset[str]) -> str:
    """Import modules one after the other in a process of their own; say which of them loads a heavy library."""
    code = (
        "import importlib, sys\n"
        f"for name in {list(modules)!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = [library for library in {sorted(heavy)!r} if library in sys.modules]\n"
        "    assert not loaded, (name, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return done.stderr


def module_name(file: str) -> str:
    """The name under which a file of the package is imported."""
    return "vgtemplate." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
