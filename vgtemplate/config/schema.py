"""What an arm is: typed settings, a text under each field, unknown keys refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from vgtemplate.config import catalogue
from vgtemplate.config.strict import StrictModel, known

ActivationName = Annotated[str, known("activation", catalogue.ACTIVATIONS)]
InitialiserName = Annotated[str, known("initialiser", catalogue.INITIALISERS)]
DatasetName = Annotated[str, known("data set", catalogue.DATASETS, "auto")]


class InitialiserConfig(StrictModel):
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


class ModelConfig(StrictModel):
    """The network: a stack of `depth` hidden layers and a linear output layer."""

    kind: Literal["mlp", "cnn", "resnet"] = "mlp"
    """mlp: fully connected layers; cnn: 3x3 convolutions, global average pooling; resnet: the CIFAR networks of He et
    al. 2016, blocks of two convolutions in three stages, with shortcuts if `residual`."""
    depth: int = Field(4, ge=1, le=10_000)
    """Number of hidden layers; resnet: of layers with weights, the output among them: 2, 8, 14, 20, ..."""
    width: Width | Annotated[list[Width], Field(min_length=1)] = 64
    """Units (mlp) or channels (cnn) per hidden layer; a list is cycled over the layers; resnet: channels of stage 1."""
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
    output: Literal["logits", "image"] = "logits"
    """logits: one per class; image (cnn only): a convolution back to an image of the input's size, never halved."""

    @model_validator(mode="after")
    def _resnet_is_the_papers(self) -> ModelConfig:
        if self.output == "image" and self.kind != "cnn":
            raise ValueError("output: image needs kind: cnn")
        if self.kind != "resnet":
            return self
        if self.depth % 6 != 2:
            below = max(2, (self.depth - 2) // 6 * 6 + 2)
            raise ValueError(f"depth {self.depth} of a resnet must be 6n + 2, e.g. {below} or {below + 6}")
        if not isinstance(self.width, int):
            raise ValueError("width of a resnet is one number: the channels of its first stage, doubled at each stage")
        fixed = {"norm_position": "before", "dropout": 0.0, "num_stages": 3, "output": "logits"}
        for name, value in fixed.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} of a resnet is always {value}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _usual_initialiser(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("initialiser") is None:
            name = data.get("activation", "relu")
            row = catalogue.ACTIVATIONS.get(name) if isinstance(name, str) else None
            return {**data, "initialiser": row.initialiser if row else "glorot_normal"}
        return data

    def widths(self) -> list[int]:
        """Return the width of each hidden layer: `depth` of them, in a resnet one less."""
        if self.kind == "resnet":
            assert isinstance(self.width, int)
            layers_per_stage = (self.depth - 2) // 3
            return [self.width, *(self.width * 2**stage for stage in range(3) for _ in range(layers_per_stage))]
        cycle = [self.width] if isinstance(self.width, int) else self.width
        return [cycle[index % len(cycle)] for index in range(self.depth)]

    def strides(self) -> list[int]:
        """Return the stride of each hidden layer: 2 where a stage begins that halves the image, else 1."""
        widths = self.widths()
        if self.kind == "resnet":
            return [1, *(1 + (width > before) for before, width in pairwise(widths))]
        stages = self.num_stages if self.kind == "cnn" and self.output == "logits" else 1
        starts = {self.depth * stage // stages for stage in range(1, stages)} - {0}
        return [2 if index in starts else 1 for index in range(self.depth)]


class DataConfig(StrictModel):
    """The images a network is trained and tested on."""

    dataset: DatasetName = "auto"
    """A row of the catalogue; auto: mnist if present or fetchable, else digits."""
    path: str | None = None
    """image_folder only (catalogue: needs_path): the folder that holds train/ and test/."""
    num_train: Count = 10_000
    """Number of training images, the first of the official split; less if the data set has fewer."""
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


class TrainingConfig(StrictModel):
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


class ArmConfig(StrictModel):
    """One network with its data and its training: the unit that is trained, keyed and recorded."""

    model: ModelConfig = ModelConfig.model_validate({})
    """The network."""
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

    @model_validator(mode="after")
    def _settings_go_together(self) -> ArmConfig:
        model, data, training = self.model, self.data, self.training
        is_image = model.output == "image"
        plain = model.kind == "mlp" and model.norm == "none" and not model.residual and model.bias != "none"
        if training.validate_every is not None and not data.num_validation:
            raise ValueError("training.validate_every needs data.num_validation above 0")
        if is_image != (training.noise > 0):
            raise ValueError("training.noise above 0 goes with model.output: image, and is required there")
        if is_image and data.scaling != "unit":
            raise ValueError("model.output: image needs data.scaling: unit, the range that the PSNR is relative to")
        if is_image and (training.evaluate_train or training.stop_accuracy is not None):
            raise ValueError("model.output: image has no accuracy to measure or to stop at")
        if self.pretraining.kind != "none" and not (plain and model.activation == "sigmoid"):
            raise ValueError(
                "pretraining needs a plain mlp of sigmoid units with biases (model.kind, norm, residual, activation)"
            )
        if model.norm == "batch" and data.batch_size == 1:
            raise ValueError("model.norm: batch needs data.batch_size above 1")
        return self
