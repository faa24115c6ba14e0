"""Policies and predictors: names, parameters, a user's own, and what they answer."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import (
    RUN,
    Wrong,
    answers,
    decides,
    forecasts,
    key,
    policy,
    predicts,
    replayed,
    scored,
)

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
    Wrong(f"{RUN} --policy ''", "policy '' must be a name: ipa, foresight, scale-only, switch-only, hpa, kpa,"),
    Wrong(f"{RUN} --policy ipa:", "policy 'ipa' takes no argument; given: ipa:"),
    Wrong(f"{RUN} --policy static:0", "configuration.sort.replicas=0 must be a whole number of at least 1"),
    Wrong(f"{RUN} --policy static:small:1", "static:small:1 must be variant:batch:replicas for each of: sort"),
    Wrong(f"{RUN} --policy switch-only:x", "replicas 'x' must be whole numbers, one per stage: sort"),
    Wrong(f"{RUN} --policy scale-only:middle", "variants.sort='middle' is none of: small"),
    Wrong("optimise mine.yaml --load nan", "'--load': 'nan'; allowed: a finite number from 0"),
    Wrong("optimise mine.yaml --load 5 --policy static", "--policy static: does not use the optimiser, so there is"),
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
    Wrong("compare mine.yaml --policy ipa --policy switch-onyl", "unknown policy 'switch-onyl' (did you mean"),
    Wrong("compare scenario.yaml --policy ipa --trace constant:1e9", "trace constant:1e+09: 1,200,000,000,000"),
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
    Wrong(f"{RUN} --policy my.py:Hold --set policy.levl=3", "unknown parameter 'levl' of policy 'my.py:Hold' (did"),
    Wrong(f"{RUN} --policy 'my.py:Hold level=[1'", "policy 'my.py:Hold level=[1': level=[1: not valid YAML: did not"),
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
    Wrong("predictor evaluate --predictor 'poisson q=1'", "unknown parameter 'q' of predictor 'poisson'; allowed:"),
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
    Wrong("predictor evaluate --predictor mean --to my.py/x.csv", "my.py/x.csv: cannot be written: my.py is not a"),
    Wrong("predictor show", "Missing option '--to'."),
    Wrong("predictor show --predictor mean --to my.py/x.html", "my.py/x.html: cannot be written: my.py is not a"),
    Wrong("predictor show --predictor x --to new.html", "unknown predictor 'x' (did you mean 'max'?); allowed: auto,"),
    Wrong("predictor show --predictor mean --windows 5 --to new.html", "--windows 5: a window is START:END in"),
    Wrong("predictor train", "Missing option '--trace'."),
    Wrong("predictor train --trace gone.csv --model lstm --out new.npz", "gone.csv: no such file; did you mean"),
    Wrong("predictor train --trace load.csv --model lsmt --out new.npz", "'--model': 'lsmt'; allowed: lstm,"),
    Wrong("predictor train --trace load.csv --model lstm --out new.txt", "--out new.txt: a model of kind lstm is"),
    Wrong(
        "predictor train --trace bursty --model quantile-gbm --out my.py/x.npz", "--out my.py/x.npz: cannot be written:"
    ),
    Wrong("predictor train --trace load.csv --model lstm --out new.npz --every 0", "'--every': '0'; allowed: a whole"),
    Wrong(
        "predictor train --trace load.csv --model lstm --out new.npz --epochs 0", "'--epochs': '0'; allowed: a whole"
    ),
    Wrong("predictor train --trace load.csv --model quantile-gbm --out new.npz", "a load of 2 s gives 0 samples to"),
]
