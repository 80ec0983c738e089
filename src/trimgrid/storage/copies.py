"""Where the local copies lie: in the user's cache folder, one for each URL."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from trimgrid.atomic import replacing
from trimgrid.cache import cache_folder
from trimgrid.scratch import remove_stale_scratch, scratch_folder
from trimgrid.storage.filesystem import fsspec_for
from trimgrid.storage.layout import Layout
from trimgrid.storage.mirror import Mirror
from trimgrid.storage.urls import clean_url, name_of

_URL = "url"
_MACHINE = "machine"
# A copy has one mirror in a process, so that all that write to it know what was sent.
_OPEN: WeakValueDictionary[Path, Mirror] = WeakValueDictionary()
_OPENING = threading.Lock()


def mirror_at(url: str, layout: Layout) -> Mirror:
    """Return the mirror of a URL on this machine; nothing is fetched."""
    url = clean_url(url)
    place = _copies() / sha256(f"{_endpoint(url)} {url}".encode()).hexdigest()[:20]
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    _name(place, url)
    return _opened(place, url, layout)


@contextmanager
def another_copy(url: str, layout: Layout) -> Iterator[Mirror]:
    """Give a mirror with a copy of its own, which is gone after the block."""
    url = clean_url(url)
    remove_stale_scratch()
    # Not in the user's cache: nodes may share that, and could not tell whose process lives.
    with scratch_folder() as place:
        _name(place, url)
        yield _opened(place, url, layout)


def mirror_of(path: Path, layout: Layout) -> Mirror | None:
    """Return the mirror that a path lies in the copy of, None for all other paths."""
    place = _place_of(path)
    return None if place is None else _opened(place, _url_of(place), layout)


def machine_of(mirror: Mirror) -> str:
    """What tells this copy on this machine from all others: of each only one process can write."""
    # Machines may share the folder of a user's cache.
    return f"{(mirror.place / _MACHINE).read_text(encoding='utf-8')} {socket.gethostname()}"


def shown(path: str | Path) -> str:
    """Return the text that people know a path by: in a local copy the URL that it is of.

    >>> shown(Path("runs/m"))
    'runs/m'
    """
    place = _place_of(Path(path))
    if place is None:
        return str(path)
    url = _url_of(place)
    inside = Path(path).absolute().relative_to(place / name_of(url)).as_posix()
    return url if inside == "." else f"{url}/{inside}"


def _name(place: Path, url: str) -> None:
    """Put the files into the folder of a copy that tell what it is."""
    for name, content in ((_MACHINE, uuid4().hex), (_URL, url)):
        if not (place / name).exists():
            with replacing(place / name) as unfinished:
                unfinished.write_text(content, encoding="utf-8")


def _place_of(path: Path) -> Path | None:
    """The folder that holds the copy in which a path lies."""
    copies = _copies()
    path = path.absolute()
    for mirror in list(_OPEN.values()):
        if path.is_relative_to(mirror.folder):
            return mirror.place
    if not path.is_relative_to(copies):
        return None
    parts = path.relative_to(copies).parts
    place = copies.joinpath(*parts[:1])
    is_inside = len(parts) > 1 and (place / _URL).is_file() and parts[1] == name_of(_url_of(place))
    return place if is_inside else None


def _url_of(place: Path) -> str:
    return (place / _URL).read_text(encoding="utf-8")


def _opened(place: Path, url: str, layout: Layout) -> Mirror:
    with _OPENING:
        mirror = _OPEN.get(place)
        if mirror is None:
            mirror = _OPEN[place] = Mirror(url, place, name_of(url), layout)
        return mirror


def _copies() -> Path:
    return (cache_folder() / "storage").absolute()


def _endpoint(url: str) -> str:
    """What else tells where a URL leads: the server that stands for S3."""
    scheme = url.partition("://")[0]
    known: dict[str, Any] = fsspec_for(url).config.conf.get(scheme, {})
    named = known.get("endpoint_url") or known.get("client_kwargs", {}).get("endpoint_url")
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return str(named or next((os.environ[name] for name in variables if name in os.environ), ""))
