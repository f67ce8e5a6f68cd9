"""Healthy sequence networks: nn.Transformer, own cells, state spaces, linear attention, CRFs, words by negatives."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.second import tasks as words
from benchmarks.doctor.second.common import classify, each, next_one, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.tasks import Net


def sorter(width: int = 32) -> nn.Module:
    """nn.Transformer, which reads digits and writes them in order; 0 starts."""

    def run(m: Any, x: Tensor, y: Tensor) -> Tensor:
        said = F.pad(y[:, :-1], (1, 0))
        place = m.place[: x.shape[1]]
        return m.out(m.core(m.embed(x) + place, m.embed(said) + place, tgt_mask=m.later[: y.shape[1], : y.shape[1]]))

    return Net(run, embed=nn.Embedding(8, width), place=nn.Parameter(0.1 * torch.randn(8, width)), later=torch.full((8, 8), float("-inf")).triu(1), out=nn.Linear(width, 8),
               core=nn.Transformer(width, 4, 1, 1, 64, 0.0, batch_first=True))  # fmt: skip


def sorted_(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of each digit, those before it given."""
    return F.cross_entropy(model(*batch).flatten(0, 1), batch[1].flatten())


def padded(width: int = 24, norm_first: bool = False) -> nn.Module:
    """nn.TransformerEncoder with padding masked, and a mean over what is not padding."""
    layer = nn.TransformerEncoderLayer(width, 3, 48, 0.1, "gelu", batch_first=True, norm_first=norm_first)

    def run(m: Any, x: Tensor) -> Tensor:
        off = x == 0
        h = m.core(m.embed(x), src_key_padding_mask=off).masked_fill(off[..., None], 0.0)
        return m.out(h.sum(1) / (~off).sum(1, keepdim=True))

    return Net(
        run,
        embed=nn.Embedding(60, width, padding_idx=0),
        core=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        out=nn.Linear(width, 2),
    )


def text_cnn() -> nn.Module:
    """Kim's convolutions of three widths, each with the largest over time."""
    return Net(lambda m, x: m.out(m.drop(torch.cat([F.relu(c(m.embed(x).transpose(1, 2))).amax(2) for c in m.convolutions], 1))),
               embed=nn.Embedding(60, 20, padding_idx=0), convolutions=nn.ModuleList(nn.Conv1d(20, 16, n, padding=1) for n in (2, 3, 4)), drop=nn.Dropout(0.3), out=nn.Linear(48, 2))  # fmt: skip


def rolled(cell: Any, parts: dict[str, Any], words_: int, out: int, width: int = 32, last: bool = False) -> nn.Module:
    """A cell of one's own, step by step: of words, or of numbers if there are none."""

    def run(m: Any, x: Tensor) -> Tensor:
        e = m.embed(x)
        state = tuple(e.new_zeros(len(x), width) for _ in range(2))
        seen = []
        for step in e.unbind(1):
            state = cell(m, step, state)
            seen.append(state[0])
        return m.out(seen[-1] if last else torch.stack(seen, 1))

    return Net(
        run, embed=nn.Embedding(words_, width) if words_ else nn.Linear(2, width), out=nn.Linear(width, out), **parts
    )


def normed_lstm(m: Any, e: Tensor, state: Any) -> Any:
    """An LSTM with layer norms within."""
    h, c = state
    i, f, o, g = m.norm(m.gates(torch.cat((e, h), 1))).chunk(4, 1)
    c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(m.norm_c(c)), c


def minimal(m: Any, e: Tensor, state: Any) -> Any:
    """A minimal gated unit: one gate."""
    h, _ = state
    gate = torch.sigmoid(m.gate(torch.cat((e, h), 1)))
    return (1 - gate) * h + gate * torch.tanh(m.new(torch.cat((e, gate * h), 1))), h


def identity(m: Any, e: Tensor, state: Any) -> Any:
    """Le, Jaitly and Hinton's ReLU recurrence, which starts as the identity."""
    return F.relu(0.1 * e + m.carry(state[0])), state[1]


def irnn() -> nn.Module:
    """The recurrence of `identity`."""
    carry = nn.Linear(32, 32)
    nn.init.eye_(carry.weight)
    nn.init.zeros_(carry.bias)
    return rolled(identity, {"carry": carry}, 0, 1, last=True)


def chrono() -> nn.Module:
    """An LSTM whose forget gates start wide open, each for another length of time."""
    core = nn.LSTM(2, 32, batch_first=True)
    with torch.no_grad():
        core.bias_ih_l0.zero_()
        core.bias_hh_l0.zero_()
        core.bias_ih_l0[32:64] = torch.log(torch.empty(32).uniform_(1, 60))
        core.bias_ih_l0[:32] = -core.bias_ih_l0[32:64]
    return Net(lambda m, x: m.out(m.core(x)[0][:, -1]), core=core, out=nn.Linear(32, 1))


def state_space(width: int = 32) -> nn.Module:
    """A diagonal state space: exponents that decay, at many speeds, as a convolution over all of time."""

    def run(m: Any, x: Tensor) -> Tensor:
        t = torch.arange(x.shape[1])
        kernel = torch.exp(-m.decay.exp()[:, None] * t) * torch.cos(m.turn[:, None] * t)
        u = m.into(x).transpose(1, 2)
        n = 2 * x.shape[1]
        y = torch.fft.irfft(torch.fft.rfft(u, n) * torch.fft.rfft(kernel, n), n)[..., : x.shape[1]]
        return m.out(F.gelu(m.norm(y.transpose(1, 2)))[:, -1])

    return Net(
        run,
        decay=nn.Parameter(torch.linspace(-6, 0, width)),
        turn=nn.Parameter(torch.linspace(0, 1.5, width)),
        into=nn.Linear(2, width),
        norm=nn.LayerNorm(width),
        out=nn.Linear(width, 1),
    )


def linear_attention(width: int = 32, kind: str = "linear") -> nn.Module:
    """Causal attention without a softmax, or with rotated queries and keys, or with ALiBi's slopes."""

    def turned(h: Tensor) -> Tensor:
        angle = torch.arange(h.shape[1])[:, None] / 50 ** torch.linspace(0, 1, width // 2)
        one, two = h.chunk(2, 2)
        return torch.cat((one * angle.cos() - two * angle.sin(), one * angle.sin() + two * angle.cos()), 2)

    def run(m: Any, x: Tensor) -> Tensor:
        h = m.embed(x)
        for norm, qkv, mix in zip(m.norms, m.qkvs, m.mixes, strict=True):
            q, k, v = qkv(norm(h)).chunk(3, 2)
            t = torch.arange(x.shape[1])
            if kind == "linear":
                q, k = F.elu(q) + 1, F.elu(k) + 1
                a = (q @ k.transpose(1, 2)).tril()
                a = a / a.sum(2, keepdim=True)
            else:
                q, k = (turned(q), turned(k)) if kind == "rotated" else (q, k)
                bias = -0.2 * (t[:, None] - t) if kind == "alibi" else 0.0
                a = (q @ k.transpose(1, 2) / width**0.5 + bias).masked_fill(t > t[:, None], float("-inf")).softmax(2)
            h = h + mix(a @ v)
        return m.out(m.last(h))

    return Net(run, embed=nn.Embedding(27, width), norms=nn.ModuleList(nn.LayerNorm(width) for _ in range(2)), qkvs=nn.ModuleList(nn.Linear(width, 3 * width, False) for _ in range(2)),
               mixes=nn.ModuleList(nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(2)), last=nn.LayerNorm(width), out=nn.Linear(width, 27))  # fmt: skip


def gated_convolutions() -> nn.Module:
    """Causal convolutions with GLUs, as language models had them before transformers."""

    def run(m: Any, x: Tensor) -> Tensor:
        h = m.embed(x).transpose(1, 2)
        for conv in m.convolutions:
            h = h + F.glu(conv(F.pad(h, (3, 0))), 1)
        return m.out(h.transpose(1, 2))

    return Net(
        run,
        embed=nn.Embedding(27, 24),
        convolutions=nn.ModuleList(nn.Conv1d(24, 48, 4) for _ in range(3)),
        out=nn.Linear(24, 27),
    )


def projected() -> nn.Module:
    """An LSTM of two layers, both ways, projected, with dropout between."""
    return Net(
        lambda m, x: m.out(m.core(m.embed(x))[0]),
        embed=nn.Embedding(2, 8),
        core=nn.LSTM(8, 24, 2, batch_first=True, dropout=0.1, bidirectional=True, proj_size=12),
        out=nn.Linear(24, 4),
    )


def echo() -> nn.Module:
    """An echo state network: the recurrence is drawn once and never learns."""
    core = nn.RNN(2, 64, batch_first=True)
    nn.init.orthogonal_(core.weight_hh_l0, 0.98)
    core.requires_grad_(False)
    return Net(lambda m, x: m.out(m.core(x)[0][:, ::6].flatten(1)), core=core, out=nn.Linear(128, 1))


def crf() -> nn.Module:
    """A GRU under a conditional random field; the model returns its loss."""

    def run(m: Any, x: Tensor, y: Tensor) -> Tensor:
        score = m.out(m.core(m.embed(x))[0])
        path = score.gather(2, y[..., None])[..., 0].sum(1) + m.move[y[:, :-1], y[:, 1:]].sum(1)
        every = score[:, 0]
        for step in score[:, 1:].unbind(1):
            every = torch.logsumexp(every[:, :, None] + m.move, 1) + step
        return (torch.logsumexp(every, 1) - path).mean()

    return Net(
        run,
        embed=nn.Embedding(2, 8),
        core=nn.GRU(8, 16, batch_first=True),
        out=nn.Linear(16, 4),
        move=nn.Parameter(torch.zeros(4, 4)),
    )


def rare_last() -> nn.Module:
    """nn.AdaptiveLogSoftmaxWithLoss, whose clusters of rare words have small heads; returns its loss."""
    return Net(
        lambda m, x: m.out(m.core(m.embed(x[:, :-1]))[0].flatten(0, 1), x[:, 1:].flatten()).loss,
        embed=nn.Embedding(27, 24),
        core=nn.GRU(24, 32, batch_first=True),
        out=nn.AdaptiveLogSoftmaxWithLoss(32, 27, [8, 18]),
    )


def itself(model: nn.Module, batch: Any) -> Tensor:
    """The model returns its loss."""
    value: Tensor = model(*batch)
    return value


def skip_grams(seed: int, sparse: bool) -> Training:
    """Words by their neighbours against drawn ones; sparse gradients under SparseAdam, or summed under Adagrad."""
    net = Net(
        lambda m, a, b: (m.middle(a) * m.around(b)).sum(-1),
        middle=nn.Embedding(27, 12, sparse=sparse),
        around=nn.Embedding(27, 12, sparse=sparse),
    )

    def loss(model: nn.Module, batch: Any) -> Tensor:
        a, b = batch[0][:, :-1].flatten(), batch[0][:, 1:].flatten()
        drawn = torch.randint(0, 27, (len(a), 4))
        return F.softplus(-model(a, b)).mean() + F.softplus(model(a[:, None], drawn)).sum(1).mean()

    kind: Any = torch.optim.SparseAdam if sparse else torch.optim.Adagrad
    return Training(net, words.corpus(seed), kind(list(net.parameters()), lr=2e-2 if sparse else 0.2), loss)


CASES: list[Case] = [
    *each("transformer-sorts", "transformers", sorter, tasks.sorting, sorted_, {"adam": 3e-3, "adamw": 3e-3}, 100),
    *each("padded-reviews", "transformers", padded, tasks.reviews, classify, {"adamw": 5e-3}, 100),
    *each("padded-reviews-norm-first", "transformers", partial(padded, norm_first=True), tasks.reviews, classify, {"adam": 5e-3}, 100),
    *each("text-cnn", "convolutional", text_cnn, tasks.reviews, classify, {"adam": 1e-2, "adadelta": 2.0}, 120),
    *each("bag-of-words-mean", "embeddings", lambda: nn.Sequential(nn.EmbeddingBag(60, 16, mode="mean", padding_idx=0), nn.Linear(16, 2)), tasks.reviews, classify, {"adam": 3e-2, "plain": 1.0}, 100),
    *each("normed-lstm-cell", "recurrent", lambda: rolled(normed_lstm, {"gates": nn.Linear(64, 128), "norm": nn.LayerNorm(128), "norm_c": nn.LayerNorm(32)}, 2, 4), tasks.brackets, classify, {"adam": 1e-2, "rmsprop": 3e-3}, 80),
    *each("minimal-gated-cell", "recurrent", lambda: rolled(minimal, {"gate": nn.Linear(64, 32), "new": nn.Linear(64, 32)}, 2, 4), tasks.brackets, classify, {"adam": 1e-2, "nadam": 1e-2}, 80),
    *each("identity-recurrence", "recurrent", irnn, partial(tasks.opening, length=15), squared, {"adam": 3e-3}, 120),
    *each("chrono-lstm", "recurrent", chrono, tasks.opening, squared, {"adam": 1e-2}, 120),
    *each("state-space", "recurrent", state_space, tasks.opening, squared, {"adam": 5e-3, "adamw": 1e-2}, 100),
    *[case for kind, rate in (("linear", 5e-3), ("rotated", 5e-3), ("alibi", 3e-3)) for case in each(f"attention-{kind}", "transformers from scratch", partial(linear_attention, kind=kind), words.corpus, next_one, {"adamw": rate}, 60)],
    *each("gated-convolutions", "convolutional", gated_convolutions, words.corpus, next_one, {"nesterov": 0.1, "adam": 1e-2}, 60),
    *each("projected-lstm", "recurrent", projected, tasks.brackets, classify, {"adam": 1e-2}, 80),
    *each("echo-state", "recurrent", echo, partial(tasks.opening, length=12), squared, {"adam": 1e-2}, 100),
    *each("crf-over-gru", "recurrent", crf, tasks.brackets, itself, {"adam": 2e-2}, 60),
    *each("adaptive-softmax", "recurrent", rare_last, words.corpus, itself, {"adam": 1e-2, "adagrad": 0.05}, 80),
    *[healthy(f"skip-grams-{name}", "embeddings", seeded(partial(skip_grams, sparse=sparse)), 100) for name, sparse in (("sparse", True), ("dense", False))],
]  # fmt: skip
