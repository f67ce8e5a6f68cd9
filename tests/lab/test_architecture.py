"""The rules of docs/architecture.md for the laboratory, held against every import statement."""

from __future__ import annotations

from tests.imports import HEAVY, PACKAGE, files, imports, loaded_by, module_name, room_of

TRAINS = {"torch", "pytorch_lightning"}


def test_only_the_commands_import_commands() -> None:
    wrong = [each for each in imports() if each.is_ours and each.room in ("cli", "lab/cli")]
    assert [
        str(each) for each in wrong if room_of(each.file) not in ("cli", "lab/cli") and each.file != "__main__.py"
    ] == []


def test_judge_knows_neither_theory_nor_figures_nor_training() -> None:
    judging = {"lab/judge.py", "lab/effects.py", "lab/threshold.py"}
    allowed = {"vgtemplate", "config", "records", "metrics", "text", "lab"}
    wrong = [each for each in imports() if each.file in judging and each.is_ours and each.room not in allowed]
    assert [str(each) for each in wrong] == []


def test_layers_are_checked_without_the_rest_of_the_laboratory() -> None:
    allowed = {"config", "records", "nn", "lab/checks"}
    wrong = [each for each in imports() if room_of(each.file) == "lab/checks" and each.is_ours and not each.typing]
    doctor = {("lab/checks/doctor.py", "doctor")}
    known = [each for each in wrong if each.room in allowed or (each.file, each.room) in doctor]
    assert [str(each) for each in wrong if each not in known and each.module != "vgtemplate.lab.catalogue"] == []


def test_laboratory_does_without_torch_until_something_is_trained() -> None:
    found = [path.relative_to(PACKAGE).as_posix() for path in files(PACKAGE / "lab")]
    needs_torch = [file for file in found if file.startswith("lab/checks/") and not file.endswith("__init__.py")]
    modules = [module_name(file) for file in found if file not in needs_torch]
    assert loaded_by([*modules, "vgtemplate.lab.checks.registry"], HEAVY | {"mlflow"}) == ""
