"""Tokens in files: who may read them, what counts as one, and how one is replaced."""

from __future__ import annotations

import hmac
import stat
from pathlib import Path
from typing import Any

import pytest

from ipa.live.errors import LiveError
from ipa.live.tokens import TokenFile, create_token_file, new_token, tokens_in

ONE, TWO = "one-token-of-a-test", "two-token-of-a-test"


def written(folder: Path, text: str, mode: int = 0o600) -> TokenFile:
    path = folder / "token"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return TokenFile(path)


def test_a_new_token_is_long_and_another_each_time(tmp_path: Path) -> None:
    assert len(new_token()) == 43  # 256 bits, six a character
    assert new_token() != new_token()
    assert tokens_in(new_token(), "here")


def test_a_new_file_is_its_user_s_alone_and_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    create_token_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (token,) = TokenFile(path).read()
    with pytest.raises(FileExistsError):
        create_token_file(path)
    assert TokenFile(path).read() == (token,)


@pytest.mark.parametrize("text", ["", "\n", " \n\n", "short", f"{ONE}\nshort", "sixteen-caracters-é-and-more"])
def test_what_is_no_token_is_refused_and_never_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(LiveError, match="should hold tokens, one a line, each of at least 16") as refused:
        written(tmp_path, text).read()
    assert not any(part in str(refused.value) for part in text.split())


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff" * 20)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(LiveError, match="cannot be read"):
        TokenFile(tmp_path / "token").read()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_file_that_everyone_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LiveError, match="everyone on this machine can read the token; chmod 600"):
        written(tmp_path, ONE, mode).read()


def test_a_group_may_read_it_as_a_pod_s_user_does(tmp_path: Path) -> None:
    assert written(tmp_path, ONE, 0o440).read() == (ONE,)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="token cannot be read: No such file or directory"):
        TokenFile(tmp_path / "token").read()


def test_every_token_of_a_file_is_accepted_and_the_first_one_sent(tmp_path: Path) -> None:
    tokens = written(tmp_path, f"{ONE}\n{TWO}\n")
    assert [tokens.accepts(each) for each in (ONE, TWO)] == [True, True]
    assert tokens.headers() == {"Authorization": f"Bearer {ONE}"}


@pytest.mark.parametrize("given", ["", " ", ONE[:-1], ONE + "x", ONE.upper(), f"{ONE}\n{TWO}", "é" * 20, "\udcff" * 20])
def test_nothing_else_is_accepted(tmp_path: Path, given: str) -> None:
    assert not written(tmp_path, f"{ONE}\n{TWO}").accepts(given)


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    """As the kubelet changes a mounted Secret: another file takes the name."""
    tokens = written(tmp_path, ONE)
    assert tokens.accepts(ONE)
    (tmp_path / "next").write_text(TWO, encoding="utf-8")
    (tmp_path / "next").chmod(0o600)
    (tmp_path / "next").rename(tokens.path)
    assert (tokens.accepts(ONE), tokens.accepts(TWO)) == (False, True)


def test_tokens_are_compared_all_and_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(given: bytes, token: bytes) -> bool:
        compared.append(token)
        return hmac_compare(given, token)

    hmac_compare: Any = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert written(tmp_path, f"{ONE}\n{TWO}").accepts(ONE)
    assert compared == [ONE.encode(), TWO.encode()]
