"""A GAN with two optimisers, written as for Lightning alone: it draws the digit that it is asked for."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DigitGAN(pl.LightningModule):
    """Generator and critic are told the class; both are updated at every batch."""

    def __init__(
        self, input_shape: tuple[int, ...], num_classes: int, width: int = 64, noise: int = 16, lr: float = 0.005
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        pixels = input_shape[0] * input_shape[1] * input_shape[2]
        self.generator = nn.Sequential(
            nn.Linear(noise + num_classes, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, pixels),
        )
        self.critic = nn.Sequential(nn.Linear(pixels + num_classes, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def draw(self, asked: Tensor) -> Tensor:
        """Draw one digit for each class asked for: (B, K) one-hot to (B, pixels)."""
        noise = torch.randn(len(asked), self.hparams.noise, device=self.device)
        return self.generator(torch.cat([noise, asked], dim=1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        asked = F.one_hot(labels, self.hparams.num_classes).float()
        of_generator, of_critic = self.optimizers()
        real, drawn = torch.cat([images.flatten(1), asked], dim=1), torch.cat([self.draw(asked), asked], dim=1)

        right, wrong = self.critic(real), self.critic(drawn.detach())
        critic_loss = F.softplus(-right).mean() + F.softplus(wrong).mean()
        of_critic.zero_grad()
        self.manual_backward(critic_loss)
        of_critic.step()

        generator_loss = F.softplus(-self.critic(drawn)).mean()
        of_generator.zero_grad()
        self.manual_backward(generator_loss)
        of_generator.step()
        self.log("critic_loss", critic_loss)
        return generator_loss

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """How many drawn digits are nearest to the mean of the real ones of the class that was asked for."""
        images, labels = batch
        asked = F.one_hot(labels, self.hparams.num_classes).float()
        means = asked.T @ images.flatten(1) / asked.sum(dim=0).clamp(min=1)[:, None]
        nearest = torch.cdist(self.draw(asked), means).argmin(dim=1)
        self.log("test_accuracy", (nearest == labels).float().mean())

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        parts = self.generator, self.critic
        return tuple(torch.optim.Adam(part.parameters(), self.hparams.lr, betas=(0.0, 0.9)) for part in parts)
