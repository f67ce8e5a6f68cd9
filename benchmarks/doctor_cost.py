"""What the doctor costs: trainings with it and without take turns in one process (python -m benchmarks.doctor_cost)."""

from __future__ import annotations

import time
from contextlib import nullcontext

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clock import Spread
from vgtemplate import watch

WIDTH, LAYERS, CLASSES, BATCHES = 256, 7, 10, 8


def _dense(batch: int) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """Seven dense layers of 256 units."""
    hidden = [each for _ in range(LAYERS - 1) for each in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    data = [(torch.randn(batch, WIDTH), torch.randint(CLASSES, (batch,))) for _ in range(BATCHES)]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES)), data


def _convolutional(batch: int) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """Six convolutions with batch normalisation on pictures of 16x16."""
    blocks: list[nn.Module] = []
    for index in range(6):
        blocks += [nn.Conv2d(16 if index else 3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    data = [(torch.randn(batch, 3, 16, 16), torch.randint(CLASSES, (batch,))) for _ in range(BATCHES)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)), data


def _transformer(batch: int) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """Two encoder layers of width 64 on 32 tokens."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
    network = nn.Sequential(nn.Embedding(100, 64), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    data = [(torch.randint(100, (batch, 32)), torch.randint(CLASSES, (batch,))) for _ in range(BATCHES)]
    return nn.Sequential(network, nn.Flatten(), nn.Linear(64 * 32, CLASSES)), data


WORKS = {"dense": _dense, "convolutional": _convolutional, "transformer": _transformer}


def train(work: str, batch: int, steps: int, is_watched: bool, seed: int = 0) -> tuple[float, list[float], Tensor]:
    """Train a network; return the processor's seconds for all, those for each step, and the weights at the end."""
    torch.manual_seed(seed)
    network, data = WORKS[work](batch)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    each: list[float] = []
    started = time.process_time()
    with watch(network, optimizer) if is_watched else nullcontext():
        for step in range(steps):
            before = time.process_time()
            x, y = data[step % len(data)]
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
            each.append(time.process_time() - before)
    seconds = time.process_time() - started
    return seconds, each, torch.nn.utils.parameters_to_vector(network.parameters())


@click.command()
@click.option("--work", type=click.Choice(list(WORKS)), default="dense", show_default=True)
@click.option("--batch", default=512, show_default=True, help="Samples of a batch, by which the step takes longer.")
@click.option("--steps", default=200, show_default=True)
@click.option("--rounds", default=7, show_default=True)
def main(work: str, batch: int, steps: int, rounds: int) -> None:
    """Let a training without the doctor and one with it take turns; print by how much longer the second takes.

    It is the processor's time that counts: on one thread that is the time that passes, but for other programs' turns.
    """
    torch.set_num_threads(1)
    train(work, batch, 20, is_watched=True)
    ratios, plain, looks, ends = [], [], [], []
    for turn in range(rounds):
        found = {is_watched: train(work, batch, steps, is_watched) for is_watched in (bool(turn % 2), not turn % 2)}
        if not torch.equal(found[True][2], found[False][2]):
            raise click.ClickException("the weights differ")
        ratios.append(100 * (found[True][0] / found[False][0] - 1))
        plain.append(1e3 * found[False][0] / steps)
        looks.append([1e3 * (a - b) for a, b in zip(found[True][1], found[False][1], strict=True)])
        ends.append(1e3 * (found[True][0] - sum(found[True][1]) - found[False][0] + sum(found[False][1])))
    click.echo(f"{work}, batch {batch}, {steps} steps, {rounds} rounds, median [least, most]:")
    click.echo(f"ms per step without {Spread.of(plain)}")
    click.echo(f"longer by, in percent {Spread.of(ratios)}")
    by_step = [Spread.of([each[step] for each in looks]).median for step in range(steps)]
    end = Spread.of(ends).median
    whole = 100 * (sum(by_step) + end) / (steps * Spread.of(plain).median)
    click.echo(f"the same by the median of each step: {whole:.1f}, of which {end:.1f} ms for the end")
    click.echo(f"ms more in the steps 0 to 19: {', '.join(f'{each:.1f}' for each in by_step[:20])}")


if __name__ == "__main__":
    main()
