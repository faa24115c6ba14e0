"""The faces of the folders below live: what others may import, the map in each docstring, and what live mode takes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import ipa

SOURCE = Path(ipa.__file__).parent

FACES = {
    "profiles": """
        Document Figure FileModel Loc Pipeline ProfileError Provenance Published Stage Variant did_you_mean json_schema
        listed load names parse_yaml read_yaml refusal text validate_document
    """,
    "traces": """
        HISTORY_S NAMES PROCESSES SCALE TRACE_VARIABLE Trace TraceError WINDOWS arrivals constant default_path find info
        published read synthesise write
    """,
    "policies": """
        Applied Backend Bounds COSTLY_FIELDS Configuration Controller CoreLimit Decision Entry ExplainedOption
        Explanation Hpa InferLine Ipa Journal Kpa LatencyQuantiles Memory NO_LATENCY Observation OptimisingPolicy Oracle
        PLANNING_PARAMETERS POLICIES PREDICTORS Policy PolicyError Predictor Rate ReplicaCounts ScaleOnly Scaler
        StageConfiguration StageObservation Static SwitchOnly check_configuration check_decision checks create
        create_predictor decision_from_solution describe explain_problem from_line lightest_configuration plugins
        read_journal reads replay_journal to_line
    """,
    "policies.optimiser": """
        Answers ExplainedOption Explanation PROGRAMME_PARAMETERS Problem Programme RUNGS RunnerUp SOLVERS Solution
        SolverError check_installed explain gurobi_licence_expiry planned_batches replicas_for solve
    """,
    "sim": """
        COMPLETED ControlSettings DROPPED Engine EngineError FAILED FloatArray IndexedNormals IntArray LawError LoadView
        NEVER OUTCOMES Opening Planned Records ReplicaRecords ServiceTime SimulatedBackend Simulated StageModel
        UNFINISHED World choose_engine collect_records configured_accuracy configured_cores create_engine
        decisions_table file_digest laws replicas_table requests_table rules simulate_policy stage_model stage_models
        stages_table standard_normals stream streams summarise summary_of violated_seconds
    """,
    "sim.events": "SimPyEngine",
    "sim.compiled": "CompiledEngine StreamedEngine",
}

ENGINE_FREE = {"laws", "load_view", "model", "opening", "records", "rules", "streams", "summary", "tables"}
"""Modules of the simulator that live mode may use: they import no engine."""


def package(folder: str) -> ModuleType:
    if folder == "sim.compiled":
        pytest.importorskip("numba")
    return import_module(f"ipa.{folder}")


@pytest.mark.parametrize("folder", FACES)
def test_a_face_offers_what_it_lists_and_nothing_else(folder: str) -> None:
    face = package(folder)
    assert sorted(face.__all__) == sorted(FACES[folder].split())
    for name in face.__all__:
        assert getattr(face, name) is not None


@pytest.mark.parametrize("folder", FACES)
def test_a_folder_s_docstring_names_every_module_in_it(folder: str) -> None:
    words = set(re.findall(r"\w+", package(folder).__doc__ or ""))
    inside = SOURCE / folder.replace(".", "/")
    modules = {path.stem for path in inside.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in inside.glob("*/__init__.py")}
    assert modules | folders <= words


def test_live_mode_takes_of_the_simulator_what_needs_no_engine() -> None:
    """The import rules see that live imports the face, but not which names of it."""
    module_of = {
        name.name: node.module or name.name
        for node in ast.parse((SOURCE / "sim/__init__.pyi").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    taken = {
        module_of[name.name]
        for path in (SOURCE / "live").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "ipa.sim"
        for name in node.names
    }
    assert taken <= ENGINE_FREE


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from ipa import sim, profiles", ("numpy", "simpy", "numba", "pydantic", "yaml")),
        ("from ipa import policies", ("numpy", "scipy", "pandas", "pydantic", "yaml")),
        ("from ipa.sim import Opening, LoadView, Records, laws, rules, summarise", ("simpy", "numba", "pandas")),
    ],
)
def test_a_face_loads_nothing_heavy(statement: str, absent: tuple[str, ...]) -> None:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(absent) & set(done.stdout.split())
