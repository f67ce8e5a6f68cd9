"""What no file of the package may do, where files may be written, and what leaves this machine (nothing).

Pickles and archives: tests/core/data/test_unpickle.py, test_fetch.py; the report's HTML: tests/lab/report.
"""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from vgtemplate.config.yaml import _Loader
from vgtemplate.records import Record, read_record, record_path, write_record
from vgtemplate.tracking.outbox import (
    Description,
    Registration,
    Run,
    description_of,
    is_sent,
    mark_sent,
    remember,
    runs_of,
)
from vgtemplate.tracking.runs import Extras
from vgtemplate.tracking.tracker import Tracker

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "vgtemplate"

NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile", "tempfile.mktemp"),
    *("pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all", "yaml.load_all"),
    *("shutil.unpack_archive", "torch.hub.load", "torch.jit.load", "pandas.read_pickle"),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
}
"""Functions that run what they read."""
UNPACKING = frozenset(("extractall", "extract"))
"""Methods that write wherever an archive says."""


def names_of(tree: ast.AST) -> dict[str, str]:
    """What each name that a module imports stands for, dotted."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """The whole name of what an expression names; a method of a value is ".method"."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names)
        rooted = isinstance(node.value, ast.Attribute) or (isinstance(node.value, ast.Name) and node.value.id in names)
        return f"{owner}.{node.attr}" if rooted else f".{node.attr}"
    return ""


def constant(call: ast.Call, keyword: str) -> object:
    """The value that a call gives to a keyword, if it is written there; else None."""
    found = [each.value for each in call.keywords if each.arg == keyword]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def fault(call: ast.Call, names: dict[str, str]) -> str | None:
    """Say what is wrong with a call, if anything is."""
    name = dotted(call.func, names)
    if name in NEVER or name.startswith(("os.exec", "os.spawn")):
        return name
    if name.split(".")[-1] in UNPACKING and name.startswith("."):
        return f"{name} unpacks by the archive's own names"
    if name in ("numpy.load", "numpy.lib.npyio.NpzFile") and constant(call, "allow_pickle") is not False:
        return "numpy.load without allow_pickle=False"
    if name == "torch.load" and constant(call, "weights_only") is not True:
        return "torch.load without weights_only=True"
    if name.endswith(".load_from_checkpoint") and constant(call, "weights_only") is not True:
        return "load_from_checkpoint without weights_only=True"
    if any(each.arg == "ckpt_path" for each in call.keywords) and constant(call, "weights_only") is not True:
        return "a checkpoint without weights_only=True"
    if name == "yaml.load" and [dotted(each.value, names) for each in call.keywords if each.arg == "Loader"] != [
        "_Loader"
    ]:
        return "yaml.load without the project's loader"
    if constant(call, "shell") not in (None, False):
        return "a shell"
    if name == "jinja2.Environment" and constant(call, "autoescape") is not True:
        return "templates that do not escape"
    return None


def faults(source: str) -> list[str]:
    tree = ast.parse(source)
    names = names_of(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [f"line {call.lineno}: {found}" for call in calls if (found := fault(call, names)) is not None]


def files() -> Iterator[Path]:
    yield from sorted([*PACKAGE.rglob("*.py"), *(REPOSITORY / "benchmarks").rglob("*.py")])


def test_no_file_runs_what_it_reads():
    found = {str(path.relative_to(REPOSITORY)): each for path in files() if (each := faults(path.read_text()))}
    # A new project's files are no HTML, and its name has letters, digits, - and _ only.
    (plain,) = found.pop("vgtemplate/cli/project.py")
    assert plain.endswith("templates that do not escape")
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(file)",
        "import pickle as p\np.loads(content)",
        "from pickle import loads as read\nread(content)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=flag)",
        "from numpy import load\nload(path)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "def f():\n    from torch import load\n    load(path)",
        "Model.load_from_checkpoint(path)",
        "trainer.fit(model, ckpt_path=path)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "import yaml\nyaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "import os\nos.system(text)",
        "from os import popen\npopen(text)",
        "import os\nos.execvp(name, arguments)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "import tarfile\ntarfile.open(path).extractall()",
        "import shutil\nshutil.unpack_archive(path)",
        "from jinja2 import Environment\nEnvironment()",
    ],
)
def test_the_search_finds_what_it_is_for(source):
    assert len(faults(source)) == 1


def test_the_search_passes_over_what_only_looks_like_it():
    harmless = (
        "import re, torch, numpy as np, yaml, subprocess\n"
        "model.eval()\nre.compile(text)\ntorch.compile(model)\ntorch.load(path, weights_only=True)\n"
        "np.load(path, allow_pickle=False)\nyaml.load(text, Loader=_Loader)\nyaml.safe_load(text)\n"
        "subprocess.run(words)\nself.load(path)\njson.loads(text)\ntrainer.fit(model)\n"
        "trainer.fit(model, ckpt_path=path, weights_only=True)\narchive.extractfile(member)\n"
    )
    assert faults(harmless) == []


def test_yaml_loader_is_the_safe_one():
    assert issubclass(_Loader, yaml.SafeLoader)
    known = {tag for tag in _Loader.yaml_constructors if tag is not None}
    assert known == {tag for tag in yaml.SafeLoader.yaml_constructors if tag is not None}
    assert _Loader.yaml_multi_constructors == yaml.SafeLoader.yaml_multi_constructors


def build_record(key: str = "k1") -> Record:
    series = {"gradient_rms": np.full((2, 1, 3), 0.1), "diverged_at": np.full(2, -1)}
    return Record(key, "plain", {"model": {"depth": 3}}, (0, 1), {"name": "digits"}, {}, 1.0, series)


@pytest.mark.parametrize("place", ["a folder", "a file", "nowhere", "a record"])
def test_link_in_the_place_of_a_record_is_replaced_and_what_it_leads_to_stays(results, tmp_path, place):
    results.mkdir()
    target = tmp_path / "precious"
    if place == "a folder":
        target.mkdir()
        (target / "series.npz").write_bytes(b"precious")
    elif place == "a file":
        target.write_bytes(b"precious")
    elif place == "a record":
        write_record(tmp_path, build_record("precious"))
    before = {path.name: path.read_bytes() for path in target.glob("*")} if target.is_dir() else None
    record_path(results, "k1").symlink_to(target)
    assert read_record(results, "k1") is None
    write_record(results, build_record())
    assert not record_path(results, "k1").is_symlink()
    assert read_record(results, "k1") is not None
    if target.is_dir():
        assert {path.name: path.read_bytes() for path in target.glob("*")} == before
    else:
        assert place == "nowhere" or target.read_bytes() == b"precious"
        assert target.exists() == (place == "a file")


@pytest.mark.parametrize("name", ["record.json", "series.npz"])
def test_link_in_the_place_of_a_records_file_is_replaced_and_what_it_leads_to_stays(results, tmp_path, name):
    results.mkdir()
    write_record(results, build_record())
    (tmp_path / "precious").write_bytes(b"precious")
    (record_path(results, "k1") / name).unlink()
    (record_path(results, "k1") / name).symlink_to(tmp_path / "precious")
    write_record(results, build_record())
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert read_record(results, "k1") is not None
    assert not (record_path(results, "k1") / name).is_symlink()


NAMES = [
    "..",
    ".",
    "../../evil",
    "/evil",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "~",
    "<script>",
    "%2e%2e",
    "kočka 猫",
    "x" * 60,
]


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_outbox(results, tmp_path, name):
    (results / "tracking").mkdir(parents=True)
    before = tree(tmp_path)
    run, words = Run(name, name, name), Description(name, "so", "in full", {"verdict": "confirmed"})
    for parcel in (run, Registration(name, name, name, name), words):
        remember(results, parcel)
        (results / "mlflow.db").touch()
        mark_sent(results, parcel, "7")
        assert is_sent(results, parcel)
    assert (runs_of(results, name), description_of(results, name)) == ([run], words)
    new = {path for path in tree(tmp_path) - before if path != "results/mlflow.db"}
    assert all(path.startswith("results/tracking/") and path.count("/") <= 3 for path in new)
    assert len(new) == 4
    assert all((tmp_path / path).resolve().is_relative_to(results / "tracking") for path in new)


@pytest.mark.slow
def test_no_name_leads_out_of_mlflows_artifacts(results, tmp_path):
    results.mkdir()
    write_record(results, build_record())
    outside = tree(tmp_path) - {path for path in tree(tmp_path) if path.startswith("results")}
    for name in (name for name in NAMES if "\0" not in name):
        tracker = Tracker(results, Extras(lambda record, arm: {"picture.png": b"a picture"}))
        # MLflow may refuse a name; it may not put it anywhere.
        words = Description(name, name, name, {"verdict": name})
        for outcome in (tracker.send(Run(name, name, "k1")), tracker.send(words)):
            assert outcome is None or "\n" not in outcome
    found = tree(tmp_path)
    assert {path for path in found if not path.startswith("results")} == outside
    top = {path.split("/")[1] for path in found if path.startswith("results/")}
    assert top <= {"k1", "tracking", "mlflow.db", "mlflow.db-shm", "mlflow.db-wal", "mlartifacts"}
    kept = {path.split("/")[2] for path in found if path.startswith("results/mlartifacts/")}
    assert kept
    assert all(re.fullmatch(r"[0-9a-f]{32}", folder) for folder in kept)


def run_python(code: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "CI", "GITHUB"))}
    clean.pop("DO_NOT_TRACK", None)
    # MLflow keeps quiet under pytest; the variable that tells it would hide a failure.
    clean.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_telemetry_is_off_wherever_mlflow_is_loaded(tmp_path):
    ask = "\nfrom mlflow.telemetry.utils import is_telemetry_disabled\nprint(is_telemetry_disabled())"
    # The control: left to itself it is on.
    assert run_python("import mlflow" + ask) == "False"
    send = (
        "from pathlib import Path\n"
        "from vgtemplate.tracking.outbox import Description\nfrom vgtemplate.tracking.tracker import Tracker\n"
        f"assert Tracker(Path({str(tmp_path)!r})).send(Description('a', 'b')) is None"
    )
    assert run_python(send + ask) == "True"
    assert run_python("from vgtemplate.tracking.tracker import quiet_environment\nquiet_environment()" + ask) == "True"


def processes_below(process: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *processes_below(child))]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows a process's environment")
def test_telemetry_is_off_in_every_process_of_the_ui(results, tmp_path):
    assert Tracker(results).send(Description("a", "b")) is None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-c", "from vgtemplate.cli.main import main; main()", "ui", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=clean, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert "starting" in process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        below = processes_below(process.pid)
        assert below
        for each in below:
            environment = Path(f"/proc/{each}/environ").read_bytes().split(b"\0")
            assert b"MLFLOW_DISABLE_TELEMETRY=true" in environment
    finally:
        process.terminate()
        process.communicate(timeout=60)
