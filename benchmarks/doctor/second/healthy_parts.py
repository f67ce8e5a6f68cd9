"""Healthy though built oddly: adapters, prompts, frozen norms, experts, sets, straight-through bits, sparse tables."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint_sequential

from benchmarks.doctor.case import Batches, Case, Training, healthy, seeded
from benchmarks.doctor.nets import Residual, mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, each, squared, yes_or_no
from benchmarks.doctor.second.nets import Convolved, Fields, LeNet, PointNet, Tagger


class Sparse(nn.Module):
    """A mixture of experts over words, two of six each, with noise on the router and a loss for balance."""

    def __init__(self, experts: int = 6, width: int = 24) -> None:
        super().__init__()
        self.embed, self.router = nn.Embedding(40, width), nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(mlp(width, width, 32, 1, nn.GELU) for _ in range(experts))
        self.mix, self.out = nn.GRU(width, width, batch_first=True), nn.Linear(width, 4)
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x).flatten(0, 1)
        scores = self.router(h) + 0.1 * torch.randn(len(h), len(self.experts))
        top, chosen = scores.topk(2, 1)
        weight, out = top.softmax(1), torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            rows, place = (chosen == number).nonzero(as_tuple=True)
            if len(rows):
                out = out.index_add(0, rows, weight[rows, place, None] * expert(h[rows]))
        load = F.one_hot(chosen, len(self.experts)).float().sum(1).mean(0)
        self.balance = len(self.experts) * (scores.softmax(1).mean(0) * load).sum() / 2
        return self.out(self.mix((h + out).view(*x.shape, -1))[0])


def balanced(model: nn.Module, batch: Any) -> Tensor:
    """Classification and a hundredth of the balance."""
    return classify(model, batch) + 0.01 * model.balance  # type: ignore[operator]


class SetAttention(nn.Module):
    """A set transformer: learned points attend to all, a learned seed to these."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem, self.points, self.seed = (
            nn.Linear(3, width),
            nn.Parameter(torch.randn(1, 4, width)),
            nn.Parameter(torch.randn(1, 1, width)),
        )
        self.to_points, self.back, self.pool = (nn.MultiheadAttention(width, 2, batch_first=True) for _ in range(3))
        self.ff, self.norm, self.out = mlp(width, width, 32, 1), nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        middle = self.to_points(self.points.expand(len(x), -1, -1), h, h, need_weights=False)[0]
        h = self.norm(h + self.back(h, middle, middle, need_weights=False)[0])
        h = h + self.ff(h)
        return self.out(self.pool(self.seed.expand(len(x), -1, -1), h, h, need_weights=False)[0][:, 0])


class Fake(nn.Module):
    """A linear layer in four bits: rounded going forward, straight through going back."""

    def __init__(self, inputs: int, outputs: int, bits: int = 4) -> None:
        super().__init__()
        self.inner, self.levels = nn.Linear(inputs, outputs), 2 ** (bits - 1) - 1

    def forward(self, x: Tensor) -> Tensor:
        w = self.inner.weight
        step = w.detach().abs().max() / self.levels
        rounded = (w / step).round() * step
        return F.linear(x, w + (rounded - w).detach(), self.inner.bias)


class Sign(torch.autograd.Function):
    """The sign, whose gradient is that of a clip."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (ctx.saved_tensors[0].abs() <= 1).float()


class Binary(nn.Module):
    """Weights and activations of one bit in the middle, with norms, as in BinaryConnect."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(24, 64), nn.Linear(64, 64, bias=False), nn.Linear(64, 4)
        self.norm_one, self.norm_two = nn.BatchNorm1d(64), nn.BatchNorm1d(64)
        nn.init.uniform_(self.two.weight, -0.5, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = Sign.apply(self.norm_one(self.one(x)))
        h = F.linear(h, Sign.apply(self.two.weight)) / 8
        return self.three(F.hardtanh(self.norm_two(h)))


class Maxout(nn.Module):
    """The largest of four linear functions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(24, 96), nn.Linear(24, 96), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.two(self.one(x).view(-1, 24, 4).amax(2)).view(-1, 24, 4).amax(2))


class Deepened(nn.Module):
    """Twelve residual blocks, each skipped for some samples, more often the deeper (DropPath), scaled by a small gain."""

    def __init__(self, width: int = 32, depth: int = 12) -> None:
        super().__init__()
        self.stem, self.out, self.norm = nn.Linear(24, width), nn.Linear(width, 4), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
            for _ in range(depth)
        )
        self.gain = nn.ParameterList(nn.Parameter(1e-4 * torch.ones(width)) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for number, block in enumerate(self.blocks):
            keep = (torch.rand(len(h), 1) > 0.02 * number).float() if self.training else 1.0
            h = h + keep * self.gain[number] * block(h)
        return self.out(self.norm(h))


def pruned() -> nn.Module:
    """Half of the first layer's weights masked away by torch's pruning: weight_orig and weight_mask."""
    net: Any = mlp(24, 4, 64, 2)
    prune.l1_unstructured(net[0], "weight", amount=0.5)
    prune.random_unstructured(net[2], "weight", amount=0.3)
    return net


def normed() -> nn.Module:
    """Weight norm on convolutions, spectral norm on the head."""
    return nn.Sequential(parametrizations.weight_norm(nn.Conv2d(1, 12, 3, 2, 1)), nn.ELU(), parametrizations.weight_norm(nn.Conv2d(12, 16, 3, 2, 1)), nn.ELU(),
                         nn.Flatten(), nn.Linear(144, 24), nn.ELU(), parametrizations.spectral_norm(nn.Linear(24, 4)))  # fmt: skip


class Again(nn.Module):
    """Segments whose activations are computed anew in backward."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [Residual(mlp(32, 32, 32, 1, nn.SiLU), norm=nn.LayerNorm(32)) for _ in range(4)]
        self.stem, self.blocks, self.out = nn.Linear(24, 32), nn.Sequential(*blocks), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(checkpoint_sequential(self.blocks, 2, self.stem(x), use_reentrant=False))


class Padded(nn.Module):
    """Packed sentences of different lengths; the row of the padding never learns."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.core, self.out = (
            nn.Embedding(41, 16, padding_idx=0),
            nn.LSTM(16, 24, batch_first=True),
            nn.Linear(24, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x > 0).sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(x), lengths, batch_first=True, enforce_sorted=False)
        return self.out(
            nn.utils.rnn.pad_packed_sequence(self.core(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        )


def ragged(seed: int) -> Batches:
    """Return tagged sentences of three to ten words; zeros follow, whose tag is -100."""
    x, y = tasks.tags(seed).tensors
    gone = torch.arange(10)[None] >= torch.randint(3, 11, (len(x), 1), generator=tasks.dice(seed + 1))
    return Batches(((x + 1).masked_fill(gone, 0), y.masked_fill(gone, -100)), 24, seed)


def shared_table(seed: int) -> Training:
    """Sparse gradients: SparseAdam for the tables, Adam for the rest."""
    model = Fields(sparse=True)
    tables = [model.embed.weight, model.wide.weight]
    pair = [torch.optim.SparseAdam(tables, lr=1e-2), by("adam", 5e-3, model.deep.parameters())]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        for each_one in optimizers:
            each_one.zero_grad()
        loss = yes_or_no(net, batch)
        loss.backward()
        for each_one in optimizers:
            each_one.step()
        return loss

    return Training(model, tasks.clicks(seed), pair, train_step=step)


class Experts(nn.Module):
    """Multi-gate mixture: shared experts, a gate and a tower for each of two tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(mlp(24, 16, 32, 1) for _ in range(3))
        self.gates, self.towers = (
            nn.ModuleList(nn.Linear(24, 3) for _ in range(2)),
            nn.ModuleList(nn.Linear(16, 2) for _ in range(2)),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        h = torch.stack([expert(x) for expert in self.experts], 1)
        return [
            tower((gate(x).softmax(1)[..., None] * h).sum(1))
            for gate, tower in zip(self.gates, self.towers, strict=True)
        ]


def both_tasks(model: nn.Module, batch: Any) -> Tensor:
    """Two labels from the class's two bits."""
    one, two = model(batch[0])
    return F.cross_entropy(one, batch[1] // 2) + F.cross_entropy(two, batch[1] % 2)


CASES: list[Case] = [
    *each("experts-top-2", "idle experts", Sparse, tasks.tags, balanced, {"adam": 1e-2, "adamw": 5e-3}),
    *each("experts-two-tasks", "idle experts", Experts, tasks.factors, both_tasks, {"adam": 5e-3}),
    *each("set-transformer", "sets", SetAttention, tasks.clouds, classify, {"adam": 5e-3, "adamw": 3e-3}),
    *each("four-bits", "quantised", lambda: nn.Sequential(Fake(24, 48), nn.ReLU(), Fake(48, 48), nn.ReLU(), Fake(48, 4)), tasks.factors, classify, {"adam": 5e-3, "nesterov": 0.03}),
    *each("binary", "quantised", Binary, tasks.factors, classify, {"adam": 1e-2}, 80),
    *each("maxout", "dense", Maxout, tasks.factors, classify, {"sgd": 0.03, "adagrad": 0.02}),
    *each("layer-scale-drop-path", "residual", Deepened, tasks.factors, classify, {"adamw": 5e-3}),
    *each("pruned", "parametrised", pruned, tasks.factors, classify, {"adam": 5e-3}),
    *each("weight-norm-convolutions", "parametrised", normed, tasks.shapes, classify, {"adam": 5e-3, "sgd": 0.05}),
    *each("checkpoint-segments", "checkpointing", Again, tasks.factors, classify, {"adamw": 5e-3}),
    *each("packed-tags", "recurrent", Padded, ragged, lambda model, batch: F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten()), {"adam": 2e-2}),
    healthy("sparse-tables", "embeddings", seeded(shared_table), 100),
    *each("gcn", "graph nets", Convolved, tasks.community, classify, {"adam": 2e-2, "adamw": 1e-2}),
    *each("gin", "graph nets", partial(Convolved, "gin"), tasks.community, classify, {"adam": 1e-2}),
    *each("gat", "graph nets", partial(Convolved, "gat"), tasks.community, classify, {"adam": 1e-2, "nadam": 1e-2}),
    *each("pointnet-regresses", "sets", partial(PointNet, 1), lambda seed: Batches((tasks.clouds(seed).tensors[0], tasks.standard(tasks.clouds(seed).tensors[0].square().mean((1, 2))[:, None])), 24, seed), squared, {"adam": 5e-3}),
    *each("bag-of-letters", "embeddings", lambda: nn.Sequential(nn.EmbeddingBag(12, 16, mode="max"), nn.Linear(16, 4)), partial(tasks.first_word, length=9), classify, {"adam": 3e-2}, 80),
    *each("lenet-selu", "convolutional", partial(LeNet, nn.SELU), tasks.shapes, classify, {"decayed": 0.02}),
    *each("tagger-rnn", "recurrent", partial(Tagger, "RNN"), tasks.tags, classify, {"adam": 1e-2, "rmsprop": 3e-3}),
]  # fmt: skip
