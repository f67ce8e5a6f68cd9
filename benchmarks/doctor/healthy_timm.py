"""Healthy networks of timm, random weights, at its smallest sizes."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, grid
from benchmarks.doctor.losses import classify

CLASSES = 4
pictures = partial(data.pictures, channels=1)


def made(name: str, **settings: Any) -> nn.Module:
    """Return timm's network for small grey pictures."""
    import timm

    return timm.create_model(name, pretrained=False, in_chans=1, num_classes=CLASSES, **settings)


def mixer(block: str = "MixerBlock") -> nn.Module:
    """Return MLP-Mixer, or the same frame with another block of timm's."""
    from timm.layers import GatedMlp, Mlp
    from timm.models import mlp_mixer

    inner = GatedMlp if block == "SpatialGatingBlock" else Mlp
    ratio = (0.5, 4.0) if block == "MixerBlock" else 4
    return mlp_mixer.MlpMixer(CLASSES, 32, 1, 8, 2, 32, ratio, getattr(mlp_mixer, block), inner)


def convmixer() -> nn.Module:
    """Return a narrow ConvMixer."""
    from timm.models.convmixer import ConvMixer

    return ConvMixer(24, 3, kernel_size=5, patch_size=4, in_chans=1, num_classes=CLASSES)


def _cases(name: str, rates: dict[str, float], steps: int = 40, **settings: Any) -> list[Case]:
    return grid(f"timm-{name}", "timm", partial(made, name, **settings), pictures, classify, rates, steps)


CASES: list[Case] = [
    *_cases("test_byobnet", {"sgd": 0.02, "adam": 2e-3}),
    *_cases("test_convnext", {"adamw": 2e-3, "adam": 1e-3}),
    *_cases("test_convnext2", {"adamw": 2e-3}),
    *_cases("test_efficientnet", {"sgd": 0.02, "adam": 2e-3}),
    *_cases("test_efficientnet_gn", {"adam": 2e-3}),
    *_cases("test_efficientnet_ln", {"adamw": 2e-3}),
    *_cases("test_efficientnet_evos", {"adam": 2e-3}),
    *_cases("test_mambaout", {"adamw": 2e-3, "adam": 1e-3}),
    *_cases("test_nfnet", {"adam": 1e-3}, 20),
    *_cases("test_resnet", {"sgd": 0.02, "adam": 2e-3}),
    *_cases("test_vit", {"rmsprop": 5e-4}, 60, img_size=32, patch_size=8),
    *_cases("test_vit2", {"adamw": 3e-3}, 60, img_size=32, patch_size=8),
    *grid("timm-mixer", "timm", mixer, pictures, classify, {"adamw": 3e-3, "adam": 2e-3}),
    *grid("timm-gmlp", "timm", partial(mixer, "SpatialGatingBlock"), pictures, classify, {"adamw": 3e-3}),
    *grid("timm-resmlp", "timm", partial(mixer, "ResBlock"), pictures, classify, {"adamw": 3e-3}),
    *grid("timm-convmixer", "timm", convmixer, pictures, classify, {"adam": 3e-3, "sgd": 0.02}, 30),
]
