"""Where this installation of vgtemplate came from, so that a new project can be given the same (PEP 610)."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname


@dataclass(frozen=True)
class Origin:
    """What pip is given to install vgtemplate, and, if it lies in a git repository, what `copier update` reads."""

    requirement: str = "vgtemplate"
    repository: str | None = None
    commit: str | None = None


def find_origin() -> Origin:
    """Return the folder, file or git address that was installed; by its name alone where nothing else is known."""
    try:
        text = metadata.distribution("vgtemplate").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    return read_origin(json.loads(text)) if text else Origin()


def read_origin(direct_url: dict[str, Any]) -> Origin:
    """Return what `direct_url.json` of an installed distribution says."""
    url = str(direct_url["url"])
    if (vcs := direct_url.get("vcs_info")) is not None:
        address, commit = f"{vcs['vcs']}+{url}", vcs["commit_id"]
        return Origin(f"vgtemplate @ {address}@{commit}", address, commit)
    if not url.startswith("file:"):
        return Origin(f"vgtemplate @ {url}")
    path = url2pathname(urlsplit(url).path)
    if "dir_info" not in direct_url:
        return Origin(path)
    commit = _describe(Path(path))
    is_editable = direct_url["dir_info"].get("editable", False)
    return Origin(f"--editable={path}" if is_editable else path, path if commit else None, commit)


def _describe(folder: Path) -> str | None:
    """Return the commit of a git repository in Copier's words; None where the folder is none, or git is missing."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--tags", "--always"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
