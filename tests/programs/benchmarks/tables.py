"""What a benchmark gives: a table that can be printed and kept as JSON; and the machine it was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Printed

Value = str | int | float | None

PACKAGES = ("numpy", "numba", "simpy")
"""Those whose versions move the figures."""


@dataclass(frozen=True)
class Column:
    """A key of the rows, its heading, and how its values are printed, as for `format`."""

    key: str
    heading: str
    form: str = ""

    def text(self, row: dict[str, Value]) -> str:
        """The row's value as printed; nothing where it has none."""
        value = row.get(self.key)
        return "" if value is None else format(value, self.form)


@dataclass(frozen=True)
class Table:
    """Rows by column key."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Value], ...]
    notes: tuple[str, ...] = ()

    def print(self, console: Console) -> None:
        """Print it: texts to the left, numbers to the right."""
        printed = Printed(title=self.title, box=SIMPLE_HEAD, title_justify="left")
        for column in self.columns:
            is_text = any(isinstance(row.get(column.key), str) for row in self.rows)
            printed.add_column(column.heading, justify="left" if is_text else "right")
        for row in self.rows:
            printed.add_row(*(column.text(row) for column in self.columns))
        console.print(printed)
        for note in self.notes:
            console.print(f" {note}")
        console.print()

    def as_json(self) -> dict[str, Any]:
        """The table as JSON has it."""
        return asdict(self)


def machine() -> dict[str, Value | dict[str, str]]:
    """What the figures depend on: processor, cores, system, Python and a few packages."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
    }


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


LEAST_S = 2.0
"""On a shared processor, calls of a few milliseconds take now half, now twice as long, for a second on end."""


def cpu_s(call: Callable[[], object], repeats: int) -> float:
    """The median processor time of some calls: of at least `repeats`, and of short ones as many as take `LEAST_S`."""
    spent_s: list[float] = []
    while len(spent_s) < repeats or sum(spent_s) < LEAST_S:
        before_s = process_time()
        call()
        spent_s.append(process_time() - before_s)
    return median(spent_s)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
