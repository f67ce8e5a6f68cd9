"""Small networks of the field's usual kinds, which healthy and ill cases share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def mlp(
    inputs: int,
    outputs: int,
    width: int = 64,
    depth: int = 3,
    act: Activation = nn.ReLU,
    norm: Activation | None = None,
) -> nn.Sequential:
    """Return `depth` hidden layers and a linear one."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers.append(nn.Linear(inputs if number == 0 else width, width))
        if norm is not None:
            layers.append(norm(width))  # type: ignore[call-arg]
        layers.append(act())
    return nn.Sequential(*layers, nn.Linear(width if depth else inputs, outputs))


def he(model: nn.Module, gain: float = 2.0**0.5) -> nn.Module:
    """Give every linear and convolutional layer normal weights of this gain, and no bias."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            fan = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=gain / fan**0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def cnn(
    classes: int = 4, channels: int = 1, width: int = 8, depth: int = 2, norm: bool = True, act: Activation = nn.ReLU
) -> nn.Sequential:
    """Return convolutions at one resolution, pooled and read by a linear layer; for any picture."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers.append(nn.Conv2d(channels if number == 0 else width, width, 3, padding=1, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(act())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * width, classes))


class Residual(nn.Module):
    """x + f(x) with an optional norm before, a scale that may start at zero, and its branch kept as `body`."""

    def __init__(self, body: nn.Module, scale: float | None = None, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.norm = body, norm
        self.scale = None if scale is None else nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x if self.norm is None else self.norm(x))
        return x + (out if self.scale is None else self.scale * out)


def resmlp(
    inputs: int, outputs: int, width: int = 48, depth: int = 4, scale: float | None = None, norm: bool = True
) -> nn.Sequential:
    """Return residual blocks of two layers each."""
    blocks = [
        Residual(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)),
            scale,
            nn.LayerNorm(width) if norm else None,
        )
        for _ in range(depth)
    ]
    return nn.Sequential(nn.Linear(inputs, width), *blocks, nn.LayerNorm(width), nn.Linear(width, outputs))


class ResCnn(nn.Module):
    """A small residual convolutional network, with or without norm; zero-initialised last gammas if asked."""

    def __init__(self, classes: int = 4, channels: int = 1, width: int = 8, depth: int = 3, zero: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
            )
            for _ in range(depth)
        )
        if zero:
            for block in self.blocks:
                nn.init.zeros_(block[-1].weight)
        self.head = nn.Linear(16 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            h = F.relu(h + block(h))
        return self.head(F.adaptive_avg_pool2d(h, 4).flatten(1))


class Attends(nn.Module):
    """A transformer that reads tokens: it classifies them, or (causal) foretells the next one."""

    def __init__(
        self, vocabulary: int, outputs: int, width: int = 32, depth: int = 2, first: bool = True, causal: bool = False,
        dropout: float = 0.0, act: str = "relu", length: int = 32,
    ) -> None:  # fmt: skip
        super().__init__()
        self.causal = causal
        self.embed = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=dropout, batch_first=True, norm_first=first, activation=act
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x) + self.place[: x.shape[1]]
        if self.causal:
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            return self.head(self.norm(self.encoder(h, mask=mask, is_causal=True)))
        return self.head(self.norm(self.encoder(h)).mean(1))


class Recurrent(nn.Module):
    """RNN, LSTM or GRU over (B, T, inputs); a linear layer reads the last state, or every one."""

    def __init__(
        self, kind: str, inputs: int, outputs: int, width: int = 32, layers: int = 1, every: bool = False,
        vocabulary: int = 0, both: bool = False, **settings: object,
    ) -> None:  # fmt: skip
        super().__init__()
        self.every = every
        self.embed = nn.Embedding(vocabulary, inputs) if vocabulary else nn.Identity()
        self.core = getattr(nn, kind)(inputs, width, layers, batch_first=True, bidirectional=both, **settings)
        self.head = nn.Linear(width * (2 if both else 1), outputs)

    def forward(self, x: Tensor) -> Tensor:
        states = self.core(self.embed(x))[0]
        return self.head(states if self.every else states[:, -1])


class Coder(nn.Module):
    """An autoencoder, or a variational one."""

    def __init__(
        self, inputs: int = 64, width: int = 48, code: int = 8, noisy: bool = False, act: Activation = nn.ReLU
    ) -> None:
        super().__init__()
        self.noisy = noisy
        self.encoder = nn.Sequential(nn.Linear(inputs, width), act(), nn.Linear(width, code * (2 if noisy else 1)))
        self.decoder = nn.Sequential(nn.Linear(code, width), act(), nn.Linear(width, inputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        if not self.noisy:
            return self.decoder(code), x.new_zeros(())
        mean, log = code.chunk(2, 1)
        divergence = 0.5 * (mean**2 + log.exp() - log - 1).sum(1).mean()
        return self.decoder(mean + torch.randn_like(mean) * (0.5 * log).exp()), divergence


class UNet(nn.Module):
    """Two levels down and up, with skips."""

    def __init__(self, width: int = 8, norm: bool = True) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            middle = [nn.BatchNorm2d(outputs)] if norm else []
            return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), *middle, nn.ReLU())

        self.one, self.two, self.three = block(1, width), block(width, 2 * width), block(2 * width, 4 * width)
        self.up_two, self.up_one = block(6 * width, 2 * width), block(3 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(F.max_pool2d(one, 2))
        three = self.three(F.max_pool2d(two, 2))
        up = self.up_two(torch.cat((F.interpolate(three, scale_factor=2), two), 1))
        return self.head(self.up_one(torch.cat((F.interpolate(up, scale_factor=2), one), 1)))


class Graph(nn.Module):
    """Graph convolutions over a given adjacency, pooled."""

    def __init__(self, classes: int = 3, width: int = 24, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6 if n == 0 else width, width) for n in range(depth))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(links @ layer(x))
        return self.head(x.mean(1))


class Experts(nn.Module):
    """A mixture of experts, one per sample: in a small batch some get nothing."""

    def __init__(self, inputs: int = 64, classes: int = 10, experts: int = 6, width: int = 32) -> None:
        super().__init__()
        self.embed, self.router = nn.Linear(inputs, width), nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(experts)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.embed(x))
        weight, chosen = torch.softmax(self.router(h), 1).max(1)
        out = torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                out = out.index_add(0, rows, weight[rows, None] * expert(h[rows]))
        return self.head(h + out)
