"""Chromium, opened pages, and hostile texts."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

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

# Warnings of a browser without a graphics card, which are no errors of the page.
NOISE = ("GL Driver Message", "willReadFrequently")

# Known texts for script injection.
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


class OpenedPage:
    """An open page of the browser, with its errors in ``wrong``."""

    def __init__(self, page: Any, index: Path) -> None:
        self.page, self.index = page, index
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", self._record_console)
        page.on("dialog", lambda dialog: (self.wrong.append("a dialog"), dialog.dismiss()))
        page.on("request", self._record_request)

    def _record_console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(noise in message.text for noise in NOISE):
            self.wrong.append(f"{message.type}: {message.text}")

    def _record_request(self, request: Any) -> None:
        here = self.index.parent.as_uri()
        if not request.url.startswith((here, "data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def go(self, view: str) -> Any:
        """Open a view and return the page."""
        self.page.goto(f"{self.index.as_uri()}#/{view}")
        return self.settled(view)

    def settled(self, view: str) -> Any:
        """Wait until the page shows this view, and return the page."""
        self.page.wait_for_function("view => document.body.dataset.shown === view.split('?')[0]", arg=view)
        self.page.wait_for_function(
            "() => !document.querySelector('#view:not([hidden])') || document.querySelector('#view h1')"
        )
        return self.page


def write_page(atlas: SyntheticAtlas, folder: Path) -> Path:
    """Write the page of an atlas to a folder, and return its path."""
    for name, content in report.build_page(atlas).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "report" / "index.html"
