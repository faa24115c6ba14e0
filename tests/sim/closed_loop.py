"""One replica of a language model on its own, by its scheduler: in a closed loop, and on given arrivals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from ipa.profiles import LanguageModel
from ipa.sim.language_model import Scheduler
from ipa.sim.language_model import Sequence as Request


def closed_loop(
    model: LanguageModel, at_once: int, tokens: Callable[[int], tuple[int, int]], warm_up: int, requests: int
) -> tuple[float, float]:
    """Seconds per output token of a request, and output tokens per second, with so many requests at once, each followed
    by the next.

    `tokens`: number of a request -> input and output tokens. The first `warm_up` that end do not count, the next
    `requests` do.
    """
    scheduler, numbers, since_s = Scheduler(model), count(), {}
    now_s, begun_s, ended, latency_s, generated = 0.0, 0.0, 0, 0.0, 0
    for number in [next(numbers) for _ in range(at_once)]:
        scheduler.add(Request(number, *tokens(number)))
        since_s[number] = 0.0
    while ended < warm_up + requests:
        now_s += scheduler.begin()
        for request in scheduler.end()[1]:
            ended += 1
            if ended == warm_up:
                begun_s = now_s
            elif ended > warm_up:
                latency_s += now_s - since_s[request.item]
                generated += request.output_tokens
            number = next(numbers)
            scheduler.add(Request(number, *tokens(number)))
            since_s[number] = now_s
    return latency_s / generated, generated / (now_s - begun_s)


def served(
    model: LanguageModel, arrivals_s: Sequence[float], tokens: Sequence[tuple[int, int]]
) -> list[tuple[float, float]]:
    """When requests that come at these times have their first and their last token [s]."""
    scheduler, now_s, coming, present = Scheduler(model), 0.0, 0, 0
    first_s, last_s = [0.0] * len(tokens), [0.0] * len(tokens)
    while coming < len(tokens) or present:
        if not present:
            now_s = max(now_s, arrivals_s[coming])
        while coming < len(tokens) and arrivals_s[coming] <= now_s:
            scheduler.add(Request(coming, *tokens[coming]))
            coming, present = coming + 1, present + 1
        now_s += scheduler.begin()
        begun, ended = scheduler.end()
        for request in begun:
            first_s[request.item] = now_s
        for request in ended:
            last_s[request.item] = now_s
        present -= len(ended)
    return list(zip(first_s, last_s, strict=True))
