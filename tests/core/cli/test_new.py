"""`vgt new` and the Copier template: one set of files, made either way, and brought up to date by Copier."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Ended
from vgtemplate.cli.origin import Origin, read_origin
from vgtemplate.cli.project import name_package, render_project
from vgtemplate.config.errors import UserError

REPOSITORY = Path(__file__).parents[3]
IDENTITY = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=os.environ | IDENTITY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copier(folder: Path, *arguments: str) -> None:
    run(folder, sys.executable, "-m", "copier", *arguments)


def contents(project: Path) -> dict[str, str]:
    files = (path for path in project.rglob("*") if path.is_file() and ".git" not in path.relative_to(project).parts)
    return {path.relative_to(project).as_posix(): path.read_text() for path in files}


def commit(folder: Path) -> None:
    if not (folder / ".git").exists():
        run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "all")


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of the template alone, tagged, from which this installation seems to come."""
    folder = tmp_path / "repository"
    shutil.copytree(REPOSITORY / "vgtemplate" / "project", folder / "vgtemplate" / "project")
    shutil.copy(REPOSITORY / "copier.yml", folder)
    commit(folder)
    run(folder, "git", "tag", "v1.0.0")
    found = read_origin({"url": folder.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr("vgtemplate.cli.commands.new.find_origin", lambda: found)
    return folder


def test_a_project_is_written_and_the_next_commands_are_said(call_vgt: Callable[..., Ended], tmp_path: Path) -> None:
    done = call_vgt("new", "somewhere/My-Project")
    assert done.succeeded, done.err
    assert [line.strip() for line in done.out.splitlines()[1:]] == [
        "cd somewhere/My-Project",
        "make train",
        "make reproduce",
    ]
    written = contents(tmp_path / "somewhere" / "My-Project")
    assert {"my_project/model.py", "my_project/data.py", "claims/deeper-is-better.yaml", ".gitignore"} <= set(written)
    assert [name for name, text in written.items() if "{" + "{" in name + text or not text.endswith("\n")] == []
    assert list((tmp_path / "somewhere").iterdir()) == [tmp_path / "somewhere" / "My-Project"]
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        run(tmp_path / "somewhere" / "My-Project", str(ruff), *command, "--no-cache", ".")


def test_an_empty_folder_is_taken(call_vgt: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert call_vgt("new", "mine").succeeded
    assert (tmp_path / "mine" / "Makefile").is_file()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my project", "letters, digits, - and _"),
        ("2nd", "the first a letter"),
        ("mine-", "the last a letter or a digit"),
        ("größer", "letters, digits"),
        (".", "letters, digits"),
        ("..", "letters, digits"),
        ("class", "is a word of Python's own"),
        ("json", "a package json is installed already"),
        ("torch", "choose another, e.g. my-torch"),
        ("vgtemplate", "installed already"),
        ("tests", "a project has a folder tests already"),
    ],
)
def test_a_bad_name_is_refused(call_vgt: Callable[..., Ended], tmp_path: Path, name: str, reason: str) -> None:
    done = call_vgt("new", name)
    assert done.refused
    assert reason in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_stays_as_it_is(call_vgt: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for name, reason in {"full": "not empty", "file": "no folder", "file/deeper": "cannot be written"}.items():
        done = call_vgt("new", name)
        assert done.refused
        assert reason in done.err
    assert contents(tmp_path) == before


def test_a_project_that_cannot_be_finished_leaves_nothing(
    call_vgt: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(_: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", replace)
    done = call_vgt("new", "mine")
    assert done.refused
    assert "No space left" in done.err
    assert list(tmp_path.iterdir()) == []


def test_neither_torch_nor_pydantic_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom vgtemplate.cli.main import vgt\nvgt.main(['new', 'mine'], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    run(tmp_path, sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("direct_url", "expected"),
    [
        (
            {"url": "https://forge/me/vgt.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            Origin("vgtemplate @ git+https://forge/me/vgt.git@abc", "git+https://forge/me/vgt.git", "abc"),
        ),
        ({"url": "file:///w/v%201.whl", "archive_info": {}}, Origin("/w/v 1.whl")),
        ({"url": "https://forge/v-1.whl", "archive_info": {}}, Origin("vgtemplate @ https://forge/v-1.whl")),
        ({"url": "file:///not/there", "dir_info": {}}, Origin("/not/there")),
        ({"url": "file:///not/there", "dir_info": {"editable": True}}, Origin("--editable=/not/there")),
    ],
)
def test_a_project_installs_vgtemplate_from_where_this_one_came(
    direct_url: dict[str, object], expected: Origin
) -> None:
    assert read_origin(direct_url) == expected


def test_without_a_known_origin_the_name_alone_is_installed_and_nothing_is_remembered() -> None:
    files = render_project("mine", "mine", Origin())
    assert "VGTEMPLATE ?= vgtemplate\n" in files["Makefile"]
    assert yaml.safe_load(files[".copier-answers.yml"]) == {"project": "mine", "vgtemplate": "vgtemplate"}
    assert "It needs two lines more" in files[".copier-answers.yml"]


@pytest.mark.parametrize("requirement", ["vgtemplate @ git+ssh://me@forge/vgt#egg=vgtemplate", "/a b/$c/#d.whl"])
def test_make_installs_what_is_named_whatever_signs_it_has(tmp_path: Path, requirement: str) -> None:
    (tmp_path / "Makefile").write_text(render_project("mine", "mine", Origin(requirement))["Makefile"])
    (tmp_path / "pyproject.toml").touch()
    assert f"'{requirement}' --editable '.[dev]'" in run(tmp_path, "make", "--dry-run", "setup")
    assert "make reproduce" in run(tmp_path, "make")


def test_names_of_packages() -> None:
    assert [name_package(name) for name in ("my-project", "MyProject", "a_b", "x")] == [
        "my_project",
        "myproject",
        "a_b",
        "x",
    ]
    with pytest.raises(UserError):
        name_package("")


@pytest.mark.slow
def test_copier_makes_the_same_files(call_vgt: Callable[..., Ended], tmp_path: Path, template: Path) -> None:
    copier(tmp_path, "copy", "--defaults", str(template), "copied/My-Project")
    assert call_vgt("new", "made/My-Project").succeeded
    copied = contents(tmp_path / "copied" / "My-Project")
    assert copied == contents(tmp_path / "made" / "My-Project")
    assert f"VGTEMPLATE ?= --editable={template}\n" in copied["Makefile"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["vgt", "copier"])
def test_an_update_brings_what_is_new_and_keeps_what_is_ones_own(
    call_vgt: Callable[..., Ended], tmp_path: Path, template: Path, way: str
) -> None:
    project = tmp_path / "mine"
    if way == "vgt":
        assert call_vgt("new", "mine").succeeded
    else:
        copier(tmp_path, "copy", "--defaults", str(template), "mine")
    own = (project / "mine" / "model.py").read_text().replace("nn.ReLU()", "nn.GELU()")
    (project / "mine" / "model.py").write_text(own)
    (project / "claims" / "deeper-is-better.yaml").unlink()
    makefile = (project / "Makefile").read_text()
    (project / "Makefile").write_text(makefile + "\nclean: ## of my own\n\trm -rf results\n")
    commit(project)

    source = template / "vgtemplate" / "project"
    newer = (source / "Makefile.jinja").read_text().replace("## run the tests", "## run every test of {{ project }}")
    (source / "Makefile.jinja").write_text(newer)
    (source / "NEWS.md.jinja").write_text("{{ package }} has news\n")
    commit(template)
    run(template, "git", "tag", "v2.0.0")
    copier(project, "update", "--defaults")

    updated = contents(project)
    assert updated["mine/model.py"] == own
    assert "claims/deeper-is-better.yaml" not in updated
    assert updated["NEWS.md"] == "mine has news\n"
    assert "## run every test of mine" in updated["Makefile"]
    assert "clean: ## of my own" in updated["Makefile"]
    assert "_commit: v2.0.0" in updated[".copier-answers.yml"]
