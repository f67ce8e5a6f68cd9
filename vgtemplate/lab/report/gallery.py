"""The gallery: the articles' own figures redrawn from formulas and from what was measured. Judges nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.gallery import GalleryConfig
from vgtemplate.lab.report.gallery_batchnorm import STEPS, UNITS, draw_batchnorm
from vgtemplate.lab.report.gallery_descent import draw_loss_surface, draw_update_rule
from vgtemplate.lab.report.gallery_figures import (
    draw_derivatives,
    draw_good_range,
    draw_relu_family,
    draw_saturation,
    draw_widest_interval,
)
from vgtemplate.lab.report.gallery_networks import draw_chain, draw_learning_speed, draw_residual_unit
from vgtemplate.lab.report.html import embed, render, write_page
from vgtemplate.lab.report.places import Place
from vgtemplate.records import Record

_PAGE = "gallery.html"


@dataclass(frozen=True)
class Entry:
    """A figure with its words, and where the articles show it."""

    title: str
    caption: str
    articles: tuple[tuple[str, str], ...]
    """Key of the article, section or passage."""
    draw: Callable[[], Figure] | None
    """None where the figure waits for records."""

    @property
    def figure(self) -> Markup | None:
        """The figure, drawn now."""
        return None if self.draw is None else embed(self.draw(), self.title)

    @property
    def name(self) -> str:
        """What the figure is called in the page's address."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower())

    @property
    def place(self) -> Place:
        """Where the first page finds the figure."""
        return Place(self.title, self.caption, f"{_PAGE}#{self.name}", tuple(key for key, _ in self.articles))

    @property
    def sources(self) -> list[tuple[str, str]]:
        """Title and place of each article."""
        return [(ARTICLES[key].title, place) for key, place in self.articles]


_BEFORE = (
    Entry(
        "The loss surface and the way down",
        "Loss over the two weights of two neurons in a row, (w2 tanh(w1 x) - sin x)² averaged over 41 inputs, and the "
        "paths of gradient descent from two starting points (dots), which end in different valleys (stars).",
        (("causes-cures", "on why gradients are used"),),
        draw_loss_surface,
    ),
    Entry(
        "The update rule",
        "One sigmoid neuron, input 1, target 0, L = σ(w)² / 2; each dot is the weight after one of ten updates. Where "
        "the neuron is saturated next to no gradient is left, so that the new weight is nearly the old one.",
        (("bn-relu", "section 1.2"),),
        draw_update_rule,
    ),
    Entry(
        "Sigmoid and tanh, their derivatives, and where they saturate",
        "Shaded: derivative below a tenth of its maximum. There next to no gradient passes.",
        (("bn-relu", "section 1.3"), ("causes-cures", "on activation functions")),
        draw_saturation,
    ),
    Entry(
        "The derivatives of sigmoid, tanh and ReLU",
        "Each layer multiplies the gradient by such a number: at most 1/4, below 1, or exactly 1.",
        (("causes-cures", "on ReLU"), ("unstable-gradients", "on ReLU")),
        draw_derivatives,
    ),
    Entry(
        "The chain-rule product",
        "Four neurons in a row, and what becomes of the product when more follow: 1,000 chains, their weights and "
        "pre-activations drawn from a fixed seed.",
        (("unstable-gradients", "on the chain rule"), ("causes-cures", "on the chain rule")),
        draw_chain,
    ),
    Entry(
        "Why a sigmoid network rarely explodes",
        "A factor above 1 needs a weight above 4, and inputs within an interval that is never wider than 0.45.",
        (("unstable-gradients", "on exploding gradients"),),
        draw_widest_interval,
    ),
)
_AFTER = (
    Entry(
        "Batch normalisation and its four vectors",
        f"The {UNITS} units of a layer of a small network, after {STEPS} steps of training in NumPy: μ and σ are "
        "running estimates over the batches, γ and β are learned by gradient descent; dotted: where each begins.",
        (
            ("slow-training", "on batch normalisation"),
            ("unstable-gradients", "on batch normalisation"),
            ("causes-cures", "on BatchNorm"),
        ),
        draw_batchnorm,
    ),
    Entry(
        "ReLU and its relatives",
        "All but ReLU pass a gradient where the pre-activation is negative.",
        (("slow-training", "on non-saturating activations"), ("causes-cures", "on Leaky ReLU and ELU")),
        draw_relu_family,
    ),
    Entry(
        "The residual unit",
        "The gradient comes down the shortcut unchanged, and through the branch in addition.",
        (("causes-cures", "on residual networks"), ("unstable-gradients", "on residual networks")),
        draw_residual_unit,
    ),
)
"""The figures from formulas, in the order of the articles' argument, before and after those of measured networks."""


def _ratios(records: Mapping[str, Record]) -> str:
    """Say how the ends of each network compare in the first and in the last epoch, medians over the seeds."""
    words = []
    for name, record in records.items():
        norms = np.asarray(record.series["bias_grad_norm"], dtype=np.float64)
        first, last = np.median(norms[:, :, -1] / norms[:, :, 0], axis=0)[[0, -1]]
        words.append(f"with {name} the last learns {first:.3g} times as fast as the first, at the end {last:.3g}")
    return "; ".join(words)


def _learning_speed(records: Mapping[str, Record]) -> Entry:
    caption = "Norm of the gradient of each layer's biases over 500 epochs"
    return Entry(
        "How fast the hidden layers learn",
        f"{caption}: {_ratios(records)}." if records else f"{caption}.",
        (("causes-cures", "on two and four hidden layers"), ("unstable-gradients", "on four hidden layers")),
        (lambda: draw_learning_speed(records)) if records else None,
    )


def _good_range(records: Mapping[str, Record], claim: str | None) -> Entry:
    saturated = {
        name: float(np.median(record.probe("saturated_fraction").mean(axis=1))) for name, record in records.items()
    }
    by = f" (share measured by claim {claim})" if claim else ""
    return Entry(
        "The good range of the sigmoid under batch normalisation",
        "Normalised pre-activations, before the learned scale and shift, lie where the sigmoid is steep; without "
        f"normalisation weights from N(0, 1) drive them out of it{by}.",
        (("bn-relu", "section 2.1, figure 2"),),
        lambda: draw_good_range(saturated),
    )


def entries(gallery: GalleryConfig, records: Mapping[str, Mapping[str, Record]]) -> list[Entry]:
    """Return the gallery, in the order of the articles' argument.

    Args:
        records: a field of `gallery` to what the figure calls an arm to its record, those that there are.
    """
    speed, good_range = (
        {name: record for name, record in records.get(figure, {}).items() if series in record.series}
        for figure, series in (("learning_speed", "bias_grad_norm"), ("good_range", "saturated_fraction"))
    )
    claim = gallery.good_range.experiment if gallery.good_range else None
    return [*_BEFORE, _learning_speed(speed), _good_range(good_range, claim), *_AFTER]


def write_gallery(folder: Path, gallery: GalleryConfig, records: Mapping[str, Mapping[str, Record]]) -> Path:
    """Write gallery.html into `folder` as `write_page` does, and return its path; arguments as in `entries`."""
    drawn = [record for of_figure in records.values() for record in of_figure.values()]
    datasets = sorted({str(record.dataset.get("name")) for record in drawn})
    text = render(_PAGE, here="gallery", entries=entries(gallery, records), datasets=datasets)
    return write_page(folder / _PAGE, text)
