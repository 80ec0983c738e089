from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from trimgrid.export.saved_layout import SavedLayout

RNG = np.random.default_rng(0)
LIKE = [np.zeros((3, 4), "float32"), np.zeros(1, "int64"), np.zeros((), "float16"), np.zeros(5)]


def save(arrays: Sequence[NDArray[Any]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["kind"] = "test"
        for i, array in enumerate(arrays):
            file.create_dataset(f"layers/{i}/value", data=array, **options)
    return buffer.getvalue()


def found(save: Any, like: Sequence[NDArray[Any]]) -> SavedLayout:
    layout = SavedLayout.find(save, like)
    assert layout is not None
    return layout


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_file_made_from_another_is_the_file_saved(share: float) -> None:
    layout = found(save, LIKE)
    arrays = [(RNG.normal(size=a.shape) * 9 * (RNG.random(a.shape) > share)) for a in LIKE]
    typed = [array.astype(like.dtype) for array, like in zip(arrays, LIKE, strict=True)]
    assert layout.write(typed) == save(typed)
    assert layout.write([a.astype(float) for a in typed]) == save(typed)


@pytest.mark.parametrize(
    "other_save",
    [
        lambda arrays: save([2 * array for array in arrays]),
        lambda arrays: save([array.astype("float64") for array in arrays]),
        lambda arrays: save(arrays[:1], compression="gzip"),
        lambda arrays: save([array[array != 0] for array in arrays]),
        lambda arrays: save([*arrays, np.array([float(a.sum()) for a in arrays])]),
    ],
)
def test_weights_in_a_form_of_their_own_have_no_layout(other_save: Any) -> None:
    assert SavedLayout.find(other_save, [np.zeros((9, 9), "float32"), np.zeros(3)]) is None


def test_weights_that_can_be_mistaken_for_each_other_have_no_layout() -> None:
    assert SavedLayout.find(save, [np.zeros((), "bool"), np.zeros((), "bool")]) is None


def test_a_weight_that_is_saved_twice_or_not_at_all() -> None:
    layout = found(lambda arrays: save([arrays[0], arrays[0]]), LIKE)
    arrays = [np.ones_like(array) for array in LIKE]
    assert layout.write(arrays) == save([arrays[0], arrays[0]])
