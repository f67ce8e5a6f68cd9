"""What `vgt` says of itself: groups, examples, completion, versions, metrics, schemas."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import jsonschema
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tests.conftest import Ended
from vgtemplate.cli.main import COMMANDS, GROUPS, all_commands, vgt
from vgtemplate.config.catalogue import METRICS
from vgtemplate.config.json_schema import base_schema, experiment_schema
from vgtemplate.config.shipped import shipped_dir
from vgtemplate.config.yaml import read_yaml

Command = Callable[..., Ended]
SCHEMAS = {"experiment": experiment_schema, "base": base_schema}
FILES = sorted(path for path in shipped_dir().rglob("*.yaml") if "claims" not in path.parts)


def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, each with its words."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, (*words, name))


def test_every_command_stands_in_a_group() -> None:
    assert {group for _, _, group in all_commands().values()} <= set(GROUPS)
    shown = CliRunner().invoke(vgt, ["--help"]).output
    places = [shown.index(f"{GROUPS[group]}:") for group in ("train", "look", "keep")]
    assert places == sorted(places)


WALKED = dict(walk(vgt, ()))


@pytest.mark.parametrize("words", list(WALKED), ids=lambda words: "-".join(words) or "vgt")
def test_every_help_has_an_example_that_vgt_takes(words: tuple[str, ...]) -> None:
    command = WALKED[words]
    ended = CliRunner().invoke(vgt, [*words, "--help"])
    lines = [line.strip() for line in ended.output.splitlines() if line.strip().startswith("vgt ")]
    assert ended.exit_code == 0
    assert lines, f"vgt {' '.join(words)} --help shows no example"
    assert all(line.startswith("vgt ") for line in lines)
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if not isinstance(command, click.Group):
        own = [line for line in lines if line.startswith(f"vgt {' '.join(words)}")]
        assert {word for line in own for word in line.split() if word.startswith("--")} <= options | {"--epochs"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(call_vgt: Command, shell: str) -> None:
    ended = call_vgt("completion", shell)
    assert ended.succeeded
    assert "_VGT_COMPLETE" in ended.out
    if (program := shutil.which(shell)) is not None:
        assert subprocess.run([program, "-n"], input=ended.out, text=True, capture_output=True).returncode == 0


def test_unknown_shell_is_refused(call_vgt: Command) -> None:
    assert call_vgt("completion", "bsh").refused


def complete(words: str, place: int) -> list[str]:
    environment = {**os.environ, "_VGT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run([sys.executable, "-m", "vgtemplate"], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert complete("vgt di", 1) == ["diagnose"]
    assert complete("vgt train --see", 2) == ["--seeds"]
    assert not any(complete("vgt nonsense --x", 2))


def names(*words: str) -> list[str]:
    """What is offered for the last word, as click's own class for shells finds it."""
    found = ShellComplete(vgt, {}, "vgt", "_VGT_COMPLETE").get_completions([*words[:-1]], words[-1])
    return [item.value for item in found if item.type == "plain"]


def test_names_are_completed_where_a_command_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names("train", "mlp") == ["mlp-variants"]
    assert "plain" in names("train", "mlp-variants", "--arm", "")
    assert names("train", "mlp-variants", "--arm", "res") == ["residual"]
    assert names("train", "nowhere.yaml", "--arm", "") == []
    assert names("train", "mlp-variants", "--dataset", "mn") == ["mnist"]
    assert names("train", "mlp-variants", "--variant", "res") == ["residual"]
    assert names("predict", "--activation", "se") == ["selu"]
    assert "he_normal" in names("predict", "--activation", "relu", "--init", "he")
    assert names("predict", "--norm", "ba") == ["batch"]
    assert names("predict", "--arm", "mlp-v") == ["mlp-variants"]
    assert names("predict", "--arm", "mlp-variants:res") == ["mlp-variants:residual"]
    assert names("predict", "--arm", "nowhere.yaml:") == []
    assert names("bisect", "nan", "mlp-variants", "--arm", "res") == ["residual"]
    assert names("bisect", "nan", "mlp-variants", "--dataset", "mn") == ["mnist"]
    assert names("phase-diagram", "ta") == ["tanh"]
    assert names("data", "fetch", "mn") == ["mnist"]
    assert names("completion", "") == ["bash", "zsh", "fish"]
    assert {"experiment", "base"} <= {*names("schema", "")}


def test_completing_a_name_loads_no_torch() -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from vgtemplate.cli.main import vgt\n"
        "found = ShellComplete(vgt, {}, 'vgt', 'x').get_completions(['train', 'mlp-variants', '--arm'], '')\n"
        "sys.exit(len(found) < 2 or bool({'torch', 'matplotlib', 'mlflow', 'scipy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_a_name(tmp_path: Path) -> None:
    """As bash does it when Tab is pressed: it calls the function that was registered for the word's command."""
    script = (
        'eval "$(vgt completion bash)"\n'
        "COMP_WORDS=(vgt train mlp-variants --arm res) COMP_CWORD=4\n"
        'call=$(complete -p vgt | sed "s/.*-F \\([^ ]*\\).*/\\1/"); $call vgt res --arm\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    (tmp_path / "vgt").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vgtemplate "$@"\n')
    (tmp_path / "vgt").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("residual\n", "")


def test_info_says_versions_and_keeps_secrets(
    call_vgt: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@tracking.example")
    ended = call_vgt("info", "--json")
    assert ended.succeeded
    found = json.loads(ended.out)
    assert {"vgtemplate", "python", "libraries", "data", "results"} <= found.keys()
    assert found["libraries"]["torch"]
    assert found["MLflow"] == "a server"
    assert "secret" not in ended.out
    assert str(tmp_path.parent) not in ended.out
    assert "torch" in call_vgt("info").out


def test_metrics_are_listed_with_formula_and_source(call_vgt: Command) -> None:
    ended = call_vgt("metrics", "--json")
    rows = {row["name"]: row for row in json.loads(ended.out)}
    assert rows.keys() == METRICS.keys()
    assert all(row["formula"] and row["source"] for row in rows.values())
    assert "gradient_slope" in call_vgt("metrics").out


@pytest.mark.parametrize("kind", SCHEMAS)
def test_committed_schema_is_the_one_that_is_printed(call_vgt: Command, kind: str, tmp_path: Path) -> None:
    """`vgt schema KIND --output experiments/schemas/KIND.json` writes it."""
    committed = json.loads((shipped_dir() / f"schemas/{kind}.json").read_text(encoding="utf-8"))
    assert json.loads(call_vgt("schema", kind).out) == committed
    assert call_vgt("schema", kind, "--output", "made.json").succeeded
    assert json.loads((tmp_path / "made.json").read_text(encoding="utf-8")) == committed
    jsonschema.Draft202012Validator.check_schema(committed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_name_their_schema_and_fit_it(path: Path) -> None:
    kind = "base" if path.parent.name == "bases" else "experiment"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / name).resolve() == (shipped_dir() / f"schemas/{kind}.json").resolve()
    jsonschema.validate(read_yaml(path), SCHEMAS[kind]())


@pytest.mark.parametrize(
    "arm",
    [
        {"model": {"depht": 3}},
        {"model": {"depth": "deep"}},
        {"model": {"depth": 0}},
        {"model": {"activation": "rleu"}},
        {"model": {"initialiser": "he"}},
        {"training": {"loss": "entropy"}},
        {"optimiser": {"lr": -1}},
        {"variants": ["residul"]},
    ],
)
def test_what_vgt_refuses_the_schema_refuses(arm: dict[str, object]) -> None:
    schema = experiment_schema()
    jsonschema.validate({"arms": {"a": {"model": {"settings": {"x": 1}}, "training": {"loss": "mine:f"}}}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"arms": {"a": arm}}, schema)


def test_every_command_of_the_template_is_there() -> None:
    assert set(COMMANDS) <= set(all_commands())
