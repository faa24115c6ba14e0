"""A row of the tables: a command that is wrong, and a user's files and results, in whose folder it is run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from tests.command import PIPELINE, POLICIES
from tests.studies.study.mine import STUDY

TABLE = "stage,variant,accuracy,cores,batch,mean_ms,p99_ms\n"
ROW = "sort,small,84,1,1,50,70\n"
SCENARIO = "schema_version: 1\nkind: scenario\npipeline: mine.yaml\n"
SWEEP = "sweep mine.yaml --trace constant:5:30 --out new"
TUNE = "tune mine.yaml --trace constant:5:30"
RUN = "simulate mine.yaml --trace constant:5:30 --set engine=simpy"
FILES = {
    "mine.yaml": PIPELINE,
    "my.py": POLICIES,
    "study.yaml": STUDY,
    "scenario.yaml": f"{SCENARIO}trace: constant:5:30\nengine: simpy\n",
    "table.csv": f"{TABLE}{ROW}sort,small,84,1,4,160,200\n",
    "load.csv": "second,count\n0,5\n1,5\n",
}


def parquet(**columns: list[int]) -> bytes:
    """The file of a table."""
    import pandas as pd

    content: bytes = pd.DataFrame(columns).to_parquet(None)
    return content


FOREIGN_TABLE = parquet(other=[1])


class Wrong(NamedTuple):
    """A command, what its error has to say, the files that are written before (None: removed), and what is printed all
    the same."""

    command: str
    said: str | tuple[str, ...]
    files: Mapping[str, str | bytes | None] = {}
    code: int = 2
    printed: str = ""


def trace(content: str | bytes, said: str | tuple[str, ...], options: str = "", name: str = "t.csv") -> Wrong:
    """A file of a load."""
    return Wrong(f"simulate mine.yaml --trace {name} {options}", said, {name: content})


def log(second: str, said: str, options: str = "") -> Wrong:
    """An access log whose second line is wrong."""
    line = '192.0.2.7 - - [05/Jan/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5\n'
    return trace(line + second, said, options, "a.log")


def scenario(keys: str, said: str) -> Wrong:
    """A scenario file with these keys after the pipeline."""
    return Wrong("simulate s.yaml", said, {"s.yaml": SCENARIO + keys})


def pipeline(old: str, new: str, said: str) -> Wrong:
    """A pipeline file with a part replaced."""
    assert old in PIPELINE, old
    return Wrong("pipeline check mine.yaml", said, {"mine.yaml": PIPELINE.replace(old, new, 1)})


def table(content: str | bytes, said: str) -> Wrong:
    """A table of latencies."""
    return Wrong("pipeline new new.yaml --from t.csv", said, {"t.csv": content})


def study(old: str, new: str, said: str) -> Wrong:
    """A study file with a part replaced."""
    assert STUDY.count(old) == 1, old
    return Wrong("study study.yaml --jobs 1 --out new", said, {"study.yaml": STUDY.replace(old, new)})


def policy(source: str, said: str, options: str = "") -> Wrong:
    """A user's policy `P`."""
    return Wrong(f"{RUN} --policy p.py:P --out new {options}", said, {"p.py": source})


def start(assignment: str, said: str) -> Wrong:
    """What stands at the start of a stage."""
    stage = "initial.object-detection"
    settings = ("start=configured", f"{stage}.variant=yolov5n", f"{stage}.{assignment}")
    return Wrong(f"simulate video {' '.join(f'--set {each}' for each in settings)}", said)


def decides(body: str, said: str) -> Wrong:
    """A policy that decides so, in line 3."""
    return policy(
        f"class P(object):\n    def __init__(self, pipeline): pass\n    def decide(self, seen, m): {body}\n", said
    )


def predicts(body: str, said: str | tuple[str, ...]) -> Wrong:
    """A predictor that predicts so, in line 3."""
    source = f"class A:\n    reads = ()\n    def predict(self, observation): {body}\n"
    return Wrong(f"{RUN} --set policy.predictor=a.py:A --out new", said, {"a.py": source})


def answers(body: str, said: str) -> Wrong:
    """A policy that answers so, in line 7, where `c` is what stands."""
    head = "from dataclasses import replace\nfrom ipa.policies import Decision\n\nclass P:\n"
    method = f"    def decide(self, seen, m, c=None):\n        c = dict(seen.configuration); {body}\n"
    return policy(f"{head}    def __init__(self, pipeline): pass\n{method}", said)


def forecasts(body: str, said: str) -> Wrong:
    """A predictor with a distribution that answers so, in line 4."""
    head = "from ipa.policies import Forecast\nclass A:\n    reads = ()\n"
    source = f"{head}    def forecast(self, seen, horizon_s): {body}\n"
    return Wrong(f"{RUN} --set policy.predictor=a.py:A --out new", said, {"a.py": source})


def scored(body: str, said: str) -> Wrong:
    """A predictor that is scored and predicts so, in line 3."""
    source = f"class A:\n    reads = ()\n    def predict(self, observation): {body}\n"
    return Wrong("predictor evaluate --predictor a.py:A --to new.csv", said, {"a.py": source})


def prometheus(options: str, said: str, url: str = "http://127.0.0.1:1") -> Wrong:
    """A load from a Prometheus server."""
    return Wrong(f"trace from-prometheus {url} --query x[1m] --to new.csv {options}", said)


def key(assignment: str, said: str) -> Wrong:
    """A key or value of --set."""
    return Wrong(f"{RUN} --set {shlex.quote(assignment)}", said)
