"""Measures a language model under a load: requests of its stage's tokens, so many at once, each by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ipa.live.errors import LiveError
from ipa.live.profiling.machine import Clocks, ModelServer
from ipa.live.profiling.measuring import serving
from ipa.live.profiling.repeats import gathered
from ipa.live.profiling.values import Effort, Target, TextLoad
from ipa.live.serving import LLAMA_CPP, Probe, words
from ipa.profiles import LanguageModel, StageTokens
from ipa.sim.language_model import tokens_at

FEWEST, ROUNDS = 40, 4
"""The fewest requests of a load, and the fewest for each of those at once."""

WARM_UP = 3
"""Requests before the first load, one after another, which do not count."""

PAUSES = (0.25, 0.75)
"""The least and the longest pause before a request, as shares of the mean time of those of the warm-up.

So requests do not come just as a step begins, nor before others have ended in a simulation that is a little slower.
"""

DRAWN = 1024
"""How many requests are drawn at once."""


@dataclass
class TextSession:
    """A running language model, and the tokens of the requests for it; one has `room` for so many in all."""

    target: Target
    probe: Probe
    tokens: StageTokens
    room: int
    effort: Effort
    pids: tuple[int, ...] = ()
    alone_s: float = 0.0
    """The mean time of a request of the warm-up."""

    async def load(self, at_once: int) -> TextLoad:
        """Send so many requests at once, each after the answer to another and a random pause.

        It lasts for the effort's `longest_s`, or longer for FEWEST and ROUNDS. Raises ProbeError.
        """
        draws = np.random.default_rng([self.effort.seed, at_once])
        lengths = self._lengths(draws)
        fewest = max(FEWEST, ROUNDS * at_once)
        rows: list[tuple[float, float, float, int, int]] = []
        sent = 0
        before, began_s = Clocks.read(self.pids), time.monotonic()

        async def client() -> None:
            nonlocal sent
            while sent < fewest or time.monotonic() < began_s + self.effort.longest_s:
                sent += 1
                rows.append(await self._served(next(lengths), began_s))
                await asyncio.sleep(self.alone_s * float(draws.uniform(*PAUSES)))

        await gathered([client() for _ in range(at_once)])
        elsewhere = before.until(Clocks.read(self.pids))
        queued_s, first_s, last_s, prompts, outputs = zip(*sorted(rows), strict=True)
        names = self.target.stage, self.target.variant
        times = queued_s, first_s, last_s
        return TextLoad(*names, at_once, *times, prompts, outputs, elsewhere.steal, elsewhere.others)

    async def warm_up(self) -> None:
        """Serve a few requests. Raises ProbeError, and LiveError if no request has room."""
        began_s = time.monotonic()
        for length in islice(self._lengths(np.random.default_rng(self.effort.seed)), WARM_UP):
            await self._served(length, began_s)
        self.alone_s = (time.monotonic() - began_s) / WARM_UP

    async def _served(self, length: tuple[int, int], began_s: float) -> tuple[float, float, float, int, int]:
        """When a request was sent, had its first token and was answered [s], and its tokens."""
        prompt, generated = length
        queued_s = time.monotonic() - began_s
        answer = await self.probe.generate(
            words(prompt), {"input_tokens": prompt, "max_tokens": generated, "ignore_eos": True}
        )
        last_s = time.monotonic() - began_s
        first_s = min(queued_s + answer.ttft_s, last_s)
        return queued_s, first_s, last_s, answer.input_tokens, answer.output_tokens

    def _lengths(self, draws: np.random.Generator) -> Iterator[tuple[int, int]]:
        """Input and output tokens of one request after another, of those that have room."""
        while True:
            prompts, outputs = tokens_at(self.tokens, draws.random((DRAWN, 2)))
            have_room = prompts + outputs <= self.room
            if not have_room.any():
                raise LiveError(
                    f"{self.target.stage}/{self.target.variant}: none of {DRAWN} requests has at most {self.room} "
                    "tokens, for which there is room"
                )
            yield from zip(prompts[have_room].tolist(), outputs[have_room].tolist(), strict=True)


@asynccontextmanager
async def opened_text(
    target: Target, source: str, model: LanguageModel, tokens: StageTokens, effort: Effort, log: Path
) -> AsyncIterator[tuple[TextSession, ModelServer | None]]:
    """A session with a language model, and our server for it; None if the target has a server of its own.

    `source`: the name or file of its pipeline. In llama.cpp, each of the sequences has its share of the blocks. Raises
    RunError and ProbeError if no server answers.
    """
    options = ("--pipeline", source, "--stage", target.stage, "--variant", target.variant)
    async with serving(target, model.cores, log, options) as (probe, server):
        room = model.kv_blocks * model.block_tokens
        if (await probe.metadata()).get("platform") == LLAMA_CPP:
            room //= model.sequences
        session = TextSession(target, probe, tokens, room, effort, () if server is None else (server.pid,))
        yield session, server
