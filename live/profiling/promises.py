"""Checks of what a profile assumes of models, before anything is measured.

A batch of b must give what b batches of 1 give: otherwise the rows of one request change the answer to another. And a
stage must take the outputs of the one before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipa.live.errors import LiveError
from ipa.live.profiling.measuring import Session
from ipa.live.profiling.values import Target
from ipa.live.serving import ProbeError, Tensor, TensorError, check_inputs, joined, mapped, shared, to_array

ROUNDING, WRONG = 1e-3, 0.05
"""Differences below ROUNDING of the largest number count as equal. Those above WRONG are wrong, and not only rounded
otherwise, as by a model with 8-bit numbers."""
SHARE = 0.25
"""The share of the longest time for a point in which batches are compared; larger ones are then left out."""


@dataclass(frozen=True)
class ModelAnswer:
    """The inputs that a model declares, its outputs for one request, and doubts to report."""

    target: Target
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Tensor]
    doubts: tuple[str, ...]

    @property
    def name(self) -> str:
        """STAGE/VARIANT."""
        return f"{self.target.stage}/{self.target.variant}"


async def asked(session: Session, batches: Sequence[int], output_rows: Mapping[str, int | str] | None) -> ModelAnswer:
    """The answer of a model to one request, after comparing batches with as many single requests.

    `output_rows` as in `Stage`, None without a pipeline file. Raises LiveError for a model that breaks an assumption of
    profiles, ProbeError for one that serves no request.
    """
    target, cores = session.target, session.cores
    name = f"{target.stage}/{target.variant}"
    requests = max(session.samples.kinds.values(), key=len)
    inputs = (await session.probe.metadata()).get("inputs", ())
    try:
        alone = [await session.probe.serve(requests[0], 1, cores)]
    except ProbeError as error:
        raise ProbeError(f"{name}: {error}") from None
    if output_rows is not None:
        try:
            shared(alone[0], 1, {tensor.shape[0] for tensor in requests[0]}, output_rows)
        except TensorError as error:
            raise LiveError(f"{name}: {error}") from None
    doubts: dict[str, None] = {}
    if list(differences(await session.probe.serve(requests[0], 1, cores), alone)):
        return ModelAnswer(target, inputs, alone[0], (f"{name}: answers the same request differently each time",))
    until_s = time.monotonic() + SHARE * session.effort.longest_s
    larger = sorted(set(batches) - {1})
    for batch in larger:
        if batch > larger[0] and time.monotonic() > until_s:
            break
        chosen = [requests[n % len(requests)] for n in range(batch)]
        try:
            together = await session.probe.serve(joined(chosen), batch, cores)
        except ProbeError as error:
            raise LiveError(
                f"{name}: serves a request, but not {batch} in a batch: {error}; export it with an open first axis, or "
                "give --batches 1"
            ) from None
        alone += [await session.probe.serve(request, 1, cores) for request in chosen[len(alone) :]]
        for is_wrong, text in differences(together, alone):
            doubt = f"{name}: in a batch of {batch}, {text}"
            if is_wrong:
                raise LiveError(f"{doubt}: requests that share a batch would get wrong answers; give --batches 1")
            doubts[doubt] = None
    return ModelAnswer(target, inputs, alone[0], tuple(doubts))


def differences(together: Sequence[Tensor], alone: Sequence[Sequence[Tensor]]) -> Iterator[tuple[bool, str]]:
    """How the outputs of a batch differ from those of its requests alone, and whether a difference is certainly
    wrong."""
    names = [tensor.name for tensor in together]
    if any([tensor.name for tensor in outputs] != names for outputs in alone):
        yield True, f"the outputs are {', '.join(names)}, alone {', '.join(tensor.name for tensor in alone[0])}"
        return
    for place, tensor in enumerate(together):
        whole, parts = to_array(tensor), [to_array(outputs[place]) for outputs in alone]
        rows = sum(len(part) for part in parts)
        if {part.shape[1:] for part in parts} != {whole.shape[1:]} or rows != len(whole):
            shapes = ", ".join(dict.fromkeys(str(list(part.shape)) for part in parts))
            yield True, f"the output {tensor.name!r} is of shape {list(whole.shape)}, alone {shapes}"
        elif whole.dtype.kind == "f":
            expected = np.concatenate(parts).astype(float)
            apart = np.abs(np.nan_to_num(whole.astype(float)) - np.nan_to_num(expected))
            apart[np.isnan(whole) != np.isnan(expected)] = np.inf
            least = ROUNDING * float(np.abs(np.nan_to_num(expected)).max(initial=1e-6))
            if apart.size and apart.max() > least:
                at = np.unravel_index(int(apart.argmax()), apart.shape)
                text = f"the output {tensor.name!r} has {whole[at]:.4g} where a request alone has {expected[at]:.4g}"
                yield bool(apart.max() > least * WRONG / ROUNDING), text
        elif not np.array_equal(whole, np.concatenate(parts)):
            yield False, f"the output {tensor.name!r} is another than for requests alone"


def check_fit(first: ModelAnswer, second: ModelAnswer, inputs: Mapping[str, str] | None) -> str:
    """The doubt to report about two models of neighbouring stages; empty: none.

    `inputs` as in `Stage`, None without a pipeline file. Raises LiveError if the second does not take the outputs of
    the first.
    """
    outputs, doubt = list(first.outputs), ""
    if inputs is None and len(outputs) == len(second.inputs) == 1 and outputs[0].name != second.inputs[0]["name"]:
        name, source = second.inputs[0]["name"], outputs[0].name
        doubt = (
            f"{second.name} takes {name!r}, and {first.name} gives {source!r}: "
            f"its stage needs inputs: {{{name}: {source}}} in the pipeline file"
        )
        inputs = {name: source}
    try:
        expected = {described["name"]: described for described in second.inputs}
        check_inputs(mapped(outputs, inputs or {}, second.target.stage), expected)
    except TensorError as error:
        raise LiveError(f"{second.name} does not take what {first.name} gives: {error}") from None
    return doubt
