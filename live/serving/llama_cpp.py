"""A language model in a GGUF file, served by llama.cpp in this process.

Each sequence of a replica is a slot of llama.cpp, with an equal share of the blocks as its context, rounded up to whole
256 tokens. So a request never takes the room of another, and nothing is computed anew. What a client sent before is not
reused.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import Any

from ipa.live.serving.generation import OUTPUT, GenerationError, Prompt, Text
from ipa.live.serving.models import ModelError
from ipa.live.serving.protocol import LLAMA_CPP
from ipa.live.serving.request import Generated
from ipa.profiles import LanguageModel

ALL_LAYERS = 999
CONTEXT_STEP = 256
"""The context of a slot is a multiple of so many tokens; llama.cpp rounds others up."""
STOPS_WITHIN_S = 30.0
"""How long a step may take: a text for which nobody waits any longer ends with the step, or llama.cpp hangs."""


class LlamaCpp:
    """One replica."""

    def __init__(self, path: Path, model: LanguageModel) -> None:
        """Load a file, which takes as long as its size. Raises ModelError."""
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        try:
            import xllamacpp
        except ImportError:
            raise ModelError(f"{path}: needs the extra llm: pip install '.[llm]' in the checkout") from None
        share = model.kv_blocks * model.block_tokens // model.sequences
        self._context = ceil(share / CONTEXT_STEP) * CONTEXT_STEP
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_parallel = model.sequences
        parameters.n_ctx = self._context * model.sequences
        parameters.kv_unified = False
        parameters.n_batch = model.tokens_per_step
        parameters.n_gpu_layers = ALL_LAYERS if model.gpus else 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = model.cores
        parameters.cache_prompt = False
        parameters.fit_params = False
        parameters.verbosity = 0
        parameters.api_keys = [secrets.token_hex()]  # it opens a port on loopback, which is nobody's
        parameters.n_threads_http = 1
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError:
            raise ModelError(f"{path}: llama.cpp cannot load it; allowed: a language model as GGUF") from None
        # A server that ends before its loop has begun waits for it for ever. One that has answered has begun.
        self._server.handle_completions({"prompt": "the", "max_tokens": 1, "cache_prompt": False})
        self._threads = ThreadPoolExecutor(model.sequences, thread_name_prefix="generation")
        self._left_s: dict[asyncio.Future[Text], float] = {}
        """When texts that are still being generated were left."""

    @property
    def is_live(self) -> bool:
        return all(time.monotonic() - left_s < STOPS_WITHIN_S for left_s in self._left_s.values())

    async def generate(self, prompt: Prompt) -> Text:
        is_left = threading.Event()
        text = asyncio.get_running_loop().run_in_executor(self._threads, self._generate, prompt, is_left)
        try:
            return await asyncio.shield(text)
        except asyncio.CancelledError:
            is_left.set()  # the next token is the last
            self._left_s[text] = time.monotonic()
            text.add_done_callback(self._ended)
            raise

    def _ended(self, text: asyncio.Future[Text]) -> None:
        del self._left_s[text]
        if not text.cancelled():
            text.exception()  # nobody waits for it

    def _generate(self, prompt: Prompt, is_left: threading.Event) -> Text:
        came_s = time.monotonic()
        first_s = 0.0
        reason: str | None = None
        texts: list[str] = []
        end: dict[str, Any] = {}

        def take(chunk: dict[str, Any]) -> bool:
            """A part of the answer has come; returns whether it is to be the last."""
            nonlocal first_s, reason
            if "error" in chunk or "usage" in chunk:
                end.update(chunk)
            if chunk.get("choices"):
                first_s = first_s or time.monotonic()
                texts.append(chunk["choices"][0]["text"])
                reason = chunk["choices"][0]["finish_reason"]
            return is_left.is_set()

        request = {
            "prompt": prompt.text,
            "max_tokens": prompt.max_tokens,
            "ignore_eos": prompt.ignores_end,
            "cache_prompt": False,
            "stream": True,
        }
        end.update(self._server.handle_completions(request, take) or {})
        if is_left.is_set():
            raise GenerationError("nobody waits for the text any longer")
        if error := end.get("error"):
            if "n_prompt_tokens" in error:
                raise self._refusal(error["n_prompt_tokens"], prompt.max_tokens)
            text = f"llama.cpp: {error.get('message', 'unknown error')}"
            raise ModelError(text) if error.get("code") == 400 else GenerationError(text)
        if "usage" not in end:
            raise GenerationError(f"llama.cpp broke off after {len(texts)} parts of the text")
        input_tokens, output_tokens = end["usage"]["prompt_tokens"], end["usage"]["completion_tokens"]
        if output_tokens < prompt.max_tokens and reason == "length":  # the context ended before the text
            raise self._refusal(input_tokens, prompt.max_tokens)
        return Text("".join(texts), Generated(input_tokens, output_tokens, first_s - came_s))

    def _refusal(self, input_tokens: int, output_tokens: int) -> ModelError:
        allowed = f"allowed: {self._context} together"
        return ModelError(f"{input_tokens} input and {output_tokens} output tokens have no room; {allowed}")

    def metadata(self) -> Mapping[str, Any]:
        text = {"name": OUTPUT, "datatype": "BYTES", "shape": [1]}
        return {"platform": LLAMA_CPP, "inputs": [text], "outputs": [text]}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
