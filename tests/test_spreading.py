"""One attempt on several devices: four of the host, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimgrid import load_results

SCRIPT = Path(__file__).parent / "spreading" / "study_on_devices.py"
DEVICES = (
    "--xla_force_host_platform_device_count=4 --xla_cpu_use_fusion_emitters=false "
    "--xla_backend_optimization_level=1"
)


def start(folder: Path, *parts: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *parts],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": DEVICES},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return done.returncode, found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The run directories of all parts, and what they told."""
    folder = tmp_path_factory.mktemp("spread")
    code, found = start(folder, "plain", "data", "model", "killed")
    assert code == -signal.SIGKILL
    assert load_results(folder / "killed").unfinished == ["poly"]
    assert any((folder / "killed" / "checkpoints").iterdir())
    code, more = start(folder, "resumed")
    assert code == 0
    return folder, found | more


def weights(folder: Path, part: str, name: str) -> list[Any]:
    """The weights of an attempt, loaded in this process, which has no distribution."""
    found: list[Any] = load_results(folder / part)[name].load().get_weights()
    return found


@pytest.mark.parametrize("part", ["data", "model"])
def test_models_and_errors_are_those_of_one_device(ran: Any, part: str) -> None:
    plain, spread = load_results(ran[0] / "plain"), load_results(ran[0] / part)
    for name in ("original (unpruned)", "poly"):
        assert spread[name].status == "ok"
        assert spread[name].error == pytest.approx(plain[name].error, rel=1e-4)
        for key in ("loss", "val_loss"):
            assert np.allclose(spread[name].history[key], plain[name].history[key], rtol=1e-4)
        pairs = zip(weights(ran[0], part, name), weights(ran[0], "plain", name), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(one == 0, other == 0)


def test_begun_anew_killed_and_resumed_the_bits_are_the_same(ran: Any) -> None:
    assert not any((ran[0] / "killed").glob("checkpoints/*"))
    killed, whole = (load_results(ran[0] / part)["poly"] for part in ("killed", "data"))
    assert killed.id == whole.id
    assert dict(killed.history) == dict(whole.history)
    pairs = zip(weights(ran[0], "killed", "poly"), weights(ran[0], "data", "poly"), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def test_a_split_kernel_has_its_masks_and_its_slots_beside_it(ran: Any) -> None:
    split = [None, "model"]
    assert ran[1]["model"]["layouts"] == {
        "a/kernel": split,
        "magnitude_pruning/a_kernel_mask": split,
        "magnitude_pruning/a_kernel_start": split,
        "sgd/a_kernel_momentum": split,
    }
    assert ran[1]["data"]["layouts"] == {}


def test_sparsity_is_exact_on_split_kernels(ran: Any) -> None:
    # An allocation shares out all 56 weights; without one each tensor has the sparsity for itself.
    for name, zeros in (("poly", 56 - round(56 * 0.3)), ("back", (48 - 19) + (8 - 3))):
        kernels = [each for each in weights(ran[0], "model", name) if each.ndim == 2]
        assert [each.shape for each in kernels] == [(6, 8), (8, 1)]
        assert sum(int((each == 0).sum()) for each in kernels) == zeros


def test_what_is_the_callers_stays(ran: Any) -> None:
    assert {part: found["untouched"] for part, found in ran[1].items()} == dict.fromkeys(
        ("plain", "data", "model", "resumed"), True
    )


def test_it_is_said_how_attempts_are_trained(ran: Any) -> None:
    line = "Engine: sequential on jax: each attempt is trained by DataParallel on 4 devices."
    assert line in ran[1]["data"]["said"]


def test_runs_with_and_without_are_told_apart(ran: Any) -> None:
    plain, spread = (
        json.loads((ran[0] / part / "manifest.json").read_text())["settings"]
        for part in ("plain", "data")
    )
    assert "distribution" not in plain
    assert spread["distribution"] == {
        "kind": "DataParallel",
        "mesh": {"shape": [4], "axes": ["batch"]},
        "batch_axis": "batch",
        "devices": ["cpu"],
        "layouts": {},
    }
