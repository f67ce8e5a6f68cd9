"""A short look through the reliability suite: signals to a training, calls that fail, kills; what counts as wrong."""

from __future__ import annotations

import errno
import random
import signal
from pathlib import Path

import pytest

from benchmarks.reliability import soak, state
from benchmarks.reliability.arms import KINDS, draw_arm
from benchmarks.reliability.commands import COMMANDS
from benchmarks.reliability.processes import Ended
from benchmarks.reliability.signals import Moment, disturb, make_case, moments, spread, wrong_end
from benchmarks.reliability.tally import Tally
from vgtemplate.config.schema import ArmConfig


@pytest.mark.slow
def test_training_survives_a_signal_at_any_moment(tmp_path: Path) -> None:
    """Takes long because of its ten moments, each of which is a training that is broken off and one that goes on.

    Every hundredth: `python -m benchmarks.reliability signals`.
    """
    case = make_case(COMMANDS["train"], tmp_path / "case", anew=False)
    for moment in moments(5):
        if not moment.while_loading:
            assert disturb(case, tmp_path / "disturbed", moment) == [], str(moment)


@pytest.mark.slow
def test_kills_at_random_cost_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tally = Tally("kills", 5, tmp_path / "soak.json", {})
    soak.run(tally, tmp_path / "arms", seed=0, most=3)
    assert tally.failures == []
    assert tally.tries["records compared bit for bit"] >= 1


def test_same_seed_draws_the_same_arms_and_every_kind_is_valid() -> None:
    drawn = [draw_arm(random.Random(f"0 {number}")) for number in range(100)]
    assert drawn == [draw_arm(random.Random(f"0 {number}")) for number in range(100)]
    assert {kind for kind, _ in drawn} == set(KINDS)
    for _, arm in drawn:
        if "factory" not in {*arm.get("model", {}), *arm.get("module", {})}:
            ArmConfig.model_validate(arm)


def test_any_first_part_of_the_moments_is_spread_over_the_duration() -> None:
    assert sorted(spread(100)) == list(range(100))
    assert sorted(spread(64)[:8]) == list(range(0, 64, 8))
    assert len({(moment.share, moment.while_loading, moment.number) for moment in moments(100)}) == 250


@pytest.mark.parametrize(
    ("code", "errors", "wrong"),
    [
        (143, "plain: stopped at step 3; the same command goes on from there\n", False),
        (0, "", False),
        (130, "stopped\n", True),
        (1, "stopped\n", True),
        (-15, "", True),
        (143, "stopped\nand more\n", True),
        (143, "", True),
        (143, "Traceback (most recent call last):\nstopped\n", True),
        (None, "", True),
    ],
)
def test_what_is_a_wrong_end(code: int | None, errors: str, wrong: bool) -> None:
    assert bool(wrong_end(Ended(code, "", errors, []), Moment(0.5, False, signal.SIGTERM))) is wrong
    assert wrong_end(Ended(143, "", "stopped\n", ["17 python"]), Moment(0.5, False, signal.SIGTERM))


def test_table_and_file_say_what_was_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally("things", 1, tmp_path / "out" / "things.json", {"seed": 1})
    tally.count("one", [], "here")
    tally.count("one", [f"{errno.errorcode[28]} was no UserError"], "there")
    assert tally.end() == 1
    printed = capsys.readouterr().out
    assert "FAILED one: there: ENOSPC was no UserError" in printed
    assert "in all" in printed
    assert '"tries": {\n  "one": 2\n }' in (tmp_path / "out" / "things.json").read_text()


def test_state_of_an_empty_folder_is_empty(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert state.outcome(tmp_path) == {"records": {}, "picks": "", "sent": [], "report": False}
    (tmp_path / "results" / ("0" * 20)).mkdir()
    assert state.records(tmp_path / "results") == {"0" * 20: "damaged"}
