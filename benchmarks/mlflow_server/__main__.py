"""`python -m benchmarks.mlflow_server`: four processes send to a team's server while all goes wrong that can.

The server is killed and started again in the middle, a proxy cuts every request that takes long, one process has a
wrong password; afterwards `vgt track sync` completes everything, and each run is there exactly once. By hand: needs
PostgreSQL and uv (serve.sh), and takes minutes.
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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.mlflow_server.proxy import CuttingProxy

_SERVE = Path(__file__).with_name("serve.sh")
PORT, PROXY_PORT = 5611, 5621
GROUPS = (
    ("relu-keeps-gradient", "derivative-bounds", "chain-rule-product"),
    ("sigmoid-vanishes", "saturation-kills-gradient", "glorot-needs-equal-fans"),
    ("relu-not-centred", "activation-formulas", "batchnorm-moments"),
    ("large-init-explodes", "init-formulas", "dead-unit-no-gradient"),
)


class Server:
    """The server of serve.sh, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start()

    def start(self) -> None:
        command = [str(_SERVE), str(self._folder), str(PORT)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while not self.answers():
            assert self._process.poll() is None, "the server has ended"
            time.sleep(1)

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
        """Kill what serves, and let PostgreSQL end as it does when its machine is shut down."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


def vgt(folder: Path, password: str, *arguments: str, port: int = PROXY_PORT) -> subprocess.Popen[str]:
    """Start a command whose runs go to the server, through the proxy unless another port is said."""
    folder.mkdir(exist_ok=True)
    settings = {
        **{"VGT_RESULTS_DIR": str(folder), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_USERNAME": "admin"},
        **{"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_TRACKING_PASSWORD": password},
    }
    command = [sys.executable, "-m", "vgtemplate", *arguments]
    return subprocess.Popen(
        command, env=os.environ | settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


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


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.monotonic()
        folder.chmod(0o755)
        server, proxy = Server(folder / "server"), CuttingProxy(PROXY_PORT, PORT, seconds=2.0)
        folders = [folder / f"machine-{number}" for number in range(len(GROUPS))]
        passwords = [server.password] * 3 + ["a-wrong-password"]
        common = ("--dataset", "digits", "--seeds", "2", "--jobs", "1", "--json")
        running = [
            vgt(place, password, "reproduce", *claims, *common)
            for place, claims, password in zip(folders, GROUPS, passwords, strict=True)
        ]
        while not any(list(place.glob("*/record.json")) for place in folders):
            time.sleep(0.2)
        server.kill()
        time.sleep(5)
        server.start()
        results, said = zip(*(process.communicate() for process in running), strict=True)
        assert all(process.returncode == 0 for process in running), said
        print(f"four processes ended after {time.monotonic() - started:.0f} s; {proxy.num_cut} requests were cut")
        print(f"the server has {len(find_runs(server.password))} runs; what was said of the others:")
        print(
            "".join(f"  {line}\n" for text in said for line in text.splitlines() if "MLflow" in line or "track" in line)
        )
        for place in folders:
            done = vgt(place, server.password, "track", "sync", port=PORT)
            print("  " + "".join(done.communicate()).splitlines()[-1])
        found, due = find_runs(server.password), wanted(results)
        counts = Counter((experiment, key) for experiment, key, _ in found)
        assert {each for each, number in counts.items() if number == 1} >= due, due - set(counts)
        assert max(counts.values()) == 1, [each for each, number in counts.items() if number > 1]
        assert {state for _, _, state in found} == {"FINISHED"}
        print(f"after `vgt track sync`: {len(due)} runs due, each there exactly once and finished")
        server.kill()
        proxy.close()


if __name__ == "__main__":
    main()
