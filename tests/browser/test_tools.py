"""The tools of the browser tests find what they are there to find, and only that."""

from __future__ import annotations

import http.server
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.browser.page_tools import (
    AXE,
    REQUIRED,
    axe_violations,
    console_errors,
    lacking,
    open_page,
    requests_made,
    screenshot,
    sideways_overflow,
)

READY = "<script>document.documentElement.dataset.ready = 'true'</script>"
LATER = "<script>setTimeout(() => document.documentElement.dataset.ready = 'true', 300)</script>"


def page(folder: Path, body: str = "", ready: str = READY) -> Path:
    path = folder / "a page & more.html"
    path.write_text(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Page</title></head>"
        f"<body><main><h1>Page</h1>{body}</main>{ready}</body></html>",
        encoding="utf-8",
    )
    return path


def asked(browser: WebDriver, script: str) -> Any:
    return browser.execute_script(f"return {script}")


def test_a_page_that_is_all_right(browser: WebDriver, tmp_path: Path) -> None:
    dot = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    (tmp_path / "style.css").write_text("h1 { color: black }")
    body = (
        f"<img alt='a dot' src='{dot}'><link rel='stylesheet' href='style.css'>"
        "<script>console.log('said'); console.warn('warned');"
        "fetch(URL.createObjectURL(new Blob(['text'])))</script>"
    )
    open_page(browser, page(tmp_path, body, LATER))
    assert console_errors(browser) == []
    assert requests_made(browser) == []
    assert sideways_overflow(browser) == 0
    assert axe_violations(browser) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<script>console.error('it broke')</script>", "it broke"),
        ("<script>missing()</script>", "missing is not defined"),
        ("<script>Promise.reject(new Error('refused'))</script>", "refused"),
        ("<script src='none.js'></script>", "ERR_FILE_NOT_FOUND"),
    ],
)
def test_errors_are_found(browser: WebDriver, tmp_path: Path, body: str, message: str) -> None:
    open_page(browser, page(tmp_path, body))
    (found,) = console_errors(browser)
    assert message in found
    open_page(browser, page(tmp_path, body))
    open_page(browser, page(tmp_path))
    assert console_errors(browser) == [], "those of an earlier page"


@pytest.mark.parametrize(
    ("body", "url"),
    [
        ("<img alt='' src='http://example.org/a.png'>", "http://example.org/a.png"),
        ("<script src='https://example.org/a.js'></script>", "https://example.org/a.js"),
        ("<script>fetch('https://example.org/a').catch(() => 0)</script>", "https://example.org/a"),
        ("<script>new WebSocket('ws://example.org/a')</script>", "ws://example.org/a"),
        ("<style>@import 'http://example.org/a.css'</style>", "http://example.org/a.css"),
        ("<iframe title='a' src='http://example.org/'></iframe>", "http://example.org/"),
    ],
)
def test_requests_are_found(browser: WebDriver, tmp_path: Path, body: str, url: str) -> None:
    open_page(browser, page(tmp_path, body))
    assert requests_made(browser) == [url]
    open_page(browser, page(tmp_path, body))
    open_page(browser, page(tmp_path))
    assert requests_made(browser) == [], "those of an earlier page"


def test_no_page_reaches_a_network(browser: WebDriver, tmp_path: Path) -> None:
    reached: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"127.0.0.1:{server.server_port}"
        body = (
            f"<script>fetch('http://{address}/a', {{mode: 'no-cors'}}).finally("
            "() => document.documentElement.dataset.ready = 'true')</script>"
        )
        open_page(browser, page(tmp_path, body, ready=""))
        server.shutdown()
        thread.join()
    assert requests_made(browser) == [f"http://{address}/a"]
    assert reached == []


@pytest.mark.parametrize(("width", "height"), [(320, 568), (1280, 800), (2560, 1440)])
def test_overflow_is_found_at_the_size_that_was_asked_for(
    browser: WebDriver, tmp_path: Path, width: int, height: int
) -> None:
    open_page(browser, page(tmp_path), width, height)
    assert asked(browser, "[innerWidth, innerHeight]") == [width, height]
    assert sideways_overflow(browser) == 0
    body = "<style>body { margin: 0 }</style><div style='width: 1300px; height: 9px'></div>"
    open_page(browser, page(tmp_path, body), width, height)
    assert sideways_overflow(browser) == max(0, 1300 - width)


def test_the_scheme_is_that_which_was_asked_for(browser: WebDriver, tmp_path: Path) -> None:
    for scheme, dark in (("dark", True), ("light", False)):
        open_page(browser, page(tmp_path), scheme="dark" if dark else "light")
        assert asked(browser, "matchMedia('(prefers-color-scheme: dark)').matches") is dark, scheme


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("<img src='data:,'>", "image-alt (critical)"),
        ("<p style='color: #aaa; background: #fff'>pale</p>", "color-contrast (serious)"),
        ("<button></button>", "button-name (critical)"),
    ],
)
def test_what_is_inaccessible_is_found(
    browser: WebDriver, tmp_path: Path, body: str, rule: str
) -> None:
    open_page(browser, page(tmp_path, body))
    (found,) = axe_violations(browser)
    assert found.startswith(f"{rule}: ")
    assert axe_violations(browser, impact=["minor"]) == []


def test_what_matters_less_is_found_where_it_is_asked_for(
    browser: WebDriver, tmp_path: Path
) -> None:
    open_page(browser, page(tmp_path, "<h4>Three levels down</h4>"))
    assert axe_violations(browser) == []
    (found,) = axe_violations(browser, impact=["moderate"])
    assert found.startswith("heading-order (moderate): ")


def test_a_page_that_is_never_ready_is_an_error(browser: WebDriver, tmp_path: Path) -> None:
    path = page(tmp_path, "<script>console.error('half way')</script>", ready="")
    with pytest.raises(TimeoutException, match=r"not ready after 0\.5 s.*half way"):
        open_page(browser, path, seconds=0.5)


def test_pictures_of_the_page_and_of_the_viewport(browser: WebDriver, tmp_path: Path) -> None:
    body = "<style>* { margin: 0 }</style><div style='height: 3000px'></div>"
    open_page(browser, page(tmp_path, body), 400, 300)
    for full, least, most in ((False, 300, 300), (True, 3000, 3100)):
        screenshot(browser, tmp_path / "page.png", full)
        width, height = struct.unpack(">II", (tmp_path / "page.png").read_bytes()[16:24])
        assert 380 <= width <= 400  # without the bar to scroll with
        assert least <= height <= most


def test_what_is_lacking_is_skipped_or_fails(
    monkeypatch: pytest.MonkeyPatch, browser: WebDriver, tmp_path: Path
) -> None:
    assert AXE.parts[-3:] == ("node_modules", "axe-core", "axe.min.js")
    monkeypatch.setattr("tests.browser.page_tools.AXE", tmp_path / "none.js")
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"No axe-core\. Run `make browser`"):
        axe_violations(browser)
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=r"No axe-core\. Run `make browser`"):
        axe_violations(browser)
    with pytest.raises(pytest.fail.Exception, match=r"No thing\. Buy one\."):
        lacking("thing", "Buy one.")
