"""The n-th system call that writes fails, for every n: what exists stays, one line says it, the next call completes.

A small library in C (faults.c) is loaded before the C library; it is compiled into a temporary folder.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.reliability import state
from benchmarks.reliability.commands import COMMANDS, copy_folder, start
from benchmarks.reliability.processes import Ended, load_all
from benchmarks.reliability.signals import Case, make_case, spread
from benchmarks.reliability.tally import Tally
from vgtemplate.config.errors import UserError

_FORMAT = "=iiii1000s1000s"
"""Of `struct plan` in faults.c: at, lasting, error, count, folder, failed."""
_CODES = {"train": (0, 2), "train and send": (0, 2)}
"""The exit codes that are right; where nothing stands here also 1: an arm, or a sending, that failed."""


class Fault(NamedTuple):
    """What a call that fails answers, and whether those after it do so too."""

    error: int
    lasting: bool

    def __str__(self) -> str:
        return errno.errorcode[self.error] + (" from then on" if self.lasting else "")


FAULTS = (Fault(errno.ENOSPC, True), Fault(errno.EIO, False), Fault(errno.EINTR, False), Fault(errno.EROFS, True))


class Shim:
    """The library between the processes and the system, and what it is told.

    Raises:
        UserError: there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise UserError("no C compiler (gcc, cc) is here, by which the library that fails system calls is made")
        library, told = folder / "faults.so", folder / "faults"
        source = Path(__file__).with_name("faults.c")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        told.write_bytes(bytes(struct.calcsize(_FORMAT)))
        with told.open("r+b") as file:
            self._plan = mmap.mmap(file.fileno(), 0)
        os.environ |= {"LD_PRELOAD": str(library), "VGT_FAULTS": str(told)}
        load_all()
        del os.environ["LD_PRELOAD"]

    def arm(self, folder: Path | None, at: int = 0, fault: Fault | None = None) -> None:
        """Have the `at`-th call below a folder fail; count them alone where it is 0."""
        error, lasting = (0, False) if fault is None else fault
        self._plan[:] = struct.pack(_FORMAT, at, lasting, error, 0, b"" if folder is None else os.fsencode(folder), b"")

    @property
    def count(self) -> int:
        """How many calls there were."""
        return int(struct.unpack(_FORMAT, self._plan[:])[3])

    @property
    def failed(self) -> str:
        """The call that failed; "" if none did."""
        return os.fsdecode(struct.unpack(_FORMAT, self._plan[:])[5].rstrip(b"\0"))


def _wrong_end(ended: Ended, name: str) -> list[str]:
    faults = [f"{process} is left over" for process in ended.left]
    if "Traceback" in ended.errors + ended.output or "Exception ignored" in ended.errors:
        faults.append(f"a traceback: {ended.errors[-1500:]}")
    if ended.code not in _CODES.get(name, (0, 1, 2)):
        faults.append(f"exit code {ended.code}: {ended.errors[-300:]}")
    if ended.code and not ended.errors.strip() and not ended.output.strip():
        faults.append(f"exit code {ended.code} without a word")
    return faults


def _inject(shim: Shim, case: Case, folder: Path, at: int, fault: Fault) -> tuple[str, list[str]]:
    """Have one call fail; look at what is left, complete it; return the call, and what was wrong."""
    copy_folder(case.before, folder)
    shim.arm(folder, at, fault)
    ended = start(folder, case.command.arguments).end()
    failed = shim.failed
    shim.arm(None)
    faults = _wrong_end(ended, case.command.name)
    there = state.records(folder / "results")
    faults += [f"record {key} has changed" for key, digest in case.records.items() if there.get(key) != digest]
    faults += [f"record {key} is damaged" for key, digest in there.items() if digest == "damaged"]
    if ended.code == 0 and there != case.outcome["records"]:
        faults.append("exit code 0, and not every record is there")
    again = start(folder, case.command.arguments).end()
    if again.code != 0:
        return failed, [*faults, f"the next call ended with {again.code}: {again.errors[-300:]} {again.output[-300:]}"]
    faults += state.differences(folder, case.outcome)
    # What could not be taken away stays.
    can_stay = fault.error == errno.EROFS or failed.startswith(("unlink", "rmdir"))
    scraps = [] if can_stay else state.scraps(folder / "results")
    return failed, [*faults, *(f"{scrap} is left" for scrap in scraps)]


def _in_turn(cases: Sequence[tuple[Case, int]]) -> Iterator[tuple[Case, int, Fault]]:
    """Yield every call of every command with every fault, spread so that it can be broken off."""
    orders = [(case, spread(count)) for case, count in cases]
    for place in range(max(count for _, count in cases)):
        for fault in FAULTS:
            for case, order in orders:
                if place < len(order):
                    yield case, order[place] + 1, fault


def run(tally: Tally, folder: Path, names: Sequence[str]) -> None:
    """Fail every system call that writes, of each command in turn, by every fault."""
    shim = Shim(folder)
    cases = []
    for name in names:
        case = make_case(COMMANDS[name], folder / name.replace(" ", "-"), anew=False)
        whole = copy_folder(case.before, folder / "counted")
        shim.arm(whole)
        start(whole, case.command.arguments).end()
        cases.append((case, shim.count))
        shim.arm(None)
        tally.say(f"{name}: {cases[-1][1]} calls that write")
        tally.notes[name] = {"calls": cases[-1][1]}
    for case, at, fault in _in_turn(cases):
        if tally.is_over:
            return
        failed, faults = _inject(shim, case, folder / "injected", at, fault)
        tally.count(f"{case.command.name}: {fault}", faults, f"call {at} {fault}: {failed.replace(str(folder), '')}")
