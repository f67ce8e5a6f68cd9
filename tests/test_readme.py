"""What README and docs tell a stranger to do is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.readme import BLOCKS, PAGES, README, REPOSITORY, SHELL, check_line, lines_of
from vgtemplate.cli.main import COMMANDS


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("line", lines_of(COMMANDS))
def test_every_command_line_is_one_that_vgt_takes(line: str) -> None:
    check_line(line)


def targets_of(code: str) -> list[str]:
    return [line.split()[1] for line in code.splitlines() if line.startswith("make ")]


@pytest.mark.parametrize("block", [block for block in BLOCKS if targets_of(block.code)], ids=lambda block: block.page)
def test_every_make_target_exists(block: object) -> None:
    """Here, or in the project that the block begins with making."""
    code: str = block.code  # type: ignore[attr-defined]
    makefile = "vgtemplate/project/Makefile.jinja" if "vgt new" in code else "Makefile"
    names = re.findall(r"^([\w%-]+):", (REPOSITORY / makefile).read_text(), re.MULTILINE)
    for target in targets_of(code):
        assert any(re.fullmatch(name.replace("%", ".+"), target) for name in names), target


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_is_there(page: str) -> None:
    text = re.sub(r"```.*?```", "", (REPOSITORY / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    made = {"commands.md", "yaml.md", "metrics.md"}  # by the site's build
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http", "mailto")) and Path(target).name not in made:
            assert ((REPOSITORY / page).parent / target).exists(), f"{page}: {target}"


def test_pictures_of_the_readme_are_small() -> None:
    found = re.findall(r"!\[[^\]]+\]\((\S+)\)", README)
    assert len(found) == 2
    assert all((REPOSITORY / path).stat().st_size < 150_000 for path in found)


def test_command_that_draws_the_first_picture_stands_beside_it() -> None:
    assert "`vgt train profiles --plot profiles.png`" in README
    check_line("vgt train profiles --plot profiles.png")


def test_readme_shows_the_doctor_as_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    import pytorch_lightning as pl

    (block,) = [block for block in BLOCKS if block.page == "README.md" and block.language == "python"]
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(11):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.ones(3, 4)), torch.zeros(3, dtype=torch.int64)).backward()
            optimizer.step()

    names: dict[str, object] = {"pl": pl, "model": model, "train": train}
    names |= {"batches": [torch.ones(3, 4)] * 60, "loss": lambda model, batch: model(batch).square().mean()}
    names["optimizer"] = torch.optim.SGD(model.parameters(), 0.1)
    exec(compile(block.code, "README.md", "exec"), names)
    assert capsys.readouterr().out
    assert any(type(each).__name__ == "Doctor" for each in names["trainer"].callbacks)  # type: ignore[attr-defined]


def test_readme_says_how_the_doctor_did_at_its_newest_zoo() -> None:
    """The last one of docs/doctor.md's table of first looks."""
    newest = re.findall(r"^\| (\w+) zoo, at `", (REPOSITORY / "docs/doctor.md").read_text(), flags=re.MULTILINE)[-1]
    ours = json.loads((REPOSITORY / f"docs/doctor/{newest}.json").read_text())["ours"]
    healthy, ill = ours["false_positives"], ours["recall"]
    said = " ".join(README.split())
    assert (
        f"On {healthy['of']} healthy and {ill['of']} broken trainings that it had not seen before it found"
        f" {ill['hits'] / ill['of']:.0%} of the faults, and cried wolf in {healthy['hits'] / healthy['of']:.1%}"
    ).replace("%", " %") in said


def test_every_shell_line_has_a_language_that_says_whether_it_is_run() -> None:
    assert SHELL
    assert {block.language for block in BLOCKS} <= {"python", "sh", "bash", "text", "yaml", "json", "html"}
