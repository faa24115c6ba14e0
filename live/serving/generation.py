"""Text from language models, over the protocol.

A request is one prompt, as one BYTES element, and so is its answer. A replica serves several at once, each a request of
its own. A client may give these parameters, `STAGE.max_tokens` in place of `max_tokens` and so on where a pipeline has
several language models, and `STAGE.max_tokens.N` for the N-th item, from 0, that comes to the stage in a graph:

    max_tokens      at most so many tokens are generated [the mean of the stage's output tokens]
    ignore_eos      true: all of them are
    input_tokens    how many the prompt counts for an emulated model [its words]

The answer's parameters are `input_tokens`, `output_tokens` and `ttft_s`, the time to the first token.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil, isfinite, prod
from typing import Any, Protocol

from ipa.errors import Error
from ipa.live.serving.models import Described, ModelError
from ipa.live.serving.protocol import InferResponse
from ipa.live.serving.request import Generated
from ipa.live.serving.tensors import Tensor, TensorError, of_texts, to_array
from ipa.profiles import MOST_TOKENS, StageTokens

MAX_TOKENS, IGNORE_EOS, INPUT_TOKENS = "max_tokens", "ignore_eos", "input_tokens"
OF_A_STAGE = (MAX_TOKENS, IGNORE_EOS, INPUT_TOKENS)
_NAMES = "|".join(OF_A_STAGE)
_OF_TEXT = re.compile(rf"(?P<plain>{_NAMES})|(?P<stage>[^.]+)\.(?P<name>{_NAMES})(\.[0-9]+)?")
OUTPUT = "text"
"""The name of the output."""

WORDS = (
    "the of and to in is it you that he was for on are with as his they be at one have this from or had by but what "
    "some we can out other were all there when up use your how said an each she which do their time if will way about"
)
"""Words that are one token of most language models."""


def words(count: int) -> str:
    """A text of so many words."""
    return " ".join(islice(cycle(WORDS.split()), count))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked of a language model: the text, and at most how many tokens to answer with (with `ignores_end`,
    exactly so many). `input_tokens`: how many the text counts for an emulated model; 0: its words."""

    text: str
    max_tokens: int
    ignores_end: bool = False
    input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """What a language model has answered."""

    text: str
    generated: Generated


class GenerationError(Error):
    """A language model has broken off; the text says why."""


class Generator(Described, Protocol):
    """One replica's language model."""

    @property
    def is_live(self) -> bool:
        """Whether it works on nothing that has been broken off."""
        ...

    async def generate(self, prompt: Prompt) -> Text:
        """The answer to a prompt; cancelled, it generates nothing more. Raises ModelError for a prompt that it cannot
        take, GenerationError if it breaks off."""
        ...


class TextModel:
    """A language model behind the protocol; it has up to `sequences` requests at once."""

    def __init__(
        self, generator: Generator, sequences: int, tokens: StageTokens, outputs: Sequence[str] = (OUTPUT,)
    ) -> None:
        """`tokens`: those of its stage's requests. The text has each of these names in the answer."""
        self._generator, self._tokens, self._outputs = generator, tokens, outputs
        self.sequences = sequences
        self.metadata, self.close = generator.metadata, generator.close

    @property
    def is_live(self) -> bool:
        return self._generator.is_live

    async def answer(self, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> InferResponse:
        """The answer to a request. Raises TensorError and ModelError for one that it does not take, and as
        `Generator.generate`."""
        text = await self._generator.generate(prompt_of(inputs, parameters, self._tokens))
        outputs = [of_texts(name, [text.text.encode()]) for name in self._outputs]
        return InferResponse(outputs, answer_parameters(text.generated))


# ---- requests ----


def prompt_of(inputs: Sequence[Tensor], parameters: Mapping[str, Any], tokens: StageTokens) -> Prompt:
    """What a request asks. Raises TensorError for anything but one text, and ModelError for wrong parameters."""
    if len(inputs) != 1 or inputs[0].datatype != "BYTES" or prod(inputs[0].shape) != 1:
        forms = " and ".join(f"{tensor.name!r}, {tensor.datatype} of shape {list(tensor.shape)}" for tensor in inputs)
        raise TensorError(f"inputs {forms}; a language model takes one text: one input of BYTES with one element")
    name = inputs[0].name
    try:
        text = to_array(inputs[0]).reshape(-1)[0].decode()
    except UnicodeDecodeError:
        raise TensorError(f"input {name!r}: its bytes are not UTF-8 text") from None
    if not text.strip():
        raise TensorError(f"input {name!r}: the text is empty")
    for key in parameters.keys() & set(OF_A_STAGE):
        _check(key, key, parameters[key])
    most = parameters.get(MAX_TOKENS, ceil(tokens.output.mean))
    return Prompt(text, most, parameters.get(IGNORE_EOS, False), parameters.get(INPUT_TOKENS, 0))


def parameters_of_texts(parameters: Mapping[str, Any], stages: Collection[str]) -> dict[str, Any]:
    """Those of a request's parameters that are for the language models of these stages.

    Raises ModelError for values that no language model takes.
    """
    of_texts = {}
    for key, value in parameters.items() if stages else ():
        if (match := _OF_TEXT.fullmatch(key)) and (match["stage"] is None or match["stage"] in stages):
            _check(key, match["name"] or match["plain"], value)
            of_texts[key] = value
    return of_texts


def _check(key: str, name: str, value: Any) -> None:
    if name == IGNORE_EOS:
        if not isinstance(value, bool):
            raise ModelError(f"the parameter {key} is {value!r}; allowed: true or false")
    elif type(value) is not int or not 1 <= value <= MOST_TOKENS:
        raise ModelError(f"the parameter {key} is {value!r}; allowed: a whole number from 1 to {MOST_TOKENS}")


def parameters_at(stage: str, number: int, of_texts: Mapping[str, Any]) -> dict[str, Any]:
    """What `parameters_of_texts` say for the request's item of that number at a stage: what is for it alone counts
    first, then what is for the stage."""
    return {
        name: of_texts[key]
        for name in OF_A_STAGE
        for key in (name, f"{stage}.{name}", f"{stage}.{name}.{number}")
        if key in of_texts
    }


# ---- answers ----


def answer_parameters(generated: Generated) -> dict[str, Any]:
    return {
        "input_tokens": generated.input_tokens,
        "output_tokens": generated.output_tokens,
        "ttft_s": generated.ttft_s,
    }


def generated_of(parameters: Mapping[str, Any]) -> Generated | None:
    """What the parameters of an answer say; None unless all of it is there."""
    input_tokens, output_tokens, ttft_s = (parameters.get(key) for key in ("input_tokens", "output_tokens", "ttft_s"))
    if type(input_tokens) is not int or type(output_tokens) is not int or not isinstance(ttft_s, int | float):
        return None
    if min(input_tokens, output_tokens, ttft_s) < 0 or not isfinite(ttft_s):
        return None
    return Generated(input_tokens, output_tokens, float(ttft_s))
