"""One small training per fault, each with its cure: `FAULTS[code]` has the two, `Training` is what `diagnose` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Training:
    """What `diagnose` takes."""

    model: nn.Module
    batches: list[Any]
    loss: Callable[[nn.Module, Any], Tensor]
    optimizer: torch.optim.Optimizer
    steps: int = 40


def stack(width: int, depth: int, act: Callable[[], nn.Module], inputs: int = 16, outputs: int = 4) -> nn.Sequential:
    """Return a dense network of `depth` hidden layers."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Linear(width if index else inputs, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def classes(batch: int = 64, number: int = 8, inputs: int = 16, scale: float = 1.0) -> list[tuple[Tensor, Tensor]]:
    """Return batches whose class can be told from the inputs."""
    g = torch.Generator().manual_seed(1)
    rule = torch.randn(inputs, 4, generator=g)
    xs = [torch.randn(batch, inputs, generator=g) for _ in range(number)]
    return [(x * scale, (x @ rule).argmax(1)) for x in xs]


def values(batch: int = 64, number: int = 8, scale: float = 1.0) -> list[tuple[Tensor, Tensor]]:
    """Return batches whose real target can be told from the inputs."""
    g = torch.Generator().manual_seed(1)
    rule = torch.randn(16, 1, generator=g) / 4
    xs = [torch.randn(batch, 16, generator=g) for _ in range(number)]
    return [(x, torch.tanh(x @ rule) * scale) for x in xs]


def entropy(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def squared(model: nn.Module, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def adam(model: nn.Module, rate: float = 3e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), rate)


def sgd(model: nn.Module, rate: float = 0.1, momentum: float = 0.9) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), rate, momentum=momentum)


def plain(
    model: nn.Module, loss: Any = entropy, batches: Any = None, optimizer: Any = None, steps: int = 40
) -> Training:
    return Training(model, batches or classes(), loss, optimizer or adam(model), steps)


def initialised(model: nn.Module, gain: float) -> nn.Module:
    """Draw weights with the standard deviation gain / sqrt(fan_in)."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=gain / layer.in_features**0.5)
            nn.init.zeros_(layer.bias)
    return model


def deep(gain: float, act: Callable[[], nn.Module] = nn.Tanh, depth: int = 12, rate: float = 0.01) -> Training:
    model = initialised(stack(32, depth, act), gain)
    return plain(model, optimizer=sgd(model, rate))


class Recurrent(nn.Module):
    """The class is in the first input of the sequence."""

    def __init__(self, gain: float, kind: type[nn.Module] = nn.RNN) -> None:
        super().__init__()
        self.rnn, self.head = kind(4, 32, batch_first=True), nn.Linear(32, 4)
        if kind is nn.RNN:
            nn.init.orthogonal_(self.rnn.weight_hh_l0)
            with torch.no_grad():
                self.rnn.weight_hh_l0.mul_(gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def sequences(length: int) -> list[tuple[Tensor, Tensor]]:
    g = torch.Generator().manual_seed(1)
    xs = [torch.randn(32, length, 4, generator=g) * 0.3 for _ in range(6)]
    return [(x, x[:, 0].argmax(1)) for x in xs]


def recurrent(gain: float, length: int, nonlinearity: str = "tanh") -> Training:
    model = Recurrent(gain)
    model.rnn.nonlinearity = nonlinearity
    model.rnn.mode = f"RNN_{nonlinearity.upper()}"
    return plain(model, batches=sequences(length), optimizer=adam(model, 1e-3), steps=25)


def dead(bias: float) -> Training:
    model = stack(32, 3, nn.ReLU)
    nn.init.constant_(model[2].bias, bias)
    return plain(model)


def saturated(gain: float) -> Training:
    model = initialised(stack(32, 3, nn.Tanh), gain)
    return plain(model, optimizer=sgd(model, 0.01))


def flat_head(bias: float) -> Training:
    model = nn.Sequential(*stack(32, 2, nn.ReLU, outputs=1), nn.Sigmoid())
    nn.init.constant_(model[-2].bias, bias)
    batches = [(x, (y > 1).float()[:, None]) for x, y in classes()]
    return plain(model, squared, batches)


def cut(is_cut: bool) -> Training:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Linear(16, 32), nn.Linear(16, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.sigmoid(self.two(x))
            return self.head(torch.relu(self.one(x)) * (gate.detach() if is_cut else gate))

    return plain(Branch())


def product(both: bool) -> Training:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Linear(16, 4)
            self.down = nn.Parameter(torch.zeros(16, 2) if both else torch.randn(16, 2))
            self.up = nn.Parameter(torch.zeros(2, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + x @ self.down @ self.up

    return plain(Adapted())


def carried(detach: bool) -> Training:
    """Return a network whose state goes from batch to batch, with its graph or without."""
    model = nn.ModuleDict({"cell": nn.RNNCell(16, 16), "head": nn.Linear(16, 4)})
    state = [torch.zeros(64, 16)]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        state[0] = model["cell"](batch[0], state[0].detach() if detach else state[0])
        return F.cross_entropy(model["head"](state[0]), batch[1])

    return plain(model, loss, steps=12)


def penalised(is_kept: bool) -> Training:
    """Return a network with a penalty on its weights, which is added up over the steps with its graph or not."""
    model = stack(16, 2, nn.ReLU)
    total = [torch.zeros(())]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        penalty = torch.stack([each.sum() for each in model.parameters()]).sum() * 1e-4
        total[0] = total[0] + (penalty if is_kept else penalty.detach())
        return F.cross_entropy(model(batch[0]), batch[1]) + total[0]

    return plain(model, loss, steps=12)


def outside(is_outside: bool) -> Training:
    model = stack(32, 2, nn.ReLU)
    optimizer = adam(model)
    if is_outside:
        model[-1] = nn.Linear(32, 4)
    return plain(model, optimizer=optimizer)


def unlisted(is_list: bool) -> Training:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(16, 16) for _ in range(3)]
            self.layers = layers if is_list else nn.ModuleList(layers)
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.head(x)

    return plain(Listed())


def frozen(is_eval: bool) -> Training:
    base = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU()).requires_grad_(False)
    model = nn.Sequential(base, nn.Linear(32, 4))
    if is_eval:
        base.eval()
    return plain(model, optimizer=torch.optim.Adam(model[1].parameters(), 3e-3))


def alike(is_alike: bool) -> Training:
    model = stack(32, 2, nn.Tanh)
    if is_alike:
        for layer in (model[0], model[2]):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    return plain(model)


def logarithm(epsilon: float) -> Training:
    class Entropy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = stack(16, 1, nn.ReLU)

        def forward(self, x: Tensor) -> Tensor:
            p = torch.relu(self.body(x))
            return torch.log(p + epsilon)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return -model(batch[0]).gather(1, batch[1][:, None]).mean()

    return plain(Entropy(), loss)


def root(epsilon: float) -> Training:
    model = stack(16, 2, nn.ReLU, outputs=8)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        z = model(batch[0])
        distance = ((z[:, None] - z[None]).square().sum(-1) + epsilon).sqrt()
        same = (batch[1][:, None] == batch[1][None]).float()
        return (same * distance + (1 - same) * F.relu(1 - distance)).mean()

    return plain(model, loss)


def exponential(gain: float) -> Training:
    class Exponential(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(16, 32), nn.Linear(32, 4)
            with torch.no_grad():
                self.one.weight.mul_(gain)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(F.normalize(torch.exp(self.one(x))))

    return plain(Exponential())


def half(scale: float, dtype: torch.dtype = torch.float16) -> Training:
    """Return a network whose loss is so small that its gradients are lost in float16."""
    model = stack(32, 2, nn.ReLU)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=dtype):
            z = model(batch[0])
        return F.cross_entropy(z.float(), batch[1]) * scale

    return plain(model, loss, optimizer=adam(model))


def large_half(size: float, dtype: torch.dtype) -> Training:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm, self.two = nn.Linear(16, 32), nn.LayerNorm(32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=dtype):
                h = self.one(x) * size
            return self.two(self.norm(h.float()))

    return plain(Large())


def rated(rate: float, optimizer: Any = torch.optim.Adam, steps: int = 40) -> Training:
    model = stack(32, 2, nn.Tanh)
    return plain(model, optimizer=optimizer(model.parameters(), rate), steps=steps)


def signed(sign: int) -> Training:
    model = stack(32, 2, nn.Tanh)
    return plain(model, lambda m, b: sign * entropy(m, b), optimizer=adam(model, 0.01))


def turned(maximize: bool) -> Training:
    model = stack(32, 2, nn.Tanh)
    return plain(model, optimizer=torch.optim.SGD(model.parameters(), 0.1, maximize=maximize))


def tiny(batch: int) -> Training:
    model = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))
    return plain(model, batches=classes(batch, 40))


def valley(share: float) -> Training:
    """Return least squares at a share of the largest rate that does not diverge."""
    model = nn.Linear(2, 1, bias=False)
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.1])
    y = x @ torch.tensor([[3.0], [1.0]]) + 0.1
    curvature = float(torch.linalg.eigvalsh(2 * x.T @ x / len(x))[-1])
    return plain(model, squared, [(x, y)], torch.optim.SGD(model.parameters(), share * 2 / curvature))


def shapes(fits: bool) -> Training:
    model = stack(32, 2, nn.ReLU, outputs=1)
    return plain(model, lambda m, b: F.mse_loss(m(b[0]), b[1] if fits else b[1][:, 0]), values())


def collapsed(share: float) -> Training:
    """Return a network whose layers mix each sample with the mean of all, as graph networks of many layers do."""

    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(8)])
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = F.layer_norm(layer(x) + x, (16,))
                x = share * x.mean(0) + (1 - share) * x
            return self.head(x)

    return plain(Mixing())


def with_softmax(has: bool) -> Training:
    model = stack(32, 2, nn.ReLU)
    return plain(nn.Sequential(model, nn.Softmax(1)) if has else model)


def scaled_inputs(scale: float) -> Training:
    return plain(stack(32, 2, nn.ReLU), batches=classes(scale=scale))


def scaled_targets(scale: float) -> Training:
    return plain(stack(32, 2, nn.ReLU, outputs=1), squared, values(scale=scale))


FAULTS: dict[str, tuple[Callable[[], Training], Callable[[], Training]]] = {
    "loss-head-mismatch": (lambda: with_softmax(True), lambda: with_softmax(False)),
    "loss-head-mismatch (shapes)": (lambda: shapes(False), lambda: shapes(True)),
    "unregistered-parameters": (lambda: unlisted(True), lambda: unlisted(False)),
    "not-in-optimizer": (lambda: outside(True), lambda: outside(False)),
    "disconnected-parameters": (lambda: cut(True), lambda: cut(False)),
    "stuck-at-zero": (lambda: product(True), lambda: product(False)),
    "symmetric-initialisation": (lambda: alike(True), lambda: alike(False)),
    "frozen-buffers-move": (lambda: frozen(False), lambda: frozen(True)),
    "graph-grows": (lambda: carried(False), lambda: carried(True)),
    "graph-grows (penalty)": (lambda: penalised(True), lambda: penalised(False)),
    "unscaled-inputs": (lambda: scaled_inputs(255.0), lambda: scaled_inputs(1.0)),
    "unscaled-targets": (lambda: scaled_targets(1e4), lambda: scaled_targets(1.0)),
    "wrong-direction": (lambda: signed(-1), lambda: signed(1)),
    "wrong-direction (maximize)": (lambda: turned(True), lambda: turned(False)),
    "batchnorm-tiny-batch": (lambda: tiny(2), lambda: tiny(32)),
    "exploding-time": (lambda: recurrent(2.5, 40, "relu"), lambda: recurrent(1.0, 10)),
    "vanishing-time": (lambda: recurrent(0.5, 60), lambda: recurrent(1.0, 10)),
    "exploding-depth": (lambda: deep(3.0, nn.ReLU), lambda: deep(2**0.5, nn.ReLU)),
    "vanishing-depth": (lambda: deep(0.4, nn.ReLU), lambda: deep(2**0.5, nn.ReLU)),
    "vanishing-depth (sigmoid)": (lambda: deep(1.0, nn.Sigmoid, 6), lambda: deep(1.0, nn.Tanh, 6)),
    "dead-units": (lambda: dead(-20.0), lambda: dead(0.0)),
    "saturated-units": (lambda: saturated(30.0), lambda: saturated(1.0)),
    "saturated-output": (lambda: flat_head(-15.0), lambda: flat_head(0.0)),
    "signal-collapse": (lambda: collapsed(0.8), lambda: collapsed(0.0)),
    "nan-forward": (lambda: logarithm(0.0), lambda: logarithm(1e-6)),
    "nan-backward": (lambda: root(0.0), lambda: root(1e-6)),
    "overflow-forward": (lambda: exponential(100.0), lambda: exponential(1.0)),
    "precision-overflow": (lambda: large_half(1e6, torch.float16), lambda: large_half(1e6, torch.bfloat16)),
    "precision-underflow": (lambda: half(1e-6), lambda: half(1e-6, torch.bfloat16)),
    "step-too-large": (lambda: rated(3.0), lambda: rated(3e-3)),
    "step-too-small": (lambda: rated(1e-9), lambda: rated(3e-3)),
    "oscillation": (lambda: valley(0.9999), lambda: valley(0.3)),
}
"""By code: ill, and cured."""
