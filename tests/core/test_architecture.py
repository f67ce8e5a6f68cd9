"""The import rules of docs/architecture.md, held against every import statement in the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "vgtemplate"


@dataclass(frozen=True)
class Room:
    """A row of the table: its floor, the rooms it may import, and all the libraries it may import (None: any)."""

    floor: int
    rooms: frozenset[str]
    libraries: frozenset[str] | None = None
    never: frozenset[str] = frozenset()


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TORCH = names("torch torchvision pytorch_lightning lightning_fabric lightning_utilities torchmetrics")
LIGHTNING = names("pytorch_lightning lightning_fabric lightning_utilities torchmetrics")
ALL = names("atomic config records theory data nn measure tracking claims callbacks report training reproduce cli")
ROOMS = {
    "atomic": Room(0, names(""), names("")),
    "config": Room(1, names("atomic"), never=TORCH),
    "records": Room(2, names("atomic config"), names("numpy")),
    "theory": Room(2, names("config"), names("numpy scipy")),
    "data": Room(2, names("config")),
    "nn": Room(2, names("config"), names("torch"), LIGHTNING),
    "measure": Room(3, names(""), names("torch")),
    "tracking": Room(3, names("atomic config records"), never=TORCH),
    "claims": Room(3, names("config records theory"), names("numpy scipy pydantic")),
    "callbacks": Room(4, names("config measure")),
    "report": Room(4, names("atomic config records theory claims"), never=TORCH),
    "training": Room(5, names("atomic config data nn callbacks records")),
    "reproduce": Room(6, ALL - {"cli"}),
    "cli": Room(7, ALL),
}
EXACT = Room(3, names("config records nn"), names("numpy scipy torch"))
"""claims/exact*.py: the checks that test the layers."""
CLI_AT_TOP = names("config reproduce")
LAZY = re.compile(r"cli/|tracking/|reproduce/worker\.py|data/files\.py")
"""Where a function may import another file of the package, so that torch and mlflow are loaded late or never."""
DOORS = names("__init__.py __main__.py")
"""Files of no room: they hand names to outsiders."""


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
    def target(self) -> str:
        """The room, or the library."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "vgtemplate" and len(parts) > 1 else parts[0]

    @property
    def is_ours(self) -> bool:
        return self.module.split(".")[0] == "vgtemplate"

    @property
    def is_library(self) -> bool:
        return not self.is_ours and self.target not in sys.stdlib_module_names


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(file: str) -> str:
    return Path(file).parts[0].removesuffix(".py")


def is_module(name: str) -> bool:
    path = REPOSITORY / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_package(name: str) -> bool:
    return (REPOSITORY / name.replace(".", "/") / "__init__.py").is_file()


def imported(node: ast.stmt) -> list[str]:
    """The modules a statement imports: `from a import b` is a.b where that is a module, else a."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "no relative imports"
        module = str(node.module)
        inside = [f"{module}.{alias.name}" for alias in node.names]
        return sorted({name if module.startswith("vgtemplate") and is_module(name) else module for name in inside})
    return []


def walk(node: ast.AST, file: str, late: bool = False, typing: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            for module in imported(child):
                yield Import(file, child.lineno, module, late, typing)
        in_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for_types = isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        yield from walk(child, file, late or in_function, typing or for_types)


@cache
def imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for path in files():
        found += walk(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(PACKAGE).as_posix())
    return tuple(found)


def imports_of(room: str) -> list[Import]:
    return [each for each in imports() if each.file not in DOORS and room_of(each.file) == room]


def rules_of(each: Import) -> Room:
    return EXACT if each.file.startswith("claims/exact") else ROOMS[room_of(each.file)]


def test_imports_are_found_wherever_they_stand() -> None:
    source = (
        "import torch.nn as nn\n"
        "from vgtemplate import measure\n"
        "from vgtemplate.config.errors import UserError, unknown_name\n"
        "if TYPE_CHECKING:\n    import numpy\n"
        "class A:\n    def f(self):\n        if self:\n            with self:\n                import mlflow\n"
        "try:\n    import scipy\nexcept ImportError:\n    import yaml\n"
    )
    found = [(each.module, each.line, each.late, each.typing) for each in walk(ast.parse(source), "nn/a.py")]
    assert found == [
        ("torch.nn", 1, False, False),
        ("vgtemplate.measure", 2, False, False),
        ("vgtemplate.config.errors", 3, False, False),
        ("numpy", 5, False, True),
        ("mlflow", 10, True, False),
        ("scipy", 12, False, False),
        ("yaml", 14, False, False),
    ]


def test_every_file_is_in_a_room() -> None:
    outside = {path.relative_to(PACKAGE).as_posix() for path in files()} - DOORS
    assert {room_of(file) for file in outside} == set(ROOMS)


def test_imports_go_downward_only() -> None:
    for name, room in [*ROOMS.items(), ("claims", EXACT)]:
        assert all(ROOMS[other].floor < room.floor for other in room.rooms - {name}), name


def test_table_is_the_documents() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) `(\w+)(?:/|\.py)`.*\|([^|]*)\|$", text, flags=re.MULTILINE)
    assert {room for _, room, _ in rows} == set(ROOMS)
    for floor, room, may_import in rows:
        assert int(floor) == ROOMS[room].floor, room
        words = re.sub(r" *\(.*?\)", "", may_import.partition(";")[0]).strip()
        said = ALL - {words.removeprefix("all but ")} if words.startswith("all but") else set(re.split(r",\s*", words))
        assert said - {"no room", room} == (CLI_AT_TOP if room == "cli" else ROOMS[room].rooms - {room}), room


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_imports_only_the_rooms_that_the_table_allows(room: str) -> None:
    ours = [each for each in imports_of(room) if each.is_ours]
    assert [str(each) for each in ours if each.target not in rules_of(each).rooms | {room}] == []


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_imports_only_the_libraries_that_the_table_allows(room: str) -> None:
    used = [each for each in imports_of(room) if each.is_library]
    wrong = [
        str(each)
        for each in used
        if each.target in rules_of(each).never
        or (rules_of(each).libraries is not None and each.target not in rules_of(each).libraries)
    ]
    assert wrong == []


def test_mlflow_is_imported_in_tracking_and_late() -> None:
    found = [each for each in imports() if each.target == "mlflow"]
    assert found
    assert [str(each) for each in found if room_of(each.file) != "tracking" or not (each.late or each.typing)] == []


def test_command_line_imports_at_top_only_what_the_table_allows() -> None:
    at_top = [each for each in imports_of("cli") if not (each.late or each.typing)]
    wrong = [
        str(each)
        for each in at_top
        if (each.is_ours and each.target not in CLI_AT_TOP | {"cli"}) or each.target in TORCH
    ]
    assert wrong == []


def test_files_import_each_other_inside_functions_only_to_load_torch_and_mlflow_late() -> None:
    late = [each for each in imports() if each.late and each.is_ours]
    assert [str(each) for each in late if not LAZY.match(each.file)] == []


def test_defining_file_is_imported_not_the_package_that_serves_outsiders() -> None:
    wrong = [str(each) for each in imports() if each.is_ours and is_package(each.module) and each.file not in DOORS]
    assert wrong == []


def test_package_itself_imports_nothing_before_it_is_asked() -> None:
    at_top = [each for each in imports() if each.file == "__init__.py" and not (each.late or each.typing)]
    assert {each.target for each in at_top} <= {"__future__", "importlib", "typing"}


def test_rooms_that_never_need_torch_never_load_it() -> None:
    """The statements above say so of each file; this says so of everything they load in turn."""
    rooms = names("config records theory tracking claims report reproduce cli")
    modules = [
        "vgtemplate." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in files()
        if room_of(path.relative_to(PACKAGE).as_posix()) in rooms and not path.name.startswith("exact")
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {['vgtemplate', 'vgtemplate.data.files', *modules]!r}:\n"
        "    importlib.import_module(name.removesuffix('.__init__'))\n"
        f"    heavy = {sorted([*TORCH, 'mlflow'])!r}\n"
        "    loaded = [library for library in heavy if library in sys.modules]\n"
        "    assert not loaded, (name, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_help_loads_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys\n"
        "from vgtemplate.cli.main import main\n"
        "sys.argv = ['vgt', '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print([library for library in {sorted([*TORCH, 'mlflow', 'numpy'])!r} if library in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
