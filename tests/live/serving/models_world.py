"""Real models of the tiny pipeline, and a real S3 server (moto's) that has them."""

from __future__ import annotations

import http.client
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

from ipa.live.plane import free_port
from tests.live.world import until_now

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


def detector_file(onnx: Any, path: Path) -> None:
    """Non-maximum suppression: of each image's candidates, so many as it likes become crops, in the images' order.

    image: rows x candidates x (y1, x1, y2, x2, score) -> crops: kept x (y1, x1, y2, x2); counts: how many of each row.
    """
    helper, floating, whole = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    node, constant = helper.make_node, helper.make_tensor
    names = ("zero", "one", "two", "three", "four", "five")
    graph = helper.make_graph(
        [
            node("Slice", ["image", "zero1", "four1", "two1"], ["boxes"]),
            node("Slice", ["image", "four1", "five1", "two1"], ["column"]),
            node("Transpose", ["column"], ["scores"], perm=[0, 2, 1]),
            node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least_score"], ["kept"]),
            node("Slice", ["kept", "zero1", "one1", "one1"], ["row_of"]),
            node("Slice", ["kept", "two1", "three1", "one1"], ["box_of"]),
            node("Concat", ["row_of", "box_of"], ["places"], axis=1),
            node("GatherND", ["boxes", "places"], ["crops"]),
            node("Shape", ["image"], ["shape"]),
            node("Gather", ["shape", "zero"], ["rows"]),
            node("Range", ["zero", "rows", "one"], ["each_row"]),
            node("Equal", ["row_of", "each_row"], ["is_of"]),
            node("Cast", ["is_of"], ["is_of_number"], to=whole),
            node("ReduceSum", ["is_of_number", "zero1"], ["counts"], keepdims=0),
        ],
        "detector",
        [helper.make_tensor_value_info("image", floating, ["rows", "candidates", 5])],
        [
            helper.make_tensor_value_info("crops", floating, ["kept", 4]),
            helper.make_tensor_value_info("counts", whole, ["rows"]),
        ],
        [
            constant("zero", whole, [], [0]), constant("one", whole, [], [1]), constant("most", whole, [1], [100]),
            constant("overlap", floating, [1], [0.5]), constant("least_score", floating, [1], [0.5]),
            *(constant(f"{name}1", whole, [1], [n]) for n, name in enumerate(names)),
        ],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def classifier_file(onnx: Any, path: Path) -> None:
    """x: rows x 4 -> y: rows x 3, a linear layer."""
    helper, floating = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "classifier",
        [helper.make_tensor_value_info("x", floating, ["rows", 4])],
        [helper.make_tensor_value_info("y", floating, ["rows", 3])],
        [helper.make_tensor("weights", floating, [4, 3], [float(n) for n in range(12)])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@contextmanager
def s3_server(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """An S3 server with an empty bucket, and its URL."""
    pytest.importorskip("moto")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until_now(lambda: _listens(host, port), "moto listens")
        url = f"http://{host}:{port}"
        empty(url)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def empty(url: str) -> None:
    """The server holds nothing any more, but for an empty bucket, and answers everybody."""
    open_to_all(url)
    _send(url, "POST", "/moto-api/reset")
    _send(url, "PUT", f"/{BUCKET}")


def open_to_all(url: str) -> None:
    """The server answers everybody, as at first."""
    _send(url, "POST", "/moto-api/reset-auth", b"inf")


def shut(url: str) -> dict[str, str]:
    """The credentials of a user who may read; from now on the server answers nobody without."""
    may_read = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    _iam(url, Action="CreateUser", UserName="reader")
    said = _iam(url, Action="CreateAccessKey", UserName="reader")
    _iam(url, Action="PutUserPolicy", UserName="reader", PolicyName="reads", PolicyDocument=may_read)
    _send(url, "POST", "/moto-api/reset-auth", b"0")
    tags = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
    return {key: re.findall(f"<{tag}>(.*?)<", said)[0] for key, tag in tags.items()}


def _iam(url: str, **parameters: str) -> str:
    body = urlencode({"Version": "2010-05-08", **parameters}).encode()
    return _send(url, "POST", "/", body, "iam", {"Content-Type": "application/x-www-form-urlencoded"})


def _send(
    url: str,
    method: str,
    path: str,
    body: bytes = b"",
    service: str = "s3",
    headers: Mapping[str, str] | None = None,
) -> str:
    """Ask, signed by somebody; the signature is not looked at as long as the server is not shut."""
    signed = f"AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request(method, path, body, {"Authorization": signed, **(headers or {})})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def put(url: str, key: str, content: bytes) -> None:
    """An object in the bucket, for everybody to read."""
    _send(url, "PUT", f"/{BUCKET}/{key}", content, headers={"x-amz-acl": "public-read"})


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


if __name__ == "__main__":  # the folder to bake into an image: python -m tests.live.serving.models_world FOLDER
    models_folder(Path(sys.argv[1]))
