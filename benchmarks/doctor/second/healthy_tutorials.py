"""Healthy networks and loops as the tutorials and the usual repositories have them."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, each, listened, looped, next_one, rebuilt, squared, yes_or_no
from benchmarks.doctor.second.nets import (
    GPT,
    Elman,
    Fields,
    Highway,
    LeNet,
    Listener,
    PointNet,
    Seq2Seq,
    Siren,
    Tagger,
    ViT,
    Waves,
)


class Mnist(nn.Module):
    """The examples' MNIST network: dropout twice, log_softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3)
        self.dropout1, self.dropout2 = nn.Dropout2d(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(16 * 16, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout1(F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2))
        x = self.dropout2(F.relu(self.fc1(torch.flatten(x, 1))))
        return F.log_softmax(self.fc2(x), dim=1)


def likelihood(model: nn.Module, batch: Any) -> Tensor:
    """Negative log likelihood of what is a logarithm already."""
    return F.nll_loss(model(batch[0]), batch[1])


class Inception(nn.Module):
    """Branches of several widths side by side, and a squeeze that weighs channels."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(1, 6, size, padding=size // 2) for size in (1, 3, 5))
        self.norm, self.squeeze, self.excite = nn.BatchNorm2d(18), nn.Linear(18, 6), nn.Linear(6, 18)
        self.second, self.out = nn.Conv2d(18, 16, 3, padding=1, stride=2), nn.Linear(16 * 36, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(torch.cat([branch(x) for branch in self.branches], 1)))
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(h.mean((2, 3))))))
        return self.out(F.relu(self.second(h * weight[..., None, None])).flatten(1))


class Mixer(nn.Module):
    """MLP-Mixer: linear layers over patches, then over channels, on a stream."""

    def __init__(self, width: int = 24, depth: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, 4, stride=4)
        self.over_patches = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(9), nn.Linear(9, 18), nn.GELU(), nn.Linear(18, 9)) for _ in range(depth)
        )
        self.over_channels = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.GELU(), nn.Linear(48, width))
            for _ in range(depth)
        )
        self.out = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2)
        for one, two in zip(self.over_patches, self.over_channels, strict=True):
            h = h + one(h)
            h = h + two(h.transpose(1, 2)).transpose(1, 2)
        return self.out(h.mean(2))


class Transformed(nn.Module):
    """The spatial transformer of the tutorial: it turns its input first, starting from not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.where, self.net = nn.Sequential(nn.Flatten(), nn.Linear(144, 24), nn.ReLU(True), nn.Linear(24, 6)), LeNet()
        self.where[-1].weight.data.zero_()
        self.where[-1].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.where(x).view(-1, 2, 3), list(x.shape), align_corners=False)
        return self.net(F.grid_sample(x, grid, align_corners=False))


class Sharper(nn.Module):
    """Super-resolution: convolutions, and channels shuffled into pixels; weights orthogonal as in the example."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(1, 16, 5, padding=2),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.Conv2d(16, 4, 3, padding=1),
        )
        self.shuffle = nn.PixelShuffle(2)
        for layer in (self.conv1, self.conv2):
            nn.init.orthogonal_(layer.weight, nn.init.calculate_gain("relu"))
        nn.init.orthogonal_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))


def sharpen(model: nn.Module, batch: Any) -> Tensor:
    """From half the pixels back to all."""
    return F.mse_loss(model(F.avg_pool2d(batch[0], 2)), batch[0])


class ConvCoder(nn.Module):
    """A convolutional autoencoder with transposed convolutions."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        middle = nn.BatchNorm2d(16) if norm else nn.Identity()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), middle, nn.ReLU())
        self.decoder = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def two_way(model: nn.Module, batch: Any) -> Tensor:
    """Sequence to sequence, the right last symbol given."""
    x, y = batch
    return F.cross_entropy(model(x, y).flatten(0, 1), y.flatten())


class Polynomial(nn.Module):
    """The tutorial's polynomial for a sine: four numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Parameter(torch.randn(())) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.a + self.b * x + self.c * x**2 + self.d * x**3


def sine(seed: int) -> tasks.Batches:
    """Return points of a sine."""
    x = torch.linspace(-2, 2, 256)[:, None]
    return tasks.Batches((x, torch.sin(1.5 * x)), 256, seed)


def stepped(seed: int, net: Any, way: str, rate: float, gamma: float = 0.7, every: int = 20) -> Training:
    """A rate that falls by a factor each so many steps, as the examples' epochs have it."""
    model = net()
    optimizer = by(way, rate, model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, every, gamma)

    def step(network: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        loss = likelihood(network, batch)
        loss.backward()
        stepper.step()
        schedule.step()
        return loss

    return Training(model, tasks.shapes(seed), optimizer, train_step=step)


def by_hand(seed: int) -> Training:
    """The character tutorial's loop: a name at a time, clipped."""
    model = Elman(words=12, out=4)

    def step(network: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        network.zero_grad()
        loss = classify(network, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        stepper.step()
        return loss

    return looped(model, tasks.first_word(seed, 16, 6), step, "adam", 5e-3)


class Painted(nn.Module):
    """An image that is itself what learns, as in style transfer."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(0.5 + 0.1 * torch.randn(1, 1, 12, 12))
        self.eye = nn.Conv2d(1, 8, 3, padding=1).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        gram = [
            h.flatten(2) @ h.flatten(2).transpose(1, 2) / 144
            for h in (F.relu(self.eye(self.image)), F.relu(self.eye(x[:1])))
        ]
        return F.mse_loss(gram[0], gram[1]) + 0.1 * F.mse_loss(self.image, x[:1])


def painted(seed: int) -> Training:
    """Style and content by LBFGS, in closures."""
    x = next(iter(tasks.shapes(seed)))[0]
    model = Painted()

    def step(network: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        def closure() -> Tensor:
            stepper.zero_grad()
            loss = network(x)
            loss.backward()
            return loss

        return torch.as_tensor(stepper.step(closure))

    return Training(model, tasks.shapes(seed), torch.optim.LBFGS([model.image], lr=0.5, max_iter=3), train_step=step)


CASES: list[Case] = [
    *each("lenet", "tutorials", LeNet, tasks.shapes, classify, {"sgd": 0.05, "adam": 5e-3, "nadam": 5e-3, "adagrad": 0.02}, 80),
    *each("lenet-tanh", "tutorials", partial(LeNet, nn.Tanh), tasks.shapes, classify, {"nesterov": 0.03, "radam": 1e-2}),
    *each("lenet-colour-dropout", "tutorials", partial(LeNet, nn.ReLU, 4, 3, 0.2), tasks.coloured, classify, {"adamw": 5e-3}, 100),
    *each("mnist-example", "tutorials", Mnist, tasks.shapes, likelihood, {"adadelta": 1.0, "adam": 3e-3}),
    healthy("mnist-example-step-rate", "tutorials", seeded(partial(stepped, net=Mnist, way="adadelta", rate=1.0))),
    *each("inception-squeeze", "convolutional", Inception, tasks.shapes, classify, {"sgd": 0.02, "adamax": 5e-3}),
    *each("mixer", "vision from scratch", Mixer, tasks.shapes, classify, {"adamw": 5e-3, "nadam": 3e-3}),
    *each("vit-scratch", "vision from scratch", ViT, tasks.shapes, classify, {"adamw": 3e-3, "adam": 2e-3}, 80),
    *each("spatial-transformer", "vision from scratch", Transformed, tasks.shapes, classify, {"adam": 3e-3}, 100),
    *each("super-resolution", "convolutional", Sharper, tasks.shapes, sharpen, {"adam": 3e-3, "rmsprop": 1e-3}),
    *each("conv-autoencoder", "autoencoders", ConvCoder, tasks.shapes, rebuilt, {"adam": 1e-2, "nadam": 5e-3}, 80),
    *each("conv-autoencoder-norm", "autoencoders", partial(ConvCoder, True), tasks.shapes, rebuilt, {"adamw": 1e-2}, 80),
    *each("gpt-letters", "transformers from scratch", GPT, tasks.corpus, next_one, {"adamw": 5e-3, "adam": 3e-3}, 80),
    *each("gpt-letters-tied", "transformers from scratch", partial(GPT, tied=True), tasks.corpus, next_one, {"adamw": 5e-3}, 80),
    *each("gpt-letters-4", "transformers from scratch", partial(GPT, 4, 24), tasks.corpus, next_one, {"radam": 1e-2}, 60),
    *each("seq2seq-attention", "recurrent", Seq2Seq, tasks.reversal, two_way, {"adam": 1e-2, "adamw": 5e-3}),
    *each("tagger-lstm", "recurrent", Tagger, tasks.tags, classify, {"adam": 2e-2, "nadam": 1e-2}),
    *each("tagger-both-ways", "recurrent", partial(Tagger, "GRU", both=True), tasks.tags, classify, {"rmsprop": 3e-3, "adamax": 2e-2}),
    healthy("elman-by-hand", "recurrent", seeded(by_hand), 80),
    *each("letters-lstm", "recurrent", partial(Tagger, "LSTM", 27, 32, 27), tasks.corpus, next_one, {"adam": 2e-2}),
    *each("speech-ctc", "recurrent", Listener, tasks.speech, listened, {"adam": 5e-3, "adamw": 1e-2}, 60),
    *each("wavenet-forecast", "forecasting", Waves, tasks.series, squared, {"adam": 5e-3, "radam": 1e-2}),
    *each("pointnet", "sets", PointNet, tasks.clouds, classify, {"adam": 5e-3, "sgd": 0.05}),
    *each("pointnet-norm", "sets", partial(PointNet, norm=True), tasks.clouds, classify, {"adagrad": 0.02}),
    *each("fields", "embeddings", Fields, tasks.clicks, yes_or_no, {"adam": 1e-2, "adagrad": 0.05}, 100),
    *each("highway", "dense", partial(Highway, 13, 3), tasks.measured, classify, {"adam": 3e-3, "nesterov": 0.02}),
    *each("siren", "coordinates", Siren, tasks.picture, squared, {"adam": 2e-3, "adamax": 5e-3}, 80),
    *each("polynomial", "regression", Polynomial, sine, squared, {"adam": 0.1, "sgd": 0.003}),
    healthy("painted-image", "closures", seeded(painted), 30),
]  # fmt: skip
