"""What a claim can name beyond what an arm can: combinations of arms, exact checks, and the articles."""

from __future__ import annotations

from dataclasses import dataclass

from vgtemplate.config.catalogue import table
from vgtemplate.config.declared import Declared


@dataclass(frozen=True)
class CombinationRow:
    """How the metric of several arms becomes one number per seed; `arms` is the least number of arms it needs."""

    name: str
    source: str
    arms: int


COMBINATIONS = Declared(CombinationRow, "combination", "lab/effects.py")


@dataclass(frozen=True)
class CheckRow:
    """An exact check: a function without seeds, the names of the quantities it returns, in one text, the library that
    it needs beyond those of the package (where that is missing the claim is not run), and the rooms of the package
    whose source decides its numbers besides the layers', in one text."""

    name: str
    source: str
    quantities: str
    needs: str = ""
    also: str = ""


CHECKS = Declared(CheckRow, "check", "lab/checks")


@dataclass(frozen=True)
class ArticleRow:
    """One of the four articles that make the claims."""

    name: str
    source: str
    title: str


ARTICLES = table(
    ArticleRow(
        "bn-relu",
        "Analytics Vidhya, Medium, 3f1a8ace1c88",
        "How Batch Normalization and ReLU solve vanishing gradients",
    ),
    ArticleRow(
        "slow-training",
        "Towards Data Science, b5b78c142bb7",
        "Is your model training too slow? Vanishing and exploding gradients",
    ),
    ArticleRow(
        "unstable-gradients",
        "PythonLearner, cnblogs 13173560",
        "Vanishing and exploding gradients, in sum: gradient instability",
    ),
    ArticleRow(
        "causes-cures",
        "2018-09-05, reprinted from CSDN 78847691",
        "Causes of vanishing and exploding gradients in neural networks and their cures",
    ),
)
