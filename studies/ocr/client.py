"""A client: sends a picture file, gets its text. Any client of the Open Inference Protocol can do the same."""

from __future__ import annotations

from pathlib import Path

from ipa.live import Job, LiveError, ask_file


def read_picture(url: str, model: str, picture: Path, token_file: Path | None = None) -> str:
    """What a pipeline reads in a picture. Raises LiveError where it does not answer with text, and RunError where it
    does not answer, or fails; both say why."""
    try:
        content = picture.read_bytes()
    except OSError as error:
        raise LiveError(f"{picture}: cannot be read: {error.strerror}") from None
    return ask_file(Job(url, model, 0.0, 0.0, {}, token_file=str(token_file or "")), content, str(picture))
