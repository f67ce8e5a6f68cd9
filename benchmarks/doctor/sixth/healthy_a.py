"""Healthy: the plainest kind, what a beginner writes after a tutorial."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import moons
from benchmarks.doctor.sixth.parts_c import (
    Lit,
    adam,
    bce,
    ce,
    dense,
    dice,
    down,
    handwriting,
    keeper,
    loader,
    mse,
    rows,
    sgd,
    table,
)

CASES: list[Case] = []
learns = keeper(CASES)


@learns("tutorial-first-network", "dense", 200)
def first(seed: int) -> Training:
    """Flatten, two hidden layers of ReLU, SGD: the quick start of many courses."""
    net = nn.Sequential(nn.Flatten(), *dense(64, 128, 128, 10))
    return Training(net, rows(seed, *handwriting()), sgd(net, 0.1), ce)


class LeNet(nn.Module):
    """Two convolutions, pooling, dropout, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.25)
        self.fc1, self.fc2 = nn.Linear(16 * 4, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x))).flatten(1)
        return self.fc2(self.drop(F.relu(self.fc1(x))))


@learns("tutorial-lenet", "convolutional", 200)
def lenet(seed: int) -> Training:
    """Adam at its default rate."""
    net = LeNet()
    return Training(net, rows(seed, *handwriting(), size=32), adam(net), ce)


@learns("tutorial-log-softmax", "convolutional", 120)
def log_softmax(seed: int) -> Training:
    """As the basic example does it: log softmax, negative log likelihood, Adadelta at 1.0, a rate that falls."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10), nn.LogSoftmax(1),
    )  # fmt: skip
    optimizer = torch.optim.Adadelta(net.parameters(), 1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 28, 0.7)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = down(optimizer, F.nll_loss(model(batch[0]), batch[1]))
        schedule.step()
        return loss

    return Training(net, rows(seed, *handwriting()), optimizer, train_step=step)


@learns("tutorial-iris", "dense", 100)
def iris(seed: int) -> Training:
    """The whole table in every step; a few units suffice."""
    net = dense(4, 16, 16, 3)
    return Training(net, rows(seed, *table("iris"), size=150), adam(net, 0.01), ce)


@learns("tutorial-wine-tanh", "dense", 80)
def wine(seed: int) -> Training:
    """Small batches, tanh, momentum."""
    net = dense(13, 20, 3, act=nn.Tanh)
    return Training(net, rows(seed, *table("wine"), size=16), sgd(net, 0.05, 0.9), ce)


@learns("tutorial-tumours", "dense", 80)
def tumours(seed: int) -> Training:
    """Two classes from thirty columns: sigmoid at the end and its entropy, as beginners write it, and rightly."""
    net = nn.Sequential(*dense(30, 32, 16, 1), nn.Sigmoid())

    def loss(model: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy(model(batch[0]).squeeze(1), batch[1].float())

    return Training(Lit(net, loss, 3e-3), loader(seed, *table("breast_cancer")))


@learns("tutorial-diabetes-progress", "dense", 150)
def progress(seed: int) -> Training:
    """A regression with much noise: half of the variance stays, and that is all there is to learn."""
    x, y = table("diabetes")
    net = dense(10, 32, 1)
    y = (y.float() - y.float().mean()) / y.float().std()
    return Training(net, rows(seed, x, y, size=64), adam(net, 3e-3), mse)


@learns("tutorial-sine-curve", "dense", 200)
def sine(seed: int) -> Training:
    """A curve through noisy points."""
    x = 6 * torch.rand(512, 1, generator=dice(seed)) - 3
    y = torch.sin(x) + 0.1 * torch.randn(512, 1, generator=dice(seed + 1))
    net = dense(1, 50, 50, 1, act=nn.Tanh)
    return Training(net, rows(seed, x, y), adam(net, 5e-3), mse)


@learns("tutorial-third-order-polynomial", "linear", 200)
def polynomial(seed: int) -> Training:
    """y = sin x by powers of x: a loss summed over 2,000 points begins in the tens of thousands; RMSprop."""
    x = torch.linspace(-math.pi, math.pi, 2000)
    powers = x[:, None].pow(torch.tensor([1, 2, 3]))
    net = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0, 1))

    def loss(model: nn.Module, batch: Any) -> Any:
        return F.mse_loss(model(batch[0]), batch[1], reduction="sum")

    data = rows(seed, powers, torch.sin(x), size=2000)
    return Training(net, data, torch.optim.RMSprop(net.parameters(), 3e-3), loss)


@learns("tutorial-exclusive-or", "dense", 200)
def exclusive(seed: int) -> Training:
    """Four points, eight hidden units, mean squared error of a sigmoid."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    return Training(net, rows(seed, x, torch.tensor([0.0, 1.0, 1.0, 0.0]), size=4), adam(net, 0.1), mse)


@learns("tutorial-half-moons", "dense", 120)
def half_moons(seed: int) -> Training:
    """Points on a plane, plain SGD at a large rate that suits so small a net."""
    net = dense(2, 16, 16, 1)
    return Training(net, moons(seed), sgd(net, 0.5), bce)


@learns("tutorial-next-value-lstm", "recurrent", 120)
def next_value(seed: int) -> Training:
    """An LSTM that foretells the next value of a wave from thirty."""
    at = 0.2 * torch.arange(31) + 6.28 * torch.rand(512, 1, generator=dice(seed))
    wave = torch.sin(at) + 0.05 * torch.randn(512, 31, generator=dice(seed + 1))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.linear = nn.LSTM(1, 32, batch_first=True), nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Any:
            return self.linear(self.lstm(x)[0][:, -1])

    net = Net()
    return Training(net, rows(seed, wave[:, :-1, None], wave[:, -1:], size=32), adam(net, 0.01), mse)


@learns("tutorial-squeezed-digits", "autoencoders", 150)
def squeezed(seed: int) -> Training:
    """An autoencoder with a code of twelve and a sigmoid at the end."""
    x, _ = handwriting()
    net = nn.Sequential(nn.Flatten(), *dense(64, 32, 12, 32, 64), nn.Sigmoid())
    return Training(net, rows(seed, x, x.flatten(1)), adam(net, 3e-3), mse)


class LitDigits(pl.LightningModule):
    """The first module of Lightning's lessons."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *dense(64, 64, 10))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Step."""
        loss = F.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        """One optimiser."""
        return torch.optim.Adam(self.parameters(), 3e-3)


@learns("tutorial-lightning-digits", "dense", 100)
def lit_digits(seed: int) -> Training:
    """Lightning does the loop."""
    return Training(LitDigits(), loader(seed, *handwriting()))


@learns("tutorial-news-topics", "text", 150)
def topics(seed: int) -> Training:
    """Bags of words, SGD at 5.0 with gradients clipped to 0.1: the text tutorial's own numbers, odd as they look."""
    words = torch.randint(0, 300, (1024, 20), generator=dice(seed))
    topic = torch.randint(0, 4, (1024,), generator=dice(seed + 1))
    about = torch.rand(1024, 20, generator=dice(seed + 2)) < 0.3
    words = torch.where(about, 75 * topic[:, None] + words % 75, words)
    net = nn.Sequential(nn.EmbeddingBag(300, 32), nn.Linear(32, 4))
    nn.init.uniform_(net[0].weight, -0.5, 0.5)  # type: ignore[arg-type]

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = ce(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return loss

    return Training(net, rows(seed, words, topic, size=64), sgd(net, 5.0), train_step=step)


class Names(nn.Module):
    """Letters one by one, the last state tells the kind of a word."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.h2o, self.softmax = nn.RNN(12, 64), nn.Linear(64, 3), nn.LogSoftmax(1)

    def forward(self, line: Tensor) -> Any:
        return self.softmax(self.h2o(self.rnn(F.one_hot(line.T, 12).float())[1][0]))


@learns("tutorial-kinds-of-names", "recurrent", 150)
def names(seed: int) -> Training:
    """A plain RNN over eight letters, clipped at 3, as the lesson on names has it; kinds have their own endings."""
    g = dice(seed)
    word, kind = torch.randint(0, 12, (768, 8), generator=g), torch.randint(0, 3, (768,), generator=g)
    word[:, -3:] = 4 * kind[:, None] + word[:, -3:] % 4
    net = Names()

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = F.nll_loss(model(batch[0]), batch[1])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3)
        optimizer.step()
        return loss

    return Training(net, rows(seed, word, kind), sgd(net, 0.15), train_step=step)


@learns("tutorial-film-ratings", "recommenders", 150)
def films(seed: int) -> Training:
    """Two tables and a product; ratings of 1 to 5, less their mean."""
    g = dice(seed)
    user, film = torch.randint(0, 80, (4000,), generator=g), torch.randint(0, 60, (4000,), generator=g)
    a, b = torch.randn(80, 3, generator=g), torch.randn(60, 3, generator=g)
    stars = (3 + (a[user] * b[film]).sum(1)).round().clamp(1, 5) - 3

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.films = nn.Embedding(80, 8), nn.Embedding(60, 8)

        def forward(self, user: Tensor, film: Tensor) -> Any:
            return (0.4 * self.users(user) * self.films(film)).sum(1)

    net = Factors()
    return Training(net, rows(seed, user, film, stars, size=256), adam(net, 0.03, weight_decay=1e-5), mse)


@learns("tutorial-batch-norm-digits", "dense", 100)
def normed(seed: int) -> Training:
    """Batch norm before each ReLU; momentum."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64),
        nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return Training(net, rows(seed, *handwriting()), sgd(net, 0.05, 0.9), ce)
