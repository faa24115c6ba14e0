"""A stage of language models in the kernel's memory, as control steps and records read it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ipa.policies import StageConfiguration
from ipa.sim.compiled.language_memory import RUNNING, LanguageMemory
from ipa.sim.compiled.memory import KernelMemory, ReplicaKinds
from ipa.sim.compiled.stage import CompiledStage
from ipa.sim.interface import StepLog, TokenLog
from ipa.sim.model import IntArray, StageModel


class LanguageStage(CompiledStage):
    """`language`: the memory now; `token_rows`: input and output tokens of its requests or items, by number."""

    def __init__(
        self,
        position: int,
        model: StageModel,
        memory: KernelMemory,
        layout: ReplicaKinds,
        language: Callable[[], LanguageMemory],
        token_rows: Callable[[int], tuple[IntArray, IntArray]],
    ) -> None:
        super().__init__(position, model, memory, layout)
        self._language, self._token_rows = language, token_rows

    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """Note a decision, of which the batch is the most requests at a replica; each comes there by itself."""
        super().configure(configuration, now_s)
        self._state["batch"], self._state["batch_timeout_s"] = 1, 0.0
        self._language().stages[self.position]["at_once"] = configuration.batch

    def token_log(self) -> TokenLog:
        prompts, outputs = self._token_rows(self.position)
        sequences = self._language().sequences[self.position, : len(prompts)]
        generated = sequences["generated"].astype(np.int64)
        for number, lag in enumerate(self._language().replicas["lag"][self.position].tolist()):
            if lag:
                generated[self._running(number)] += lag
        return TokenLog(prompts, outputs, generated, np.where(generated > 0, sequences["first_s"], np.nan))

    def step_log(self, now_s: float) -> StepLog:
        language, count = self._language(), int(self._state["replicas"])
        steps = language.replicas[self.position, :count]
        models = language.models[self.memory.replicas["option"][self.position, :count]]
        under_way_s = np.where(steps["is_stepping"], now_s - steps["since_s"], 0.0)
        limits = [models[name].copy() for name in ("budget", "blocks", "sequences", "block_tokens")]
        most = [steps[name].copy() for name in ("most_tokens", "most_blocks", "most_sequences")]
        for number in np.flatnonzero((steps["lag"] > 0) | (steps["is_plain"] & steps["is_stepping"])).tolist():
            computed = language.sequences["computed"][self.position, self._running(number)] + steps["lag"][number]
            blocks = -(-(computed + steps["is_plain"][number]) // models["block_tokens"][number])
            most[1][number] = max(most[1][number], int(blocks.sum()))
        return StepLog(steps["stepped_s"] + under_way_s, *limits, *most)

    def _running(self, number: int) -> npt.NDArray[np.uint32]:
        """The requests that run at a replica."""
        language = self._language()
        count = int(language.replicas["running"][self.position, number])
        return language.order[self.position, number, RUNNING, :count]
