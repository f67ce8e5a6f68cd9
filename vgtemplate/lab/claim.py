"""What a claim is: a statement, the arms that test it, the conditions that must hold, and what is searched for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.own import check_path, check_takes, is_own
from vgtemplate.config.strict import Count, Slug, StrictModel, known, require
from vgtemplate.lab.catalogue import ARTICLES, CHECKS, COMBINATIONS
from vgtemplate.lab.threshold import read_threshold

MetricName = Annotated[str, Field(min_length=1)]
CombinationName = Annotated[str, known("combination", COMBINATIONS)]
ArticleName = Annotated[str, known("article", ARTICLES)]
CheckName = Annotated[str, known("check", CHECKS)]
Decided = Annotated[str, known("verdict", ("confirmed", "refuted"))]


def _readable(threshold: str) -> str:
    read_threshold(threshold)
    return threshold


Threshold = Annotated[str, AfterValidator(_readable)]


def _require_metric(name: str) -> None:
    """Raise a ValueError unless a metric is in the catalogue, or a function of one's own that takes a record."""
    if not is_own(name):
        require("metric", name, catalogue.METRICS)
        return
    try:
        check_takes("metric", check_path(name), "record")
    except UserError as error:
        raise ValueError(str(error)) from None


class PartConfig(StrictModel):
    """One condition of a claim: a number per seed, and the threshold it must clear."""

    role: Literal["assertion", "premise"] = "assertion"
    """assertion: what the article says; premise: the situation it speaks of, without which nothing is tested."""
    metric: MetricName
    """A row of the catalogue's metrics, or `module:name` of one's own, a record to one number per seed; in an exact
    claim, a quantity of its check."""
    arms: list[Slug] = []
    """The arms it is computed from, in the order the combination reads them."""
    combine: CombinationName = "only"
    """How several arms' values become one number."""
    options: dict[str, Count] = {}
    """Options of the metric: the numbers of layers, from 1."""
    threshold: Threshold
    """What the effect must clear, e.g. '< -0.3'; fixed by the register."""
    label: str | None = None
    """How the part is named in the table; none: made of metric and arms."""

    @property
    def title(self) -> str:
        """Name the part for people."""
        if self.label:
            return self.label
        how = "" if self.combine == "only" else f" {self.combine}"
        return f"{self.metric}{how}" + (f" ({', '.join(self.arms)})" if self.arms else "")


class SearchConfig(StrictModel):
    """A search on tuning seeds for settings that the register leaves open; `vgt tune` runs it and keeps its picks."""

    arms: Annotated[list[Slug], Field(min_length=1)]
    """The arms that are given the pick."""
    trial: Slug | None = None
    """The one arm that is searched for all of them; none: each searches its own."""
    factors: dict[Slug, Annotated[float, Field(gt=0)]] = {}
    """Arms that are given a multiple of the pick, e.g. {tenth: 0.1}."""
    grid: Annotated[dict[str, Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]
    """Candidates by setting, e.g. {optimiser.lr: [0.01, 0.1]}; of several settings every combination is tried. Where
    the pick is a rate or a strength on an end of its candidates, the next one beyond is tried too."""
    metric: MetricName = "validation_loss"
    """What is compared: its median over the tuning seeds. Of steps_to_loss, where no candidate reaches the loss, the
    validation loss."""
    first: Annotated[Threshold, Field(pattern=r"^[<>]")] | None = None
    """Pick the first candidate whose median clears this and at which no network of any of these arms diverges, those
    with a factor aside; if there is none, the one that comes closest among those without a divergence. Not given: the
    one with the smallest median."""

    @model_validator(mode="after")
    def _names_are_known(self) -> SearchConfig:
        _require_metric(self.metric)
        for arm in self.factors:
            require("arm of the search", arm, self.arms)
        if self.factors and self.trial is None:
            raise ValueError("factors go with trial, the one arm whose pick is multiplied")
        for setting in self.grid:
            _, *keys = setting.split(".")
            if not keys or not all(keys) or (len(keys) > 1 and keys[0] != "settings"):
                raise ValueError(f"grid: {setting!r} must look like section.key, e.g. optimiser.lr")
        return self


class ContradictionConfig(StrictModel):
    """A claim that says the opposite, and who is right; said of every arm whose name both claims have."""

    claim: Slug
    """The other claim."""
    metric: Annotated[str, known("metric", catalogue.METRICS)]
    """What this claim's parts measure of a single arm."""
    other_metric: Annotated[str, known("metric", catalogue.METRICS)]
    """What the other claim's parts measure of the arm of the same name."""
    sentences: dict[Decided, dict[Decided, str]]
    """Who is right: by the verdict of this claim's part, then by that of the other's. Seeds that disagree decide
    nothing."""


Setting = Literal["quick", "full", "short"]
"""quick: the register's standard quick setting; full: its full setting; short: the quick one, and for claims that it
does not cover fewer images and steps than the full one; meant for fewer seeds."""


class FullConfig(StrictModel):
    """How the full setting differs: the register's 60,000 images, 5 epochs, and what a claim's line says."""

    base: Slug | None = None
    """The YAML file that every arm starts from instead of the claim's `base`."""
    arms: dict[Slug, dict[str, Any]] = {}
    """Settings of single arms beyond their own."""


class ClaimConfig(ExperimentConfig):
    """A statement of the articles and the experiment that tests it."""

    id: Slug
    """The register's name; also the file's."""
    articles: list[ArticleName]
    """The articles that make the statement; none: the claim is one's own."""
    sections: dict[ArticleName, str] = {}
    """Where in an article, if it has numbered sections."""
    statement: str = Field(min_length=1)
    """The claim in our words."""
    kind: Literal["exact", "timing", "initial", "training"]
    """exact, timing: no seeds; initial: judged at initialisation; training: judged after training."""
    check: CheckName | None = None
    """exact, timing only: a row of the catalogue's checks."""
    parts: Annotated[list[PartConfig], Field(min_length=1)]
    """The conditions; all must hold."""
    full: FullConfig | None = None
    """The full setting; none: as the quick one (nothing is trained, or the claim's line fixes images and steps)."""
    only_full: bool = False
    """The register asks for the full setting; what the arms say is then meant for it."""
    short: dict[str, Any] = {}
    """Settings of every arm in the short setting, beyond those of the quick one."""
    search: list[SearchConfig] = []
    """What has to be found on tuning seeds before the claim can be judged."""
    literature: str = Field(min_length=1)
    """What published work leads one to expect; never used by the judge."""
    published: dict[str, float] = {}
    """Published values of a part's effect, by label, printed beside ours."""
    contradicts: ContradictionConfig | None = None
    """Another claim that cannot be right together with this one, and what the report says of the two."""

    @model_validator(mode="after")
    def _parts_fit_the_arms(self) -> ClaimConfig:
        if (self.kind in ("exact", "timing")) != (self.check is not None):
            raise ValueError("a claim of kind exact or timing names its check, and no other does")
        for index, part in enumerate(self.parts):
            try:
                self._check_part(part)
            except ValueError as error:
                raise ValueError(f"parts.{index}: {error}") from None
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> ClaimConfig:
        for article in self.sections:
            require("article of the claim", article, self.articles)
        searched = [arm for search in self.search for arm in search.arms]
        trials = [search.trial for search in self.search if search.trial]
        for arm in [*(self.full.arms if self.full else ()), *searched, *trials]:
            require("arm", arm, self.arms)
        if len(set(searched)) < len(searched):
            raise ValueError("search: an arm can be given one pick only")
        return self

    @property
    def needs_arms(self) -> bool:
        """Whether there is nothing to judge without an arm: an exact claim has its check."""
        return self.check is None

    def _check_part(self, part: PartConfig) -> None:
        if self.check is not None:
            require(f"quantity of check {self.check}", part.metric, CHECKS[self.check].quantities.split())
            if part.arms or part.options or part.combine != "only":
                raise ValueError("a part of an exact claim has no arms, options or combination")
            return
        _require_metric(part.metric)
        for arm in part.arms:
            require("arm", arm, self.arms)
        for option in part.options:
            options = () if is_own(part.metric) else catalogue.METRICS[part.metric].options
            require(f"option of {part.metric}", option, options)
        least = COMBINATIONS[part.combine].arms
        exactly = part.combine in {"only", "difference", "ratio", "share_of_gain"}
        if len(part.arms) < least or (exactly and len(part.arms) != least):
            raise ValueError(
                f"combination {part.combine!r} takes {'' if exactly else 'at least '}{least} arms, not {len(part.arms)}"
            )
