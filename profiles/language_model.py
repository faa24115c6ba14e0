"""Language models that serve a stage: tokens, the time of a step, memory, and the profile that a plan needs of them.

A replica makes *steps*, in which requests join and leave a running batch. A step that computes T tokens and reads the
keys and values of C earlier ones takes base_s + per_token_s T + per_cached_token_s C. With n requests at once, of I
input and O output tokens on average, it computes n tokens and, spread over the O steps of a request, n I / O of
prompts:

    step(n) = base_s + per_token_s n (1 + I / O) + per_cached_token_s n (I + O / 2)
    latency = O step(n), its p99 that of the output tokens' p99, throughput = n / latency,
    and n is at most the sequences, and blocks x block_tokens / (I + O)

So a plan takes a replica with n requests at once for one that serves batches of n, but nobody waits for one to fill.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ipa.profiles.figures import MAX_LN_P99_OVER_MEAN, Figure

TOKENS_PER_STEP, BLOCK_TOKENS = 2048, 16
"""The budget of a step and the size of a block of keys and values, unless a file says otherwise: those of vLLM."""

GPU_CORES = 38
"""What a GPU costs, in cores, where a pipeline does not say it: a V100's 2.528 $ over a core's .0665 (InferLine)."""

MOST_TOKENS = 10_000_000
"""That a law or a table may have."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time of a step: `base_s`, and more for each token that it computes and for each cached token that it reads.

    Cached tokens count for the requests of which a step computes one token.
    """

    base_s: float
    per_token_s: float
    per_cached_token_s: float

    def seconds(self, tokens: float, cached_tokens: float) -> float:
        """The time of a step [s]."""
        return self.base_s + self.per_token_s * tokens + self.per_cached_token_s * cached_tokens

    def taking(self, factor: float) -> StepTime:
        """A step that takes `factor` times as long."""
        return StepTime(factor * self.base_s, factor * self.per_token_s, factor * self.per_cached_token_s)


@dataclass(frozen=True, slots=True)
class TokenLaw:
    """How many tokens a request has: lognormal with this mean and 99 % quantile, at least 1.

    With `after`, they are the output tokens of that stage before, plus `plus`; mean and p99 are then what follows.
    """

    mean: float
    p99: float
    after: str = ""
    plus: int = 0

    @property
    def problem(self) -> tuple[str, str] | None:
        """The key that breaks a law and what is wrong with it; None if all is well."""
        if not 1 <= self.mean <= MOST_TOKENS:
            return "mean", f"should be from 1 to {MOST_TOKENS} tokens; given {self.mean:g}"
        if not self.mean <= self.p99 <= MOST_TOKENS:
            return "p99", f"should be from the mean, {self.mean:g}, to {MOST_TOKENS} tokens; given {self.p99:g}"
        if math.log(self.p99 / self.mean) > MAX_LN_P99_OVER_MEAN:
            most = math.exp(MAX_LN_P99_OVER_MEAN)
            return "p99", f"should be at most {most:.3g} times the mean, as no lognormal has more; given {self.p99:g}"
        return None


@dataclass(frozen=True)
class StageTokens:
    """The tokens of a stage's requests: `input` of the prompt, `output` that are generated.

    With `pairs`, a request has one of these measured (input, output), and the laws have their means and p99. With
    `columns`, it has what these two columns of the load say, and the laws are what is planned with. `source` names an
    entry of the provenance.
    """

    input: TokenLaw
    output: TokenLaw
    pairs: tuple[tuple[int, int], ...] = ()
    columns: tuple[str, str] | None = None
    source: str = ""

    @classmethod
    def of_pairs(cls, pairs: Sequence[tuple[int, int]], source: str = "") -> StageTokens:
        """Those of measured pairs, at least one."""
        laws = [_law_of(sorted(tokens)) for tokens in zip(*pairs, strict=True)]
        return cls(laws[0], laws[1], tuple(pairs), source=source)


def _law_of(tokens: Sequence[int]) -> TokenLaw:
    """Mean and p99 of sorted numbers; a p99 below the mean, as of few numbers, is the mean."""
    mean = math.fsum(tokens) / len(tokens)
    return TokenLaw(mean, max(mean, float(tokens[math.ceil(0.99 * len(tokens)) - 1])))


@dataclass(frozen=True)
class LanguageModel:
    """What a replica of a variant needs to serve text.

    `sequences`: the most requests at once. `kv_blocks`: blocks of `block_tokens` tokens, for their keys and values.
    `tokens_per_step`: the most that a step computes. `gpus` and `cores` of a replica; `gpu_cores`: what one of these
    costs, in cores, where that is not the pipeline's.
    """

    step: StepTime
    sequences: int
    kv_blocks: int
    tokens_per_step: int = TOKENS_PER_STEP
    block_tokens: int = BLOCK_TOKENS
    gpus: int = 0
    cores: int = 1
    gpu_cores: int | None = None

    def most_at_once(self, tokens: StageTokens) -> int:
        """The most requests at once that are planned with: all have their mean tokens in the blocks; 0: not one has."""
        fitting = self.kv_blocks * self.block_tokens / (tokens.input.mean + tokens.output.mean)
        return min(self.sequences, math.floor(fitting))

    def step_s(self, at_once: float, tokens: StageTokens) -> float:
        """The mean time of a step with `at_once` requests [s]."""
        prompt, generated = tokens.input.mean, tokens.output.mean
        return self.step.seconds(at_once * (1 + prompt / generated), at_once * (prompt + generated / 2))

    def ttft_s(self, at_once: float, tokens: StageTokens) -> float:
        """The time to first token that a plan expects of the longest of a hundred prompts [s], if nobody waits.

        The steps that it takes in chunks, one more because it comes within one, and what its own tokens add.
        """
        prompt = tokens.input.p99
        steps = 1 + prompt / self.tokens_per_step
        return steps * self.step_s(at_once, tokens) + self.step.per_token_s * prompt

    def cost_cores(self, gpu_cores: int) -> int:
        """What a replica costs, in cores: its own, and `gpu_cores` for each GPU."""
        return self.cores + self.gpus * (self.gpu_cores or gpu_cores)

    def cost_text(self, gpu_cores: int) -> str:
        """The cost in words: `1 core and 2 GPUs at 38`."""
        own = f"{self.cores} core{'s' * (self.cores != 1)}"
        return (
            f"{own} and {self.gpus} GPU{'s' * (self.gpus != 1)} at {self.gpu_cores or gpu_cores}" if self.gpus else own
        )

    def figures(self, tokens: StageTokens, gpu_cores: int, source: str = "") -> tuple[Figure, ...]:
        """The profile for a plan, batch = requests at once, its cores what it costs; at least one must find room."""
        most, cores = self.most_at_once(tokens), self.cost_cores(gpu_cores)
        counts = [*(1 << k for k in range((most - 1).bit_length())), most]
        figures = []
        for at_once in counts:
            mean_s, p99_s = (law * self.step_s(at_once, tokens) for law in (tokens.output.mean, tokens.output.p99))
            figures.append(Figure(cores, at_once, mean_s, p99_s, at_once / mean_s, source, source, source))
        return tuple(figures)

    def taking(self, factor: float) -> LanguageModel:
        """The model with steps that take `factor` times as long."""
        return replace(self, step=self.step.taking(factor))
