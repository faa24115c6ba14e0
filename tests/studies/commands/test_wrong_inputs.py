"""Wrong inputs of every command in one table: each is answered with its place, and leaves nothing behind.

A row is run in a folder with a user's files and results (`FILES`, `run`, `both`, `studied`).
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from ipa.policies import TimeLimit
from tests.command import PIPELINE, POLICIES, contents, ipa
from tests.studies.study.mine import STUDY

pytest.importorskip("plotly")

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
RESULTS = (
    "simulate scenario.yaml --out run",
    "compare scenario.yaml --policy ipa --policy static:2 --jobs 1 --out both",
    "study study.yaml --seeds 1 --jobs 1 --out studied",
)
COMPARED = "compare scenario.yaml --policy ipa --policy rate -q --out new"
NO_CLUSTER = {"KUBECONFIG": "/nonexistent/kubeconfig", "HOME": "/nonexistent"}
NOBODY = 65534


def parquet(**columns: list[int]) -> bytes:
    """The file of a table."""
    import pandas as pd

    content: bytes = pd.DataFrame(columns).to_parquet(None)
    return content


FOREIGN_TABLE = parquet(other=[1])


class Wrong(NamedTuple):
    """A command, what its error has to say, and the files that are written before (None: removed)."""

    command: str
    said: str | tuple[str, ...]
    files: Mapping[str, str | bytes | None] = {}
    code: int = 2


def trace(content: str | bytes, said: str, options: str = "", name: str = "t.csv") -> Wrong:
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


def mixed(entries: str, said: str) -> Wrong:
    """A mix at the start of a stage."""
    return Wrong(f"simulate video --set start=configured --set 'initial.object-detection={{{entries}}}'", said)


def decides(body: str, said: str) -> Wrong:
    """A policy that decides so, in line 3."""
    return policy(
        f"class P(object):\n    def __init__(self, pipeline): pass\n    def decide(self, seen, m): {body}\n", said
    )


def predicts(body: str, said: str) -> Wrong:
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


def replayed(source: str, said: str) -> Wrong:
    """A user's policy `P` on a recorded journal."""
    return Wrong("replay run/journal.jsonl --pipeline mine.yaml --policy p.py:P", said, {"p.py": source})


def prometheus(options: str, said: str, url: str = "http://127.0.0.1:1") -> Wrong:
    """A load from a Prometheus server."""
    return Wrong(f"trace from-prometheus {url} --query x[1m] --to new.csv {options}", said)


def key(assignment: str, said: str) -> Wrong:
    """A key or value of --set."""
    return Wrong(f"{RUN} --set {shlex.quote(assignment)}", said)


TRACES = [
    trace("", "t.csv: the file is empty"),
    trace("time\n", "t.csv: no rows below the header"),
    trace("time\n5\n6\n", "t.csv, line 2, column time: 5 may be in any unit: give it as --time-unit, or"),
    trace("time\n-1764000000\n", "t.csv, line 2, column time: -1764000000 may be in any unit: give it as --time-unit,"),
    trace(
        "time\n2026-01-05T10:00:00\n2026-01-05T10:00:01Z\n",
        "t.csv, line 3, column time: '2026-01-05T10:00:01Z' has a zone, but the first time",
    ),
    trace("time\n1764000000\nsoon\n", "t.csv, line 3, column time: 'soon' is not a number"),
    trace(
        "time\n1764000000\n1764000000000\n",
        "t.csv, line 3, column time: 1764000000000 is not a time from 1990 to 2100 in seconds since 1970, as",
    ),
    trace(
        "time,timestamp\n1764000000,1764000000\n",
        "t.csv, line 1: more than one column of times: 'time', 'timestamp'; say which with --time-column",
    ),
    trace("a,b\n1,2\n", "t.csv, line 1: no column of times (timestamp, time, arrival, or with a unit such as"),
    trace("time,b\n1764000000\n", "t.csv, line 2: a row of 1 value under a header of 2: '1764000000'"),
    trace(
        "time\n1764000000\n", "t.csv, line 1: time_column: no column is called 'x'; there are 'time'", "--time-column x"
    ),
    trace(
        "time\n1764000000\n",
        "Invalid value for '--time-unit': 'h'; allowed: s, ms, us, ns, min",
        "--time-unit h",
    ),
    trace(
        "time\n2026-01-05T10:00:00\n",
        "t.csv, line 2, column time: '2026-01-05T10:00:00' is not a number",
        "--time-unit ms",
    ),
    trace(
        "time\n2026-01-05T10:00:00\n",
        "time_zone 'Mars': this machine knows no such zone; give one such as Europe/Berlin",
        "--time-zone Mars",
    ),
    trace(
        "time\n2026-03-29T02:30:00\n",
        "t.csv, line 2, column time: '2026-03-29T02:30:00' does not exist in Europe/Berlin:",
        "--time-zone Europe/Berlin",
    ),
    trace(
        "minute,count\n0,5\n2,5\n", "t.csv, line 3, column minute: 2 stands where minute 1 is due; every minute from"
    ),
    trace("minute,count\n0,5\n1,-5\n", "t.csv, line 3, column count: -5 is negative"),
    trace(
        "second,count,count\n0,5,5\n", "t.csv, line 1: the column 'count' is given twice: 'second', 'count', 'count'"
    ),
    trace("second,count,requests\n0,5,5\n", "t.csv, line 1: more than one column of counts: 'count', 'requests'; keep"),
    trace(
        "second,count\n0,5\n0,5\n", "t.csv, line 3, column second: 0 stands where second 1 is due; every second from"
    ),
    trace(
        "second,count\n0,1e12\n",
        "t.csv, line 2, column count: 1000000000000 is too large: a second has at most 1,000,000,000",
    ),
    trace("second,count\n0,5.5\n", "t.csv, line 2, column count: 5.5 is not a whole number"),
    trace("second,count\n0,\n", "t.csv, line 2, column count: '' is not a number"),
    trace("second;count\n0;5\n", ("t.csv, line 1: no column of times", "values are separated by commas, not by ';'")),
    trace("second\tcount\n0\t5\n", "values are separated by commas, not by '\\t'"),
    trace(b"\xff\xfe\x00\x01time\n", "t.csv, line 1: not UTF-8 text: invalid start byte"),
    trace("arrival_s\n-1\n", "t.csv, line 2, column arrival_s: -1 is negative"),
    trace("arrival_s\nnan\n", "t.csv, line 2, column arrival_s: nan is not a finite number"),
    trace("arrival_s\n1e300\n", "t.csv, line 2, column arrival_s: 1e+300 is not a time from 1990 to 2100 in seconds"),
    log("rubbish\n", "a.log, line 2: not in Common Log Format, HOST IDENT USER [05/Jan/2026:10:00:00"),
    log(
        'h - - [99/Jan/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 5\n',
        "a.log, line 2: '99/Jan/2026:10:00:00 +0100' is not a time from 1990 to 2100",
    ),
    log("", "a.log: an access log says time, unit and zone itself; leave time_column out", "--time-column time"),
    log("", "a.log: an access log says time, unit and zone itself; leave time_unit out", "--time-unit ms"),
    trace("rubbish\n", "a.log, line 1: not in Common Log Format, HOST IDENT USER [05/Jan/2026:10:00:00", name="a.log"),
    trace(
        b"\x1f\x8b\x08\x00zzzz",
        "a.log.gz: damaged or cut off, gz says: Compressed file ended before the",
        name="a.log.gz",
    ),
    trace(
        b"\x28\xb5\x2f\xfdzzzz",
        "a.csv.zst: damaged or cut off, zst says: Truncated compressed stream",
        name="a.csv.zst",
    ),
    trace(b"x", "a.csv.xz: damaged or cut off, xz says: Input format not supported by decoder", name="a.csv.xz"),
    trace(b"BZh9zz", "a.csv.bz2: damaged or cut off, bz2 says: Invalid data stream", name="a.csv.bz2"),
    trace(
        '{"time": 1764000000}\n{"tme": 1764000001}\n',
        "a.jsonl, line 2, column time: is missing",
        name="a.jsonl",
    ),
    trace(
        '{"time": 1764000000}\n{\n',
        "a.jsonl, line 2: not a JSON object: Expecting property name enclosed in double quotes\n",
        name="a.jsonl",
    ),
    trace('{"time": null}\n', "a.jsonl, line 1, column time: null is neither a number nor text", name="a.jsonl"),
    trace("[1]\n", "a.jsonl, line 1: not a JSON object: '[1]'", name="a.jsonl"),
    trace(
        '{"x": 1}\n',
        "a.jsonl, line 1: no column of times (timestamp, time, arrival, or with a unit such",
        name="a.jsonl",
    ),
    trace(
        b"PAR1", "a.parquet: not readable as parquet: Parquet file size is 4 bytes, smaller than the", name="a.parquet"
    ),
    trace("5 x", "a.txt, line 1, column 3: number 2 is 'x': not a number", name="a.txt"),
    trace("hello\n", "a.xyz: unknown suffix '.xyz', and its content is of no known format; supported:", name="a.xyz"),
    Wrong("simulate mine.yaml --trace run", "run: cannot be read: Is a directory"),
    Wrong("simulate mine.yaml --trace gone.csv", "gone.csv: no such file; did you mean 'load.csv'?"),
    Wrong(
        "simulate mine.yaml --trace ''", "trace '': should be a named load or a file; ipa trace list lists the names"
    ),
    Wrong(
        "simulate mine.yaml --trace burtsy",
        "unknown trace 'burtsy': neither a file nor one of bursty, steady-low, steady-high,",
    ),
    Wrong(
        "simulate mine.yaml --trace twitter:bursty",
        "'twitter:bursty' is cut from the real trace, whose file is not known: set the",
    ),
    Wrong(
        "simulate mine.yaml --trace twitter:burtsy", "unknown trace 'twitter:burtsy'; did you mean 'twitter:bursty'?"
    ),
    Wrong(
        "simulate mine.yaml --trace constant:",
        "'constant:': should be constant:RATE or constant:RATE:SECONDS, such as constant:25",
    ),
    Wrong(
        "simulate mine.yaml --trace constant:5:x",
        "'constant:5:x': should be constant:RATE or constant:RATE:SECONDS, such as",
    ),
    Wrong("simulate mine.yaml --trace constant:0", "constant:0: the rate should be a finite number above 0"),
    Wrong("simulate mine.yaml --trace constant:nan", "constant:nan: the rate should be a finite number above 0"),
    Wrong("simulate mine.yaml --trace constant:5:0", "constant:5:0: should last from 1 to 100,000,000 s"),
    Wrong(
        "simulate mine.yaml --trace constant:1e9",
        "trace constant:1e+09: 1,200,000,000,000 requests and 120 decisions need about",
    ),
    Wrong(
        "simulate mine.yaml --trace load.csv --window 0:9",
        "window 0:9: should start at 0 or later, end after its start and end within the",
    ),
    Wrong(
        "simulate mine.yaml --trace load.csv --window 0:1,5:6",
        "window 5:6: should start at 0 or later, end after its start and end within the",
    ),
    Wrong(
        "simulate mine.yaml --trace load.csv --window=-1:1",
        "window -1:1: should start at 0 or later, end after its start and end within the",
    ),
    Wrong(
        "simulate mine.yaml --trace load.csv --window x",
        "window: a window is START:END in seconds, such as 600:1800; given 'x'",
    ),
    Wrong("simulate mine.yaml --trace load.csv --scale 0", "'--scale': '0'; allowed: a finite number above 0"),
    Wrong("simulate mine.yaml --trace load.csv --scale x", "'--scale': 'x'; allowed: a finite number above 0"),
    Wrong(
        "simulate mine.yaml --trace load.csv --scale 1e12",
        "scale 1e+12: a second of 5 requests would have more than the 1,000,000,000 that are allowed",
    ),
    Wrong(
        "simulate mine.yaml --trace load.csv --arrivals x",
        "'--arrivals': 'x'; allowed: poisson, poisson-count, even, clumped",
    ),
    Wrong(
        "simulate mine.yaml --trace load.csv --records some",
        "'--records': 'some'; allowed: all, sample, none; did you mean 'sample'?",
    ),
    Wrong("trace info gone.csv", "gone.csv: no such file; did you mean 'load.csv'?"),
    Wrong(
        "trace info load.csv --window 0:9",
        "window 0:9: should start at 0 or later, end after its start and end within the",
    ),
    Wrong("trace info bursty --seed x", "'--seed': 'x'; allowed: a whole number from 0"),
    Wrong("trace convert load.csv load.txt", "load.txt: unknown suffix '.txt'; supported: .csv, .parquet"),
    Wrong("trace convert load.csv load.csv", "load.csv: already exists; choose another name"),
    Wrong("trace convert load.csv no/x.csv", "no/x.csv: cannot be written: No such file or directory"),
    Wrong(
        "trace convert load.csv x.csv --scale 1e15",
        "scale 1e+15: a second of 5 requests would have more than the 1,000,000,000 that are allowed",
    ),
    Wrong("trace synthesise bursty --to my.py/x.csv", "my.py/x.csv: cannot be written: Not a directory"),
    Wrong("trace synthesise bursty --to mine.yaml", "mine.yaml: unknown suffix '.yaml'; supported: .csv, .parquet"),
]

SCENARIOS = [
    Wrong("simulate", "Missing argument 'PIPELINE|FILE'."),
    Wrong("simulate vidoe", "no pipeline is called 'vidoe'; did you mean 'video'?; shipped: audio-qa,"),
    Wrong("simulate run", "run: cannot be read: Is a directory"),
    Wrong("simulate my.py", "my.py:6: not valid YAML: mapping values are not allowed in this context"),
    Wrong("simulate gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("simulate study.yaml", "study.yaml:2: kind: should be 'pipeline' or 'scenario'; given 'study'"),
    Wrong("simulate s.yaml", "s.yaml: the file is empty", {"s.yaml": ""}),
    Wrong("simulate s.yaml", "s.yaml:1: should be a mapping of keys to values; given a list", {"s.yaml": "[1]"}),
    Wrong("simulate s.yaml", "s.yaml:2: not valid YAML: did not find expected node content", {"s.yaml": "a: [\n"}),
    Wrong("simulate s.yaml", "s.yaml: not a text file (UTF-8)", {"s.yaml": b"\xff\xfe"}),
    Wrong(
        "simulate s.yaml", "s.yaml:1: schema_version: should be 1; given 9", {"s.yaml": SCENARIO.replace("1", "9", 1)}
    ),
    Wrong(
        "simulate s.yaml",
        "s.yaml:2: kind: should be 'pipeline' or 'scenario'; given 'scenrio'",
        {"s.yaml": SCENARIO.replace("scenario", "scenrio")},
    ),
    Wrong(
        "simulate s.yaml",
        "s.yaml:3: pipeline: gone.yaml: cannot be read: No such file or directory",
        {"s.yaml": SCENARIO.replace("mine", "gone")},
    ),
    scenario("seed: one\n", "s.yaml:4: seed: should be a whole number; given 'one'"),
    scenario("seed: 1\nseed: 2\n", "s.yaml:5: the key 'seed' is already given, at line 4"),
    scenario("trase: x\n", "s.yaml:4: trase: unknown key; did you mean 'trace'?; allowed: schema_version, kind,"),
    scenario(
        "policy: []\n",
        "s.yaml:4: policy: should be the name of a policy, or a mapping with its name and parameters; given []",
    ),
    scenario(
        "policy: {name: ipa, bta: 3}\n",
        "s.yaml:4: policy: unknown parameter 'bta' of policy 'ipa' (did you mean 'beta'?);",
    ),
    scenario("trace: gone.csv\n", "s.yaml:4: trace: gone.csv: no such file; did you mean 'load.csv'?"),
    scenario("window: 5\n", "s.yaml:4: window: should be START:END in seconds, or a list of these; given 5"),
    scenario(
        "window: [[0, 5], [3]]\n", "s.yaml:4: window: a window is START:END in seconds, such as 600:1800; given [[0,"
    ),
    scenario("kubernetes: 3\n", "s.yaml:4: kubernetes: should be a mapping of keys to values; given 3"),
    scenario("sla_s: 1e999\n", "s.yaml:4: sla_s: should be a finite number; given inf"),
    scenario(
        "guards: {max_replicas: 1e3}\n",
        "s.yaml:4: guards.max_replicas: should be a whole number in digits alone, below",
    ),
    scenario(
        "limits: {max_replicas: {sart: 2}}\n", "s.yaml:4: limits.max_replicas: 'mine' has no stage 'sart'; it has sort"
    ),
    scenario(
        "drop_limits_s: {sart: 3}\n", "s.yaml:4: drop_limits_s: 'mine' has no stage 'sart'; it has sort; did you mean"
    ),
    scenario(
        "start: configured\ninitial: {sart: {variant: small}}\n",
        "s.yaml:5: initial: 'mine' has no stage 'sart'; it has sort; did you mean 'sort'?",
    ),
    scenario(
        "start: configured\ninitial: {sort: {variant: smal}}\n",
        "initial: stage 'sort': unknown variant 'smal' (did you mean 'small'?); allowed:",
    ),
    scenario("<<: *x\n", "s.yaml:4: not valid YAML: found undefined alias"),
    scenario("trace: !!python/object/apply:os.system ['echo hi']\n", "s.yaml:4: tags are not supported; given"),
    scenario("---\ntrace: x\n", "s.yaml:4: not valid YAML: should be one document, but '---' begins another"),
    scenario("? [1]\n: 3\n", "s.yaml:4: a key should be plain text"),
    key("foo", "--set foo: should be KEY=VALUE, such as policy.beta=0.5"),
    key("=3", "--set =3: should be KEY=VALUE, such as policy.beta=0.5"),
    key("a..b=3", "--set a..b=3: should be KEY=VALUE, such as policy.beta=0.5"),
    key("intervals=3", "intervals: unknown key; did you mean 'interval_s'?; allowed: schema_version, kind,"),
    key("interval_s=", "interval_s: should be a number; given nothing"),
    key("interval_s=0", "interval_s: should be above 0; given 0"),
    key("interval_s=1e-9", "interval_s 1e-09: makes 30,000,000,000 decisions in 30 s; allowed: at most"),
    key("seed=1.5", "seed: should be a whole number; given 1.5"),
    key("seed.x=1", "seed.x: 'seed' holds a single value, not keys"),
    key("seed=[1", "--set seed=[1: not valid YAML: did not find expected ',' or ']'"),
    key(
        "seed=99999999999999999999",
        "seed: should be a whole number in digits alone, below 9223372036854775808; given 1e+20",
    ),
    key("history_s=0", "history_s: should be at least 1; given 0"),
    key("sla_s=0", "sla_s: should be above 0; given 0"),
    key("stop_s=.inf", "stop_s: should be a finite number; given inf"),
    key("hop_s=-1", "hop_s: should be at least 0; given -1"),
    key("start_up_s=-1", "start_up_s: should be at least 0; given -1"),
    key("start_up_sigma=5", "start_up_sigma: should be at most 2; given 5"),
    key("window=3", "window: should be START:END in seconds, or a list of these; given 3"),
    key("drop=all", "drop: should be 'request', 'batch' or 'deadline'; given 'all'"),
    key("engine=fast", "engine: should be 'auto', 'simpy' or 'compiled'; given 'fast'"),
    key("max_surge=0", "max_surge: it and max_unavailable are both 0, so that no rollout could ever move"),
    key("limit_cores=1.5", "limit_cores: should be a whole number; given 1.5"),
    key("guards.x=3", "guards.x: unknown key; allowed: min_replicas, max_replicas"),
    key("guards.hysteresis=2", "guards.hysteresis: should be at most 1; given 2"),
    key("guards.flap_budget=0", "guards.flap_budget: should be at least 1; given 0"),
    key("guards.wait_for_starting=2", "guards.wait_for_starting: should be true or false; given 2"),
    key("limits.nodes=3", "limits.nodes: unknown key; did you mean 'node_cores'?; allowed: node_cores,"),
    key("limits.node_cores=[]", "limits.node_cores: should be a whole number of cores from 1, or a list of these"),
    key("limits.node_cores=x", "limits.node_cores: should be a whole number of cores from 1, or a list of these"),
    key("limits.utilisation=1.2", "limits.utilisation: should be at most 1; given 1.2"),
    key("limits.ruled_out.sort=[smal]", "limits: sort has no variant 'smal'"),
    key("limits.min_replicas.sart=2", "limits.min_replicas: 'mine' has no stage 'sart'"),
    key("guards.min_replicas=99999", "guards.min_replicas: should be at most 10000; given 99999"),
    key("initial.sort.variant=small", "initial: needs start: configured; start is warm"),
    key("policy=", "policy: should be the name of a policy, or a mapping with its name and parameters; given nothing"),
    key("policy.alpha=x", "alpha='x' must be a finite number of at least 0"),
    key("policy.solver=cplx", "solver='cplx' is none of: exact, gurobi, highs"),
    key("policy.quantile=2", "quantile=2 must be a finite number above 0 and below 1"),
    key("policy.predictor=lsmt", "unknown predictor 'lsmt' (did you mean 'lstm'?); allowed: auto, ewma, holt, lstm,"),
    key("policy.predictor=gone.py:A", "gone.py: cannot be read: No such file or directory"),
    key("policy.predictor=3", "predictor=3 must be a name, a mapping, or have forecast() or predict()"),
    key(
        "policy.beta=!!python/name:os.system",
        "--set policy.beta=!!python/name:os.system: tags are not supported; given",
    ),
]

PIPELINES = [
    Wrong("pipeline check gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("pipeline check run", "run: cannot be read: Is a directory"),
    Wrong("pipeline check scenario.yaml", "scenario.yaml:2: kind: should be 'pipeline'; given 'scenario'"),
    Wrong("pipeline check mine.yaml", "mine.yaml: the file is empty", {"mine.yaml": ""}),
    pipeline("kind: pipeline", "kind: pipelin", "mine.yaml:2: kind: should be 'pipeline'; given 'pipelin'"),
    pipeline(
        "name: mine",
        "name: Mine Own",
        "mine.yaml:3: name: should be a simple name of lower-case letters, digits and single",
    ),
    pipeline(
        "{value: 0.8",
        "{value: 800",
        "mine.yaml:15: stages[sort].variants[small].accuracy.value: should be at most 1; given 800",
    ),
    pipeline(
        "from: guess}",
        "from: gess}",
        "mine.yaml:15: stages[sort].variants[small].accuracy.from: no provenance is called",
    ),
    pipeline("stages:", "stage:", "mine.yaml:7: stage: unknown key; did you mean 'stages'?; allowed: schema_version,"),
    pipeline(
        "batch: 2,", "batch: 1,", "mine.yaml:20: stages[sort].variants[small].figures[1].throughput_rps: should be at"
    ),
    pipeline(
        "p99_s: 0.1,",
        "p99_s: 0.01,",
        "mine.yaml:19: stages[sort].variants[small].figures[0].p99_s: should be at least the",
    ),
    pipeline(
        "mean_s: 0.3,",
        "mean_s: .nan,",
        "mine.yaml:21: stages[sort].variants[small].figures[2].mean_s: should be a finite",
    ),
    pipeline(
        "scale_only: {}",
        "scale_only: {low: {sort: smll}}",
        "mine.yaml:23: published.scale_only.low.sort: sort has no variant 'smll'; did you",
    ),
    pipeline(
        "{sort: 2}", "{srt: 2}", "mine.yaml:23: published.switch_only_replicas.srt: no stage is called 'srt'; did you"
    ),
    pipeline(
        "accuracy: product",
        "accuracy: prod",
        "mine.yaml:23: published.accuracy: should be 'product', 'sum', 'average' or 'pairs'; given",
    ),
    pipeline("pinned_s: 2", "pinned_s: -2", "mine.yaml:12: stages[sort].sla.pinned_s: should be above 0; given -2"),
    pipeline(
        "{pinned: 1,",
        "{pinned: 7,",
        "mine.yaml:17: stages[sort].variants[small].base_cores.pinned: should be a profiled",
    ),
    pipeline("task: sorts", "task: [sorts", "mine.yaml:10: not valid YAML: did not find expected ',' or ']'"),
    table("", "t.csv: no rows: should have a header and a row for each measurement"),
    table("a,b\n1,2\n", "t.csv:1: the column accuracy is missing; given: a, b"),
    table(TABLE + "sort,small,84,1,1,50\n", "t.csv:2: has 6 cells; should have at least 7, as the header says"),
    table(
        TABLE + "sort,small,84,1,1,fast,70\n",
        "t.csv:2: mean_ms: should be a number above 0 and at most 86400000; given 'fast'",
    ),
    table(
        TABLE + "sort,small,84,1,1,50,20\n",
        "t.csv:2: p99_ms: small of sort: should be at least the mean, 0.05 s; given 0.02",
    ),
    table(TABLE + "sort,small,84,1,0,50,70\n", "t.csv:2: batch: should be a whole number from 1 to 4096; given '0'"),
    table(
        TABLE + "sort,small,184,1,1,50,70\n",
        "t.csv:2: accuracy: should be a number above 0 and at most 100; given '184'",
    ),
    table(TABLE + ROW + ROW, "t.csv:3: small of sort: cores 1, batch 1 is given twice, first in line 2"),
    table(
        TABLE + ROW + "sort,small,85,1,2,60,90\n",
        "t.csv:3: accuracy: should be the same in all rows of small of sort, 0.84 as in line",
    ),
    table(
        TABLE + "sort,small,84,1,2,50,70\n",
        "t.csv:2: small of sort: batch size 1 is missing, which every variant needs; given: 2",
    ),
    table(
        TABLE + "sort,small,84,1.5,1,50,70\n", "t.csv:2: cores: should be a whole number from 1 to 4096; given '1.5'"
    ),
    table(
        TABLE + ROW + "sort,small,84,1,2,40,60\n",
        "t.csv:3: mean_ms: small of sort: should not fall with the batch size: with cores 1",
    ),
    table(TABLE + "sort,!!!,84,1,1,50,70\n", "t.csv:2: variant: should be a name with letters or digits; given '!!!'"),
    table(
        TABLE + "sort,small,0.8,1,1,50,70\nsort,big,84,1,1,50,70\n",
        "t.csv:3: accuracy: should be a fraction (at most 1) in all rows or per cent (above",
    ),
    table(TABLE.replace("mean_ms", "mean") + ROW, "t.csv:1: mean: lacks its unit; call it mean_s or mean_ms"),
    table(b"\xff\xfea", "t.csv: not a text file (UTF-8)"),
    Wrong("pipeline new new.yaml", "Missing option '--from'."),
    Wrong("pipeline new mine.yaml --from table.csv", "mine.yaml: already exists; --overwrite replaces it"),
    Wrong("pipeline new my.py/new.yaml --from table.csv", "my.py/new.yaml: cannot be written: my.py is not a folder"),
    Wrong("pipeline new new.yaml --from gone.csv", "gone.csv: cannot be read: No such file or directory"),
    Wrong("pipeline new new.yaml --from run/requests.parquet", "run/requests.parquet: not a text file (UTF-8)"),
    Wrong("pipeline new table.csv --from table.csv --overwrite", "table.csv: should end in .yaml"),
    Wrong("profile show vidoe", "no pipeline is called 'vidoe'; did you mean 'video'?; shipped: audio-qa,"),
    Wrong("profile show video --stage x", "video has no stage 'x'; allowed: object-detection, image-classification"),
    Wrong("profile show video --to my.py/x.html", "my.py/x.html: cannot be written: my.py is not a folder"),
]

POLICY_ROWS = [
    policy("class P: pass\n", "p.py:1: P has no method 'decide'"),
    policy("P = 3\n", "p.py:1: P has no method 'decide'"),
    policy("x = 1\n", "p.py: no class 'P'; classes there: none"),
    policy("x = \n", "p.py:1: syntax error: invalid syntax"),
    policy("\0", "p.py:1: syntax error: source code string cannot contain null bytes"),
    policy("import nonesuch\n", "p.py:1: ModuleNotFoundError: No module named 'nonesuch'"),
    policy("raise SystemExit(0)\n", "p.py:1: SystemExit: 0"),
    policy(
        "class P:\n    def decide(self, observation): ...\n", "p.py:1: P.decide should take (self, observation, memory)"
    ),
    policy(
        "class P:\n    def decide(self, seen, memory): ...\n",
        "p.py:1: policy 'p.py:P': __init__ should take (self, pipeline)",
    ),
    policy(
        "class P:\n    def __init__(self, pipeline): exit(3)\n    def decide(self, seen, memory): ...\n",
        "p.py:2: policy 'p.py:P': SystemExit: 3",
    ),
    policy(
        "class P:\n    def __init__(self, pipeline): ...\n    def decide(self, seen, m): ...\n",
        "unknown parameter 'x' of policy 'p.py:P'; allowed: none",
        "--set policy.x=1",
    ),
    decides("return None", "step 0 (at 0 s): p.py:1: decide returned NoneType, not an ipa.policies.Decision"),
    decides("return seen", "step 0 (at 0 s): p.py:1: decide returned Observation, not an ipa.policies.Decision"),
    decides("1 / 0", "step 0 (at 0 s): p.py:3: ZeroDivisionError: division by zero"),
    decides("exit(0)", "step 0 (at 0 s): p.py:3: SystemExit: 0"),
    decides("raise BaseException('x')", "step 0 (at 0 s): p.py:3: BaseException: x"),
    decides("raise GeneratorExit", "step 0 (at 0 s): p.py:3: GeneratorExit\n"),
    decides("return self.decide(seen, m)", "step 0 (at 0 s): p.py:3: RecursionError: maximum recursion depth exceeded"),
    decides("yield", "step 0 (at 0 s): p.py:1: decide returned generator, not an ipa.policies.Decision"),
    decides("\n        while True: ...", "step 0 (at 0 s): p.py:4: no decision within 0.05 s"),
    predicts("return None", "step 0 (at 0 s): a.py:1: A.predict returned None; allowed: requests per second, a"),
    predicts("return 'x'", "step 0 (at 0 s): a.py:1: A.predict returned 'x'; allowed: requests per second, a"),
    predicts("return -1", "step 0 (at 0 s): a.py:1: A.predict returned -1; allowed: requests per second, a"),
    predicts("return True", "step 0 (at 0 s): a.py:1: A.predict returned True; allowed: requests per second, a"),
    predicts("return [1]", "step 0 (at 0 s): a.py:1: A.predict returned [1]; allowed: requests per second, a"),
    predicts("1 / 0", "step 0 (at 0 s): a.py:3: ZeroDivisionError: division by zero"),
    predicts("exit()", "step 0 (at 0 s): a.py:3: SystemExit: None"),
    predicts("\n        while True: ...", "step 0 (at 0 s): a.py:4: no decision within 0.05 s"),
    Wrong(
        f"{RUN} --set policy.predictor=a.py:A",
        "a.py:1: A has no method 'forecast' or 'predict'",
        {"a.py": "class A: pass\n"},
    ),
    Wrong(
        f"{RUN} --set policy.predictor=a.py:A",
        "a.py:1: A.predict should take (self, observation)",
        {"a.py": "class A:\n    def predict(self): ...\n"},
    ),
    Wrong(
        f"{RUN} --set policy.predictor=a.py:A",
        "A.reads is 3; allowed: a tuple of names out of latency, busy_fraction",
        {"a.py": "class A:\n    reads = 3\n    def predict(self, seen): ...\n"},
    ),
    Wrong(f"{RUN} --policy gone.py:P", "gone.py: cannot be read: No such file or directory"),
    Wrong(f"{RUN} --policy my.py", "'my.py' names no class; write my.py:ClassName"),
    Wrong(f"{RUN} --policy my.py:Hodl", "my.py: no class 'Hodl' (did you mean 'Hold'?); classes there: Hold"),
    Wrong(f"{RUN} --policy ipaa", "unknown policy 'ipaa' (did you mean 'ipa'?); allowed: "),
    Wrong(
        f"{RUN} --policy ''", "policy '' must be a name: ipa, foresight, scale-only, switch-only, hpa, kpa, inferline,"
    ),
    Wrong(f"{RUN} --policy ipa:", "policy 'ipa' takes no argument; given: ipa:"),
    Wrong(f"{RUN} --policy static:0", "configuration.sort.replicas=0 must be a whole number of at least 1"),
    Wrong(f"{RUN} --policy static:small:1", "static:small:1 must be variant:batch:replicas for each of: sort"),
    Wrong(f"{RUN} --policy switch-only:x", "replicas 'x' must be whole numbers, one per stage: sort"),
    Wrong(f"{RUN} --policy scale-only:middle", "variants.sort='middle' is none of: small"),
    Wrong("optimise mine.yaml --load nan", "'--load': 'nan'; allowed: a finite number from 0"),
    Wrong(
        "optimise mine.yaml --load 5 --policy static",
        "--policy static: does not use the optimiser, so there is nothing to explain;",
    ),
    Wrong("optimise mine.yaml", "--load: is missing; give the load to plan for, or several with --over FROM:TO"),
    Wrong("optimise mine.yaml --over 5", "--over 5: should be FROM:TO or FROM:TO:STEP in requests per second"),
    Wrong("optimise mine.yaml --over 9:1", "--over 9:1: loads should rise from at least 0, by steps above 0"),
    Wrong("optimise mine.yaml --over 0:1e9", "--over 0:1e9: means 1,000,000,001 loads; allowed: at most 10,000"),
    Wrong("optimise mine.yaml --over 1e13:1e13", "load 1e+13: should be from 0 to 1e+12 requests per second"),
    Wrong("optimise mine.yaml --over 1:9 --policy static", "--policy static: does not use the optimiser"),
    Wrong("optimise mine.yaml --load 5 --frontier --over 1:9", "--over 1:9: takes the place of --load and --frontier"),
    Wrong("optimise mine.yaml --load 5 --report page.html", "--report page.html: draws the plans of --frontier or"),
    Wrong("compare mine.yaml --seeds 0", "'--seeds': '0'; allowed: a whole number from 1"),
    Wrong("compare mine.yaml --jobs x", "'--jobs': 'x'; allowed: a whole number from 1"),
    Wrong(
        "compare mine.yaml --policy ipa --policy switch-onyl",
        "unknown policy 'switch-onyl' (did you mean 'switch-only'?); allowed: ",
    ),
    Wrong(
        "compare scenario.yaml --policy ipa --trace constant:1e9",
        "trace constant:1e+09: 1,200,000,000,000 requests and 120 decisions need about",
    ),
]

PLACED = "step 0 (at 0 s): p.py:4: "
ANSWERS = [
    answers(
        "return Decision({'x': c['sort']}, {})", PLACED + "the configuration names the stages ['x']; the pipeline has"
    ),
    answers("return Decision({}, {})", PLACED + "the configuration names the stages []; the pipeline has ['sort']"),
    answers("return Decision(None, {})", PLACED + "the configuration names the stages None; the pipeline has ['sort']"),
    answers("return Decision({'sort': 3}, {})", PLACED + "stage 'sort': 3 is not an ipa.policies.StageConfiguration"),
    answers(
        "return Decision({'sort': replace(c['sort'], variant='smal')}, {})",
        PLACED + "stage 'sort': unknown variant 'smal' (did you mean 'small'?); allowed: small",
    ),
    answers(
        "return Decision({'sort': replace(c['sort'], batch=99)}, {})",
        PLACED + "stage 'sort': batch 99; allowed for 'small': whole numbers from 1 to 4",
    ),
    answers(
        "return Decision({'sort': replace(c['sort'], replicas=1.5)}, {})",
        PLACED + "stage 'sort': replicas 1.5; allowed: whole numbers from 1 to 10000",
    ),
    answers(
        "return Decision({'sort': replace(c['sort'], replicas=0)}, {})",
        PLACED + "stage 'sort': replicas 0; allowed: whole numbers from 1 to 10000",
    ),
    answers(
        "return Decision({'sort': replace(c['sort'], cores=3)}, {})",
        PLACED + "stage 'sort': 3 cores are not profiled for 'small'; allowed: 1",
    ),
    answers(
        "return Decision({'sort': replace(c['sort'], batch_timeout_s=-1)}, {})",
        PLACED + "stage 'sort': batch_timeout_s -1; allowed: finite seconds from 0",
    ),
    answers("return Decision(c, 3)", PLACED + "memory 3; allowed: a mapping, {} for none"),
    answers(
        "return Decision(c, {'x': {1}})", PLACED + "memory {'x': {1}}; allowed: what JSON can hold: Object of type"
    ),
    answers("return Decision(c, {'x': float('nan')})", PLACED + "memory {'x': nan}; allowed: what JSON can hold"),
    answers("return Decision(c, {}, forecast_rps='x')", PLACED + "forecast_rps 'x'; allowed: a finite number, or None"),
    answers("return Decision(c, {}, objective=3)", PLACED + "objective 3; allowed: a mapping of names to numbers, or"),
    answers(
        "return Decision(c, {}, rung=3)", PLACED + "rung 3, binding None; allowed: text for both, or None for binding"
    ),
    answers("return Decision(c, {}, feasible=1)", PLACED + "feasible 1; allowed: True or False"),
    answers("return Decision(c, {}, notes='x')", PLACED + "notes 'x'; allowed: a tuple of texts"),
    answers(
        "c['sort'].replicas = 3", "step 0 (at 0 s): p.py:7: FrozenInstanceError: cannot assign to field 'replicas'"
    ),
    answers(
        "return Decision(c)", "step 0 (at 0 s): p.py:7: TypeError: Decision.__init__() missing 1 required positional"
    ),
    answers("seen.lod_rps", "step 0 (at 0 s): p.py:7: AttributeError: 'Observation' object has no attribute 'lod_rps'"),
    answers("raise KeyError", "step 0 (at 0 s): p.py:7: KeyError\n"),
    answers("raise StopIteration", "step 0 (at 0 s): p.py:7: StopIteration\n"),
    answers("raise MemoryError", "step 0 (at 0 s): p.py:7: MemoryError\n"),
    answers("assert not c", "step 0 (at 0 s): p.py:7: AssertionError\n"),
    answers("open('gone')", "step 0 (at 0 s): p.py:7: FileNotFoundError: [Errno 2] No such file or directory: 'gone'"),
    predicts("return 10**400", "step 0 (at 0 s): a.py:1: A.predict returned 1000"),
    predicts("return float('inf')", "step 0 (at 0 s): a.py:1: A.predict returned inf; allowed: requests per second, a"),
    predicts("return 1 + 2j", "step 0 (at 0 s): a.py:1: A.predict returned (1+2j); allowed: requests per second, a"),
    predicts("return observation", ("A.predict returned Observation(pipeline='mine'", "...; allowed: requests per")),
    predicts("return observation.stages['x']", "step 0 (at 0 s): a.py:3: KeyError: 'x'"),
    predicts("raise StopIteration", "step 0 (at 0 s): a.py:3: StopIteration\n"),
    forecasts("return None", "step 0 (at 0 s): a.py:2: A.forecast returned None; allowed: a Forecast of requests per"),
    forecasts(
        "return 3", "step 0 (at 0 s): a.py:2: A.forecast returned 3; allowed: a Forecast of requests per second,"
    ),
    forecasts("return Forecast()", "step 0 (at 0 s): a.py:4: TypeError: Forecast.__init__() missing"),
    forecasts(
        "return Forecast(60.0, -1.0)", "step 0 (at 0 s): a.py:2: A.forecast returned Forecast(horizon_s=60.0, point"
    ),
    Wrong(
        f"{RUN} --set policy.predictor=a.py:A",
        "predictor 'a.py:A' needs the parameter k",
        {"a.py": "class A:\n    def __init__(self, k): ...\n    def predict(self, seen): ...\n"},
    ),
    Wrong(
        f"{RUN} --set policy.predictor=a.py:A",
        "a.py:2: predictor 'a.py:A': ZeroDivisionError: division by zero",
        {"a.py": "class A:\n    def __init__(self): 1 / 0\n    def predict(self, seen): ...\n"},
    ),
    key(
        "policy.predictor={name: ewma, wieght: 3}",
        "unknown parameter 'wieght' of predictor 'ewma' (did you mean 'weight'",
    ),
    key("policy.predictor={nam: ewma}", "predictor={'nam': 'ewma'} lacks a name; names: reactive, max, mean, ewma,"),
    key("policy.predictor={name: mean, factor: x}", "factor='x' must be a finite number above 0"),
    key("policy.predictor={name: lstm, model: gone.keras}", "gone.keras: cannot be read: No such file or directory"),
    scored("return None", "a.py:1: A.predict returned None; allowed: requests per second, a finite number of at least"),
    scored("1 / 0", "a.py:3: ZeroDivisionError: division by zero"),
    scored("exit(0)", "a.py:3: SystemExit: 0"),
    scored("return observation.stages['x']", "a.py:3: KeyError: 'x'"),
    replayed(
        "class P:\n    def __init__(self, p): ...\n    def decide(self, seen, m): 1 / 0\n", "p.py:3: ZeroDivisionError"
    ),
    replayed(
        "class P:\n    def __init__(self, p): ...\n    def decide(self, seen, m): exit(0)\n", "p.py:3: SystemExit: 0"
    ),
    replayed(
        "class P:\n    def __init__(self, p): ...\n    def decide(self, s, m): return 3\n",
        "p.py:1: decide returned int",
    ),
    replayed(
        "class P:\n    def __init__(self, p): ...\n    def decide(self, s, m):\n        while True: ...\n",
        "step 0 (at 0 s): p.py:4: no decision within 0.05 s",
    ),
    *(
        Wrong(f"{RUN} --policy {name} --set policy.foo=1", f"unknown parameter 'foo' of policy '{name}'; allowed: ")
        for name in (
            "hpa",
            "kpa",
            "inferline",
            "faro",
            "planner",
            "ray",
            "rate",
            "oracle",
            "scale-only",
            "static",
            "switch-only",
        )
    ),
    Wrong(
        f"{RUN} --policy my.py:Hold --set policy.levl=3",
        "unknown parameter 'levl' of policy 'my.py:Hold' (did you mean",
    ),
    Wrong(
        f"{RUN} --policy 'my.py:Hold level=[1'", "policy 'my.py:Hold level=[1': level=[1: not valid YAML: did not find"
    ),
    Wrong(f"{RUN} --policy 'ipa alpha=1 alpha=2'", "policy 'ipa alpha=1 alpha=2': gives alpha twice"),
    Wrong(f"{RUN} --policy 'ipa label='", "policy: label should be a line of text of at most 80 characters; given ''"),
    Wrong(f"{RUN} --policy 'hpa target=x'", "target='x' must be a finite number above 0 and at most 1"),
    Wrong(f"{RUN} --policy hpa:3", "variants.sort='3' is none of: small"),
]
"""What policies and predictors answer, and what they are given."""

PREDICTORS = [
    Wrong("predictor nonesuch", "no command is called 'nonesuch'; allowed: "),
    Wrong("predictor list x", "Got unexpected extra argument (x)"),
    Wrong("predictor evaluate --predictor lsmt", "unknown predictor 'lsmt' (did you mean 'lstm'?); allowed: auto,"),
    Wrong("predictor evaluate --predictor gone.py:A", "gone.py: cannot be read: No such file or directory"),
    Wrong(
        "predictor evaluate --predictor 'poisson q=1'",
        "unknown parameter 'q' of predictor 'poisson'; allowed: window_s",
    ),
    Wrong("predictor evaluate --trace gone.csv", "gone.csv: no such file; did you mean 'load.csv'?"),
    Wrong("predictor evaluate --windows x", "--windows x: a window is START:END in seconds, such as 600:1800"),
    Wrong("predictor evaluate --windows 0:9999", "window 0:9999: should end after its start and lie within the trace;"),
    Wrong("predictor evaluate --quantile 2", "'--quantile': '2'; allowed: a finite number above 0 and below 1"),
    Wrong("predictor evaluate --interval 0", "'--interval': '0'; allowed: a whole number from 1"),
    Wrong("predictor evaluate --history x", "'--history': 'x'; allowed: a whole number from 1"),
    Wrong("predictor evaluate --horizon 99999", "bursty: nothing to forecast: a forecast needs 120 s before it"),
    Wrong("predictor evaluate --within 1", "'--within': '1'; allowed: a finite number above 0 and below 1"),
    Wrong("predictor evaluate --to x.txt", "x.txt: a table is written as .csv or .md"),
    Wrong("predictor evaluate --predictor mean --to load.csv", "load.csv: already exists; give a new file"),
    Wrong(
        "predictor evaluate --predictor mean --to my.py/x.csv", "my.py/x.csv: cannot be written: my.py is not a folder"
    ),
    Wrong("predictor show", "Missing option '--to'."),
    Wrong(
        "predictor show --predictor mean --to my.py/x.html", "my.py/x.html: cannot be written: my.py is not a folder"
    ),
    Wrong("predictor show --predictor x --to new.html", "unknown predictor 'x' (did you mean 'max'?); allowed: auto,"),
    Wrong(
        "predictor show --predictor mean --windows 5 --to new.html", "--windows 5: a window is START:END in seconds,"
    ),
    Wrong("predictor train", "Missing option '--trace'."),
    Wrong(
        "predictor train --trace gone.csv --model lstm --out new.npz",
        "gone.csv: no such file; did you mean 'load.csv'?",
    ),
    Wrong(
        "predictor train --trace load.csv --model lsmt --out new.npz",
        "'--model': 'lsmt'; allowed: lstm, lstm-quantile,",
    ),
    Wrong(
        "predictor train --trace load.csv --model lstm --out new.txt",
        "--out new.txt: a model of kind lstm is written to",
    ),
    Wrong(
        "predictor train --trace bursty --model quantile-gbm --out my.py/x.npz", "--out my.py/x.npz: cannot be written:"
    ),
    Wrong(
        "predictor train --trace load.csv --model lstm --out new.npz --every 0",
        "'--every': '0'; allowed: a whole number",
    ),
    Wrong(
        "predictor train --trace load.csv --model lstm --out new.npz --epochs 0", "'--epochs': '0'; allowed: a whole"
    ),
    Wrong(
        "predictor train --trace load.csv --model quantile-gbm --out new.npz",
        "a load of 2 s gives 0 samples to train on; at least 100 are needed, each of a history of 120 s and a horizon",
    ),
]

LISTS = [
    Wrong("policy nonesuch", "no command is called 'nonesuch'; allowed: "),
    Wrong("policy list x", "Got unexpected extra argument (x)"),
    Wrong("policy show", "Missing argument 'NAME|FILE:CLASS'."),
    Wrong("policy show ipaa", "unknown policy 'ipaa' (did you mean 'ipa'?); allowed: "),
    Wrong("policy show gone.py:P", "gone.py: cannot be read: No such file or directory"),
    Wrong("policy show my.py", "'my.py' names no class; write my.py:ClassName"),
    Wrong("policy show my.py:Hodl", "my.py: no class 'Hodl' (did you mean 'Hold'?); classes there: Hold"),
    Wrong("policy show p.py:P", "p.py:1: SystemExit: 0", {"p.py": "exit(0)\n"}),
    Wrong("policy show p.py:P", "p.py:1: P has no method 'decide'", {"p.py": "class P: pass\n"}),
    Wrong("profile compare video", "Missing argument 'B'"),
    Wrong("profile compare video vidoe", "no pipeline is called 'vidoe'; did you mean 'video'?"),
    Wrong("profile compare video sum-qa", "video and sum-qa have no figures in common"),
    Wrong("profile compare video video --threshold -1", "'-1'; allowed: a finite number from 0 to 1000"),
    Wrong("profile run", "Missing argument 'PIPELINE|FILE|MODEL_FOLDER'"),
    Wrong("profile run video", "say where its models are: --models FOLDER, or --server URL"),
    Wrong("profile run video --models nowhere", "--models nowhere: no such folder"),
    Wrong("profile run video --longest 0", "'0'; allowed: a finite number from 0.1 to 3600"),
    Wrong("simulate video --set interference=measured", "video has none measured; `ipa profile run --neighbours`"),
    Wrong("simulate video --set interference=measurd", "given 'measurd'; did you mean 'measured'?"),
    Wrong("profile nonesuch", "no command is called 'nonesuch'; allowed: "),
    Wrong("profile list x", "Got unexpected extra argument (x)"),
    Wrong("profile show", "Missing argument 'PIPELINE|FILE'."),
    Wrong("trace nonesuch", "no command is called 'nonesuch'; allowed: "),
    Wrong("trace list x", "Got unexpected extra argument (x)"),
    Wrong("trace info", "Missing argument 'NAME|FILE'."),
    Wrong("trace info run", "run: cannot be read: Is a directory"),
    Wrong("trace info load.csv --to my.py/x.html", "my.py/x.html: cannot be written: my.py is not a folder"),
    Wrong("trace convert load.csv", "Missing argument 'TO'."),
    Wrong("trace convert gone.csv x.csv", "gone.csv: no such file; did you mean 'load.csv'?"),
    Wrong("trace convert load.csv x.csv --window 5", "--window 5: a window is START:END in seconds, such as 600:1800"),
    Wrong("trace synthesise", "Missing argument 'WORKLOAD'."),
    Wrong("trace synthesise bursty", "Missing option '--to'."),
    Wrong("trace synthesise bursty --to load.csv", "load.csv: already exists; choose another name"),
    Wrong("trace synthesise busty --to x.csv", ("unknown trace 'busty'", "did you mean 'bursty'?")),
    Wrong("schema scenrio", "'scenrio'; allowed: pipeline, scenario, study, published; did you mean 'scenario'?"),
    Wrong("schema scenario extra", "Got unexpected extra argument (extra)"),
    Wrong("live nonesuch", "no command is called 'nonesuch'; allowed: "),
    Wrong("trace from-prometheus", "Missing argument 'URL'."),
    Wrong(
        "trace from-prometheus http://127.0.0.1:1 --query x --start 1h --to new.csv", "--query x: has no window such as"
    ),
    prometheus("", "Missing option '--start'."),
    prometheus("--start soon", "soon"),
    prometheus("--start 1h --end 2h", "--end"),
    prometheus("--start 1h --step 1x", "--step '1x' is not a duration such as 30s, 5m, 1h30m or 7d"),
    prometheus("--start 1h --fill x", "'--fill': 'x'"),
    prometheus("--start 1h --timeout 0", "'--timeout': '0'; allowed: a finite number above 0"),
    prometheus("--start 1h --seed -1", "'--seed': '-1'; allowed: a whole number from 0"),
    prometheus("--start 1h --to new.txt", "new.txt: unknown suffix '.txt'; supported: .csv, .parquet"),
    prometheus("--start 1h --to load.csv", "load.csv: already exists; choose another name"),
    prometheus("--start 1h --token-file gone", "gone"),
    prometheus(
        "--start 1h", "the URL of the server should be http:// or https://, a host and, if need be, a", "ftp://x"
    ),
    prometheus("--start 1h", "http://127.0.0.1:1: Connection refused")._replace(code=1),
]
"""Commands that list, show and fetch."""

STUDIES = [
    Wrong("tune mine.yaml", "--minimise or --maximise: give one of them; further ones with --also"),
    Wrong(f"{TUNE} --minimise cost", "--minimise: no outcome 'cost'; allowed: sla_violation_rate"),
    Wrong(f"{TUNE} --minimise changes --slo changes=1", "--slo changes=1: should be OUTCOME<=NUMBER"),
    Wrong(f"{TUNE} --minimise changes --also pas_mean", "--also pas_mean: should be 'minimise OUTCOME'"),
    Wrong(f"{TUNE} --minimise changes --vary policy.alpha=2", "--vary policy.alpha=2: range '2': should be FROM:TO"),
    Wrong(f"{TUNE} --minimise changes --vary interval_s", "--vary interval_s: has no range of its own"),
    Wrong(
        f"{TUNE} --minimise changes --vary seed=1:9:1",
        "--vary seed=1:9:1: seed says what is run, and is the same for all",
    ),
    Wrong(f"{TUNE} --minimise changes --train 0:9", "is drawn by each seed, so that seeds are kept apart"),
    Wrong(f"{TUNE} --minimise changes --out both", "--out both: already holds results; give a new or empty folder"),
    Wrong("study study.yaml", "Missing option '--out'."),
    Wrong("study papper --out new", "no study is called 'papper'; shipped: paper; or give the path of a study file"),
    Wrong("study gone.yaml --out new", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("study scenario.yaml --out new", "scenario.yaml:2: kind: should be 'study'; given 'scenario'"),
    Wrong("study study.yaml --out new --seeds 0", "'--seeds': '0'; allowed: a whole number from 1"),
    Wrong("study study.yaml --out new --pipeline video", "--pipeline video: unknown name; allowed: mine.yaml"),
    study("\nsystems:\n", "\nsistems:\n", "study.yaml:10: sistems: unknown key; did you mean 'systems'?; allowed:"),
    study("pipeline: mine.yaml", "pipeline: []", "study.yaml:4: pipeline: should be text; given []"),
    study("seeds: 2", "seeds: [1]", "study.yaml:6: seeds: should be a whole number; given a list"),
    study(
        'workloads: ["constant:5:40", "constant:9:40"]',
        "workloads: []",
        "study.yaml:5: workloads: should not be empty; given []",
    ),
    study('{policy: "switch-only:1"}', "{}", "study.yaml:12: systems.one.policy: this key is missing"),
    study("title: mine\n", "title: [1]\n", "study.yaml:3: title: should be text; given a list"),
    study(
        "of: ipa,", "off: ipa,", "study.yaml:18: sweeps.weights.off: unknown key; did you mean 'of'?; allowed: title,"
    ),
    study(
        "like: plain", "like: plane", "study.yaml:9: settings.slow: like: unknown name 'plane'; did you mean 'plain'?;"
    ),
    study(
        "policy: ipa}",
        "policy: ipo}",
        "study.yaml:11: systems.ipa: ipa, plain, constant:5:40: unknown policy 'ipo' (did",
    ),
]

OUTPUTS = [
    Wrong(f"{RUN} --out my.py", "--out my.py: is a file; give a new folder"),
    Wrong(f"{RUN} --out run", "--out run: already holds results; give a new or empty folder"),
    Wrong(f"{RUN} --out both", "--out both: already holds results; give a new or empty folder"),
    Wrong(f"{RUN} --out my.py/x", "--out my.py/x: cannot be written:"),
    Wrong(f"{RUN} --out .", "--out .: cannot be replaced as a whole; give a new folder"),
    Wrong(f"{RUN} --out /proc/x", "--out /proc/x: cannot be written: /proc: No such file or directory"),
    Wrong(f"{RUN} --out other", "--out other: contains other files; give a new or empty folder", {"other/x": "1"}),
    Wrong(f"{RUN} --out new --report new", "--report new: is the folder of the results; give another file"),
    Wrong(f"{RUN} --report run", "Invalid value for '--report': 'run' is a folder; allowed: a file"),
    Wrong(f"{RUN} --report my.py/r.html", "--report my.py/r.html: cannot be written: my.py is not a folder"),
    Wrong(f"{RUN} --report no/r.html", "--report no/r.html: cannot be written: the folder no does not exist"),
    Wrong(f"{RUN} --report /proc/x.html", "--report /proc/x.html: cannot be written: /proc: No such file or directory"),
    Wrong("compare scenario.yaml --policy ipa --out my.py", "--out my.py: is a file; give a new folder"),
    Wrong(
        "compare scenario.yaml --policy ipa --out run", "--out run: already holds results; give a new or empty folder"
    ),
    Wrong(
        "compare scenario.yaml --policy ipa --out studied",
        "--out studied: already holds results; give a new or empty folder",
    ),
    Wrong(
        "compare scenario.yaml --policy ipa --out both --set seed=7",
        "--out both: holds the run ipa-1, which is not among those asked for; name its",
    ),
    Wrong(
        "compare scenario.yaml --policy ipa --report no/r.html",
        "--report no/r.html: cannot be written: the folder no does not exist",
    ),
    Wrong("study study.yaml --out my.py", "--out my.py: is a file; give a new folder"),
    Wrong("study study.yaml --out run", "--out run: already holds results; give a new or empty folder"),
    Wrong(
        "study study.yaml --out other",
        "--out other: contains other files; give a new or empty folder",
        {"other/x": "1"},
    ),
]

RESULTS_ROWS = [
    Wrong(
        "report run", "run/requests.parquet: the column 'request' is missing", {"run/requests.parquet": FOREIGN_TABLE}
    ),
    Wrong("report gone", "gone: no such file or folder"),
    Wrong("report my.py", "my.py: not readable as parquet: Parquet magic bytes not found"),
    Wrong("report .", ".: contains no results: manifest.json is missing"),
    Wrong(
        "report studied",
        "studied: the study is not finished; run the same command again to resume it",
        {"studied/finished.sqlite": None},
    ),
    Wrong("report t.parquet", "t.parquet: no key varies in the table", {"t.parquet": FOREIGN_TABLE}),
    Wrong("report run --to my.py/r.html", "--to my.py/r.html: cannot be written: my.py is not a folder"),
    Wrong("report run --to both", "--to both: is a folder; give a file"),
    Wrong("report run --static jpeg", "Invalid value for '--static': 'jpeg'; allowed: png, svg, pdf"),
    Wrong("report run", "run: contains no results: manifest.json is missing", {"run/manifest.json": None}),
    Wrong(
        "report run",
        "run/manifest.json:1: not valid JSON: Expecting property name enclosed in double",
        {"run/manifest.json": "{"},
    ),
    Wrong("report run", "run/manifest.json: should hold a JSON object; given []", {"run/manifest.json": "[]"}),
    Wrong(
        "report run",
        "run/manifest.json: not a text file (UTF-8)",
        {"run/manifest.json": b"\xff"},
    ),
    Wrong(
        "report run",
        "run/manifest.json: schema_version is 9; this program reads 1",
        {"run/manifest.json": '{"schema_version": 9, "kind": "run"}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: kind is 'rnu'; it should be one of run, runs, study, sweep",
        {"run/manifest.json": '{"schema_version": 1, "kind": "rnu"}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: the key 'summary' should hold the summary of the run",
        {"run/manifest.json": '{"schema_version": 1, "kind": "run"}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: summary: the key 'pipeline' is missing",
        {"run/manifest.json": '{"schema_version": 1, "kind": "run", "summary": {"policy": "ipa"}}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: the key 'runs' should list the folders of the runs",
        {"run/manifest.json": '{"schema_version": 1, "kind": "runs", "runs": [3]}'},
    ),
    Wrong(
        "report run",
        "run/requests.parquet: not readable as parquet: Parquet file size is",
        {"run/requests.parquet": b"PAR1"},
    ),
    Wrong(
        "report run", "run/requests.parquet: no such file; the results are not complete", {"run/requests.parquet": None}
    ),
    Wrong(
        "report run",
        "run/decisions.parquet: no such file; the results are not complete",
        {"run/decisions.parquet": None},
    ),
    Wrong(
        "report both",
        "both: the comparison is not finished: 1 of 2 runs are missing, ipa-1 first; run the",
        {"both/ipa-1/manifest.json": None},
    ),
    Wrong(
        "report both",
        "both/ipa-1/requests.parquet: not readable as parquet: Parquet file size is",
        {"both/ipa-1/requests.parquet": b"x"},
    ),
    Wrong(
        "study study.yaml --out studied",
        "studied/manifest.json:1: not valid JSON: Expecting property name enclosed in double",
        {"studied/manifest.json": "{"},
    ),
    Wrong("replay gone --pipeline mine.yaml", "gone: cannot be read: No such file or directory"),
    Wrong("replay run --pipeline mine.yaml", "Invalid value for 'JOURNAL': 'run' is a folder; allowed: a file"),
    Wrong("replay run/journal.jsonl", "Missing option '--pipeline'."),
    Wrong("replay run/journal.jsonl --pipeline video", "the journal is of 'mine' with the stages sort, not of 'video'"),
    Wrong(
        "replay run/journal.jsonl --pipeline mine.yaml --policy x",
        "unknown policy 'x'; allowed: ",
    ),
    Wrong(
        "replay run/journal.jsonl --pipeline mine.yaml --set policy.x=3",
        "unknown parameter 'x' of policy 'ipa'; allowed: predictor, quantile, horizon_s,",
    ),
    Wrong("replay run/requests.parquet --pipeline mine.yaml", "run/requests.parquet: not a text file (UTF-8)"),
    Wrong("replay j --pipeline mine.yaml", "j: holds no entries", {"j": ""}),
    Wrong(
        "replay j --pipeline mine.yaml",
        "j:2: not a line of JSON: Expecting property name enclosed in double quotes, column 2",
        {"j": "\n{\n"},
    ),
    Wrong("replay j --pipeline mine.yaml", "j:1: not a journal entry: should be a JSON object", {"j": "[1]\n"}),
    Wrong("replay j --pipeline mine.yaml", "j:1: the key 'observation' is missing", {"j": "{}\n"}),
]

LIVE = [
    Wrong("live run vidoe", "no pipeline is called 'vidoe'; did you mean 'video'?; shipped: audio-qa,"),
    Wrong(
        "live run mine.yaml --backend moon",
        "Invalid value for '--backend': 'moon'; allowed: loopback, kubernetes",
    ),
    Wrong("live run mine.yaml --no-load", "--no-load needs --backend kubernetes"),
    Wrong("live run mine.yaml --duration 0", "'--duration': '0'; allowed: a finite number above 0"),
    Wrong("live run mine.yaml --duration nan", "'--duration': 'nan'; allowed: a finite number above 0"),
    Wrong("live run mine.yaml --port 70000", "'--port': '70000'; allowed: a whole number from 0 to 65535"),
    Wrong("live run mine.yaml --source moon", "'--source': 'moon'; allowed: gateway, prometheus"),
    Wrong("live run mine.yaml --prometheus x", "--prometheus needs --source prometheus"),
    Wrong(
        "live run mine.yaml --source prometheus --prometheus ftp://x",
        "--prometheus ftp://x: should be the URL of a server, such as http://localhost:9090",
    ),
    Wrong("live run mine.yaml --context x", "--context needs --backend kubernetes"),
    Wrong("live run mine.yaml --url http://x", "--url needs --backend kubernetes"),
    Wrong("live run mine.yaml --token-file x", "--token-file needs --backend kubernetes"),
    Wrong(
        "live run mine.yaml --decision-timeout 0",
        "'--decision-timeout': '0'; allowed: a finite number above 0",
    ),
    Wrong("live run mine.yaml --state no/s", "no/s: cannot be written: No such file or directory"),
    Wrong("live run mine.yaml --state my.py", "my.py:2: not a line of JSON: Expecting value, column 1"),
    Wrong("live run mine.yaml --out run", "--out run: already holds results; give a new or empty folder"),
    Wrong(
        "live run mine.yaml --report no/r.html", "--report no/r.html: cannot be written: the folder no does not exist"
    ),
    Wrong(
        "live run mine.yaml --policy oracle",
        "policy oracle: it or its predictor reads the future load, which only a simulation",
    ),
    Wrong("live run mine.yaml --policy gone.py:P", "gone.py: cannot be read: No such file or directory"),
    Wrong(
        "live run mine.yaml --trace constant:1e9",
        "trace constant:1e+09: 1,200,000,000,000 requests and 120 decisions need about",
    ),
    Wrong("live run mine.yaml --records none", "records: none: a live run keeps all records; allowed: all"),
    Wrong(
        "live run mine.yaml --backend kubernetes",
        "no cluster: the kubeconfig /nonexistent/kubeconfig does not exist; name one",
    ),
    Wrong(
        "live run mine.yaml --backend kubernetes --advise --out new",
        "--out: with --advise on a cluster no load is sent, so there are no results to",
    ),
    Wrong("live load x", "no pipeline is called 'x'; shipped: audio-qa, audio-sent, nlp, ocr, sum-qa, video; or"),
    Wrong("live load http://127.0.0.1:1", "http://127.0.0.1:1: name the model with --model"),
    Wrong(
        "live load mine.yaml --url ftp://x",
        "'--url': 'ftp://x'; allowed: the URL of a server, such as http://localhost:8080",
    ),
    Wrong("live load mine.yaml --body gone.json", "--body gone.json: cannot be read: No such file or directory"),
    Wrong(
        "live load mine.yaml --body b.json",
        "--body b.json:1: not valid JSON: Expecting property name enclosed in double quotes, column 2",
        {"b.json": "{"},
    ),
    Wrong(
        "live load mine.yaml --body b.json",
        "--body b.json: should be a V2 inference request: an object with the key 'inputs'",
        {"b.json": "[]"},
    ),
    Wrong("live load mine.yaml --token-file gone", "gone: the token cannot be read: No such file or directory"),
    Wrong("live load mine.yaml --url http://127.0.0.1:1 --out x.txt", "--out x.txt: should end in .csv or .parquet"),
    Wrong(
        "live load mine.yaml --url http://127.0.0.1:1 --out load.csv", "--out load.csv: already exists; give a new file"
    ),
    Wrong("live load mine.yaml --patience inf", "'--patience': 'inf'; allowed: a finite number above 0"),
    Wrong("live recover gone", "Error: gone: nothing to recover: .gone.running/requests.jsonl is missing"),
    Wrong(
        "live status mine.yaml --namespace x",
        "no cluster: the kubeconfig /nonexistent/kubeconfig does not exist; name one",
    ),
    Wrong(
        "live status mine.yaml --name Bad!",
        "--name Bad!: should be lower-case letters, digits and hyphens, of at most 53",
    ),
    Wrong(
        "live down mine.yaml --yes --namespace x",
        "no cluster: the kubeconfig /nonexistent/kubeconfig does not exist; name one",
    ),
    Wrong(
        "live up mine.yaml --yes --namespace x",
        "no cluster: the kubeconfig /nonexistent/kubeconfig does not exist; name one",
    ),
    Wrong("live up gone.yaml --yes", "gone.yaml: cannot be read: No such file or directory"),
    Wrong(
        "live manifests mine.yaml --name Mine!",
        "--name Mine!: should be lower-case letters, digits and hyphens, of at most 53",
    ),
    Wrong("live manifests mine.yaml --image ''", "'--image': ''; allowed: the name of an image"),
    Wrong("live manifests mine.yaml --state-claim state", "--state-claim state: needs --controller or --advise"),
    Wrong(
        "live manifests mine.yaml --controller --state-claim Bad_",
        "'--state-claim': 'Bad_'; allowed: the name of a PersistentVolumeClaim",
    ),
    Wrong(
        "live manifests mine.yaml --client-token-secret Bad_",
        "'--client-token-secret': 'Bad_'; allowed: the name of a Secret",
    ),
    Wrong(
        "live manifests mine.yaml --namespace Bad_",
        "--namespace Bad_: should be lower-case letters, digits and hyphens, of at most 63",
    ),
    Wrong(
        "live manifests mine.yaml --models gs://x",
        "--models gs://x: should be emulated, s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER] or",
    ),
    Wrong(
        "live manifests mine.yaml --models s3://x --s3-endpoint x",
        "--s3-endpoint x: should be a URL without a path, such as http://store:9000",
    ),
    Wrong(
        "live manifests mine.yaml --cpu lots",
        "Invalid value for '--cpu': 'lots' should be a number of cores above 0, such as 0.5",
    ),
    Wrong(
        "live manifests mine.yaml --memory 512m",
        "Invalid value for '--memory': '512m' should be a number of bytes, such as 512Mi or",
    ),
    Wrong("live manifests mine.yaml --control-from x", "--control-from x: needs --network-policy"),
    Wrong(
        "live manifests mine.yaml --pod-network x",
        "Invalid value for '--pod-network': 'x' does not appear to be an IPv4 or IPv6",
    ),
    Wrong("live manifests mine.yaml --ready-within 0", "'--ready-within': '0'; allowed: a finite number from 1"),
    Wrong(
        "live manifests mine.yaml --set kubernetes.gateway.foo=3",
        "kubernetes.gateway.foo: unknown key; allowed: labels, annotations, resources,",
    ),
    Wrong(
        "live manifests mine.yaml --policy gone.py:P --controller", "gone.py: cannot be read: No such file or directory"
    ),
    Wrong("live manifests mine.yaml --out run", "--out run: already holds results; give a new or empty folder"),
    Wrong("live manifests mine.yaml --out my.py/x", "--out my.py/x: cannot be written:"),
    Wrong("validate mine.yaml --repeats 0", "'--repeats': '0'; allowed: a whole number from 1"),
    Wrong(
        "validate mine.yaml --backend moon",
        "Invalid value for '--backend': 'moon'; allowed: loopback, kubernetes",
    ),
    Wrong(
        "validate mine.yaml --calibration-window x",
        "--calibration-window x: a window is START:END in seconds, such as 600:1800",
    ),
    Wrong("validate mine.yaml --duration 5000", "--duration 5000: 0:1200 of bursty has no 5000 seconds in a row"),
    Wrong(
        "validate mine.yaml --records none",
        "records: none: a validation needs the records of all requests; use records: all",
    ),
    Wrong("validate mine.yaml --url http://x", "--url needs --backend kubernetes"),
    Wrong("validate mine.yaml --out run", "--out run: already holds results; give a new or empty folder"),
    Wrong("nonesuch", "no command is called 'nonesuch'; allowed: "),
    Wrong("--nonesuch", "No such option '--nonesuch'."),
    Wrong("doctor x", "Got unexpected extra argument (x)"),
    Wrong("live run mine.yaml --changes-per-minute 0", "'--changes-per-minute': '0'; allowed: a whole number from 1"),
    Wrong("live run mine.yaml --out my.py", "--out my.py: is a file; give a new folder"),
    Wrong("live run mine.yaml --policy ipaa", "unknown policy 'ipaa' (did you mean 'ipa'?); allowed: "),
    Wrong("live run mine.yaml --policy ipaa", "unknown policy 'ipaa' (did you mean 'ipa'?); allowed: faro, foresight,"),
    Wrong("live load", "Missing argument 'URL|PIPELINE|FILE'."),
    Wrong(
        "live load http://127.0.0.1:1 --model m --trace gone.csv", "gone.csv: no such file; did you mean 'load.csv'?"
    ),
    Wrong("live load http://127.0.0.1:1 --url http://x --model m", "--url http://x: the argument is already a URL:"),
    Wrong("live status gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("live down gone.yaml --yes", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("live recover", "Missing argument 'FOLDER'."),
    Wrong("live manifests gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("live manifests mine.yaml --image 'a b'", "'--image': 'a b'; allowed: the name of an image, such as"),
    Wrong("live manifests mine.yaml --nodes-within -1", "'--nodes-within': '-1'; allowed: a finite number from 0"),
    Wrong("validate gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("validate mine.yaml --duration 5", "'--duration': '5'; allowed: a whole number from 20"),
    Wrong("validate mine.yaml --out my.py", "--out my.py: is a file; give a new folder"),
    Wrong(
        "validate mine.yaml --policy oracle", "policy oracle: it or its predictor reads the future load, which only a"
    ),
    Wrong("validate mine.yaml --calibration-window 0:9999", "calibration window 0:9999: overlaps the seconds that are"),
    Wrong("optimise mine.yaml --load 1e13", "load 1e+13: should be from 0 to 1e+12 requests per second"),
    Wrong("optimise gone.yaml --load 5", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("compare", "Missing argument 'PIPELINE|FILE'."),
    Wrong(
        "compare mine.yaml --policy 'ipa alpha=1' --policy 'ipa alpha=1.0' --trace constant:5:30",
        "--policy 'ipa alpha=1' and 'ipa alpha=1.0' are the same policy with the same parameters; leave one out",
    ),
    Wrong(
        "compare scenario.yaml --policy static --policy p.py:P",
        "p.py:P, seed 1: step 0 (at 0 s): p.py:3: SystemExit: 0",
        {"p.py": "class P:\n    def __init__(self, p): ...\n    def decide(self, s, m): exit(0)\n"},
    ),
    Wrong("report", "Missing argument 'FOLDER|TABLE'."),
    Wrong("report run", "run/replicas.parquet: the column 'stage' is missing", {"run/replicas.parquet": FOREIGN_TABLE}),
    Wrong("report run", "run/manifest.json:1: not valid JSON: Expecting ',' delimiter", {"run/manifest.json": "[1"}),
    Wrong("report both --to both/ipa-1", "--to both/ipa-1: is a folder; give a file"),
    Wrong("study", "Missing argument 'paper|FILE'."),
    Wrong(
        "study paper --out new --pipeline vidoe",
        "--pipeline vidoe: unknown name; did you mean 'video'?; allowed: video,",
    ),
    Wrong("study study.yaml --out my.py/x", "--out my.py/x: cannot be written:"),
    Wrong("replay run/journal.jsonl --pipeline gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong(
        "replay run/journal.jsonl --pipeline mine.yaml --policy kpa",
        "the policy reads concurrency, which the journal lacks at step 0; record it with journal: full",
    ),
]

SHIPPED = [
    Wrong("simulate video --policy scale-only:lwo", ("'lwo'", "did you mean 'low'")),
    Wrong("simulate video --policy static:yolov5q:1:1,resnet18:1:1", ("'yolov5q'", "yolov5x", "did you mean")),
    Wrong("simulate video --policy static:yolov5n:0:1,resnet18:1:1", ("batch=0", "at least 1")),
    Wrong("simulate video --policy static:1,0", ("replicas=0", "at least 1")),
    Wrong("simulate video --policy static:1,-1", ("1,-1", "whole numbers")),
    Wrong("simulate video --policy static:1,nan", ("1,nan", "whole numbers")),
    Wrong("simulate video --policy static:1,99999999", ("99999999", "from 1 to 10000")),
    Wrong("simulate video --policy=", "policy ''"),
    Wrong("simulate video --trace constant:-5", "constant:-5: the rate should be a finite number above 0"),
    Wrong("simulate video --trace constant:inf", "constant:inf: the rate"),
    Wrong("simulate video --trace nofile.csv", "nofile.csv: no such file"),
    Wrong("simulate video --journal ful", "'--journal': 'ful'; allowed: lean, full; did you mean 'full'?"),
    Wrong("simulate video --scaling flor", "'--scaling': 'flor'; allowed: floor, thin; did you mean 'floor'?"),
    Wrong("simulate video --scale -1", "'--scale': '-1'; allowed: a finite number above 0"),
    Wrong("simulate video --scale nan", "'--scale': 'nan'; allowed: a finite number above 0"),
    Wrong("simulate video --scale inf", "'--scale': 'inf'; allowed: a finite number above 0"),
    Wrong("simulate video --set scale=0", "scale: should be above 0; given 0"),
    Wrong("simulate video --set scale=.nan", "scale: should be a finite number; given nan"),
    Wrong("simulate video --window 5", ("window: a window is START:END", "given '5'")),
    Wrong("simulate video --window 1:2:3", "START:END"),
    Wrong("simulate video --window=", "START:END"),
    Wrong("simulate video --window a:b", "START:END"),
    Wrong("simulate video --window nan:10", "given nan"),
    Wrong("simulate video --window 5:5", ("window 5:5", "0 to 1200")),
    Wrong("simulate video --window 5:3", "window 5:3"),
    Wrong("simulate video --window 1000:1300", ("window 1000:1300", "0 to 1200")),
    Wrong("simulate video --window 0.5:10", "whole seconds"),
    Wrong("simulate video --seed -1", "'--seed': '-1'; allowed: a whole number from 0"),
    Wrong("simulate video --seed 9223372036854775808", ("seed", "9223372036854775807")),
    Wrong("simulate video --arrivals even-ish", ("arrivals", "'even-ish'", "did you mean 'even'")),
    Wrong("simulate video --set interval_s=x", ("interval_s", "number; given 'x'")),
    Wrong("simulate video --set seed=true", ("seed", "whole number; given true")),
    Wrong("simulate video --set policy.bta=1", ("'bta'", "did you mean 'beta'")),
    Wrong("simulate video --set policy.beta=much", "beta='much'"),
    Wrong("simulate video --set policy.beta=.nan", "beta=nan"),
    Wrong("simulate video --set history_s=100000000000", ("history_s", "86400")),
    Wrong("simulate video --set limit_cores=0", ("limit_cores", "given 0")),
    Wrong("simulate video --set limit_cores=-2", ("limit_cores", "given -2")),
    Wrong("simulate video --set guards.max_replicas=0", ("guards.max_replicas", "given 0")),
    Wrong("simulate video --set guards={min_replicas:5}", "guards"),
    Wrong(
        "simulate video --set guards.min_replicas=5 --set guards.max_replicas=2",
        "guards: max_replicas 2 is below min_replicas 5",
    ),
    Wrong("simulate video --set drop_limits_s.object-detectio=3", "did you mean 'object-detection'"),
    Wrong("simulate video --set initial.object-detection.variant=yolov5n", "start: configured"),
    Wrong("simulate nofile.yaml", "nofile.yaml: cannot be read: No such file"),
    Wrong("simulate .", "cannot be read: Is a directory"),
    start(
        "variant=yolov5q",
        "initial: stage 'object-detection': unknown variant 'yolov5q'",
    ),
    start(
        "batch=0",
        "initial.object-detection.batch: should be at least 1; given 0",
    ),
    start(
        "batch=65",
        "batch 65; allowed for 'yolov5n': whole numbers from 1 to 64",
    ),
    start(
        "batch=.nan",
        "initial.object-detection.batch: should be a whole number; given nan",
    ),
    start(
        "replicas=-1",
        "initial.object-detection.replicas: should be at least 1; given -1",
    ),
    start(
        "cores=3",
        "3 cores are not profiled for 'yolov5n'; allowed: 1, 2, 4",
    ),
    start(
        "batch_timeout_s=.inf",
        "initial.object-detection.batch_timeout_s: should be a finite number; given inf",
    ),
    Wrong("optimise vidoe --load 20", "did you mean 'video'"),
    Wrong("optimise video --load inf", "'--load': 'inf'; allowed: a finite number from 0"),
    Wrong("optimise video --load -1", "'--load': '-1'; allowed: a finite number from 0"),
    Wrong("optimise video --load x", "'--load': 'x'; allowed: a finite number from 0"),
    Wrong("optimise video --load 20 --policy static", ("static", "ipa, foresight, scale-only, switch-only, oracle")),
    Wrong("compare vidoe", "did you mean 'video'"),
    Wrong("compare video --policy ipa --policy ipa", "--policy ipa: given twice"),
    Wrong("compare video --policy hpa --set policy.beta=2", "policy.beta: none of the compared policies has it: hpa"),
    Wrong("compare video --jobs 0", "'--jobs': '0'; allowed: a whole number from 1"),
    Wrong("trace info bursty --scale 0", "'--scale': '0'; allowed: a finite number above 0"),
    Wrong("trace info bursty --window 5", ("--window 5", "START:END")),
    Wrong("trace info bursty --window 9:9", "window 9:9"),
    Wrong("trace info burtsy", "did you mean 'bursty'"),
    Wrong("trace synthesise bursty --to nofolder/x.csv", "nofolder/x.csv: cannot be written"),
    Wrong("trace synthesise bursty --to x.txt", ".csv, .parquet"),
]
"""On shipped pipelines and loads."""

MANY = [
    Wrong("sweep mine.yaml --vary hop_s=0,1", "--out: is missing; give a folder for the table, or look first with"),
    Wrong(f"{SWEEP} --vary policy.alpha", "--vary policy.alpha: should be KEY=VALUE,VALUE,... or KEY=FROM:TO:STEP,"),
    Wrong(f"{SWEEP} --vary policy.alph=1,2", "policy.alph=1: unknown parameter 'alph' of policy 'ipa' (did you mean"),
    Wrong(f"{SWEEP} --vary policy.alpha=1,1", "policy.alpha: 1 is given twice"),
    Wrong(f"{SWEEP} --vary policy.alpha=1:2", "a range without a step is for samples (random, lhs, sobol, saltelli);"),
    Wrong(f"{SWEEP} --vary policy.alpha=0:1:0", "policy.alpha=0:1:0: the step should be above 0 and make at most"),
    Wrong(f"{SWEEP} --vary policy.alpha=2:1:0.1", "policy.alpha=2:1:0.1: a range should end above its beginning"),
    Wrong(f"{SWEEP} --vary policy.alpha=1,2 --sample sbol", "'--sample': 'sbol'; allowed: grid, list, random, lhs,"),
    Wrong(f"{SWEEP} --vary policy.alpha=1,2 --sample random", "--sample random: needs --points; points are drawn"),
    Wrong(f"{SWEEP} --vary hop=0,1", "hop: unknown key; did you mean 'hop_s'?; allowed: "),
    Wrong(f"{SWEEP} --vary hop_s=-1,1", "hop_s: should be at least 0; given -1"),
    Wrong(f"{SWEEP} --vary policy=ipa,ipo", "policy=ipo: unknown policy 'ipo' (did you mean 'ipa'?); allowed: "),
    Wrong(f"{SWEEP} --vary hop_s=0,1 --policy ipaa", "Error: unknown policy 'ipaa' (did you mean 'ipa'?); allowed: "),
    Wrong(f"{SWEEP} --vary policy=ipa --when 'policy==ipa policy.alpha=1'", "should be CONDITION: KEY=VALUES, such as"),
    Wrong(f"{SWEEP} --vary policy=ipa --when 'policy=ipa: policy.alpha=1'", "--when policy=ipa: should be KEY==VALUE,"),
    Wrong(
        f"{SWEEP} --vary policy=ipa --when 'plicy==ipa: policy.alpha=1'", "no key of a scenario is called 'plicy'; did"
    ),
    Wrong(
        f"{SWEEP} --vary hop_s=0,1 --where hop_s", "--where hop_s: should be KEY==VALUE, with ==, !=, <, <=, > or >=,"
    ),
    Wrong(f"{SWEEP} --vary hop_s=0,1 --where 'hop_s>5'", "--where: leaves no point"),
    Wrong(f"{SWEEP} --vary hop_s=0,1 --until pas_mean:x", "--until pas_mean:x: should be OUTCOME:WIDTH, such as"),
    Wrong(f"{SWEEP} --vary seed=1,2 --seeds 2", "seed: is varied itself; leave out --seeds and --until"),
    Wrong(
        f"{SWEEP} --vary hop_s=0,1 --on mars", "--on mars: should be one of local, dask://HOST:PORT, ray://HOST:PORT"
    ),
    Wrong(f"{SWEEP} --vary hop_s=0,1 --on dask://", "--on dask://: should be one of local, dask://HOST:PORT,"),
    Wrong("study study.yaml --out new --on ray://x", "--on ray://x: should be one of local, dask://HOST:PORT,"),
    Wrong(
        f"{SWEEP} --vary hop_s=0,1 --report no/x.html", "--report no/x.html: cannot be written: the folder no does not"
    ),
    Wrong("sweep mine.yaml --vary hop_s=0,1 --out run", "--out run: already holds results; give a new or empty folder"),
    Wrong(
        f"{TUNE} --minimise changes --vary policy.alph=0:1", "--vary policy.alph: unknown parameter 'alph' of policy"
    ),
    Wrong(f"{TUNE} --minimise changes --vary policy.predictor=mean,lsmt", "--vary policy.predictor: unknown predictor"),
    Wrong(
        f"{TUNE} --minimise changes --vary guards.hysteresis=3:9", "--vary guards.hysteresis: guards.hysteresis: should"
    ),
    Wrong(f"{TUNE} --minimise changes --vary policy.alpha=1:0", "range '1:0': should begin below its end"),
    Wrong(
        f"{TUNE} --minimise changes --slo 'chnges<=1'", "--slo chnges<=1: no outcome 'chnges'; did you mean 'changes'"
    ),
    Wrong(
        f"{TUNE} --minimise changes --also 'maximise changes'", "--also: changes is already an aim; each outcome may"
    ),
    Wrong(f"{TUNE} --minimise changes --policy static", "policy static: no parameter is left to tune; name keys with"),
    Wrong(f"{TUNE} --minimise changes --draw some", "'--draw': 'some'; allowed: alike, any"),
    Wrong(
        "tune mine.yaml --trace load.csv --minimise changes --length 1",
        "--test: no load is left to test on: 'load' has seconds 0 to 2, and tests begin 120 s (history_s) after the",
    ),
    Wrong("explain", "Missing argument 'RUN|DIR'."),
    Wrong("explain gone", "gone: no such file or folder"),
    Wrong("explain studied --where system==gone", "--where system==gone: no run is left; there are pipeline: mine;"),
    Wrong("explain run --report run", "'--report': 'run' is a folder; allowed: a file"),
    Wrong("explain run", "mine.yaml: cannot be read: No such file or directory", {"mine.yaml": None}),
]
"""Many runs: sweeps, where they are made, tuning, explanations."""

MODELS = [
    Wrong("models nonesuch", "no command is called 'nonesuch'; allowed: check, list, make, measure, pages, push, read"),
    Wrong("models make", "Missing argument 'ocr'."),
    Wrong("models make orc x", "Invalid value for 'ocr': 'orc'; allowed: ocr; did you mean 'ocr'?"),
    Wrong("models make ocr run", "run: already exists; give a new folder"),
    Wrong("models make ocr my.py", "my.py: already exists; give a new folder"),
    Wrong("models measure gone", "gone/ocr/detection: no models; `ipa models make ocr FOLDER` makes a folder of them"),
    Wrong("models list gone", "gone: no such folder"),
    Wrong("models list run", "run: should hold PIPELINE/STAGE/VARIANT/"),
    Wrong("models list gs://x", "gs://x: should be s3://BUCKET[/FOLDER]"),
    Wrong("models list s3://x --s3-endpoint y", "'--s3-endpoint': 'y'; allowed: the URL of a server, such as"),
    Wrong("models push run x", "x: should be s3://BUCKET[/FOLDER]"),
    Wrong("models check run", "run: not the results of a live run with answers"),
    Wrong("models pages my.py", "my.py: already exists; give a new folder"),
    Wrong("models read load.csv --url ftp://x", "'--url': 'ftp://x'; allowed: the URL of a server, such as"),
    Wrong("models read load.csv --url http://127.0.0.1:1", "no V2 server answers: Connection refused", code=1),
    Wrong("profile run mine.yaml --server ftp://x", "'--server': 'ftp://x'; allowed: the URL of a server, such as"),
    Wrong("profile run mine.yaml --server http://127.0.0.1:1", "no V2 server answers there with 'small' ready", code=1),
    Wrong("profile run mine.yaml --models run --server http://x", "--models and --server: give one of them"),
    Wrong("profile run mine.yaml --models run --batches 2,4", "--batches: 1 is missing, which every variant needs"),
    Wrong("profile run mine.yaml --models run --batches x", "'--batches': 'x'; allowed: whole numbers from 1 to 9999,"),
    Wrong(
        "profile run mine.yaml --models run --stage sart", "mine has no stage 'sart'; did you mean 'sort'?; allowed:"
    ),
    Wrong(
        "profile run run", "Error: run: holds no models; should hold STAGE/VARIANT/model.onnx or STAGE/VARIANT/model.py"
    ),
    Wrong("live load mine.yaml --url http://", "'--url': 'http://'; allowed: the URL of a server, such as"),
    Wrong("live manifests mine.yaml --out my.py", "--out my.py: is a file; give a new folder"),
    Wrong("live manifests mine.yaml --pull never", "'--pull': 'never'; allowed: Always, IfNotPresent, Never; did you"),
    Wrong("simulat mine.yaml", "no command is called 'simulat'; did you mean 'simulate'?; allowed: compare, doctor,"),
]
"""Real models, servers, and words that are not there."""

KEYS = [
    scenario("policy: 3\n", "s.yaml:4: policy: should be the name of a policy, or a mapping with its name and"),
    scenario("policy: {name: 3}\n", "s.yaml:4: policy.name: should be text; given 3"),
    scenario("policy: {name: hpa, batch: 0}\n", "s.yaml:4: policy: batch.sort=0 must be a whole number of at least 1"),
    scenario("policy: {name: hpa, min_replicas: 3, max_replicas: 2}\n", "max_replicas=2 is below min_replicas=3"),
    scenario("policy: {name: switch-only, replicas: 0}\n", "replicas=0 must be a mapping with each of: sort"),
    scenario("policy: {name: static, replicas: 0}\n", "replicas=0 must be a mapping with each of: sort"),
    scenario("policy: {name: ipa, candidates: {sort: [smal]}}\n", "unknown variant 'smal' in candidates.sort (did you"),
    scenario("policy: {name: ipa, drop_limits_s: [1, 2]}\n", "must be a list of seconds, one for each of: sort"),
    scenario("guards: {wait_for_starting: yes}\n", "guards.wait_for_starting: should be true or false; given 'yes'"),
    scenario("guards: {max_step_up: 0}\n", "s.yaml:4: guards.max_step_up: should be at least 1; given 0"),
    scenario("guards: {hysteresis: 10 %}\n", "s.yaml:4: guards.hysteresis: should be a number; given '10 %'"),
    scenario(
        "limits: {ruled_out: {sort: small}}\n", "s.yaml:4: limits.ruled_out.sort: should be a list; given 'small'"
    ),
    scenario("limits: {ruled_out: {sort: [small]}}\n", "s.yaml:4: limits: sort is left without a variant: small is"),
    scenario("limits: {min_replicas: {sort: 5}, max_replicas: {sort: 2}}\n", "max_replicas 2 is below min_replicas 5"),
    scenario("interval_s: true\n", "s.yaml:4: interval_s: should be a number; given true"),
    scenario("trace: 3\n", "s.yaml:4: trace: should be text; given 3"),
    scenario(
        "outages: '9:5'\n", "s.yaml:4: outages: an outage should begin at 0 or later and before its end; given 9:5"
    ),
    scenario(
        "drop: Deadline\n", "s.yaml:4: drop: should be 'request', 'batch' or 'deadline'; given 'Deadline'; did you"
    ),
    scenario("initial: {sort: {variant: small}}\n", "s.yaml:4: initial: needs start: configured; start is warm"),
    scenario("max_surge: 0\n", "s.yaml:4: max_surge: it and max_unavailable are both 0, so that no rollout could ever"),
    scenario(
        "start: configured\ninitial: {sort: {variant: small, cores: 3}}\n", "s.yaml:5: initial: stage 'sort': 3 cores"
    ),
    scenario(
        "start: configured\ninitial: {sort: {batch: 1}}\n", "s.yaml:5: initial.sort: the key variant is missing, or"
    ),
    scenario(
        "start: configured\ninitial: {sort: {mix: []}}\n", "s.yaml:5: initial.sort.mix: should not be empty; given []"
    ),
    mixed(
        "mix: [{variant: yolov5n, share: 0}, {variant: yolov5s, share: 1}]", "mix[0].share: should be above 0; given 0"
    ),
    mixed("mix: [{variant: yolov5n, share: 0.5}, {variant: yolov5s, share: 0.6}]", "add up to 1.1; allowed: 1"),
    mixed("mix: [{variant: yolov5n, share: 0.5}, {variant: yolov5n, share: 0.5}]", "allowed: each variant once"),
    mixed("batch: 2, variant: yolov5n, mix: [{variant: yolov5n, share: 1}]", "with mix, give variant, batch in its"),
    mixed("mix: {yolov5n: 1}", "initial.object-detection.mix: should be a list; given a mapping"),
    key("node_cores=3", "node_cores: unknown key; did you mean 'limits.node_cores'?; allowed: "),
    key("max_replicas=3", "max_replicas: unknown key; did you mean 'guards.max_replicas'?; allowed: "),
    key("policy.predictor={name: lstm, model: my.py}", "model='my.py' is none of: lstm, lstm-quantile, quantile-gbm,"),
    pipeline(
        "{kind: assumed,", "{kind: guessed,", "kind should be 'measured', 'interpolated', 'calibrated' or 'assumed'"
    ),
    pipeline(
        "sla: {pinned_s: 2, why: for a test}", "sla: 2", "sla: should be `rule`, or a mapping of a pinned value and why"
    ),
    pipeline(
        "cores: 1, batch: 1", "cores: 1, batch: 2", "figures[1]: cores 1, batch 2 is given twice, first in figures[0]"
    ),
]
"""Keys of scenarios and pipelines: policies, guards, limits, what is ready at the start."""

WRITES = [
    Wrong(f"{RUN} --out new", "--out new: cannot be written:"),
    Wrong(f"{RUN} --report new.html", "--report new.html: cannot be written:"),
    Wrong("compare scenario.yaml --policy ipa --report new.html", "--report new.html: cannot be written:"),
    Wrong("report run", "the page run/report.html: cannot be written:"),
    Wrong("pipeline new new.yaml --from table.csv", "new.yaml: cannot be written: Permission denied"),
    Wrong("profile show video --to new.html", "new.html: cannot be written: Permission denied"),
    Wrong("trace synthesise constant:5 --to new.csv", "new.csv: cannot be written: Permission denied"),
    Wrong("trace convert load.csv new.parquet", "new.parquet: cannot be written: Permission denied"),
    Wrong("live manifests mine.yaml --out new", "--out new: cannot be written:"),
]
"""Commands that write, where nobody may."""

FULL = [
    Wrong(f"{RUN} --out new", "new: cannot be written: "),
    Wrong(f"{RUN} --report new.html", "new.html: cannot be written: "),
    Wrong("compare scenario.yaml --policy ipa --report new.html", "new.html: cannot be written: "),
    Wrong("report run", "run/report.html: cannot be written: "),
    Wrong("pipeline new new.yaml --from table.csv", "new.yaml: cannot be written: "),
    Wrong("profile show video --to new.html", "new.html: cannot be written: "),
    Wrong("trace synthesise constant:5 --to new.csv", "new.csv: cannot be written: "),
    Wrong("live manifests mine.yaml --out new", "new: cannot be written: "),
]
"""Commands that write more than a disk has room for."""

ROWS = [
    *(*TRACES, *SCENARIOS, *PIPELINES, *POLICY_ROWS, *ANSWERS, *PREDICTORS, *LISTS, *STUDIES, *OUTPUTS),
    *(*RESULTS_ROWS, *LIVE, *SHIPPED, *MANY, *MODELS, *KEYS),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's files and results."""
    folder = tmp_path_factory.mktemp("kept")
    put(folder, FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in RESULTS:
            assert ipa(*command.split()).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def whole(kept: Path) -> dict[str, bytes | None]:
    """What is in it."""
    return contents(kept)


@pytest.fixture
def there(kept: Path, whole: dict[str, bytes | None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """It is the current folder; what a test changes there is changed back."""
    monkeypatch.chdir(kept)
    yield kept
    now = contents(kept)
    for name in sorted(now.keys() - whole.keys(), reverse=True):  # a folder after what is in it
        (kept / name).rmdir() if now[name] is None else (kept / name).unlink()
    put(kept, {name: content for name, content in whole.items() if content is not None and now.get(name) != content})


def put(folder: Path, files: Mapping[str, str | bytes | None]) -> None:
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def check(folder: Path, row: Wrong) -> None:
    """The row's command ends as it has to, says the place, and leaves the folder as it was."""
    before = contents(folder)
    result = ipa(*shlex.split(row.command), env=NO_CLUSTER)
    assert (result.exit_code, result.stdout) == (row.code, ""), result.output
    for text in (row.said,) if isinstance(row.said, str) else row.said:
        assert text in result.stderr
    assert sum(line.startswith("Error: ") for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert contents(folder) == before


def named(row: Wrong) -> str:
    return row.command.removeprefix(RUN).strip()


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_wrong_input_is_answered_with_its_place_and_changes_nothing(
    there: Path, monkeypatch: pytest.MonkeyPatch, row: Wrong
) -> None:
    if "no decision within" in row.said:
        for module in ("run", "decision"):
            monkeypatch.setattr(f"ipa.studies.{module}.TimeLimit", lambda policy: TimeLimit(policy, 0.05))
    put(there, row.files)
    check(there, row)


@contextmanager
def nobody() -> Iterator[None]:
    """This process as a user to whom nothing belongs, where it may become one; otherwise it is none that may do all."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture(scope="module")
def readable(kept: Path) -> Iterator[Path]:
    """A folder with the same which everybody may reach and read and nobody may write to."""
    with TemporaryDirectory() as folder:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        every = [Path(folder), *Path(folder).rglob("*")]
        for path in every:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield Path(folder)
        for path in every:
            path.chmod(0o755)


@pytest.fixture
def public(readable: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It is the current folder."""
    monkeypatch.chdir(readable)
    return readable


@pytest.mark.parametrize("row", WRITES, ids=named)
def test_a_folder_that_another_user_may_only_read_is_named_and_stays_as_it_is(public: Path, row: Wrong) -> None:
    with nobody():
        check(public, row)


@pytest.fixture(scope="module")
def filled(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the same on a file system of its own without a free byte; skipped where none can be mounted."""
    folder = tmp_path_factory.mktemp("full")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a full file system needs leave to mount one: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def full(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It is the current folder."""
    monkeypatch.chdir(filled)
    return filled


@pytest.mark.parametrize("row", FULL, ids=named)
def test_a_full_file_system_is_named_and_nothing_is_left_on_it(full: Path, row: Wrong) -> None:
    """Really full, where the other test has files that grow too large."""
    check(full, row._replace(said=(str(row.said), "o space left on device")))


def test_a_comparison_that_cannot_even_begin_on_a_full_file_system_leaves_no_folder(full: Path) -> None:
    check(full, Wrong(f"{COMPARED} --jobs 1", "new/manifest.json: cannot be written: No space left on device"))


@contextmanager
def room(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this, as on a disk that is all but full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("row", FULL, ids=named)
def test_what_a_disk_has_no_room_for_is_named_and_nothing_is_left_of_it(there: Path, row: Wrong) -> None:
    with room(500):
        check(there, row._replace(said=(str(row.said), "File too large")))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_comparison_without_room_for_a_run_names_it_and_goes_on_when_there_is_some(there: Path, jobs: int) -> None:
    """What stays is what the same command goes on from."""
    command = f"{COMPARED} --jobs {jobs}".split()
    with room(500):
        result = ipa(*command)
    assert result.exit_code == 2
    assert re.fullmatch(r"Error: \S+/new/(ipa|rate)-1: cannot be written: .*File too large\n", result.stderr)
    assert list(contents(there / "new")) == ["manifest.json"]
    assert ipa(*command).exit_code == 0
    assert {"ipa-1", "rate-1", "runs.parquet"} <= set(contents(there / "new"))
