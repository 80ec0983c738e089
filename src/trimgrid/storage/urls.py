"""Which paths lead elsewhere, and which are plain ones."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from trimgrid.errors import InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(::[^/]*)*://")
_LOCAL = ("file://", "local://")
# What `Path` makes of a URL: one of the two slashes is gone.
_MANGLED = re.compile(r"(s3a?|gs|gcs|abfss?|az|adl|memory|sftp|ssh|hdfs|hf):/[^/]")


def is_elsewhere(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is the URL of a storage; `file://` is none, it is a path of this machine.

    Raises `InputError` for a `Path` that was made of a URL, which has lost one of its slashes.

    >>> is_elsewhere("s3://bucket/run"), is_elsewhere("runs/m"), is_elsewhere("file:///runs/m")
    (True, False, False)
    >>> is_elsewhere(Path("s3://bucket/run"))
    Traceback (most recent call last):
    ...
    trimgrid.errors.InputError: A URL is a text, not a Path. Received: 's3:/bucket/run'. Give \
's3://bucket/run'.
    """
    text = os.fspath(path)
    if _MANGLED.match(text) and not Path(text).exists():
        url = text.replace(":/", "://", 1)
        raise InputError(f"A URL is a text, not a Path. Received: {text!r}. Give {url!r}.")
    return _URL.match(text) is not None and not text.startswith(_LOCAL)


def plain_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of this machine that is meant; `file://` may stand before it.

    >>> plain_path("runs/m").as_posix(), plain_path("file:///runs/my%20run").as_posix()
    ('runs/m', '/runs/my run')
    """
    text = os.fspath(path)
    if text.startswith(_LOCAL):
        parts = urlsplit(text)
        return Path(unquote(parts.netloc + parts.path))
    return Path(text)


def clean_url(url: str) -> str:
    """Return a URL without slashes at its end, so that a folder has one URL.

    >>> clean_url("s3://bucket/run/")
    's3://bucket/run'
    """
    head, _, tail = url.rpartition("://")
    return f"{head}://{tail.rstrip('/')}"


def name_of(url: str) -> str:
    """Return the last part of a URL, as a name for a folder.

    >>> name_of("s3://bucket/run"), name_of("memory://..")
    ('run', 'run')
    """
    name = re.sub(r"[^\w.\- ]", "_", PurePosixPath(url.rpartition("://")[2]).name)
    return name if name.strip(". ") else "run"
