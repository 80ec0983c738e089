"""How fast the page of a run answers, by the number of attempts, and what it weighs.

Each interaction is done 9 times; its time ends when the browser has shown the next frame. The
browser is headless and draws without a graphics card.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.quiet import Quiet
from benchmarks.reporting import Requirement, Row, Study
from tests.browser.page_tools import open_page
from tests.browser.starting import started_browser
from tests.fabricated import make_large_run
from trimgrid.runs.results import load_results

ATTEMPTS = (12, 100, 1000)
_REPEATS = 9
_MOST_SECONDS = 0.1
_MOST_BYTES = 6e6
# What is done, with `i` the number of the repeat.
INTERACTIONS = {
    "tolerance": "enter('tolerance', [1, 10, 50, 100, 200, 5, 20, 2, 80][i], 'input')",
    "choose a row": "document.querySelectorAll('#attempts tbody tr')[1 + i].click()",
    "sort": "document.querySelectorAll('#attempts thead button')[i].click()",
    "filter": "enter('filter', ['1', '12', 'att', 'x', '9', '', '3', '33', ''][i], 'input')",
    "size": "enter('size', i % 3, 'change')",
    "logarithmic": "document.getElementById('log-error').click()",
    "scheme": "document.querySelectorAll('.scheme button')[1 + (i % 2)].click()",
}
_SCRIPT = """
const done = arguments[0];
const enter = (id, value, event) => {
  const place = document.getElementById(id);
  place.value = String(value);
  place.dispatchEvent(new Event(event, { bubbles: true }));
};
const frame = () => new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)));
(async () => {
  const times = [];
  for (let i = 0; i < REPEATS; i++) {
    await frame();
    const before = performance.now();
    ACTION;
    await frame();
    times.push((performance.now() - before) / 1000);
    await new Promise((rested) => setTimeout(rested, 400)); // the charts of details come later
  }
  done(times);
})();
"""


def measure(quick: bool, peer_cache: Path) -> Study:
    """Measure pages of 12, 100 and 1,000 attempts."""
    quiet = Quiet()
    rows = [_of_page(attempts, quiet) for attempts in (ATTEMPTS[:1] if quick else ATTEMPTS)]
    largest = rows[-1]
    requirements = [
        Requirement(
            f"{name} of the largest page, s", float(largest[f"{name}, s"] or 0), _MOST_SECONDS
        )
        for name in INTERACTIONS
    ]
    requirements.append(Requirement("bytes of a page", float(largest["bytes"] or 0), _MOST_BYTES))
    return Study(
        title="The page: medians of the time from an interaction to the next frame",
        settings={"repeats": _REPEATS, "graphics": "software", "quiet": quiet.note()},
        rows=rows,
        requirements=requirements,
    )


def _of_page(attempts: int, quiet: Quiet) -> Row:
    with tempfile.TemporaryDirectory(prefix="trimgrid-page-") as folder:
        results = load_results(make_large_run(Path(folder, "run"), attempts - 1))
        began = time.perf_counter()
        page = results.report()
        seconds = time.perf_counter() - began
        profile = Path(folder, "profile")
        profile.mkdir()
        with started_browser(profile) as browser:
            browser.set_script_timeout(120)
            began = time.perf_counter()
            open_page(browser, page, 1440, 900)
            opened = time.perf_counter() - began
            row: dict[str, str | float | None] = {
                "attempts": attempts,
                "bytes": page.stat().st_size,
                "written, s": seconds,
                "opened, s": opened,
            }
            for name, action in INTERACTIONS.items():
                script = _SCRIPT.replace("ACTION", action).replace("REPEATS", str(_REPEATS))
                times = quiet.measure(lambda script=script: browser.execute_async_script(script))  # type: ignore[misc]
                row[f"{name}, s"] = statistics.median(times)
    return row
