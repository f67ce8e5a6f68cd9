"""torchvision's ResNet-18, with a first layer for small grey pictures instead of photographs."""

from torch import nn
from torchvision.models import resnet18


def make_resnet18(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Build it with random weights; only its first layer differs."""
    network = resnet18(num_classes=num_classes)
    network.conv1 = nn.Conv2d(input_shape[0], 64, kernel_size=3, padding=1, bias=False)
    return network
