from __future__ import annotations

import math
from typing import Any

import pytest

from trimgrid.choosing import check_size, default_size, front, smallest
from trimgrid.errors import InputError, RunError
from trimgrid.results import SIZES, AttemptInfo


def info(name: str, size: int | None, error: float, status: str = "ok") -> AttemptInfo:
    return AttemptInfo(
        name, 10, 5, 5, 1, None, None, size, None, error, keras_size=7, status=status
    )


ORIGINAL = info("original", 1000, 0.1)
ATTEMPTS = [
    info("half", 600, 0.104),
    info("most", 300, 0.11),
    info("same size, lower error", 300, 0.109),
    info("the same again", 300, 0.109),
    info("not converted", None, 0.05, status="no .tflite: why"),
    info("failed", 10, math.nan, status="training failed: why"),
    info("tiny", 100, 0.5),
    info("no error", 1, math.nan),
    info("infinite", 1, math.inf),
]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({}, "half"),
        ({"max_increase": 0.05}, "half"),
        ({"max_increase": 0.1}, "same size, lower error"),
        ({"max_increase": 4}, "tiny"),
        ({"max_increase": 100.0}, "tiny"),
        ({"max_error": 0.5}, "tiny"),
        ({"max_error": 0.4999}, "same size, lower error"),
        ({"max_error": 0.104}, "half"),
        ({"max_error": 0.5, "max_increase": 0.05}, "half"),
        ({"max_error": 0.104, "max_increase": 9}, "half"),
        ({"max_increase": 0.2, "size": "keras_size"}, "not converted"),
        ({"max_error": 1, "size": "h5_size"}, "not converted"),
    ],
)
def test_the_smallest_that_is_good_enough(limits: Any, name: str) -> None:
    arguments = {"max_error": None, "max_increase": None, "size": "zipped_tflite_size", **limits}
    assert smallest(ATTEMPTS, ORIGINAL, **arguments).name == name


@pytest.mark.parametrize(
    ("original", "increase", "name"),
    [
        (info("original", 1, -0.9), 0.1, "near"),
        (info("original", 1, -0.9), 0.0, "better"),
        (info("original", 1, 0.0), 0.5, "better"),
    ],
)
def test_the_limit_is_never_below_the_original(
    original: AttemptInfo, increase: float, name: str
) -> None:
    attempts = [info("better", 9, -0.95), info("near", 5, -0.82), info("far", 1, 0.1)]
    if original.error == 0:
        attempts = attempts[:1] + attempts[2:]
    found = smallest(attempts, original, max_error=None, max_increase=increase, size=SIZES[-1])
    assert found.name == name


@pytest.mark.parametrize(
    ("attempts", "original", "limits", "message"),
    [
        ([], ORIGINAL, {}, "none is finished. Resume the run."),
        (
            ATTEMPTS[5:6],
            ORIGINAL,
            {},
            "of 1 that are finished none has a finite error. failed: training failed: why",
        ),
        (ATTEMPTS[7:], ORIGINAL, {}, "of 2 that are finished none has a finite error"),
        (
            [*ATTEMPTS[1:4], ATTEMPTS[5]],
            ORIGINAL,
            {},
            "No attempt has an error of at most 0.105. The least is 0.109, of 'same size, lower "
            "error'; 1 failed.",
        ),
        (ATTEMPTS, ORIGINAL, {"max_error": 0.01}, "The least is 0.05, of 'not converted'; 3 fail"),
        (ATTEMPTS[:2], ORIGINAL, {"max_error": 0.01}, "The least is 0.104, of 'half'."),
        (ATTEMPTS[4:6], ORIGINAL, {}, "of none 'zipped_tflite_size' was measured"),
        (ATTEMPTS, None, {}, "The original's error is not known"),
        (ATTEMPTS, info("original", 1, math.nan), {"max_increase": 1}, "error is not known"),
    ],
)
def test_the_reason_why_none_will_do(
    attempts: Any, original: Any, limits: Any, message: str
) -> None:
    arguments = {"max_error": None, "max_increase": None, "size": "zipped_tflite_size", **limits}
    with pytest.raises(RunError) as caught:
        smallest(attempts, original, **arguments)
    assert message in str(caught.value)


def test_max_error_needs_no_original() -> None:
    found = smallest(ATTEMPTS, None, max_error=0.2, max_increase=None, size="zipped_tflite_size")
    assert found.name == "same size, lower error"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_error": math.nan}, "max_error must be a finite number. Received: max_error=nan"),
        ({"max_error": math.inf}, "max_error must be a finite number"),
        ({"max_error": "0.1"}, "Received: max_error='0.1'"),
        ({"max_error": True}, "Received: max_error=True"),
        ({"max_error": 10**400}, "Received: max_error=1000"),
        ({"max_increase": -0.1}, "max_increase must be a fraction .* Received: max_increase=-0.1"),
        ({"max_increase": [0.1]}, "max_increase must be a finite number"),
        ({"size": "tflite"}, "size must be .* Received: size='tflite'. Give one of: h5_size, "),
        ({"size": None}, "Received: size=None"),
        ({"size": "name"}, "Received: size='name'"),
    ],
)
def test_bad_arguments_are_refused(arguments: Any, message: str) -> None:
    given = {"max_error": None, "max_increase": None, "size": "h5_size", **arguments}
    with pytest.raises(InputError, match=message):
        smallest(ATTEMPTS, ORIGINAL, **given)


def test_the_front_leaves_out_what_failed_or_was_not_measured() -> None:
    names = [each.name for each in front([ORIGINAL, *ATTEMPTS], "zipped_tflite_size")]
    assert names == ["tiny", "same size, lower error", "half", "original"]
    assert [each.name for each in front(ATTEMPTS, "keras_size")] == ["not converted"]
    with pytest.raises(InputError, match="Received: size='bytes'"):
        front(ATTEMPTS, "bytes")


@pytest.mark.parametrize(
    ("status", "error", "usable"),
    [
        ("ok", 0.1, True),
        ("no .tflite: why", 0.1, True),
        ("1 of 3 repeats failed: why", 0.1, True),
        ("training failed: why", math.nan, False),
        ("evaluation failed: the error is inf", math.inf, False),
        ("damaged: result.json: why", math.nan, False),
    ],
)
def test_what_has_an_error_has_a_model(status: str, error: float, usable: bool) -> None:
    attempt = info("one", 5, error, status)
    assert front([attempt], "keras_size") == [attempt] * usable
    limits: Any = {"max_error": 1.0, "max_increase": None, "size": "keras_size"}
    if usable:
        assert smallest([attempt], None, **limits) is attempt
    else:
        with pytest.raises(RunError, match=f"none has a finite error. one: {status}"):
            smallest([attempt], None, **limits)


def test_the_size_that_counts_where_none_is_named() -> None:
    assert default_size(ATTEMPTS) == "zipped_tflite_size"
    assert default_size(ATTEMPTS[4:5]) == "zipped_keras_size"


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_one_of_an_attempt(size: str) -> None:
    check_size(size)
    assert hasattr(ORIGINAL, size)
    assert size in ORIGINAL.to_dict()
