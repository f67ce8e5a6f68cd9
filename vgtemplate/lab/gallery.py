"""Which measured networks the report's gallery draws: the file gallery.yaml beside the claims names them."""

from __future__ import annotations

from pathlib import Path

from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.config.messages import validate
from vgtemplate.config.strict import Slug, StrictModel
from vgtemplate.config.yaml import read_yaml
from vgtemplate.jobs.job import Job, plan_arms, with_dataset
from vgtemplate.lab.plan import Plan


class FigureConfig(StrictModel):
    """The arms that a figure draws."""

    experiment: Slug
    """A claim; or an experiment that lies in the folder above the claims, and that `vgt reproduce` runs for it."""
    arms: dict[str, Slug]
    """What the figure calls an arm, and the arm, e.g. {two hidden layers: two}."""


class GalleryConfig(StrictModel):
    """The figures that need measured networks; one that is not given is not drawn."""

    learning_speed: FigureConfig | None = None
    """How fast the hidden layers learn: the arms probe `bias_grad_norm` during training."""
    good_range: FigureConfig | None = None
    """Where pre-activations lie without batch normalisation: the arms probe `saturated_fraction`."""


def read_gallery(folder: Path) -> GalleryConfig:
    """Return what gallery.yaml in the folder of the claims says; no figures where there is none.

    Raises:
        UserError: it cannot be used.
    """
    path = folder / "gallery.yaml"
    return validate(GalleryConfig, read_yaml(path), str(path)) if path.exists() else GalleryConfig()


def plan_gallery(gallery: GalleryConfig, folder: Path, plan: Plan, root: Path) -> list[Job]:
    """Return the arms of the drawn experiments that are no claims, on a plan's data and seeds.

    An experiment has its file in the folder above the claims; one without has no arms.
    """
    jobs: list[Job] = []
    for name in sorted({figure.experiment for _, figure in gallery if figure} - set(plan.claims)):
        if (path := folder.parent / f"{name}.yaml").exists():
            arms = resolve_arms(path, load_experiment(path, ExperimentConfig))
            configs = {name: with_dataset(config, plan.dataset) for name, config in arms.items()}
            jobs += plan_arms(configs, plan.seeds, root, path.stem)
    return jobs


def drawn_keys(figure: FigureConfig | None, plan: Plan, jobs: list[Job]) -> dict[str, str]:
    """Return the keys of a figure's arms by what it calls them; `jobs` are those of `plan_gallery`."""
    if figure is None:
        return {}
    keys = {job.name: job.key for job in jobs if job.experiment == figure.experiment}
    keys |= plan.keys.get(figure.experiment, {})
    return {title: keys[arm] for title, arm in figure.arms.items() if arm in keys}
