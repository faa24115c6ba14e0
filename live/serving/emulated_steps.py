"""An emulated language model: its steps take the time of the profile, and its text has as many words as tokens.

It makes the simulator's steps in real time. A step begins when the one before ends by the clock of the steps, however
late that is noticed, so that lateness does not add up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ipa.live.serving.generation import Prompt, Text, words
from ipa.live.serving.models import ModelError
from ipa.live.serving.protocol import EMULATED
from ipa.live.serving.request import Generated
from ipa.profiles import LanguageModel
from ipa.sim import NEVER, rules
from ipa.sim.language_model import Scheduler, Sequence, no_room


class EmulatedSteps:
    """The steps of one replica, to be used in one event loop."""

    is_live = True

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._scheduler = Scheduler(model)
        self._ends: dict[Sequence, asyncio.Future[None]] = {}
        """What waits for the last token of each request that is here; cancelled once its client has gone."""
        self._step_end_s = NEVER
        self._timer: asyncio.TimerHandle | None = None

    async def generate(self, prompt: Prompt) -> Text:
        came_s, model = time.monotonic(), self._model
        input_tokens, output_tokens = prompt.input_tokens or len(prompt.text.split()), prompt.max_tokens
        if not rules.fits(input_tokens, output_tokens, model.kv_blocks, model.block_tokens):
            raise ModelError(no_room(input_tokens, output_tokens, model.kv_blocks, model.block_tokens))
        self._go_on(came_s)
        sequence = Sequence(0, input_tokens, output_tokens)
        self._scheduler.add(sequence)
        self._ends[sequence] = end = asyncio.get_running_loop().create_future()
        if self._step_end_s == NEVER:
            self._begin_step(came_s)
        await end
        return Text(words(output_tokens), Generated(input_tokens, output_tokens, sequence.first_s - came_s))

    def metadata(self) -> Mapping[str, Any]:
        return {"platform": EMULATED, "inputs": [], "outputs": []}

    def close(self) -> None:
        """Nothing to release."""

    def _go_on(self, now_s: float) -> None:
        """End the steps that are over by now."""
        while self._step_end_s <= now_s:
            first, last = self._scheduler.end()
            for sequence in first:
                sequence.first_s = self._step_end_s
            for sequence in last:
                if not (end := self._ends.pop(sequence)).done():
                    end.set_result(None)
            for sequence in [each for each, end in self._ends.items() if end.cancelled()]:
                self._scheduler.remove(sequence)
                del self._ends[sequence]
            self._begin_step(self._step_end_s)

    def _begin_step(self, now_s: float) -> None:
        """Begin a step if there is a request."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._step_end_s = None, NEVER
        if self._ends:
            self._step_end_s = now_s + self._scheduler.begin()
            self._set_timer()

    def _set_timer(self) -> None:
        delay_s = max(0.0, self._step_end_s - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        now_s = time.monotonic()
        if now_s < self._step_end_s:
            self._set_timer()  # the loop's timers may ring a little early
        else:
            self._go_on(now_s)
