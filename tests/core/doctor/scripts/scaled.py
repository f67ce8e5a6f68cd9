"""Float16 with a GradScaler, on the CPU."""

import sys

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
optimiser = torch.optim.Adam(model.parameters(), 1e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
for _ in range(20):
    x = torch.randn(32, 10)
    optimiser.zero_grad()
    with torch.autocast("cpu", torch.float16):
        loss = nn.functional.cross_entropy(model(x), x[:, :3].argmax(1))
    scaler.scale(loss).backward()
    scaler.step(optimiser)
    scaler.update()
torch.save(model.state_dict(), sys.argv[1])
