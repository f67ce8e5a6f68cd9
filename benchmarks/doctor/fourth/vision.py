"""Networks that look at pictures, and their recipes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, bce, ce, mae, mse


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // ratio)
        self.fc2 = nn.Linear(channels // ratio, channels)

    def forward(self, x: Tensor) -> Any:
        w = F.relu(self.fc1(x.mean((2, 3))))
        return x * torch.sigmoid(self.fc2(w))[:, :, None, None]


class ResNeXtBlock(nn.Module):
    def __init__(self, channels: int, groups: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels)
        self.shortcut = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Any:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        return F.relu(out + self.shortcut(x))


class ResNeXt(nn.Module):
    """Aggregated residual blocks with squeeze and excitation."""

    def __init__(self, num_classes: int = 3, channels: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, 1, 1)
        self.layer1 = ResNeXtBlock(channels, 4)
        self.layer2 = ResNeXtBlock(channels, 4, 2)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Any:
        x = self.layer2(self.layer1(F.relu(self.stem(x))))
        return self.fc(x.mean((2, 3)))


class CBAM(nn.Module):
    """A convolutional block with attention over channels, then over places."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.mlp = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels))
        self.spatial = nn.Conv2d(2, 1, 5, padding=2)
        self.classifier = nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Any:
        x = F.elu(self.conv2(F.max_pool2d(F.elu(self.conv1(x)), 2)))
        x = x * torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))[:, :, None, None]
        x = x * torch.sigmoid(self.spatial(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))
        return self.classifier(x.amax((2, 3)))


class CapsNet(nn.Module):
    """Capsules with two rounds of routing; a class is as likely as its capsule is long."""

    def __init__(self, routings: int = 2) -> None:
        super().__init__()
        self.routings = routings
        self.conv = nn.Conv2d(3, 24, 5, 2)
        self.primary = nn.Conv2d(24, 32, 3, 2)
        self.W = nn.Parameter(0.1 * torch.randn(1, 3, 32, 8, 8))

    @staticmethod
    def squash(s: Tensor) -> Tensor:
        n = s.square().sum(-1, keepdim=True) + 1e-8
        return n / (1 + n) * s / n.sqrt()

    def forward(self, x: Tensor) -> Any:
        u = self.primary(F.relu(self.conv(x))).reshape(len(x), 1, -1, 8, 1)
        u_hat = (self.W[:, :, : u.shape[2]] @ u).squeeze(-1)
        b = torch.zeros(u_hat.shape[:3])
        v = self.squash(u_hat.mean(2))
        for _ in range(self.routings):
            c = torch.softmax(b, 1).unsqueeze(-1)
            v = self.squash((c * u_hat).sum(2))
            b = b + (u_hat * v.unsqueeze(2)).sum(-1).detach()
        return v.norm(dim=-1)


def margin_loss(model: nn.Module, batch: Any) -> Tensor:
    v, t = model(batch[0]), F.one_hot(batch[1], 3).float()
    return (t * F.relu(0.9 - v) ** 2 + 0.5 * (1 - t) * F.relu(v - 0.1) ** 2).sum(1).mean()


class BoxNet(nn.Module):
    """Coordinates as two more channels; a regression of a box."""

    def __init__(self, final: nn.Module | None = None) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(5, 16, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(16, 24, 3, 2, 1), nn.LeakyReLU(0.1)
        )
        self.regressor = nn.Sequential(nn.Linear(24 * 16, 48), nn.LeakyReLU(0.1), nn.Linear(48, 4))
        self.final = final or nn.Sigmoid()

    def forward(self, x: Tensor) -> Any:
        grid = torch.linspace(-1, 1, x.shape[-1])
        yy, xx = torch.meshgrid(grid, grid, indexing="ij")
        coords = torch.stack([yy, xx]).expand(len(x), -1, -1, -1)
        return self.final(self.regressor(self.features(torch.cat([x, coords], 1)).flatten(1)))


class YoloHead(nn.Module):
    """One box, one objectness and three classes per cell of a four by four grid."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential()
        for i, (a, b) in enumerate([(3, 16), (16, 32)]):
            self.backbone.add_module(f"conv{i}", nn.Conv2d(a, b, 3, 2, 1, bias=False))
            self.backbone.add_module(f"bn{i}", nn.BatchNorm2d(b))
            self.backbone.add_module(f"act{i}", nn.SiLU())
        self.pred = nn.Conv2d(32, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return self.pred(self.backbone(x))


def yolo_loss(model: nn.Module, batch: Any) -> Tensor:
    images, boxes, classes = batch
    out = model(images)
    cell = (4 * boxes[:, :2]).long().clamp(0, 3)
    rows = torch.arange(len(images))
    objectness = torch.zeros(len(images), 4, 4)
    objectness[rows, cell[:, 0], cell[:, 1]] = 1
    hit = out[rows, :, cell[:, 0], cell[:, 1]]
    centre = F.mse_loss(torch.sigmoid(hit[:, :2]), 4 * boxes[:, :2] - cell)
    extent = F.mse_loss(hit[:, 2:4].exp(), 8 * boxes[:, 2:])
    return (
        5 * (centre + extent)
        + F.binary_cross_entropy_with_logits(out[:, 4], objectness)
        + F.cross_entropy(hit[:, 5:], classes)
    )


class DeepLab(nn.Module):
    """Dilated convolutions side by side, a picture-wide pool among them."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.entry = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.rates = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=r, dilation=r) for r in (1, 2, 3)])
        self.pool = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(4 * channels, channels, 1)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Any:
        h = self.entry(x)
        feats = [conv(h) for conv in self.rates] + [self.pool(h.mean((2, 3), True)).expand_as(h)]
        h = F.relu(self.project(F.relu(torch.cat(feats, 1))))
        return F.interpolate(self.head(h), size=x.shape[2:], mode="bilinear", align_corners=False)


class SegNet(nn.Module):
    """Pools remember where the largest stood; the decoder puts it back there."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.enc1, self.enc2 = nn.Conv2d(3, channels, 3, 1, 1), nn.Conv2d(channels, channels, 3, 1, 1)
        self.dec2, self.dec1 = nn.Conv2d(channels, channels, 3, 1, 1), nn.Conv2d(channels, channels, 3, 1, 1)
        self.out = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Any:
        x, i1 = F.max_pool2d(F.relu(self.enc1(x)), 2, return_indices=True)
        x, i2 = F.max_pool2d(F.relu(self.enc2(x)), 2, return_indices=True)
        x = F.relu(self.dec2(F.max_unpool2d(x, i2, [2, 2])))
        return self.out(F.relu(self.dec1(F.max_unpool2d(x, i1, [2, 2]))))


class DnCNN(nn.Module):
    """Five convolutions foretell the noise, which is taken off."""

    def __init__(self, features: int = 20, layers: int = 5) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(layers - 2):
            body += [nn.Conv2d(features, features, 3, padding=1, bias=False), nn.BatchNorm2d(features), nn.ReLU(True)]
        self.dncnn = nn.Sequential(*body, nn.Conv2d(features, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Any:
        return x - self.dncnn(x)


class Registration(nn.Module):
    """A field of displacements warps one picture onto the other; its last layer starts near zero, as in VoxelMorph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 16, 5, padding=2), nn.Conv2d(16, 16, 5, padding=2)
        self.flow = nn.Conv2d(16, 2, 3, padding=1)
        nn.init.normal_(self.flow.weight, 0, 1e-5)
        nn.init.zeros_(self.flow.bias)  # type: ignore[arg-type]

    def forward(self, moving: Tensor, fixed: Tensor) -> Any:
        h = F.leaky_relu(self.conv1(torch.cat([moving, fixed], 1)), 0.2)
        flow = self.flow(F.leaky_relu(self.conv2(h), 0.2))
        grid = F.affine_grid(torch.eye(2, 3).expand(len(h), -1, -1), list(moving.shape), align_corners=False)
        warped = F.grid_sample(moving, grid + flow.permute(0, 2, 3, 1), align_corners=False, padding_mode="border")
        smooth = flow.diff(dim=2).square().mean() + flow.diff(dim=3).square().mean()
        return F.mse_loss(warped, fixed) + 0.01 * smooth


class CellularAutomaton(nn.Module):
    """A rule that each pixel follows eight times; its last layer starts at zero."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.channels = channels
        self.perceive = nn.Conv2d(channels, 3 * channels, 3, padding=1, groups=channels)
        self.update = nn.Sequential(nn.Conv2d(3 * channels, 32, 1), nn.ReLU(), nn.Conv2d(32, channels, 1, bias=False))
        nn.init.zeros_(self.update[2].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        state = F.pad(x, (0, 0, 0, 0, 0, self.channels - 3))
        for _ in range(8):
            fire = (torch.rand(len(x), 1, *x.shape[2:]) < 0.7).float()
            state = state + fire * self.update(self.perceive(state))
        return state[:, 3:4]


class ConvLSTM(nn.Module):
    """Frames, one after another, into gates made of convolutions."""

    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(1 + hidden, 4 * hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Any:
        h = c = x.new_zeros(len(x), self.hidden, *x.shape[3:])
        for t in range(x.shape[1]):
            i, f, o, g = self.gates(torch.cat([x[:, t], h], 1)).chunk(4, 1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.out(h)


RECIPES = {
    "resnext": Recipe("convolutional", ResNeXt, data.scenes, ce, "nesterov", 0.05),
    "cbam": Recipe("convolutional", CBAM, data.scenes, ce, "adam", 5e-3),
    "capsules": Recipe("capsules", CapsNet, data.scenes, margin_loss, "adam", 5e-3),
    "box": Recipe("detection", BoxNet, data.boxes, mse, "adam", 3e-3),
    "yolo": Recipe("detection", YoloHead, data.detections, yolo_loss, "adamw", 5e-3),
    "deeplab": Recipe("segmentation", DeepLab, data.masks, bce, "sgd", 0.05),
    "segnet": Recipe("segmentation", SegNet, data.masks, bce, "adam", 5e-3),
    "dncnn": Recipe("restoration", DnCNN, data.grainy, mse, "adam", 2e-3),
    "registration": Recipe("registration", Registration, data.shifted, lambda m, b: m(*b), "adam", 2e-3),
    "automaton": Recipe("cellular automata", CellularAutomaton, data.masks, bce, "adam", 5e-3),
    "convlstm": Recipe("video", ConvLSTM, data.frames, partial(mae), "adam", 1e-2),
}
