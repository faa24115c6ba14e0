"""Makes the models of the pipeline small-chat. See docs/language-models.md.

python -m ipa.studies.examples.chat FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from ipa.errors import Error
from ipa.live import serving
from ipa.live.profiling import SAMPLES
from ipa.studies.examples.chat.networks import write_classifier, write_language_model
from ipa.studies.examples.ocr.model_folder import check_new

PIPELINE = "small-chat"
CLASSIFIERS = {"narrow": (256, 2), "wide": (1024, 4)}
LANGUAGE_MODELS = {"small": (256, 4), "large": (384, 6)}
"""Variant -> width and layers."""
QUESTIONS, MEAN_WORDS, SPREAD = 100, 40, 0.5
"""Samples for the profile: how many, and their words, lognormal with this standard deviation of the logarithm."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    """Make the models in a new FOLDER, as small-chat/STAGE/VARIANT/, with samples of questions for the classifiers."""
    click.echo(f"Models: {folder} ({len(make_model_folder(folder))} variants)")


def make_model_folder(folder: Path) -> list[Path]:
    """Make the new folder; returns those of the variants. Raises InputError if it is not empty."""
    check_new(folder)
    folders = []
    for stage, variants, write, name in (
        ("classify", CLASSIFIERS, write_classifier, serving.ONNX_FILE),
        ("answer", LANGUAGE_MODELS, write_language_model, serving.GGUF_FILE),
    ):
        for variant, (width, layers) in variants.items():
            folders.append(folder / PIPELINE / stage / variant)
            folders[-1].mkdir(parents=True)
            write(folders[-1] / name, width, layers)
    lengths = np.random.default_rng(1).lognormal(np.log(MEAN_WORDS) - SPREAD**2 / 2, SPREAD, QUESTIONS)
    texts = np.array([[serving.words(max(1, round(length)))] for length in lengths.tolist()])
    np.savez_compressed(folder / PIPELINE / "classify" / f"{SAMPLES}.npz", text=texts)
    return folders


if __name__ == "__main__":
    try:
        main()
    except Error as error:
        sys.exit(f"Error: {error}")
