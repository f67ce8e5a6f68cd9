"""`vgt diagnose train.py`: run somebody's script, unchanged, and say what is wrong with the network that it trains."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vgtemplate.atomic import write_whole
from vgtemplate.cli.console import make_console, print_json, say
from vgtemplate.cli.copies import CopyAtWork, Script, train_copies
from vgtemplate.cli.findings import print_report
from vgtemplate.cli.script import WhenImported, check_target, exit_code, run_script
from vgtemplate.config.errors import Enough, UserError
from vgtemplate.tracking.doctor import note_in_active_run

if TYPE_CHECKING:
    from vgtemplate.doctor.report import Report
    from vgtemplate.doctor.script import ScriptWatch

_DEFAULT_STEPS = 200


@dataclass
class _Diagnosis:
    """The watch of a script, from the moment on that it imports torch."""

    name: str
    steps: int
    stops: bool
    json_file: str | None
    html: Path | None
    script: Script
    proves: bool = False
    copy: str | None = None
    at_work: CopyAtWork | None = None
    watch: ScriptWatch | None = None
    failures: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Torch is there: watch."""
        try:
            from vgtemplate.doctor.script import ScriptWatch

            if self.copy is not None:
                self.at_work = CopyAtWork(self.copy)
            found = None if self.at_work is None else self.at_work.found
            watch = ScriptWatch(self.steps, self.tell, self.stops, found)
            watch.start()
            self.watch = watch
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def tell(self, report: Report) -> None:
        """Print the report, and write it where it was asked for; the script goes on whatever happens here."""
        if not report.steps:
            return
        from vgtemplate.doctor.html import write_page

        try:
            if self.at_work is not None:
                self.at_work.tell(report)
                return
            if failure := note_in_active_run(report.is_healthy, report.codes, write_page(report, self.name)):
                report.notes.append(failure)
            print_report(make_console(stderr=True), report, f"vgt diagnose {self.name}")
            if not self.proves or report.is_healthy:
                self._write(report)
        except Exception as error:
            say(f"vgt diagnose: the report could not be written ({type(error).__name__}: {error})", err=True)

    def _write(self, report: Report) -> None:
        from vgtemplate.doctor.html import write_page

        if self.html is not None:
            write_whole(self.html, write_page(report, self.name))
        if self.json_file == "-":
            print_json(report.to_dict())
        elif self.json_file is not None:
            write_whole(Path(self.json_file), json.dumps(report.to_dict(), indent=1, allow_nan=False))

    def prove(self, report: Report) -> None:
        """Try the cures on copies of the script, and print and write the report once more."""
        from vgtemplate.doctor.prove.proof import prove

        steps = report.steps[-1] + 1
        say(f"vgt diagnose {self.name}: trying the cures on copies of {steps} steps, each a run of its own", err=True)
        prove(report, partial(train_copies, self.script, steps))
        print_report(make_console(stderr=True), report, f"vgt diagnose --prove {self.name}")
        self._write(report)

    def end(self) -> tuple[int, str]:
        """The script has ended; return the exit code of the diagnosis, and what kept it from one."""
        if self.failures:
            return 2, f"the doctor could not begin: {self.failures[0]}"
        if self.watch is None:
            return 2, "it never imported torch: there is nothing to diagnose"
        report = self.watch.end()
        if report.steps:
            if self.proves and not report.is_healthy:
                self.prove(report)
            return int(not report.is_healthy), ""
        reasons = [*report.notes, "no optimiser has stepped" if not self.watch.num_steps else _NO_NETWORK]
        return 2, f"{reasons[0]}: there is nothing to diagnose"


_NO_NETWORK = "no module was found whose parameters its optimisers move"


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--steps", type=click.IntRange(min=1), default=_DEFAULT_STEPS, show_default=True, help="Watch so many.")
@click.option("--stop", "stops", is_flag=True, help="End the script when they are watched.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report there; - for the output.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the profiles.")
@click.option("--prove", "proves", is_flag=True, help="Try each cure on short copies; runs the script again.")
@click.option("--copy", hidden=True)
@click.option("-m", "is_module", is_flag=True, help="SCRIPT is a module, as of python -m.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def diagnose(script: str, arguments: tuple[str, ...], is_module: bool, **options: Any) -> None:
    """Run a training script, unchanged, and say what is wrong with its network.

    Options of vgt stand before SCRIPT, its own arguments behind it. The script's training is the same as without. The
    exit code is 0 for healthy, 1 for findings, 2 where nothing could be watched, or the script's own where it fails.

    With --prove the script is run again when it has ended: five times as it is and five times per cure, each under
    another seed, and only as far as it was watched. What it writes until then it writes again; MLflow and Weights &
    Biases are switched off. A cure is proven where the finding is gone in all five and the loss is no worse.
    """
    diagnosis = _Diagnosis(script, script=Script.called(script, arguments, is_module), **options)
    for name, file in (("--json", options["json_file"]), ("--html", options["html"])):
        if file not in (None, "-") and not Path(file).parent.is_dir():
            raise UserError(f"{name}: there is no folder {Path(file).parent}")
    torch = WhenImported("torch", diagnosis.begin)
    check_target(script, is_module)
    process = os.getpid()
    error = run_script(script, arguments, is_module)
    if os.getpid() != process:
        # A process that the script has forked.
        sys.exit(exit_code(error))
    torch.forget()
    code, reason = diagnosis.end()
    if reason:
        say(f"vgt diagnose {script}: {reason}", err=True)
    if isinstance(error, Enough):
        sys.exit(code)
    sys.exit(exit_code(error) or code)
