"""Chromium, opened pages, and what stands on them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from dynatlas.report import page as report
from support.synthetic_atlas import SyntheticAtlas

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REASON = "" if CHROMIUM else "no Chromium on the path: apt-get install chromium"
if REASON and "CI" in os.environ:
    pytest.fail(f"{REASON} (skipped where CI is not set)", pytrace=False)
in_browser = [
    pytest.mark.skipif(bool(REASON), reason=REASON),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the browser's pipes, closed by the garbage collector
]

ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

# A browser without a graphics card says how slow it is; that is no error of the page.
NOISE = ("GL Driver Message", "willReadFrequently")

# Texts that ran, or broke out of their place, in some page or other.
PAYLOADS = (
    *(
        "<script>{0}</script>",
        "</script><script>{0}</script>",
        "</title><script>{0}</script>",
        "<img src=x onerror={0}>",
    ),
    *(
        '"><img src=x onerror={0}>',
        "'><img src=x onerror={0}>",
        "<svg onload={0}>",
        "<svg/onload={0}>",
        "<body onload={0}>",
    ),
    *(
        "<iframe srcdoc='<script>parent.{0}</script>'>",
        "<iframe src=javascript:parent.{0}>",
        "<details open ontoggle={0}>",
    ),
    *("javascript:{0}", "<a href=javascript:{0}>x</a>", "<a href='data:text/html,<script>{0}</script>'>x</a>"),
    *(
        "<b onmouseover={0}>x</b>",
        "<input autofocus onfocus={0}>",
        "<video><source onerror={0}>",
        "<audio src=x onerror={0}>",
    ),
    *(
        "<math><mtext><script>{0}</script>",
        "<style>@import 'http://example.invalid'</style>",
        "<link rel=stylesheet href=x onerror={0}>",
    ),
    *(
        "--><script>{0}</script>",
        "<!--<script>{0}",
        "]]><script>{0}</script>",
        "*/{0}/*",
        "');{0}//",
        '");{0}//',
        "`;{0}//",
        "${{{0}}}",
    ),
    *(
        "{{{{ {0} }}}}",
        "{{% raw %}}{{{{ 7*7 }}}}",
        "\u2028{0}",
        "\u2029{0}//",
        "\\u003cscript\\u003e{0}",
        "&lt;script&gt;{0}&lt;/script&gt;",
    ),
    *(
        "%3Cscript%3E{0}%3C/script%3E",
        "<scr<script>ipt>{0}</script>",
        "<ScRiPt>{0}</sCrIpT>",
        "<object data=javascript:{0}>",
    ),
    *(
        "<embed src=javascript:{0}>",
        "<form action=javascript:{0}><button>x</button></form>",
        "<base href=//example.invalid/>",
    ),
    *("<meta http-equiv=refresh content='0;url=javascript:{0}'>", "<template><script>{0}</script></template>"),
    *("__proto__", "constructor", "=HYPERLINK({0})", "@ink", "<sub onclick={0}>x</sub><br>"),
)


class Opened:
    """A page of the browser, and what went wrong in it."""

    def __init__(self, page: Any, index: Path) -> None:
        self.page, self.index = page, index
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", self._heard)
        page.on("dialog", lambda dialog: (self.wrong.append("a dialog"), dialog.dismiss()))
        page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(noise in message.text for noise in NOISE):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        here = self.index.parent.as_uri()
        if not request.url.startswith((here, "data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def go(self, view: str) -> Any:
        """Show a view: the first by its address alone, the next by a link within the page."""
        self.page.goto(f"{self.index.as_uri()}#/{view}")
        return self.settled(view)

    def settled(self, view: str) -> Any:
        """The page when it shows this view."""
        self.page.wait_for_function("view => document.body.dataset.shown === view.split('?')[0]", arg=view)
        self.page.wait_for_function(
            "() => !document.querySelector('#view:not([hidden])') || document.querySelector('#view h1')"
        )
        return self.page


def written(atlas: SyntheticAtlas, folder: Path) -> Path:
    """The page of an atlas on the disk."""
    for name, content in report.build_page(atlas).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "report" / "index.html"


def drawn(page: Page) -> int:
    """How many plots are drawn."""
    return page.locator(".plot[data-drawn]").count()
