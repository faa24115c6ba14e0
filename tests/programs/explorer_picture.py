"""The explorer as the README shows it.

    python -m tests.programs.explorer_picture

asks one question in Chromium and writes what is seen to docs/explorer.webp.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from threading import Thread

from ipa.studies.explore import Explorer
from tests.studies.browser import WIDE, browser
from tests.studies.explore.conftest import visit

PICTURE = Path(__file__).parents[2] / "docs" / "explorer.webp"
QUESTION = "from=video&trace=bursty&policy=ipa&policy=foresight&policy=scale-only%3Ahigh&seeds=3"
HEIGHT = 1100


def main() -> None:
    explorer = Explorer(jobs=2)
    Thread(target=explorer.serve_forever, daemon=True).start()
    with browser() as shown:
        visit(shown, explorer, QUESTION)  # once before, so that its processes have started
        shown.size(WIDE, HEIGHT)
        visit(shown, explorer, QUESTION)
        shown.draw_all()
        shown.size(WIDE, HEIGHT)
        shown.run("scrollTo(0, 0)")
        found = shown.call("Page.captureScreenshot", format="webp", quality=80)
    explorer.shutdown()
    explorer.close()
    PICTURE.write_bytes(b64decode(found["data"]))
    print(f"{PICTURE.relative_to(PICTURE.parents[1])}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
