"""How long the explorer's page takes from a change of the question to the drawn answer, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from threading import Thread
from urllib.parse import urlencode

from ipa.studies.explore import Explorer
from ipa.studies.many.systems import BASELINES
from tests.programs.benchmarks.tables import Column, Table, Value
from tests.studies.browser import browser
from tests.studies.explore.conftest import visit

ASKED = ((1, 1, 20), (len(BASELINES), 1, 10), (len(BASELINES), 5, 10))
"""Policies, seeds, and how many changes."""

CHANGE = """new Promise(done => {
  const label = [...document.querySelectorAll("#controls label")].find(each => each.textContent.startsWith("scale "));
  const input = document.getElementById(label.htmlFor), react = Plotly.react;
  let answered = 0, drawn = 0;
  Plotly.react = async (...figure) => {
    await react(...figure);
    drawn = performance.now();
  };
  const rest = () => {
    if (performance.now() - Math.max(answered, drawn) < QUIET) return setTimeout(rest, 20);
    Plotly.react = react;
    done(Math.max(answered, drawn) - began);
  };
  new MutationObserver((_, observer) => {
    observer.disconnect();
    answered = performance.now();
    rest();
  }).observe(document.body, {attributeFilter: ["data-answered"]});
  const began = performance.now();
  input.value = "SCALE";
  input.dispatchEvent(new Event("change", {bubbles: true}));
})"""
"""Changes the load; gives the milliseconds until the answer stands there and its figures in view are drawn."""

QUIET_MS = 200
"""Nothing more is drawn once nothing was for this long."""


def explorer() -> Table:
    """From a change of the load's scale to the drawn answer."""
    return Table(
        name="explorer",
        title="The explorer in Chromium: from a change of the load of 20 minutes to the drawn answer",
        columns=(
            Column("policies", "policies", "d"),
            Column("seeds", "seeds", "d"),
            Column("changes", "changes", "d"),
            Column("median_ms", "median ms", ".0f"),
            Column("most_ms", "most ms", ".0f"),
        ),
        rows=tuple(_rows()),
        notes=("Server, workers and browser share the cores.",),
    )


def _rows() -> Iterator[dict[str, Value]]:
    server = Explorer()
    Thread(target=server.serve_forever, daemon=True).start()
    with browser() as shown:
        shown.size(1300, 900)
        for policies, seeds, changes in ASKED:
            policy = [("policy", each) for each in BASELINES[:policies]]
            visit(shown, server, urlencode([("from", "video"), *policy, ("seeds", str(seeds))]))
            took = [
                shown.run(CHANGE.replace("QUIET", str(QUIET_MS)).replace("SCALE", f"{1 + each / 1000:g}"))
                for each in range(-1, changes)
            ][1:]
            yield {
                "policies": policies,
                "seeds": seeds,
                "changes": changes,
                "median_ms": median(took),
                "most_ms": max(took),
            }
    server.shutdown()
    server.close()
