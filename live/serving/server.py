"""A model server, which is one replica: `python -m ipa.live.serving.server --backend onnx --file model.onnx`.

It serves one batch at a time; others wait. A language model serves several requests at once. It is ready once its
start-up time is over. On SIGTERM it stops being ready at once, finishes what it has, waits for `--stop` and exits.

While it works on a batch that its client has given up, it is neither ready nor live: a model that never returns is sent
nothing more, and whoever watches over the process ends it. A language model breaks off what nobody waits for; one that
does not is no longer live.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from aiohttp import web

from ipa.live import logs
from ipa.live.plane import open_port
from ipa.live.process_settings import options_of
from ipa.live.server_settings import ServerSettings
from ipa.live.serving import access, protocol
from ipa.live.serving.admission import MOST_MESSAGE_BYTES, REQUEST_BYTES, Admission, MessageLimits, default_inside_bytes
from ipa.live.serving.bodies import in_steps, read_body
from ipa.live.serving.checksums import why_not
from ipa.live.serving.connections import is_gone, is_left
from ipa.live.serving.generation import OUTPUT, TextModel
from ipa.live.serving.models import Described, ModelError, ServedModel, folder_model, gguf_of, onnx_model, own_model
from ipa.live.serving.protocol import Body, InferRequest, InferResponse, ProtocolError
from ipa.live.serving.tensors import TensorError
from ipa.live.serving.term import TERM_HEADER, SeenTerms
from ipa.live.serving.web import (
    ID,
    add_protocol_routes,
    announce,
    application,
    in_event_loop,
    listen,
    send,
    stopped,
)

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage

MOST_WAITING = 256
"""How many requests may wait for their turn; more are refused (503)."""
GONE_SEEN_EVERY_S = 0.05
"""How soon a language model stops once nobody waits for its text."""

log = logging.getLogger("live.server")


class Server(ABC):
    """One replica."""

    def __init__(self, name: str, model: Described, most_waiting: int = MOST_WAITING) -> None:
        inside_bytes = default_inside_bytes()
        # However little memory there is, one batch is admitted: what a model needs for it is its owner's affair.
        self._admission = Admission(max(inside_bytes, 2 * MOST_MESSAGE_BYTES + REQUEST_BYTES))
        self._limits = replace(MessageLimits.within(inside_bytes), body_bytes=MOST_MESSAGE_BYTES)
        self.one_step = asyncio.Lock()
        self.name = name
        self._described = model
        self._waiting, self._most_waiting = 0, most_waiting
        self._terms = SeenTerms()
        self.is_ready = False
        self.is_stopping = False

    @property
    @abstractmethod
    def is_live(self) -> bool:
        """Whether it works on nothing that has been given up."""

    @abstractmethod
    async def _answer(self, http: web.Request, request: InferRequest) -> Body:
        """The answer to a request."""

    @property
    def unready(self) -> str:
        """Why it takes no batches; empty if it does."""
        if not self.is_ready:
            return f"replica of {self.name!r} is {'stopping' if self.is_stopping else 'starting'}"
        return "" if self.is_live else f"replica of {self.name!r} works on a batch that has been given up"

    async def infer(self, http: web.Request) -> web.StreamResponse:
        with self._admission.share() as share:
            body = await read_body(http, self._limits, share)
            reading = protocol.reading_request(body.data, http.headers.get(protocol.HEADER))
            request = await in_steps(self.one_step, body.json_bytes, reading)
            del body
            share.hold(2 * sum(len(tensor.data) for tensor in request.inputs))
            return await send(http, await self._serve(http, request))

    async def _serve(self, http: web.Request, request: InferRequest) -> Body:
        """The answer to a request, once it has had its turn."""
        if problem := self.unready:
            raise ProtocolError(problem, 503)
        if not self._terms.admits(http.headers.get(TERM_HEADER, "")):
            raise ProtocolError("another gateway has taken over from the one that sends this batch", 409)
        if self._waiting >= self._most_waiting:
            raise ProtocolError(f"{self._waiting} requests are waiting; no more are accepted", 503)
        self._waiting += 1
        try:
            return await self._answer(http, request)
        except (ModelError, TensorError) as error:
            raise ProtocolError(str(error)) from None
        except ProtocolError:
            raise
        except Exception as error:  # of the model, which may be anybody's
            log.exception("the model failed", extra={"model": self.name, "request_id": http[ID]})
            raise ProtocolError(f"the model failed: {type(error).__name__}: {error}", 500) from None
        finally:
            self._waiting -= 1

    async def _written(self, http: web.Request, request: InferRequest, answer: InferResponse) -> Body:
        size = protocol.json_size(request, answer.outputs)
        writing = protocol.writing_response(self.name, request, answer, self._limits.json_bytes)
        return await in_steps(self.one_step, size, writing)

    async def metadata(self) -> Mapping[str, Any]:
        return self._described.metadata()

    async def start(self, ready_at_s: float) -> None:
        """Become ready at that moment of the monotonic clock."""
        while (left_s := ready_at_s - time.monotonic()) > 0:  # uvloop's timers end up to a millisecond early
            await asyncio.sleep(left_s)
        self.is_ready = not self.is_stopping
        log.info("ready", extra={"model": self.name})

    async def stop(self, stop_s: float) -> None:
        """Refuse new batches, finish those here, then wait."""
        self.is_stopping, self.is_ready = True, False
        while self._waiting:
            await asyncio.sleep(0.002)
        await asyncio.sleep(stop_s)
        self._described.close()


class BatchServer(Server):
    """A model that serves one batch at a time."""

    def __init__(self, name: str, model: ServedModel) -> None:
        super().__init__(name, model)
        self._model = model
        self._turn = asyncio.Lock()
        self._served: web.Request | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is idle, or the client of its batch still waits."""
        return not self._turn.locked() or self._served is None or not is_left(self._served)

    async def _answer(self, http: web.Request, request: InferRequest) -> Body:
        async with self._turn:
            self._served = http
            outputs = await self._model.infer(request.inputs, request.parameters)
            return await self._written(http, request, InferResponse(outputs))


class TextServer(Server):
    """A language model, which serves several requests at once."""

    def __init__(self, name: str, model: TextModel) -> None:
        super().__init__(name, model, MOST_WAITING + model.sequences)
        self._model = model

    @property
    def is_live(self) -> bool:
        return self._model.is_live

    async def _answer(self, http: web.Request, request: InferRequest) -> Body:
        generating = asyncio.ensure_future(self._model.answer(request.inputs, request.parameters))
        try:
            while not generating.done():
                await asyncio.wait((generating,), timeout=GONE_SEEN_EVERY_S)
                if not generating.done() and is_gone(http):
                    raise ConnectionResetError
        finally:
            generating.cancel()
        return await self._written(http, request, generating.result())


async def run(settings: ServerSettings, model: ServedModel | TextModel, start_up_s: float) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends at once."""
    name = settings.model or settings.variant or "model"
    server = TextServer(name, model) if isinstance(model, TextModel) else BatchServer(name, model)
    port = open_port(settings.host, settings.port)
    app = application(access.data_guard(names=() if access.is_loopback(port) else None))
    add_protocol_routes(
        app,
        server="ipa-model-server",
        unready=lambda: server.unready,
        is_live=lambda: server.is_live,
        model=name,
        metadata=server.metadata,
        infer=server.infer,
    )
    runner, url = await listen(app, port)
    stopping = stopped()
    announce(url=url)
    log.info("listening", extra={"url": url, "model": name, "backend": settings.backend})
    created_s = _process_start_s() if settings.created_s is None else settings.created_s
    starting = asyncio.create_task(server.start(created_s + start_up_s))
    await stopping.wait()
    starting.cancel()
    await server.stop(settings.stop_s)
    await runner.cleanup()
    log.info("stopped", extra={"model": name})


def create(settings: ServerSettings, pipeline: Pipeline | None = None) -> ServedModel | TextModel:
    """The model of a backend, for a replica of this pipeline. Raises ModelError or ProfileError if there is none."""
    if pipeline is not None and settings.stage and pipeline.stage(settings.stage).tokens is not None:
        return _language_model(settings, pipeline)
    if settings.backend == "emulated":
        return _emulated(settings, pipeline)
    if settings.backend == "onnx":
        if settings.file is None:
            raise ModelError("the backend onnx needs --file model.onnx")
        return onnx_model(settings.file, settings.cores)
    if settings.backend == "folder":
        if settings.file is None:
            raise ModelError("the backend folder needs --file FOLDER")
        _check_digest(settings.file, settings.digest)
        model = folder_model(settings.file, settings.cores)
        _check_rows(model, settings, pipeline)
        return model
    if ".py" in settings.backend:
        return own_model(settings.backend, settings.cores)
    raise ModelError(f"no backend is called {settings.backend!r}; allowed: emulated, onnx, folder, or my.py:MyModel")


def _check_digest(folder: Path, digest: str) -> None:
    if problem := why_not(folder, digest) if digest else "":
        raise ModelError(problem)


def _language_model(settings: ServerSettings, pipeline: Pipeline) -> TextModel:
    """The language model of a replica: emulated, or that of a GGUF file."""
    from ipa.live.serving.emulated_steps import EmulatedSteps
    from ipa.live.serving.llama_cpp import LlamaCpp

    stage = pipeline.stage(settings.stage)
    model, tokens = stage.variant(settings.variant).language_model, stage.tokens
    assert model is not None
    assert tokens is not None
    if settings.backend == "emulated":
        emulated = EmulatedSteps(model.taking(settings.factor))
        return TextModel(emulated, model.sequences, tokens, _outputs_of(pipeline, stage) or (OUTPUT,))
    if settings.file is None or settings.backend not in ("gguf", "folder"):
        raise ModelError(
            f"{stage.name} is a stage of language models; allowed: the backends emulated, gguf with --file model.gguf, "
            "or folder with --file FOLDER"
        )
    path = settings.file
    if settings.backend == "folder":
        _check_digest(path, settings.digest)
        path = gguf_of(path)
    return TextModel(LlamaCpp(path, model), model.sequences, tokens)


def _outputs_of(pipeline: Pipeline, stage: Stage) -> tuple[str, ...]:
    """The outputs that the next stage of a chain takes by name; none if it takes all."""
    position = pipeline.stages.index(stage)
    following = pipeline.stages[position + 1].inputs if position + 1 < len(pipeline.stages) else {}
    return tuple(dict.fromkeys(following.values()))


def _check_rows(model: ServedModel, settings: ServerSettings, pipeline: Pipeline | None) -> None:
    """Raise ModelError for a model of a fixed number of rows where the pipeline allows requests to share batches."""
    if pipeline is None:
        return
    variant = pipeline.stage(settings.stage).variant(settings.variant)
    most_batch = max(map(variant.max_batch, variant.cores))
    inputs = model.metadata().get("inputs", ())
    rows = next((tensor["shape"][0] for tensor in inputs if tensor["shape"][:1] not in ([], [-1])), None)
    if rows is not None and most_batch > 1:
        raise ModelError(
            f"stage {settings.stage}: {variant.name} takes exactly {rows} rows at a time, so requests cannot share a "
            f"batch, and the pipeline has batches of up to {most_batch}; export the model with any number of rows "
            f"(-1), or leave out the `figures` of {variant.name} with a batch above 1"
        )


def _emulated(settings: ServerSettings, pipeline: Pipeline | None) -> ServedModel:
    from ipa.live.serving.emulated import Emulated
    from ipa.sim import stage_model

    if pipeline is None:
        raise ModelError("the backend emulated needs --pipeline, --stage and --variant")
    stage = pipeline.stage(settings.stage)
    variant = stage.variant(settings.variant)
    cores = variant.base_cores if settings.cores is None else settings.cores
    variant.max_batch(cores)  # raises ProfileError for cores that are not profiled
    service = stage_model(stage, 0.0, sampled=True).service
    return Emulated(
        service[variant.name, cores],
        seed=settings.seed,
        stage=pipeline.stages.index(stage),
        outputs=_outputs_of(pipeline, stage),
        output_rows=stage.output_rows,
        factor=settings.factor,
    )


def _start_up_s(settings: ServerSettings, pipeline: Pipeline | None) -> float:
    if settings.start_up_s is not None:
        return settings.start_up_s
    if settings.backend == "emulated" and pipeline is not None:
        return pipeline.stage(settings.stage).variant(settings.variant).start_up_s
    return 0.0


def _process_start_s() -> float:
    """When this process started, on the monotonic clock; now if the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        since_boot_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return since_boot_s - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()
    except (OSError, AttributeError, IndexError, ValueError):
        return time.monotonic()


@click.command()
@options_of(ServerSettings)
def main(**options: Any) -> None:
    """Run one replica: a model behind the Open Inference Protocol V2."""
    from ipa import profiles
    from ipa.profiles import ProfileError

    settings = ServerSettings(**options)
    try:
        pipeline = profiles.load(settings.pipeline) if settings.pipeline else None
        model = create(settings, pipeline)
        if settings.check:
            model.close()
            return
        logs.json_to_stderr("server", settings.log_level)
        in_event_loop(run(settings, model, _start_up_s(settings, pipeline)))
    except (ProfileError, ModelError) as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
