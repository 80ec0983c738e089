"""A browser for all tests of a process: see `starting`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.browser.page_tools import lacking
from tests.browser.starting import browser_at_hand, started_browser


@pytest.fixture(scope="module")  # a page that stays open draws on beside all later tests
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Chromium, with which no page reaches the network; see `page_tools`."""
    if not browser_at_hand():
        lacking(
            "chromium and chromedriver on PATH",
            "On Debian: apt-get install chromium chromium-driver",
        )
    with started_browser(tmp_path_factory.mktemp("profile")) as started:
        yield started
