"""What a built-in network is: its layers, their widths, and how their weights are drawn."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from vgtemplate.config import catalogue
from vgtemplate.config.strict import StrictModel, known

ActivationName = Annotated[str, known("activation", catalogue.ACTIVATIONS)]
InitialiserName = Annotated[str, known("initialiser", catalogue.INITIALISERS)]


_LARGEST = 1e100
"""Of a factor or a deviation of weights; beyond it the square is no number any more."""


class InitialiserConfig(StrictModel):
    """How the weights of a layer are drawn. In YAML a bare name stands for `{name: NAME}`."""

    name: InitialiserName
    """A row of the catalogue, e.g. he_normal."""
    gain: float = Field(1.0, gt=0, le=_LARGEST)
    """Factor on the drawn weights' standard deviation."""
    std: float | None = Field(None, ge=0, le=_LARGEST)
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
    norm_affine: bool = True
    """Whether the normalisation learns a scale and a shift (gamma and beta)."""
    norm_noise: bool = False
    """mlp and cnn, norm: batch: after the normalisation every unit is scaled and shifted at random, anew at each step
    of the training ("noisy" BatchNorm of Santurkar et al. 2018)."""
    residual: bool = False
    """Add each hidden layer's input to its output (identity shortcut), from the second on, where the widths agree."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability that a hidden unit is set to zero in training."""
    num_stages: int = Field(3, ge=1, le=8)
    """cnn only: the image is halved between stages of equal length."""
    output: Literal["logits", "image"] = "logits"
    """logits: one per class; image (cnn only): a convolution back to an image of the input's size, never halved."""

    @model_validator(mode="after")
    def _noise_stands_after_a_batch_norm(self) -> ModelConfig:
        if self.norm_noise and (self.norm != "batch" or self.kind == "resnet"):
            raise ValueError("norm_noise: true needs norm: batch and kind: mlp or cnn")
        return self

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
        fixed = {"norm_position": "before", "norm_affine": True, "dropout": 0.0, "num_stages": 3, "output": "logits"}
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
