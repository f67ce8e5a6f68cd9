"""What looking costs: the step time with probes over the step time without, beside what other loggers cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytorch_lightning as pl

from benchmarks import looking_anywhere, peers
from benchmarks.cases import Work, arm
from benchmarks.clock import Contestant, Spread, race, ratios
from benchmarks.gradient_loggers import GradNormLogger, HistogramLogger, ItemLogger
from benchmarks.ours import population
from benchmarks.suite import Options, Row
from vgtemplate.callbacks.gradient import GradientProbe

OURS, THEIRS = "ours: no probes", "Lightning: no gradient logger"


def contestants(work: Work, num_replicas: int) -> dict[str, Contestant]:
    """Return ours with and without probes, and Lightning with and without the loggers of others."""

    def probed(every: int | None) -> Work:
        return replace(
            work,
            config=work.config.model_copy(update={"probes": work.config.probes.model_copy(update={"every": every})}),
        )

    def ours(trained: Work, *callbacks: pl.Callback) -> Contestant:
        return Contestant(partial(population, trained, num_replicas, callbacks=callbacks), is_ours=True)

    def theirs(*callbacks: pl.Callback) -> Contestant:
        return Contestant(partial(peers.lightning, work, callbacks))

    return {
        OURS: ours(work),
        "ours: every probe, 50 times per run (default)": ours(probed(None)),
        "ours: the gradient probe at every step": ours(work, GradientProbe(1)),
        "ours: every probe at every step": ours(probed(1)),
        THEIRS: theirs(),
        "Lightning: .item() per parameter": theirs(ItemLogger()),
        "Lightning: grad_norm": theirs(GradNormLogger()),
        "Lightning: a histogram per parameter": theirs(HistogramLogger()),
    }


def measure(options: Options) -> list[Row]:
    """Return one row per contestant: its step time over the same without looking; then people's own networks."""
    depth, steps = (4, 3) if options.quick else (50, 500)
    work = Work(f"MLP depth {depth}, width 64", arm("mlp", depth, 64), steps, 0, options.device)
    seconds = race(contestants(work, options.replicas), options.rounds, options.watch, work.name)
    over = {"ours": ratios(seconds, OURS), "Lightning": ratios(seconds, THEIRS)}
    rows = [
        Row(work.name, name, {"time over not looking": over[name.partition(":")[0]][name], "ms per step": milliseconds})
        for name, milliseconds in (
            (name, Spread.of([1e3 * each for each in values])) for name, values in seconds.items()
        )
    ]
    return rows + looking_anywhere.measure(options)
