"""Nets of the sixth zoo's healthy trainings."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.sixth.parts_c import dense


class Process(nn.Module):
    """An exact Gaussian process on the features of a net."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(2, 16, 2, act=nn.Tanh)
        self.log_scale, self.log_noise, self.log_long = (nn.Parameter(torch.tensor(v)) for v in (0.0, 0.0, 0.0))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z = self.net(x) / self.log_long.exp()
        k = self.log_scale.exp() * torch.exp(-0.5 * (z[:, None] - z[None]).square().sum(-1))
        low = torch.linalg.cholesky(k + (self.log_noise.exp() + 1e-4) * torch.eye(len(x)))
        a = torch.cholesky_solve(y[:, None], low)[:, 0]
        return 0.5 * (y @ a + 2 * low.diagonal().log().sum()) / len(x) + 0.919


class Factors(nn.Module):
    """A factorisation machine and a deep part over eight categories, most of them rare."""

    def __init__(self, count: int = 100) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(8 * count, 1), nn.Embedding(8 * count, 6)
        nn.init.normal_(self.second.weight, std=0.1)
        nn.init.zeros_(self.first.weight)
        self.deep, self.count = dense(48, 48, 1), count

    def forward(self, x: Tensor) -> Any:
        x = x + self.count * torch.arange(8)
        v = self.second(x)
        pairs = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
        return self.first(x).sum((1, 2)) + pairs + self.deep(v.flatten(1))[:, 0]


class Blocks(nn.Module):
    """N-BEATS: each block explains a part of the past and takes it away."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(dense(24, 48, 48), nn.ReLU(), nn.Linear(48, 30)) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        ahead = torch.zeros(len(x), 6)
        for block in self.blocks:
            back, more = block(x).split([24, 6], 1)
            x, ahead = x - back, ahead + more
        return ahead


class Attending(nn.Module):
    """A graph attention of two layers on dense adjacency."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.maps = nn.ModuleList([nn.Linear(6, d), nn.Linear(d, d)])
        self.scores = nn.ModuleList(nn.Linear(d, 2) for _ in range(2))
        self.head = nn.Linear(d, 3)

    def forward(self, x: Tensor, links: Tensor) -> Any:
        for layer, score in zip(self.maps, self.scores, strict=True):
            h = layer(x)
            a, b = score(h).split(1, 2)
            weights = F.leaky_relu(a + b.transpose(1, 2), 0.2).masked_fill(links == 0, -1e9).softmax(2)
            x = F.elu(weights @ h) + h
        return self.head(x.sum(1))


class Sets(nn.Module):
    """A set transformer: sixteen points look at four learned ones and are pooled by a seed."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.into, self.points = nn.Linear(2, d), nn.Parameter(torch.randn(1, 4, d) * 0.1)
        self.a, self.b, self.pool = (nn.MultiheadAttention(d, 4, batch_first=True) for _ in range(3))
        self.seed, self.head = nn.Parameter(torch.randn(1, 1, d) * 0.1), nn.Linear(d, 1)

    def forward(self, x: Tensor) -> Any:
        h, few = self.into(x), self.points.expand(len(x), -1, -1)
        few = few + self.a(few, h, h, need_weights=False)[0]
        h = h + self.b(h, few, few, need_weights=False)[0]
        return self.head(self.pool(self.seed.expand(len(x), -1, -1), h, h, need_weights=False)[0])[:, 0]


class Noam(nn.Module):
    """A small translator with norms after the sums, as in the first paper."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, d), nn.Parameter(0.02 * torch.randn(16, d))
        self.body = nn.Transformer(d, 4, 1, 1, 64, 0.0, batch_first=True)
        self.head = nn.Linear(d, 20)

    def forward(self, source: Tensor, target: Tensor) -> Any:
        a, b = (self.words(x) * math.sqrt(32) + self.places[: x.shape[1]] for x in (source, target))
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.body(a, b, tgt_mask=mask, tgt_is_causal=True))


class Attentive(nn.Module):
    """A reader and a writer of GRUs, with Bahdanau's attention; the writer is fed truth or its own words."""

    def __init__(self, d: int = 48) -> None:
        super().__init__()
        self.words, self.read = nn.Embedding(20, d), nn.GRU(d, d, batch_first=True)
        self.write, self.head = nn.GRUCell(2 * d, d), nn.Linear(d, 20)
        self.a, self.b, self.v = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 1)

    def forward(self, x: Tensor, y: Tensor, truth: float) -> Any:
        memory, last = self.read(self.words(x))
        state, word, out = last[0], torch.ones(len(x), dtype=torch.long), []
        for n in range(y.shape[1]):
            weights = self.v(torch.tanh(self.a(memory) + self.b(state)[:, None])).softmax(1)
            state = self.write(torch.cat([self.words(word), (weights * memory).sum(1)], 1), state)
            out.append(self.head(state))
            word = y[:, n] if torch.rand(()) < truth else out[-1].argmax(1)
        return torch.stack(out, 1)


class Diagonal(nn.Module):
    """A state-space layer: complex decays, read by a convolution of the whole length."""

    def __init__(self, d: int, states: int = 8) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.log(0.5 * torch.ones(d, states)))
        self.turn = nn.Parameter(math.pi * torch.arange(states).float().repeat(d, 1))
        self.c, self.skip = nn.Parameter(torch.randn(d, states, 2) * 0.5**0.5), nn.Parameter(torch.ones(d))
        self.pace = nn.Parameter(torch.rand(d) * 4 - 5)
        self.out = nn.Linear(d, 2 * d)

    def forward(self, x: Tensor) -> Any:
        long, dt = x.shape[1], self.pace.exp()[:, None]
        a = torch.complex(-self.decay.exp(), self.turn)
        c = torch.view_as_complex(self.c) * ((a * dt).exp() - 1) / a
        kernel = 2 * (c[..., None] * (a * dt)[..., None].mul(torch.arange(long)).exp()).sum(1).real
        u = x.transpose(1, 2)
        y = torch.fft.irfft(torch.fft.rfft(u, 2 * long) * torch.fft.rfft(kernel, 2 * long), 2 * long)[..., :long]
        return x + F.glu(self.out(F.gelu((y + u * self.skip[:, None]).transpose(1, 2))))


class Spike(torch.autograd.Function):
    """A step whose derivative, backward, is a bump."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Any:
        """Fire above zero."""
        ctx.save_for_backward(v)
        return (v > 0).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Pretend."""
        return grad / (1 + 10 * ctx.saved_tensors[0].abs()).square()


class Spiking(nn.Module):
    """Two layers of leaky neurons over twelve steps; most are silent at most times."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 96), nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Any:
        current, v, out = self.one(x), torch.zeros(len(x), 96), torch.zeros(len(x), 10)
        for _ in range(12):
            v = 0.8 * v + 0.4 * current
            fired = Spike.apply(v - 1)
            v = v - fired.detach()
            out = 0.9 * out + self.two(fired)
        return out / 12


class Coarse(nn.Linear):
    """Weights of 4 bits and inputs of 8, both straight through; half of the weights are pruned."""

    mask: Tensor

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)
        self.register_buffer("mask", (torch.rand(b, a) > 0.5).float())

    def forward(self, x: Tensor) -> Any:
        w, step = self.weight * self.mask, self.weight.detach().abs().max() / 7
        near = x.detach().abs().max() / 127 + 1e-8
        fine = x + ((x / near).round() * near - x).detach()
        return F.linear(fine, w + ((w / step).round() * step - w).detach(), self.bias)


class TwoOfSix(nn.Module):
    """Six experts, two for each row, a loss for balance."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 6, bias=False)
        self.experts = nn.ModuleList(dense(64, 24, 10) for _ in range(6))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        p = self.gate(x).softmax(1)
        weight, chosen = p.topk(2, 1)
        out = torch.zeros(len(x), 10)
        for n, expert in enumerate(self.experts):
            row, place = (chosen == n).nonzero(as_tuple=True)
            out = out.index_add(0, row, weight[row, place, None] / weight.sum(1)[row, None] * expert(x[row]))
        share = F.one_hot(chosen, 6).float().mean((0, 1))
        return F.cross_entropy(out, y) + 0.05 * 6 * (share * p.mean(0)).sum()


class Angles(nn.Module):
    """Cosines of features and class vectors; the true angle gets a margin."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.centres = dense(64, 96, 32, act=nn.PReLU), nn.Parameter(torch.empty(10, 32))
        nn.init.xavier_uniform_(self.centres)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        cosine = F.linear(F.normalize(self.body(x)), F.normalize(self.centres)).clamp(-1 + 1e-6, 1 - 1e-6)
        wide = torch.cos(torch.acos(cosine) + 0.5)
        return F.cross_entropy(30 * torch.where(F.one_hot(y, 10).bool(), wide, cosine), y)


class Student(nn.Module):
    """A body and a DINO head without bias, its prototypes of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = dense(64, 128, 64, act=nn.GELU), dense(64, 64, 16, act=nn.GELU)
        self.last = nn.utils.parametrizations.weight_norm(nn.Linear(16, 64, bias=False))

    def forward(self, x: Tensor) -> Any:
        return self.last(F.normalize(self.head(self.body(x)), dim=1))


class Online(nn.Module):
    """An encoder and a predictor, norms of batches between."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 32))
        self.predictor = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> Any:
        return self.predictor(self.encoder(x))


class Two(nn.Module):
    """Pictures and words meet in one space; the temperature learns."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.read = dense(64, 96, 24), nn.Sequential(nn.EmbeddingBag(40, 32), nn.Linear(32, 24))
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x: Tensor, words: Tensor) -> Any:
        a, b = F.normalize(self.look(x), dim=1), F.normalize(self.read(words), dim=1)
        logits = self.scale.exp().clamp(max=100) * a @ b.T
        mark = torch.arange(len(x))
        return (F.cross_entropy(logits, mark) + F.cross_entropy(logits.T, mark)) / 2


class Back(torch.autograd.Function):
    """Nothing forward; backward the gradient, turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        """Pass."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Turn."""
        return -grad
