"""Results, and where they are written."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import FOREIGN_TABLE, RUN, Wrong

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
    Wrong("compare scenario.yaml --policy ipa --out run", "--out run: already holds results; give a new or empty"),
    Wrong("compare scenario.yaml --policy ipa --out other", "--out other: contains other files", {"other/x": "1"}),
    Wrong("compare scenario.yaml --policy ipa --out my.py/x", "--out my.py/x: cannot be written:"),
    Wrong("compare scenario.yaml --policy ipa --out studied", "--out studied: already holds results; give a new or"),
    Wrong("compare scenario.yaml --policy ipa --report no/r.html", "--report no/r.html: cannot be written: the"),
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
        "run/manifest.json: schema_version is 9; this program reads 2",
        {"run/manifest.json": '{"schema_version": 9, "kind": "run"}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: kind is 'rnu'; it should be one of run, runs, study, sweep",
        {"run/manifest.json": '{"schema_version": 2, "kind": "rnu"}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: the key 'summary' should hold the summary of the run",
        {"run/manifest.json": '{"schema_version": 2, "kind": "run"}'},
    ),
    Wrong(
        "report run",
        "run/manifest.json: summary: the key 'pipeline' is missing",
        {"run/manifest.json": '{"schema_version": 2, "kind": "run", "summary": {"policy": "ipa"}}'},
    ),
    Wrong(
        "report run",
        "run/finished.sqlite: no such file; the results are not complete",
        {"run/manifest.json": '{"schema_version": 2, "kind": "runs", "runs": [3]}'},
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
        "both/finished.sqlite: no such file; the results are not complete",
        {"both/finished.sqlite": None},
    ),
    Wrong("report both", "both/finished.sqlite: file is not a database", {"both/finished.sqlite": b"x" * 1000}),
    Wrong(
        "study study.yaml --out studied",
        "studied/manifest.json:1: not valid JSON: Expecting property name enclosed in double",
        {"studied/manifest.json": "{"},
    ),
]

WRITES = [
    Wrong(f"{RUN} --out new", "--out new: cannot be written:"),
    Wrong(f"{RUN} --report new.html", "--report new.html: cannot be written:"),
    Wrong("compare scenario.yaml --policy ipa --report new.html", "--report new.html: cannot be written:"),
    Wrong("report run", "the page run/report.html: cannot be written:"),
    Wrong("pipeline new new.yaml --from table.csv", "new.yaml: cannot be written: Permission denied"),
    Wrong("pipeline show video --to new.html", "new.html: cannot be written: Permission denied"),
    Wrong("trace convert load.csv --to new.parquet", "new.parquet: cannot be written: Permission denied"),
    Wrong("live manifests mine.yaml --out new", "--out new: cannot be written:"),
]
"""Commands that write, where nobody may."""

FULL = [
    Wrong(f"{RUN} --out new", "new: cannot be written: ", printed="goodput"),
    Wrong(f"{RUN} --report new.html", "new.html: cannot be written: ", printed="goodput"),
    Wrong(f"{RUN} --report new.html --json", "new.html: cannot be written: ", printed='"goodput_rps": '),
    Wrong("compare scenario.yaml --policy ipa --report new.html", "new.html: cannot be written: ", printed="PAS"),
    Wrong("report run", "run/report.html: cannot be written: "),
    Wrong("pipeline new new.yaml --from table.csv", "new.yaml: cannot be written: "),
    Wrong("pipeline show video --to new.html", "new.html: cannot be written: "),
    Wrong("live manifests mine.yaml --out new", "new: cannot be written: "),
]
"""Commands that write more than a disk has room for."""
