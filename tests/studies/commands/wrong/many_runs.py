"""Studies, sweeps, tuning and explanations."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import SWEEP, TUNE, Wrong, study

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
    Wrong(f"{SWEEP} --vary hop_s=0,1 --on mars", "--on mars: should be local or dask://HOST:PORT"),
    Wrong(f"{SWEEP} --vary hop_s=0,1 --on dask://", "--on dask://: should be local or dask://HOST:PORT"),
    Wrong("study study.yaml --out new --on ray://x", "--on ray://x: should be local or dask://HOST:PORT"),
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
