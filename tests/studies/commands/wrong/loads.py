"""Loads: files of counts and times, logs, servers that have recorded them."""

from __future__ import annotations

from tests.studies.commands.wrong.rows import Wrong, log, trace

TRACES = [
    trace("", "t.csv: the file is empty"),
    trace("time\n", "t.csv: no rows below the header"),
    trace("time\n2026-01-05T10:00:00\n2026-01-05T10:00:01Z\n", "t.csv, line 3, column time: '2026-01-05T10:00:01Z'"),
    trace("a,b\n1,2\n", "t.csv, line 1: no column of times (timestamp, time, arrival, or with a unit such as"),
    trace(
        "time\n1764000000\n",
        "t.csv, line 1: read.time_column: no column is called 'x'; there are",
        "--set read.time_column=x",
    ),
    trace(
        "time\n1764000000\n",
        "read.time_unit: should be 's', 'ms', 'us', 'ns', 'min', 'h' or 'd'; given 'w'",
        "--set read.time_unit=w",
    ),
    trace(
        "time\n2026-01-05T10:00:00\n",
        "t.csv, line 2, column time: '2026-01-05T10:00:00' is not a number",
        "--set read.time_unit=ms",
    ),
    trace(
        "time\n2026-01-05T10:00:00\n",
        "read.time_zone: 'Mars': this machine knows no such zone; give one such as Europe/Berlin",
        "--set read.time_zone=Mars",
    ),
    trace(
        "time\n2026-03-29T02:30:00\n",
        "t.csv, line 2, column time: '2026-03-29T02:30:00' does not exist in Europe/Berlin:",
        "--set read.time_zone=Europe/Berlin",
    ),
    trace("minute,count\n0,5\n1,-5\n", "t.csv, line 3, column count: -5 is negative"),
    trace("second,count,count\n0,5,5\n", "t.csv, line 1: the column 'count' is given twice: 'second', 'count',"),
    trace("second,count\n0,5\n0,5\n", "t.csv, line 3, column second: 0 is the time of line 2 too; a time has one row"),
    trace("second,count\n0,1e12\n", "t.csv, line 2, column count: 1000000000000 is too large: a second has at most"),
    trace("second,count\n0,\n", "t.csv, line 2, column count: '' is not a number"),
    trace("second;count\n0;5\n", ("t.csv, line 1: no column of times", "values are separated by commas, not by ';'")),
    trace("second\tcount\n0\t5\n", "values are separated by commas, not by '\\t'"),
    trace(b"\xff\xfe\x00\x01time\n", "t.csv, line 1: not UTF-8 text: invalid start byte"),
    trace("arrival_s\n-1\n", "t.csv, line 2, column arrival_s: -1 is negative"),
    log("", "says time, unit and zone itself; leave read.time_column out", "--set read.time_column=time"),
    log("", "says time, unit and zone itself; leave read.time_unit out", "--set read.time_unit=ms"),
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
    Wrong("simulate mine.yaml --trace ''", "trace '': should be a named load or a file; ipa trace list lists the"),
    Wrong("simulate mine.yaml --trace burtsy", "unknown trace 'burtsy': neither a file nor one of bursty,"),
    Wrong("simulate mine.yaml --trace twitter:bursty", "'twitter:bursty' is cut from the real trace, whose file is"),
    Wrong("simulate mine.yaml --trace twitter:burtsy", "unknown trace 'twitter:burtsy'; did you mean"),
    Wrong("simulate mine.yaml --trace constant:nan", "'constant:nan': should be constant:RATE or constant:RATE:"),
    Wrong("simulate mine.yaml --trace constant:1e9", "trace constant:1e+09: 1,200,000,000,000 requests and 120"),
    Wrong("simulate mine.yaml --trace load.csv --window 0:9", "window 0:9: should start at 0 or later, end after its"),
    Wrong("simulate mine.yaml --trace load.csv --window 0:1,5:6", "window 5:6: should start at 0 or later, end after"),
    Wrong("simulate mine.yaml --trace load.csv --window=-1:1", "window -1:1: should start at 0 or later, end after"),
    Wrong("simulate mine.yaml --trace load.csv --window x", "window: a window is START:END in seconds, such as"),
    Wrong("simulate mine.yaml --trace load.csv --scale 0", "'--scale': '0'; allowed: a finite number above 0"),
    Wrong("simulate mine.yaml --trace load.csv --scale x", "'--scale': 'x'; allowed: a finite number above 0"),
    Wrong("simulate mine.yaml --trace load.csv --scale 1e12", "scale 1e+12: a second of 5 requests would have more"),
    Wrong("simulate mine.yaml --trace load.csv --set arrivals=x", "arrivals: should be 'poisson', 'poisson-count'"),
    Wrong("simulate mine.yaml --trace load.csv --set records=some", "records: should be 'all', 'sample' or 'none'"),
    Wrong("trace info gone.csv", "gone.csv: no such file; did you mean 'load.csv'?"),
    Wrong("trace info load.csv --window 0:9", "window 0:9: should start at 0 or later, end after its start and end"),
    Wrong("trace info bursty --seed x", "'--seed': 'x'; allowed: a whole number from 0"),
    Wrong("trace convert load.csv --to load.txt", "load.txt: unknown suffix '.txt'; supported: .csv, .parquet"),
    Wrong("trace convert load.csv --to load.csv", "load.csv: already exists; choose another name"),
    Wrong("trace convert load.csv --to no/x.csv", "no/x.csv: cannot be written: No such file or directory"),
    Wrong("trace convert load.csv --to x.csv --scale 1e15", "scale 1e+15: a second of 5 requests would have more"),
]
