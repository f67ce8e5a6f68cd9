"""A plain loop; `--out FILE` keeps the trained weights and the next random number."""

import argparse
import itertools
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=24)
parser.add_argument("--depth", type=int, default=2)
parser.add_argument("--activation", default="ReLU")
parser.add_argument("--rate", type=float, default=1e-3)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--fails-at", type=int, default=-1)
parser.add_argument("--exit", default="")
parser.add_argument("--out", default="")
given = parser.parse_args()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [20] + [32] * given.depth
        make = getattr(nn, given.activation)
        pairs = itertools.pairwise(widths)
        self.body = nn.Sequential(*[layer for pair in pairs for layer in (nn.Linear(*pair), make())])
        # What a forward pass is tried for before there is any optimiser.
        self.head = nn.Linear(self.body(torch.zeros(1, 20)).shape[1], 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def main() -> None:
    torch.manual_seed(0)
    model = Net()
    optimiser = torch.optim.Adam(model.parameters(), given.rate)
    images = torch.randn(512, 20)
    data = torch.utils.data.TensorDataset(images, images[:, :4].argmax(1))
    step = 0
    while step < given.steps:
        for x, y in torch.utils.data.DataLoader(data, 32, shuffle=True, num_workers=given.workers):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()
            step += 1
            if step == given.fails_at:
                raise RuntimeError("the disk is gone")
            if step == given.steps:
                break
    print("done", __name__, sys.argv[1:], flush=True)
    if given.out:
        torch.save({**model.state_dict(), "chance": torch.rand(3)}, given.out)
    if given.exit:
        sys.exit(int(given.exit))


if __name__ == "__main__":
    main()
