"""Each invariant holds for a history in which all went well, and says what is wrong with one in which something did."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.live.chaos.history import SILENT, UNREACHABLE, Answer, History, Life, Span, Usage, Write
from tests.live.chaos.invariants import INVARIANTS, Bounds, broken
from tests.live.chaos.load import not_own

MIB = 2**20
BOUNDS = Bounds(converges_within_s=60.0, most_bytes={"gateway": 512 * MIB})


def record(name: str, outcome: str = "completed", **more: Any) -> dict[str, Any]:
    """A request that came at 1, was served from 2 to 3, and ended then."""
    visit = {"enqueue_s": 1.0, "start_s": 2.0, "finish_s": 3.0}
    return {"id": name, "outcome": outcome, "arrival_s": 1.0, "stages": [visit], "end_s": 3.0, **more}


def well() -> History:
    """Two gateways: one that was killed at 12, and that of 20 to the end at 30."""
    killed = Life("a", 0.0, 11.5, [record("r0"), record("r1", "dropped")])
    last = Life("b", 20.0, 30.0, [record("r3")], received=1, ended=Counter(completed=1), is_whole=True)
    return History(
        asked={"r0", "r1", "r2", "r3"},
        answers=[
            Answer("r0", 1.0, 3.0, 200),
            Answer("r1", 1.0, 3.0, 504),
            Answer("r2", 12.5, 13.0, UNREACHABLE),
            Answer("r3", 21.0, 22.0, 200),
        ],
        hostile=[Answer("h0", 5.0, 6.0, 400)],
        lives=[killed, last],
        outages=[Span(12.0, 20.0)],
        usage=[Usage(second, "gateway", 7, 100 * MIB, 30) for second in range(40)],
        writes=[
            Write("one", 0.0, 0.1, "Lease", takes_lease=True),
            Write("one", 1.0, 1.1, "Deployment"),
            Write("two", 15.0, 15.1, "Lease", takes_lease=True),
            Write("two", 16.0, 16.1, "Deployment"),
        ],
        steps=[
            [1, 1, 2, 2, 3, 3, 2, 7],
            [4],
        ],  # a decision that came to nothing later is written again; steps are skipped
        converged_s=4.0,
        probes=[200, 200],
    )


def said(history: History) -> dict[str, str]:
    return {each.invariant: "\n".join(each.evidence) for each in broken(history, BOUNDS)}


def test_nothing_is_said_of_a_history_in_which_all_went_well() -> None:
    assert broken(well(), BOUNDS) == []


def answered(*answers: Answer) -> History:
    history = well()
    history.answers += answers
    history.asked |= {answer.request for answer in answers}
    return history


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        (Answer("r0", 1.0, 3.0, 200), "r0: 2 answers"),
        (Answer("r9", 21.0, 81.0, SILENT), "r9, sent at 21.00, ended after 60.00 s: no answer"),
        (Answer("r9", 21.0, 22.0, 500), "status 500"),
        (Answer("r9", 21.0, 22.0, UNREACHABLE, "reset"), "broke (reset) while there was a gateway"),
    ],
)
def test_an_answer_too_many_or_none_is_found(answer: Answer, evidence: str) -> None:
    assert evidence in said(answered(answer))["every request has exactly one outcome"]


def test_a_request_that_vanishes_is_found() -> None:
    history = well()
    history.asked.add("r9")
    assert said(history) == {"every request has exactly one outcome": "r9: 0 answers"}


def test_a_request_that_fails_by_what_another_holds_is_found() -> None:
    why = "failed at stage 'find': replica 0 (small) answered 500: the model failed: IndexError: poisoned"
    assert why in said(answered(Answer("r9", 21.0, 22.0, 502, why)))["no request fails by what is in another"]


def test_an_answer_of_another_is_found() -> None:
    body = b'{"id": "r7", "outputs": [{"shape": [1, 1], "data": [8]}]}'
    problem = not_own(body, "r7", 7, 1)
    assert problem == "('r7', [1, 1], [8]) for ('r7', [1, 1], [7])"
    assert not_own(body.replace(b"8", b"7"), "r7", 7, 1) == ""
    history = well()
    history.answers[0] = replace(history.answers[0], problem=problem)
    assert problem in said(history)["no request gets the answer of another"]


@pytest.mark.parametrize(
    ("life", "change", "evidence"),
    [
        (1, record("r3"), "r3: in the books 2 times"),
        (1, record("r0"), "r0: in the books 2 times"),
        (1, record("r77"), "r77: in the books, but never asked"),
        (0, record("r2", "failed"), ""),  # its client saw the connection break
    ],
)
def test_books_that_say_too_much_are_found(life: int, change: dict[str, Any], evidence: str) -> None:
    history = well()
    history.lives[life].records.append(change)
    history.lives[life].received += 1
    history.lives[life].ended[change["outcome"]] += 1
    assert said(history).get("the books say what clients saw", "") == evidence


def test_books_that_lack_a_request_are_found_unless_nobody_has_read_them() -> None:
    history = answered(Answer("r8", 11.4, 11.9, 200), Answer("r9", 21.0, 22.0, 200))
    evidence = said(history)["the books say what clients saw"]
    assert evidence == "r9, sent at 21.00, ended after 1.00 s: answered 200, and not in the books"


def test_books_that_lack_what_a_leaving_gateway_answered_are_not_blamed() -> None:
    """r9 went to the old gateway, on a connection that was still open; r10 came when that had long been gone."""
    history = answered(Answer("r9", 21.0, 22.0, 200), Answer("r10", 33.1, 33.2, 200))
    history.leavings.append(Span(20.5, 32.5))
    evidence = said(history)["the books say what clients saw"]
    assert evidence == "r10, sent at 33.10, ended after 0.10 s: answered 200, and not in the books"


def test_books_that_say_something_else_are_found() -> None:
    history = well()
    history.lives[0].records[0]["outcome"] = "dropped"
    assert "dropped in the books, yet answered 200" in said(history)["the books say what clients saw"]


def test_times_out_of_order_are_found() -> None:
    history = well()
    history.lives[0].records[0]["end_s"] = 2.5
    assert "times out of order" in said(history)["the laws hold"]


@pytest.mark.parametrize(
    ("change", "evidence"),
    [
        ({"received": 2}, "2 received, 1 ended"),
        ({"received": 3, "inside": 1}, "3 received, 1 ended, 1 inside"),
        ({"received": 2, "ended": Counter(completed=2)}, "1 records of 2"),
    ],
)
def test_accounting_that_does_not_add_up_is_found(change: dict[str, Any], evidence: str) -> None:
    history = well()
    for key, value in change.items():
        setattr(history.lives[1], key, value)
    assert evidence in said(history)["the accounting adds up"]


@pytest.mark.parametrize("status", [500, SILENT])
def test_an_attack_that_hurts_is_found(status: int) -> None:
    history = well()
    history.hostile.append(Answer("h1", 5.0, 6.0, status, "bomb"))
    assert "bomb" in said(history)["hostile requests are refused in form"]


def test_a_process_that_ends_by_itself_is_found() -> None:
    history = well()
    history.defects.append("run 3 ended with 1 after nothing")
    assert said(history) == {"nothing ends or fails by itself": "run 3 ended with 1 after nothing"}


@pytest.mark.parametrize(
    ("write", "evidence"),
    [
        (Write("one", 16.5, 17.0, "Deployment"), "one wrote Deployment at 17.00, while two held the Lease"),
        (Write("two", 14.0, 14.5, "Deployment"), "two wrote Deployment at 14.50, while one held the Lease"),
    ],
)
def test_a_second_writer_is_found(write: Write, evidence: str) -> None:
    history = well()
    history.writes.append(write)
    assert said(history) == {"there is one writer": evidence}


def test_a_write_after_the_lease_was_given_back_is_found() -> None:
    history = well()
    history.writes += [Write("two", 18.0, 18.1, "Lease", gives_lease=True), Write("two", 18.2, 18.3, "Deployment")]
    assert "while nobody held the Lease" in said(history)["there is one writer"]


def test_steps_of_two_controllers_in_one_journal_are_found() -> None:
    history = well()
    history.steps.append([9, 8])
    assert said(history) == {"there is one writer": "step 8 was begun after step 9"}


@pytest.mark.parametrize(
    ("usage", "evidence"),
    [
        (Usage(40.0, "gateway", 8, 600 * MIB, 30), "gateway 8: 600 MiB resident"),
        (Usage(40.0, "gateway", 8, 100 * MIB, 5000), "gateway 8: 5000 descriptors"),
        (Usage(40.0, "gateway", 7, 300 * MIB, 30), "gateway 7: from 100 to 300 MiB within 20 s"),
    ],
)
def test_a_process_that_grows_is_found(usage: Usage, evidence: str) -> None:
    history = well()
    history.usage.append(usage)
    assert evidence in said(history)["memory and descriptors are bounded"]


def test_a_configuration_that_does_not_come_to_stand_is_found() -> None:
    history = well()
    history.converged_s, history.standing = None, "listed: {}"
    assert said(history) == {"the configuration converges": "60 s after the last fault: listed: {}"}
    history = well()
    history.probes.append(504)
    assert said(history) == {"the configuration converges": "requests after that were answered {504: 1}"}


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    """Those above; here only that none was added without."""
    assert len(INVARIANTS) == 11
