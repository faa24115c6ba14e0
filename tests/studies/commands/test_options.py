"""The options that describe a scenario: how wrong ones are answered."""

from __future__ import annotations

import pytest

from tests.command import is_refused, refusal


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("simulate vidoe", ["'vidoe'", "did you mean 'video'", "shipped: "]),
        ("simulate video --policy ipaa", ["'ipaa'", "did you mean 'ipa'", "allowed: hpa, inferline, ipa"]),
        ("simulate video --policy scale-only:lwo", ["'lwo'", "did you mean 'low'"]),
        ("simulate video --policy static:yolov5q:1:1,resnet18:1:1", ["'yolov5q'", "yolov5x", "did you mean"]),
        ("simulate video --policy static:yolov5n:0:1,resnet18:1:1", ["batch=0", "at least 1"]),
        ("simulate video --policy static:1,0", ["replicas=0", "at least 1"]),
        ("simulate video --policy static:1,-1", ["1,-1", "whole numbers"]),
        ("simulate video --policy static:1,nan", ["1,nan", "whole numbers"]),
        ("simulate video --policy static:1,99999999", ["99999999", "from 1 to 10000"]),
        ("simulate video --policy=", ["policy ''"]),
        ("simulate video --trace burtsy", ["'burtsy'", "did you mean 'bursty'"]),
        ("simulate video --trace constant:0", ["above 0, not 0"]),
        ("simulate video --trace constant:-5", ["above 0, not -5"]),
        ("simulate video --trace constant:nan", ["not nan"]),
        ("simulate video --trace constant:inf", ["not inf"]),
        ("simulate video --trace twitter:bursty", ["IPA_TRACE"]),
        ("simulate video --trace nofile.csv", ["nofile.csv: no such file"]),
        ("simulate video --scale 0", ["scale: should be greater than 0; given 0.0"]),
        ("simulate video --scale -1", ["scale", "greater than 0; given -1.0"]),
        ("simulate video --scale nan", ["scale", "finite number; given nan"]),
        ("simulate video --scale inf", ["scale", "finite number; given inf"]),
        ("simulate video --window 5", ["window: a window is START:END", "given '5'"]),
        ("simulate video --window 1:2:3", ["START:END"]),
        ("simulate video --set window=3", ["window: should be START:END in seconds, or a list of these; given 3"]),
        ("simulate video --records some", ["--records", "'some'", "allowed: all, "]),
        ("simulate video --journal ful", ["--journal", "'ful'", "did you mean 'full'", "allowed: lean, full"]),
        ("simulate video --scaling flor", ["--scaling", "'flor'", "did you mean 'floor'", "allowed: floor, thin"]),
        ("simulate video --window=", ["START:END"]),
        ("simulate video --window a:b", ["START:END"]),
        ("simulate video --window nan:10", ["given nan"]),
        ("simulate video --window 5:5", ["window 5:5", "0 to 1200"]),
        ("simulate video --window 5:3", ["window 5:3"]),
        ("simulate video --window 1000:1300", ["window 1000:1300", "0 to 1200"]),
        ("simulate video --window 0.5:10", ["whole seconds"]),
        ("simulate video --seed -1", ["--seed", "-1"]),
        ("simulate video --seed 9223372036854775808", ["seed", "9223372036854775807"]),
        ("simulate video --arrivals even-ish", ["arrivals", "'even-ish'", "did you mean 'even'"]),
        ("simulate video --set foo", ["--set foo: should be KEY=VALUE"]),
        ("simulate video --set =3", ["--set =3: should be KEY=VALUE"]),
        ("simulate video --set a..b=3", ["--set a..b=3: should be KEY=VALUE"]),
        ("simulate video --set intervals=3", ["intervals", "did you mean 'interval_s'"]),
        ("simulate video --set interval_s=x", ["interval_s", "number; given 'x'"]),
        ("simulate video --set interval_s=0", ["interval_s", "greater than 0; given 0"]),
        ("simulate video --set interval_s=", ["interval_s", "given nothing"]),
        ("simulate video --set seed=1.5", ["seed", "integer; given 1.5"]),
        ("simulate video --set seed=true", ["seed", "integer; given True"]),
        ("simulate video --set seed.x=1", ["seed.x", "single value"]),
        ("simulate video --set policy.bta=1", ["'bta'", "did you mean 'beta'"]),
        ("simulate video --set policy.beta=much", ["beta='much'"]),
        ("simulate video --set policy.beta=.nan", ["beta=nan"]),
        ("simulate video --set seed=[1", ["--set seed=[1: not valid YAML"]),
        ("simulate video --set history_s=100000000000", ["history_s", "86400"]),
        ("simulate video --set limit_cores=0", ["limit_cores", "given 0"]),
        ("simulate video --set limit_cores=-2", ["limit_cores", "given -2"]),
        ("simulate video --set guards.max_replicas=0", ["guards.max_replicas", "given 0"]),
        ("simulate video --set guards={min_replicas:5}", ["guards"]),
        (
            "simulate video --set guards.min_replicas=5 --set guards.max_replicas=2",
            ["guards: max_replicas 2 is below min_replicas 5"],
        ),
        ("simulate video --set max_surge=0", ["max_surge and max_unavailable are both 0"]),
        ("simulate video --set drop_limits_s.object-detectio=3", ["did you mean 'object-detection'"]),
        ("simulate video --set initial.object-detection.variant=yolov5n", ["start: configured"]),
        ("simulate nofile.yaml", ["nofile.yaml: cannot be read: No such file"]),
        ("simulate .", ["cannot be read: Is a directory"]),
    ],
)
def test_wrong_input_is_answered_with_what_is_allowed(command: str, texts: list[str]) -> None:
    is_refused(command, texts)


@pytest.mark.parametrize(
    ("start_of", "text"),
    [
        ("variant=yolov5q", "initial: stage 'object-detection': unknown variant 'yolov5q'"),
        ("batch=0", "initial.object-detection.batch: should be greater than or equal to 1; given 0"),
        ("batch=65", "batch 65; allowed for 'yolov5n': ints from 1 to 64"),
        ("batch=.nan", "initial.object-detection.batch: should be a valid integer; given nan"),
        ("replicas=-1", "initial.object-detection.replicas: should be greater than or equal to 1; given -1"),
        ("cores=3", "3 cores are not profiled for 'yolov5n'; allowed: 1, 2, 4"),
        ("batch_timeout_s=.inf", "initial.object-detection.batch_timeout_s: should be a finite number; given inf"),
    ],
)
def test_a_start_that_cannot_be_is_refused(start_of: str, text: str) -> None:
    stage = "initial.object-detection"
    settings = ("--set", "start=configured", "--set", f"{stage}.variant=yolov5n", "--set", f"{stage}.{start_of}")
    assert text in refusal("simulate", "video", *settings)
