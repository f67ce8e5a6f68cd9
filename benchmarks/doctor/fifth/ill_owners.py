"""Ill in who owns them: parameters that the optimiser, or the module itself, does not know of."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, recall, tokens, waves
from benchmarks.doctor.fifth.ill_parts import ce, fit, keep, mlp, mse, rows

CASES: list[Case] = []


@keep(CASES, "attention-forgotten", "not-in-optimizer", "recurrent")
def forgotten(seed: int, ill: bool) -> Training:
    """A sequence model in three parts, as tutorials write it; the optimiser is given encoder and decoder.

    After github.com/zjunlp/HVPNeT/issues/5 (crf and fc were collected and never appended). The attention rests.
    """
    net = nn.ModuleDict({"encoder": nn.GRU(1, 24, batch_first=True), "attn": nn.Linear(24, 1), "decoder": mlp(24, 3)})

    def loss(m: Any, batch: Any) -> Any:
        h, _ = m["encoder"](batch[0])
        h = (m["attn"](h).softmax(1) * h).sum(1)
        return F.cross_entropy(m["decoder"](h), batch[1])

    parts = [*net["encoder"].parameters(), *net["decoder"].parameters()]
    return Training(net, waves(seed), torch.optim.Adam(parts if ill else net.parameters(), 5e-3), loss)


@keep(CASES, "head-loaded-at-start", "not-in-optimizer", "lightning")
def late_head(seed: int, ill: bool) -> Training:
    """After pytorch/pytorch#14467: on_train_start puts the stored head in the place of the one that was made.

    configure_optimizers has run by then, so the head that is used is in no group. `setup` would be the place.
    """

    class Lit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(64, 48, 48), nn.Linear(48, 10)

        def load(self) -> None:
            self.head = copy.deepcopy(self.head)  # stands for what torch.load gives

        def setup(self, stage: str) -> None:
            if not ill:
                self.load()

        def on_train_start(self) -> None:
            if ill:
                self.load()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return F.cross_entropy(self.head(F.relu(self.body(batch[0]))), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 3e-3)

    return Training(Lit(), digits(seed))


@keep(CASES, "layer-decay-off-by-one", "not-in-optimizer", "transformers")
def layer_decay(seed: int, ill: bool) -> Training:
    """Rates that fall with depth, a group per layer, made by range(n - 1): the last layer is in no group."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    net = nn.ModuleDict(
        {
            "embed": nn.Embedding(30, 32),
            "layers": nn.ModuleList([copy.deepcopy(layer) for _ in range(3)]),
            "head": nn.Linear(32, 2),
        }
    )

    def loss(m: Any, batch: Any) -> Any:
        h = m["embed"](batch[0])
        for each in m["layers"]:
            h = each(h)
        return F.cross_entropy(m["head"](h.mean(1)), batch[1])

    groups: list[dict[str, Any]] = [
        {"params": net["embed"].parameters(), "lr": 5e-4},
        {"params": net["head"].parameters(), "lr": 2e-3},
    ]
    for i in range(2 if ill else 3):
        groups.append({"params": net["layers"][i].parameters(), "lr": 2e-3 * 0.8 ** (2 - i)})  # type: ignore[index]
    return Training(net, tokens(seed), torch.optim.AdamW(groups), loss)


@keep(CASES, "parameter-unsqueezed", "unregistered-parameters", "transformers")
def unsqueezed(seed: int, ill: bool) -> Training:
    """After github.com/pytorch/pytorch/issues/17484 (.to("cuda")): nn.Parameter(...).unsqueeze(0) is no Parameter.

    The view is a plain tensor, nothing is registered.
    """

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.head = nn.Linear(8, 32), nn.Linear(32, 10)
            pos: Any = nn.Parameter(0.02 * torch.randn(8, 32))
            self.pos = pos.unsqueeze(0) if ill else pos
            self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.layer(self.patch(x.view(-1, 8, 8)) + self.pos).mean(1))

    return fit(Small(), digits(seed), ce, rate=2e-3)


@keep(CASES, "queries-as-buffer", "unregistered-parameters", "attention")
def queries(seed: int, ill: bool) -> Training:
    """github.com/imbue-ai/slot_attention/issues/8: what should be learned is put in by register_buffer."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry = nn.Linear(3, 24)
            first = torch.randn(1, 4, 24) / math.sqrt(24)
            if ill:
                self.register_buffer("queries", first)
            else:
                self.queries = nn.Parameter(first)
            self.attend, self.head = nn.MultiheadAttention(24, 2, batch_first=True), nn.Linear(96, 2)

        def forward(self, x: Tensor) -> Any:
            h = self.entry(x)
            return self.head(self.attend(self.queries.expand(len(h), -1, -1), h, h)[0].flatten(1))

    return fit(Pooled(), recall(seed, length=20), ce, rate=3e-3)


@keep(CASES, "blocks-by-comprehension", "unregistered-parameters", "forecasting")
def blocks(seed: int, ill: bool) -> Training:
    """github.com/pytorch/pytorch/issues/666: [Block(...) for ...] in a plain list; only the ends learn."""

    class Temporal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.out = nn.Conv1d(1, 16, 3, padding=1), nn.Linear(16, 1)
            found: Any = [nn.Conv1d(16, 16, 3, padding=2**i, dilation=2**i) for i in range(3)]
            self.blocks = found if ill else nn.ModuleList(found)

        def forward(self, x: Tensor) -> Any:
            h = self.entry(x.transpose(1, 2))
            for block in self.blocks:
                h = h + F.gelu(block(h))
            return self.out(h[..., -1])

    x = waves(seed, length=25).tensors[0]
    return fit(Temporal(), rows(seed, x[:, :-1], x[:, -1]), mse, rate=3e-3)
