"""Which trials a search needs: what a claim leaves open, tried on tuning seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig, DataConfig, ProbeConfig
from vgtemplate.data.sources import load_images
from vgtemplate.jobs.job import Job, Keys, with_dataset
from vgtemplate.lab.claim import ClaimConfig, SearchConfig
from vgtemplate.lab.claims import resolve_claim
from vgtemplate.lab.grid import Grid, Values, candidates_of
from vgtemplate.lab.picks import as_patch

MOST_VALIDATION = 2_000
"""Most images held out for the validation loss; a sixth of the training split where that is less."""


@dataclass(frozen=True)
class Search:
    """The search of one arm of a claim over a grid: one trial per candidate."""

    claim: str
    arm: str
    config: SearchConfig
    grid: Grid
    """The grid of the configuration, or what has come of it by widening."""
    trials: Sequence[Mapping[str, Job]]
    """Of each candidate, by arm: the arm's own, and where no other arm may diverge those of the others."""


@dataclass(frozen=True)
class Tuning:
    """Plans the trials of claims; equal trials of several claims have equal keys.

    Args:
        folder: where the claims' YAML files are.
        dataset: a data set's name, not auto.
        seeds: the tuning seeds.
    """

    claims: Mapping[str, ClaimConfig]
    folder: Path
    dataset: str
    seeds: Sequence[int]
    root: Path
    keys: Keys = field(init=False)
    held_out: dict[str, int] = field(init=False, default_factory=dict)
    """By data set, since to count its images it is loaded."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", Keys(self.root))

    def plan_all(self) -> list[Search]:
        """Return the searches of all the claims, each over the grid that its file asks for."""
        return [
            self.plan(name, arm, config, config.grid)
            for name, claim in self.claims.items()
            for config in claim.search
            for arm in ([config.trial] if config.trial else config.arms)
        ]

    def plan(self, claim: str, arm: str, config: SearchConfig, grid: Grid) -> Search:
        """Return the search of an arm over a grid.

        Raises:
            UserError: a candidate is no value that the setting can have, or steps are compared without `stop_loss`.
        """
        others = [] if config.first is None else [other for other in config.arms if other not in config.factors]
        tried = [arm, *(other for other in others if other != arm)]
        trials = [
            {name: self._trial(claim, name, settings, config.metric) for name in tried}
            for settings in candidates_of(grid)
        ]
        return Search(claim, arm, config, grid, trials)

    def _trial(self, claim: str, arm: str, settings: Values, metric: str) -> Job:
        path, patches = self.folder / f"{claim}.yaml", {arm: as_patch(settings)}
        config = with_dataset(resolve_claim(path, self.claims[claim], patches=patches)[arm], self.dataset)
        if metric == "steps_to_loss" and config.training.stop_loss is None:
            raise UserError(f"{path}: search: steps_to_loss needs training.stop_loss of arm {arm!r}")
        label = ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in settings.items())
        which = config.data.model_dump_json(include={"dataset", "path", "factory", "settings"})
        if which not in self.held_out:
            self.held_out[which] = _num_held_out(config.data, self.root)
        trial = _as_trial(config, metric, self.held_out[which])
        return self.keys.job(claim, f"{arm} ({label})", trial, self.seeds)


def _as_trial(config: ArmConfig, metric: str, num_validation: int) -> ArmConfig:
    """Return an arm as a trial: validated at its end, measured only where the metric needs it.

    It has its whole length, but where steps to a loss are compared it ends there.
    """
    whole: dict[str, object] = {"stop_accuracy": None, "evaluate": False, "evaluate_train": False}
    if metric != "steps_to_loss":
        whole["stop_loss"] = None
    data, probes = config.data, config.probes.model_copy(update={"every": config.training.steps})
    if metric in ("validation_loss", "steps_to_loss"):
        data = data.model_copy(update={"num_validation": num_validation})
    if metric in ("validation_loss", "steps_to_loss", "diverged"):
        probes = ProbeConfig(every=0)
    training = config.training.model_copy(update=whole)
    return config.model_copy(update={"data": data, "training": training, "probes": probes})


def _num_held_out(data: DataConfig, root: Path) -> int:
    """Return how many images of the training split are for validation; data of one's own may have some already."""
    if data.own is None:
        num_images = len(load_images(DataConfig(dataset=data.dataset, path=data.path), root).train_labels)
    else:
        # They load torch, as people's own code does.
        from vgtemplate.data.own import call_factory, is_datamodule
        from vgtemplate.data.prepare import split_length

        found = call_factory(data)
        if is_datamodule(found) or "validation" in found.splits:
            return 0
        num_images = split_length(found.splits["train"])
    return min(MOST_VALIDATION, num_images // 6)
