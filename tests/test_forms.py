"""The forms of an attempt: put together from runs, exports and times, told in every place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fabricated import ORIGINAL, SHRUNK, Made, latency_of, make_run
from trimgrid.errors import InputError
from trimgrid.forms import STORAGES, Form, TFLiteForm
from trimgrid.latency import Latency, Spread, TimedFile
from trimgrid.report.forms_text import forms_table, forms_text
from trimgrid.report.page.details import details
from trimgrid.report.page.payload import payload
from trimgrid.report.page.predictions import read_predictions
from trimgrid.report.run_table import attempt_text, run_table
from trimgrid.run_directory.attempt_files import add_export, set_latency, set_shrunk
from trimgrid.runs.results import Results, load_results
from trimgrid.shrunk_info import SHRUNK_SIZES, ShrunkInfo
from trimgrid.sizes import FileSize
from trimgrid.stored.attempt import StoredAttempt

SPARSE_FILE = {
    "file": "/a/half.tflite",
    "format": "tflite",
    "quantize": "none",
    "size": {"plain": 2000, "zipped": 900},
    "error": 0.105,
    "sparse": True,
    "shrunk": None,
}
WHOLE = ShrunkInfo(total_weights=1000, nonzero_weights=500, reason="No unit could be left out.")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def half(run: Path) -> StoredAttempt:
    return load_results(run)["half"]


def by_storage(run: Path, name: str = "half") -> dict[str, Form]:
    return {form.storage: form for form in load_results(run)[name].forms}


def test_of_a_plain_run_only_the_dense_form_is_known(run: Path) -> None:
    forms = by_storage(run)
    assert forms["dense"] == Form(
        "dense", 1000, 1200, 1250, 0.104, {"dynamic": TFLiteForm(FileSize(4000, 600))}
    )
    assert {storage: form.known for storage, form in forms.items()} == {
        "dense": True,
        "sparse": False,
        "shrunk": False,
    }
    for storage, command in (("sparse", "trimgrid latency"), ("shrunk", "trimgrid run --shrink")):
        reason = forms[storage].reason
        assert reason is not None
        assert reason.startswith("Not measured: ")
        assert command in reason
    assert [*by_storage(run, ORIGINAL)] == ["dense"]


def test_each_source_adds_what_it_knows(run: Path) -> None:
    folder = half(run).folder
    set_shrunk(folder, SHRUNK.to_dict())
    add_export(folder, SPARSE_FILE)
    set_latency(folder, 0.25, timed().to_dict())
    forms = by_storage(run)
    assert forms["dense"].tflite["dynamic"] == TFLiteForm(FileSize(4000, 600), 0.1041, 0.2)
    assert forms["shrunk"] == Form(
        *("shrunk", 400, 700, 750, 0.104),
        {"dynamic": TFLiteForm(FileSize(1000, 250), 0.1042, 0.1)},
        None,
    )
    # The times are those of a file without an error of its own, which the export measured.
    assert forms["sparse"].tflite == {"none": TFLiteForm(FileSize(2000, 900), 0.105, 0.3)}
    assert forms["sparse"].reason is None
    told = json.loads(json.dumps(half(run).to_dict(), allow_nan=False))["forms"]
    assert told == {storage: form.to_dict() for storage, form in forms.items()}
    assert told["sparse"]["tflite"]["none"]["size"] == {"plain": 2000, "zipped": 900}


def timed() -> Latency:
    def file(
        model: str, quantize: str, storage: str, size: FileSize, time: float, **more: Any
    ) -> TimedFile:
        return TimedFile(model, quantize, storage, size, {1: Spread(time, time, time)}, **more)

    files = (
        file(ORIGINAL, "dynamic", "dense", FileSize(1, 1), 9.0),
        file("half", "dynamic", "dense", FileSize(4000, 600), 0.2, error=0.1041),
        file("half", "dynamic", "shrunk", FileSize(1000, 250), 0.1, error=0.1042),
        file("half", "none", "sparse", FileSize(2000, 900), 0.3),
    )
    return Latency(files, (1,), 20, "LiteRT", "a machine")


@pytest.mark.parametrize(
    ("entry", "storage", "known"),
    [
        ({}, "sparse", True),
        ({"sparse": False}, "dense", True),
        ({"sparse": None, "shrunk": {"removed": {"a": 1}}}, "shrunk", True),
        ({"shrunk": {"removed": {"a": 1}}}, "shrunk, sparse", True),
        ({"sparse": None, "shrunk": {"removed": {}}}, "dense", True),
        ({"format": "onnx"}, "sparse", False),
        # What hands may have written:
        ({"size": None}, "sparse", False),
        ({"size": {"plain": "many", "zipped": 1}}, "sparse", False),
        ({"shrunk": [1]}, "sparse", False),
        ({"error": "none"}, "sparse", False),
        ({"latency": {"files": 7}}, "sparse", False),
    ],
)
def test_exports_of_each_kind(run: Path, entry: Any, storage: str, known: bool) -> None:
    add_export(half(run).folder, {**SPARSE_FILE, **entry})
    forms = by_storage(run)
    assert ("none" in forms[storage].tflite) == known
    if entry == {"sparse": False}:
        assert forms["sparse"].reason == (
            "No tensor has so many zeros that leaving them out saves bytes (float32)."
        )


@pytest.mark.parametrize("shrunk", [None, {"removed": {"a": 1}}])
def test_what_saves_nothing_in_float16_may_in_float32(run: Path, shrunk: Any) -> None:
    entry = {**SPARSE_FILE, "shrunk": shrunk}
    half_entry = {**entry, "file": "/a/16.tflite", "quantize": "float16", "sparse": False}
    add_export(half(run).folder, half_entry)
    storage = "sparse" if shrunk is None else "shrunk, sparse"
    saved_nothing = "No tensor has so many zeros that leaving them out saves bytes (float16)."
    if shrunk is None:
        assert by_storage(run)[storage].reason == saved_nothing
    add_export(half(run).folder, entry)
    form = by_storage(run)[storage]
    assert list(form.tflite) == ["none"]
    assert form.reason == saved_nothing
    # What is there has no reason for not being there.
    add_export(half(run).folder, {**half_entry, "sparse": True})
    assert by_storage(run)[storage].reason is None


def test_why_a_form_is_not_there(run: Path) -> None:
    folder = half(run).folder
    set_shrunk(folder, WHOLE.to_dict())
    reason = "No tensor has so many zeros that it saves bytes"
    files = (TimedFile("half", "none", "sparse", reason=reason),)
    set_latency(folder, None, Latency(files, (1,), 20, "LiteRT", "a machine").to_dict())
    forms = by_storage(run)
    assert forms["sparse"].reason == f"{reason} (float32)."
    assert forms["shrunk"] == Form("shrunk", reason="No unit could be left out.")


def test_the_table_is_side_by_side(run: Path) -> None:
    folder = half(run).folder
    set_shrunk(folder, {**SHRUNK.to_dict(), "reason": "no .tflite: of " + "many words " * 12})
    set_latency(folder, 0.25, timed().to_dict())
    text = forms_text(half(run).forms)
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["dense", "sparse", "shrunk"]
    assert ["Weights", "1,000", "-", "400"] in rows
    assert ["Zipped", ".h5", "1,200", "-", "700"] in rows
    assert ["ms,", "1", "thread", "0.200", "-", "0.100"] in rows
    assert max(map(len, text.splitlines())) <= 80
    assert "shrunk: no .tflite: of many words" in text
    table = forms_table(half(run).forms)
    assert [" ".join(row).split() for row in table["rows"]] == rows[1 : 1 + len(table["rows"])]


def test_four_forms_fit_into_80_columns() -> None:
    file = TFLiteForm(FileSize(9_876_543, 8_765_432), 1.5e-300, 1234.5)
    forms = [Form(each, 9_999_999, error=0.5, tflite={"none": file}) for each in STORAGES]
    text = forms_text(forms)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("9,876,543") == 4


def test_the_table_of_a_run_tells_of_shrunk_models(run: Path) -> None:
    assert "Shrunk" not in table_of(run)
    set_shrunk(half(run).folder, WHOLE.to_dict())
    assert "Shrunk: of no attempt idle units could be left out." in table_of(run)
    set_shrunk(half(run).folder, {**WHOLE.to_dict(), "reason": "'own' is a custom layer."})
    assert "Left whole: 'own' is a custom layer." in table_of(run)
    most = load_results(run)["most"]
    set_shrunk(most.folder, {**SHRUNK.to_dict(), "reason": "no .tflite: broken"})
    text = table_of(run)
    assert ["most", "6", "400", "700", "750", "250", "1.040e-01"] in [
        line.split() for line in text.splitlines()
    ]
    assert "Of 1 other none could be left out." in " ".join(text.split())
    assert "most: no .tflite: broken" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "400 weights, without 6 idle units" in attempt_text(
        load_results(run)["most"], load_results(run)[0], "loss"
    )
    assert "tflite, shrunk" in load_results(run)._repr_html_()


def table_of(run: Path) -> str:
    return run_table(load_results(run), "loss: mse")


def test_the_page_has_forms_and_sizes(run: Path) -> None:
    def told(results: Results) -> Any:
        return details(results["half"], read_predictions(results)).get("forms")

    assert told(load_results(run)) is None
    assert not any(each["shrunk"] for each in payload([load_results(run)])["sizes"])
    set_shrunk(half(run).folder, SHRUNK.to_dict())
    results = load_results(run)
    assert told(results) == forms_table(results["half"].forms)
    data = payload([results])
    sizes = {each["key"]: each for each in data["sizes"]}
    zipped = [key for key in SHRUNK_SIZES if "zipped" in key]
    assert [key for key in sizes if sizes[key]["shrunk"]] == zipped[::-1]
    assert next(iter(sizes)) == "zipped_tflite_size"
    assert sizes["zipped_shrunk_tflite_size"]["file"] == "small.tflite --shrink"
    place = [*sizes].index("zipped_shrunk_tflite_size")
    assert [each["sizes"][place] for each in data["attempts"]] == [None, 250, None, None]


def test_times_alone_make_forms_worth_a_look(run: Path) -> None:
    set_latency(half(run).folder, 0.25, latency_of({"sparse": 1.5}).to_dict())
    results = load_results(run)
    assert "forms" in details(results["half"], read_predictions(results))
    assert results["half"].latency is not None
    html = results["half"].latency._repr_html_()
    for text in ("sparse", "float32", "1.50 ±0 %", "LiteRT 2.3.0", "4,000"):
        assert text in html


@pytest.mark.parametrize("flag", ["sparse", "shrink"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_flags_of_an_export_are_true_or_false(
    run: Path, tmp_path: Path, flag: str, value: Any
) -> None:
    options: dict[str, Any] = {flag: value}
    with pytest.raises(InputError, match=f"{flag} must be True or False. Received: {flag}="):
        half(run).export(tmp_path / "small.tflite", **options)


def test_a_failed_attempt_says_why(tmp_path: Path) -> None:
    made = [Made(ORIGINAL, 1000, 0.1), Made("nan", None, float("nan"), "training failed: nan")]
    forms = by_storage(make_run(tmp_path / "run", made), "nan")
    assert forms["dense"] == Form("dense", reason="training failed: nan")
