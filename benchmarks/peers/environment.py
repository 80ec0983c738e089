"""The environment of the TFMOT peer: made once, apart from ours, because it needs Keras 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = (
    "tensorflow-cpu==2.21.*",
    "tf_keras==2.21.*",
    "tensorflow-model-optimization==0.8.1",
    "scikit-learn",
)
TFMOT_ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def tfmot_python(cache: Path) -> Path:
    """Return the interpreter of the environment in `cache`, which is created if it is missing.

    Raises `subprocess.CalledProcessError` if the packages can't be installed.
    """
    folder = cache / "tfmot"
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join(_REQUIREMENTS)
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        # pip compiles byte code: otherwise the first import would be three times as long.
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *_REQUIREMENTS], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return python


def tfmot_article(python: Path, *arguments: str) -> tuple[str, ...]:
    """Return the command of the article's script in that environment."""
    return (str(python), str(Path(__file__).with_name("tfmot_article.py")), *arguments)
