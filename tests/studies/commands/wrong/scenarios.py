"""Scenarios, and keys of scenarios and pipelines: policies, guards, limits, what is ready at the start."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import SCENARIO, Wrong, key, mixed, pipeline, scenario

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
