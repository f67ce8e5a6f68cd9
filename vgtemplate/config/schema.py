"""What an arm, an experiment and a claim are: typed settings, a text under each field, unknown keys refused."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError


class Settings(BaseModel):
    """Settings that refuse unknown keys, silent type conversions, infinities and later changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _known(kind: str, table: Any) -> AfterValidator:
    def check(name: str) -> str:
        try:
            return catalogue.check_name(kind, name, table)
        except UserError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


def _slug(name: str) -> str:
    if not SLUG.fullmatch(name) or ".." in name:
        raise ValueError(f"{name!r} cannot be a name; allowed: lower-case letters, digits and . _ - (80 at most)")
    return name


Slug = Annotated[str, AfterValidator(_slug)]
ActivationName = Annotated[str, _known("activation", catalogue.ACTIVATIONS)]
InitialiserName = Annotated[str, _known("initialiser", catalogue.INITIALISERS)]
DatasetName = Annotated[str, _known("data set", {**catalogue.DATASETS, "auto": None})]
MetricName = Annotated[str, Field(min_length=1)]
CombinationName = Annotated[str, _known("combination", catalogue.COMBINATIONS)]
ArticleName = Annotated[str, _known("article", catalogue.ARTICLES)]
BlockName = Annotated[str, _known("variant", catalogue.BLOCKS)]
CheckName = Annotated[str, _known("check", catalogue.CHECKS)]


class InitialiserConfig(Settings):
    """How the weights of a layer are drawn. In YAML a bare name stands for `{name: NAME}`."""

    name: InitialiserName
    """A row of the catalogue, e.g. he_normal."""
    gain: float = Field(1.0, gt=0)
    """Factor on the drawn weights' standard deviation."""
    std: float | None = Field(None, ge=0)
    """Standard deviation; required by `normal`, refused by all others."""

    @model_validator(mode="after")
    def _std_belongs_to_normal(self) -> InitialiserConfig:
        needs = catalogue.INITIALISERS[self.name].needs_std
        if needs and self.std is None:
            raise ValueError(f"initialiser {self.name!r} needs a std, e.g. {{name: {self.name}, std: 1.0}}")
        if not needs and self.std is not None:
            raise ValueError(f"initialiser {self.name!r} takes no std (it follows from the fans); use gain")
        return self


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Width = Annotated[int, Field(ge=1, le=65536)]
MOST = 10**12
"""More of anything than can be trained or kept."""
Count = Annotated[int, Field(ge=1, le=MOST)]


class ModelConfig(Settings):
    """The network: a stack of `depth` hidden layers and a linear output layer."""

    kind: Literal["mlp", "cnn"] = "mlp"
    """mlp: fully connected layers; cnn: 3x3 convolutions, global average pooling."""
    depth: int = Field(4, ge=1, le=10_000)
    """Number of hidden layers."""
    width: Width | Annotated[list[Width], Field(min_length=1)] = 64
    """Units (mlp) or channels (cnn) a hidden layer; a list is cycled over the layers."""
    activation: ActivationName = "relu"
    """A row of the catalogue."""
    initialiser: Annotated[InitialiserConfig, BeforeValidator(_named)] = Field(
        default_factory=lambda: InitialiserConfig(name="he_normal")
    )
    """Weights of every layer; if not given: the activation's usual one (catalogue)."""
    bias: Literal["zeros", "normal", "pytorch_default", "none"] = "zeros"
    """zeros, N(0, 1), PyTorch's uniform default, or no biases at all."""
    norm: Literal["none", "batch", "layer"] = "none"
    """Normalisation of each hidden layer."""
    norm_position: Literal["before", "after"] = "before"
    """Whether the normalisation stands before or after the activation."""
    residual: bool = False
    """Add each hidden layer's input to its output (identity shortcut), from the second on, where the widths agree."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability that a hidden unit is set to zero in training."""
    num_stages: int = Field(3, ge=1, le=8)
    """cnn only: the image is halved between stages of equal length."""

    @model_validator(mode="before")
    @classmethod
    def _usual_initialiser(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("initialiser") is None:
            name = data.get("activation", "relu")
            row = catalogue.ACTIVATIONS.get(name) if isinstance(name, str) else None
            return {**data, "initialiser": row.initialiser if row else "glorot_normal"}
        return data

    def widths(self) -> list[int]:
        """Return the width of each of the `depth` hidden layers."""
        cycle = [self.width] if isinstance(self.width, int) else self.width
        return [cycle[index % len(cycle)] for index in range(self.depth)]


class DataConfig(Settings):
    """The images a network is trained and tested on."""

    dataset: DatasetName = "auto"
    """A row of the catalogue; auto: mnist if present or fetchable, else digits."""
    path: str | None = None
    """image_folder only: the folder that holds train/ and test/."""
    num_train: Count = 10_000
    """Number of training images, the first of the official split; less if the data set has fewer."""
    num_validation: int = Field(0, ge=0, le=MOST)
    """Images held out from the end of the official training split."""
    scaling: Literal["standardise", "unit"] = "standardise"
    """standardise: mean 0 and deviation 1 a channel over the training images; unit: [0, 1]."""
    batch_size: Count = 128
    """Images a replica sees in one step; an epoch's last incomplete batch is left out."""

    @model_validator(mode="after")
    def _path_belongs_to_image_folder(self) -> DataConfig:
        if (self.dataset == "image_folder") != (self.path is not None):
            raise ValueError("data.path goes with data.dataset: image_folder, and is required there")
        return self


class OptimiserConfig(Settings):
    """The update rule."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """torch.optim's rule of that name."""
    lr: float = Field(0.1, ge=0)
    """Learning rate."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Heavy-ball momentum; sgd only."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty (sgd, adam) or decoupled decay (adamw)."""

    @model_validator(mode="after")
    def _momentum_belongs_to_sgd(self) -> OptimiserConfig:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"optimiser {self.name!r} takes no momentum (its betas are torch's defaults)")
        return self


class ClippingConfig(Settings):
    """What is done to each replica's gradient before the update."""

    kind: Literal["none", "norm", "value"] = "none"
    """norm: scale the replica's whole gradient down to the threshold; value: clamp each entry."""
    threshold: float = Field(1.0, gt=0)
    """Largest norm, or largest absolute entry."""


class TrainingConfig(Settings):
    """How long and how exactly the network is trained."""

    steps: Count = 500
    """Number of updates; ignored where `epochs` is given."""
    epochs: Count | None = None
    """Number of passes over the training images, instead of `steps`."""
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    """cross_entropy: softmax; binary_cross_entropy: sigmoid outputs against one-hot, summed over classes."""
    precision: Literal["32-true", "64-true", "bf16-mixed"] = "32-true"
    """Lightning's name of the floating-point precision."""
    evaluate: bool = True
    """Measure the test accuracy at the end."""
    validate_every: Count | None = None
    """Measure the validation loss every so many steps; none: never."""


class ProbeConfig(Settings):
    """What is measured while the network trains."""

    every: int | None = Field(None, ge=0, le=MOST)
    """Probe each so many steps, step 0 always; none: 50 probes a run; 0: no probes at all."""
    num_images: Count = 1000
    """Test images over which a dead unit is judged."""


class ArmConfig(Settings):
    """One network with its data and its training: the unit that is trained, keyed and recorded."""

    model: ModelConfig = ModelConfig.model_validate({})
    """The network."""
    data: DataConfig = DataConfig()
    """The images."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """The update rule."""
    clipping: ClippingConfig = ClippingConfig()
    """Gradient clipping, a replica at a time."""
    training: TrainingConfig = TrainingConfig()
    """Length, loss and precision."""
    probes: ProbeConfig = ProbeConfig()
    """Measurements."""

    @model_validator(mode="after")
    def _validation_needs_images(self) -> ArmConfig:
        if self.training.validate_every is not None and not self.data.num_validation:
            raise ValueError("training.validate_every needs data.num_validation above 0")
        return self

    @model_validator(mode="after")
    def _batch_norm_needs_a_batch(self) -> ArmConfig:
        if self.model.norm == "batch" and self.data.batch_size == 1:
            raise ValueError("model.norm: batch needs data.batch_size above 1")
        return self


_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_ONE_SIDED = re.compile(rf"\s*(<=|>=|<|>)\s*{_NUMBER}\s*")
_BETWEEN = re.compile(rf"\s*between\s+{_NUMBER}\s+and\s+{_NUMBER}\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def clears(threshold: str, effect: float) -> bool:
    """Say whether a finite `effect` clears `threshold` ("< 1", ">= 2e-3", "between 1 and 2", bounds included).

    Raises:
        ValueError: the threshold cannot be read, or its bounds are infinite or in the wrong order.
    """
    between, one_sided = _BETWEEN.fullmatch(threshold), _ONE_SIDED.fullmatch(threshold)
    bounds = [float(number) for number in between.groups()] if between else [float(one_sided[2])] if one_sided else []
    if not bounds or not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
        raise ValueError(
            f"cannot read threshold {threshold!r}; allowed: '< 1', '<= 1', '> 1', '>= 1', 'between 1 and 2'"
        )
    if one_sided:
        return _OPERATORS[one_sided[1]](effect, bounds[0])
    return bounds[0] <= effect <= bounds[1]


def _readable(threshold: str) -> str:
    clears(threshold, 0.0)
    return threshold


Threshold = Annotated[str, AfterValidator(_readable)]


class PartConfig(Settings):
    """One condition of a claim: a number a seed, and the threshold it must clear."""

    metric: MetricName
    """A row of the catalogue's metrics; in an exact claim, a quantity of its check."""
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


class ExperimentConfig(Settings):
    """A set of arms to train and compare."""

    base: Slug | None = None
    """The YAML file beside this one, without .yaml, whose settings every arm starts from."""
    arms: dict[Slug, dict[str, Any]] = {}
    """Each arm: the settings in which it differs from the base; `variants` names presets."""
    notes: str = ""
    """What a reader should know: choices made, what was tried, surprises."""


class ClaimConfig(ExperimentConfig):
    """A statement of the articles and the experiment that tests it."""

    id: Slug
    """The register's name; also the file's."""
    articles: Annotated[list[ArticleName], Field(min_length=1)]
    """The articles that make the statement."""
    sections: dict[ArticleName, str] = {}
    """Where in an article, if it has numbered sections."""
    statement: str = Field(min_length=1)
    """The claim in our words."""
    kind: Literal["exact", "initial", "training"]
    """exact: no seeds; initial: judged at initialisation; training: judged after training."""
    check: CheckName | None = None
    """exact only: a row of the catalogue's checks."""
    parts: Annotated[list[PartConfig], Field(min_length=1)]
    """The conditions; all must hold."""
    literature: str = Field(min_length=1)
    """What published work leads one to expect; never used by the judge."""
    published: dict[str, float] = {}
    """Published values of a part's effect, by label, printed beside ours."""

    @model_validator(mode="after")
    def _parts_fit_the_arms(self) -> ClaimConfig:
        if (self.kind == "exact") != (self.check is not None):
            raise ValueError("an exact claim names its check, and only an exact claim does")
        for index, part in enumerate(self.parts):
            try:
                self._check_part(part)
            except (UserError, ValueError) as error:
                raise ValueError(f"parts.{index}: {error}") from None
        return self

    def _check_part(self, part: PartConfig) -> None:
        if self.check is not None:
            quantities = catalogue.CHECKS[self.check].quantities
            catalogue.check_name(f"quantity of check {self.check}", part.metric, dict.fromkeys(quantities))
            if part.arms or part.options or part.combine != "only":
                raise ValueError("a part of an exact claim has no arms, options or combination")
            return
        catalogue.check_name("metric", part.metric, catalogue.METRICS)
        for arm in part.arms:
            catalogue.check_name("arm", arm, self.arms)
        for option in part.options:
            allowed = catalogue.METRICS[part.metric].options
            catalogue.check_name(f"option of {part.metric}", option, dict.fromkeys(allowed))
        least = catalogue.COMBINATIONS[part.combine].arms
        exactly = part.combine in {"only", "difference", "ratio"}
        if len(part.arms) < least or (exactly and len(part.arms) != least):
            raise ValueError(
                f"combination {part.combine!r} takes {'' if exactly else 'at least '}{least} arms, not {len(part.arms)}"
            )
