"""Healthy though simple rules flag them: frozen, low-rank, tied, parametrised, idle, accumulated, scaled, finished."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, grid, healthy, optimizer_of, seeded, usual
from benchmarks.doctor.losses import classify, foretell, regress
from benchmarks.doctor.nets import Attends, Experts, Recurrent, Residual, cnn, mlp

grey = partial(data.pictures, side=8, channels=1, size=32)


class LowRank(nn.Module):
    """A frozen layer with B A beside it; B starts at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.a.T @ self.b.T


def low_rank() -> nn.Module:
    """LoRA in both hidden layers, and a head that learns."""
    return nn.Sequential(
        LowRank(nn.Linear(64, 64)), nn.ReLU(), LowRank(nn.Linear(64, 64)), nn.ReLU(), nn.Linear(64, 10)
    )


class Frozen(nn.Module):
    """A frozen body, held in evaluation mode, and a head."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body.requires_grad_(False), head

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.body(x)
        return self.head(h)


def frozen_cnn() -> nn.Module:
    """Frozen convolutions with norms; a head of two layers."""
    return Frozen(nn.Sequential(*cnn(depth=3)[:-1]), mlp(128, 4, 32, 1))


def frozen_embedding() -> nn.Module:
    """A recurrent net over an embedding that is given and stays."""
    net = Recurrent("GRU", 24, 40, 48, every=True, vocabulary=40)
    net.embed.weight.requires_grad_(False)
    return net


def adapters() -> nn.Module:
    """A frozen transformer but for its norms and the head (as in BitFit), and zero-initialised bottlenecks."""
    net = Attends(30, 2)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("norm" in name or "head" in name or "bias" in name or "embed" in name)
    return net


def parametrised() -> nn.Module:
    """Weight norm, orthogonal and spectral norm: the leaves are elsewhere."""
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(64, 48)), nn.Tanh(), parametrizations.orthogonal(nn.Linear(48, 48)), nn.Tanh(),
        parametrizations.spectral_norm(nn.Linear(48, 48)), nn.Tanh(), nn.Linear(48, 10),
    )  # fmt: skip


class Bag(nn.Module):
    """Bags of words, most of them rare: few rows of the table have a gradient in a step."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(2000, 16, sparse=sparse)
        self.net = mlp(16, 2, 32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.embed(x))


class Spare(nn.Module):
    """Has a part that this task does not use, as a model of many heads has."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.pooler = mlp(64, 48, 48, 1), nn.Linear(48, 10), nn.Linear(48, 48)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.body(x)))


class Rechecked(nn.Module):
    """Blocks whose activations are computed again in backward."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 48), nn.Linear(48, 10)
        self.blocks = nn.ModuleList(Residual(mlp(48, 48, 48, 1), norm=nn.LayerNorm(48)) for _ in range(3))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=self.reentrant)
        return self.head(h)


class Dropped(nn.Module):
    """Stochastic depth: a block that is skipped has no gradient in that step."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 48), nn.Linear(48, 10)
        self.blocks = nn.ModuleList(Residual(mlp(48, 48, 48, 1), norm=nn.LayerNorm(48)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            if not self.training or torch.rand(()) > 0.3:
                h = block(h)
        return self.head(h)


class Quantised(nn.Module):
    """A code book with the straight-through trick: detach, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.book, self.decoder = mlp(64, 8, 48, 1), nn.Embedding(32, 8), mlp(8, 64, 48, 1)
        nn.init.normal_(self.book.weight, std=0.3)  # as large as the codes, so that most of the book is used

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        q = self.book(torch.cdist(z, self.book.weight).argmin(1))
        return self.decoder(z + (q - z).detach()), F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())


def quantise(model: nn.Module, batch: Any) -> Tensor:
    """Rebuild, and keep codes and book together."""
    out, extra = model(batch[0])
    return F.mse_loss(out, batch[0]) + extra


class Auxiliary(nn.Module):
    """Two heads, the second of them weighed little."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.main, self.side = mlp(64, 48, 48, 2), nn.Linear(48, 10), nn.Linear(48, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.body(x))
        return self.main(h), self.side(h)


def two_tasks(model: nn.Module, batch: Any) -> Tensor:
    """The digit, and a hundredth of whether it is even."""
    main, side = model(batch[0])
    return F.cross_entropy(main, batch[1]) + 0.01 * F.cross_entropy(side, batch[1] % 2)


def continued(
    seed: int, net: Any, make: Any, loss: Any, first: tuple[str, float, int], then: tuple[str, float]
) -> Training:
    """Train here first, then go on with a small rate: fine-tuning, or a training that has reached its end."""
    model = net()
    warm = optimizer_of(first[0], model.parameters(), first[1])
    for _, batch in zip(range(first[2]), make(seed), strict=False):
        warm.zero_grad()
        loss(model, batch).backward()
        warm.step()
    return Training(model, make(seed), optimizer_of(then[0], model.parameters(), then[1]), loss)


def jitted() -> nn.Module:
    """A scripted net."""
    return torch.jit.script(mlp(64, 10))


def lazy() -> nn.Module:
    """Layers that take their shape from the first batch."""
    net = nn.Sequential(nn.LazyLinear(48), nn.ReLU(), nn.LazyLinear(10))
    net(torch.zeros(1, 64))
    return net


EACH = {"sgd": 0.05, "adam": 3e-3}
CASES: list[Case] = [
    *grid("lora", "fine-tuning", low_rank, data.digits, classify, {"adam": 5e-3, "sgd": 0.05, "adamw": 1e-2}),
    *grid("frozen-cnn", "fine-tuning", frozen_cnn, grey, classify, {"adam": 1e-2, "sgd": 0.2}),
    *grid("frozen-embedding", "fine-tuning", frozen_embedding, data.progressions, foretell, {"adam": 1e-2}),
    *grid("norms-and-biases", "fine-tuning", adapters, data.tokens, classify, {"adam": 5e-3}),
    *grid("parametrised", "parametrised", parametrised, data.digits, classify, {"adam": 3e-3, "sgd": 0.05}),
    *grid("rare-words", "rare tokens", partial(Bag, False), data.rare_tokens, classify, {"adam": 5e-3, "rmsprop": 3e-3}),
    *grid("rare-words-sparse", "rare tokens", partial(Bag, True), data.rare_tokens, classify, {"plain": 0.5}, 80),
    *grid("experts", "idle experts", Experts, partial(data.digits, size=16), classify, {"adam": 3e-3, "adamw": 3e-3}),
    *grid("unused-pooler", "unused parts", Spare, data.digits, classify, EACH),
    *grid("checkpointed", "checkpointing", partial(Rechecked, False), data.digits, classify, {"adam": 2e-3}),
    *grid("checkpointed-reentrant", "checkpointing", partial(Rechecked, True), data.digits, classify, {"sgd": 0.05}),
    *grid("stochastic-depth", "residual", Dropped, data.digits, classify, {"adam": 2e-3}),
    *grid("code-book", "autoencoders", Quantised, data.digits, quantise, {"adam": 3e-3}),
    *grid("two-heads", "dense", Auxiliary, data.digits, two_tasks, {"adam": 2e-3}),
    *grid("scripted", "scripted", jitted, data.digits, classify, EACH),
    *grid("lazy", "dense", lazy, data.digits, classify, {"adam": 3e-3}),
    healthy("fine-tune-small-rate", "fine-tuning", seeded(partial(continued, net=partial(mlp, 64, 10), make=data.digits, loss=classify, first=("adam", 1e-3, 60), then=("adamw", 2e-5))), falls=False),
    healthy("fine-tune-transformer", "fine-tuning", seeded(partial(continued, net=partial(Attends, 30, 2), make=data.tokens, loss=classify, first=("adam", 1e-3, 60), then=("adamw", 5e-5))), falls=False),
    healthy("fine-tune-cnn-small-rate", "fine-tuning", seeded(partial(continued, net=cnn, make=grey, loss=classify, first=("adam", 3e-3, 25), then=("sgd", 1e-4))), falls=False),
    healthy("finished-digits", "trained to the end", seeded(partial(continued, net=partial(mlp, 64, 10), make=data.digits, loss=classify, first=("adam", 5e-3, 400), then=("adam", 1e-3))), falls=False),
    healthy("finished-sgd", "trained to the end", seeded(partial(continued, net=partial(mlp, 64, 10, 64, 2, nn.Tanh), make=data.digits, loss=classify, first=("sgd", 0.1, 600), then=("sgd", 0.05))), falls=False),
    healthy("finished-regression", "trained to the end", seeded(partial(continued, net=partial(mlp, 8, 1, act=nn.Tanh), make=data.teacher, loss=regress, first=("adam", 5e-3, 500), then=("adam", 1e-4))), falls=False),
    healthy("finished-cnn", "trained to the end", seeded(partial(continued, net=cnn, make=grey, loss=classify, first=("adam", 3e-3, 150), then=("adam", 3e-4))), falls=False),
    healthy("tiny-loss-weight", "dense", usual(partial(mlp, 64, 10), data.digits, lambda model, batch: 1e-3 * classify(model, batch), "adam", 2e-3)),
]  # fmt: skip
