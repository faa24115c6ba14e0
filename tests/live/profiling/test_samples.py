"""What requests contain: files, numbers made up, and kinds that never share a batch."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ipa.live import LiveError
from ipa.live.profiling.samples import Samples, made_up, read_samples
from ipa.live.samples import LABELS

IMAGE = {"name": "image", "datatype": "FP32", "shape": [-1, 3, -1]}


def shapes_of(samples: Samples, size: int) -> Counter[tuple[int, ...]]:
    """How often 400 batches of a size have which shape."""
    return Counter(tensors[0].shape for _, tensors in islice(samples.pool(size, 1), 400))


def test_requests_are_made_up_in_the_shape_that_is_given() -> None:
    samples = made_up([IMAGE], {"image": [(3, 5)]}, seed=1)
    assert shapes_of(samples, 4) == {(4, 3, 5): 400}
    assert samples.kinds.keys() == {"image 3x5"}


def test_several_shapes_are_several_kinds_and_a_batch_is_of_one() -> None:
    found = shapes_of(made_up([IMAGE], {"image": [(3, 5), (3, 9)]}, seed=1), 2)
    assert found.keys() == {(2, 3, 5), (2, 3, 9)}
    assert min(found.values()) > 150


@pytest.mark.parametrize(
    ("described", "shapes", "text"),
    [
        (IMAGE, {}, "input 'image' has an open shape (3,? after its rows): say which, --shape image=3,?"),
        (IMAGE, {"image": [(4, 5)]}, "--shape image=4,5: the model takes 3,?"),
        (IMAGE, {"picture": [(3, 5)]}, "say which, --shape image=3,?"),  # picture may be another stage's
        ({**IMAGE, "datatype": "BYTES"}, {"image": [(3, 5)]}, "is BYTES, which cannot be made up: give samples"),
    ],
)
def test_what_cannot_be_made_up_is_refused(
    described: dict[str, object], shapes: dict[str, list[tuple[int, ...]]], text: str
) -> None:
    with pytest.raises(LiveError) as refused:
        made_up([described], shapes, seed=1)
    assert text in str(refused.value)


def test_a_model_that_does_not_say_its_inputs_needs_samples() -> None:
    with pytest.raises(LiveError, match="does not say which inputs it takes"):
        made_up([], {}, seed=1)


def test_each_row_of_a_file_is_a_request(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", image=np.arange(12, dtype=np.float32).reshape(3, 4))
    samples = read_samples(tmp_path / "rows.npz")
    assert [len(requests) for requests in samples.kinds.values()] == [3]
    assert shapes_of(samples, 5) == {(5, 4): 400}


def test_each_file_of_a_folder_is_a_request_and_kinds_come_as_often_as_they_are_there(tmp_path: Path) -> None:
    for number, width in enumerate((10, 10, 10, 40)):
        np.savez(tmp_path / f"{number}.npz", line=np.ones((1, width), dtype=np.float32), text=np.array([[b"abc"]]))
    samples = read_samples(tmp_path)
    assert list(samples.kinds) == ["line 10, text 1", "line 40, text 1"]
    found = shapes_of(samples, 2)
    assert 250 < found[2, 10] < 350
    assert found[2, 10] + found[2, 40] == 400


PICTURE = {"name": "picture", "datatype": "BYTES", "shape": [-1, 1]}


def test_other_files_of_a_folder_are_texts_as_they_are(tmp_path: Path) -> None:
    """Pictures, and whatever else a model takes as one element; zeros at its end stay."""
    (tmp_path / "a.png").write_bytes(b"png\0\0")
    (tmp_path / "b.png").write_bytes(b"other")
    samples = read_samples(tmp_path, [PICTURE])
    ((label, requests),) = samples.kinds.items()
    assert label == "picture 1"
    assert [(tensor.name, tensor.shape, tensor.data[4:]) for (tensor,) in requests] == [
        ("picture", (1, 1), b"png\0\0"),
        ("picture", (1, 1), b"other"),
    ]
    with pytest.raises(LiveError, match="a model takes them whose only input is BYTES"):
        read_samples(tmp_path, [IMAGE])
    np.savez(tmp_path / "c.npz", x=np.ones((1, 1)))
    with pytest.raises(LiveError, match="or files of texts alone"):
        read_samples(tmp_path, [PICTURE])


def test_labels_beside_samples_are_no_request(tmp_path: Path) -> None:
    """A folder of files as the example `ocr` writes it can be profiled as it is."""
    (tmp_path / "0000.jpg").write_bytes(b"picture")
    (tmp_path / LABELS).write_text('{"file": "0000.jpg", "answer": "what it says"}')
    ((_, requests),) = read_samples(tmp_path, [PICTURE]).kinds.items()
    assert len(requests) == 1


@pytest.mark.parametrize("size", [1, 3, 4, 64])
def test_every_sample_is_in_the_batches_as_often_as_the_others(tmp_path: Path, size: int) -> None:
    """Else a profile's mean would be that of a few samples, and not of all."""
    np.savez(tmp_path / "rows.npz", x=np.arange(100.0).reshape(100, 1))
    pool = read_samples(tmp_path / "rows.npz").pool(size, 7)
    batches = {tensors[0].data for _, tensors in islice(pool, 5000)}
    times = Counter(row for data in batches for row in np.frombuffer(data).tolist())
    assert len(times) == 100
    assert max(times.values()) - min(times.values()) <= 1


def test_draws_are_the_same_for_a_seed(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.arange(100.0).reshape(100, 1))
    samples = read_samples(tmp_path / "rows.npz")
    first, second = ([tensors[0].data for _, tensors in islice(samples.pool(3, 7), 50)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(LiveError, match=r"not a \.npz file"):
        read_samples(tmp_path / "bad.npz")


def test_a_folder_without_samples_and_arrays_of_different_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match=r"should hold \.npz files, or files of texts alone"):
        read_samples(tmp_path)
    np.savez(tmp_path / "odd.npz", x=np.ones((2, 1)), y=np.ones((3, 1)))
    with pytest.raises(LiveError, match="should have the same rows"):
        read_samples(tmp_path / "odd.npz")
