"""What stands in a key for people's own code: it changes with their source, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.source import source_of

REPOSITORY = Path(__file__).parents[3]


def sources(folder: Path, files: Mapping[str, str], text: str) -> str:
    """What another process, in that folder, finds for the code after these files have been written."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    code = f"from vgtemplate.config.source import source_of; print(source_of({text!r}))"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_file_counts_with_all_that_it_imports_beside_it(tmp_path: Path) -> None:
    first = sources(
        tmp_path,
        {
            "nets_a.py": "from parts_a import f\nimport math, vgtemplate\ndef make(): return f",
            "parts_a.py": "def f(): ...",
            "other_a.py": "",
            "vgtemplate/cli/x.py": "",
        },
        "nets_a:make",
    )
    assert sources(tmp_path, {"other_a.py": "x = 1"}, "nets_a:make") == first
    changed = sources(tmp_path, {"parts_a.py": "def f(): return 1"}, "nets_a:make")
    assert changed != first
    assert sources(tmp_path, {"parts_a.py": "def f(): ..."}, "nets_a:make") == first
    moved = tmp_path / "moved"
    moved.mkdir()
    files = {name: (tmp_path / name).read_text() for name in ("nets_a.py", "parts_a.py")}
    assert sources(moved, files, "nets_a:make") == first


def test_a_package_counts_with_all_its_files(tmp_path: Path) -> None:
    files = {"pack_a/__init__.py": "", "pack_a/nets.py": "def make(): ...", "pack_a/deep/other.py": "x = 1"}
    first = sources(tmp_path, files, "pack_a.nets:make")
    assert sources(tmp_path, {"pack_a/notes.txt": "nothing"}, "pack_a.nets:make") == first
    assert sources(tmp_path, {"pack_a/deep/other.py": "x = 2"}, "pack_a.nets:make") != first
    del files["pack_a/__init__.py"]  # a package without that file works too
    (tmp_path / "pack_a/__init__.py").unlink()
    assert sources(tmp_path, files, "pack_a.nets:make") != first


def test_what_is_no_file_of_a_package_does_not_count(tmp_path: Path) -> None:
    files = {"pack_b/__init__.py": "def make(): ..."}
    first = sources(tmp_path, files, "pack_b:make")
    os.mkfifo(tmp_path / "pack_b" / "pipe.py")
    (tmp_path / "pack_b" / "folder.py").mkdir()
    assert sources(tmp_path, files, "pack_b:make") == first


def test_a_library_counts_by_its_version() -> None:
    assert source_of("torchvision.models:resnet18") == f"torchvision {version('torchvision')}"
    assert source_of("colorsys:rgb_to_hsv").startswith("python 3")


def test_code_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UserError, match="no module 'no_such_module_of_anyone'"):
        source_of("no_such_module_of_anyone:make")
