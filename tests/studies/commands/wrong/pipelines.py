"""Pipelines and profiles."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import TABLE, Wrong, pipeline, table

PIPELINES = [
    Wrong("pipeline check gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
    Wrong("pipeline check run", "run: cannot be read: Is a directory"),
    Wrong("pipeline check scenario.yaml", "scenario.yaml:2: kind: should be 'pipeline'; given 'scenario'"),
    Wrong("pipeline check mine.yaml", "mine.yaml: the file is empty", {"mine.yaml": ""}),
    pipeline("kind: pipeline", "kind: pipelin", "mine.yaml:2: kind: should be 'pipeline'; given 'pipelin'"),
    pipeline("name: mine", "name: Mine Own", "mine.yaml:3: name: should be a simple name of lower-case letters,"),
    pipeline("{value: 0.8", "{value: 800", "mine.yaml:15: stages[sort].variants[small].accuracy.value: should be at"),
    pipeline("from: guess}", "from: gess}", "mine.yaml:15: stages[sort].variants[small].accuracy.from: no provenance"),
    pipeline("stages:", "stage:", "mine.yaml:7: stage: unknown key; did you mean 'stages'?; allowed: schema_version,"),
    pipeline("batch: 2,", "batch: 1,", "mine.yaml:20: stages[sort].variants[small].figures[1].throughput_rps: should"),
    pipeline("mean_s: 0.3,", "mean_s: 0,", "figures[2].mean_s: should be above 0; given 0"),
    pipeline("mean_s: 0.3,", "", "mine.yaml:21: stages[sort].variants[small].figures[2].mean_s: this key is missing"),
    pipeline("batch: 1,", "batch: 3,", "mine.yaml:18: stages[sort].variants[small].figures: batch size 1 is missing,"),
    pipeline("{sort: 2}", "{srt: 2}", "mine.yaml:23: published.switch_only_replicas.srt: no stage is called 'srt';"),
    pipeline("pinned_s: 2", "pinned_s: -2", "mine.yaml:12: stages[sort].sla.pinned_s: should be above 0; given -2"),
    pipeline("{pinned: 1,", "{pinned: 7,", "mine.yaml:17: stages[sort].variants[small].base_cores.pinned: should be"),
    pipeline("task: sorts", "task: [sorts", "mine.yaml:10: not valid YAML: did not find expected ',' or ']'"),
    table("", "t.csv: no rows: should have a header and a row for each measurement"),
    table("a,b\n1,2\n", "t.csv:1: the column accuracy is missing; given: a, b"),
    table(TABLE + "sort,small,84,1,1,fast,70\n", "t.csv:2: mean_ms: should be a number above 0 and at most 86400000;"),
    Wrong("pipeline new new.yaml", "Missing option '--from'."),
    Wrong("pipeline new mine.yaml --from table.csv", "mine.yaml: already exists"),
    Wrong("pipeline new my.py/new.yaml --from table.csv", "my.py/new.yaml: cannot be written: my.py is not a folder"),
    Wrong("pipeline new é.yaml --from table.csv", "é.yaml: its name should have lower-case letters"),
    Wrong("pipeline new new.yaml --from gone.csv", "gone.csv: cannot be read: No such file or directory"),
    Wrong("pipeline new new.yaml --from run/requests.parquet", "run/requests.parquet: not a text file (UTF-8)"),
    Wrong("pipeline new table.csv --from table.csv", "table.csv: should end in .yaml"),
    Wrong("pipeline show vidoe", "no pipeline is called 'vidoe'; did you mean 'video'?; shipped: audio-qa,"),
    Wrong("pipeline show video --stage x", "video has no stage 'x'; allowed: object-detection, image-classification"),
    Wrong("pipeline show video --to my.py/x.html", "my.py/x.html: cannot be written: my.py is not a folder"),
]
