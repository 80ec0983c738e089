"""The page in a browser: offline, quiet, moved by mouse and keyboard, readable by all."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.page_tools import (
    axe_violations,
    console_errors,
    open_page,
    requests_made,
    screenshot,
    sideways_overflow,
)
from tests.fabricated import (
    HOSTILE,
    ORIGINAL,
    SHRUNK,
    TABLE,
    Made,
    latency_of,
    make_large_run,
    make_run,
)
from trimgrid.errors import RunError
from trimgrid.report.latency_text import latency_verdicts
from trimgrid.run_directory.attempt_files import set_latency, set_shrunk
from trimgrid.runs.results import Results, load_results

X = np.linspace(0, 1, 60)[:, None]
CURVE = (X, X**2)
REPEATED = [
    Made(ORIGINAL, 1000, 0.1, zeros=0),
    Made("poly decay 0/50", 640, 0.08, errors=(0.07, 0.08, 0.11)),
    Made("poly decay 0/80", 400, 0.103, errors=(0.1, 0.103, 0.2), zeros=800),
    Made("poly decay 0/90", 300, 0.13, errors=(0.12, 0.13, 0.15), zeros=900),
    Made("const sparsity 0.9", 310, 0.4, errors=(0.3, 0.4, 0.5), zeros=900),
    Made("diverged", None, math.nan, "training failed: the loss is nan at step 7", zeros=0),
]


def curve_run(folder: Path) -> Path:
    shift = {made.name: 0.1 * place for place, made in enumerate(REPEATED[:-1])}
    predictions = {name: X**2 + by for name, by in shift.items()}
    return make_run(folder, REPEATED, test=CURVE, predictions=predictions, more={"repeats": 3})


def class_run(folder: Path) -> Path:
    random = np.random.default_rng(0)
    images, labels = random.random((90, 12, 12, 1), "float32"), random.integers(0, 3, 90)
    right = np.eye(3, dtype="float32")[labels]
    wrong = {made.name: np.roll(right, place, axis=-1) for place, made in enumerate(TABLE)}
    # The second attempt takes the first ten for another class, the others are as bad as can be.
    wrong["half"] = np.concatenate([wrong["half"][:10], right[10:]])
    more = {"data": {"test": {"digest": "def"}}}
    return make_run(folder, TABLE, test=(images, labels), predictions=wrong, more=more)


def hostile_run(folder: Path) -> Path:
    made = [Made(ORIGINAL, 1000, 0.1, zeros=0)]
    made += [
        Made(name, 900 - 50 * place, 0.1 + 0.01 * place, f"no .tflite: {name}")
        for place, name in enumerate(HOSTILE)
    ]
    predictions = dict.fromkeys((ORIGINAL, *HOSTILE), X**2)
    more = {"error_name": HOSTILE[0], "versions": {"trimgrid": HOSTILE[1]}}
    return make_run(folder, made, test=CURVE, predictions=predictions, more=more)


RUNS: dict[str, Callable[[Path], Path]] = {
    "curve": curve_run,
    "classes": class_run,
    "hostile": hostile_run,
    "large": make_large_run,
}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Results]:
    """A run by its kind, made when it is first asked for."""
    made: dict[str, Path] = {}

    def results(kind: str) -> Results:
        if kind not in made:
            made[kind] = RUNS[kind](tmp_path_factory.mktemp("runs") / kind)
        return load_results(made[kind])

    return results


@pytest.fixture
def shown(browser: WebDriver, run_of: Callable[[str], Results], tmp_path: Path) -> Iterator[Any]:
    """Opens the page of a run of a kind, and checks at the end that nothing went wrong in it."""

    def show(kind: str, **how: Any) -> Results:
        results = run_of(kind)
        open_page(browser, results.report(tmp_path / f"{kind}.html"), **how)
        return results

    yield show
    assert console_errors(browser) == []
    assert requests_made(browser) == []


def one(browser: WebDriver, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def text_of(browser: WebDriver, selector: str) -> str:
    return str(one(browser, selector).get_property("textContent")).strip()


def names_shown(browser: WebDriver) -> list[str]:
    rows = "return [...document.querySelectorAll('#attempts tbody tr:not([hidden]) button bdi')]"
    found: list[str] = browser.execute_script(f"{rows}.map(each => each.textContent)")
    return found


def set_value(browser: WebDriver, id: str, value: Any, event: str = "input") -> None:
    script = (
        "const place = document.getElementById(arguments[0]); place.value = arguments[1];"
        "place.dispatchEvent(new Event(arguments[2], {bubbles: true}))"
    )
    browser.execute_script(script, id, str(value), event)


def paper_of(browser: WebDriver) -> str:
    back = "return getComputedStyle(document.documentElement).backgroundColor"
    return str(browser.execute_script(back))


def chart_data(browser: WebDriver, chart: str, what: str) -> Any:
    """What each trace of a chart has under some names of Plotly's."""
    script = "return document.getElementById(arguments[0]).data.map(each => each[arguments[1]])"
    return browser.execute_script(script, f"{chart}-chart", what)


def settled(browser: WebDriver) -> None:
    """Wait until the charts of the details are drawn: they come one after the other."""
    name = text_of(browser, "#attempt-title bdi")
    drawn = (
        "return ['updates', 'tensors', 'histogram', 'prediction'].every(each => {"
        "const chart = document.getElementById(each + '-chart');"
        "return chart.offsetParent === null || chart.data !== undefined})"
    )
    WebDriverWait(browser, 10).until(lambda _: browser.execute_script(drawn))
    wait = "const done = arguments[0]; setTimeout(() => requestAnimationFrame(() => done()), 400)"
    browser.execute_async_script(wait)
    assert text_of(browser, "#attempt-title bdi") == name


@pytest.mark.parametrize(
    "kind", ["curve", "classes", "hostile", pytest.param("large", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "light"),
        (1440, "dark"),
        pytest.param(390, "dark", marks=pytest.mark.slow),
        pytest.param(1440, "light", marks=pytest.mark.slow),
    ],
)
def test_it_opens_quietly_and_fits(
    browser: WebDriver, shown: Any, kind: str, scheme: str, width: int, tmp_path: Path
) -> None:
    shown(kind, width=width, height=844, scheme=scheme)
    settled(browser)
    assert sideways_overflow(browser) <= 0
    paper = browser.execute_script(
        "return getComputedStyle(document.documentElement)['background']"
    )
    assert ("255, 255, 255" in paper) == (scheme == "light")
    screenshot(browser, tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000
    points = (
        "return document.querySelectorAll('#tradeoff-chart .trace, #tradeoff-chart canvas').length"
    )
    assert browser.execute_script(points) > 0


@pytest.mark.parametrize("kind", ["curve", "classes", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_can_read_it(browser: WebDriver, shown: Any, kind: str, scheme: str) -> None:
    shown(kind, scheme=scheme)
    settled(browser)
    assert axe_violations(browser) == []


@pytest.mark.parametrize(
    "kind", ["curve", "classes", "hostile", pytest.param("large", marks=pytest.mark.slow)]
)
def test_the_pick_is_that_of_best(browser: WebDriver, shown: Any, kind: str) -> None:
    results = shown(kind)
    sizes: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#size option')].map(each => each.textContent)"
    )
    for place, label in enumerate(sizes):
        size = label.replace("zipped .", "zipped_").replace(".", "") + "_size"
        set_value(browser, "size", place, "change")
        front = browser.execute_script(
            "return [...document.querySelectorAll('#attempts tbody tr[data-marks*=f] button bdi')]"
            ".map(each => each.textContent)"
        )
        assert sorted(front) == sorted(each.name for each in results.pareto(size))
        for percent in (0, 1, 3, 5, 10.5, 31, 400):
            set_value(browser, "tolerance", percent)
            try:
                best = results.best(max_increase=percent / 100, size=size).name
            except RunError:
                best = ""
            assert text_of(browser, ".pick-name") == best.strip()
            picked = browser.execute_script(
                "return [...document.querySelectorAll('#attempts tr.picked button bdi')]"
                ".map(each => each.textContent)"
            )
            assert picked == ([best] if best else [])


def test_the_headline_says_what_is_saved(browser: WebDriver, shown: Any) -> None:
    results = shown("curve")
    before = text_of(browser, ".pick-text")
    assert text_of(browser, ".pick-name") == "poly decay 0/80"
    assert before == "2.50x smaller, error 3.0 % higher"
    assert "400 bytes as zipped .tflite" in text_of(browser, ".pick-size")
    assert text_of(browser, "h1") == browser.title.removesuffix(" · trimgrid") == "curve"
    command = text_of(browser, ".pick code")
    assert command.endswith("curve 'poly decay 0/80' -o small.tflite")
    # What is written without the script is what the script says.
    page = Path(browser.current_url.removeprefix("file://")).read_text()
    assert f'<p class="pick-text">{before}</p>' in page
    original = text_of(browser, ".asked")
    assert "1,000 bytes as zipped .tflite, error 0.1 (loss: mse)" in original
    assert results.best().name == "poly decay 0/80"


def test_the_tolerance_moves_the_pick(browser: WebDriver, shown: Any) -> None:
    shown("curve")
    slider = one(browser, "#slider")
    slider.send_keys(Keys.END)
    assert one(browser, "#tolerance").get_property("value") == "1000"
    assert text_of(browser, ".pick-name") == "poly decay 0/90"
    assert text_of(browser, "#chosen-title") == "poly decay 0/90"  # goes along with the pick
    slider.send_keys(Keys.HOME)
    assert text_of(browser, ".pick-name") == "poly decay 0/50"
    set_value(browser, "mode", "limit", "change")
    assert text_of(browser, ".pick-name") == "poly decay 0/50"  # the same limit in other words
    assert one(browser, "#tolerance").get_property("value") == "0.1"
    set_value(browser, "tolerance", 0.01)
    assert text_of(browser, ".pick-name") == ""
    assert "The least error is 0.08, of poly decay 0/50" in text_of(browser, ".pick-text")
    set_value(browser, "tolerance", "")
    assert text_of(browser, ".pick-text") == "Give a tolerance."


def test_the_chosen_one_follows_the_pick_until_another_is_chosen(
    browser: WebDriver, shown: Any
) -> None:
    shown("curve")
    set_value(browser, "mode", "limit", "change")
    for typed in ("0", "0.", "0.2"):  # on the way there is no pick
        set_value(browser, "tolerance", typed)
    assert text_of(browser, ".pick-name") == text_of(browser, "#chosen-title") == "poly decay 0/90"
    one(browser, "#attempts tbody tr[data-index='1'] th button").click()
    set_value(browser, "tolerance", 0.105)
    assert text_of(browser, ".pick-name") == "poly decay 0/80"
    assert text_of(browser, "#chosen-title") == "poly decay 0/50"


def test_the_command_exports_the_file_whose_size_counts(browser: WebDriver, shown: Any) -> None:
    shown("curve")
    labels: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#size option')].map(each => each.textContent)"
    )
    for place, label in enumerate(labels):
        set_value(browser, "size", place, "change")
        ending = label.split(".")[-1]
        for code in (".pick code", "#chosen-command"):
            assert text_of(browser, code).endswith(f" -o small.{ending}")
    one(browser, "#attempts tbody tr[data-index='0'] th button").click()
    assert text_of(browser, "#chosen-command") == ""  # the original is not exported


def test_on_paper_all_is_light(browser: WebDriver, shown: Any) -> None:
    shown("curve", scheme="dark")
    settled(browser)
    one(browser, ".scheme button[data-scheme=dark]").click()
    fonts = (
        "return ['tradeoff', 'curves', 'updates', 'tensors', 'histogram', 'prediction']"
        ".map(each => document.getElementById(each + '-chart').layout.font.color)"
    )
    dark = browser.execute_script(fonts)
    light = browser.execute_script(f"dispatchEvent(new Event('beforeprint')); {fonts}")
    assert len({*dark}) == len({*light}) == 1
    assert light != dark
    assert paper_of(browser) == "rgb(255, 255, 255)"
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert paper_of(browser) == SCHEMES["Dark"]
    assert one(browser, ".scheme button[data-scheme=dark]").get_attribute("aria-pressed") == "true"


def test_a_keyboard_chooses_while_text_is_marked(browser: WebDriver, shown: Any) -> None:
    shown("curve")
    browser.execute_script("getSelection().selectAllChildren(document.querySelector('h1'))")
    one(browser, "#attempts tbody tr[data-index='1'] th button").send_keys(Keys.ENTER)
    assert text_of(browser, "#chosen-title") == "poly decay 0/50"


def test_without_a_script_there_is_pick_and_table(
    browser: WebDriver, run_of: Callable[[str], Results], tmp_path: Path
) -> None:
    page = run_of("curve").report(tmp_path / "page.html")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.absolute().as_uri())
        assert one(browser, ".pick-name").text == "poly decay 0/80"
        assert len(browser.find_elements(By.CSS_SELECTOR, "#attempts tbody tr")) == len(REPEATED)
        for selector in ("#chosen", "#attempt", "#tradeoff", ".controls", ".scheme"):
            assert not one(browser, selector).is_displayed()
        assert "need JavaScript" in one(browser, "#headline").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_what_no_axis_can_hold_is_said_in_its_place(browser: WebDriver, tmp_path: Path) -> None:
    made = [Made(ORIGINAL, 1000, 0.1, zeros=0), Made("a", 600, -1e308), Made("b", 500, 1e308)]
    open_page(browser, load_results(make_run(tmp_path / "run", made)).report())
    settled(browser)
    assert text_of(browser, "#chosen-title") == "a"
    said = "return getComputedStyle(document.getElementById('tradeoff-chart'), '::before').content"
    assert "This can't be drawn" in browser.execute_script(said)
    assert names_shown(browser) == [ORIGINAL, "a", "b"]


def test_rows_are_sorted_and_filtered(browser: WebDriver, shown: Any) -> None:
    results = shown("curve")
    planned = [each.name for each in results]
    assert names_shown(browser) == planned
    error = one(browser, "#attempts th button[data-key=error]")
    error.click()
    by_error = [each.name for each in results.sorted_by("error")]
    assert names_shown(browser) == by_error
    assert by_error[-1] == "diverged"
    head = one(browser, "#attempts th:has(button[data-key=error])")
    assert head.get_attribute("aria-sort") == "ascending"
    error.click()
    assert names_shown(browser) == [*by_error[-2::-1], "diverged"]  # what is missing stays last
    assert head.get_attribute("aria-sort") == "descending"
    one(browser, "#attempts th button[data-key=size][data-size='0']").send_keys(Keys.ENTER)
    by_size = [each.name for each in results.sorted_by("zipped_tflite_size")]
    assert names_shown(browser) == by_size
    one(browser, "#filter").send_keys("DECAY")
    assert names_shown(browser) == [name for name in by_size if "decay" in name]
    assert text_of(browser, "#count") == "3 of 6"
    one(browser, "#filter").send_keys(" no such")
    assert names_shown(browser) == []
    assert one(browser, "#nothing").is_displayed()
    one(browser, "#filter").clear()
    for which, names in [
        ("front", ["poly decay 0/90", "poly decay 0/80", "poly decay 0/50"]),
        ("within", ["poly decay 0/80", "poly decay 0/50", ORIGINAL]),
        ("failed", ["diverged"]),
        ("all", by_size),
    ]:
        set_value(browser, "show", which, "change")
        assert names_shown(browser) == names
    set_value(browser, "show", "within", "change")
    set_value(browser, "tolerance", 50)
    assert "poly decay 0/90" in names_shown(browser)


def test_an_attempt_is_chosen_by_mouse_and_keyboard(browser: WebDriver, shown: Any) -> None:
    shown("curve")
    one(browser, "#attempts tbody tr[data-index='1'] td.number").click()
    assert text_of(browser, "#chosen-title") == "poly decay 0/50"
    assert text_of(browser, "#attempt-title bdi") == "poly decay 0/50"
    assert one(browser, "tr[data-index='1'] th button").get_attribute("aria-pressed") == "true"
    facts = text_of(browser, "#chosen-facts")
    assert "range0.07 to 0.11, 3 repeats" in facts
    assert "zipped .h51,280 bytes" in facts
    one(browser, "#show").send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.TAB)  # past the table, which may scroll
    for _ in range(12):  # past the heads
        if browser.switch_to.active_element.find_elements(By.CSS_SELECTOR, ".marks"):
            break
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert (
        text_of(browser, "tr[data-index='1'] button bdi") in browser.switch_to.active_element.text
    )
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert text_of(browser, "#chosen-title") == "poly decay 0/80"
    browser.switch_to.active_element.send_keys(Keys.END)
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert text_of(browser, "#chosen-title") == "diverged"
    assert "the loss is nan at step 7" in text_of(browser, "#chosen-facts")
    settled(browser)
    browser.switch_to.active_element.send_keys(Keys.HOME)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert text_of(browser, "#chosen-title") == ORIGINAL


def test_a_point_is_chosen_by_a_click(browser: WebDriver, shown: Any) -> None:
    shown("curve", width=1440, height=900)
    place = browser.execute_script(
        "const chart = document.getElementById('tradeoff-chart'); chart.scrollIntoView();"
        "const {xaxis, yaxis} = chart._fullLayout; const box = chart.getBoundingClientRect();"
        "return [box.left + xaxis._offset + xaxis.d2p(310),"
        "box.top + yaxis._offset + yaxis.d2p(0.4)]"
    )
    actions = ActionChains(browser)
    pointer: Any = actions.w3c_actions.pointer_action
    pointer.move_to_location(*map(round, place))
    actions.perform()  # which forgets what was to be done
    hover = WebDriverWait(browser, 5).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, "#tradeoff-chart .hoverlayer text")
    )
    told = "".join(str(each.get_property("textContent")) for each in hover)
    assert "const sparsity 0.9" in told
    assert "zipped .tflite: 310 bytes" in told
    assert "median of 3, 0.3 to 0.5" in told
    pointer.click()
    actions.perform()
    assert text_of(browser, "#chosen-title") == "const sparsity 0.9"


def test_axes_names_and_sizes_of_the_tradeoff(browser: WebDriver, shown: Any) -> None:
    shown("curve")

    def axes() -> tuple[str, str, str, int]:
        found = browser.execute_script(
            "const chart = document.getElementById('tradeoff-chart').layout;"
            "return [chart.xaxis.type || 'linear', chart.yaxis.type || 'linear',"
            "chart.xaxis.title.text, chart.annotations.length]"
        )
        return (found[0], found[1], found[2], found[3])

    assert axes() == ("linear", "linear", "zipped .tflite, bytes", 5)
    for id in ("log-error", "log-size", "names"):
        one(browser, f"#{id}").click()
    assert axes() == ("log", "log", "zipped .tflite, bytes", 0)
    set_value(browser, "size", 2, "change")
    assert axes()[2] == "zipped .h5, bytes"
    drawn = "return document.getElementById('tradeoff-chart').data.flatMap(each => each.x)"
    assert set(browser.execute_script(drawn)) == {2000, 1280, 800, 600, 620}
    bars = "return document.querySelectorAll('#tradeoff-chart .errorbar').length"
    assert browser.execute_script(bars) == 4


@pytest.mark.parametrize("clicked", [[], ["log-error"], ["log-size"], ["log-error", "log-size"]])
def test_pick_and_choice_are_marked_where_they_are(
    browser: WebDriver, shown: Any, clicked: list[str]
) -> None:
    shown("curve")
    for id in clicked:
        one(browser, f"#{id}").click()
    set_value(browser, "tolerance", 50)
    for name, size, error in (("poly decay 0/90", 300, 0.13), ("const sparsity 0.9", 310, 0.4)):
        browser.execute_script(
            "[...document.querySelectorAll('#attempts tbody button')]"
            ".find(each => each.textContent.includes(arguments[0])).click()",
            name,
        )
        ring, frame, *points = browser.execute_script(
            "const chart = document.getElementById('tradeoff-chart');"
            "const {xaxis, yaxis} = chart._fullLayout; const box = chart.getBoundingClientRect();"
            "const at = (x, y) => [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(y)];"
            "return [...[...chart.querySelectorAll('.shapelayer path')].map(each => {"
            "const {x, y, width, height} = each.getBoundingClientRect();"
            "return [x - box.x + width / 2, y - box.y + height / 2, width, height]}),"
            "at(300, 0.13), at(arguments[0], arguments[1])]",
            *(size, error),
        )
        assert ring == pytest.approx([*points[0], 24, 24], abs=1)
        assert frame == pytest.approx([*points[1], 32, 32], abs=1)


def test_the_curve_of_a_regression(browser: WebDriver, shown: Any) -> None:
    shown("curve")
    settled(browser)
    traces = (
        "return document.getElementById('prediction-chart').data.map(each => [each.name, each.y])"
    )
    truth, original, mine = browser.execute_script(traces)
    assert (truth[0], original[0], mine[0]) == ("test data", "original", "this attempt")
    np.testing.assert_allclose(truth[1], CURVE[1][:, 0], rtol=1e-4)
    np.testing.assert_allclose(mine[1], CURVE[1][:, 0] + 0.2, rtol=1e-4)
    assert not one(browser, "#samples").is_displayed()
    for chart, count in (("curves", 2), ("updates", 1), ("tensors", 2), ("histogram", 2)):
        assert len(chart_data(browser, chart, "type")) == count


def test_classes_are_counted_and_shown_as_images(browser: WebDriver, shown: Any) -> None:
    results = shown("classes")
    one(browser, "#attempts tbody tr[data-index='1'] th button").click()
    settled(browser)
    counts = browser.execute_script(
        "return document.getElementById('prediction-chart').data[0].text"
    )
    labels = np.random.default_rng(0)
    labels.random((90, 12, 12, 1), "float32")
    truth = labels.integers(0, 3, 90)
    predicted = results["half"].y_pred.argmax(-1)
    for row in range(3):
        for column in range(3):
            number = int(((truth == row) & (predicted == column)).sum())
            assert counts[row][column] == (str(number) if number else "")
    images = browser.find_elements(By.CSS_SELECTOR, "#images li")
    assert len(images) == 32
    wrong = [each.get_attribute("class") == "wrong" for each in images]
    assert wrong == sorted(wrong, reverse=True)
    assert sum(wrong) == 10
    assert "taken for" in str(images[0].get_property("textContent"))
    drawn = "return getComputedStyle(document.querySelector('.thumb')).backgroundImage.slice(0, 25)"
    assert browser.execute_script(drawn).startswith('url("data:image/png;base')


def test_hostile_names_are_texts(browser: WebDriver, shown: Any) -> None:
    shown("hostile")
    settled(browser)
    assert names_shown(browser) == [ORIGINAL, *HOSTILE]
    for place, name in enumerate(HOSTILE, 1):
        one(browser, f"#attempts tbody tr[data-index='{place}'] th button").click()
        assert one(browser, "#chosen-title bdi").get_property("textContent") == name
        assert f"no .tflite: {name}" in str(
            one(browser, "#chosen-facts").get_property("textContent")
        )
    settled(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, "body script")) == 3
    assert browser.find_elements(By.CSS_SELECTOR, "img, textarea, body b:not(li > b)") == []
    written = browser.execute_script(
        "return [...document.querySelectorAll('#tradeoff-chart .annotation-text')]"
        ".map(each => each.textContent)"
    )
    assert "<script>alert(1)</script>" in written
    assert "$x^2$ <b>b" in " ".join(written)


SCHEMES = {"Light": "rgb(255, 255, 255)", "Dark": "rgb(20, 23, 27)"}


def test_the_scheme_can_be_chosen(browser: WebDriver, shown: Any) -> None:
    shown("curve", scheme="dark")
    ink = "return document.getElementById('tradeoff-chart').layout.font.color"
    dark = browser.execute_script(ink)
    for name, paper in SCHEMES.items():
        one(browser, f".scheme button[data-scheme={name.lower()}]").click()
        assert paper_of(browser) == paper
        assert (browser.execute_script(ink) == dark) == (name == "Dark")


def test_nothing_moves_when_the_charts_come(browser: WebDriver, shown: Any) -> None:
    browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {
            "source": "window.shifts = 0; new PerformanceObserver(list => list.getEntries()"
            ".forEach(each => { if (!each.hadRecentInput) window.shifts += each.value }))"
            ".observe({type: 'layout-shift', buffered: true});"
        },
    )
    for width in (390, 1440):
        shown("curve", width=width, height=844)
        settled(browser)
        assert browser.execute_script("return window.shifts") < 0.02


def test_many_attempts_are_laid_out_in_portions(browser: WebDriver, shown: Any) -> None:
    results = shown("large")
    assert len(names_shown(browser)) == 60
    assert text_of(browser, "#count") == "1,000 of 1,000"
    one(browser, "#attempts th button[data-key=error]").click()
    best = [each.name for each in results.sorted_by("error")]
    assert names_shown(browser) == best[:60]
    browser.execute_script("document.querySelector('.table').scrollTop = 1e9")
    WebDriverWait(browser, 10).until(lambda _: len(names_shown(browser)) >= 120)
    assert names_shown(browser)[:120] == best[:120]
    one(browser, "#filter").send_keys("attempt 99")
    assert sorted(names_shown(browser)) == sorted(name for name in best if "attempt 99" in name)


def test_runs_side_by_side(
    browser: WebDriver, run_of: Callable[[str], Results], tmp_path: Path
) -> None:
    first, second = run_of("curve"), run_of("classes")
    page = first.report(tmp_path / "two.html", second)
    for width in (390, 1440):
        open_page(browser, page, width=width)
        assert sideways_overflow(browser) <= 0
    settled(browser)
    names = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".pick-name")]
    assert names == [first.best().name, second.best().name]
    set_value(browser, "tolerance", 12)
    names = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".pick-name")]
    assert names == [first.best(max_increase=0.12).name, second.best(max_increase=0.12).name]
    assert len(names_shown(browser)) == len(first) + len(second)
    one(browser, "#filter").send_keys("classes")
    assert names_shown(browser) == [each.name for each in second]
    cards = browser.find_elements(By.CSS_SELECTOR, "article.pick")
    assert len({card.value_of_css_property("border-left-color") for card in cards}) == 2
    assert "different test data" in text_of(browser, "#headline")
    legend = [
        each.text for each in browser.find_elements(By.CSS_SELECTOR, "#tradeoff-chart .legendtext")
    ]
    assert {"curve", "classes"} <= set(legend)
    assert axe_violations(browser) == []
    assert console_errors(browser) == []


def test_times_of_files(browser: WebDriver, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    half = load_results(run)["half"]
    measured = latency_of({"dense": 1.0, "sparse": 1.5}, model="half")
    set_latency(half.folder, 0.25, measured.to_dict())
    set_latency(load_results(run)[0].folder, 0.5, None)
    page = load_results(run).report()
    for width in (390, 1440):
        open_page(browser, page, width=width)
        assert sideways_overflow(browser) <= 0
        assert axe_violations(browser) == []
    one(browser, "button[data-key=latency]").click()
    assert names_shown(browser)[:2] == ["half", ORIGINAL]
    row = browser.find_element(By.CSS_SELECTOR, "#attempts tbody tr")
    assert row.text.endswith("0.250")
    row.find_element(By.TAG_NAME, "button").click()
    settled(browser)
    assert "0.250 ms, 1 thread" in text_of(browser, "#chosen-facts")
    found = browser.find_elements(By.CSS_SELECTOR, "#latency tbody tr")
    rows = [" ".join(each.text.split()) for each in found]
    assert rows[2] == "half, float32, sparse 4,000 900 1.50 ±0 % 1.50 ±0 %"
    words = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#latency-words li")]
    assert words == latency_verdicts(measured)
    browser.find_elements(By.CSS_SELECTOR, "#attempts tbody tr button")[1].click()
    settled(browser)
    assert not one(browser, "#latency").is_displayed()
    assert console_errors(browser) == []


def test_forms_side_by_side(browser: WebDriver, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    half = load_results(run)["half"]
    set_latency(half.folder, 0.25, latency_of({"sparse": 1.5}, model="half").to_dict())
    set_shrunk(half.folder, SHRUNK.to_dict())
    page = load_results(run).report()
    for width in (390, 1440):
        open_page(browser, page, width=width)
        assert sideways_overflow(browser) <= 0
        assert axe_violations(browser) == []
    labels = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#size option")]
    assert labels[-3:] == [f"zipped .{kind}, shrunk" for kind in ("tflite", "keras", "h5")]
    columns = browser.find_elements(By.CSS_SELECTOR, "#attempts th.extra")
    assert not any(each.is_displayed() for each in columns)
    place = len(labels) - 3
    set_value(browser, "size", place, "change")
    settled(browser)
    # Of the sizes of shrunk files only the one that is chosen has a column.
    assert [each.text for each in columns if each.is_displayed()] == [labels[place]]
    assert text_of(browser, ".pick-size") == "250 bytes as zipped .tflite, shrunk"
    assert text_of(browser, ".pick-command code").endswith(" half -o small.tflite --shrink")
    row = next(
        each
        for each in browser.find_elements(By.CSS_SELECTOR, "#attempts tbody tr")
        if "half" in each.text
    )
    row.find_element(By.TAG_NAME, "button").click()
    settled(browser)
    found = browser.find_elements(By.CSS_SELECTOR, "#forms tr")
    rows = [" ".join(each.text.split()) for each in found]
    assert rows[:3] == ["dense sparse shrunk", "Weights 1,000 - 400", "Zipped .h5 1,200 - 700"]
    assert ".tflite, float32 - 4,000 -" in rows
    original = browser.find_elements(By.CSS_SELECTOR, "#attempts tbody tr button")
    next(each for each in original if ORIGINAL in each.text).click()
    settled(browser)
    assert not one(browser, "#forms").is_displayed()
    assert console_errors(browser) == []


NAN = Made("nan", None, math.nan, "training failed: the loss is nan at step 3")
ORIGINAL_ONLY = Made(ORIGINAL, 1000, 0.1, zeros=0)
HALF = Made("half", 500, 0.1)
OLD = {"versions": {"trimgrid": "0.0.1"}}
# What is there, what the page says of it.
BAD: list[tuple[list[Made], dict[str, Any], str]] = [
    ([], {"unfinished": [ORIGINAL, "half"]}, "The original is not finished"),
    ([ORIGINAL_ONLY], {"unfinished": ["half"]}, "No attempt is finished"),
    ([ORIGINAL_ONLY, NAN], {}, "No attempt has a finite error"),
    (
        [Made(ORIGINAL, 1000, math.nan), Made("half", 500, 0.1)],
        {},
        "The original has no finite error",
    ),
    ([ORIGINAL_ONLY, Made("half", 500, 0.1)], {"detailed": False}, "did not record this"),
    ([ORIGINAL_ONLY, Made("half", 500, 0.1)], {}, "The test data can't be read"),
    ([ORIGINAL_ONLY, Made("half", 500, 0.1)], {"test": CURVE}, "No predictions were kept"),
    (
        [ORIGINAL_ONLY, Made("half", 500, 0.1)],
        {"more": {"versions": {"trimgrid": "0.0.1"}}},
        "This run was made by trimgrid 0.0.1",
    ),
    ([Made(ORIGINAL, None, 0.1), Made("half", None, 0.1)], {}, "No attempt has a size"),
]


@pytest.mark.parametrize(("made", "how", "said"), BAD, ids=[said for *_, said in BAD])
def test_what_is_missing_is_said_in_place(
    browser: WebDriver, tmp_path: Path, made: list[Made], how: dict[str, Any], said: str
) -> None:
    run = make_run(tmp_path / "run", made, **how)
    page = load_results(run).report()
    open_page(browser, page)
    settled(browser)
    assert said in str(one(browser, "main").text)
    # What is written without the script is what the script says.
    written = re.search(r'<p class="pick-text">(.*?)</p>', page.read_text())
    assert written
    assert text_of(browser, ".pick-text") == html.unescape(written[1])
    assert names_shown(browser) == [each.name for each in made]
    assert "adam" in text_of(browser, "#how")  # the rest is there
    assert sideways_overflow(browser) <= 0
    assert axe_violations(browser) == []
    assert console_errors(browser) == []
