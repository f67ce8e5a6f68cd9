"""Healthy loops: own optimisers, hooks, samples' own gradients, averages, thawing, empty losses, Lightning, the last bit."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks.doctor.case import Case, Training, healthy, seeded, steps_of
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, classify, fit, looped, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_nets import Swiglu, separable
from benchmarks.doctor.third.tasks import Net

arms = partial(mlp, 2, 3, 48, 2)


class Lion(torch.optim.Optimizer):
    """Signs of a moving mean: every number moves by as much at every step."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    p.add_(mean.lerp(p.grad, 0.1).sign(), alpha=-group["lr"])
                    mean.lerp_(p.grad, 0.02)


class Muon(torch.optim.Optimizer):
    """Matrices step by their momentum made orthogonal, vectors by plain descent."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p)).mul_(0.9).add_(p.grad)
                if p.dim() == 2:
                    u, _, v = torch.linalg.svd(mean, full_matrices=False)
                    p.add_(u @ v, alpha=-group["lr"])
                else:
                    p.add_(mean, alpha=-group["lr"])


def usual(loss: Any, before: Any = None, after: Any = None) -> Any:
    """Return the usual step with something before it, and after."""

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(model, batch)
        value.backward()
        if before:
            before(model, optimizer, number)
        optimizer.step()
        if after:
            after(model, optimizer, number)
        return value

    return step


def stepped(seed: int, kind: str) -> Training:
    """An optimiser of one's own, resilient propagation on all data, or LBFGS with a line search."""
    if kind == "rprop":
        net = arms()
        return Training(net, tasks.spirals(seed, 960), torch.optim.Rprop(net.parameters(), 1e-3), classify)
    if kind == "lbfgs":
        net = mlp(10, 1, 16, 1, nn.Tanh)

        def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
            def closure() -> Tensor:
                optimizer.zero_grad()
                loss = squared(model, batch) + 1e-4 * sum(p.square().sum() for p in model.parameters())
                loss.backward()
                return loss

            return torch.as_tensor(optimizer.step(closure))

        return Training(
            net,
            tasks.friedman(seed, 1024),
            torch.optim.LBFGS(net.parameters(), max_iter=4, line_search_fn="strong_wolfe"),
            train_step=step,
        )
    net = arms()
    kinds: dict[str, Any] = {"lion": partial(Lion, lr=2e-3), "muon": partial(Muon, lr=0.02)}
    return Training(net, tasks.spirals(seed), kinds[kind](net.parameters()), classify)


def in_backward(seed: int) -> Training:
    """Each parameter has an optimiser that steps within backward, to save memory."""
    net = arms()
    each = [torch.optim.Adam([p], 5e-3) for p in net.parameters()]

    def hook(optimizer: Any) -> Any:
        def step(p: Any) -> None:
            optimizer.step()
            optimizer.zero_grad()

        return step

    for p, optimizer in zip(net.parameters(), each, strict=True):
        p.register_post_accumulate_grad_hook(hook(optimizer))

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        loss = classify(model, batch)
        loss.backward()
        return loss

    return Training(net, tasks.spirals(seed), each, train_step=step)


def private(seed: int) -> Training:
    """DP-SGD: gradients per sample by torch.func, clipped, summed, made noisy, and assigned."""
    net = mlp(2, 3, 32, 1)

    def one(parameters: Any, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(net, parameters, (x[None],)), y[None])

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        weights = {name: p.detach() for name, p in model.named_parameters()}
        grads, losses = torch.func.vmap(torch.func.grad_and_value(one), (None, 0, 0))(weights, *batch)
        norm = sum(g.flatten(1).square().sum(1) for g in grads.values()).sqrt()
        share = (1.0 / (norm + 1e-6)).clamp(max=1.0)
        for name, p in model.named_parameters():
            g = torch.einsum("b,b...->...", share, grads[name])
            p.grad = (g + 0.1 * torch.randn_like(g)) / len(norm)
        optimizer.step()
        return losses.mean()

    return looped(net, tasks.spirals(seed), step, "sgd", 0.3)


def averaged(seed: int) -> Training:
    """Moving averages of the weights are swapped in for evaluation every tenth step, and out again."""
    net = nn.Sequential(nn.Linear(2, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 3))
    slow = copy.deepcopy(net.state_dict())
    held = next(iter(tasks.spirals(seed)))

    def after(model: Any, optimizer: Any, number: int) -> None:
        for name, value in model.state_dict().items():
            slow[name] = 0.9 * slow[name] + 0.1 * value if value.is_floating_point() else value.clone()
        if number % 10 == 9:
            fast = copy.deepcopy(model.state_dict())
            model.load_state_dict(slow)
            model.eval()
            with torch.no_grad():
                classify(model, held)
            model.load_state_dict(fast)
            model.train()

    return looped(net, tasks.spirals(seed), usual(classify, after=after), "adam", 1e-2)


def thawing(seed: int) -> Training:
    """ULMFiT: the head alone at first, then layer by layer, as new groups of smaller rates."""
    net: Any = separable()
    net.requires_grad_(False)
    net.out.requires_grad_(True)
    order = [net.two, net.one, net.stem]

    def before(model: Any, optimizer: Any, number: int) -> None:
        if number % 15 == 14 and order:
            part = order.pop(0)
            part.requires_grad_(True)
            optimizer.add_param_group({"params": list(part.parameters()), "lr": 2e-3})

    return looped(net, tasks.motifs(seed), usual(classify, before=before), "adam", 1e-2)


def in_turn(seed: int) -> Training:
    """Who and what in turn: one half is frozen at each step, and gradients are set to None."""
    net: Any = Net(
        lambda m, x: (m.who(x[:, 0]) * m.what(x[:, 1])).sum(1, keepdim=True),
        who=nn.Embedding(40, 4),
        what=nn.Embedding(30, 4),
    )

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        model.who.requires_grad_(number % 2 == 0)
        model.what.requires_grad_(number % 2 == 1)
        optimizer.zero_grad(set_to_none=True)
        loss = squared(model, batch)
        loss.backward()
        optimizer.step()
        return loss

    return looped(net, tasks.ratings(seed), step, "plain", 3.0)


def hardest(model: nn.Module, batch: Any) -> Tensor:
    """Only the hardest quarter of the batch counts."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none").topk(len(batch[1]) // 4).values.mean()


def half_taught(seed: int) -> Training:
    """FixMatch: the part without labels counts where the guess is sure, which at first is nowhere."""
    x, y = tasks.spirals(seed).tensors

    def loss(model: nn.Module, batch: Any) -> Tensor:
        known = F.cross_entropy(model(batch[0][:32]), batch[1][:32])
        with torch.no_grad():
            sure, guess = model(batch[0][32:]).softmax(1).max(1)
        noisy = batch[0][32:] + 0.05 * torch.randn_like(batch[0][32:])
        return known + (F.cross_entropy(model(noisy), guess, reduction="none") * (sure > 0.97)).mean()

    return Training(net := arms(), tasks.Batches((x, y), 96, seed), by("adam", 5e-3, net.parameters()), loss)


def pruned(seed: int) -> Training:
    """Half of the units have their weights pruned, and masked in forward by torch's own hooks."""
    net: Any = arms()
    for layer in (net[0], net[2]):
        prune.ln_structured(layer, "weight", 0.5, 2, 0)
    return Training(net, tasks.spirals(seed), by("adam", 1e-2, net.parameters()), classify)


def scaled_only(seed: int) -> Training:
    """IA3: within a frozen network only vectors that start at one learn, and the head."""
    net: Any = Net(
        lambda m, x: m.out(m.two(m.l1 * F.relu(m.one(x))).relu() * m.l2),
        one=nn.Linear(2, 64),
        two=nn.Linear(64, 64),
        l1=nn.Parameter(torch.ones(64)),
        l2=nn.Parameter(torch.ones(64)),
        out=nn.Linear(64, 3),
    )
    net.one.requires_grad_(False)
    net.two.requires_grad_(False)
    return Training(net, tasks.spirals(seed), by("adamw", 2e-2, net.parameters()), classify)


def ensemble(seed: int) -> Training:
    """Eight networks stacked by torch.func and trained as one."""
    many = [mlp(2, 3, 24, 2) for _ in range(8)]
    stacked, _ = torch.func.stack_module_state(many)  # type: ignore[arg-type]
    base = copy.deepcopy(many[0]).to("meta")
    names = list(stacked)
    held = nn.ParameterList(nn.Parameter(stacked[name].detach()) for name in names)

    def run(m: Any, x: Tensor) -> Tensor:
        return torch.func.vmap(lambda p: torch.func.functional_call(base, p, (x,)))(
            dict(zip(names, m.held, strict=True))
        )

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch[0])
        return F.cross_entropy(out.flatten(0, 1), batch[1].repeat(8))

    return Training(net := Net(run, held=held), tasks.spirals(seed), by("adam", 5e-3, net.parameters()), loss)


def inner(seed: int, kind: str) -> Training:
    """Meta-learning of sines: only the head adapts (ANIL), or each weight has a learned rate (Meta-SGD)."""
    net: Any = Net(lambda m, x: m.net(x), net=mlp(1, 1, 32, 2, nn.Tanh))
    if kind == "rates":
        net.rates = nn.ParameterList(nn.Parameter(torch.full_like(p, 0.02)) for p in net.net.parameters())

    def loss(model: Any, batch: Any) -> Tensor:
        total = torch.zeros(())
        for _ in range(4):
            shift, x = 3 * torch.rand(()), 4 * torch.rand(20, 1) - 2
            y = torch.sin(2 * x + shift)
            weights = dict(model.net.named_parameters())
            chosen = [name for name in weights if kind == "rates" or name.startswith("4")]
            for _ in range(2):
                guess = torch.func.functional_call(model.net, weights, (x[:10],))
                grads = torch.autograd.grad(F.mse_loss(guess, y[:10]), [weights[n] for n in chosen], create_graph=True)
                rates = model.rates if kind == "rates" else [0.2] * len(chosen)
                weights = weights | {n: weights[n] - r * g for n, g, r in zip(chosen, grads, rates, strict=True)}
            total = total + F.mse_loss(torch.func.functional_call(model.net, weights, (x[10:],)), y[10:])
        return total / 4

    return Training(net, tasks.moons(seed), by("adam", 1e-2, net.parameters()), loss)


def resumed(seed: int, kind: str) -> Training:
    """From a checkpoint: weights and optimiser are loaded, the rate is small; or it is trained to the end already."""
    make: Any = tasks.spirals if kind == "spirals" else tasks.motifs
    first = fit(seed, arms if kind == "spirals" else separable, make, classify, "adam", 5e-3)
    for _ in steps_of(first, 200):
        pass
    net = arms() if kind == "spirals" else separable()
    net.load_state_dict(copy.deepcopy(first.model.state_dict()))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    optimizer.param_groups[0]["lr"] = 1e-5 if kind == "motifs" else 5e-3
    return Training(net, make(seed + 1) if kind == "motifs" else make(seed), optimizer, classify)


def two_rates(seed: int) -> Training:
    """A body trained before learns at a rate ten thousand times smaller than its new head."""
    first = fit(seed, separable, tasks.motifs, classify, "adam", 5e-3)
    for _ in steps_of(first, 60):
        pass
    net: Any = first.model
    net.out = nn.Linear(24, 4)
    body = [p for name, p in net.named_parameters() if not name.startswith("out")]
    return Training(
        net,
        tasks.motifs(seed),
        torch.optim.AdamW([{"params": body, "lr": 1e-6}, {"params": net.out.parameters(), "lr": 1e-2}]),
        classify,
    )


def brain_float(seed: int) -> Training:
    """bfloat16 by autocast over gated units, accumulated over two batches, clipped, with a last batch of its own size."""
    net = nn.Sequential(nn.Linear(2, 48), Swiglu(48), Swiglu(48), nn.Linear(48, 3))

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        rows = slice(None) if number % 5 else slice(0, 7)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(batch[0][rows]).float(), batch[1][rows])
        (loss / 2).backward()
        if number % 2:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return looped(net, tasks.spirals(seed), step, "adamw", 5e-3)


class Lit(pl.LightningModule):
    """A module of Lightning: one optimiser with a schedule per step, or two by hand, or a plateau."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.net = arms() if kind != "by-hand" else nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 3))
        self.automatic_optimization = kind != "by-hand"

    def training_step(self, batch: Any, number: int) -> Any:
        loss = classify(self.net, batch)
        if self.automatic_optimization:
            return loss
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
        return {"loss": loss.detach()}

    def configure_optimizers(self) -> Any:
        if self.kind == "by-hand":
            return [torch.optim.Adam(self.net[0].parameters(), 1e-2), torch.optim.SGD(self.net[2].parameters(), 0.1)]  # type: ignore[index, operator, union-attr]
        optimizer = torch.optim.AdamW(self.parameters(), 5e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, 121)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def lightning(seed: int, kind: str, **trainer: Any) -> Training:
    """Return a Lightning module's training."""
    return Training(Lit(kind), tasks.spirals(seed), trainer=trainer)


CASES: list[Case] = [
    *[healthy(f"optimiser-{kind}", "optimisers", seeded(partial(stepped, kind=kind)), steps) for kind, steps in (("rprop", 60), ("lbfgs", 20), ("lion", 100), ("muon", 100))],
    healthy("steps-in-backward", "optimisers", seeded(in_backward), 100),
    healthy("private-samples", "optimisers", seeded(private), 100),
    healthy("averages-swapped", "averages", seeded(averaged), 100),
    healthy("thawed-layer-by-layer", "fine-tuning", seeded(thawing), 90),
    healthy("in-turn", "embeddings", seeded(in_turn), 120),
    healthy("hardest-quarter", "imbalance", seeded(partial(fit, net=arms, make=tasks.spirals, loss=hardest, way="adam", rate=5e-3)), 150),
    healthy("half-taught", "self-supervised", seeded(half_taught), 120),
    healthy("pruned-units", "sparsity", seeded(pruned), 120),
    healthy("scales-only", "fine-tuning", seeded(scaled_only), 120),
    healthy("ensemble-of-eight", "ensembles", seeded(ensemble), 100),
    *[healthy(f"inner-{kind}", "meta learning", seeded(partial(inner, kind=kind)), 80) for kind in ("head", "rates")],
    *[healthy(f"resumed-{kind}", "fine-tuning", seeded(partial(resumed, kind=kind)), 40, falls=False) for kind in ("spirals", "motifs")],
    healthy("two-rates", "fine-tuning", seeded(two_rates), 60),
    healthy("brain-float-pairs", "sixteen bits", seeded(brain_float), 150),
    *[healthy(f"lightning-{name}", "lightning", seeded(partial(lightning, kind=kind, **settings)), 120) for name, kind, settings in (
        ("by-hand", "by-hand", {}), ("one-cycle", "one-cycle", {}), ("one-cycle-bf16", "one-cycle", {"precision": "bf16-mixed", "gradient_clip_val": 1.0}))],
]  # fmt: skip
