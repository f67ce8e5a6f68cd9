"""The rules of docs/architecture.md for the template, held against every import statement and every file."""

from __future__ import annotations

import ast
import re
import statistics
from dataclasses import dataclass

import pytest

from tests.imports import (
    HEAVY,
    LIGHTNING,
    PACKAGE,
    REPOSITORY,
    Import,
    files,
    find_circle,
    imports,
    loaded_by,
    module_name,
    room_of,
    walk,
)


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Room:
    """A row of the table: its floor, the rooms it may import, and all the libraries it may import (None: any)."""

    floor: int
    rooms: frozenset[str]
    libraries: frozenset[str] | None = None
    never: frozenset[str] = frozenset()


ROOMS = {
    "atomic": Room(0, names(""), names("")),
    "locking": Room(0, names(""), names("filelock")),
    "text": Room(0, names(""), names("")),
    "limits": Room(0, names(""), names("psutil")),
    "measure": Room(0, names(""), names("torch")),
    "stacking": Room(0, names(""), names("numpy")),
    "lightning": Room(0, names(""), names("pytorch_lightning lightning")),
    "config": Room(1, names("atomic text"), never=HEAVY),
    "records": Room(2, names("atomic config"), names("numpy")),
    "theory": Room(2, names("config"), names("numpy scipy")),
    "data": Room(2, names("atomic lightning config")),
    "nn": Room(3, names("config"), names("numpy torch"), LIGHTNING),
    "metrics": Room(3, names("config records"), names("numpy")),
    "tracking": Room(4, names("atomic locking config records text metrics"), never=HEAVY),
    "watching": Room(2, names("config measure"), names("numpy torch"), LIGHTNING),
    "doctor": Room(3, names("text config measure theory watching"), names("numpy torch pytest"), LIGHTNING),
    "prediction": Room(4, names("text config records theory metrics nn"), names("numpy pydantic")),
    "figures": Room(5, names("atomic text config records theory prediction metrics"), never=HEAVY),
    "callbacks": Room(6, names("atomic lightning config measure nn tracking watching doctor figures")),
    "training": Room(7, names("atomic text limits lightning stacking config data metrics nn callbacks records")),
    "jobs": Room(8, names("locking config data records training"), names("filelock")),
    "cli": Room(
        9,
        names("atomic text limits config records theory data metrics doctor tracking prediction figures training jobs"),
    ),
}
LATE = re.compile(
    r"cli/|callbacks/loggers\.py|tracking/|jobs/run\.py|prediction\.py|data/(files|fetch|checksums|sources)\.py|lab/"
)
"""Where a function may import another file of the package, so that torch, mlflow or matplotlib are loaded late."""
DOORS = names("__init__.py __main__.py")
"""Files of no room: they hand names to outsiders."""


def of_core() -> list[Import]:
    return [each for each in imports() if not room_of(each.file).startswith("lab") and each.file not in DOORS]


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
    assert {room_of(file) for file in outside if not file.startswith("lab/")} == set(ROOMS)


def test_imports_go_downward_only() -> None:
    for name, room in ROOMS.items():
        assert all(ROOMS[other].floor < room.floor for other in room.rooms), name


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert find_circle() == []


def test_nothing_of_the_template_imports_the_laboratory() -> None:
    assert [str(each) for each in of_core() if each.is_ours and each.room.startswith("lab")] == []


def test_table_is_the_documents() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) `(\w+)(?:/|\.py)`.*\|([^|]*)\|$", text, flags=re.MULTILINE)
    assert {room for _, room, _ in rows} == set(ROOMS)
    for floor, room, may_import in rows:
        assert int(floor) == ROOMS[room].floor, room
        words = re.sub(r" *\(.*?\)", "", may_import.partition(";")[0]).strip()
        assert set(re.split(r",\s*", words)) - {"no room"} == ROOMS[room].rooms, room


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_imports_only_what_the_table_allows(room: str) -> None:
    rules = ROOMS[room]
    wrong = []
    for each in of_core():
        if room_of(each.file) != room:
            continue
        if each.is_ours and each.module != "vgtemplate" and each.room not in rules.rooms | {room}:
            wrong.append(str(each))
        if each.is_library and not each.typing:
            allowed = rules.libraries is None or each.room in rules.libraries
            wrong += [] if allowed and each.room not in rules.never else [str(each)]
    assert wrong == []


def test_mlflow_is_imported_in_tracking_and_late() -> None:
    found = [each for each in imports() if each.room == "mlflow"]
    assert found
    assert [str(each) for each in found if room_of(each.file) != "tracking" or not (each.late or each.typing)] == []


def test_files_import_each_other_inside_functions_only_to_load_libraries_late() -> None:
    late = [each for each in imports() if each.late and each.is_ours]
    assert [str(each) for each in late if not LATE.match(each.file)] == []


def test_defining_file_is_imported_not_the_package_that_serves_outsiders() -> None:
    packages = {module_name(path.relative_to(PACKAGE).as_posix()) for path in files() if path.name == "__init__.py"}
    wrong = [str(each) for each in imports() if each.module in packages - {"vgtemplate"} and each.file not in DOORS]
    assert wrong == []


def test_package_itself_imports_nothing_before_it_is_asked() -> None:
    at_top = [each for each in imports() if each.file == "__init__.py" and not (each.late or each.typing)]
    assert {each.room for each in at_top} <= {"__future__", "importlib", "typing"}


def test_rooms_that_never_need_torch_never_load_it() -> None:
    """The statements above say so of each file; this says so of everything they load in turn."""
    light = names("atomic locking text config records theory metrics tracking prediction figures jobs cli")
    torch_is_needed = names("cli/commands/classify.py")
    found = [path.relative_to(PACKAGE).as_posix() for path in files()]
    modules = [module_name(file) for file in found if room_of(file) in light and file not in torch_is_needed]
    assert loaded_by(["vgtemplate", "vgtemplate.data.files", *modules], HEAVY | {"mlflow"}) == ""


def test_files_and_functions_stay_readable_in_one_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert {str(path): length for path, length in lengths.items() if length > 350} == {}
    assert statistics.median(lengths.values()) <= 150
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []


OPENERS = names("read_text read_bytes open fdopen load ZipFile loadtxt genfromtxt fromfile memmap mmap")
READERS = {
    "config/inputs.py path.read_bytes": "the one place",
    "config/declared.py file.read_text": "a source of the package",
    "config/key.py file.read_bytes": "sources of the package",
    "lab/cli/report.py path.read_bytes": "sources of the package",
    "cli/project.py path.read_text": "templates of the package",
    "cli/origin.py metadata.distribution('vgtemplate').read_text": "what the installer noted",
    "lab/checks/doctor.py file.read_text": "what a process of its own has just written, in a folder of its own",
    "cli/main.py os.open": "the null device, to write to it",
    "cli/commands/ui.py webbrowser.open": "an address, no file",
    "atomic.py os.open": "a folder, to flush it",
    "training/usage.py _STATUS.read_text": "what the kernel says of this process",
    "limits.py path.read_text": "what the kernel says of limits",
    "training/processor.py cpuinfo.read_text": "what the kernel says of the machine",
    "config/yaml.py yaml.load": "a text in memory",
    "callbacks/loggers.py Image.open": "bytes in memory",
    "records.py archive.open": "bytes in memory",
    "records.py zipfile.ZipFile": "bytes in memory",
    "records.py np.load": "bytes in memory",
    "lab/cluster/parcel.py zipfile.ZipFile": "bytes in memory",
    "data/unpickle.py _TableUnpickler(io.BytesIO(content), encoding='latin1').load": "bytes in memory",
    "data/sources.py np.loadtxt": "lines in memory",
    "data/folder.py Image.open": "bytes in memory; or the head of what `Path.is_file` has found to be a file",
    "data/folder_cache.py np.load": "after check_file",
    "data/checksums.py gzip.open": "after check_file; unpacks no more than the file may hold",
    "data/checksums.py path.open": "after check_file; reads no more than the file may hold",
    "data/fetch.py tarfile.open": "an archive whose checksum is right",
    "callbacks/archives.py zipfile.ZipFile": "after check_file",
    "callbacks/archives.py torch.load": "after check_file",
}
"""Where something is opened to be read by another than `config/inputs.py`, and why a pipe or a device is none of it."""


def opened(tree: ast.AST) -> list[str]:
    """What a source opens, or has opened, unless its mode says that it is to be written."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            values = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
            modes = [value.value for value in values if isinstance(value, ast.Constant)]
            is_opener = name in OPENERS if isinstance(node.func, ast.Attribute) else name == "open"
            if is_opener and not any(re.fullmatch("[wxa][bt]?", str(mode)) for mode in modes):
                found.append(ast.unparse(node.func))
    return found


def test_what_is_opened_is_found() -> None:
    source = "open(a)\nPath(a).read_text()\na.open('wb')\nos.fdopen(a, 'rb')\nnp.load(a, mmap_mode='r')"
    source += "\nopen(a, mode='x')\nread_text(a, 9)"
    assert opened(ast.parse(source)) == ["open", "Path(a).read_text", "os.fdopen", "np.load"]


def test_files_are_read_in_one_place() -> None:
    found = {
        f"{path.relative_to(PACKAGE).as_posix()} {call}"
        for path in files()
        for call in opened(ast.parse(path.read_text(encoding="utf-8")))
    }
    # A copy without the laboratory keeps this test.
    has_laboratory = (PACKAGE / "lab").is_dir()
    assert found == {each for each in READERS if has_laboratory or not each.startswith("lab/")}
