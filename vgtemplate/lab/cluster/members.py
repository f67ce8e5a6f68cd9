"""Which workers of a cluster there are, and which of them may take jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Client, Future

from vgtemplate.config.errors import UserError
from vgtemplate.lab.cluster import remote
from vgtemplate.lab.cluster.introduction import data_pieces, lacking, refusal


class Member(NamedTuple):
    """A worker that may take jobs."""

    threads: int
    """Jobs at a time."""
    room: float
    """Megabytes for the tensors of all its jobs: half of its memory."""


class Members:
    """The workers; each is asked who it is before it is given anything.

    Args:
        fingerprints: of the data sets that the jobs are about, as they are here.
        root: where these lie; a worker that lacks one is sent it.
        say: given a line where a worker is refused.
    """

    def __init__(self, fingerprints: Mapping[str, str], root: Path, say: Callable[[str], None]) -> None:
        self._fingerprints, self._root, self._say = fingerprints, root, say
        self.present: dict[str, Any] = {}
        self.accepted: dict[str, Member] = {}
        self._asked: dict[str, Future] = {}
        self._sent: set[tuple[str, str]] = set()
        self._refused: dict[str, str] = {}
        self._were_any = False

    def look(self, client: Client) -> None:
        """Learn which workers there are, ask the new ones who they are, and read the answers.

        Raises:
            UserError: none may take a job, and none ever could.
            OSError: the scheduler does not answer.
        """
        if client.status != "running":
            raise OSError("no connection")
        # Not `client.scheduler_info`: what it returns may have been replaced meanwhile by an answer without workers.
        self.present = dict(client.sync(client.scheduler.identity, n_workers=-1)["workers"])
        for group in (self.accepted, self._asked, self._refused):
            for address in group.keys() - self.present.keys():
                del group[address]
        for address in self.present.keys() - self.accepted.keys() - self._asked.keys() - self._refused.keys():
            self._ask_who(client, address)
        for address, future in list(self._asked.items()):
            if future.status != "pending":
                del self._asked[address]
                self._read(client, address, future)
        self._were_any |= bool(self.accepted)
        if self._refused and not self._were_any and not self._asked:
            raise UserError(f"no worker of the cluster can be used: {next(iter(self._refused.values()))}")

    def forget(self) -> None:
        """Know nobody any longer: the scheduler is gone, and whoever comes with the next one is asked anew."""
        for group in (self.present, self.accepted, self._asked, self._refused):
            group.clear()

    def _ask_who(self, client: Client, address: str) -> None:
        future = client.submit(remote.introduce, list(self._fingerprints), workers=[address], pure=False)
        self._asked[address] = future

    def _read(self, client: Client, address: str, future: Future) -> None:
        """Accept a worker, or refuse it, or ask it again once it was sent the data sets that it lacks."""
        try:
            theirs = future.result(timeout=60)
        except Exception as error:
            if future.status == "error":  # else it has gone again
                why = " ".join(f"{type(error).__name__}: {error}".split())[:120]
                self._refuse(address, f"it cannot say who it is; is this version of vgtemplate there? ({why})")
            return
        missing = lacking(theirs)
        reason = refusal(theirs, self._fingerprints) or self._supply(client, address, missing)
        if reason is not None:
            self._refuse(address, reason)
        elif missing:
            self._ask_who(client, address)
        else:
            info = self.present[address]
            limit = info.get("memory_limit") or math.inf
            self.accepted[address] = Member(info["nthreads"], limit / 2e6)

    def _supply(self, client: Client, address: str, missing: Mapping[str, str]) -> str | None:
        """Send a worker the data sets that it lacks, once; return why that cannot be."""
        for name, where in missing.items():
            if (address, name) in self._sent:
                return f"data set {name} is not in {where}, and could not be sent there"
            self._sent.add((address, name))
            self._say(f"worker {address}: data set {name} is not in {where}; it is sent there")
            for piece in data_pieces(name, self._root):
                if (fault := self.ask(client, address, remote.take_piece, piece, name)) is not None:
                    return f"data set {name} is not there, and {fault}"
        return None

    def _refuse(self, address: str, reason: str) -> None:
        self._refused[address] = f"worker {address} is refused: {reason}"
        self._say(self._refused[address])

    def ask(self, client: Client, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a short function on a worker and return what it returns; what goes wrong there is told in words."""
        try:
            return client.run(function, *arguments, workers=[address])[address]
        except Exception as error:
            return f"it does not answer ({type(error).__name__})"
