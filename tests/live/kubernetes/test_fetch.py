"""Variants fetched from a real S3 server on loopback: whole or not at all, and what is said where it cannot be."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("aiohttp")
pytest.importorskip("s3fs")

from ipa.live.kubernetes import store as store_of
from ipa.live.kubernetes.fetch import fetch, keys_of
from ipa.live.kubernetes.pod_model import main
from ipa.live.kubernetes.store import StoreError, files_below
from ipa.live.serving import digest_of, sums_of
from tests.live.serving.models_world import BUCKET, NOBODY, SOMEBODY, empty, open_to_all, put, shut

SMALL = f"s3://{BUCKET}/models/tiny/sort/small"


pytestmark = pytest.mark.usefixtures("reopened")


@pytest.fixture(scope="module")
def whole_variant(s3_url: str) -> None:
    """On the server, beside one whose name begins alike."""
    empty(s3_url)
    put(s3_url, "models/tiny/sort/small/model.py", b"weights")
    put(s3_url, "models/tiny/sort/small/deep/down/more.bin", bytes(range(256)) * 80_000)  # some 20 MB, three parts
    put(s3_url, "models/tiny/sort/small/empty.txt", b"")
    put(s3_url, "models/tiny/sort/smaller/model.py", b"another's")


@pytest.fixture
def server(s3_url: str, whole_variant: None) -> Iterator[str]:
    yield s3_url
    open_to_all(s3_url)


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


WHOLE = {"model.py": 7, "deep/down/more.bin": 20_480_000, "empty.txt": 0}


def test_a_variant_s_files_are_fetched_and_no_others(server: str, tmp_path: Path) -> None:
    assert fetch(SMALL, tmp_path / "small", server, NOBODY) == 3
    assert files(tmp_path) == {f"small/{name}": size for name, size in WHOLE.items()}
    assert (tmp_path / "small/deep/down/more.bin").read_bytes() == bytes(range(256)) * 80_000


def test_the_command_fetches_and_says_so(server: str, tmp_path: Path) -> None:
    url = f"{SMALL}er"
    result = CliRunner().invoke(main, arguments(url, tmp_path / "smaller", server), catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, f"{url}: 1 files\n")
    digest = digest_of(sums_of(tmp_path / "smaller"))
    assert ((tmp_path / "digest").read_text(), (tmp_path / "message").read_text()) == (digest, f"any {digest}")
    assert files(tmp_path / "smaller") == {"model.py": 9}


def test_the_command_ends_with_one_line_where_it_cannot(server: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ipa.live.kubernetes.pod_model"]
    command += arguments(f"{SMALL}-not", tmp_path / "small", server)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        f"Error: {SMALL}-not: there is nothing at {server}, and nothing at s3://{BUCKET}/models/sort/small-not\n",
    )


def arguments(url: str, target: Path, server: str) -> list[str]:
    """Those of the command that fetches a variant."""
    below = target.parent
    places = {"--fixed-at": below / "fixed", "--digest-file": below / "digest", "--message-file": below / "message"}
    of_places = [text for option, place in places.items() for text in (option, str(place))]
    return [str(target), "--key", "any", "--from", url, "--endpoint", server, *of_places]


def test_what_has_been_fetched_whole_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "model.py").write_text("there")
    assert fetch(SMALL, tmp_path / "small", "http://127.0.0.1:1", NOBODY) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"s3://{BUCKET}/models/tiny/sort/large", "there is nothing at http"),
        ("s3://no-such-bucket/models", "there is no such bucket at http"),
    ],
)
def test_what_is_not_there_is_said(server: str, tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(StoreError, match=f"{url}: {why}"):
        fetch(url, tmp_path / "small", server, NOBODY)
    assert not (tmp_path / "small").exists()


def test_a_store_that_asks_for_credentials_gives_to_who_has_them_alone(server: str, tmp_path: Path) -> None:
    keys = shut(server)
    assert fetch(f"{SMALL}er", tmp_path / "smaller", server, keys) == 1
    for wrong, why in (
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"),
    ):
        with pytest.raises(StoreError, match=rf"{SMALL}: no access at {server}: .*{why}"):
            fetch(SMALL, tmp_path / "other", server, {**keys, wrong: "wrong"}, attempts=1)


def test_an_endpoint_where_nobody_listens_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StoreError, match=f"{url} cannot be reached: .*connect"):
            fetch(SMALL, tmp_path / "small", url, NOBODY, attempts=1)


def test_an_endpoint_whose_name_is_unknown_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"http://no-such-host\.invalid cannot be reached: .*not known"):
        fetch(SMALL, tmp_path / "small", "http://no-such-host.invalid", NOBODY, attempts=1)


def test_an_endpoint_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_of, "SILENT_FOR_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreError, match=f"{url} cannot be reached: "):
            fetch(SMALL, tmp_path / "small", url, NOBODY, attempts=1)


def test_a_target_that_cannot_be_written_is_named(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"file/\.small\.incoming.*: Not a directory"):
        fetch(SMALL, tmp_path / "file" / "small", server, NOBODY)


def test_a_name_that_leads_out_of_the_folder_is_refused() -> None:
    def store(*names: str) -> Any:
        about = {"type": "file"}
        return SimpleNamespace(find=lambda place, detail: {f"shelf/small/{name}": about for name in names})

    assert [*files_below(store("deep/model.py", "folder/"), "shelf/small")] == ["deep/model.py"]
    with pytest.raises(StoreError, match=r"shelf/small/\.\./\.\./etc: a name with \.\. is refused"):
        files_below(store("../../etc"), "shelf/small")


# ---- a store with troubles ----


BUSY = b"<Error><Code>ServiceUnavailable</Code><Message>Reduce your request rate.</Message></Error>"


class Trouble(BaseHTTPRequestHandler):
    """Passes calls on to a real store, but for what `meddle(number, method, path)` makes of them."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        with self.server.lock:
            self.server.calls.append((self.command, self.path, self.headers.get("Range")))
            what = self.server.meddle(len(self.server.calls), self.command, self.path)
        if what == "busy":
            self.send_response(503)
            self.send_header("Content-Length", str(len(BUSY)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else BUSY)
            return
        connection = http.client.HTTPConnection(self.server.behind.removeprefix("http://"))
        connection.request(self.command, self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if what == "cut" else content)
        self.close_connection = what == "cut"

    def log_message(self, *given: object) -> None:
        pass


@contextmanager
def troubled(behind: str, meddle: Any) -> Iterator[Any]:
    """A server before a store; its `url`, and the `calls` that it saw."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Trouble)
    server.daemon_threads = True
    server.behind, server.meddle, server.calls, server.lock = behind, meddle, [], threading.Lock()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.long
@pytest.mark.parametrize("what", ["busy", "cut"])
def test_what_fails_for_a_moment_is_asked_again(server: str, tmp_path: Path, what: str) -> None:
    """Of every call of a kind the first is answered with 503, or with half of the body and a closed connection."""
    seen = set()

    def first_of_its_kind(number: int, method: str, path: str) -> str:
        kind = (method, path)
        is_first = kind not in seen and (what == "busy" or "more.bin" in path)
        seen.add(kind)
        return what if is_first else ""

    with troubled(server, first_of_its_kind) as before:
        fetch(SMALL, tmp_path / "small", before.url, NOBODY)
    assert files(tmp_path / "small") == WHOLE
    assert (tmp_path / "small/deep/down/more.bin").read_bytes() == bytes(range(256)) * 80_000
    again = [call for call in before.calls if before.calls.count(call) > 1]
    assert again


@pytest.mark.long
def test_what_never_gets_better_is_given_up(server: str, tmp_path: Path) -> None:
    with (
        troubled(server, lambda *_: "busy") as before,
        pytest.raises(StoreError, match=f"{SMALL}: .*ServiceUnavailable"),
    ):
        fetch(SMALL, tmp_path / "small", before.url, NOBODY, attempts=3)
    assert len(before.calls) == 3


def test_an_object_that_changes_on_the_way_is_refused(server: str, tmp_path: Path) -> None:
    put(server, "changing/model.py", b"first")

    def changed(number: int, method: str, path: str) -> str:
        if method == "GET" and "model.py" in path:
            put(server, "changing/model.py", b"other")
        return ""

    with (
        troubled(server, changed) as before,
        pytest.raises(StoreError, match=r"changing/model\.py changed while it was being fetched$"),
    ):
        fetch(f"s3://{BUCKET}/changing", tmp_path / "model", before.url, SOMEBODY)
    assert not (tmp_path / "model").exists()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """The default trust is that of certifi; a self-signed server is not in it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    try:
        subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def shake() -> None:
            for _ in range(2):
                try:
                    context.wrap_socket(listener.accept()[0], server_side=True).close()
                except OSError:
                    continue

        threading.Thread(target=shake, daemon=True).start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        with pytest.raises(StoreError, match=f"{url} cannot be reached: .*[Cc]ertificate"):
            fetch(SMALL, tmp_path / "small", url, NOBODY, attempts=1)


def test_the_keys_of_a_secret_are_files_and_what_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r'^secret "keys" not found'):
        keys_of("keys", tmp_path / "nowhere")
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("me\n")
    with pytest.raises(StoreError, match="lacks the key AWS_SECRET_ACCESS_KEY"):
        keys_of("keys", tmp_path)
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("secret")
    assert keys_of("keys", tmp_path) == {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret"}
