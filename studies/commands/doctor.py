"""`ipa doctor`: checks Python, engines, solvers, extras, programs and configured files, without network."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import click

import ipa
from ipa.studies.commands import printing
from ipa.studies.commands.extras import PROJECT, packages_by_extra
from ipa.studies.commands.options import json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine: engines, solvers, extras, programs and files."""
    all_findings = findings()
    if as_json:
        printing.print_json(all_findings)
        return
    for line in lines(all_findings):
        click.echo(line)


KUBECONFIG = "KUBECONFIG"

PURPOSES = {
    "compiled": "the compiled engine, several times as fast",
    "dask": "sweeps and studies on a Dask cluster",
    "gurobi": "the solver Gurobi",
    "gym": "the control loop as a Gymnasium environment",
    "highs": "the solver HiGHS",
    "kubernetes": "live mode on a cluster, with live",
    "live": "live mode and validation",
    "onnx": "serving and profiling ONNX files",
    "report": "reports and figures",
    "s3": "models in an object store",
    "static": "figures as images, with Chromium",
    "train": "training predictors",
    "tune": "ipa tune",
}
"""The purpose of each extra."""

LICENCE_FILES = ("~/gurobi.lic", "/opt/gurobi/gurobi.lic", "/Library/gurobi/gurobi.lic", "C:/gurobi/gurobi.lic")
"""Where Gurobi looks for a licence that GRB_LICENSE_FILE does not name."""
_SERVED = ("WLSACCESSID", "TOKENSERVER", "CLOUDACCESSID", "CSMANAGER", "COMPUTESERVER")

Finding = dict[str, Any]
"""`ready` (true, false, or null if it cannot be known locally), `version` and `note`."""


def findings(environ: Mapping[str, str] = os.environ, today: date | None = None) -> dict[str, Any]:
    """The findings on this machine, JSON-able; `today` decides whether a licence file has expired."""
    extras = packages_by_extra() if _version(PROJECT) else {}
    return {
        "project": {"version": _version(PROJECT)},
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
        },
        "engines": {"simpy": _package("simpy", "", "the engine"), "compiled": _package("numba", "compiled")},
        "solvers": {
            "exact": _finding(True, _version(PROJECT), "built in"),
            "gurobi": _gurobi(environ, today or date.today()),
            "highs": _package("highspy", "highs"),
        },
        "extras": {extra: _extra(extra, packages) for extra, packages in sorted(extras.items())},
        "programs": {"prometheus": _program("prometheus", "for ipa live run --set controller.source=prometheus")},
        "files": {name: _file(environ.get(name, "")) for name in (KUBECONFIG, ipa.traces.TRACE_VARIABLE)},
    }


def lines(findings: Mapping[str, Any]) -> Iterator[str]:
    """The findings as text, one line each."""
    python = findings["python"]
    yield f"{PROJECT} {findings['project']['version']}"
    yield f"Python {python['version']} ({python['implementation']}), {python['cpus']} cores, {python['platform']}"
    for kind, title in (
        ("engines", "engine"),
        ("solvers", "solver"),
        ("extras", "extra"),
        ("programs", "program"),
        ("files", "file"),
    ):
        for name, finding in findings[kind].items():
            state = {True: "ready", False: "missing", None: "unknown"}[finding["ready"]]
            details = ", ".join(filter(None, (finding["version"], finding["note"])))
            yield f"{title:<7} {name:<10} {state:<8} {details}".rstrip()


def _finding(ready: bool | None, version: str | None, note: str = "") -> Finding:
    return {"ready": ready, "version": version, "note": note}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(package: str, extra: str, note: str = "") -> Finding:
    version = _version(package)
    if version is None:
        return _finding(False, None, f"pip install '.[{extra}]' in the checkout" if extra else f"pip install {package}")
    return _finding(True, version, note or package)


def _extra(extra: str, packages: list[str]) -> Finding:
    """An extra of this installation, with what it requires."""
    versions = {package: _version(package) for package in packages}
    if None in versions.values():
        purpose = f"for {PURPOSES[extra]}; " if extra in PURPOSES else ""
        return _finding(False, None, f"{purpose}pip install '.[{extra}]' in the checkout")
    return _finding(True, None, ", ".join(f"{package} {version}" for package, version in versions.items()))


def _program(name: str, purpose: str) -> Finding:
    """A program on the path."""
    path = shutil.which(name)
    return _finding(path is not None, None, path or f"{purpose}; Debian: apt-get install {name}")


def _file(named: str) -> Finding:
    """Whether the file that an environment variable names exists; it is not read."""
    if not named:
        return _finding(False, None, "not set")
    # KUBECONFIG may name several files; missing ones are skipped.
    is_there = any(Path(path).expanduser().is_file() for path in named.split(os.pathsep))
    return _finding(is_there, None, named if is_there else f"{named}: no such file")


def _gurobi(environ: Mapping[str, str], today: date) -> Finding:
    """The solver and its licence, without asking a licence server."""
    finding = _package("gurobipy", "gurobi")
    if not finding["ready"]:
        return finding
    named = environ.get("GRB_LICENSE_FILE", "")
    files = [named] if named else [os.path.expanduser(path) for path in LICENCE_FILES]
    path = next((Path(file) for file in files if Path(file).is_file()), None)
    if any(f"GRB_{key}" in environ for key in _SERVED):
        return {**finding, "ready": None, "note": "the licence comes from a server, which was not asked"}
    if path is not None:
        return {**finding, **_licence_file(path, today)}
    if named:
        return {**finding, "ready": False, "note": f"GRB_LICENSE_FILE: no such file: {named}"}
    return {**finding, **_licence_of_pip()}


def _licence_file(path: Path, today: date) -> Finding:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return {"ready": False, "note": f"licence {path}: cannot be read: {error.strerror}"}
    if any(re.search(rf"^\s*{key}\s*=", text, re.MULTILINE) for key in _SERVED):
        return {"ready": None, "note": f"licence {path}: from a server, which was not asked"}
    expires = re.search(r"^\s*EXPIRATION\s*=\s*(\d{4}-\d{2}-\d{2})\s*$", text, re.MULTILINE)
    if expires is None:
        return {"ready": None, "note": f"licence {path}"}
    gone = date.fromisoformat(expires[1]) < today
    return {"ready": not gone, "note": f"licence {path}: {'expired' if gone else 'expires'} {expires[1]}"}


def _licence_of_pip() -> Finding:
    """The licence within the package, which only Gurobi itself can read."""
    from ipa.policies import optimiser  # which needs numpy: too slow for --help

    try:
        expires = optimiser.gurobi_licence_expiry()
    except optimiser.SolverError as error:
        return {"ready": False, "note": str(error)}
    limits = "2,000 variables and constraints, 200 variables where quadratic"
    return {"ready": True, "note": f"size-limited licence: {limits}; expires {expires or 'never'}"}
