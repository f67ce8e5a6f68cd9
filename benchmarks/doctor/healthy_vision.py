"""Healthy networks of torchvision, random weights, small pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, grid
from benchmarks.doctor.losses import classify

CLASSES = 4


def resnet() -> nn.Module:
    """ResNet-18 as it is."""
    from torchvision.models import resnet18

    return resnet18(num_classes=CLASSES)


def small_resnet(zero: bool = False, group: bool = False) -> nn.Module:
    """Four residual blocks; with zero-initialised last gammas or group norm if asked."""
    from torchvision.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, [1, 1, 1, 1], CLASSES, zero, norm_layer=partial(nn.GroupNorm, 8) if group else None)


def vgg(norm: bool) -> nn.Module:
    """VGG's features, narrow, with a small head."""
    from torchvision.models.vgg import VGG, make_layers

    net = VGG(make_layers([16, "M", 32, "M", 32, 32, "M", 64, 64, "M"], norm), CLASSES, init_weights=True)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Linear(64, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, CLASSES))
    return net


def mobilenet_two() -> nn.Module:
    """MobileNetV2 of three stages, half as wide."""
    from torchvision.models import MobileNetV2

    return MobileNetV2(CLASSES, 0.5, [[1, 16, 1, 1], [4, 24, 2, 2], [4, 32, 1, 2]], dropout=0.0)


def mobilenet_three() -> nn.Module:
    """MobileNetV3 of three blocks."""
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

    block = partial(InvertedResidualConfig, dilation=1, width_mult=1.0)
    setting = [
        block(16, 3, 16, 16, True, "RE", 2),
        block(16, 3, 48, 24, False, "RE", 2),
        block(24, 5, 64, 24, True, "HS", 1),
    ]
    return MobileNetV3(setting, 64, CLASSES, dropout=0.0)


def efficientnet() -> nn.Module:
    """EfficientNet of four stages."""
    from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig

    setting = [
        FusedMBConvConfig(1, 3, 1, 16, 16, 1),
        MBConvConfig(4, 3, 2, 16, 24, 2),
        MBConvConfig(4, 5, 2, 24, 32, 1),
    ]
    return EfficientNet(setting, dropout=0.1, stochastic_depth_prob=0.05, num_classes=CLASSES, last_channel=64)


def convnext() -> nn.Module:
    """ConvNeXt of two stages; its layer scale starts at 1e-6."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(24, 48, 2), CNBlockConfig(48, None, 2)], num_classes=CLASSES)


def densenet() -> nn.Module:
    """DenseNet of three short blocks."""
    from torchvision.models import DenseNet

    return DenseNet(8, (2, 2, 2), 16, num_classes=CLASSES)


def vit() -> nn.Module:
    """A vision transformer; torchvision starts its head at zero."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=CLASSES)


def swin(two: bool = False) -> nn.Module:
    """A Swin transformer of two stages."""
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

    more = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2} if two else {}
    return SwinTransformer([4, 4], 24, [1, 1], [2, 4], [4, 4], num_classes=CLASSES, stochastic_depth_prob=0.0, **more)


def shufflenet() -> nn.Module:
    """ShuffleNetV2, narrow."""
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([1, 2, 1], [12, 24, 48, 96, 128], CLASSES)


def squeezenet() -> nn.Module:
    """SqueezeNet 1.1 without its dropout."""
    from torchvision.models import squeezenet1_1

    return squeezenet1_1(num_classes=CLASSES, dropout=0.0)


def regnet() -> nn.Module:
    """A small RegNet with squeeze and excitation."""
    from torchvision.models.regnet import BlockParams, RegNet

    return RegNet(
        BlockParams([1, 1, 1, 1], [16, 24, 32, 48], [8] * 4, [1.0] * 4, [2] * 4, 0.25), CLASSES, stem_width=16
    )


def alexnet() -> nn.Module:
    """AlexNet's shape for small pictures: no norm, dropout in the head."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 5, 2, 2), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(True),
        nn.MaxPool2d(2), nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(True), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(768, 64), nn.ReLU(True), nn.Linear(64, CLASSES),
    )  # fmt: skip


def _cases(name: str, net: Callable[[], nn.Module], rates: dict[str, float], steps: int = 40) -> list[Case]:
    return grid(f"torchvision-{name}", "torchvision", net, data.pictures, classify, rates, steps)


CASES: list[Case] = [
    *_cases("resnet18", resnet, {"sgd": 0.01}, 12),
    *_cases("resnet-small", small_resnet, {"sgd": 0.02, "adam": 1e-3, "rmsprop": 1e-4}, 20),
    *_cases("resnet-zero-gamma", partial(small_resnet, True), {"sgd": 0.02, "adamw": 1e-3}, 20),
    *_cases("resnet-group-norm", partial(small_resnet, False, True), {"sgd": 0.01, "adam": 1e-3}, 20),
    *_cases("vgg-bn", partial(vgg, True), {"sgd": 0.02, "adam": 1e-3}),
    *_cases("vgg", partial(vgg, False), {"adam": 1e-3}),
    *_cases("mobilenet-v2", mobilenet_two, {"sgd": 0.03, "adam": 3e-3}),
    *_cases("mobilenet-v3", mobilenet_three, {"adam": 3e-3, "rmsprop": 1e-3}),
    *_cases("efficientnet", efficientnet, {"sgd": 0.05, "adam": 2e-3}),
    *_cases("convnext", convnext, {"adamw": 2e-3, "adam": 4e-3}),
    *_cases("densenet", densenet, {"sgd": 0.05, "adam": 2e-3}),
    *_cases("vit", vit, {"adam": 1e-3, "adamw": 2e-3}, 60),
    *_cases("swin", swin, {"adamw": 2e-3}, 60),
    *_cases("swin-v2", partial(swin, True), {"adamw": 2e-3}, 60),
    *_cases("shufflenet", shufflenet, {"sgd": 0.05, "adam": 3e-3}),
    *_cases("squeezenet", squeezenet, {"adam": 5e-4}, 60),
    *_cases("regnet", regnet, {"sgd": 0.05, "adam": 2e-3}),
    *_cases("alexnet", alexnet, {"sgd": 0.03, "adam": 1e-3}),
]
