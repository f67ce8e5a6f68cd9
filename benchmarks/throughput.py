"""How many replica-steps per second, against other ways to train the same networks."""

from __future__ import annotations

from functools import partial

from benchmarks import peers
from benchmarks.cases import Work, arm
from benchmarks.clock import Contestant, Spread, race, ratios
from benchmarks.ours import population
from benchmarks.suite import Options, Row

OURS = "ours"
ALONE = "ours, 1 seed"
BY_HAND = "(a) a loop by hand"


def works(options: Options) -> list[Work]:
    """Return the networks to train."""
    found = []
    for kind, depth, width, steps in (
        ("mlp", 4, 30, 400),
        ("mlp", 20, 64, 100),
        ("mlp", 50, 64, 50),
        ("cnn", 10, 8, 6),
    ):
        for norm in ("none", "batch"):
            name = f"{kind.upper()} depth {depth}, width {width}" + (", BatchNorm" if norm == "batch" else "")
            config = arm(kind, depth, width, norm, num_train=2_000 if kind == "cnn" else 10_000)
            found.append(Work(name, config, 2 if options.quick else steps, min(5, steps // 2), options.device))
    return found[:1] if options.quick else found


def contestants(work: Work, num_replicas: int) -> dict[str, Contestant]:
    """Return the ways to train `work`, by name."""
    return {
        OURS: Contestant(partial(population, work, num_replicas), is_ours=True),
        ALONE: Contestant(partial(population, work, 1), is_ours=True),
        BY_HAND: Contestant(partial(peers.by_hand, work)),
        "(b) Lightning": Contestant(partial(peers.lightning, work)),
        "(c) Lightning, MLFlowLogger": Contestant(partial(peers.lightning_mlflow, work)),
        "(c') ..., every step logged": Contestant(partial(peers.lightning_mlflow, work, 1)),
        "(d) Keras 3 on torch": Contestant(partial(peers.keras_fit, work)),
    }


def measure(options: Options) -> list[Row]:
    """Return one row per network and contestant: replica-steps per second, and its time over ours."""
    rows = []
    for work in works(options):
        seconds = race(contestants(work, options.replicas), options.rounds, options.watch, work.name)
        over_ours, over_hand = ratios(seconds, OURS), ratios(seconds, BY_HAND)
        for name, values in seconds.items():
            measured: dict[str, Spread | float] = {
                "replica-steps/s": Spread.of([1 / value for value in values]),
                "time over ours": over_ours[name],
                "time over (a)": over_hand[name],
            }
            rows.append(Row(work.name, name, measured))
    return rows
