"""What is read of a model file before Keras is there; a damaged one is nobody's fault here."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import keras
import pytest
from keras import layers

from trimgrid.saved_config import has_convolutions, saved_config


def zipped(config: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("config.json", config)
    return content.getvalue()


WHOLE = zipped(b'{"config": {"layers": [{"class_name": "SeparableConv1D"}]}}')
START = WHOLE.index(b"config.json") + len("config.json")  # of the compressed data
ENTRY = WHOLE.index(b"PK\x01\x02")  # in the table of contents


def changed(place: int, content: bytes) -> bytes:
    return WHOLE[:place] + content + WHOLE[place + len(content) :]


DAMAGED = {
    "empty": b"",
    "no archive": b"text",
    "truncated": WHOLE[:60],
    "not deflated": changed(START, b"\xff" * 20),
    "encrypted": changed(ENTRY + 8, b"\x01"),
    "other compression": changed(ENTRY + 10, b"\x63"),
    "no text": zipped(b"\xff\xfe\xfd"),
}


def test_convolutions_are_found(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(WHOLE)
    assert has_convolutions(path)
    model = keras.Sequential([keras.Input((8, 1)), layers.Conv1D(1, 2), layers.Flatten()])
    for name in ("real.keras", "real.h5"):
        model.save(tmp_path / name)
        assert has_convolutions(tmp_path / name)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_damaged_file_has_no_config(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    path.write_bytes(DAMAGED[name])
    assert saved_config(path) == ""
    assert not has_convolutions(path)


@pytest.mark.parametrize("config", [b"[" * 100_000, b'{"a": ', b'{"class_name": "Dense"}'])
def test_a_config_without_convolutions(tmp_path: Path, config: bytes) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(zipped(config))
    assert saved_config(path) == config.decode()
    assert not has_convolutions(path)
