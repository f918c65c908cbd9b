"""TensorFlow Serving's REST form, asked as its own documentation shows, with a SavedModel as the oracle."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import zoo
from helpers.convert import to_onnx
from helpers.runtime import TensorSpec
from helpers.serving.server import serve
from helpers.wire.errors import EngineError
from helpers.wire.tensorflow_serving import decode, decode_examples, encode, encode_scores
from tests.engine.served import store_with_two_versions

NAMES = ["zero", "one", "two", "3", "4", "5", "6", "7", "8", 9]
ONE = (TensorSpec("x", np.dtype(np.float32), ("batch", 3)),)
TWO = (TensorSpec("a", np.dtype(np.float32), ("batch", 2)), TensorSpec("b", np.dtype(np.int64), ("batch",)))
TEXT = (TensorSpec("words", np.dtype(object), ("batch",)),)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The module's models: two inputs and outputs; the digits of a Keras model; upper-case text."""
    folder = tmp_path_factory.mktemp("served")
    store = store_with_two_versions(folder)
    store.save(
        "digits",
        to_onnx(zoo.digits_keras(), zoo.flat_digits().test_images, folder / "digits.onnx"),
        metadata={"classes": NAMES},
    )
    with serve("net:prod", "digits", store=store) as server, httpx.Client(base_url=server.address, timeout=10) as made:
        yield made


def test_a_saved_models_own_answers(client: httpx.Client, tmp_path: Path) -> None:
    import tensorflow as tf

    zoo.digits_keras().export(str(tmp_path / "saved"), format="tf_saved_model", verbose=False)
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    rows = zoo.flat_digits().test_images[:5]
    (wanted,) = signature(pixels=tf.constant(rows)).values()
    for question, key in (({"instances": rows.tolist()}, "predictions"), ({"inputs": rows.tolist()}, "outputs")):
        answer = client.post("/v1/models/digits:predict", json=question)
        assert answer.status_code == 200 and np.allclose(answer.json()[key], wanted.numpy(), atol=1e-5)
    named = client.post("/v1/models/digits:predict", json={"instances": [{"pixels": row} for row in rows.tolist()]})
    assert np.allclose(named.json()["predictions"], wanted.numpy(), atol=1e-5)


def test_several_inputs_and_outputs_in_rows_and_columns(client: httpx.Client) -> None:
    left, right = [[1.0, 2, 3], [4, 5, 6]], [[1.0, 1, 1], [2, 2, 2]]
    wanted = np.array(left) * 2 + np.array(right)
    rows = [{"left": a, "right": b} for a, b in zip(left, right, strict=True)]
    found = client.post("/v1/models/net:predict", json={"instances": rows}).json()["predictions"]
    assert [row["scaled"] for row in found] == wanted.tolist()
    assert [row["total"] for row in found] == wanted.sum(axis=1).tolist()
    columns = client.post("/v1/models/net:predict", json={"inputs": {"left": left, "right": right}}).json()["outputs"]
    assert columns == {"scaled": wanted.tolist(), "total": wanted.sum(axis=1).tolist()}


def test_classes_and_values_of_examples(client: httpx.Client) -> None:
    import tensorflow as tf

    rows = zoo.flat_digits().test_images[:3]
    probabilities = zoo.digits_keras()(tf.constant(rows)).numpy()
    result = client.post(
        "/v1/models/digits:classify", json={"examples": [{"pixels": row} for row in rows.tolist()]}
    ).json()["result"]
    for row, wanted in zip(result, probabilities, strict=True):
        assert [label for label, _ in row] == ["zero", "one", "two", "3", "4", "5", "6", "7", "8", "9"]
        assert np.allclose([score for _, score in row], wanted, atol=1e-5)
    examples = {
        "examples": [{"left": [1, 2, 3]}, {"left": [0, 0, 0], "right": [5, 5, 5]}],
        "context": {"right": [1, 1, 1]},
    }
    assert client.post("/v1/models/net:regress", json=examples).json() == {"result": [15, 15]}
    unnamed = client.post("/v1/models/net/labels/prod:classify", json=examples).json()["result"]
    assert unnamed == [[["0", 3], ["1", 5], ["2", 7]], [["0", 5], ["1", 5], ["2", 5]]]


def test_a_feature_of_one_number_may_be_the_number() -> None:
    specs = (TensorSpec("age", np.dtype(np.float32), ("batch", 1)), TensorSpec("size", np.dtype(np.int64), ("batch",)))
    body = b'{"examples": [{"age": 3, "size": 1}, {"age": [4], "size": 2}]}'
    found = decode_examples(body, specs)
    assert found["age"].tolist() == [[3], [4]] and found["size"].tolist() == [1, 2]
    assert json.loads(encode_scores(found["age"], "regress")) == {"result": [3, 4]}
    for wrong in (b'{"examples": [{"age": [[3]], "size": 1}]}', b'{"examples": [{"age": 3, "size": [1]}]}'):
        with pytest.raises(EngineError):
            decode_examples(wrong, specs)


def test_outputs_without_rows_cannot_be_told_in_rows() -> None:
    with pytest.raises(EngineError, match="rows, which the outputs"):
        encode({"a": np.zeros(2), "b": np.zeros(())}, as_rows=True)
    with pytest.raises(EngineError, match="rows, which the outputs"):
        encode({"a": np.zeros(2), "b": np.zeros(3)}, as_rows=True)


def test_versions_labels_status_and_metadata(client: httpx.Client) -> None:
    rows = {"instances": [{"left": [1, 2, 3], "right": [0, 0, 0]}]}
    for path in ("net", "net/versions/1", "net/labels/prod"):
        found = client.post(f"/v1/models/{path}:predict", json=rows).json()
        assert found["predictions"][0]["scaled"] == [2, 4, 6]
    status = client.get("/v1/models/net").json()["model_version_status"]
    assert status == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    metadata = client.get("/v1/models/net/metadata").json()
    assert metadata["model_spec"]["version"] == "1"
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["left"]["dtype"] == "DT_FLOAT"
    assert [size["size"] for size in signature["inputs"]["left"]["tensor_shape"]["dim"]] == ["-1", "3"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "other:predict", {}, 404),
        ("POST", "net/versions/2:predict", {}, 404),
        ("POST", "net/labels/none:predict", {}, 404),
        ("POST", "net/labels/..:predict", {}, 404),
        ("POST", "net:guess", {}, 404),
        ("POST", "digits:regress", {"examples": [{"pixels": [0.0] * 64}]}, 404),
        ("GET", "net:classify", None, 405),
        ("POST", "net:classify", {}, 400),
        ("POST", "net:classify", {"examples": 1}, 400),
        ("POST", "net:classify", {"examples": []}, 422),
        ("POST", "net:classify", {"examples": [{"left": [1, 2, 3]}]}, 422),
        ("POST", "net:classify", {"examples": [{"left": [1, 2, 3], "right": 1}]}, 422),
        ("POST", "net:regress", {"examples": [{"left": [1, 2, 3]}], "context": {"other": [1, 2, 3]}}, 422),
        ("POST", "net:regress", {"examples": [{}], "signature_name": "other"}, 422),
        ("POST", "net:predict", {"inputs": {"left": [[1e39, 0, 0]], "right": [[0, 0, 0]]}}, 422),
        ("GET", "net:predict", None, 405),
        ("POST", "net:predict", {}, 400),
        ("POST", "net:predict", {"instances": [], "inputs": []}, 400),
        ("POST", "net:predict", {"instances": []}, 422),
        ("POST", "net:predict", {"instances": [{"left": [1, 2, 3]}]}, 422),
        ("POST", "net:predict", {"instances": [[1, 2, 3]]}, 422),
        ("POST", "net:predict", {"signature_name": "other", "instances": [[1, 2, 3]]}, 422),
        ("POST", "net:predict", {"inputs": {"left": [[1, 2]], "right": [[1, 2]]}}, 422),
    ],
)
def test_mistakes_are_told(client: httpx.Client, method: str, path: str, body: Any, status: int) -> None:
    answer = client.request(method, f"/v1/models/{path}", json=body)
    assert answer.status_code == status and isinstance(answer.json()["error"], str)


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_rows_arrive_as_they_were_sent(rows: list[list[float]]) -> None:
    for question in ({"instances": rows}, {"inputs": rows}, {"inputs": {"x": rows}}):
        found, as_rows = decode(json.dumps(question).encode(), ONE)
        assert np.array_equal(found["x"], np.array(rows, np.float32)) and as_rows == ("instances" in question)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(-9, 9), min_size=2, max_size=2), st.integers(-9, 9)), min_size=1, max_size=4
    )
)
def test_named_rows_become_columns_and_answers_become_rows(rows: list[tuple[list[int], int]]) -> None:
    body = json.dumps({"instances": [{"a": a, "b": b} for a, b in rows]}).encode()
    found, _ = decode(body, TWO)
    assert found["a"].tolist() == [a for a, _ in rows] and found["b"].tolist() == [b for _, b in rows]
    again = json.loads(encode(found, as_rows=True))["predictions"]
    assert again == [{"a": a, "b": b} for a, b in rows]


def test_text_and_bytes() -> None:
    rows = ["plain", {"b64": base64.b64encode("änd".encode()).decode()}]
    for question in ({"instances": rows}, {"instances": rows[::-1]}, {"inputs": rows}, {"inputs": {"words": rows}}):
        found, _ = decode(json.dumps(question).encode(), TEXT)
        assert sorted(found["words"]) == ["plain", "änd"]
    for wrong in ({"b64": "?"}, {"b": "x"}, {"b64": base64.b64encode(b"\xff").decode()}):
        with pytest.raises(EngineError, match="not text"):
            decode(json.dumps({"inputs": [wrong]}).encode(), TEXT)


@pytest.mark.parametrize(
    ("body", "specs", "said"),
    [
        (b"", ONE, "not JSON"),
        (b"[]", ONE, "not as it should be"),
        (b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ONE, "not JSON|not as"),
        (b'{"instances": [[1, 2, null]]}', ONE, r"x is null at \[0\]\[2\]; expected .*, without missing values"),
        (b'{"instances": [[1, 2, "3"]]}', ONE, "not as the model takes it"),
        (b'{"instances": [[1, 2, true]]}', ONE, "not as the model takes it"),
        (b'{"instances": [[1, 2, 3], [1, 2]]}', ONE, "lists of different lengths"),
        (b'{"instances": [1, 2, 3]}', ONE, "not as the model takes it"),
        (b'{"instances": [{"x": [1, 2, 3]}, {"y": [1, 2, 3]}]}', ONE, "rows with different names"),
        (b'{"instances": [{"y": [1, 2, 3]}]}', ONE, "y is not an input of the model"),
        (b'{"inputs": {"y": [[1, 2, 3]]}}', ONE, "y is not an input of the model"),
        (b'{"instances": [[1, 2, 3]]}', TWO, "an object for each row, with a, b"),
        (b'{"inputs": {"a": [[1, 2]], "b": [1.5]}}', TWO, "b is not as the model takes it"),
        (b'{"inputs": {"a": [[1, 2]], "b": [99999999999999999999]}}', TWO, "b is"),
    ],
)
def test_what_is_wrong_is_told(body: bytes, specs: Any, said: str) -> None:
    with pytest.raises(EngineError, match=said) as raised:
        decode(body, specs)
    assert raised.value.status in (400, 422) and len(raised.value.message) < 500


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "a", "b", "b64"]), inner, max_size=3)
    ),
    max_leaves=9,
)
NEAR = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]), JSON, max_size=2
)


@given(st.binary(max_size=40) | NEAR.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_the_engines_errors(body: bytes) -> None:
    for specs in (ONE, TWO, TEXT):
        for read in (decode, decode_examples):
            try:
                read(body, specs)
            except EngineError as error:
                assert 400 <= error.status < 500
