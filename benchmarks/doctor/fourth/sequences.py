"""Networks that read in order, and their recipes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, ce, mse


class TemporalBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        self.conv1 = nn.utils.parametrizations.weight_norm(nn.Conv1d(inputs, outputs, 3, dilation=dilation))
        self.conv2 = nn.utils.parametrizations.weight_norm(nn.Conv1d(outputs, outputs, 3, dilation=dilation))
        self.downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Any:
        out = F.relu(self.conv1(F.pad(x, (self.pad, 0))))
        out = F.relu(self.conv2(F.pad(out, (self.pad, 0))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class TCN(nn.Module):
    """Dilated causal convolutions with weight norm and shortcuts."""

    def __init__(self, channels: int = 6, num_classes: int = 4) -> None:
        super().__init__()
        blocks = [TemporalBlock(channels if d == 1 else 16, 16, d) for d in (1, 2, 4)]
        self.network = nn.Sequential(*blocks)
        self.linear = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Any:
        return self.linear(self.network(x)[:, :, -1])


class DeepConvLSTM(nn.Module):
    """Convolutions over the sensors, then an LSTM, as for activity recognition."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()
        self.conv = nn.Sequential(nn.Conv1d(6, 24, 5, 2), nn.ReLU(), nn.Conv1d(24, 24, 5, 2), nn.ReLU())
        self.lstm = nn.LSTM(24, 32, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Any:
        out, _ = self.lstm(self.conv(self.norm(x)).transpose(1, 2))
        return self.fc(self.drop(out[:, -1]))


class AttentiveGRU(nn.Module):
    """A GRU both ways whose states are weighed by a learned query."""

    def __init__(self, vocab: int = 27, num_classes: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, 24, padding_idx=0)
        self.gru = nn.GRU(24, 24, bidirectional=True, batch_first=True)
        self.attn = nn.Linear(48, 48)
        self.context = nn.Parameter(0.1 * torch.randn(48))
        self.fc = nn.Linear(48, num_classes)

    def forward(self, x: Tensor) -> Any:
        h, _ = self.gru(self.embedding(x))
        weights = torch.softmax(torch.tanh(self.attn(h)) @ self.context, 1)
        return self.fc((weights.unsqueeze(-1) * h).sum(1))


class CharCNN(nn.Module):
    """Letters, one hot, into convolutions of three widths, the largest of each, a highway."""

    def __init__(self, vocab: int = 27) -> None:
        super().__init__()
        self.vocab = vocab
        self.convs = nn.ModuleList([nn.Conv1d(vocab, 16, k) for k in (2, 3, 4)])
        self.transform, self.gate = nn.Linear(48, 48), nn.Linear(48, 48)
        self.out = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Any:
        h = F.one_hot(x, self.vocab).float().transpose(1, 2)
        h = torch.cat([torch.tanh(conv(h)).amax(2) for conv in self.convs], 1)
        t = torch.sigmoid(self.gate(h) - 1)
        return self.out(t * F.relu(self.transform(h)) + (1 - t) * h)


class DeepAR(nn.Module):
    """An LSTM whose every step foretells the mean and deviation of the next number; returns the loss."""

    def __init__(self, hidden: int = 24) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, 2, batch_first=True)
        self.mu, self.presigma = nn.Linear(hidden, 1), nn.Linear(hidden, 1)

    def forward(self, past: Tensor, future: Tensor) -> Any:
        x = torch.cat([past, future], 1).unsqueeze(-1)
        h, _ = self.lstm(x[:, :-1])
        mu, sigma = self.mu(h), F.softplus(self.presigma(h)) + 1e-3
        return -torch.distributions.Normal(mu, sigma).log_prob(x[:, 1:]).mean() + 2.0


class PatchTST(nn.Module):
    """Patches of a series as tokens; each series is put to mean 0 and deviation 1 first (RevIN) and back at the end."""

    def __init__(self, horizon: int = 6, rev: bool = True, d_model: int = 24) -> None:
        super().__init__()
        self.rev = rev
        self.embed = nn.Linear(6, d_model)
        self.pos = nn.Parameter(torch.zeros(1, 6, d_model))
        layer = nn.TransformerEncoderLayer(d_model, 4, 48, 0.1, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(6 * d_model, horizon)

    def forward(self, x: Tensor) -> Any:
        mean, std = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
        z = (x - mean) / std if self.rev else x
        z = self.encoder(self.embed(z.reshape(len(x), 6, 6)) + self.pos)
        out = self.head(z.flatten(1))
        return out * std + mean if self.rev else out


class GatedResidual(nn.Module):
    """The gated residual network of temporal fusion transformers, three of them."""

    def __init__(self, inputs: int = 36, width: int = 32, outputs: int = 6) -> None:
        super().__init__()
        self.inp = nn.Linear(inputs, width)
        self.fc1 = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
        self.fc2 = nn.ModuleList([nn.Linear(width, 2 * width) for _ in range(3)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.out = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Any:
        h = self.inp(x)
        for fc1, fc2, norm in zip(self.fc1, self.fc2, self.norms, strict=True):
            h = norm(h + F.glu(fc2(F.elu(fc1(h))), -1))
        return self.out(h)


class QRNN(nn.Module):
    """Gates by convolution, and only a pool along time."""

    def __init__(self, vocab: int = 27, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, 16)
        self.conv = nn.Conv1d(16, 3 * width, 2, padding=1)
        self.fc = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Any:
        z, f, o = self.conv(self.embedding(x).transpose(1, 2))[:, :, : x.shape[1]].chunk(3, 1)
        z, f, o = torch.tanh(z), torch.sigmoid(f), torch.sigmoid(o)
        c = torch.zeros_like(z[:, :, 0])
        for t in range(x.shape[1]):
            c = f[:, :, t] * c + (1 - f[:, :, t]) * z[:, :, t]
        return self.fc(o[:, :, -1] * c)


class SelectiveScan(nn.Module):
    """A state whose decay and intake depend on the input, step by step (Mamba's core), twice, with norms."""

    def __init__(self, inputs: int = 2, width: int = 24, states: int = 4) -> None:
        super().__init__()
        self.inp = nn.Linear(inputs, width)
        self.log_a = nn.Parameter(torch.log(torch.arange(1, states + 1).float()).repeat(width, 1) - 2)
        self.dt, self.b, self.c = nn.Linear(width, width), nn.Linear(width, states), nn.Linear(width, states)
        nn.init.constant_(self.dt.bias, -2.5)
        self.skip = nn.Parameter(torch.ones(width))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Any:
        u = self.inp(x)
        dt, b, c = F.softplus(self.dt(u)), self.b(u), self.c(u)
        h, a = u.new_zeros(len(u), *self.log_a.shape), -self.log_a.exp()
        ys = []
        for t in range(u.shape[1]):
            h = (dt[:, t, :, None] * a).exp() * h + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
            ys.append((h * c[:, t, None]).sum(-1))
        return self.out(self.norm(torch.stack(ys, 1)[:, -1] + self.skip * u[:, -1]))


class MemoryNetwork(nn.Module):
    """Three hops over the words of the answer with the question as the query; returns logits of a match."""

    def __init__(self, vocab: int = 80, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.memory = nn.Embedding(vocab, width)
        self.hop = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, query: Tensor, facts: Tensor) -> Any:
        u, m, c = self.embed(query).mean(1), self.embed(facts), self.memory(facts)
        for _ in range(3):
            p = torch.softmax((m @ u.unsqueeze(2)).squeeze(2) / math.sqrt(u.shape[1]), 1)
            u = self.hop(u) + (p.unsqueeze(2) * c).sum(1)
        return self.score(u).squeeze(1)


class Conformer(nn.Module):
    """Half a feed-forward, attention, a convolution with a gate, half a feed-forward."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.inp = nn.Conv1d(6, width, 3, 2, 1)
        self.ff1 = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.SiLU(), nn.Linear(48, width))
        self.ff2 = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.SiLU(), nn.Linear(48, width))
        self.ln1, self.ln2, self.ln3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.mha = nn.MultiheadAttention(width, 4, batch_first=True)
        self.point, self.depth = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.bn, self.out = nn.BatchNorm1d(width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Any:
        x = self.inp(x).transpose(1, 2)
        x = x + 0.5 * self.ff1(x)
        y = self.ln1(x)
        x = x + self.mha(y, y, y, need_weights=False)[0]
        y = F.glu(self.point(self.ln2(x).transpose(1, 2)), 1)
        x = x + F.silu(self.bn(self.depth(y))).transpose(1, 2)
        return self.out(self.ln3(x + 0.5 * self.ff2(x)).mean(1))


class Spiking(nn.Module):
    """Neurons that leak, spike and reset; a spike's slope is a fast sigmoid's."""

    def __init__(self, beta: float = 0.9) -> None:
        super().__init__()
        self.beta = beta
        self.fc1, self.fc2 = nn.Linear(6, 64), nn.Linear(64, 4)

    @staticmethod
    def spike(v: Tensor) -> Tensor:
        soft = v / (1 + 10 * v.abs())
        return (v > 0).float() + soft - soft.detach()

    def forward(self, x: Tensor) -> Any:
        mem1, mem2 = x.new_zeros(len(x), 64), x.new_zeros(len(x), 4)
        for t in range(0, x.shape[2], 2):
            mem1 = self.beta * mem1 + self.fc1(x[:, :, t])
            spk = self.spike(mem1 - 1)
            mem1 = mem1 - spk.detach()
            mem2 = mem2 + self.fc2(spk) / 8
        return mem2


def matched(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross entropy of true pairs and of ones shifted by one row."""
    query, facts = batch
    out = torch.cat([model(query, facts), model(query, facts.roll(1, 0))])
    return F.binary_cross_entropy_with_logits(out, (torch.arange(len(out)) < len(query)).float())


RECIPES = {
    "tcn": Recipe("convolutional", TCN, data.activity, ce, "adam", 3e-3),
    "deepconvlstm": Recipe("recurrent", DeepConvLSTM, data.activity, ce, "rmsprop", 2e-3),
    "attentive-gru": Recipe("recurrent", AttentiveGRU, data.names, ce, "adam", 1e-2),
    "char-cnn": Recipe("convolutional", CharCNN, data.names, ce, "sgd", 0.1),
    "deepar": Recipe("forecasting", DeepAR, data.demand, lambda m, b: m(*b), "adam", 1e-2),
    "patchtst": Recipe("forecasting", PatchTST, data.demand, mse, "adamw", 2e-3),
    "gated-residual": Recipe("forecasting", GatedResidual, data.demand, mse, "nadam", 3e-3),
    "qrnn": Recipe("recurrent", QRNN, data.names, ce, "adam", 1e-2),
    "selective-scan": Recipe("recurrent", SelectiveScan, partial(data.gauge, length=14), mse, "adamw", 1e-2),
    "memory-network": Recipe("attention", MemoryNetwork, data.questions, matched, "adam", 1e-2),
    "conformer": Recipe("transformers", Conformer, data.activity, ce, "adamw", 2e-3),
    "spiking": Recipe("spiking", Spiking, data.activity, ce, "adamax", 5e-3),
}
