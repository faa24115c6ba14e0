"""Live mode."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import FOREIGN_TABLE, Wrong

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
    Wrong("study", "Missing argument 'paper|loads|FILE'."),
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
