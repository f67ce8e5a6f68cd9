"""Networks as people write them from scratch, which the second zoo's healthy and ill cases share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeNet(nn.Module):
    """The tutorials' network: two convolutions with pooling, three linear layers."""

    def __init__(self, act: Any = nn.ReLU, classes: int = 4, channels: int = 1, drop: float = 0.0) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 3), nn.Conv2d(6, 16, 3)
        self.pool, self.act = nn.MaxPool2d(2), act()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 1 * 1, 48), nn.Linear(48, 32), nn.Linear(32, classes)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = self.drop(self.act(self.fc1(x)))
        return self.fc3(self.act(self.fc2(x)))


class SelfAttention(nn.Module):
    """Causal or free attention of several heads, written out as in minGPT."""

    def __init__(self, width: int, heads: int, causal: bool, scale: float | None = None) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal
        self.scale = (heads / width) ** 0.5 if scale is None else scale

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * self.scale
        if self.causal:
            scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    """Norm, attention, norm, two linear layers, all on a stream."""

    def __init__(self, width: int, heads: int = 2, causal: bool = True, scale: float | None = None) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal, scale)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    """A tiny GPT over letters, with normal weights of 0.02, tied or not."""

    def __init__(self, depth: int = 2, width: int = 32, letters: int = 27, tied: bool = False) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(letters, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.ln, self.head = nn.LayerNorm(width), nn.Linear(width, letters, bias=False)
        self.apply(self._init)
        if tied:
            self.head.weight = self.wte.weight

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.head(self.ln(h))


class ViT(nn.Module):
    """A vision transformer from scratch: patches of four pixels a side, a class token."""

    def __init__(self, classes: int = 4, width: int = 32, depth: int = 2, channels: int = 1, side: int = 12) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, width, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, (side // 4) ** 2 + 1, width))
        self.blocks = nn.Sequential(*[Block(width, 4, causal=False) for _ in range(depth)])
        self.ln, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat((self.token.expand(len(h), -1, -1), h), 1) + self.place
        return self.head(self.ln(self.blocks(h))[:, 0])


class Tagger(nn.Module):
    """An embedding, a recurrent layer in one or both directions, a tag per word."""

    def __init__(self, kind: str = "LSTM", words: int = 40, width: int = 24, out: int = 4, both: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, 16)
        self.core: Any = getattr(nn, kind)(16, width, batch_first=True, bidirectional=both)
        self.out = nn.Linear(width * (1 + both), out)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.core(self.embed(x))[0])


class Elman(nn.Module):
    """The tutorials' recurrence by hand: input and hidden state side by side through linear layers."""

    def __init__(self, words: int = 12, width: int = 32, out: int = 4, act: Any = torch.tanh) -> None:
        super().__init__()
        self.width, self.act = width, act
        self.embed = nn.Embedding(words, 12)
        self.i2h, self.h2h, self.h2o = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), self.width)
        for word in self.embed(x).unbind(1):
            h = self.act(self.i2h(word) + self.h2h(h))
        return self.h2o(h)


class Seq2Seq(nn.Module):
    """An encoder, additive attention, and a decoder that is taught by the right last symbol."""

    def __init__(self, symbols: int = 9, width: int = 32) -> None:
        super().__init__()
        self.embed_in, self.embed_out = nn.Embedding(symbols, width), nn.Embedding(symbols, width)
        self.encoder, self.decoder = nn.GRU(width, width, batch_first=True), nn.GRUCell(2 * width, width)
        self.query, self.key, self.energy = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.out = nn.Linear(2 * width, symbols)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        states, last = self.encoder(self.embed_in(x))
        h, keys, out = last[0], self.key(states), []
        teach = torch.cat((torch.zeros_like(y[:, :1]), y[:, :-1]), 1)
        for word in self.embed_out(teach).unbind(1):
            weights = self.energy(torch.tanh(keys + self.query(h)[:, None])).softmax(1)
            context = (weights * states).sum(1)
            h = self.decoder(torch.cat((word, context), 1), h)
            out.append(self.out(torch.cat((h, context), 1)))
        return torch.stack(out, 1)


class Convolved(nn.Module):
    """Graph layers by hand: plain (GCN), with a sum and two layers (GIN), or with attention (GAT)."""

    def __init__(self, kind: str = "gcn", width: int = 16, depth: int = 2, groups: int = 3, inputs: int = 8) -> None:
        super().__init__()
        self.kind = kind
        sizes = [inputs, *[width] * depth]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, width), nn.ReLU(), nn.Linear(width, b)) if kind == "gin" else nn.Linear(a, b)
            for a, b in pairwise(sizes)
        )
        self.score = nn.ModuleList(nn.Linear(2 * width, 1) for _ in range(depth)) if kind == "gat" else None
        self.act, self.out = nn.ReLU(), nn.Linear(width, groups)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            if self.score is not None:
                h = layer(x)
                n = len(h)
                pairs = torch.cat((h[:, None].expand(n, n, -1), h[None].expand(n, n, -1)), -1)
                energy = F.leaky_relu(self.score[number](pairs)[..., 0], 0.2).masked_fill(links == 0, -1e9)
                x = self.act(energy.softmax(1) @ h)
            else:
                x = self.act(layer(links @ x) if self.kind == "gcn" else layer(x + links @ x))
        return self.out(x)


class PointNet(nn.Module):
    """Points one by one, then the largest of each feature."""

    def __init__(self, classes: int = 3, norm: bool = False) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 48), nn.ReLU())
        self.all = nn.Sequential(nn.Linear(48, 32), nn.BatchNorm1d(32) if norm else nn.Identity(), nn.ReLU())
        self.out = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.all(self.each(x).amax(1)))


class Listener(nn.Module):
    """Convolutions over frames, a GRU, and the log of a chance per frame for each symbol or none."""

    def __init__(self, symbols: int = 5, width: int = 24) -> None:
        super().__init__()
        self.conv = nn.Conv1d(symbols, width, 3, padding=1)
        self.core, self.out = nn.GRU(width, width, batch_first=True), nn.Linear(width, symbols + 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.out(self.core(h)[0]).log_softmax(-1)


class Fields(nn.Module):
    """Embedded categories, their products (factorisation), and a deep part beside it."""

    def __init__(self, fields: int = 5, values: int = 40, width: int = 8, sparse: bool = False) -> None:
        super().__init__()
        self.shift = torch.arange(fields) * values
        self.embed = nn.Embedding(fields * values, width, sparse=sparse)
        self.wide = nn.Embedding(fields * values, 1, sparse=sparse)
        self.deep = nn.Sequential(nn.Linear(fields * width, 32), nn.ReLU(), nn.Linear(32, 1))
        nn.init.normal_(self.embed.weight, std=0.1)
        nn.init.zeros_(self.wide.weight)

    def forward(self, x: Tensor) -> Tensor:
        e = self.embed(x + self.shift)
        products = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        return self.wide(x + self.shift).sum((1, 2)) + products + self.deep(e.flatten(1))[:, 0]


class Highway(nn.Module):
    """Layers that carry their input past themselves by a learned gate."""

    def __init__(self, inputs: int, outputs: int, width: int = 32, depth: int = 6) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.bodies = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for gate in self.gates:
            nn.init.constant_(gate.bias, -1.5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for body, gate in zip(self.bodies, self.gates, strict=True):
            t = torch.sigmoid(gate(h))
            h = t * torch.tanh(body(h)) + (1 - t) * h
        return self.out(h)


class Siren(nn.Module):
    """Sines all the way, with the weights that the article gives."""

    def __init__(self, inputs: int = 2, width: int = 48, depth: int = 2, omega: float = 10.0) -> None:
        super().__init__()
        self.omega = omega
        self.layers = nn.ModuleList(nn.Linear(inputs if n == 0 else width, width) for n in range(depth))
        self.out = nn.Linear(width, 1)
        with torch.no_grad():
            for n, layer in enumerate(self.layers):
                bound = 1 / inputs if n == 0 else (6 / width) ** 0.5 / omega
                layer.weight.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sin(self.omega * layer(x))
        return self.out(x)


class Waves(nn.Module):
    """Dilated causal convolutions with gates and skips, as in WaveNet; foretells what follows a window."""

    def __init__(self, ahead: int = 8, width: int = 12, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, width, 1)
        self.filters = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**n) for n in range(depth))
        self.gates = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**n) for n in range(depth))
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth))
        self.out = nn.Linear(width, ahead)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x[:, None])
        skips = 0.0
        for n, mix in enumerate(self.mix):
            past = F.pad(h, (2**n, 0))
            inner = mix(torch.tanh(self.filters[n](past)) * torch.sigmoid(self.gates[n](past)))
            h, skips = h + inner, skips + inner
        return self.out(F.relu(skips)[..., -1])
