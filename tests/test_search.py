"""The search: what it tries, what it keeps, how it goes on, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trimgrid.errors import InputError, RunError
from trimgrid.report.run_table import run_table
from trimgrid.report.search_text import answer_text, learnt_text
from trimgrid.run_directory.json_files import DamagedFileError
from trimgrid.run_directory.progress_file import Work, read_progress
from trimgrid.run_directory.search_file import SearchRecord, read_search, write_search
from trimgrid.runs import searching
from trimgrid.runs.asking import Known, ask, importances
from trimgrid.runs.search import Search
from trimgrid.runs.search_space import BY_SENSITIVITY, SearchSpace, rounded
from trimgrid.runs.study import Study
from trimgrid.sensitivity import Sensitivity, SensitivityPoint

RANDOM = np.random.default_rng(0)
X = RANDOM.random((64, 5), dtype="float32")
Y = X.sum(axis=1, keepdims=True) ** 2
POINTS = [
    SensitivityPoint(name, weights, sparsity, factor * sparsity)
    for name, weights, factor in (("in[0]/kernel", 50, 9.0), ("out/kernel", 150, 1.0))
    for sparsity in (0.25, 0.5, 0.75, 0.95)
]
SPACE = SearchSpace.of([(5, 10), (10, 15)], 1000, 0.001, Sensitivity(POINTS, 0.1, "mse"))


def study(**options: Any) -> Study:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((5,), name="in"),
            layers.Dense(12, activation="relu", name="a"),
            layers.Dense(1, name="b"),
        ],
        name="small",
    )
    settings: dict[str, Any] = {
        "train": (X[:48], Y[:48]),
        "validation": (X[48:56], Y[48:56]),
        "test": (X[56:], Y[56:]),
        "loss": "mse",
        "epochs": 4,
        "batch_size": 8,
        "pretrain_epochs": 20,
        "optimizer": keras.optimizers.Adam(0.01),
    } | options
    return Study(model, **settings)


def search(folder: Path, budget: int = 10, **options: Any) -> Search:
    settings: dict[str, Any] = {"max_increase": 1.0, "size": "zipped_h5_size", "batch": 5}
    settings |= {"tflite": False, "progress": False, "say": lambda line: None, **options}
    return study().search(budget=budget, run_dir=folder, **settings)


def table(found: Search) -> list[tuple[Any, ...]]:
    return [(a.name, a.error, a.zipped_h5_size, a.status) for a in found.attempts]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return search(tmp_path_factory.mktemp("search") / "whole")


def test_what_is_found_lies_in_the_run_directory(whole: Search) -> None:
    assert [each.name.split(",")[0] for each in whole.attempts] == [
        f"search {number}" for number in range(1, 11)
    ]
    assert {each.name for each in whole.attempts} < {each.name for each in whole.results}
    original = whole.results.original
    good = [each for each in whole.attempts if each.error <= 2 * original.error]
    assert good
    assert whole.best.zipped_h5_size == min(each.zipped_h5_size or 0 for each in good)
    assert whole.best.name in {each.name for each in whole.front}
    assert (whole.results.folder / "report.html").is_file()
    assert whole.results.sensitivity is not None
    for shares in whole.importances.values():
        assert sum(shares.values()) == pytest.approx(1)
    assert set(whole.importances) == {"error", "size"}


def test_hopeless_attempts_were_stopped_and_say_so(whole: Search) -> None:
    assert whole.stopped
    for each in whole.stopped:
        epochs = len(each.history["epoch"])
        assert epochs < 4
        assert each.status.startswith(f"stopped after epoch {epochs}: ")
        assert np.isfinite(each.error)
    text = run_table(whole.results, "mse")
    assert f"{len(whole.stopped)} stopped early by a search" in text
    assert "stopped after" not in text


def test_its_progress_is_that_of_the_whole_search(whole: Search) -> None:
    progress = whole.results.progress
    assert progress is not None
    assert progress.state is Work.FINISHED
    # Those that were stopped early have ended, too.
    assert progress.epochs == progress.total_epochs == 10 * 4 + 20
    (record,) = whole.results.searches
    assert (record.budget, record.names) == (10, list(whole.params))


def test_killed_it_goes_on_with_what_it_would_have_tried(whole: Search, tmp_path: Path) -> None:
    seen: list[str] = []

    def die(info: Any) -> None:
        seen.append(info.name)
        if len(seen) in (3, 8):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "r", on_result=die)
    assert table(search(tmp_path / "r")) == table(whole)


def test_killed_wherever_it_writes_of_itself_it_goes_on(
    whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after what it asks is written, and between a decision and what follows from it."""
    calls = 0

    def die(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 2:
            write_search(*arguments)
        if calls <= 5:
            raise KeyboardInterrupt
        write_search(*arguments)

    monkeypatch.setattr(searching, "write_search", die)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "r", checkpoint_seconds=1e-9)
    assert table(search(tmp_path / "r")) == table(whole)


def test_a_batch_that_gave_nothing_is_not_asked_for_again() -> None:
    options: dict[str, Any] = {"limit": 1.0, "sampler": "tpe"}
    assert ask(SPACE, [], 4, seed="1", **options) != ask(SPACE, [], 4, seed="2", **options)


def test_a_greater_budget_goes_on_and_the_same_trains_nothing(
    whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Work, int]] = []

    def look(_: Any) -> None:
        progress = read_progress(tmp_path / "r")
        assert progress is not None
        told.append((progress.state, progress.total_epochs))

    assert table(search(tmp_path / "r", budget=5)) == table(whole)[:5]
    assert table(search(tmp_path / "r", on_result=look)) == table(whole)
    assert {total for _, total in told} == {5 * 4}
    assert Work.FINISHED not in {state for state, _ in told}

    def trained(*_: Any, **__: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr("trimgrid.runs.run_options.open_engine", trained)
    assert table(search(tmp_path / "r")) == table(whole)
    # A smaller budget takes away nothing.
    assert table(search(tmp_path / "r", budget=1)) == table(whole)


def test_another_search_in_the_same_directory_shares_what_is_the_same(tmp_path: Path) -> None:
    first = search(tmp_path / "r", budget=5)
    second = search(tmp_path / "r", budget=5, max_increase=1.5)
    names = {each.name for each in first.results} | {each.name for each in second.attempts}
    assert len(second.results) == len(names)
    assert len(list((tmp_path / "r").glob("search-*.json"))) == 2


def test_a_tolerance_that_nothing_meets_names_the_nearest(whole: Search) -> None:
    strict = Search(
        whole.results,
        whole.params,
        whole.size,
        1e-12,
        None,
        {},
        whole.sensitivity,
    )
    least = min(whole.attempts, key=lambda each: each.error)
    with pytest.raises(RunError, match=f"The least is .*, of {least.name!r}"):
        _ = strict.best
    assert strict.limit_text == "with an error of at most 1e-12"
    assert whole.limit_text == "with at most 100 % more error than the original"


def test_the_texts(whole: Search) -> None:
    original = whole.results.original
    text = learnt_text(whole.attempts, original, whole.front, whole.importances, whole.size)
    assert max(map(len, text.splitlines())) <= 80
    assert "Of 10 attempts" in text
    assert "density" in text.split("What mattered for the size: ")[1]
    best, limit = whole.best, whole.limit_text
    answer = answer_text(best, original, whole.size, limit, "mse", whole.params[best.name])
    assert best.name in answer
    assert max(map(len, answer.splitlines())) <= 80
    assert "shared out by" in answer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "weight"}, "size must be one of"),
        ({"size": "h5_size"}, "the same however much is pruned. Give size='zipped_h5_size'"),
        ({"budget": 0}, "budget"),
        ({"batch": 0}, "batch"),
        ({"seed": -1}, "seed"),
        ({"max_increase": -1.0}, "max_increase"),
        ({"sampler": "tpf"}, "Did you mean 'tpe'"),
        ({"size": "zipped_tflite_size"}, "without conversions to .tflite"),
        ({"checkpoint_seconds": 0}, "above 0 seconds"),
    ],
)
def test_bad_input_is_refused_before_anything(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        search(tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def test_without_optuna_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'trimgrid\[search\]'"):
        search(tmp_path / "r")


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    path = tmp_path / "search-1.json"
    path.write_text('{"settings": {}, "batches": [[{}]], "decisions": {}}')
    with pytest.raises(DamagedFileError, match="no search"):
        read_search(path)
    batches = [[{"name": "a"}, {"name": "a"}], [{"name": "b"}]]
    assert SearchRecord({}, SPACE.sensitivity, batches).names == ["a", "b"]


def test_an_attempt_is_what_its_numbers_say() -> None:
    params = {"density": 0.1, "allocation": "lamp", "peak": 2.0, "ramp": 0.5}
    attempt = SPACE.attempt(7, params)
    assert attempt.name == "search 7, 90.00 %"
    assert attempt.allocation == "lamp"
    plan = attempt.pruning_schedule.plan(1000)
    assert np.nanmax(plan) == pytest.approx(0.9)
    assert np.flatnonzero(~np.isnan(plan)).max() == 500
    assert attempt.learning_rate.plan(1000).max() == pytest.approx(0.002)  # type: ignore[union-attr]


@pytest.mark.parametrize("density", [0.5, 0.1, 0.02, 0.005])
def test_sharing_by_sensitivity_has_the_sparsity_in_all(density: float) -> None:
    params = {"density": density, "allocation": BY_SENSITIVITY, "peak": 1.0, "ramp": 0.5}
    attempt = SPACE.attempt(1, params)
    assert attempt.allocation == "uniform"
    ((pattern, sparsity),) = (attempt.overrides or {}).items()
    assert pattern == "in[[]0]/kernel"  # of the largest nothing is said, it takes the rest
    rest = (200 * density - 50 * (1 - sparsity)) / 150
    assert 0 < rest < 1
    assert sparsity < 1 - rest  # the dearer tensor keeps more


def test_the_largest_is_left_no_more_than_it_can_take() -> None:
    """25 zeros of 32 weights, where the small tensor is the dearer one: the large can take 23."""
    points = [
        SensitivityPoint(tensor, weights, sparsity, slope * sparsity)
        for tensor, weights, slope in (("big/kernel", 24, 0.01), ("small/kernel", 8, 9.0))
        for sparsity in (0.5, 0.99)
    ]
    space = SearchSpace.of([(3, 8), (8, 1)], 10, 0.1, Sensitivity(points, 0.1, "mse"))
    params = {"density": 0.2162, "allocation": BY_SENSITIVITY, "peak": 1.0, "ramp": 0.5}
    ((_, sparsity),) = (space.attempt(1, params).overrides or {}).items()
    assert 8 * sparsity >= 0.7838 * 32 - 23 - 1e-4


def test_the_first_begin_where_nothing_is_lost_and_end_at_the_least() -> None:
    first = SPACE.first(6, None, 9.0)
    densities = [each["density"] for each in first]
    assert densities == sorted(densities, reverse=True)
    assert densities[-1] == SPACE.least
    assert {each["allocation"] for each in first} == set(SPACE.allocations)
    alone = SearchSpace.of([(5, 10)], 10, 0.1, Sensitivity(POINTS[:4], 0.1, "mse"))
    assert BY_SENSITIVITY not in alone.allocations


def known(count: int, seed: str = "0") -> list[Known]:
    """Attempts of which the errors grow as the densities shrink, least of all with lamp."""
    found = []
    for params in ask(SPACE, [], count, limit=1.0, seed=seed, sampler="random"):
        error = (0.05 if params["allocation"] == "lamp" else 0.2) / params["density"]
        found.append(Known(params, error, 1e4 * params["density"]))
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_is_asked_depends_on_nothing_else(sampler: str) -> None:
    options: dict[str, Any] = {"limit": 1.0, "seed": "3", "sampler": sampler}
    state: Any = np.random.get_state()
    first = ask(SPACE, known(20), 8, **options)
    assert first == ask(SPACE, known(20), 8, **options)
    assert first != ask(SPACE, known(20), 8, **{**options, "seed": "4"})
    after: Any = np.random.get_state()
    np.testing.assert_array_equal(after[1], state[1])  # the caller's
    for params in first:
        assert params == rounded(params)
        for name, (least, most) in SPACE.ranges.items():
            assert least <= params[name] <= most


def test_it_learns_what_is_good() -> None:
    """Much of what is asked next is near the best that is good enough, and shared out well."""
    before = known(40)
    limit = 0.5  # lamp down to a density of 0.1, the others down to 0.4
    asked = ask(SPACE, before, 16, limit=limit, seed="0", sampler="tpe")
    near = [e for e in asked if e["allocation"] == "lamp" and 0.05 < e["density"] < 0.25]
    assert len(near) >= 6


def test_importances() -> None:
    shares = importances(SPACE, known(40))
    assert max(shares["size"], key=lambda key: shares["size"][key]) == "density"
    assert importances(SPACE, known(9)) == {}


def test_optuna_is_as_loud_as_it_was() -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    known(3)
    assert optuna.logging.get_verbosity() == before
