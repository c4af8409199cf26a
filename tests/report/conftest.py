"""A page of a synthetic atlas, and Chromium to open it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from support.browser import ARGUMENTS, CHROMIUM, OpenedPage, write_page
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas


@pytest.fixture(scope="module")
def browser(processes: None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def atlas() -> SyntheticAtlas:
    return synthetic_atlas()


@pytest.fixture(scope="module")
def index(atlas: SyntheticAtlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(atlas, tmp_path_factory.mktemp("page"))


@pytest.fixture
def opened(browser: Browser, index: Path) -> Iterator[Callable[..., OpenedPage]]:
    """Open the page in a browser with these settings; at the end, nothing may have gone wrong in it."""
    contexts, pages = [], []

    def open_(at: Path = index, **settings: Any) -> OpenedPage:
        contexts.append(browser.new_context(**({"viewport": {"width": 1200, "height": 1000}} | settings)))
        pages.append(OpenedPage(contexts[-1].new_page(), at))
        return pages[-1]

    yield open_
    for context in contexts:
        context.close()
    assert [wrong for page in pages for wrong in page.wrong] == []
