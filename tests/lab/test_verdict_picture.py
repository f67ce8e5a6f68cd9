"""The picture of committed verdicts shows every claim once, with its verdict's own sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.lab.judge import VERDICTS
from vgtemplate.lab.verdict_picture import _LOOKS, draw_verdicts
from vgtemplate.lab.verdicts import committed


def test_every_claim_stands_there_once_beside_its_sign(tmp_path: Path) -> None:
    verdicts = committed("mnist")[0]
    figure = draw_verdicts(verdicts)
    texts = [text.get_text() for text in figure.axes[0].texts]
    for name in verdicts.claims:
        assert texts[texts.index(name) - 1] == _LOOKS[verdicts.claims[name].verdict][1]
        assert texts.count(name) == 1
    figure.savefig(tmp_path / "drawn.png", dpi=88)
    assert (tmp_path / "drawn.png").stat().st_size < 150_000


def test_every_verdict_has_a_sign_and_a_colour_of_its_own() -> None:
    assert set(_LOOKS) == set(VERDICTS)
    assert len({sign for _, sign in _LOOKS.values()}) == len({colour for colour, _ in _LOOKS.values()}) == len(_LOOKS)


@pytest.mark.parametrize("kind", ["protan", "deutan", "tritan"])
def test_colours_of_decided_verdicts_are_told_apart_by_those_who_see_fewer(kind: str) -> None:
    """Machado et al. 2009, severity 1; distances in linear RGB."""
    matrices = {
        "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
        "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    }

    def seen(colour: str) -> tuple[float, ...]:
        rgb = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        return tuple(sum(a * b for a, b in zip(row, rgb, strict=True)) for row in matrices[kind])

    confirmed, refuted = (seen(_LOOKS[word][0]) for word in VERDICTS[:2])
    assert sum((a - b) ** 2 for a, b in zip(confirmed, refuted, strict=True)) ** 0.5 > 0.15
