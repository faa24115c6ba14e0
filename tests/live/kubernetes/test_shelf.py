"""Model folders put into a real S3 server on loopback, listed there, and fetched as a pod does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("s3fs")

from ipa.live import LiveError
from ipa.live.kubernetes import shelf
from ipa.live.kubernetes.fetch import fetch
from ipa.live.kubernetes.store import StoreError
from tests.live.serving.models_world import BUCKET, SOMEBODY, empty, put, s3_server

URL = f"s3://{BUCKET}/models"


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def server(listening: str) -> str:
    """With nothing of what other tests have put there."""
    empty(listening)
    put(listening, "other/thing.txt", b"somebody else's")
    return listening


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two variants of one stage, one with a file in a folder of its own."""
    root = tmp_path / "models"
    for name, files in {"small": {"model.py": "a"}, "large": {"model.py": "b", "deep/weights.bin": "c" * 1000}}.items():
        for file, text in files.items():
            path = root / "tiny" / "sort" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root


def pushed(folder: Path, server: str) -> list[tuple[str, bool]]:
    said: list[tuple[str, bool]] = []
    shelf.push(folder, URL, server, SOMEBODY, lambda variant, is_new: said.append((variant.name, is_new)))
    return said


def test_what_is_put_there_is_listed_alike_here_and_there_and_fetched_whole(
    folder: Path, server: str, tmp_path: Path
) -> None:
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", True)]
    here = shelf.in_folder(folder)
    assert [(each.name, each.files, each.size_bytes) for each in here] == [
        ("tiny/sort/large", 2, 1001),
        ("tiny/sort/small", 1, 1),
    ]
    assert shelf.in_store(URL, server, SOMEBODY) == here
    fetch(f"{URL}/tiny/sort/large", tmp_path / "large", server, SOMEBODY)
    assert (tmp_path / "large" / "deep" / "weights.bin").read_text() == "c" * 1000


def test_only_what_has_changed_is_sent_again_and_nothing_of_before_stays(
    folder: Path, server: str, tmp_path: Path
) -> None:
    pushed(folder, server)
    (folder / "tiny/sort/large/deep/weights.bin").unlink()
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", False)]
    assert shelf.in_store(URL, server, SOMEBODY) == shelf.in_folder(folder)


def test_sample_requests_beside_the_variants_stay_here(folder: Path, server: str) -> None:
    samples = folder / "tiny/sort/samples"
    samples.mkdir()
    (samples / "0000.jpg").write_bytes(b"a page")
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", True)]
    assert [each.name for each in shelf.in_store(URL, server, SOMEBODY)] == ["tiny/sort/large", "tiny/sort/small"]


def test_a_file_that_is_not_what_its_checksum_says_is_not_served(folder: Path, server: str, tmp_path: Path) -> None:
    pushed(folder, server)
    put(server, "models/tiny/sort/small/model.py", b"forged")
    with pytest.raises(StoreError, match=r"small/model\.py: is not what SHA256SUMS says"):
        fetch(f"{URL}/tiny/sort/small", tmp_path / "small", server, SOMEBODY)
    assert not (tmp_path / "small").exists()


def test_a_variant_that_was_put_there_otherwise_has_no_checksum(folder: Path, server: str) -> None:
    pushed(folder, server)
    put(server, "models/tiny/sort/huge/model.onnx", b"123")
    put(server, "models/tiny/sort/small/added.bin", b"1")
    digests = {each.name: bool(each.digest) for each in shelf.in_store(URL, server, SOMEBODY)}
    assert digests == {"tiny/sort/huge": False, "tiny/sort/large": True, "tiny/sort/small": False}


def test_what_cannot_be_put_there_is_said(folder: Path, server: str, tmp_path: Path) -> None:
    with pytest.raises(LiveError, match=r"none: no such folder"):
        shelf.push(tmp_path / "none", URL, server, SOMEBODY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LiveError, match=r"empty: should hold PIPELINE/STAGE/VARIANT/"):
        shelf.push(tmp_path / "empty", URL, server, SOMEBODY)
    with pytest.raises(LiveError, match=r"nowhere/models: there is no such bucket at"):
        shelf.push(folder, "s3://nowhere/models", server, SOMEBODY)
    with pytest.raises(LiveError, match=r"models: should be s3://BUCKET\[/FOLDER\]"):
        shelf.push(folder, "models", server, SOMEBODY)
    (folder / "tiny/sort/small/model.py").rename(folder / "tiny/sort/small/other.py")
    with pytest.raises(LiveError, match=r"small: should hold model\.onnx or model\.py"):
        shelf.in_folder(folder)
