"""Pipelines and profiles."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import ROW, TABLE, Wrong, pipeline, table

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
