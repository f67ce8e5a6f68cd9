"""Healthy: pictures, what is in them, and where."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import discs, pictures
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_parts import by, ce, down, named, plain
from benchmarks.doctor.fourth.data import grainy, scenes


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Return the two convolutions of a U-Net's level; their biases do nothing before the norms, as in many a U-Net."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """Two levels down and up; batches of two, whose pixels are enough for the norms."""

    def __init__(self, sides: bool = False) -> None:
        super().__init__()
        self.inc, self.down1, self.down2 = double(1, 8), double(8, 16), double(16, 16)
        self.up1, self.up2 = nn.ConvTranspose2d(16, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.dec1, self.dec2, self.outc = double(32, 16), double(16, 8), nn.Conv2d(8, 1, 1)
        self.side = nn.Conv2d(16, 1, 1) if sides else None

    def forward(self, x: Tensor) -> Any:
        one = self.inc(x)
        two = self.down1(F.max_pool2d(one, 2))
        three = self.down2(F.max_pool2d(two, 2))
        h = self.dec1(torch.cat([self.up1(three), two], 1))
        out = self.outc(self.dec2(torch.cat([self.up2(h), one], 1)))
        if self.side is None:
            return out
        return out, F.interpolate(self.side(h), scale_factor=2.0)


def overlap(logits: Tensor, mask: Tensor) -> Tensor:
    """One less the Dice coefficient."""
    p = torch.sigmoid(logits).flatten(1)
    return 1 - ((2 * (p * mask.flatten(1)).sum(1) + 1) / (p.sum(1) + mask.flatten(1).sum(1) + 1)).mean()


def dice_and_entropy(model: nn.Module, batch: Any) -> Tensor:
    """The usual sum for segmentation."""
    logits = model(batch[0])
    return F.binary_cross_entropy_with_logits(logits, batch[1]) + overlap(logits, batch[1])


def supervised_deeply(model: nn.Module, batch: Any) -> Tensor:
    """The head's loss, and less of the side's."""
    out, side = model(batch[0])
    return overlap(out, batch[1]) + 0.4 * F.binary_cross_entropy_with_logits(side, batch[1])


class NextBlock(nn.Module):
    """ConvNeXt's block, scaled by a millionth at first (facebookresearch/deit#122: 1e-6 is meant for deep ones)."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(width, width, 5, padding=2, groups=width), nn.GroupNorm(1, width)
        self.pwconv1, self.pwconv2 = nn.Conv2d(width, 4 * width, 1), nn.Conv2d(4 * width, width, 1)
        self.gamma = nn.Parameter(scale * torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Any:
        return x + self.gamma * self.pwconv2(F.gelu(self.pwconv1(self.norm(self.dwconv(x)))))


def convnext() -> nn.Module:
    """Return a stem of patches and six blocks."""
    blocks = [NextBlock(24, 1e-6) for _ in range(6)]
    return nn.Sequential(
        nn.Conv2d(3, 24, 4, 4), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 4)
    )


class Squeeze(nn.Module):
    """MobileNetV3's gate: a hard sigmoid of what the channels say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, 8, 1), nn.Conv2d(8, width, 1)

    def forward(self, x: Tensor) -> Any:
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


def mobile(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return widening, a convolution of each channel, a gate, and narrowing."""
    mid = 3 * inputs
    return nn.Sequential(
        nn.Conv2d(inputs, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.Hardswish(),
        nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False), nn.BatchNorm2d(mid), nn.ReLU6(),
        Squeeze(mid), nn.Conv2d(mid, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
    )  # fmt: skip


def mobilenet() -> nn.Module:
    """Return a small MobileNet."""
    body = [mobile(12, 16, 2), mobile(16, 24, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 32), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(32, 3)]
    return nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), nn.Hardswish(), *body, *head)


def heat_net(bias: float | None = None) -> nn.Module:
    """Return convolutions that end in a map; `bias` sets the last one's, as for the focal loss."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    if bias is not None:
        nn.init.constant_(net[-1].bias, bias)  # type: ignore[arg-type]
    return net


def centres(model: nn.Module, batch: Any) -> Any:
    """CenterNet's focal loss; the bias of -2.19 says one in ten at first (xingyizhou/CenterNet#826)."""
    p, heat = torch.sigmoid(model(batch[0])).clamp(1e-4, 1 - 1e-4), batch[1]
    found = (heat > 0.9).float()
    good = (p.log() * (1 - p) ** 2 * found).sum()
    bad = ((1 - p).log() * p**2 * (1 - heat).clamp_min(0) ** 4 * (1 - found)).sum()
    return -(good + bad) / found.sum().clamp_min(1)


def element_wise(model: nn.Module, batch: Any) -> Tensor:
    """A tenth of a heat map against a tenth; small, since it is a mean over pixels (bearpaw/pytorch-pose#43)."""
    return F.mse_loss(model(batch[0]), 0.1 * batch[1])


def summed(model: nn.Module, batch: Any) -> Tensor:
    """Density maps of a crowd times 100, summed over all pixels: thousands, and normal (dk-liang/FIDTM#39)."""
    return F.mse_loss(model(batch[0]), 100 * batch[1], reduction="sum")


class ViT(nn.Module):
    """Patches, a class token that starts at zero, and blocks with the norm first."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, d, 4, 4), nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.zeros(1, 17, d))
        nn.init.trunc_normal_(self.pos, std=0.02)
        layer = nn.TransformerEncoderLayer(d, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.encoder(x)[:, 0]))


def camera() -> nn.Module:
    """Return a network for bytes: a norm comes first and takes care of their unit."""
    return nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 16, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(16, 24, 3, 2, 1), nn.PReLU(24),
        nn.Flatten(), nn.Linear(24 * 16, 3),
    )  # fmt: skip


def grouped() -> nn.Module:
    """Return a network with group norms, for batches of two."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.Mish(), nn.Conv2d(16, 32, 3, 2, 1), nn.GroupNorm(8, 32),
        nn.Mish(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip


class Painter(nn.Module):
    """Noise away; pictures from -1 to 1, so it ends in tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1), nn.InstanceNorm2d(16), nn.ReLU(), nn.Conv2d(16, 3, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Any:
        return torch.tanh(self.body(2 * x - 1))


def perceptual(seed: int) -> Training:
    """A painter judged by what a frozen network sees; the judge is held in a list, to stay out of the painter's state."""
    model: Any = Painter()
    eye = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1)).requires_grad_(False).eval()
    model.eye = [eye]

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        out, goal = net(batch[0]), (2 * batch[1] - 1).clamp(-1, 1)
        with torch.no_grad():
            wanted = net.eye[0](goal)
        return down(optimizer, F.l1_loss(out, goal) + 0.5 * F.mse_loss(net.eye[0](out), wanted))

    return Training(model, grainy(seed), by("adam", model.parameters(), 4e-3), train_step=step)


small = partial(discs, size=2, side=32)
CASES: list[Case] = [
    plain("unet-batches-of-two", "segmentation", UNet, small, dice_and_entropy, "adam", 3e-3, 60),
    plain("unet-deep-supervision", "segmentation", partial(UNet, True), discs, supervised_deeply, "rmsprop", 2e-3, 60),
    plain("convnext-scaled-by-a-millionth", "convolutional", convnext, partial(pictures, side=16), ce, "adamw", 4e-3, 120),
    plain("mobilenet-hard-gates", "convolutional", mobilenet, scenes, ce, "sgd", 0.05, 100),
    plain("centres-focal-prior", "detection", partial(heat_net, -2.19), data.spots, centres, "adam", 5e-3, 60),
    plain("heat-map-small-loss", "detection", heat_net, data.spots, element_wise, "adam", 2e-3, 60),
    plain("crowd-summed-loss", "counting", heat_net, data.spots, summed, "adam", 2e-3, 150),
    plain("vit-class-token-from-zero", "transformers", ViT, scenes, ce, "adamw", 2e-3, 200),
    plain("bytes-into-a-norm", "convolutional", camera, data.bytes_, ce, "adam", 3e-3, 80),
    plain("group-norm-batches-of-two", "convolutional", grouped, partial(pictures, size=2, side=16), ce, "adam", 3e-3, 150),
    named("perceptual-frozen-eye", "restoration", perceptual, 60),
]  # fmt: skip
