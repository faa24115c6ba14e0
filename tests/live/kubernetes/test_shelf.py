"""Model folders put into a real S3 server on loopback, listed there, and fetched as a pod does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("s3fs")

from ipa.live import LiveError
from ipa.live.kubernetes import fetch as fetching
from ipa.live.kubernetes import model_store
from ipa.live.kubernetes.fetch import fetch
from ipa.live.kubernetes.store import StoreError
from ipa.live.serving import SUMS, sums_of, sums_text
from tests.command import ipa
from tests.live.kubernetes.conftest import Opened
from tests.live.serving.models_world import BUCKET, SOMEBODY, empty, put, shut

if TYPE_CHECKING:
    from s3fs import S3FileSystem

URL = f"s3://{BUCKET}/models"


pytestmark = pytest.mark.usefixtures("reopened")


@pytest.fixture
def server(s3_url: str) -> str:
    """With nothing of what other tests have put there."""
    empty(s3_url)
    put(s3_url, "other/thing.txt", b"somebody else's")
    return s3_url


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
    """Push a folder; the names of its variants, and whether they had to be sent."""
    variants: list[tuple[str, bool]] = []
    model_store.push(folder, URL, server, SOMEBODY, lambda variant, is_new: variants.append((variant.name, is_new)))
    return variants


def test_a_folder_that_is_not_what_its_checksums_say_ends_the_list_with_exit_code_1(
    folder: Path, tmp_path: Path
) -> None:
    large = folder / "tiny" / "sort" / "large"
    (large / SUMS).write_text(sums_text(sums_of(large)))
    assert ipa("models", "list", str(folder)).exit_code == 0
    (large / "model.py").write_text("other")
    (large / "deep" / "more.bin").write_text("new")
    result = ipa("models", "list", str(folder))
    assert result.exit_code == 1
    assert "wrong: deep/more.bin, model.py" in result.stdout
    assert "not what the checksums say: tiny/sort/large" in result.stderr


def test_what_is_put_there_is_listed_alike_here_and_there_and_fetched_whole(
    folder: Path, server: str, tmp_path: Path
) -> None:
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", True)]
    here = model_store.in_folder(folder)
    assert [(each.name, each.files, each.size_bytes) for each in here] == [
        ("tiny/sort/large", 2, 1001),
        ("tiny/sort/small", 1, 1),
    ]
    assert model_store.in_store(URL, server, SOMEBODY) == here
    fetch(f"{URL}/tiny/sort/large", tmp_path / "large", server, SOMEBODY)
    assert (tmp_path / "large" / "deep" / "weights.bin").read_text() == "c" * 1000


def test_only_what_has_changed_is_sent_again_and_nothing_of_before_stays(
    folder: Path, server: str, tmp_path: Path
) -> None:
    pushed(folder, server)
    (folder / "tiny/sort/large/deep/weights.bin").unlink()
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", False)]
    assert model_store.in_store(URL, server, SOMEBODY) == model_store.in_folder(folder)


@pytest.mark.parametrize("before", [{}, {"model.py": "old", "deep/weights.bin": "old", "gone.bin": "old"}])
def test_a_push_that_breaks_off_leaves_no_variant_that_a_reader_takes_for_whole(
    folder: Path,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reopened: Opened,
    before: dict[str, str],
) -> None:
    """After each of its changes in turn; before, there was nothing or another variant. Pushing again mends it."""
    (folder / "tiny/sort/small/model.py").unlink()
    (folder / "tiny/sort/small").rmdir()
    large, old = folder / "tiny/sort/large", tmp_path / "old/tiny/sort/large"
    for file, text in before.items():
        (old / file).parent.mkdir(parents=True, exist_ok=True)
        (old / file).write_text(text)
    whole = [sums_of(large), *([sums_of(old)] if before else [])]
    changes = 0
    while True:
        empty(server)
        if before:
            pushed(tmp_path / "old", server)
        with monkeypatch.context() as patched:
            break_off(patched, reopened(server, SOMEBODY), changes)
            with suppress(StoreError):
                pushed(folder, server)
                break
        to = tmp_path / f"after-{changes}"
        with suppress(StoreError):
            fetch(f"{URL}/tiny/sort/large", to, server, SOMEBODY)
        assert not to.exists() or sums_of(to) in whole, changes
        pushed(folder, server)
        assert model_store.in_store(URL, server, SOMEBODY) == model_store.in_folder(folder)
        changes += 1
    assert changes == 4 + len(before.keys() & {"gone.bin"})  # checksums twice, two files, and one to remove


def break_off(patched: pytest.MonkeyPatch, store: S3FileSystem, most: int) -> None:
    """Have the store fail once it has been changed so often."""
    made = itertools.count(1)

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def changed(*what: object, **how: object) -> object:
            if next(made) > most:
                raise ConnectionResetError("broken off")
            return change(*what, **how)

        return changed

    for name in ("pipe_file", "put_file", "rm_file", "rm"):
        patched.setattr(store, name, counted(getattr(store, name)))


def test_sample_requests_beside_the_variants_stay_here(folder: Path, server: str) -> None:
    samples = folder / "tiny/sort/samples"
    samples.mkdir()
    (samples / "0000.jpg").write_bytes(b"a page")
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", True)]
    assert [each.name for each in model_store.in_store(URL, server, SOMEBODY)] == ["tiny/sort/large", "tiny/sort/small"]


def test_the_pipeline_s_folder_is_optional_in_the_store_too(folder: Path, server: str, tmp_path: Path) -> None:
    """The pod of a replica asks for PIPELINE/STAGE/VARIANT, and takes STAGE/VARIANT where there is no such."""
    assert pushed(folder / "tiny", server) == [("sort/large", True), ("sort/small", True)]
    assert [each.name for each in model_store.in_store(URL, server, SOMEBODY)] == ["sort/large", "sort/small"]
    assert fetch(f"{URL}/tiny/sort/small", tmp_path / "small", server, SOMEBODY) == 2
    with pytest.raises(
        StoreError, match=rf"{URL}/tiny/sort/huge: there is nothing at .*, and nothing at {URL}/sort/huge"
    ):
        fetch(f"{URL}/tiny/sort/huge", tmp_path / "huge", server, SOMEBODY)


def test_a_file_that_was_changed_there_is_named_and_sent_again(folder: Path, server: str) -> None:
    """Of the same length, and with the checksums of before beside it."""
    pushed(folder, server)
    put(server, "models/tiny/sort/small/model.py", b"z")
    small = model_store.in_store(URL, server, SOMEBODY)[1]
    assert (small.name, small.digest, small.wrong) == ("tiny/sort/small", "", ("model.py",))
    assert pushed(folder, server) == [("tiny/sort/large", False), ("tiny/sort/small", True)]
    assert model_store.in_store(URL, server, SOMEBODY) == model_store.in_folder(folder)


def test_a_file_that_was_put_there_again_with_the_same_content_is_right_whatever_its_tag(
    folder: Path, server: str
) -> None:
    pushed(folder, server)
    sums = "".join(f"{digest}  {name}\n" for name, digest in sums_of(folder / "tiny/sort/small").items())
    put(server, "models/tiny/sort/small/SHA256SUMS", sums.encode())  # as an earlier version wrote it, without tags
    assert model_store.in_store(URL, server, SOMEBODY) == model_store.in_folder(folder)


def test_a_file_that_the_checksums_do_not_name_is_not_served(folder: Path, server: str, tmp_path: Path) -> None:
    pushed(folder, server)
    put(server, "models/tiny/sort/small/added.py", b"more")
    with pytest.raises(StoreError, match=r"small/added\.py: is not in SHA256SUMS"):
        fetch(f"{URL}/tiny/sort/small", tmp_path / "small", server, SOMEBODY)
    assert not (tmp_path / "small").exists()
    assert model_store.in_store(URL, server, SOMEBODY)[1].wrong == ("added.py",)


def test_a_fetch_that_was_broken_off_goes_on_file_by_file(
    folder: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file is there whole, one half, and one is of another variant: only the last two are not kept."""
    pushed(folder, server)
    incoming = tmp_path / ".large.incoming"
    (incoming / "deep").mkdir(parents=True)
    (incoming / "model.py").write_text("b")
    (incoming / "deep/weights.bin").write_text("c" * 500)
    (incoming / "stale.bin").write_text("x")
    copied = []
    copy = fetching._copy
    monkeypatch.setattr(fetching, "_copy", lambda *given: (copied.append(given[1]), copy(*given)))  # type: ignore[func-returns-value]
    fetch(f"{URL}/tiny/sort/large", tmp_path / "large", server, SOMEBODY)
    assert sums_of(tmp_path / "large") == sums_of(folder / "tiny/sort/large")
    assert sorted(name.rpartition("/")[2] for name in copied) == ["SHA256SUMS", "weights.bin"]


def test_all_models_are_fetched_and_what_is_there_already_is_not(folder: Path, server: str, tmp_path: Path) -> None:
    pushed(folder, server)
    to = tmp_path / "here"
    first = ipa("models", "fetch", URL, to, env={**SOMEBODY, "AWS_ENDPOINT_URL": server})
    assert (first.exit_code, first.stderr) == (0, "tiny/sort/large: fetched\ntiny/sort/small: fetched\n")
    assert [each.digest for each in model_store.in_folder(to)] == [
        each.digest for each in model_store.in_folder(folder)
    ]
    second = ipa("models", "fetch", URL, to, env={**SOMEBODY, "AWS_ENDPOINT_URL": server})
    assert second.stderr == "tiny/sort/large: already there\ntiny/sort/small: already there\n"
    (to / "tiny/sort/large/model.py").write_text("another")
    third = ipa("models", "fetch", URL, to, env={**SOMEBODY, "AWS_ENDPOINT_URL": server})
    assert third.exit_code == 2
    assert f"{to}/tiny/sort/large: is there already and is not {URL}/tiny/sort/large" in third.stderr


def test_an_object_store_that_is_no_url_is_refused(folder: Path) -> None:
    refused = ipa("models", "list", URL, env={"AWS_ENDPOINT_URL": "here"})
    assert refused.exit_code == 2
    assert "AWS_ENDPOINT_URL: 'here'; allowed: the URL of a server, such as" in refused.stderr


def test_a_wrong_key_is_no_missing_bucket(folder: Path, server: str) -> None:
    wrong = {**shut(server), "AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(StoreError, match=rf"{URL}: no access at {server}: "):
        model_store.push(folder, URL, server, wrong)
    with pytest.raises(StoreError, match=rf"{URL}: no access at {server}: "):
        model_store.in_store(URL, server, wrong)


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
    digests = {each.name: (bool(each.digest), each.wrong) for each in model_store.in_store(URL, server, SOMEBODY)}
    assert digests == {
        "tiny/sort/huge": (False, ()), "tiny/sort/large": (True, ()), "tiny/sort/small": (False, ("added.bin",))
    }  # fmt: skip


def test_what_cannot_be_put_there_is_said(folder: Path, server: str, tmp_path: Path) -> None:
    with pytest.raises(LiveError, match=r"none: no such folder"):
        model_store.push(tmp_path / "none", URL, server, SOMEBODY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LiveError, match=r"empty: holds no models; should hold \[PIPELINE/\]STAGE/VARIANT/ with"):
        model_store.push(tmp_path / "empty", URL, server, SOMEBODY)
    with pytest.raises(LiveError, match=r"nowhere/models: there is no such bucket at"):
        model_store.push(folder, "s3://nowhere/models", server, SOMEBODY)
    with pytest.raises(LiveError, match=r"models: should be s3://BUCKET\[/FOLDER\]"):
        model_store.push(folder, "models", server, SOMEBODY)
    with pytest.raises(
        LiveError, match=r"tiny/sort: should hold \[PIPELINE/\]STAGE/VARIANT/ with model.onnx, model.py or model.gguf"
    ):
        model_store.push(folder / "tiny/sort", URL, server, SOMEBODY)
    (folder / "tiny/sort/small/model.py").rename(folder / "tiny/sort/small/other.py")
    with pytest.raises(LiveError, match=r"small: should hold model\.onnx, model\.py or model\.gguf"):
        model_store.in_folder(folder)


@pytest.mark.parametrize("link", ["tiny/sort/small/secret", "tiny/sort/linked", "tiny/sort/small/deep"])
def test_a_link_that_leaves_the_folder_is_refused_before_anything_is_sent(
    folder: Path, server: str, tmp_path: Path, link: str
) -> None:
    """A file, a whole variant, and a folder in a variant; a link that stays inside is followed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "model.py").write_text("secret")
    (folder / "tiny/sort/small/again.py").symlink_to("model.py")
    target = tmp_path / "outside" / ("model.py" if link.endswith("secret") else "")
    (folder / link).symlink_to(target)
    with pytest.raises(LiveError, match=rf"{link}: is a link to .*, outside of .*; put the file itself there"):
        pushed(folder, server)
    with pytest.raises(LiveError, match="s3://shelf/models: there are no "):
        model_store.in_store(URL, server, SOMEBODY)
    (folder / link).unlink()
    assert pushed(folder, server) == [("tiny/sort/large", True), ("tiny/sort/small", True)]
