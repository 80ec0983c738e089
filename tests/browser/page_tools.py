"""What a test asks of a page in a browser: errors, overflow, requests, accessibility, pictures."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"
REQUIRED = "TRIMGRID_REQUIRE_BROWSER"


def lacking(what: str, remedy: str) -> NoReturn:
    """Skip the test, or fail where the environment asks for browser tests, and say what to do."""
    reason = f"No {what}. {remedy}"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)")
    pytest.skip(reason)


def open_page(
    browser: WebDriver,
    path: Path,
    width: int = 1280,
    height: int = 800,
    scheme: Literal["light", "dark"] = "light",
    seconds: float = 20.0,
) -> None:
    """Open a file in a viewport of so many CSS pixels and wait until `<html data-ready="true">`.

    Errors and requests of earlier pages are forgotten. Raises `TimeoutException`, with the errors
    of the page, where it is not ready within so many seconds.
    """
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)  # type: ignore[no-untyped-call]
    browser.get(path.absolute().as_uri())
    ready = "return document.documentElement.dataset.ready === 'true'"
    try:
        WebDriverWait(browser, seconds, poll_frequency=0.05).until(
            lambda _: browser.execute_script(ready)
        )
    except TimeoutException as error:
        raise TimeoutException(
            f"{path.name} is not ready after {seconds} s. Its errors: {console_errors(browser)}"
        ) from error


def console_errors(browser: WebDriver) -> list[str]:
    """The errors on the console since the page was opened, or since the last call."""
    entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]


def requests_made(browser: WebDriver) -> list[str]:
    """The addresses asked for since the page was opened, or since the last call.

    What is on the disk (file:) or within the page (data:, blob:) does not count.
    """
    found = []
    for entry in browser.get_log("performance"):  # type: ignore[no-untyped-call]
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            found.append(event["params"]["request"]["url"])
        elif event["method"] == "Network.webSocketCreated":
            found.append(event["params"]["url"])
    return [url for url in found if not url.startswith(("file:", "data:", "blob:", "about:"))]


def sideways_overflow(browser: WebDriver) -> int:
    """The CSS pixels by which the page is wider than its viewport: 0 where all has room."""
    width = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    return int(browser.execute_script(width))


def axe_violations(
    browser: WebDriver, impact: Collection[str] = ("serious", "critical")
) -> list[str]:
    """What axe finds inaccessible on the page: rule, impact and the elements, a line a rule."""
    if not AXE.is_file():
        lacking("axe-core", "Run `make browser`, which needs npm.")
    browser.set_script_timeout(60)
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    result: dict[str, Any] = browser.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document, {resultTypes: ['violations']})"
        ".then(found => done(found), error => done({error: String(error)}))"
    )
    assert "error" not in result, result["error"]
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: "
        + ", ".join(str(node["target"]) for node in rule["nodes"])
        for rule in result["violations"]
        if rule["impact"] in impact
    ]


def screenshot(browser: WebDriver, path: Path, full: bool = True) -> None:
    """Write the whole page, or what is in the viewport, as a PNG."""
    options: dict[str, Any] = {"format": "png", "captureBeyondViewport": full}
    if full:
        size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        options["clip"] = {**size, "scale": 1}
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", options)
    path.write_bytes(base64.b64decode(picture["data"]))
