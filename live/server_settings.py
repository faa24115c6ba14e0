"""The settings of a model server, for its own command and for those who start replicas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ipa.live.process_settings import COUNT, DURATION_S, LOG_LEVEL, PORT, SEED, ProcessSettings, setting


class _Digest(click.ParamType[str]):
    """A text, or @ and the file that holds it."""

    name = "TEXT|@FILE"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        if not value.startswith("@"):
            return value
        try:
            return Path(value[1:]).read_text(encoding="utf-8").strip()
        except OSError as error:
            self.fail(f"{value[1:]}: {error.strerror}", param, context)


@dataclass(frozen=True)
class ServerSettings(ProcessSettings):
    """How a replica runs: the options of `python -m ipa.live.serving.server`.

    An emulated one takes what the profile of its stage and variant says for that many cores.
    """

    backend: str = setting("emulated, onnx, gguf, folder, or my.py:MyModel", default="emulated")
    model: str = setting("The model's name [the variant's].", default="")
    file: Path | None = setting("The ONNX file, or the folder.", click.Path(path_type=Path))
    digest: str = setting(
        "The checksum that the folder's files must have, or @ and the file with it [any].", _Digest(), default=""
    )
    check: bool = setting("Load the model, see whether it can serve the pipeline's batches, and end.", default=False)
    pipeline: str = setting("Emulated: a shipped pipeline's name, or a file.", default="")
    stage: str = setting(default="")
    variant: str = setting(default="")
    cores: int | None = setting("[the variant's base; onnx: 1]", COUNT)
    seed: int = setting("Seed of emulated service times.", SEED, default=0)
    factor: float = setting("Scales emulated service times.", DURATION_S, default=1.0)
    start_up_s: float | None = setting("Start-up time in seconds [the variant's if emulated, else 0].", DURATION_S)
    stop_s: float = setting("Seconds to wait at the end.", DURATION_S, default=0.0)
    created_s: float | None = setting(
        "When the start-up time began, on the monotonic clock [the process's start].", click.FLOAT
    )
    host: str = setting(default="127.0.0.1")
    port: int = setting("Port to listen on; 0: any free one.", PORT, default=0)
    log_level: str = setting("", LOG_LEVEL, default="info")
