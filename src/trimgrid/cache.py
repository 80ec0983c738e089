"""Where what only saves time is kept: the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return trimgrid's folder in the user's cache; it need not exist, and may be deleted any time.

    `TRIMGRID_CACHE` names another one. Else it is the platform's: `$XDG_CACHE_HOME/trimgrid` or
    `~/.cache/trimgrid`, on macOS `~/Library/Caches/trimgrid`, on Windows
    `%LOCALAPPDATA%/trimgrid/Cache`.

    >>> cache_folder().name in ("trimgrid", "Cache") or "TRIMGRID_CACHE" in os.environ
    True
    """
    if named := os.environ.get("TRIMGRID_CACHE"):
        return Path(named)
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "trimgrid"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"), "trimgrid", "Cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache", "trimgrid")
