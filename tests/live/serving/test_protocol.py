"""The protocol's messages and tensors: what is read is what was written, and what breaks the protocol is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipa.live.serving import protocol, tensors
from ipa.live.serving.protocol import HEADER, InferRequest, InferResponse, ProtocolError, Wanted, at_once
from ipa.live.serving.tensors import DTYPES, Tensor, TensorError

NUMBERS = st.sampled_from(sorted(DTYPES))


@st.composite
def numeric(draw: st.DrawFn, rows: int | None = None) -> Tensor:
    dtype = DTYPES[draw(NUMBERS)]
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    shape = shape if rows is None else (rows, *shape[1:])
    values = draw(
        hnp.arrays(dtype, shape, elements={"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None)
    )
    return tensors.of_array(draw(st.text(min_size=1, max_size=5)), values)


@st.composite
def texts(draw: st.DrawFn, rows: int | None = None) -> Tensor:
    values = draw(st.lists(st.text(max_size=6), min_size=rows or 1, max_size=rows or 6))
    return tensors.of_array("words", np.array([value.encode() for value in values], dtype=object))


def request_body(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode()


def one_input(**changes: Any) -> bytes:
    """A sound request of one input, changed; None takes a key away."""
    entry = {"name": "x", "datatype": "INT32", "shape": [2], "data": [1, 2]} | changes
    return request_body({"inputs": [{key: value for key, value in entry.items() if value is not None}]})


# ---- what is read is what was written ----


@given(st.lists(st.one_of(numeric(), texts()), min_size=1, max_size=3, unique_by=lambda t: t.name), st.booleans())
def test_a_request_comes_back_as_it_was(inputs: list[Tensor], binary: bool) -> None:
    body = at_once(protocol.writing_request(inputs, {"temperature": 0.5}, binary=binary))
    read = at_once(protocol.reading_request(body.data, body.headers.get(HEADER)))
    assert list(read.inputs) == inputs
    assert read.parameters == {"temperature": 0.5}
    assert read.wanted.is_binary == binary


@given(st.one_of(numeric(), texts()), st.booleans())
def test_an_answer_comes_back_as_it_was(output: Tensor, binary: bool) -> None:
    asked = InferRequest("7", {}, [], Wanted(None, binary))
    body = at_once(protocol.writing_response("m", asked, InferResponse([output])))
    assert at_once(protocol.reading_response(body.data, body.headers.get(HEADER))).outputs == [output]
    head = json.loads(body.data[: int(body.headers.get(HEADER, len(body.data)))])
    assert (head["model_name"], head["model_version"], head["id"]) == ("m", "1", "7")


def test_an_answer_holds_the_outputs_asked_for_each_in_its_form() -> None:
    outputs = [tensors.of_array(name, np.array([n], dtype=np.int32)) for n, name in enumerate("abc")]
    asked = InferRequest(None, {}, [], Wanted({"c": False, "a": True}, True))
    body = at_once(protocol.writing_response("m", asked, InferResponse(outputs)))
    length = int(body.headers[HEADER])
    head = json.loads(body.data[:length])
    assert [(each["name"], each.get("data")) for each in head["outputs"]] == [("c", [2]), ("a", None)]
    assert body.data[length:] == b"\0\0\0\0"
    assert "id" not in head


def test_nested_data_are_read_in_row_major_order() -> None:
    (x,) = at_once(protocol.reading_request(one_input(shape=[2, 1, 2], data=[[[1, 2]], [[3, 4]]]), None)).inputs
    assert np.array_equal(tensors.to_array(x), np.array([[[1, 2]], [[3, 4]]]))


@pytest.mark.parametrize(("shape", "data"), [([0], []), ([2, 0], [[], []]), ([2, 0], []), ([0, 3], [])])
def test_a_tensor_without_elements_has_no_data(shape: list[int], data: list[Any]) -> None:
    (x,) = at_once(protocol.reading_request(one_input(shape=shape, data=data), None)).inputs
    assert (x.shape, x.data) == (tuple(shape), b"")


def test_not_a_number_has_no_json_form_and_comes_as_null() -> None:
    output = tensors.of_array("x", np.array([np.nan, 1.0]))
    body = at_once(
        protocol.writing_response("m", InferRequest(None, {}, [], Wanted(None, False)), InferResponse([output]))
    )
    assert json.loads(body.data)["outputs"][0]["data"] == [None, 1.0]


# ---- batches ----


@given(st.data(), st.integers(1, 5))
def test_what_is_joined_can_be_split_again(data: st.DataObject, count: int) -> None:
    first = [data.draw(numeric()), tensors.of_array("t", np.array([b"a", b"bc"], dtype=object))]
    parts = [first]
    for n in range(1, count):
        rolled = [tensors.of_array(each.name, np.roll(tensors.to_array(each), n)) for each in first]
        parts.append(rolled)
    joined = tensors.joined(parts)
    arrays = [np.concatenate([tensors.to_array(part[k]) for part in parts]) for k in range(2)]
    assert all(np.array_equal(tensors.to_array(found), array) for found, array in zip(joined, arrays, strict=True))
    columns = [tensors.cut(each, [len(array) // count] * count) for each, array in zip(joined, arrays, strict=True)]
    assert [list(part) for part in zip(*columns, strict=True)] == parts


@given(st.data(), st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_parts_of_any_number_of_rows_are_cut_off_in_order(data: st.DataObject, rows: list[int]) -> None:
    total, wide = sum(rows), data.draw(st.integers(0, 3))
    for array in (np.arange(total * wide).reshape(total, wide), np.array([b"x" * n for n in range(total)], object)):
        parts = tensors.cut(tensors.of_array("y", array), rows)
        assert [part.shape for part in parts] == [(count, *array.shape[1:]) for count in rows]
        assert np.array_equal(np.concatenate([tensors.to_array(part) for part in parts]), array)


def test_the_kind_is_name_datatype_shape_and_parameters() -> None:
    base = Tensor("x", "INT8", (1,), b"\1")
    same = base._replace(data=b"\2")
    others = [
        base._replace(name="y"),
        base._replace(datatype="UINT8"),
        Tensor("x", "INT8", (2,), b"\1\2"),
        base._replace(parameters={"content_type": "np"}),
        *[base._replace(parameters={"a": value}) for value in (1, 1.0, True, "1")],
    ]
    assert tensors.kind([base]) == tensors.kind([same])
    assert len({tensors.kind([each]) for each in [base, *others]}) == 9


# ---- what breaks the protocol ----

WRONG: list[tuple[bytes, str]] = [
    (b"{", "the body is not JSON"),
    (b"[]", "the body: Expected `object`, got `array`"),
    (b"{}", "the body: Object missing required field `inputs`"),
    (request_body({"inputs": []}), r"Expected `array` of length >= 1 - at `\$.inputs`"),
    (request_body({"inputs": [1]}), r"Expected `object`, got `int` - at `\$.inputs\[0\]`"),
    (request_body({"inputs": [{}]}), r"missing required field `name` - at `\$.inputs\[0\]`"),
    (one_input(name="x" * 257), r"Expected `str` of length <= 256 - at `\$.inputs\[0\].name`"),
    (one_input(datatype="INT"), r"datatype 'INT' \(did you mean 'INT\d+'\?\); allowed: BOOL, UINT8"),
    (one_input(datatype=["INT8"]), r"Expected `str`, got `array` - at `\$.inputs\[0\].datatype`"),
    (one_input(shape=None), r"missing required field `shape`"),
    (one_input(shape=[1] * 17), r"Expected `array` of length <= 16"),
    (one_input(shape=[]), r"Expected `array` of length >= 1 - at `\$.inputs\[0\].shape`"),
    (one_input(shape=[-1]), r"Expected `int` >= 0 - at `\$.inputs\[0\].shape\[0\]`"),
    (one_input(shape=[True]), r"Expected `int`, got `bool` - at `\$.inputs\[0\].shape\[0\]`"),
    (one_input(shape=[2**40, 2]), "has too many elements"),
    (one_input(shape=[2**62, 0], data=[]), "has too many elements"),
    (one_input(shape=[2**17, 0], data=[]), "has too many elements"),
    (one_input(data=None), r"inputs\[0\]: neither data nor the parameter binary_data_size"),
    (one_input(data=1), "input 'x': data 1; allowed: a list, flat or nested like the shape"),
    (one_input(data=[1]), r"input 'x': 1 elements of data; the shape \[2\] has 2"),
    (one_input(data=[1, 2.5]), "input 'x': 2.5 is not a valid INT32"),
    (one_input(data=[1, "2"]), "input 'x': \"2\" is not a valid INT32"),
    (one_input(data=[1, True]), "input 'x': true is not a valid INT32"),
    (one_input(data=[1, None]), "input 'x': null is not a valid INT32"),
    (one_input(data=[1, 2**31]), "input 'x': a value is outside the range of INT32"),
    (one_input(datatype="FP32", data=[1, 1e39]), "input 'x': a value is outside the range of FP32"),
    (one_input(datatype="FP16", data=[1, 1e9]), "input 'x': a value is outside the range of FP16"),
    (one_input(datatype="UINT8", data=[1, -1]), "input 'x': a value is outside the range of UINT8"),
    (one_input(datatype="BF16"), "input 'x': BF16 has no JSON form; send binary data"),
    (one_input(datatype="BYTES"), "input 'x': not strings, which are the JSON form of BYTES: Expected `str`, got"),
    (one_input(datatype="BOOL"), "input 'x': 1 is not a valid BOOL"),
    (one_input(shape=[2, 2], data=[[1, 2], [3]]), r"nested data does not have the shape \[2, 2\]"),
    (one_input(shape=[2, 2], data=[[1, 2], 3]), r"nested data does not have the shape \[2, 2\]"),
    (one_input(shape=[2, 1], data=[[1, 2]]), r"nested data does not have the shape \[2, 1\]"),
    (one_input(shape=[2, 1], datatype="BYTES", data=[["1"]]), r"nested data does not have the shape \[2, 1\]"),
    (one_input(shape=[1], datatype="BYTES", data=["a", "b"]), r"more elements of data than the 1 of the shape \[1\]"),
    (one_input(shape=[1], data=[]), r"its data do not have the 1 elements of the shape \[1\]"),
    (one_input(shape=[0], data=[1]), r"its data do not have the 0 elements of the shape \[0\]"),
    (one_input(datatype="BOOL", data=[True, 1]), "input 'x': 1 is not a valid BOOL"),
    (one_input(shape=[2, 0], data=[[], [5]]), r"its data do not have the 0 elements of the shape \[2, 0\]"),
    (one_input(shape=[2, 0], data=[[], [], []]), r"nested data does not have the shape \[2, 0\]"),
    (one_input(parameters=3), r"inputs\[0\]: parameters: Expected `object \| null`, got `int`"),
    (one_input(parameters={"binary_data_size": 8}), r"inputs\[0\]: binary_data_size 8; 0 bytes are left"),
    (one_input(parameters={"binary_data_size": True}), "binary_data_size True; 0 bytes are left"),
    (request_body({"inputs": [json.loads(one_input())["inputs"][0]] * 2}), "two inputs have the same name"),
    (
        request_body({"id": 5, "inputs": [json.loads(one_input())["inputs"][0]]}),
        r"Expected `str \| null`, got `int` - at `\$.id`",
    ),
    (
        request_body({"outputs": 5, "inputs": [json.loads(one_input())["inputs"][0]]}),
        r"outputs: Expected `array \| null`, got `int`",
    ),
    (
        request_body({"outputs": [{}], "inputs": [json.loads(one_input())["inputs"][0]]}),
        r"outputs: Object missing required field `name`",
    ),
]


@pytest.mark.parametrize(("body", "answer"), WRONG, ids=[answer for _, answer in WRONG])
def test_a_request_that_breaks_the_protocol_is_refused(body: bytes, answer: str) -> None:
    with pytest.raises(ProtocolError, match=answer) as refused:
        at_once(protocol.reading_request(body, None))
    assert refused.value.status == 400


def binary_request(size: int, datatype: str = "INT16", shape: tuple[int, ...] = (2,)) -> bytes:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    return request_body({"inputs": [tensor]})


@pytest.mark.parametrize(
    ("head", "rest", "answer"),
    [
        (binary_request(4), b"1234", None),
        (binary_request(4), b"12345", "5 bytes of binary data follow; the tensors announce 4"),
        (binary_request(4), b"123", "binary_data_size 4; 3 bytes are left"),
        (binary_request(2), b"12", r"input 'x': 2 bytes of data; INT16 of shape \[2\] has 4"),
        (binary_request(4, "BF16"), b"1234", None),
        (binary_request(9, "BYTES"), b"\1\0\0\0a\0\0\0\0", None),
        (binary_request(8, "BYTES"), b"\1\0\0\0a\0\0\0", "8 bytes of data are not 2 BYTES elements"),
        (binary_request(9, "BYTES"), b"\2\0\0\0a\0\0\0\0", "9 bytes of data are not 2 BYTES elements"),
        (binary_request(5, "BYTES"), b"\1\0\0\0a", "5 bytes of data are not 2 BYTES elements"),
        (binary_request(0, "BYTES", (0,)), b"", None),
    ],
)
def test_binary_data_must_be_what_the_tensor_says(head: bytes, rest: bytes, answer: str | None) -> None:
    if answer is None:
        (x,) = at_once(protocol.reading_request(head + rest, str(len(head)))).inputs
        assert x.data == rest
        return
    with pytest.raises(ProtocolError, match=answer):
        at_once(protocol.reading_request(head + rest, str(len(head))))


@pytest.mark.parametrize("length", ["-1", "x", "1e2", "99999", "", "²", "9" * 4300])
def test_a_wrong_header_length_is_refused(length: str) -> None:
    said = "Inference-Header-Content-Length: .*; allowed: a number up to the body's"
    with pytest.raises(ProtocolError, match=said) as refused:
        at_once(protocol.reading_request(one_input(), length))
    assert refused.value.status == 400
    assert len(str(refused.value)) < 200


def test_an_output_that_is_not_there_is_refused_with_the_nearest() -> None:
    outputs = [tensors.of_array("label", np.array([1]))]
    asked = InferRequest(None, {}, [], Wanted({"labels": False}, False))
    with pytest.raises(ProtocolError, match=r"no output is called 'labels' \(did you mean 'label'\?\); outputs: label"):
        at_once(protocol.writing_response("m", asked, InferResponse(outputs)))


def test_bytes_that_are_no_text_are_only_given_as_binary_data() -> None:
    output = tensors.of_array("raw", np.array([b"\xff"], dtype=object))
    with pytest.raises(ProtocolError, match="'raw': its bytes are not UTF-8 text; ask for binary data"):
        at_once(
            protocol.writing_response("m", InferRequest(None, {}, [], Wanted(None, False)), InferResponse([output]))
        )


@pytest.mark.parametrize("dtype", ["complex128", "datetime64[s]"])
def test_an_array_that_the_protocol_has_no_datatype_for(dtype: str) -> None:
    with pytest.raises(TensorError, match="tensor 'x': no datatype of the protocol for NumPy's"):
        tensors.of_array("x", np.zeros(1, dtype=dtype))
