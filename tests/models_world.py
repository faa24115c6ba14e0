"""Real models of the tiny pipeline, and a real S3 server (moto's) that has them."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.live_world import until_now

ROOT = Path(__file__).resolve().parents[1]
MOTO = ROOT / ".venv-moto" / "bin" / "moto_server"

BUCKET = "shelf"
NOBODY: Mapping[str, str] = {}
SOMEBODY = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}

TRIPLING = """
class Model:
    def predict(self, inputs):
        return {"y": 3 * inputs["x"]}
"""


def models_folder(root: Path) -> Path:
    """A root with the tiny pipeline's models: small is a class that triples x, large an ONNX file of 2 x + 1."""
    onnx = pytest.importorskip("onnx")
    small, large = (root / "tiny" / "sort" / variant for variant in ("small", "large"))
    for folder in (small, large):
        folder.mkdir(parents=True)
    (small / "model.py").write_text(TRIPLING)
    affine_file(onnx, large / "model.onnx")
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # as pods run under another user
    return root


def affine_file(onnx: Any, path: Path) -> None:
    """y = 2 x + 1 on rows of three."""
    helper, floating = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["doubled"]), helper.make_node("Add", ["doubled", "one"], ["y"])],
        "affine",
        [helper.make_tensor_value_info("x", floating, ["rows", 3])],
        [helper.make_tensor_value_info("y", floating, ["rows", 3])],
        [helper.make_tensor("two", floating, [], [2.0]), helper.make_tensor("one", floating, [], [1.0])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@contextmanager
def s3_server(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """An S3 server with an empty bucket, and its URL."""
    if not MOTO.exists():
        pytest.skip("moto's S3 server is not here: `make moto` installs it")
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen([MOTO, "-H", host, "-p", str(port)], stdout=log, stderr=log, env=inherited)
    try:
        until_now(lambda: _listens(host, port), "moto listens")
        url = f"http://{host}:{port}"
        store(url).create_dir(BUCKET)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def shut(url: str) -> dict[str, str]:
    """The credentials of a user who may read; from now on the server answers nobody without."""
    may_read = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    _iam(url, Action="CreateUser", UserName="reader")
    said = _iam(url, Action="CreateAccessKey", UserName="reader")
    _iam(url, Action="PutUserPolicy", UserName="reader", PolicyName="reads", PolicyDocument=may_read)
    _post(url, "/moto-api/reset-auth", "0")
    tags = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
    return {key: re.findall(f"<{tag}>(.*?)<", said)[0] for key, tag in tags.items()}


def _iam(url: str, **parameters: str) -> str:
    signed = "AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x"
    headers = {"Authorization": signed, "Content-Type": "application/x-www-form-urlencoded"}
    return _post(url, "/", urlencode({"Version": "2010-05-08", **parameters}), headers)


def _post(url: str, path: str, body: str, headers: Mapping[str, str] | None = None) -> str:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", path, body, dict(headers or {}))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def store(url: str) -> Any:
    """A file system that may write to a server."""
    from pyarrow.fs import S3FileSystem

    key, secret = SOMEBODY.values()
    scheme, _, host = url.partition("://")
    return S3FileSystem(
        access_key=key,
        secret_key=secret,
        region="us-east-1",
        scheme=scheme,
        endpoint_override=host,
        allow_bucket_creation=True,
        background_writes=False,
    )


def put(url: str, key: str, content: bytes) -> None:
    """An object in the bucket."""
    with store(url).open_output_stream(f"{BUCKET}/{key}") as stream:
        stream.write(content)


def put_folder(url: str, folder: Path, below: str) -> None:
    """All files of a folder, in the bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(url, f"{below}/{path.relative_to(folder)}", path.read_bytes())


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":  # the folder to bake into an image: python -m tests.models_world FOLDER
    models_folder(Path(sys.argv[1]))
