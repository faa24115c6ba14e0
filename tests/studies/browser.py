"""Pages as a browser shows them: Chromium without a window, spoken to by its DevTools protocol over two pipes.

`python -m tests.studies.browser PAGE FOLDER` writes a page's pictures into a folder, as CONTRIBUTING.md says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

WIDE, NARROW = 1300, 390
"""The widths that pages are looked at: a desktop's and a telephone's [CSS pixels]."""


class Browser:
    """One page in one browser. Every method waits for the browser's answer."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._calls, self._unread = 0, b""
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_ERRORS)
        # The page counts as in view, so that nothing in it waits.
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """The answer to a call of the protocol."""
        self._calls += 1
        message: dict[str, object] = {"id": self._calls, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._next(lambda each: each.get("id") == message["id"])
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, page: Path, *, width: int = WIDE, dark: bool = False) -> None:
        """Open a page on a screen of a width, in a theme; returns once it is loaded."""
        self.size(width, 900)
        self.theme(dark=dark)
        self.call("Page.navigate", url=page.absolute().as_uri())
        self._next(lambda each: each.get("method") == "Page.loadEventFired")

    def size(self, width: int, height: int) -> None:
        """Let the screen have a size."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **screen)

    def theme(self, *, dark: bool) -> None:
        """Let the screen ask for a theme."""
        wanted = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="", features=[wanted])

    def run(self, script: str) -> Any:
        """The value of a script (an expression or a promise) in the page, as JSON."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a condition holds in the page; fail if it does not within a minute."""
        look = f"const look = () => ({condition}) || !left-- ? done({condition}) : setTimeout(look, 20)"
        assert self.run(f"new Promise(done => {{ let left = 3000; {look}; look(); }})"), condition

    def draw_all(self) -> None:
        """Make the screen as high as the page, so that all of its figures are drawn, and wait until they are."""
        for _ in range(2):  # a figure that is drawn may be higher than its place was
            height = self.run("document.documentElement.scrollHeight")
            self.size(self.run("innerWidth"), height)
            self.run(_DRAWN)

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self) -> bytes:
        """The page as PDF, on A4."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True, "printBackground": True}
        return b64decode(self.call("Page.printToPDF", **paper)["data"])

    def _next(self, wanted: Any) -> Mapping[str, Any]:
        """The next message that is wanted; others are dropped."""
        while True:
            while b"\0" not in self._unread:
                found = os.read(self._from, 1 << 20)
                assert found, "the browser has ended"
                self._unread += found
            message, self._unread = self._unread.split(b"\0", 1)
            read = json.loads(message)
            if wanted(read):
                return dict(read)


_ERRORS = """
window.errors = [];
addEventListener("error", event => errors.push(event.message));
addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
"""

_DRAWN = """new Promise((done, fail) => {
  const left = () => [...document.querySelectorAll(".plot:empty")].filter(plot => plot.checkVisibility()).length;
  const wait = () => left() ? setTimeout(look, 20) : requestAnimationFrame(() => setTimeout(done, 50));
  const look = () => errors.length ? fail(errors) : wait();
  look();
})"""


def _pipe() -> tuple[int, int]:
    """The ends of a pipe, neither of them 3 or 4."""
    ends = os.pipe()
    high = fcntl(ends[0], F_DUPFD_CLOEXEC, 10), fcntl(ends[1], F_DUPFD_CLOEXEC, 10)
    for end in ends:
        os.close(end)
    return high


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser of its own, with a profile that vanishes."""
    assert CHROMIUM is not None
    (read_to, to_browser), (from_browser, write_from) = _pipe(), _pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")
        command = [CHROMIUM, *options, f"--user-data-dir={profile}"]

        def wire() -> None:
            """Chromium reads its descriptor 3 and writes its descriptor 4."""
            os.dup2(read_to, 3)
            os.dup2(write_from, 4)

        process = subprocess.Popen(command, preexec_fn=wire, pass_fds=(3, 4), stderr=subprocess.DEVNULL)
        os.close(read_to)
        os.close(write_from)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            os.close(to_browser)
            os.close(from_browser)
            process.terminate()
            process.wait()


def look(page: Path, folder: Path) -> list[Path]:
    """Write how a page looks: on a wide and a narrow screen, light and dark, and printed from a dark screen."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with browser() as shown:
        for width in (WIDE, NARROW):
            for dark in (False, True):
                shown.open(page, width=width, dark=dark)
                shown.draw_all()
                written.append(folder / f"{page.stem}-{width}-{'dark' if dark else 'light'}.png")
                written[-1].write_bytes(shown.picture())
        shown.open(page, dark=True)
        written.append(folder / f"{page.stem}-print.pdf")
        written[-1].write_bytes(shown.printed())
    return written


if __name__ == "__main__":
    for path in look(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
