"""`python -m benchmarks.mlflow_server`: four processes send to a team's server while all goes wrong that can.

The server is killed in the middle of a run and started again, a proxy cuts requests that take long and loses answers,
one process has a wrong password, the database is full; afterwards `vgt track sync` completes everything, and each run
is there exactly once. By hand: needs PostgreSQL and uv (serve.sh), root for the full disk, and takes minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mlflow_server.full import full_database, query
from benchmarks.mlflow_server.proxy import CuttingProxy

_SERVE = Path(__file__).with_name("serve.sh")
PORT, PROXY_PORT = 5611, 5621
_PATIENCE = 5.0
"""Of the proxy: less than a network takes to be sent on a busy machine, more than most answers."""
GROUPS = (
    ("relu-keeps-gradient", "derivative-bounds", "chain-rule-product", "rrelu-slope"),
    ("sigmoid-vanishes", "saturation-kills-gradient", "glorot-needs-equal-fans", "prelu-slope-learned"),
    ("relu-not-centred", "activation-formulas", "batchnorm-moments", "residual-gradient-identity"),
    ("large-init-explodes", "init-formulas", "dead-unit-no-gradient", "keras-default-initialiser"),
)


class Server:
    """The server of serve.sh, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start()

    def start(self) -> None:
        with (self._folder.with_suffix(".log")).open("a") as log:
            command = [str(_SERVE), str(self._folder), str(PORT)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not self.answers():
            assert self._process.poll() is None, "the server has ended"
            time.sleep(0.5)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5)
        except (OSError, urllib.error.URLError):
            return False
        return True

    @property
    def password(self) -> str:
        return (self._folder / "password").read_text()

    def kill(self) -> None:
        """Kill what serves, at once, and its PostgreSQL with it."""
        pid = int((self._folder / "database" / "postmaster.pid").read_text().splitlines()[0])
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # As where the machine loses its power: no farewell to anybody, and a log to recover from.
        os.kill(pid, signal.SIGQUIT)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.1)


def vgt(folder: Path, password: str, *arguments: str, port: int = PROXY_PORT) -> subprocess.Popen[str]:
    """Start a command whose runs go to the server, through the proxy unless another port is said."""
    folder.mkdir(exist_ok=True)
    settings = {
        **{"VGT_RESULTS_DIR": str(folder), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_USERNAME": "admin"},
        **{"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_TRACKING_PASSWORD": password},
        # A busy machine is no part of what is tried.
        **{"MLFLOW_HTTP_REQUEST_TIMEOUT": "30"},
    }
    command = [sys.executable, "-m", "vgtemplate", *arguments]
    return subprocess.Popen(
        command, env=os.environ | settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def reproduce(folders: Sequence[Path], passwords: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Start a reproduction per folder."""
    common = ("--dataset", "digits", "--seeds", "1", "--jobs", "1", "--json")
    return [
        vgt(place, password, "reproduce", *claims, *common)
        for place, claims, password in zip(folders, GROUPS, passwords, strict=True)
    ]


def end(running: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait until all have ended, as they do whatever becomes of the server; return their answers."""
    answers, said = zip(*(process.communicate() for process in running), strict=True)
    assert all(process.returncode == 0 for process in running), said
    lines = " ".join(" ".join(said).split()).split("MLflow ")[1:]
    for line, number in Counter(line.partition(";")[0][:150] for line in lines).items():
        print(f"  {number} times: MLflow {line}")
    return list(answers)


def sync(folder: Path, password: str) -> tuple[int, str]:
    """Send what was missed, without the proxy; return the exit code and what was said."""
    process = vgt(folder, password, "track", "sync", port=PORT)
    said = "".join(process.communicate())
    return process.returncode, said


def find_runs(password: str) -> list[tuple[str, str, str]]:
    """Return experiment, key and state of every run that the server has."""
    os.environ |= {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password}
    from mlflow import MlflowClient

    client: Any = MlflowClient(f"http://127.0.0.1:{PORT}")
    found = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=1000):
            if key := run.data.tags.get("vgt.key"):
                found.append((experiment.name, key, run.info.status))
    return found


def wanted(results: Iterable[str]) -> set[tuple[str, str]]:
    """Return experiment and key of every run that there should be, as the commands' answers say."""
    judged = [each for text in results for each in json.loads(text)]
    return {(result["id"], key) for result in judged for keys in result["records"].values() for key in keys}


def kill_in_the_middle_of_a_run(server: Server, running: Sequence[subprocess.Popen[str]]) -> None:
    """Kill the server when a run was created and is not complete."""
    states: set[str] = set()
    while "RUNNING" not in states:
        assert not any(process.poll() for process in running), end(running)
        assert any(process.poll() is None for process in running), "all was sent before the server could be killed"
        states = set(query(PORT + 1, "select distinct status from runs where lifecycle_stage = 'active'"))
    server.kill()
    print("the server was killed in the middle of a run")


def check(password: str, results: Iterable[str]) -> None:
    """Hold what the server has against what there should be."""
    found, due = find_runs(password), wanted(results)
    counts = Counter((experiment, key) for experiment, key, _ in found)
    assert set(counts) == due, (due - set(counts), set(counts) - due)
    assert max(counts.values()) == 1, [each for each, number in counts.items() if number > 1]
    assert {state for _, _, state in found} == {"FINISHED"}
    (doubles,) = query(PORT + 1, "select count(*) from runs where lifecycle_stage = 'deleted'")
    print(f"{len(due)} runs due, each there exactly once and finished; of lost answers {doubles} doubles were deleted")


def disturb(folder: Path, server: Server, proxy: CuttingProxy) -> list[str]:
    """Send while the server is killed, and once more through the proxy; return what the commands answered."""
    folders = [folder / f"machine-{number}" for number in range(len(GROUPS))]
    passwords = [server.password] * 3 + ["a-wrong-password"]
    running = reproduce(folders, passwords)
    kill_in_the_middle_of_a_run(server, running)
    server.start()
    end(running)
    print(f"four processes have ended; the server has {len(find_runs(server.password))} runs. Once more:")
    results = end(reproduce(folders, passwords))
    print(f"{proxy.num_cut} requests were cut, {proxy.lost.total()} answers were lost:")
    print("".join(f"  {number} of {kind}\n" for kind, number in sorted(proxy.lost.items())), end="")
    print(f"the server has {len(find_runs(server.password))} runs")
    with full_database(PORT + 1, folder / "disk"):
        code, said = sync(folders[-1], server.password)
        assert (code, "MLflow refuses: too many 50" in " ".join(said.split())) == (1, True), said
        assert "No space left on device" in (folder / "server" / "database" / "log").read_text()
        print("with a full database `vgt track sync` says which runs are refused, and exits with code 1")
    for place in folders:
        code, said = sync(place, server.password)
        assert code == 0, said
        code, said = sync(place, server.password)
        assert "has missed nothing" in said, said
    return results


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.monotonic()
        folder.chmod(0o755)
        server, proxy = Server(folder / "server"), CuttingProxy(PROXY_PORT, PORT, seconds=_PATIENCE)
        try:
            check(server.password, disturb(folder, server, proxy))
        finally:
            server.kill()
            proxy.close()
        print(f"all in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
