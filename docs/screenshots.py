"""Draws the pictures of docs/pictures/ anew but for the profiles, which need a training: python docs/screenshots.py."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

_DOCS = Path(__file__).resolve().parent
_PICTURES = _DOCS / "pictures"
_VERDICTS = _DOCS / "verdicts/mnist-amd-epyc-avx2.json"


def main() -> None:
    """Draw every picture."""
    with tempfile.TemporaryDirectory() as folder:
        vgt(folder, "phase-diagram", "tanh", "--plot", str(_PICTURES / "phases.png"))
        vgt(folder, "predict", "--activation", "sigmoid", "--depth", "12", "--plot", str(_PICTURES / "prediction.png"))
        vgt(folder, "verdicts", "draw", str(_VERDICTS), str(_PICTURES / "verdicts.png"))
        text = (_DOCS / "tutorials/diagnose.md").read_text(encoding="utf-8")
        (script,) = re.findall(r'```python title="train.py"\n(.*?)```', text, re.DOTALL)
        Path(folder, "train.py").write_text(script, encoding="utf-8")
        vgt(folder, "diagnose", "--html", "page.html", "train.py", allowed=(0, 1))
        shoot(Path(folder, "page.html"), _PICTURES / "doctor.png")


def vgt(folder: str, *words: str, allowed: tuple[int, ...] = (0,)) -> None:
    """Run a command of this environment in a folder."""
    code = subprocess.run([sys.executable, "-m", "vgtemplate", *words], cwd=folder, check=False).returncode
    if code not in allowed:
        sys.exit(f"vgt {' '.join(words)}: exit code {code}")


def shoot(page: Path, picture: Path, width: int = 900) -> None:
    """Take a picture of a page as a browser shows it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": 600})
        tab.goto(page.as_uri())
        tab.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
