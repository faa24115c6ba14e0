"""`make verify`: literal simulators of the rules on fresh random scenarios, all recursions and closed forms at larger
sizes, and what intervals hold, as tables; exit code 1 where one does not hold."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, log
from pathlib import Path
from time import perf_counter

import numpy as np

from ipa.live.profiling import repeats
from ipa.sim import choose_engine
from tests.programs.benchmarks.tables import Value, machine
from tests.programs.verification import coverage, real_runs, scenarios
from tests.programs.verification.cases import CASES, TOLERANCE_SDS, Case
from tests.programs.verification.exact import EXACT, TOLERANCE_S, Exact

Row = dict[str, Value]

EXACT_REQUESTS = 100_000
RUN_REQUESTS = {"compiled": 1_000_000, "simpy": 200_000}
TOLERANCE = 0.01
"""The compiled engine makes as many runs as bring the tolerance down to this; SimPy makes one."""

SPREAD_RUNS, SPREAD_REQUESTS, FIRST_SPREAD_RUN = 200, 100_000, 1_000_000

Columns = Sequence[tuple[str, str, str]]
EXACT_COLUMNS: Columns = (
    ("case", "recursion", ""),
    ("engine", "engine", ""),
    ("requests", "requests", ",d"),
    ("difference_s", "largest difference [s]", ".1e"),
    ("tolerance_s", "tolerance [s]", ".0e"),
    ("seconds", "seconds", ".1f"),
)
MEAN_COLUMNS: Columns = (
    ("case", "case", ""),
    ("theory", "theory", ".5f"),
    ("simulated", "simulated", ".5f"),
    ("error", "error", "+.2%"),
    ("tolerance", "tolerance (4 sd)", ".2%"),
    ("engine", "engine", ""),
    ("requests", "requests", ",d"),
    ("seconds", "seconds", ".1f"),
)


SCENARIO_COLUMNS: Columns = (
    ("case", "scenarios", ""),
    ("engine", "engine", ""),
    ("seeds", "seeds", ""),
    ("differing", "differ from the literal simulator", "d"),
    ("seconds", "seconds", ".1f"),
)


def scenario_row(kind: scenarios.Kind, engine: str, first: int) -> Row:
    """One kind of random scenarios in one engine, beside the literal simulator."""
    began_s = perf_counter()
    differing = kind.differing(engine, first)
    return {
        "case": kind.name,
        "engine": engine,
        "seeds": f"{first} to {first + kind.count - 1}",
        "differing": len(differing),
        "first_differing": differing[0] if differing else None,
        "seconds": perf_counter() - began_s,
        "holds": not differing,
    }


def exact_row(case: Exact, engine: str) -> Row:
    """One recursion beside one engine."""
    began_s = perf_counter()
    difference_s = case.largest_difference_s(engine, EXACT_REQUESTS, 1)
    return {
        "case": case.name,
        "engine": engine,
        "requests": EXACT_REQUESTS,
        "difference_s": difference_s,
        "tolerance_s": TOLERANCE_S,
        "seconds": perf_counter() - began_s,
        "holds": difference_s <= TOLERANCE_S,
    }


def mean_row(case: Case, engine: str) -> Row:
    """One closed form beside the mean over the runs of one engine."""
    began_s = perf_counter()
    requests = RUN_REQUESTS[engine]
    runs = ceil((TOLERANCE_SDS * case.sd(requests) / TOLERANCE) ** 2) if engine == "compiled" else 1
    simulated = float(np.mean([case.simulated(engine, requests, number) for number in range(1, runs + 1)]))
    error, tolerance = simulated / case.theory - 1.0, TOLERANCE_SDS * case.sd(runs * requests)
    return {
        "case": case.name,
        "theory": case.theory,
        "simulated": simulated,
        "error": error,
        "tolerance": tolerance,
        "engine": engine,
        "requests": runs * requests,
        "seconds": perf_counter() - began_s,
        "holds": abs(error) <= tolerance,
    }


def table(title: str, columns: Columns, rows: list[Callable[[], Row]]) -> list[Row]:
    """Make the rows, and print each as soon as it is there, as Markdown."""
    print(f"{title}\n")
    print("| " + " | ".join(heading for _, heading, _ in columns) + " |")
    print("|" + "|".join("--:" if form else "---" for *_, form in columns) + "|")
    made = []
    for make in rows:
        row = make()
        mark = "" if row["holds"] else " **does not hold**"
        print("| " + " | ".join(format(row[key], form) for key, _, form in columns) + " |" + mark, flush=True)
        made.append(row)
    print()
    return made


COVERAGE_ROWS = 20_000
COVERAGE_COLUMNS: Columns = (
    ("case", "what", ""),
    ("theory", "theory", ".1%"),
    *((f"of_{seeds}", f"{seeds} seeds", ".1%") for seeds in (5, 8, 20)),
    *((f"student_{seeds}", f"Student's, {seeds} seeds", ".1%") for seeds in (5, 20)),
    ("least", "at least", ".0%"),
)
REAL_ROWS = 2000
REAL_COLUMNS: Columns = (
    ("case", "policy and figure", ""),
    *((f"of_{seeds}", f"{seeds} seeds", ".1%") for seeds in (5, 8, 20)),
)
RATE_COLUMNS: Columns = (("case", "what", ""), ("theory", "theory", ""), ("simulated", "simulated", ".1%"))


def coverage_row(outcome: coverage.Outcome) -> Row:
    """How often intervals over some seeds hold the mean."""
    random = np.random.default_rng(1)
    found = {seeds: outcome.coverage(seeds, COVERAGE_ROWS, random) for seeds in (5, 8, 20)}
    return {
        "case": outcome.name,
        "theory": 0.95,
        **{f"of_{seeds}": ours for seeds, (ours, _) in found.items()},
        **{f"student_{seeds}": student for seeds, (_, student) in found.items()},
        "least": outcome.least,
        "holds": min(ours for ours, _ in found.values()) >= outcome.least,
    }


def real_row(outcome: coverage.Outcome) -> Row:
    """How often intervals over some seeds of real runs hold the mean."""
    random = np.random.default_rng(1)
    found = {f"of_{seeds}": outcome.coverage(seeds, REAL_ROWS, random)[0] for seeds in (5, 8, 20)}
    return {"case": outcome.name, **found, "holds": min(found.values()) >= outcome.least}


def rate_row(name: str, find: Callable[[], float], bound: float, *, is_most: bool) -> Row:
    """How often something is so, beside how often it may be, or has to be."""
    rate = find()
    theory = f"{'at most' if is_most else 'at least'} {bound:.0%}"
    return {"case": name, "theory": theory, "simulated": rate, "holds": rate <= bound if is_most else rate >= bound}


def rate_rows() -> list[Callable[[], Row]]:
    """What is claimed of bounds, winners, dominated settings and changes."""
    return [
        *(
            partial(
                rate_row,
                f"upper ends over {seeds} seeds ({outcome.name}): not below the mean",
                partial(coverage.upper_ends_held, outcome, seeds, 20_000, np.random.default_rng(1)),
                0.97,
                is_most=False,
            )
            for outcome, seeds in ((coverage.WHOLE_BURSTS, 3), (coverage.WHOLE_BURSTS, 4), (coverage.OUTCOMES[1], 4))
        ),
        *(
            partial(
                rate_row,
                f"a wrong winner over 5 seeds ({name})",
                partial(coverage.wrong_winners, settings, 5, 5000, np.random.default_rng(1)),
                0.05,
                is_most=True,
            )
            for name, settings in coverage.WINNERS.items()
        ),
        *(
            partial(
                rate_row,
                f"some setting called dominated over 5 seeds ({settings} equal ones, cost and PAS {how})",
                partial(coverage.wrongly_dominated, settings, 5, 1000, np.random.default_rng(1), correlation),
                0.05,
                is_most=True,
            )
            for settings in (3, 8, 20)
            for how, correlation in coverage.CORRELATIONS.items()
        ),
        *(
            partial(
                rate_row,
                f"a change over 4 windows of `ipa tune` ({outcome.name}): its interval holds it",
                partial(coverage.changes_held, outcome, 4, 2000, np.random.default_rng(1)),
                0.93,
                is_most=False,
            )
            for outcome in (coverage.OUTCOMES[2], coverage.SKEWED, coverage.OUTCOMES[-1])
        ),
        *(
            partial(
                rate_row,
                f"`ipa profile run` within {within:.0%}: the last interval of the {name} holds it",
                partial(coverage.profiled, of, within, truth, 400, np.random.default_rng(5)),
                0.93,
                is_most=False,
            )
            for name, of, within, truth in (
                ("mean", (repeats.mean_of,), 0.05, 1.0),
                ("p99", (repeats.mean_of, repeats.p99_of), 0.2, log(100)),
            )
        ),
    ]


def print_spreads() -> None:
    """Measure every case's spread anew, and the error of the mean over all those runs in its standard deviations."""
    for case in CASES:
        numbers = range(FIRST_SPREAD_RUN, FIRST_SPREAD_RUN + SPREAD_RUNS)
        figures = np.array([case.simulated("compiled", SPREAD_REQUESTS, number) for number in numbers]) / case.theory
        sd = float(np.std(figures, ddof=1))
        off = (float(np.mean(figures)) - 1.0) / (sd / SPREAD_RUNS**0.5)
        print(
            f"{case.name:50} stated {case.spread:6.2f} measured {sd * SPREAD_REQUESTS**0.5:6.2f} {off:+.1f}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the results")
    parser.add_argument("--spreads", action="store_true", help="measure the standard deviations instead")
    parser.add_argument(
        "--fresh", type=int, metavar="SEED", default=scenarios.FIRST, help="the first seed of the random scenarios"
    )
    arguments = parser.parse_args()
    if arguments.spreads:
        print_spreads()
        return
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, Python {here['python']}, {here['packages']}\n")
    chosen = ["simpy"] if choose_engine("auto") == "simpy" else ["compiled", "simpy"]
    literal = table(
        "Request by request and item by item, beside literal simulators of the rules",
        SCENARIO_COLUMNS,
        [partial(scenario_row, kind, engine, arguments.fresh) for kind in scenarios.kinds() for engine in chosen],
    )
    exact = table(
        "Request by request",
        EXACT_COLUMNS,
        [partial(exact_row, case, engine) for case in EXACT for engine in chosen],
    )
    means = [
        row
        for engine in chosen
        for row in table(
            f"In the mean: {engine}",
            MEAN_COLUMNS,
            [partial(mean_row, case, engine) for case in CASES],
        )
    ]
    covered = table(
        "Intervals over seeds: how often they hold the mean",
        COVERAGE_COLUMNS,
        [partial(coverage_row, outcome) for outcome in coverage.OUTCOMES],
    )
    real = table(
        f"Intervals over seeds of {real_runs.SEEDS} runs of video on bursty: how often they hold the mean of all",
        REAL_COLUMNS,
        [partial(real_row, outcome) for outcome in real_runs.outcomes(real_runs.made())],
    )
    rates = table("Claims over seeds: how often they are right or wrong", RATE_COLUMNS, rate_rows())
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "machine": here,
            "scenarios": literal,
            "exact": exact,
            "means": means,
            "coverage": covered,
            "real": real,
            "claims": rates,
        }
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    rows = [*literal, *exact, *means, *covered, *real, *rates]
    broken = [row for row in rows if not row["holds"]]
    print(f"{len(rows) - len(broken)} hold, {len(broken)} do not")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
