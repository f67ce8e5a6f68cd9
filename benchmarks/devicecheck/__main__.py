"""`python -m benchmarks.devicecheck`: run the parts one after the other, print a table last, write a JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.devicecheck.parts import ROOT, Part, parts

LIMIT = 480.0
WHEELS = ROOT / ".device-wheels"


def prepare(folder: Path) -> dict[str, str]:
    """Return the environment of the parts: the project from its folder, what is missing from the wheels beside it."""
    information = folder / "vgtemplate-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vgtemplate\nVersion: 0\n")
    paths = [str(ROOT)]
    if list(WHEELS.glob("*.whl")):
        target = folder / "wheels"
        words = ["install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
        subprocess.run([sys.executable, "-m", "pip", *words, *map(str, WHEELS.glob("*.whl"))], check=False)
        # Last: what is installed goes before.
        paths.append(str(target))
    paths.append(str(folder))
    data = next((each for each in (ROOT / "shared/data", ROOT.parent / "shared/data") if each.is_dir()), None)
    known = {"VGT_DATA_DIR": str(data)} if data is not None else {}
    found = {**known, **os.environ, "PYTHONPATH": os.pathsep.join(paths), "VGT_RESULTS_DIR": str(folder / "results")}
    return found | {"MLFLOW_DISABLE_TELEMETRY": "true"}


def answer(part: Part, environment: dict[str, str], limit: float, tell: Any) -> dict[str, Any]:
    """Return what a part has found, or why it has not."""
    started = time.perf_counter()
    result: dict[str, Any] = {"part": part.name, "rows": [], "why": ""}
    if limit < 5:
        return result | {"why": "left out: no time", "seconds": 0.0}
    try:
        done = subprocess.run([sys.executable, *part.command], env=environment, cwd=ROOT, capture_output=True,
                              text=True, timeout=limit, check=False)  # fmt: skip
        output, error = done.stdout, done.stderr
        if done.returncode not in (0, 1) or not output.strip():
            result["why"] = f"exit code {done.returncode}: {(error.strip().splitlines() or ['no output'])[-1][:200]}"
    except subprocess.TimeoutExpired as stopped:
        output = (stopped.stdout or b"").decode() if isinstance(stopped.stdout, bytes) else stopped.stdout or ""
        result["why"] = f"stopped after {limit:.0f} s"
    try:
        result["rows"] = part.read(output) if output.strip() else []
    except (ValueError, KeyError) as problem:
        result["why"] = result["why"] or f"not understood ({problem})"
    result["seconds"] = round(time.perf_counter() - started, 1)
    tell(f"{part.name}: {result['seconds']:.0f} s {result['why']}")
    return result


def device_name(environment: dict[str, str]) -> tuple[str, str]:
    """Return cuda or cpu, and the device's name with the versions, asked of a process that may use the wheels."""
    asked = (
        "import torch, pytorch_lightning as pl, pydantic; c = torch.cuda.is_available();"
        "print('cuda' if c else 'cpu'); print(torch.cuda.get_device_name() if c else '',"
        "'torch', torch.__version__, 'Lightning', pl.__version__, 'pydantic', pydantic.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"device-check: {done.stderr.strip().splitlines()[-1]}; make device-wheels brings what is missing"
        )
    device, name = done.stdout.strip().splitlines()
    return device, f"{name.strip()}, Python {platform.python_version()}"


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small form of each part; the default without a GPU")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ROOT / "results")) / "device-check.json")
    given = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        environment = prepare(Path(temporary))
        device, name = device_name(environment)
        quick = given.quick or device == "cpu"
        print(f"{name}{'; quick form' if quick else ''}", flush=True)
        results = []
        for part in parts(device, quick):
            left = LIMIT - (time.perf_counter() - started)
            results.append(answer(part, environment, min(part.limit, left), lambda line: print(line, flush=True)))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"device": name, "quick": quick, "parts": results}, indent=1) + "\n")
    width = max((len(row) for each in results for row, _ in each["rows"]), default=20)
    for each in results:
        print(f"\n{each['part']} ({each['seconds']:.0f} s) {each['why']}")
        for row, value in each["rows"]:
            print(f"  {row:{width}}  {value}")
    print(f"\n{time.perf_counter() - started:.0f} s in all; {given.out}")


if __name__ == "__main__":
    main()
