"""LightningModules that step by hand, nest, thaw, play, or clip in their own way; `healthy_lights` trains them."""

from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.fifth.healthy_agents import room
from benchmarks.doctor.fifth.healthy_pairs import normed
from benchmarks.doctor.fifth.healthy_parts import by, dense, follow


class Game(pl.LightningModule):
    """A GAN with toggled optimisers, as in Lightning's example; its losses need not fall."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = dense(8, 64, 96, nn.LeakyReLU), dense(64, 1, 64, nn.LeakyReLU)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, n = batch[0], len(batch[0])
        one, two = self.optimizers()  # type: ignore[attr-defined]
        bce = F.binary_cross_entropy_with_logits
        self.toggle_optimizer(one)
        loss = bce(self.discriminator(self.generator(torch.randn(n, 8))), torch.ones(n, 1))
        self.log("g_loss", loss)
        self.manual_backward(loss)
        one.step()
        one.zero_grad()
        self.untoggle_optimizer(one)
        self.toggle_optimizer(two)
        fake = self.generator(torch.randn(n, 8)).detach()
        good, bad = self.discriminator(x), self.discriminator(fake)
        judged = 0.5 * (bce(good, 0.9 * torch.ones(n, 1)) + bce(bad, torch.zeros(n, 1)))
        self.manual_backward(judged)
        two.step()
        two.zero_grad()
        self.untoggle_optimizer(two)
        return judged.detach()

    def configure_optimizers(self) -> Any:
        return [by("adam-half", net.parameters(), 1e-3) for net in (self.generator, self.discriminator)], []


class ByHand(pl.LightningModule):
    """Adds up three batches by hand, and steps its schedule by hand."""

    def __init__(self, every: int = 3) -> None:
        super().__init__()
        self.automatic_optimization, self.every = False, every
        self.net = dense(64, 10, 64, nn.Hardswish)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        optimizer: Any = self.optimizers()
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.manual_backward(loss / self.every)
        if (batch_idx + 1) % self.every == 0:
            self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
            optimizer.step()
            optimizer.zero_grad()
            rule: Any = self.lr_schedulers()
            rule.step()
        return loss.detach()

    def configure_optimizers(self) -> Any:
        optimizer = by("sgd", self.parameters(), 0.1)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)]


class Pieces(pl.LightningModule):
    """Truncated backpropagation by hand: a long row in pieces, the state detached between them."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.rnn, self.head = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        optimizer: Any = self.optimizers()
        x, state, total = batch[0][..., None], None, torch.zeros(())
        for piece in range(3):
            part = x[:, 15 * piece : 15 * piece + 16]
            h, state = self.rnn(part[:, :-1], state)
            state = tuple(each.detach() for each in state)
            loss = F.mse_loss(self.head(h), part[:, 1:])
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            total = total + loss.detach() / 3
        return total

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=5e-3)


class Sparse(pl.LightningModule):
    """Two optimisers by hand: one for the sparse table, one for all else."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.table, self.net = nn.EmbeddingBag(2000, 16, sparse=True), dense(16, 2, 32)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizers: Any = self.optimizers()
        loss = F.cross_entropy(self.net(self.table(batch[0])), batch[1])
        for each in optimizers:
            each.zero_grad()
        self.manual_backward(loss)
        for each in optimizers:
            each.step()
        return {"loss": loss}

    def configure_optimizers(self) -> Any:
        return [torch.optim.SparseAdam(self.table.parameters(), lr=2e-2), by("adam", self.net.parameters(), 3e-3)]


class Coder(pl.LightningModule):
    """A part of a larger module, that could be trained alone."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = dense(inputs, outputs, 64, nn.SiLU)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Nested(pl.LightningModule):
    """Modules within a module; the outer one's optimiser has all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = Coder(64, 12), Coder(12, 64), nn.Linear(12, 10)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        z = self.encoder(batch[0])
        known = F.cross_entropy(self.head(z), batch[1])
        return known + 0.5 * F.mse_loss(self.decoder(z), batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.RAdam(self.parameters(), lr=5e-3)


class Thawing(pl.LightningModule):
    """A new head first; from step 30 on the body learns too, at a tenth of the rate."""

    def __init__(self, body: Any, thaw: int = 30) -> None:
        super().__init__()
        self.body, self.head, self.thaw = nn.Sequential(*body[:-1]), nn.Linear(32, 3), thaw
        self.body.requires_grad_(False)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.global_step < self.thaw:
            self.body.eval()
        elif not next(self.body.parameters()).requires_grad:
            self.body.requires_grad_(True).train()
            optimizer: Any = self.optimizers(use_pl_optimizer=False)
            optimizer.add_param_group({"params": list(self.body.parameters()), "lr": 5e-4})

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.head(self.body(batch[0])), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.head.parameters(), lr=5e-3)


class Agent(pl.LightningModule):
    """Q-learning in a room; the goal's network is copied at every tenth step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(2, 3, 48)
        self.target_net = copy.deepcopy(self.net).requires_grad_(False)
        self.deeds = torch.tensor([[0.0, 0.0], [0.6, 0.6], [-0.6, -0.6]])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        s, deed = batch[0], torch.randint(0, 3, (len(batch[0]), 1))
        reward, after = room(s, self.deeds[deed[:, 0]])
        with torch.no_grad():
            goal = reward + 0.9 * self.target_net(after).amax(1, keepdim=True)
        if batch_idx % 10 == 0:
            self.target_net.load_state_dict(self.net.state_dict())
        return F.smooth_l1_loss(self.net(s).gather(1, deed), goal)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net.parameters(), lr=3e-3)


class OwnClip(pl.LightningModule):
    """Clips the recurrent part alone, in the hook that is meant for it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(8, 48, batch_first=True), nn.Linear(48, 10)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.head(self.rnn(batch[0].view(-1, 8, 8))[0][:, -1]), batch[1])

    def configure_gradient_clipping(self, optimizer: Any, *settings: Any, **more: Any) -> None:
        nn.utils.clip_grad_norm_(self.rnn.parameters(), 0.5)

    def configure_optimizers(self) -> Any:
        return by("nesterov", self.parameters(), 0.05)


class Quasi(pl.LightningModule):
    """L-BFGS, whose closure Lightning makes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(2, 2, 16, nn.Tanh)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=1.0, max_iter=4, line_search_fn="strong_wolfe")


class Views(pl.LightningModule):
    """BYOL: the slow copy follows in a hook, before gradients are cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.online, self.predictor = normed(64, 24), normed(24, 24, 48)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        one, two = (batch[0] + 0.4 * torch.randn_like(batch[0]) for _ in range(2))
        with torch.no_grad():
            goal = F.normalize(self.target(two))
        return 2 - 2 * (F.normalize(self.predictor(self.online(one))) * goal).sum(1).mean()

    def on_before_zero_grad(self, optimizer: Any) -> None:
        follow(self.target, self.online, 0.98)

    def configure_optimizers(self) -> Any:
        return by("adamw", self.parameters(), 3e-3)


class Turns(pl.LightningModule):
    """Each batch belongs to one of two tasks, whose heads rest in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.heads = (
            nn.Sequential(dense(64, 48, 64), nn.ReLU()),
            nn.ModuleList([nn.Linear(48, 10), nn.Linear(48, 2)]),
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        task = batch_idx % 2
        return F.cross_entropy(self.heads[task](self.body(batch[0])), batch[1] % 2 if task else batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adagrad(self.parameters(), lr=2e-2)


class Tiny(pl.LightningModule):
    """A trained network tuned on at 2e-5: next to nothing changes, as wanted."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1], label_smoothing=0.05)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=2e-5, weight_decay=0.01)
