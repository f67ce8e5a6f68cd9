"""Networks, losses and scores as people write them, for the tests that train them; no test itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet, resnet18


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, width: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.layer = nn.LSTM(input_shape[-1], width, 2, batch_first=True, dropout=dropout)
        self.output = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layer(x.squeeze(1))[0][:, -1])


class Attention(nn.Module):
    """A small transformer over the rows of an image."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Linear(input_shape[-1], width)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.output = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layers(self.embedding(x.squeeze(1))).mean(dim=1))


class Answer:
    """What Hugging Face's networks give: an object with logits."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class Normalised(nn.Module):
    """A fully connected network with running statistics, whose output is an object."""

    def __init__(self, num_classes: int, num_inputs: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(num_inputs, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.output = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Answer:
        return Answer(self.output(self.layers(x)))


def small_resnet18(num_classes: int) -> ResNet:
    """torchvision's, for small grey images, with the first two of its four stages: a sixteenth of the weights."""
    network = resnet18(num_classes=num_classes)
    network.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    network.maxpool = network.layer3 = network.layer4 = nn.Identity()
    network.fc = nn.Linear(128, num_classes)
    return network


def too_few_outputs() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def misfit() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(63, 10))


def focal(outputs: Tensor, targets: Tensor) -> Tensor:
    """Lin et al. 2017, with gamma = 2."""
    chosen = F.log_softmax(outputs, dim=-1).gather(1, targets[:, None]).squeeze(1)
    return -((1 - chosen.exp()).square() * chosen).mean()


def surprise(outputs: Tensor, targets: Tensor) -> float:
    """A score that is a plain number: the share of images whose class has a probability below a half."""
    return float((outputs.softmax(dim=-1).gather(1, targets[:, None]) < 0.5).double().mean())


def several(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(dim=-1) == targets).double()


def broken(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.mean() / torch.tensor([])[0]
