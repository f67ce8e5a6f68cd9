"""How each command is called: what its --help shows below its options. The documentation's tests hold them to vgt."""

from __future__ import annotations

import click

from vgtemplate.cli.extension import more_examples

EXAMPLES = {
    "new": ("vgt new my-project",),
    "train": (
        "vgt train mlp-variants --seeds 3",
        "vgt train my.yaml --arm plain --set model.depth=50",
        "vgt train profiles --plot profiles.png",
    ),
    "classify": ("vgt classify results/KEY/best.pt holiday.jpg cat.png",),
    "diagnose": (
        "vgt diagnose train.py",
        "vgt diagnose --html page.html train.py --epochs 3",
        "vgt diagnose --prove train.py",
    ),
    "bisect": ("vgt bisect nan train.py",),
    "bisect nan": (
        "vgt bisect nan my.yaml --arm plain --seeds 3",
        "vgt bisect nan train.py --epochs 3",
        "vgt bisect nan -m package.train",
    ),
    "check": ("vgt check my_nets:make_net --input 64,3,32,32",),
    "predict": (
        "vgt predict --activation tanh --depth 50",
        "vgt predict --arm mlp-variants:plain --plot profile.png",
    ),
    "phase-diagram": ("vgt phase-diagram tanh --plot phases.png",),
    "ui": ("vgt ui", "vgt ui mlp-variants"),
    "data": ("vgt data list",),
    "data list": ("vgt data list",),
    "data fetch": ("vgt data fetch mnist",),
    "data verify": ("vgt data verify", "vgt data verify mnist"),
    "records": ("vgt records list",),
    "records list": ("vgt records list",),
    "records verify": ("vgt records verify",),
    "records prune": ("vgt records prune --stale",),
    "track": ("vgt track sync",),
    "track sync": ("vgt track sync",),
    "metrics": ("vgt metrics",),
    "schema": ("vgt schema experiment", "vgt schema claim --output claims/claim.json"),
    "completion": ("vgt completion bash",),
    "info": ("vgt info", "vgt info --json"),
}


def show_examples(name: str, command: click.Command) -> None:
    """Put the examples of a command, and of those below it, under its help."""
    known = {**EXAMPLES, **more_examples()}
    lines = known.get(name, ())
    if lines:
        heading = "Example:" if len(lines) == 1 else "Examples:"
        command.epilog = "\b\n" + "\n".join([heading, *(f"  {line}" for line in lines)])
    if isinstance(command, click.Group):
        for below, each in command.commands.items():
            show_examples(f"{name} {below}", each)
