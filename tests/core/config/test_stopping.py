"""A signal ends the program wherever it comes, also where Python forgets an exception, or a library makes another."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_IN_A_DESTRUCTOR = """
class Swallows:
    def __del__(self): signal.raise_signal(signal.{name})
Swallows()
"""
_IN_A_WEAK_REFERENCES_CALLBACK = """
class Thing: pass
thing = Thing()
kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.{name}))
del thing
"""
_IN_A_SERIALISER = """
class Model(pydantic.BaseModel):
    number: int = 0

    @pydantic.field_serializer("number")
    def written(self, number): signal.raise_signal(signal.{name})
Model().model_dump_json()
"""
_PROGRAM = """
import signal, time, weakref
import pydantic
import click
from vgtemplate.cli import main

@click.command()
def goes_on():
    {body}
    for _ in range(2000):
        time.sleep(0.01)
    print("went on")

main.vgt = goes_on
main.main()
"""


@pytest.mark.parametrize("body", [_IN_A_DESTRUCTOR, _IN_A_WEAK_REFERENCES_CALLBACK, _IN_A_SERIALISER])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_that_python_swallows_ends_the_program_with_one_line(body: str, name: str) -> None:
    program = _PROGRAM.format(body=body.format(name=name).replace("\n", "\n    "))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + signal.Signals[name]
    assert (done.stdout, done.stderr) == ("", "stopped; the same command goes on from here\n")


def test_other_exceptions_of_a_destructor_are_printed_as_ever() -> None:
    body = "class Broken:\n        def __del__(self): raise ValueError('of a destructor')\n    Broken(); return"
    done = subprocess.run([sys.executable, "-c", _PROGRAM.format(body=body)], capture_output=True, text=True)
    assert done.returncode == 0
    assert "ValueError: of a destructor" in done.stderr
