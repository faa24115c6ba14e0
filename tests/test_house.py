"""The house rules that a tool can check: docstrings, faces, no circles, and the package as installed."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from ipa.policies import POLICIES
from tests import house


@pytest.mark.parametrize("folder", house.folders())
def test_every_module_says_in_its_first_line_what_it_holds(folder: str) -> None:
    """`python -m tests.house` prints these lines: the map of the source, which is written nowhere else."""
    assert [line for line in house.map_of(folder) if line.endswith(" ")] == []


def test_every_name_of_a_face_is_there() -> None:
    for folder in house.folders():
        for name in house.face(folder):
            assert getattr(import_module(folder), name) is not None, (folder, name)


def test_folders_import_of_each_other_only_what_is_on_a_face() -> None:
    """A module is private to its folder and the folders inside it; the examples and the docs stand outside of all."""
    packages = set(house.folders())
    faces = {folder: house.face(folder) for folder in packages}
    found = list(house.imports())
    for page in [house.ROOT / "README.md", *sorted((house.ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            found += house.imports_in(dedent(block), page.name, "")
    assert len(found) > 1000
    assert [
        f"{each.place}: {each.module}.{each.name}" for each in found if not house.is_allowed(each, packages, faces)
    ] == []


ENGINE_FREE = {
    *("graph", "interface", "intervals", "laws", "load_view", "model", "records", "rules", "streams"),
    *("summary", "tables"),
}
"""Modules of the simulator that live mode may use: they import no engine."""


def test_live_mode_takes_of_the_simulator_what_needs_no_engine() -> None:
    """The import rules see that live imports the face, but not which names of it."""
    module_of = {
        name.name: node.module or name.name
        for node in ast.parse((house.PACKAGE / "sim/__init__.pyi").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    taken = {
        module_of[name.name]
        for path in (house.ROOT / "live").rglob("*.py")
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
        (
            (
                "from ipa import live, policies, profiles, sim, studies, traces\n"
                "policies.create_predictor('lstm')\nstudies.many.predictor.KINDS"
            ),
            ("keras", "jax", "sklearn"),
        ),
        ("from ipa.sim import Opening, LoadView, Records, laws, rules, summarise", ("simpy", "numba", "pandas")),
        (
            "import ipa.live.serving.gateway",
            ("aiohttp", "msgspec", "numpy", "orjson", "pydantic", "yaml"),
        ),  # it opens ports first
    ],
)
def test_a_face_loads_nothing_heavy(statement: str, absent: tuple[str, ...]) -> None:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(absent) & set(done.stdout.split())


def test_the_run_of_one_policy_imports_one_and_neither_pandas_nor_plots_nor_a_cluster(tmp_path: Path) -> None:
    arguments = ["simulate", "video", "--policy", "rate", "--quiet"]
    run = f"from ipa.studies.commands import main\nmain({arguments}, standalone_mode=False)"
    program = f"import sys\n{run}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = {"aiohttp", "kubernetes", "numba", "pandas", "plotly", "pyarrow", "scipy"}
    modules = {f"ipa.policies.{place.partition(':')[0]}" for place in POLICIES.places.values()}
    assert not loaded & heavy
    assert loaded & modules == {"ipa.policies.rate", "ipa.policies.ipa"}  # the latter has the base of several


# ---- circles ----


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source and of the rules of its imports."""
    shutil.copytree(house.PACKAGE, tmp_path / "ipa", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(house.ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("policies/optimiser/problem.py", "from ipa.policies.optimiser import explain"),  # a circle in one folder
        ("sim/rules.py", "from ipa.live import backend"),  # upwards
        ("traces/trace.py", "from ipa.profiles import schema"),  # traces stand alone
    ],
)
def test_a_wrong_import_fails_the_lint(copy: Path, module: str, imported: str) -> None:
    assert lint(copy).returncode == 0
    path = copy / "ipa" / module
    path.write_text(path.read_text(encoding="utf-8") + f"\n\n{imported}\n", encoding="utf-8")
    done = lint(copy)
    assert done.returncode == 1
    assert module.removesuffix(".py").rpartition("/")[2] in done.stdout


# ---- as others install it ----

USER = """\
from ipa import Run, Scenario, simulate
from ipa.policies import Configuration, Decision, Memory, Observation, Policy
from ipa.profiles import Pipeline


class Still:
    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(observation.configuration, memory)


def make(pipeline: Pipeline) -> Policy:
    return Still(pipeline)


run: Run = simulate(Scenario(pipeline="video", trace="constant:5", window=((0.0, 20.0),)))
print(run.summary["completed"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that the built wheel is installed in, and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], house.ROOT)
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)],
        folder,
    )
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    return python


def run(command: Sequence[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_a_user_s_program_runs_beside_files_called_like_our_folders(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(USER, encoding="utf-8")
    for name in house.LAYERS:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n", encoding="utf-8")
    assert int(run([str(installed), "program.py"], tmp_path)) > 0
    where = run([str(installed), "-c", "import ipa; print(ipa.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parents[1])


@pytest.mark.long
def test_a_user_s_program_is_type_checked(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(USER, encoding="utf-8")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed), "--cache-dir", "cache"]
    wrong = USER.replace("-> Decision:", "-> int:").replace(
        "return Decision(observation.configuration, memory)", "return 1"
    )
    (tmp_path / "wrong.py").write_text(wrong + "run.summery\n", encoding="utf-8")
    done = subprocess.run([*mypy, "program.py", "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "program.py" not in done.stdout
    assert "Found 2 errors in 1 file (checked 2 source files)" in done.stdout
    assert 'Incompatible return value type (got "Still", expected "Policy")' in done.stdout
    assert '"Run" has no attribute "summery"' in done.stdout
