"""The gallery: the articles' own figures redrawn from formulas and from what was measured. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.report.gallery_figures import (
    draw_derivatives,
    draw_good_range,
    draw_relu_family,
    draw_saturation,
    draw_widest_interval,
)
from vgtemplate.lab.report.gallery_networks import draw_chain, draw_learning_speed, draw_residual_unit
from vgtemplate.lab.report.html import embed, render
from vgtemplate.lab.report.page import write_page
from vgtemplate.records import Record

UNSATURATES = "batchnorm-unsaturates"
WITHOUT_BN = "sigmoid-plain"
"""The arm of that claim whose saturated share is drawn."""
_SPEED_TITLES = {"two": "two hidden layers", "four": "four hidden layers"}


@dataclass(frozen=True)
class Entry:
    """A figure with its words, and where the articles show it."""

    title: str
    caption: str
    articles: Sequence[tuple[str, str]]
    """Key of the article, section or passage."""
    figure: Markup | None
    command: str = ""
    """What makes the records that a missing figure waits for."""

    @property
    def sources(self) -> list[tuple[str, str]]:
        """Title and place of each article."""
        return [(ARTICLES[key].title, place) for key, place in self.articles]


def _entry(
    title: str, caption: str, articles: Sequence[tuple[str, str]], figure: Figure | None, command: str = ""
) -> Entry:
    return Entry(title, caption, articles, None if figure is None else embed(figure, title), command)


def _saturated(record: Record | None) -> float | None:
    """Return the measured share of saturated pre-activations, the median over the seeds."""
    if record is None or "saturated_fraction" not in record.series:
        return None
    return float(np.median(record.probe("saturated_fraction").mean(axis=1)))


def _ratios(records: Mapping[str, Record]) -> str:
    """Say how the ends of each network compare in the first and in the last epoch, medians over the seeds."""
    words = []
    for name, record in records.items():
        norms = np.asarray(record.series["bias_grad_norm"], dtype=np.float64)
        first, last = np.median(norms[:, :, -1] / norms[:, :, 0], axis=0)[[0, -1]]
        words.append(f"with {name} the last learns {first:.3g} times as fast as the first, at the end {last:.3g}")
    return "; ".join(words)


def entries(records: Mapping[str, Record]) -> list[Entry]:
    """Return the gallery, in the order of the articles' argument.

    Args:
        records: arm to record: `two` and `four` of the experiment learning-speed, `sigmoid-plain` of the claim
            batchnorm-unsaturates; those that are missing leave a place with the command that makes them.
    """
    speeds = {title: records[arm] for arm, title in _SPEED_TITLES.items() if arm in records}
    return [
        _entry(
            "Sigmoid and tanh, their derivatives, and where they saturate",
            "Shaded: derivative below a tenth of its maximum. There next to no gradient passes.",
            [("bn-relu", "section 1.3"), ("causes-cures", "on activation functions")],
            draw_saturation(),
        ),
        _entry(
            "The derivatives of sigmoid, tanh and ReLU",
            "Each layer multiplies the gradient by such a number: at most 1/4, below 1, or exactly 1.",
            [("causes-cures", "on ReLU"), ("unstable-gradients", "on ReLU")],
            draw_derivatives(),
        ),
        _entry(
            "The chain-rule product",
            "Four neurons in a row, and what becomes of the product when more follow: 1,000 chains, their weights and "
            "pre-activations drawn from a fixed seed.",
            [("unstable-gradients", "on the chain rule"), ("causes-cures", "on the chain rule")],
            draw_chain(),
        ),
        _entry(
            "Why a sigmoid network rarely explodes",
            "A factor above 1 needs a weight above 4, and inputs within an interval that is never wider than 0.45.",
            [("unstable-gradients", "on exploding gradients")],
            draw_widest_interval(),
        ),
        _entry(
            "How fast the hidden layers learn",
            f"Norm of the gradient of each layer's biases over 500 epochs: {_ratios(speeds)}."
            if speeds
            else "Norm of the gradient of each layer's biases over 500 epochs.",
            [("causes-cures", "on two and four hidden layers"), ("unstable-gradients", "on four hidden layers")],
            draw_learning_speed(speeds) if speeds else None,
            "make reproduce",
        ),
        _entry(
            "The good range of the sigmoid under batch normalisation",
            "Normalised pre-activations, before the learned scale and shift, lie where the sigmoid is steep; without "
            "normalisation weights from N(0, 1) drive them out of it (share measured by claim batchnorm-unsaturates).",
            [("bn-relu", "section 2.1, figure 2")],
            draw_good_range(_saturated(records.get(WITHOUT_BN))),
        ),
        _entry(
            "ReLU and its relatives",
            "All but ReLU pass a gradient where the pre-activation is negative.",
            [("slow-training", "on non-saturating activations"), ("causes-cures", "on Leaky ReLU and ELU")],
            draw_relu_family(),
        ),
        _entry(
            "The residual unit",
            "The gradient comes down the shortcut unchanged, and through the branch in addition.",
            [("causes-cures", "on residual networks"), ("unstable-gradients", "on residual networks")],
            draw_residual_unit(),
        ),
    ]


def write_gallery(folder: Path, records: Mapping[str, Record]) -> Path:
    """Write gallery.html into `folder`, whole or not at all, and return its path.

    Raises:
        UserError: the folder cannot be written.
    """
    datasets = sorted({str(record.dataset.get("name")) for record in records.values()})
    text = render("gallery.html", here="gallery", entries=entries(records), datasets=datasets)
    return write_page(folder / "gallery.html", text)
