"""What the doctor finds, in environments made for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ipa.policies.optimiser import SOLVERS, SolverError
from ipa.studies.commands import doctor
from ipa.studies.commands.doctor import lines

TODAY = date(2026, 7, 1)
needs_gurobi = pytest.mark.skipif(find_spec("gurobipy") is None, reason="gurobipy is not installed")


@pytest.fixture(autouse=True)
def no_licence_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own licences."""
    monkeypatch.setattr(doctor, "LICENCE_FILES", ())


def found(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    return doctor.findings(environ or {}, TODAY)


def test_the_findings_are_json_and_a_line_each() -> None:
    made = found()
    assert json.loads(json.dumps(made)) == made
    assert tuple(made["solvers"]) == tuple(SOLVERS)
    assert tuple(made["engines"]) == ("simpy", "compiled")
    assert made["engines"]["simpy"] == {"ready": True, "version": metadata.version("simpy"), "note": "the engine"}
    counted = 2 + sum(len(made[kind]) for kind in ("engines", "solvers", "extras", "programs", "files"))
    assert len(list(lines(made))) == counted


def test_what_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    made = found()
    assert made["solvers"]["highs"] == {
        "ready": False,
        "version": None,
        "note": "pip install '.[highs]' in the checkout",
    }
    assert made["solvers"]["gurobi"]["note"] == "pip install '.[gurobi]' in the checkout"
    assert made["engines"]["compiled"]["note"] == "pip install '.[compiled]' in the checkout"
    assert made["extras"] == {}
    assert "solver  highs      missing  pip install '.[highs]' in the checkout" in list(lines(made))


def test_extras_are_those_of_the_package_but_for_its_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    required = [
        "click>=8.1",
        "plotly>=6.0; extra == 'report'",
        "no-such-package>=1; extra == 'live'",
        "ruff>=0.8; extra == 'lint'",
    ]
    versions = {"plotly": "6.1", "ipa-pipelines": "1.0"}

    def version(package: str) -> str:
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(metadata, "requires", lambda _: required)
    monkeypatch.setattr(metadata, "version", version)
    assert found()["extras"] == {
        "live": {
            "ready": False,
            "version": None,
            "note": "for live mode and validation; pip install '.[live]' in the checkout",
        },
        "report": {"ready": True, "version": None, "note": "plotly 6.1"},
    }


def test_a_program_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = found()["programs"]["prometheus"]
    wanted = "for ipa live run --set controller.source=prometheus; Debian: apt-get install prometheus"
    assert (missing["ready"], missing["note"]) == (False, wanted)
    program = tmp_path / "prometheus"
    program.touch(0o755)
    assert found()["programs"]["prometheus"] == {"ready": True, "version": None, "note": str(program)}


def test_files_that_the_environment_names_are_looked_for(tmp_path: Path) -> None:
    there, gone = tmp_path / "config", tmp_path / "gone"
    there.write_text("")
    files = found({"KUBECONFIG": f"{gone}{os.pathsep}{there}", "IPA_TRACE": str(gone)})["files"]
    assert (files["KUBECONFIG"]["ready"], files["IPA_TRACE"]["ready"]) == (True, False)
    assert files["IPA_TRACE"]["note"] == f"{gone}: no such file"
    assert found()["files"]["KUBECONFIG"] == {"ready": False, "version": None, "note": "not set"}


@needs_gurobi
@pytest.mark.parametrize(
    ("text", "ready", "note"),
    [
        ("TYPE=NODE\nEXPIRATION=2026-07-01\n", True, "expires 2026-07-01"),
        ("TYPE=NODE\nEXPIRATION=2026-06-30\n", False, "expired 2026-06-30"),
        ("TOKENSERVER=licences.example\n", None, "from a server, which was not asked"),
        ("TYPE=NODE\n", None, ""),
    ],
)
def test_a_licence_file_tells_when_it_expires(tmp_path: Path, text: str, ready: bool | None, note: str) -> None:
    path = tmp_path / "gurobi.lic"
    path.write_text(text)
    finding = found({"GRB_LICENSE_FILE": str(path)})["solvers"]["gurobi"]
    assert finding["ready"] is ready
    assert finding["note"] == (f"licence {path}: {note}" if note else f"licence {path}")


@needs_gurobi
def test_a_licence_of_a_server_is_not_asked_for(tmp_path: Path) -> None:
    finding = found({"GRB_WLSACCESSID": "x"})["solvers"]["gurobi"]
    assert (finding["ready"], finding["note"]) == (None, "the licence comes from a server, which was not asked")
    missing = found({"GRB_LICENSE_FILE": str(tmp_path / "none")})["solvers"]["gurobi"]
    assert (missing["ready"], missing["note"]) == (False, f"GRB_LICENSE_FILE: no such file: {tmp_path / 'none'}")


@needs_gurobi
def test_the_licence_of_pip_tells_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.policies.optimiser.gurobi_licence_expiry", lambda: date(2027, 11, 29))
    finding = found()["solvers"]["gurobi"]
    assert finding["ready"]
    assert finding["note"].startswith("size-limited licence: 2,000 variables")
    assert finding["note"].endswith("expires 2027-11-29")

    def expired() -> None:
        raise SolverError("solver='gurobi': no valid licence, or it has expired")

    monkeypatch.setattr("ipa.policies.optimiser.gurobi_licence_expiry", expired)
    assert found()["solvers"]["gurobi"]["ready"] is False
