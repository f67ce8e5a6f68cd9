"""Ill in their links: cut off, stuck at zero, left out by the optimiser, hidden from torch. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_sequences import crf, itself
from benchmarks.doctor.third.pool import POOL, take
from benchmarks.doctor.third.tasks import Net


class Scaled(torch.autograd.Function):
    """A linear layer with a backward of its own, which forgets the weight, or does not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, whole: bool) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.whole = whole
        return x @ w.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, w = ctx.saved_tensors
        return grads[0] @ w, grads[0].T @ x if ctx.whole else None, None


def floored(m: Any, x: Tensor, wrong: bool) -> Tensor:
    """Look a table up at a learned place: by the nearest entry, or between two."""
    place = 19 * torch.sigmoid(m.where(x))
    low = place.detach().floor().clamp(max=18).long()
    near = m.table[low]
    if not wrong:
        near = near + (place - low)[..., None] * (m.table[low + 1] - near)
    return m.out(near.flatten(1))


def cut_net(how: str, wrong: bool) -> nn.Module:
    """Return a net for the spirals whose gradient is cut somewhere."""
    body, out = mlp(2, 24, 48, 1), nn.Linear(24, 3)
    if how == "floor":
        return Net(
            lambda m, x: floored(m, x, wrong),
            where=mlp(2, 6, 32, 1),
            table=nn.Parameter(torch.randn(20, 3)),
            out=nn.Linear(18, 3),
        )
    if how == "wrapped-anew":  # masked weights, made a Parameter again in forward
        return Net(
            lambda m, x: m.out(
                F.relu(F.linear(F.relu(m.one(x)), nn.Parameter(m.w * m.mask) if wrong else m.w * m.mask))
            ),
            one=nn.Linear(2, 48),
            w=nn.Parameter(torch.randn(24, 48) / 5),
            mask=(torch.rand(24, 48) > 0.5).float(),
            out=out,
        )
    if how == "own-backward":
        return Net(
            lambda m, x: m.out(F.relu(Scaled.apply(F.relu(m.one(x)), m.w, not wrong))),
            one=nn.Linear(2, 48),
            w=nn.Parameter(torch.randn(24, 48) / 5),
            out=out,
        )  # type: ignore[no-untyped-call]
    if how == "functional":  # weights adapted within, from detached ones
        return Net(
            lambda m, x: m.out(
                F.relu(
                    torch.func.functional_call(
                        m.body, {n: (p.detach() if wrong else p) * 1.1 for n, p in m.body.named_parameters()}, (x,)
                    )
                )
            ),
            body=body,
            out=out,
        )

    def written(m: Any, x: Tensor) -> Tensor:
        h = m.body(x)
        if wrong:
            made = torch.zeros_like(h)
            made.data[:] = h
            h = made
        return m.out(F.relu(h))

    def drawn(m: Any, x: Tensor) -> Tensor:
        kind = torch.distributions.RelaxedOneHotCategorical(torch.tensor(0.7), logits=m.body(x))
        return m.out(8 * (kind.sample() if wrong else kind.rsample()))

    def converted(m: Any, x: Tensor) -> Tensor:
        rows = [m.body(row) for row in x.split(24)]
        return m.out(F.relu(torch.cat([torch.Tensor(r.detach().numpy()) if wrong else r for r in rows])))

    return Net({"written": written, "relaxed-sample": drawn, "converted": converted}[how], body=body, out=out)


def cut(seed: int, ill: bool, how: str) -> Training:
    """The gradient does not pass. `relaxed-sample`: github.com/jankrepl/deepdow/pull/106."""
    return take(seed, "arms", net=lambda: cut_net(how, ill))


def beside(seed: int, ill: bool, kind: str) -> Training:
    """A part has a loss of its own that has lost its graph.

    `item`: github.com/guopengf/FL-MRCM/issues/10; `argmax`: github.com/Ugenteraan/Deep_Hierarchical_Classification/issues/6.
    """
    net: Any = nn.ModuleDict({"body": mlp(2, 24, 48, 1), "fine": nn.Linear(24, 3), "coarse": nn.Linear(24, 2)})

    def loss(model: Any, batch: Any) -> Tensor:
        h = F.relu(model["body"](batch[0]))
        out, coarse = model["fine"](h), model["coarse"](h)
        value = F.cross_entropy(out, batch[1])
        if kind == "item":
            aside = F.cross_entropy(coarse, batch[1].clamp(max=1))
            return value + 0.3 * (aside.item() if ill else aside)
        told = F.one_hot(coarse.argmax(1), 2).float() if ill else coarse.softmax(1)
        return value + 0.3 * (told[:, 0] - (batch[1] == 0).float()).abs().mean()

    return Training(net, tasks.spirals(seed), by("adam", 1e-2, net.parameters()), loss)


class Lit(pl.LightningModule):
    """A Lightning module with a body and heads: its body without a graph, its optimiser for the head alone, or its heads in a list."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.body = fault, mlp(2, 24, 48, 1)
        heads = [nn.Linear(24, 3) for _ in range(2)]
        self.heads: Any = heads if fault == "list" else nn.ModuleList(heads)
        self.last = nn.Linear(3, 3)

    def training_step(self, batch: Any, number: int) -> Tensor:
        with torch.set_grad_enabled(self.fault != "no-grad"):
            h = F.relu(self.body(batch[0]))
        return F.cross_entropy(self.last(sum(head(h) for head in self.heads)), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.last.parameters() if self.fault == "optimiser" else self.parameters(), 1e-2)


def lightning(seed: int, ill: bool, fault: str) -> Training:
    """Return the training of `Lit`."""
    return Training(Lit(fault if ill else ""), tasks.spirals(seed))


def zero_net(kind: str, both: bool) -> nn.Module:
    """Return a net with two factors at zero, or one."""
    parts: dict[str, Any] = {"one": nn.Linear(2, 32), "out": nn.Linear(32, 3)}
    if kind == "control":  # ControlNet's zero layers, one right after the other
        parts |= {"a": nn.Linear(32, 32, False), "b": nn.Linear(32, 32, False)}
        nn.init.zeros_(parts["b"].weight)
        if both:
            nn.init.zeros_(parts["a"].weight)
        return Net(lambda m, x: m.out((h := torch.tanh(m.one(x))) + m.b(m.a(h))), **parts)
    if kind == "hyper":  # a task's code and what makes weights of it
        parts |= {"code": nn.Parameter(torch.zeros(8) if both else torch.randn(8)), "make": nn.Linear(8, 1024, False)}
        nn.init.zeros_(parts["make"].weight)
        return Net(lambda m, x: m.out((h := torch.tanh(m.one(x))) + h @ m.make(m.code).view(32, 32)), **parts)
    if kind == "attention":  # values and the projection after them
        parts |= {"ask": nn.MultiheadAttention(32, 4, batch_first=True)}
        with torch.no_grad():
            parts["ask"].out_proj.weight.zero_()
            if both:
                parts["ask"].in_proj_weight[64:].zero_()
        return Net(
            lambda m, x: m.out(
                (h := torch.tanh(m.one(x))[:, None].reshape(-1, 4, 32)).add(m.ask(h, h, h)[0]).flatten(0, 1)
            ),
            **parts,
        )
    net = mlp(2, 3, 32, 2, nn.Tanh)
    for p in net.parameters() if both else ():
        nn.init.zeros_(p)
    return net


def stuck(seed: int, ill: bool, kind: str) -> Training:
    """Both of two factors are zero. Cured: one, or none."""
    return take(seed, "arms", net=lambda: zero_net(kind, ill))


def late(seed: int, ill: bool, kind: str) -> Training:
    """The optimiser was made before the parts that it should hold, or by a filter that leaves some out.

    `normalised`: github.com/meta-pytorch/opacus/issues/432; `assigned`: github.com/pytorch/tutorials/pull/2522; `crf`: github.com/zjunlp/HVPNeT/issues/5.
    """
    name = {
        "normalised": "solid",
        "assigned": "separable",
        "crf": "brackets",
        "by-name": "perceiver",
        "resized": "text",
        "weight-norm": "arms",
        "criterion": "arms",
    }[kind]
    net: Any = {"crf": crf}.get(kind, POOL[name].net)()
    if kind == "criterion":
        net = Net(
            lambda m, x: 6 * F.normalize(m.net(x), dim=1) @ F.normalize(m.centres, dim=1).T,
            net=mlp(2, 8, 48, 2),
            centres=nn.Parameter(torch.randn(3, 8)),
        )
    held = list(net.parameters())
    if kind == "normalised":
        net[1], net[4] = nn.GroupNorm(2, 8), nn.GroupNorm(4, 16)
    elif kind == "assigned":
        net.load_state_dict({key: value.clone() for key, value in net.state_dict().items()}, assign=True)
    elif kind == "resized":
        net.embed = nn.Embedding(64, 20, padding_idx=0)
    elif kind == "weight-norm":
        parametrizations.weight_norm(net[2])
    elif kind == "crf":
        held = [p for n, p in net.named_parameters() if not n.startswith(("move", "out"))]
    elif kind == "criterion":
        held = list(net.net.parameters())
    else:
        held = [p for n, p in net.named_parameters() if n.endswith(("weight", "bias"))]
    loss = itself if kind == "crf" else POOL[name].loss
    if kind == "assigned":  # some of the old ones are still in use, so that the loop has something to do
        held = [*held, net.out.weight]
    return Training(
        net, POOL[name].make(seed), torch.optim.Adam(held if ill else list(net.parameters()), POOL[name].rate), loss
    )


def hidden_net(kind: str, right: bool) -> nn.Module:
    """Return a net some of whose layers stand where torch does not look."""
    keep: Any = nn.ModuleList if right else list
    if kind == "list-of-lists":
        net = Net(lambda m, x: m.out(m.fold(x)), out=nn.Linear(32, 3))
        net.hids = keep(keep([nn.Linear(2 if n == 0 else 32, 32), nn.Tanh()]) for n in range(2))

        def fold(x: Tensor) -> Tensor:
            for layer, act in net.hids:  # type: ignore[union-attr, misc]
                x = act(layer(x))
            return x

        net.fold = fold
        return net
    if kind == "convolutions":

        def run(m: Any, x: Tensor) -> Tensor:
            h = F.relu(m.first(x))
            for conv, norm in zip(m.convolutions, m.norms, strict=True):
                h = F.relu(norm(conv(h)))
            return m.out(h.amax(2))

        net = Net(run, first=nn.Conv1d(1, 16, 5, 2), out=nn.Linear(16, 4))
        net.convolutions, net.norms = (
            keep(nn.Conv1d(16, 16, 3) for _ in range(2)),
            keep(nn.BatchNorm1d(16) for _ in range(2)),
        )
        return net
    if kind == "merged":
        net = Net(lambda m, x: m.out(torch.cat([part(x) for part in m.parts], 1)), out=nn.Linear(32, 3))
        net.parts = keep([nn.Sequential(nn.Linear(2, 16), nn.ReLU()), nn.Sequential(nn.Linear(2, 16), nn.Tanh())])
        return net
    keep = nn.ParameterList if right else list
    net = Net(lambda m, x: m.out(sum(torch.sin((n + 1) * x) @ w for n, w in enumerate(m.waves))), out=nn.Linear(24, 3))
    net.waves = keep(nn.Parameter(torch.randn(2, 24)) for _ in range(4))
    return net


def hidden(seed: int, ill: bool, kind: str) -> Training:
    """Cured: a ModuleList.

    `list-of-lists`: github.com/pytorch/pytorch/issues/715; `convolutions`: github.com/kanezaki/pytorch-unsupervised-segmentation/pull/6; `merged`: github.com/asyml/texar-pytorch/issues/72.
    """
    return take(seed, "separable" if kind == "convolutions" else "arms", net=lambda: hidden_net(kind, not ill))


CASES: list[Case] = [
    *[ill(f"passes-not-{how}", "disconnected-parameters", "dense", partial(cut, how=how), 40) for how in ("floor", "wrapped-anew", "own-backward", "functional", "written", "relaxed-sample", "converted")],
    *[ill(f"beside-{kind}", "disconnected-parameters", "several tasks", partial(beside, kind=kind), 40) for kind in ("item", "argmax")],
    ill("lightning-no-grad", "disconnected-parameters", "lightning", partial(lightning, fault="no-grad"), 40),
    *[ill(f"zeros-{kind}", "stuck-at-zero", "dense", partial(stuck, kind=kind), 40, also) for kind, also in (("control", ""), ("hyper", ""), ("attention", ""), ("all", "symmetric-initialisation"))],
    *[ill(f"late-{kind}", "not-in-optimizer", family, partial(late, kind=kind), 40) for kind, family in (
        ("normalised", "convolutional"), ("assigned", "convolutional"), ("crf", "recurrent"), ("by-name", "transformers from scratch"), ("resized", "convolutional"), ("weight-norm", "dense"), ("criterion", "metric learning"))],
    ill("lightning-head-only", "not-in-optimizer", "lightning", partial(lightning, fault="optimiser"), 40),
    *[ill(f"hidden-{kind}", "unregistered-parameters", "dense", partial(hidden, kind=kind), 40) for kind in ("list-of-lists", "convolutions", "merged", "waves")],
    ill("lightning-list-of-heads", "unregistered-parameters", "lightning", partial(lightning, fault="list"), 40),
]  # fmt: skip
