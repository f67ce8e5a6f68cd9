"""A script: feeds parsers, led by what of their code is reached: `fuzzed.py FOLDER SECONDS TARGET...`.

Loads and instruments once, and forks for each parser, since a fuzzer ends its process. Exceptions that are no UserError
are noted in FOLDER/TARGET/failures.json, once per place, and the fuzzing goes on.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

_ROOMS = ("config", "data", "records", "text", "tracking", "training.models", "callbacks.checkpointer")
with atheris.instrument_imports(include=["yaml", "pickletools"]):
    importlib.import_module("yaml")
    importlib.import_module("pickletools")
# What is not looked into is loaded beforehand: to instrument it would take minutes.
for library in ("torch", "pytorch_lightning", "torchvision", "sklearn.datasets", "scipy.stats", "pydantic", "rich"):
    importlib.import_module(library)
with atheris.instrument_imports(include=[f"vgtemplate.{room}" for room in _ROOMS]):
    from benchmarks.reliability.targets import TARGETS
    from vgtemplate.config.errors import UserError

MOST_SECONDS = 10.0
"""That a parser may take over one input; libFuzzer ends what takes three times as long."""
MOST_MEGABYTES = 3_000


def fuzz(name: str, folder: Path, seconds: str) -> None:
    """Feed one parser for so long; does not return."""
    target, failures = TARGETS[name], {}
    work, corpus = folder / "work", folder / "corpus"
    for place in (work, corpus):
        place.mkdir(parents=True)
    for number, seed in enumerate(target.seeds(work)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def note(where: str, text: str, content: bytes) -> None:
        if where not in failures:
            failures[where] = {"text": text, "input": content.hex()[:20_000]}
            (folder / "failures.json").write_text(json.dumps(failures))

    def feed(content: bytes) -> None:
        begun = time.monotonic()
        try:
            target.read(content, work)
        except UserError:
            pass
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = next((each for each in reversed(frames) if "/vgtemplate/" in each.filename), frames[-1])
            note(f"{type(error).__name__} {Path(place.filename).name}:{place.lineno}", repr(error)[:500], content)
        if (taken := time.monotonic() - begun) > MOST_SECONDS:
            note("slow", f"{taken:.0f} s", content)

    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MOST_MEGABYTES}", f"-timeout={3 * MOST_SECONDS:.0f}"]
    options = ["-print_final_stats=1", "-max_len=100000", f"-artifact_prefix={folder}/", "-seed=1"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], feed)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one parser after the other, each in a process of its own; what they print goes to FOLDER/TARGET/log."""
    root, seconds, *names = sys.argv[1:]
    for name in names:
        folder = Path(root, name)
        folder.mkdir(parents=True)
        if (child := os.fork()) == 0:
            os.dup2(os.open(folder / "log", os.O_CREAT | os.O_WRONLY), 2)
            fuzz(name, folder, seconds)
        _, status = os.waitpid(child, 0)
        print(json.dumps([name, os.waitstatus_to_exitcode(status)]), flush=True)


if __name__ == "__main__":
    main()
