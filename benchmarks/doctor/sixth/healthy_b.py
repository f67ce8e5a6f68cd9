"""Healthy: pictures, in nets that people know and in nets that look odd."""
# ruff: noqa: E501 - an address is a line

from __future__ import annotations

from typing import Any

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import discs
from benchmarks.doctor.sixth.parts_c import (
    Lit,
    adam,
    adamw,
    ce,
    dense,
    dice,
    down,
    handwriting,
    keeper,
    large,
    loader,
    mse,
    rows,
    sgd,
)

CASES: list[Case] = []
learns = keeper(CASES)


@learns("resnet-zero-gamma", "residual", 40)
def zero_gamma(seed: int) -> Training:
    """The last norm of every block starts at zero, so the block's gradients do too (github.com/tensorpack/tensorpack/issues/420)."""
    block = torchvision.models.resnet.BasicBlock
    net = torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=4, zero_init_residual=True)
    net.layer3, net.layer4, net.fc = nn.Identity(), nn.Identity(), nn.Linear(128, 4)
    return Training(net, rows(seed, *large(), size=16), sgd(net, 0.05, 0.9, weight_decay=5e-4), ce)


@learns("shufflenet-small-pictures", "convolutional", 40)
def shuffled(seed: int) -> Training:
    """A slim net of torchvision with random weights; RMSprop as its family likes it."""
    net = torchvision.models.shufflenet_v2_x0_5(num_classes=4)
    return Training(net, rows(seed, *large(), size=16), torch.optim.RMSprop(net.parameters(), 1e-3, 0.9), ce)


@learns("timm-small-vit", "transformers", 80)
def small_timm(seed: int) -> Training:
    """timm's smallest vision transformer, AdamW, stochastic depth, clipping at 1.0."""
    net = timm.create_model("test_vit", img_size=16, patch_size=4, num_classes=4, drop_path_rate=0.1)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = ce(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return Training(net, rows(seed, *large(16), size=32), adamw(net, 1e-3, weight_decay=0.05), train_step=step)


@learns("timm-layer-scale", "convolutional", 60)
def layer_scale(seed: int) -> Training:
    """Branches that enter with a factor of 1e-6: their gradients are tiny at first, as ConvNeXt has them."""
    net = timm.create_model("test_convnext", num_classes=4, ls_init_value=1e-6)
    return Training(net, rows(seed, *large(), size=16), adamw(net, 3e-3), ce)


def two(a: int, b: int) -> nn.Sequential:
    """Return two convolutions."""
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()
    )


class Down(nn.Module):
    """A U-Net of two floors."""

    def __init__(self, w: int = 12) -> None:
        super().__init__()
        self.one, self.two, self.three = two(1, w), two(w, 2 * w), two(2 * w, 4 * w)
        self.up2, self.up1 = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2), nn.ConvTranspose2d(2 * w, w, 2, 2)
        self.back2, self.back1, self.head = two(4 * w, 2 * w), two(2 * w, w), nn.Conv2d(w, 1, 1)

    def forward(self, x: Tensor) -> Any:
        a = self.one(x)
        b = self.two(F.max_pool2d(a, 2))
        c = self.up2(self.three(F.max_pool2d(b, 2)))
        return self.head(self.back1(torch.cat([a, self.up1(self.back2(torch.cat([b, c], 1)))], 1)))


@learns("u-net-soft-dice", "segmentation", 80)
def dice_loss(seed: int) -> Training:
    """Lightning. Dice of the whole batch: gradients are small, since the loss is a ratio of sums over thousands of pixels."""
    net = Down()

    def loss(model: nn.Module, batch: Any) -> Any:
        p, y = model(batch[0]).sigmoid(), batch[1]
        return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)

    return Training(Lit(net, loss, 2e-3, 80), loader(seed, *discs(seed).tensors, size=16))


@learns("u-net-negative-dice", "segmentation", 60)
def negative_dice(seed: int) -> Training:
    """The loss is minus the coefficient, so it is below zero from the first step on, as in many kits."""
    net = Down(8)

    def loss(model: nn.Module, batch: Any) -> Any:
        p, y = model(batch[0]).sigmoid().flatten(1), batch[1].flatten(1)
        return -((2 * (p * y).sum(1) + 1e-5) / (p.sum(1) + y.sum(1) + 1e-5)).mean()

    return Training(net, discs(seed), sgd(net, 0.1, 0.99, nesterov=True), loss)


@learns("centres-by-focal-loss", "detection", 100)
def focal(seed: int) -> Training:
    """Rare positives, a prior of 0.01 in the last bias, a loss far below 1 (github.com/kuangliu/pytorch-retinanet/issues/31)."""
    g = dice(seed)
    at = torch.randint(2, 14, (512, 2), generator=g)
    grid = torch.stack(torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij"), -1)
    far = (grid[None] - at[:, None, None]).square().sum(-1).float()
    x = torch.exp(-far / 3)[:, None] + 0.2 * torch.randn(512, 1, 16, 16, generator=g)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    nn.init.constant_(net[-1].bias, -4.6)  # type: ignore[arg-type]

    def loss(model: nn.Module, batch: Any) -> Any:
        out, y = model(batch[0]), batch[1]
        p = torch.where(y > 0, out.sigmoid(), 1 - out.sigmoid())
        weight = torch.where(y > 0, 0.75, 0.25) * (1 - p).square()
        return (weight * F.binary_cross_entropy_with_logits(out, y, reduction="none")).mean()

    return Training(net, rows(seed, x, (far == 0).float()[:, None], size=16), adam(net, 5e-3), loss)


class Capsules(nn.Module):
    """Ten capsules of eight numbers, by three rounds of routing; lengths are probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3)
        self.first = nn.Conv2d(32, 32, 3, 2)
        self.votes = nn.Parameter(0.1 * torch.randn(10, 32, 8, 4))

    def forward(self, x: Tensor) -> Any:
        u = squash(self.first(F.relu(self.conv(x))).view(len(x), -1, 4))
        votes = torch.einsum("kndc,bnc->bknd", self.votes, u)
        logits = torch.zeros(len(x), 10, 32)
        for turn in range(3):
            v = squash((logits.softmax(1)[..., None] * votes).sum(2))
            if turn < 2:
                logits = logits + (votes.detach() * v.detach()[:, :, None]).sum(-1)
        return v.norm(dim=-1)


def squash(s: Tensor) -> Tensor:
    """Shorten a vector to a length below one."""
    square = s.square().sum(-1, keepdim=True)
    return square / (1 + square) * s / (square + 1e-8).sqrt()


@learns("capsules-margin", "capsules", 120)
def capsules(seed: int) -> Training:
    """Margins of lengths: capsules that are short enough give no gradient at all, and that is wanted."""
    net = Capsules()

    def loss(model: nn.Module, batch: Any) -> Any:
        v, y = model(batch[0]), F.one_hot(batch[1], 10)
        return (y * F.relu(0.9 - v).square() + 0.5 * (1 - y) * F.relu(v - 0.1).square()).sum(1).mean()

    return Training(net, rows(seed, *handwriting(), size=32), adam(net, 5e-3), loss)


class NonLocal(nn.Module):
    """A block whose last norm has a factor of zero (github.com/AlexHex7/Non-local_pytorch/issues/1)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(c, c // 2, 1) for _ in range(3))
        self.out = nn.Sequential(nn.Conv2d(c // 2, c, 1), nn.BatchNorm2d(c))
        nn.init.zeros_(self.out[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.out[1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        t, p, g = (f(x).flatten(2) for f in (self.theta, self.phi, self.g))
        weights = torch.softmax(t.transpose(1, 2) @ p, -1)
        return x + self.out((g @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:]))


@learns("non-local-block", "convolutional", 80)
def non_local(seed: int) -> Training:
    """The block's inner layers have gradients of exactly zero at the first step."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), NonLocal(16), nn.Conv2d(16, 32, 3, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(288, 10),
    )  # fmt: skip
    return Training(net, rows(seed, *handwriting(), size=32), sgd(net, 0.05, 0.9), ce)


@learns("sharper-by-pixel-shuffle", "restoration", 120)
def sharper(seed: int) -> Training:
    """Twice the size by sub-pixels; tanh inside, mean absolute error."""
    x, _ = large(16, 1, 10)
    small = F.avg_pool2d(x, 2)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 5, padding=2), nn.Tanh(), nn.Conv2d(24, 16, 3, padding=1), nn.Tanh(), nn.Conv2d(16, 4, 3, padding=1),
        nn.PixelShuffle(2),
    )  # fmt: skip
    data = rows(seed, small, x, size=16)
    return Training(net, data, adam(net, 3e-3), lambda m, b: F.l1_loss(m(b[0]), b[1]))


@learns("noise-by-residual", "restoration", 100)
def denoiser(seed: int) -> Training:
    """The net foretells the noise, not the picture; outputs near zero are right for clean places."""
    x, _ = large(16, 1, 10)
    x = x[:512]
    noise = 0.5 * torch.randn(x.shape, generator=dice(seed))
    layers: list[nn.Module] = [nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(True)]
    for _ in range(3):
        layers += [nn.Conv2d(24, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(True)]
    net = nn.Sequential(*layers, nn.Conv2d(24, 1, 3, padding=1))
    return Training(net, rows(seed, x + noise, noise, size=16), adam(net, 2e-3), mse)


class Mixer(nn.Module):
    """An MLP-Mixer: sixteen patches."""

    def __init__(self, d: int = 48) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, d, 2, 2)
        self.across = nn.ModuleList(dense(16, 32, 16, act=nn.GELU) for _ in range(3))
        self.along = nn.ModuleList(dense(d, 96, d, act=nn.GELU) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(7))
        self.head = nn.Linear(d, 10)

    def forward(self, x: Tensor) -> Any:
        h = self.patch(x).flatten(2).transpose(1, 2)
        for n, (across, along) in enumerate(zip(self.across, self.along, strict=True)):
            h = h + across(self.norms[2 * n](h).transpose(1, 2)).transpose(1, 2)
            h = h + along(self.norms[2 * n + 1](h))
        return self.head(self.norms[6](h).mean(1))


@learns("mixer-mixup-smoothing", "mixers", 150)
def mixer(seed: int) -> Training:
    """Mixup and smoothed labels: the loss cannot go near zero and jumps with the share drawn."""
    net = Mixer()

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = batch
        share, other = torch.distributions.Beta(0.4, 0.4).sample(), torch.randperm(len(x))
        out = model(share * x + (1 - share) * x[other])
        entropy = [F.cross_entropy(out, each, label_smoothing=0.1) for each in (y, y[other])]
        return down(optimizer, share * entropy[0] + (1 - share) * entropy[1])

    return Training(net, rows(seed, *handwriting()), adamw(net, 3e-3), train_step=step)


@learns("which-way-up", "self-supervised", 120)
def turned(seed: int) -> Training:
    """Each picture comes four times, turned; the label is the turn, so no class is ever named."""
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(24, 32, 3, 2, 1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(512, 4),
    )

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = torch.cat([torch.rot90(batch[0], k, (2, 3)) for k in range(4)])
        return down(optimizer, F.cross_entropy(model(x), torch.arange(4).repeat_interleave(len(batch[0]))))

    return Training(net, rows(seed, handwriting()[0], size=16), adam(net, 2e-3), train_step=step)
