"""An explorer that runs, its page in a browser, and how tests speak to both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ipa.studies.explore import Explorer
from tests.studies.browser import Browser, browser

WRONG = f"{Path(__file__).with_name('policies.py')}:"
"""The policies that go wrong, before their names."""

WATCHED = """
for (const name of ["error", "warn"]) {
  const before = console[name];
  console[name] = (...said) => { errors.push(said.join(" ")); before(...said); };
}
addEventListener("securitypolicyviolation", event => errors.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
"""What a page must not do unseen: complain, or break its own policy of what it may load."""

ALL = 6000
"""A height of the screen at which all figures are in view, and so are drawn."""


@pytest.fixture(scope="package")
def explorer() -> Iterator[Explorer]:
    pytest.importorskip("plotly")
    server = Explorer(jobs=2)
    Thread(target=server.serve_forever, daemon=True).start()
    for number in range(2):  # a page waits for seconds only, and a process that starts may take longer
        asked = {"tab": "warm", "number": number, "question": {"what": "video", "policies": ["ipa", "rate"]}}
        server.answer(asked)
        server.coarse(asked)
    yield server
    server.shutdown()
    server.close()


@pytest.fixture(scope="package")
def shown() -> Iterator[Browser]:
    with browser() as found:
        found.call("Page.addScriptToEvaluateOnNewDocument", source=WATCHED)
        found.size(1300, 900)
        yield found


def send(
    explorer: Any, method: str, path: str, body: Any = None, *, without: str = "", **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of the answer to a request as the page sends it, but for what is said otherwise."""
    usual = {
        "Host": explorer.host,
        "Origin": f"http://{explorer.host}",
        "Cookie": f"{explorer.cookie}={explorer.token}",
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection = HTTPConnection(explorer.host, timeout=60)
    text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in usual.items():
            if name != without:
                connection.putheader(name, value)
        if text is not None and "Content-Length" not in usual and without != "Content-Length":
            connection.putheader("Content-Length", str(len(text)))
        connection.endheaders(text)
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        connection.close()


def visit(shown: Browser, explorer: Explorer, hash_: str = "") -> None:
    """Open the explorer's address, with a question behind it, and wait for its answer."""
    shown.call("Page.navigate", url="about:blank")
    shown.call("Page.navigate", url=explorer.address() + (f"#{hash_}" if hash_ else ""))
    shown.until("document.body && document.body.dataset.answered")


def answered(shown: Browser, text: str) -> None:
    """Wait until the page shows the answer of a question whose address has this text."""
    shown.until(f"document.body.dataset.answered.includes({json.dumps(text)})")


def enter(shown: Browser, name: str, text: str, page: str = "document") -> None:
    """Type a text into the control of that name, a key of the scenario or any other, and leave it."""
    script = f"""{{
      const labels = ["#controls label", "label"].flatMap(which => [...{page}.querySelectorAll(which)]);
      const label = labels.find(each => each.textContent.startsWith("{name} "));
      const input = {page}.getElementById(label.htmlFor);
      input.value = {json.dumps(text)};
      input.dispatchEvent(new Event("change", {{bubbles: true}}));
    }}"""
    shown.run(script)
