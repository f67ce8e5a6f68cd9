"""Fabric, in bfloat16, with a clipped gradient."""

import sys

import lightning_fabric
import torch
from torch import nn

torch.manual_seed(0)
fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
network = nn.Sequential(nn.Linear(10, 16), nn.GELU(), nn.Linear(16, 3))
model, optimiser = fabric.setup(network, torch.optim.AdamW(network.parameters(), 1e-3))
for _ in range(20):
    x = torch.randn(32, 10)
    optimiser.zero_grad()
    fabric.backward(nn.functional.cross_entropy(model(x), x[:, :3].argmax(1)))
    fabric.clip_gradients(model, optimiser, max_norm=1.0)
    optimiser.step()
torch.save(network.state_dict(), sys.argv[1])
