"""Freed memory is kept while an arm trains, and handed back when it is asked for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from pathlib import Path
import torch
from vgtemplate.training.memory import give_memory_back, keep_freed_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

def step():
    tensors = [torch.ones(2_000_000) for _ in range(20)]

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = resident()
give_memory_back()
print(faults, kept - resident())
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only GNU's C library can be told what to keep"),
]


def run(mode: str) -> tuple[int, float]:
    """Return the page faults of ten steps of 160 MB, and how many megabytes were handed back after them."""
    # Left to itself, the library maps large tensors or not by what happened before, and trims its heap unless some
    # small thing lies at its end. A fixed threshold makes the default always the bad case.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", CODE, mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    faults, given_back = done.stdout.split()
    return int(faults), float(given_back)


def test_memory_of_a_step_is_kept_for_the_next_and_handed_back_at_the_end() -> None:
    faults, given_back = run("keep")
    faults_otherwise, _ = run("leave")
    assert faults < faults_otherwise / 10
    assert given_back > 100
