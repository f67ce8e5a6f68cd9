"""A Slurm of one's own on one machine: a controller and two nodes, until the block ends. Debian: slurm-wlm, munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

NODES = ("node1", "node2")
_NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue")
_CONFIGURATION = """\
ClusterName=try
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPort={port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
ReturnToService=2
KillWait=20
PartitionName=debug Nodes={nodes} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Return what of Slurm is not installed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return [name for name in _NEEDED if shutil.which(name, path=path) is None]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _configure(folder: Path) -> Path:
    host, cores = socket.gethostname(), os.cpu_count() or 1
    text = _CONFIGURATION.format(folder=folder, host=host, port=_free_port(), nodes=",".join(NODES))
    for name in NODES:
        text += (
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={_free_port()} CPUs={cores} RealMemory=8000\n"
        )
    path = folder / "slurm.conf"
    path.write_text(text)
    return path


def _start(folder: Path, configuration: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {
        "key-file": key,
        **{name: folder / f"munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")},
    }
    run = [["munged", "--force", *(f"--{name}={path}" for name, path in files.items())]]
    run += [["slurmctld", "-f", str(configuration)]]
    run += [["slurmd", "-N", name, "-f", str(configuration)] for name in NODES]
    for command in run:
        subprocess.run(command, check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"})


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Run Slurm, with a partition `debug`, in a folder of its own; SLURM_CONF leads this process's commands to it."""
    (folder / "state").mkdir(parents=True)
    configuration = _configure(folder)
    os.environ["SLURM_CONF"] = str(configuration)
    try:
        _start(folder, configuration)
        while "idle" not in subprocess.run(["sinfo", "-h"], capture_output=True, text=True).stdout:
            time.sleep(0.5)
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for path in [*folder.glob("*.pid"), folder / "munge.pid-file"]:
            with suppress(OSError, ValueError, psutil.Error):
                process = psutil.Process(int(path.read_text()))
                process.terminate()
                process.wait(60)
        del os.environ["SLURM_CONF"]
