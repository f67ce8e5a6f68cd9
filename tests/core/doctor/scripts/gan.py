"""Two networks against each other, each with its optimiser."""

import sys

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as loss

torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 6))
critic = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
moves_generator = torch.optim.Adam(generator.parameters(), 1e-3, betas=(0.5, 0.999))
moves_critic = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.999))
for _ in range(30):
    real, fake = torch.randn(32, 6) + 0.5, generator(torch.randn(32, 4))
    moves_critic.zero_grad()
    (loss(critic(real), torch.ones(32, 1)) + loss(critic(fake.detach()), torch.zeros(32, 1))).backward()
    moves_critic.step()
    moves_generator.zero_grad()
    loss(critic(fake), torch.ones(32, 1)).backward()
    moves_generator.step()
torch.save(generator.state_dict(), sys.argv[1])
