"""What an arm is: typed settings, a text under each field, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from vgtemplate.config import catalogue
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.own import CodePath, Factory, PlainSettings, named_or_own
from vgtemplate.config.strict import MOST, Count, StrictModel, known

OWN_DATA = "own"
"""What `data.dataset` is where `data.factory` makes the data."""
DatasetName = Annotated[str, known("data set", catalogue.DATASETS, "auto", OWN_DATA)]


class DataConfig(StrictModel):
    """The images a network is trained and tested on."""

    dataset: DatasetName = "auto"
    """A row of the catalogue; auto: mnist if present or fetchable, else digits; own: what `factory` makes."""
    factory: CodePath | None = None
    """Data of one's own: `module:name` of what makes arrays, torch Datasets or a LightningDataModule."""
    settings: PlainSettings = Field(default_factory=dict)
    """Its keyword arguments."""
    path: str | None = None
    """image_folder only (catalogue: needs_path): the folder that holds train/ and test/."""
    num_train: Count = 10_000
    """Number of training images, the first of the official split; less if the data set has fewer. Of data of one's
    own (`factory`): all, unless given."""
    draw: Literal["first", "per_seed"] = "first"
    """Which images of the training split, without those held out: the first, the same for every seed; or per_seed:
    each seed draws its own. They are scaled by the statistics of all that was drawn from."""
    num_validation: int = Field(0, ge=0, le=MOST)
    """Images held out from the end of the official training split."""
    num_test: Count | None = None
    """Number of test images, the first of the official split; none: all."""
    scaling: Literal["standardise", "unit"] = "standardise"
    """standardise: mean 0 and deviation 1 per channel over the training images; unit: [0, 1]."""
    batch_size: Count = 128
    """Images a replica sees in one step; an epoch's last incomplete batch is left out."""
    augment: Literal["none", "crop_flip"] = "none"
    """crop_flip: each training image is padded by 4 pixels, cropped at random to its size, mirrored half the time."""

    @model_validator(mode="before")
    @classmethod
    def _a_factory_is_a_data_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("factory") is not None:
            # Of one's own data all are meant, unless a number is given.
            return {"dataset": OWN_DATA, "num_train": MOST, **data}
        return data

    @model_validator(mode="after")
    def _a_factory_stands_alone(self) -> DataConfig:
        if (self.dataset == OWN_DATA) != (self.factory is not None):
            raise ValueError("data.factory goes with data.dataset: own, and is required there")
        if self.settings and self.factory is None:
            raise ValueError("data.settings are the keyword arguments of data.factory, which is missing")
        return self

    @property
    def own(self) -> Factory | None:
        """What makes data of one's own, with its settings."""
        return None if self.factory is None else Factory(factory=self.factory, settings=self.settings)

    @model_validator(mode="after")
    def _path_belongs_to_a_data_set_that_needs_one(self) -> DataConfig:
        takers = [row.name for row in catalogue.DATASETS.values() if row.needs_path]
        if (self.dataset in takers) != (self.path is not None):
            raise ValueError(f"data.path goes with data.dataset: {' or '.join(takers)}, and is required there")
        return self


class OptimiserConfig(StrictModel):
    """The update rule."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """torch.optim's rule of that name."""
    lr: float = Field(0.1, ge=0)
    """Learning rate."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Heavy-ball momentum; sgd only."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty (sgd, adam) or decoupled decay (adamw)."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """Of the learning rate. step: a tenth from half of the steps on, a hundredth from three quarters on (He et al.
    2016, scaled to the run); cosine: down to 0 (Loshchilov & Hutter 2017)."""
    warm_up: int = Field(0, ge=0, le=MOST)
    """Number of first steps over which the learning rate rises from 0 in proportion."""
    l1: float = Field(0.0, ge=0)
    """L1 penalty: this times the sum of the absolute weights is added to a replica's loss; biases are free."""

    @model_validator(mode="after")
    def _momentum_belongs_to_sgd(self) -> OptimiserConfig:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"optimiser {self.name!r} takes no momentum (its betas are torch's defaults)")
        return self


class ClippingConfig(StrictModel):
    """What is done to each replica's gradient before the update."""

    kind: Literal["none", "norm", "value"] = "none"
    """norm: scale the replica's whole gradient down to the threshold; value: clamp each entry."""
    threshold: float = Field(1.0, gt=0)
    """Largest norm, or largest absolute entry."""


class PretrainingConfig(StrictModel):
    """Unsupervised training of the hidden layers, one after the other from the input, before the training proper."""

    kind: Literal["none", "rbm", "autoencoder"] = "none"
    """rbm: restricted Boltzmann machines by CD-1; autoencoder: denoising autoencoders with tied weights."""
    steps: Count = 500
    """Number of updates per layer."""
    lr: float = Field(0.1, gt=0)
    """Learning rate of plain SGD."""
    corruption: float = Field(0.3, ge=0, lt=1)
    """autoencoder only: share of a layer's inputs that is set to zero before it is reconstructed."""


LOSS_WINDOW = 20
"""Steps over which the training loss is averaged before it is compared with `stop_loss`."""


REGRESSION = ("mean_squared_error", "l1", "huber")
LOSSES = ("cross_entropy", "binary_cross_entropy", *REGRESSION)
SCORES = ("auto", "none", "accuracy", "r2", "mean_absolute_error")
LARGEST_IS_BEST = ("accuracy", "r2")
"""Scores by which the best of several validations is told; else it is told by the loss."""


class TrainingConfig(StrictModel):
    """How long and how exactly the network is trained."""

    steps: Count = 500
    """Number of updates; ignored where `epochs` is given. Of a `module` with several optimisers: of all of them."""
    epochs: Count | None = None
    """Number of passes over the training images, instead of `steps`."""
    accumulate: Count = 1
    """Number of batches whose mean gradient makes one update."""
    loss: Annotated[str, named_or_own("loss", LOSSES)] = "cross_entropy"
    """cross_entropy: softmax; binary_cross_entropy: sigmoid outputs against one-hot, summed over classes; for targets
    that are numbers mean_squared_error, l1, huber; or `module:name` of one's own, (outputs, targets) to a scalar."""
    score: Annotated[str, named_or_own("score", SCORES)] = "auto"
    """What is reported beside the loss: accuracy, r2, mean_absolute_error, none, or `module:name` of one's own,
    (outputs, targets) to a scalar, averaged over batches. auto: accuracy or r2 as the loss has it; none for an own."""
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's name of the floating-point precision. 16-mixed scales the losses of all replicas by one factor: where
    the gradient of one overflows, the step is left out for all."""
    evaluate: bool = True
    """Measure the test accuracy at the end (of networks that put out images: the PSNR)."""
    evaluate_train: bool = False
    """Measure the accuracy over all training images at the end as well."""
    stop_loss: float | None = Field(None, gt=0)
    """End early, once every replica's training loss, averaged over 20 steps, has fallen to this."""
    stop_accuracy: float | None = Field(None, gt=0, le=1)
    """A replica is done once its accuracy over all training images, looked at each epoch, has risen to this."""
    noise: float = Field(0.0, ge=0)
    """model.output: image only: deviation of the Gaussian noise that the network has to remove from its input."""
    validate_every: Count | None = None
    """Measure the validation loss every so many steps; none: only at the end, if images are held out."""

    @property
    def score_name(self) -> str:
        """How the series of the score are named; "" where there is none."""
        if self.score == "auto":
            by_loss = "r2" if self.loss in REGRESSION else "accuracy"
            return by_loss if self.loss in LOSSES else ""
        return "" if self.score == "none" else self.score.rpartition(":")[2].rpartition(".")[2]


class ProbeConfig(StrictModel):
    """What is measured while the network trains."""

    every: int | None = Field(None, ge=0, le=MOST)
    """Probe every so many steps, step 0 always; none: 50 probes per run; 0: no probes at all."""
    num_images: Count = 1000
    """Test images over which a dead unit is judged, before the first step and after the last."""
    shift: bool = False
    """Measure how far the distribution of each hidden layer's input moves in a step (internal covariate shift)."""
    gradient_change: bool = False
    """Measure how far a layer's gradient turns when the layers below it take their step (Santurkar et al. 2018)."""
    growth: bool = False
    """Measure at every step the norm of the whole gradient, before clipping, and that of all weights."""
    removal: bool = False
    """Measure the test accuracy without each hidden layer but the first in turn, at the end (Veit et al. 2016): mlp of
    one width only."""
    zero_gradients: bool = False
    """Count the entries of dL/dx that are exactly 0, x the input of each layer, before the first step and after the
    last: mlp of one width only."""


def _kind_of_model(value: Any) -> str:
    is_own = isinstance(value, Factory) or (isinstance(value, dict) and {"factory", "settings"} & value.keys())
    return Factory.__name__ if is_own else ModelConfig.__name__


Model = Annotated[
    Annotated[ModelConfig, Tag("ModelConfig")] | Annotated[Factory, Tag("Factory")], Discriminator(_kind_of_model)
]
BESIDE_MODULE = ("model", "optimiser", "clipping", "pretraining")
"""Sections that a LightningModule of one's own decides itself."""
TRAINING_BESIDE_MODULE = ("loss", "score", "noise", "stop_accuracy", "evaluate_train")
"""The same, of the settings of `training`."""


class ArmConfig(StrictModel):
    """One network with its data and its training: the unit that is trained, keyed and recorded."""

    model: Model = ModelConfig.model_validate({})
    """The network: built-in, or {factory, settings} of one's own."""
    module: Factory | None = None
    """A LightningModule of one's own, with its own loss and optimisers: {factory, settings}; instead of `model`."""
    data: DataConfig = DataConfig()
    """The images."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """The update rule."""
    clipping: ClippingConfig = ClippingConfig()
    """Gradient clipping, for each replica by itself."""
    pretraining: PretrainingConfig = PretrainingConfig()
    """What the hidden layers learn before."""
    training: TrainingConfig = TrainingConfig()
    """Length, loss and precision."""
    probes: ProbeConfig = ProbeConfig()
    """Measurements."""

    @property
    def built_in(self) -> ModelConfig | None:
        """The settings of a built-in network; None where the network is of one's own."""
        return self.model if isinstance(self.model, ModelConfig) and self.module is None else None

    @property
    def outputs_image(self) -> bool:
        """Whether the network puts out images instead of classes."""
        return self.built_in is not None and self.built_in.output == "image"

    @model_validator(mode="before")
    @classmethod
    def _a_module_decides_itself(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("module") is not None:
            training = data["training"] if isinstance(data.get("training"), dict) else {}
            given = [name for name in BESIDE_MODULE if name in data]
            given += [f"training.{name}" for name in TRAINING_BESIDE_MODULE if name in training]
            if given:
                raise ValueError(f"{', '.join(given)} cannot be given beside module, which decides that itself")
        return data

    @model_serializer(mode="wrap")
    def _without_what_a_module_decides(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        if self.module is None:
            return {name: value for name, value in content.items() if name != "module"}
        content["training"] = {
            name: value for name, value in content["training"].items() if name not in TRAINING_BESIDE_MODULE
        }
        return {name: value for name, value in content.items() if name not in BESIDE_MODULE}

    @model_validator(mode="after")
    def _settings_go_together(self) -> ArmConfig:
        data, training, is_image = self.data, self.training, self.outputs_image
        if training.validate_every is not None and not data.num_validation and data.factory is None:
            raise ValueError(
                "training.validate_every needs data.num_validation above 0, that is, images held out from the training "
                "split, e.g. data.num_validation=200; or training.validate_every=null"
            )
        if is_image != (training.noise > 0):
            raise ValueError("training.noise above 0 goes with model.output: image, and is required there")
        if is_image and data.scaling != "unit":
            raise ValueError("model.output: image needs data.scaling: unit, the range that the PSNR is relative to")
        if is_image and (training.evaluate_train or training.stop_accuracy is not None):
            raise ValueError("model.output: image has no accuracy to measure or to stop at")
        if training.score_name != "accuracy" and (training.evaluate_train or training.stop_accuracy is not None):
            raise ValueError("training.stop_accuracy and evaluate_train need training.score: accuracy")
        self._check_network(self.built_in)
        return self

    def _check_network(self, model: ModelConfig | None) -> None:
        """Raise a ValueError where other sections do not fit the built-in network, or there is none."""
        is_plain = model is not None and (model.kind, model.norm, model.residual) == ("mlp", "none", False)
        sigmoid = model is not None and is_plain and model.bias != "none" and model.activation == "sigmoid"
        if self.pretraining.kind != "none" and not sigmoid:
            raise ValueError(
                "pretraining needs a plain mlp of sigmoid units with biases (model.kind, norm, residual, activation)"
            )
        if model is not None and model.norm == "batch" and self.data.batch_size == 1:
            raise ValueError("model.norm: batch needs data.batch_size above 1")
        needing = [name for name in ("shift", "gradient_change") if getattr(self.probes, name)]
        if needing and model is None and self.module is None:
            raise ValueError(f"probes.{needing[0]} needs a built-in network, which lists its hidden layers")
        needing = [name for name in ("removal", "zero_gradients") if getattr(self.probes, name)]
        if needing and (model is None or model.kind != "mlp" or len(set(model.widths())) > 1):
            raise ValueError(f"probes.{needing[0]} needs a built-in mlp whose hidden layers have one width")
        if self.probes.removal and self.training.score_name != "accuracy":
            raise ValueError("probes.removal needs training.score: accuracy")
