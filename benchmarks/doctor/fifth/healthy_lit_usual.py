"""LightningModules that leave the steps to Lightning; `healthy_lights` trains them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.fifth.healthy_lessons import resnet
from benchmarks.doctor.fifth.healthy_makers import VAE, Noise, parts
from benchmarks.doctor.fifth.healthy_parts import by, dense, follow
from benchmarks.doctor.fifth.healthy_pictures import double, overlap
from benchmarks.doctor.fifth.healthy_words import GPT


class Classifier(pl.LightningModule):
    """Logs its loss and accuracy, keeps its settings."""

    def __init__(self, width: int = 128, rate: float = 3e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer_1, self.layer_2 = nn.Linear(64, width), nn.Linear(width, width)
        self.layer_3, self.drop = nn.Linear(width, 10), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Any:
        return self.layer_3(self.drop(F.relu(self.layer_2(self.drop(F.relu(self.layer_1(x)))))))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        self.log("train_loss", loss)
        self.log("train_acc", (logits.argmax(1) == y).float().mean(), prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["rate"])


class OneCycle(pl.LightningModule):
    """A small ResNet by one cycle of the rate, stepped at each batch."""

    def __init__(self, steps: int = 60) -> None:
        super().__init__()
        self.model, self.steps = resnet(), steps

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return {"loss": F.cross_entropy(self.model(batch[0]), batch[1]), "seen": len(batch[0])}

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        rule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=self.steps + 1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rule, "interval": "step"}}


class AutoEncoder(pl.LightningModule):
    """Lightning's first lesson."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].view(batch[0].size(0), -1)
        return F.mse_loss(self.decoder(self.encoder(x)), x)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


class Variational(pl.LightningModule):
    """The examples' VAE, per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = VAE()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        entropy, kl = parts(self.vae, batch[0])
        self.log_dict({"entropy": entropy, "kl": kl})
        return (entropy + kl) / len(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adamax(self.parameters(), lr=5e-3)


class Segmenter(pl.LightningModule):
    """Dice's loss in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(double(1, 12), double(12, 12), nn.Conv2d(12, 1, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return overlap(self.net(batch[0]).float(), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.RMSprop(self.parameters(), lr=2e-3, momentum=0.5)


class Forecaster(pl.LightningModule):
    """An LSTM that foretells eight hours, clipped by the Trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(1, 32, batch_first=True), nn.Linear(32, 8)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.smooth_l1_loss(self.head(self.rnn(batch[0][..., None])[0][:, -1]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.NAdam(self.parameters(), lr=5e-3)


class Recommender(pl.LightningModule):
    """Factors of users and items, and a small network on top."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item, self.top = nn.Embedding(60, 12), nn.Embedding(80, 12), dense(24, 1, 32, nn.GELU)
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.item.weight, std=0.1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        user, item, stars = batch
        u, v = self.user(user), self.item(item)
        return F.mse_loss((u * v).sum(1) + self.top(torch.cat([u, v], 1))[:, 0] + 3.5, stars)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2, weight_decay=1e-5)


class Distiller(pl.LightningModule):
    """A frozen teacher within, kept in evaluation; only the pupil is given to the optimiser."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher, self.pupil = teacher.requires_grad_(False), dense(64, 10, 24)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.teacher.eval()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.no_grad():
            soft = F.softmax(self.teacher(batch[0]) / 3, 1)
        said = self.pupil(batch[0])
        apart = F.kl_div(F.log_softmax(said / 3, 1), soft, reduction="batchmean") * 9
        return 0.7 * apart + 0.3 * F.cross_entropy(said, batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.pupil.parameters(), lr=5e-3)


class Transfer(pl.LightningModule):
    """Lightning's lesson on transfer: a frozen body in evaluation, a new head."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(*body[:-1]), nn.Linear(32, 3)
        self.body.requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.body.eval()
        with torch.no_grad():
            h = self.body(batch[0])
        return F.cross_entropy(self.head(h), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(filter(lambda p: p.requires_grad, self.parameters()), lr=0.02, momentum=0.9)


class Letters(pl.LightningModule):
    """nanoGPT in small: groups with and without decay, a warm-up, two batches a step."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt = GPT(depth=2)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0]
        return F.cross_entropy(self.gpt(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())

    def configure_optimizers(self) -> Any:
        heavy = [p for p in self.parameters() if p.dim() > 1]
        light = [p for p in self.parameters() if p.dim() <= 1]
        groups = [{"params": heavy, "weight_decay": 0.1}, {"params": light, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=8e-3, betas=(0.9, 0.95))
        rule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / 8) * math.exp(-n / 60))
        return [optimizer], [{"scheduler": rule, "interval": "step"}]


class Diffusion(pl.LightningModule):
    """Points out of noise; a slow copy follows after each batch, and never learns itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Noise()
        self.slow = copy.deepcopy(self.net).requires_grad_(False)
        self.register_buffer("left", torch.cos(torch.linspace(0.01, 1.5, 100)) ** 2)
        self.left: Tensor

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, t = batch[0], torch.randint(0, 100, (len(batch[0]),), device=self.device)
        noise, a = torch.randn_like(x), self.left[t][:, None]
        return F.mse_loss(self.net(a.sqrt() * 2 * x + (1 - a).sqrt() * noise, t.float()), noise)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        follow(self.slow, self.net, 0.98)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.net.parameters(), lr=2e-3)


class Contrast(pl.LightningModule):
    """SimCLR on digits, by a cosine of the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 48))
        self.projector = nn.Sequential(nn.ReLU(), nn.Linear(48, 24))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].repeat(2, 1)
        z = F.normalize(self.projector(self.encoder(x + 0.5 * torch.randn_like(x))))
        alike = (z @ z.T / 0.2).fill_diagonal_(-torch.inf)
        return F.cross_entropy(alike, torch.arange(len(x)).roll(len(x) // 2))

    def configure_optimizers(self) -> Any:
        optimizer = by("sgd", self.parameters(), 0.1)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)]


class Payments(pl.LightningModule):
    """Rare fraud, weighted; the rate falls where the epoch's loss has come to rest."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.BatchNorm1d(10), dense(10, 1, 32, nn.GELU))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        weight = torch.tensor([10.0])
        loss = F.binary_cross_entropy_with_logits(self.net(batch[0]), batch[1], pos_weight=weight)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=5e-3)
        rule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rule, "monitor": "loss"}}


class Task(pl.LightningModule):
    """Any network with any loss and optimiser, as a team's template has it."""

    def __init__(self, net: nn.Module, loss: Any, way: str, rate: float) -> None:
        super().__init__()
        self.net, self.loss, self.way, self.rate = net, loss, way, rate

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(self.net, batch)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return by(self.way, self.parameters(), self.rate)
