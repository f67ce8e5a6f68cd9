"""Encoder and decoder that no module holds together, a frozen teacher, and an optimiser that is never used."""

import sys

import torch
from torch import nn

torch.manual_seed(0)
teacher = nn.Linear(12, 12)
encoder = nn.Sequential(nn.Linear(12, 16), nn.ReLU())
decoder = nn.Linear(16, 12)
another = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))
optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
later = torch.optim.Adam(another.parameters(), 1e-2)
for _ in range(24):
    x = torch.randn(32, 12)
    with torch.no_grad():
        y = teacher(x)
    optimiser.zero_grad()
    nn.MSELoss()(decoder(encoder(x)), y).backward()
    optimiser.step()
torch.save({**encoder.state_dict(), **{f"d.{name}": each for name, each in decoder.state_dict().items()}}, sys.argv[1])
