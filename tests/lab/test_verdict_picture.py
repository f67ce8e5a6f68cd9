"""The picture of committed verdicts shows every claim once, with its verdict's own sign."""

from __future__ import annotations

from pathlib import Path

from vgtemplate.lab.judge import VERDICTS
from vgtemplate.lab.verdict_picture import LOOKS, draw_verdicts
from vgtemplate.lab.verdicts import committed


def test_every_claim_stands_there_once_beside_its_sign(tmp_path: Path) -> None:
    verdicts = committed("mnist")[0]
    figure = draw_verdicts(verdicts)
    texts = [text.get_text() for text in figure.axes[0].texts]
    for name in verdicts.claims:
        assert texts[texts.index(name) - 1] == LOOKS[verdicts.claims[name].verdict][1]
        assert texts.count(name) == 1
    figure.savefig(tmp_path / "drawn.png", dpi=88)
    assert (tmp_path / "drawn.png").stat().st_size < 150_000


def test_every_verdict_has_a_sign_and_a_colour_of_its_own() -> None:
    assert set(LOOKS) == set(VERDICTS)
    assert len({sign for _, sign in LOOKS.values()}) == len({colour for colour, _ in LOOKS.values()}) == len(LOOKS)
