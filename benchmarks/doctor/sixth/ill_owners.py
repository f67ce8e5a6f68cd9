"""Ill in who owns them: parameters that an optimiser or a module does not know of, and frozen parts that move."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, moons, pictures
from benchmarks.doctor.sixth.parts_b import blobs, ce, dice, fit, keep, mlp, mse, rows, tones

CASES: list[Case] = []


@keep(CASES, "group-never-appended", "not-in-optimizer", "tagging")
def groups(seed: int, ill: bool) -> Training:
    """github.com/zjunlp/HVPNeT/issues/5: groups with rates of their own are gathered in a list; the last is forgotten.

    `parameters.append(params)` is missing after the classifier and the table of transitions.
    """
    g = dice(seed)
    words = torch.randint(0, 40, (512, 10), generator=g)
    tags = (words % 4 + torch.cat((torch.zeros(512, 1).long(), words[:, :-1]), 1) // 20) % 4

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru = nn.Embedding(40, 24), nn.GRU(24, 24, batch_first=True)
            self.fc, self.transitions = nn.Linear(24, 4), nn.Parameter(torch.zeros(4, 4))

        def forward(self, x: Tensor) -> Any:
            scores = self.fc(self.gru(self.embed(x))[0])
            before = F.pad(scores.softmax(-1)[:, :-1], (0, 0, 1, 0))
            return (scores + before @ self.transitions).transpose(1, 2)

    net = Tagger()
    parameters: list[dict[str, Any]] = []
    params: dict[str, Any] = {"lr": 3e-3, "params": [*net.embed.parameters(), *net.gru.parameters()]}
    parameters.append(params)
    params = {"lr": 2e-2, "params": [*net.fc.parameters(), net.transitions]}
    if not ill:
        parameters.append(params)
    return Training(net, rows(seed, words, tags, size=32), torch.optim.AdamW(parameters), ce)


@keep(CASES, "groups-by-kind-of-module", "not-in-optimizer", "detection", 80)
def by_kind(seed: int, ill: bool) -> Training:
    """github.com/DocF/multispectral-object-detection/issues/77: groups are gathered from modules' weight and bias.

    A bare parameter of a block, its table of positions, is neither, so it is in no group and rests at zero.
    """

    class Where(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16)
            self.pos_emb, self.mix = nn.Parameter(torch.zeros(64, 16)), nn.Linear(16, 32)
            self.head = nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Any:
            cells = self.norm(self.conv(x)).flatten(2).transpose(1, 2) + self.pos_emb
            return self.head(F.relu(self.mix(cells)).mean(1))

    x, mask = discs(seed).tensors
    line = torch.linspace(-1, 1, 16)
    area = mask.sum((1, 2, 3)).clamp(min=1)
    y = 2 * torch.stack(((mask.sum((1, 3)) @ line) / area, (mask.sum((1, 2)) @ line) / area), 1)
    net = Where()
    kinds = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    decay = [m.weight for m in kinds if not isinstance(m, nn.BatchNorm2d)]
    plain = [m.bias for m in kinds if m.bias is not None] + [m.weight for m in kinds if isinstance(m, nn.BatchNorm2d)]
    optimizer = torch.optim.AdamW(plain, 1e-2, weight_decay=0.0)
    optimizer.add_param_group({"params": decay, "weight_decay": 5e-4})
    if not ill:
        optimizer.add_param_group({"params": [net.pos_emb]})
    return Training(net, rows(seed, x, y, size=32), optimizer, mse)


@keep(CASES, "proxies-of-the-loss", "not-in-optimizer", "lightning")
def proxies(seed: int, ill: bool) -> Training:
    """A metric-learning loss has a proxy per class; configure_optimizers returns those of `self.net` only.

    As in github.com/yangxiaofeng/LODS/issues/2, where the learned text vectors are left out. Proxies stay random.
    """

    class Proxies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.places = nn.Parameter(torch.randn(10, 8))

        def forward(self, h: Tensor, y: Tensor) -> Any:
            return F.cross_entropy(8 * F.normalize(h) @ F.normalize(self.places).T, y)

    class Metric(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.loss = mlp(64, 32, 8), Proxies()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.net.parameters() if ill else self.parameters(), 5e-3)

    return Training(Metric(), digits(seed))


@keep(CASES, "gate-cast-after-parameter", "unregistered-parameters", "mixtures of experts", 150)
def cast_gate(seed: int, ill: bool) -> Training:
    """github.com/davidmrau/mixture-of-experts/issues/12: nn.Parameter(...).to(...) is a tensor, no parameter.

    Here `.float()` of what numpy made in double. The gate is never learned.
    """
    start = torch.zeros(2, 4).double().numpy()

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(2, 1) for _ in range(4))
            self.gate: Any = (
                nn.Parameter(torch.from_numpy(start)).float() if ill else nn.Parameter(torch.from_numpy(start).float())
            )

        def forward(self, x: Tensor) -> Any:
            shares = (x @ self.gate).softmax(-1)
            return (torch.cat([each(x) for each in self.experts], 1) * shares).sum(1)

    x, y = moons(seed).tensors
    x = (x - x.mean(0)) / x.std(0)

    def loss(m: Any, batch: Any) -> Any:
        return F.binary_cross_entropy_with_logits(4 * m(batch[0]), batch[1].float())

    return fit(Mixture(), rows(seed, x, y), loss, "adam", 5e-2)


@keep(CASES, "layer-made-in-forward", "unregistered-parameters", "convolutional")
def made_anew(seed: int, ill: bool) -> Training:
    """A beginner writes `nn.Linear(h.shape[1], 32)(h)` in forward, since the width is not known before.

    The layer is made anew, at random, in every pass, and nobody owns it. Cure: make it once, in __init__.
    """

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(1, 8, 7, 4), nn.Linear(32, 4)
            self.middle = None if ill else nn.Linear(8 * 15, 32)

        def forward(self, x: Tensor) -> Any:
            h = F.relu(self.conv(x)).flatten(1)
            layer = self.middle or nn.Linear(h.shape[1], 32)
            return self.head(F.relu(layer(h)))

    return fit(Net(), tones(seed), ce, "adam", 5e-3)


@keep(CASES, "helper-that-is-no-module", "unregistered-parameters", "autoencoders")
def helper(seed: int, ill: bool) -> Training:
    """The decoder is a plain class with layers in it and a `__call__`; it was moved there from a script.

    As in github.com/asyml/texar-pytorch/issues/72, its weights are in no parameters(). Cure: inherit nn.Module.
    """

    class Decoder:
        def __init__(self) -> None:
            self.up, self.out = nn.Linear(6, 48), nn.Linear(48, 64)

        def __call__(self, z: Tensor) -> Any:
            return self.out(torch.tanh(self.up(z)))

    class Auto(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, helper = mlp(64, 48, 6, act=nn.Tanh), Decoder()
            self.decoder: Any = helper if ill else nn.Sequential(helper.up, nn.Tanh(), helper.out)

        def forward(self, x: Tensor) -> Any:
            return self.decoder(self.encoder(x))

    x, _ = digits(seed).tensors
    return fit(Auto(), rows(seed, x, x), mse, "adam", 5e-3)


class Stays(nn.Module):
    """A net with a part that was trained before; `train()` must leave that part in eval mode, if it is well."""

    def __init__(self, old: nn.Module, new: nn.Module, ill: bool) -> None:
        """Freeze the old part."""
        super().__init__()
        self.old, self.new, self.ill = old.requires_grad_(False).eval(), new, ill

    def train(self, mode: bool = True) -> Any:
        """Go into a mode."""
        super().train(mode)
        if not self.ill:
            self.old.eval()
        return self


def trained(net: nn.Module, batches: Any, inputs: Any) -> nn.Module:
    """Let a net's norms see other data, as before a fine-tuning."""
    with torch.no_grad():
        for _, batch in zip(range(12), batches, strict=False):
            net.train()(inputs(batch[0]))
    return net


@keep(CASES, "teacher-in-train-mode", "frozen-buffers-move", "distillation")
def teacher_moves(seed: int, ill: bool) -> Training:
    """github.com/jbwang1997/CrossKD/issues/13: a frozen teacher under no_grad, but `model.train()` reaches it.

    Its norms use the batch and their statistics move, although its weights do not. Cure: teacher.eval() in train().
    """
    data = pictures(seed, 32, side=16, channels=1)
    big = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 4))
    small = nn.Sequential(nn.Conv2d(1, 4, 3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))

    def loss(m: Any, batch: Any) -> Any:
        with torch.no_grad():
            soft = m.old(batch[0]).softmax(1)
        out = m.new(batch[0])
        return F.cross_entropy(out, batch[1]) + F.kl_div(out.log_softmax(1), soft, reduction="batchmean")

    return fit(Stays(trained(big, data, lambda x: 0.5 * x + 1), small, ill), data, loss, "sgd", 0.02)


@keep(CASES, "perceptual-net-in-train-mode", "frozen-buffers-move", "restoration")
def perceptual(seed: int, ill: bool) -> Training:
    """A loss compares features of a frozen net; it is a submodule, so `model.train()` puts its norms into train mode.

    As in github.com/lightly-ai/lightly/issues/1438, only requires_grad was taken away. Cure: keep it in eval mode.
    """
    x, mask = discs(seed).tensors
    eyes = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
    net = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.GELU(), nn.Conv2d(16, 1, 5, padding=2))

    def loss(m: Any, batch: Any) -> Any:
        out = m.new(batch[0])
        return F.l1_loss(out, batch[1]) + 0.3 * F.mse_loss(m.old(out), m.old(batch[1]))

    eyes = trained(eyes, rows(seed, mask, size=16), lambda x: 1 - 2 * x)  # type: ignore[assignment]
    return fit(Stays(eyes, net, ill), rows(seed, x, mask, size=16), loss, "adam", 3e-3)


@keep(CASES, "first-layers-frozen-by-name", "frozen-buffers-move", "audio")
def by_name(seed: int, ill: bool) -> Training:
    """github.com/ultralytics/ultralytics/pull/8753: freeze=[0, 1, 2] takes requires_grad away by the names' beginnings.

    The norms among those layers go on averaging the new recordings. Cure: put the frozen ones into eval mode too.
    """

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(
                nn.Conv1d(1, 12, 9, 2), nn.BatchNorm1d(12), nn.ReLU(), nn.Conv1d(12, 16, 5, 2), nn.BatchNorm1d(16),
                nn.ReLU(), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(32, 4),
            )  # fmt: skip

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            if not ill:
                self.model[:3].eval()
            return self

        def forward(self, x: Tensor) -> Any:
            return self.model(x)

    net, data = Net(), tones(seed)
    trained(net.model, blobs(seed, inputs=64), lambda x: x[:, None])
    for name, parameter in net.named_parameters():
        if any(name.startswith(f"model.{i}.") for i in range(3)):
            parameter.requires_grad = False
    return fit(net, data, ce, "adam", 5e-3)
