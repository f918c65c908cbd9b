"""JSON's null for a missing value: NaN where the model takes it, and else an error that says null, in each protocol."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from helpers.engine import Table, Tensor, api, service
from helpers.serving import Settings
from helpers.serving.server import Server, serve
from tests.serving.mirror import store_for_clients


@service
class Sums:
    """Missing values count as nothing, where they are taken."""

    @api
    def some(self, rows: Tensor["float32 | None", "batch", 2]) -> Tensor["float64", "batch"]:
        return np.nansum(rows, axis=1, dtype=np.float64)

    @api
    def all(self, rows: Tensor["float32", "batch", 2]) -> Tensor["float64", "batch"]:
        return rows.sum(axis=1, dtype=np.float64)

    @api
    def whole(self, rows: Tensor["int64", "batch", 2], flag: bool = True, word: str = "") -> int:
        return int(rows.sum())

    @api
    def people(self, table: Table[{"age": "float64 | None", "height": "float64", "city": "str"}]) -> list[float | None]:
        return [None if np.isnan(age) else age for age in table["age"].tolist()]


@service(finite_only=True)
class Finite:
    @api
    def finite(self, rows: Tensor["float32 | None", "batch", 2]) -> Tensor["float64", "batch"]:
        return np.nansum(rows, axis=1, dtype=np.float64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = store_for_clients(tmp_path_factory.mktemp("served"))
    with serve(Sums, Finite, "net:1", "scores", "missing", "mirror", store=store) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=30) as made:
        yield made


def v2(data: Any, rows: int, kind: str = "FP32", name: str = "x") -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": [rows, 2], "datatype": kind, "data": data}]}


LONG = [[1.0, None]] * 2000  # enough for the quick reader of long bodies


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/some", {"rows": [[None, 2], [3, None], [None, None]]}, [2, 3, 0]),
        ("/some", {"rows": LONG}, [1.0] * 2000),
        ("/finite", {"rows": [[None, 2]]}, [2]),
        ("/people", {"table": [{"age": None, "height": 1, "city": "Ulm"}]}, [None]),
        ("/people", {"table": {"age": [None, 3], "height": [1, 2], "city": ["Ulm", "Bern"]}}, [None, 3]),
        ("/v1/models/missing:predict", {"instances": [[None, 2], [1, 2]]}, {"predictions": [[2], [3]]}),
        ("/v1/models/missing:predict", {"instances": LONG}, {"predictions": [[1]] * 2000}),
        ("/v1/models/missing:predict", {"instances": [{"x": [None, 2]}]}, {"predictions": [[2]]}),
        ("/v1/models/missing:predict", {"inputs": [[None, 2]]}, {"outputs": [[2]]}),
        ("/v1/models/missing:predict", {"inputs": {"x": [[None, 2]]}}, {"outputs": [[2]]}),
        ("/v1/models/missing:regress", {"examples": [{"x": [None, 2]}]}, {"result": [2]}),
    ],
)
def test_null_is_nan_where_the_model_takes_it(client: httpx.Client, path: str, body: Any, answer: Any) -> None:
    found = client.post(path, json=body)
    assert found.status_code == 200 and found.json() == answer


@pytest.mark.parametrize(
    ("data", "rows", "sums"),
    [
        ([None, 2.0, 3.0, None], 2, [2, 3]),
        ([[None, 2], [3, None]], 2, [2, 3]),
        ([1.0, None] * 2000, 2000, [1.0] * 2000),
        ([[1.0, None]] * 2000, 2000, [1.0] * 2000),
    ],
)
def test_in_open_inference_flat_and_nested(client: httpx.Client, data: Any, rows: int, sums: list[float]) -> None:
    found = client.post("/v2/models/missing/infer", json=v2(data, rows))
    assert found.status_code == 200 and found.json()["outputs"][0]["data"] == sums


def test_nothing_between_two_commas_of_csv_is_missing_too(client: httpx.Client) -> None:
    headers = {"content-type": "text/csv"}
    found = client.post("/people", content="age,height,city\n,1.8,Ulm\n 3 ,1.7,Bern\n", headers=headers)
    assert found.json() == [None, 3]
    refused = client.post("/people", content="age,height,city\n3,,Ulm\n", headers=headers)
    assert refused.status_code == 422 and "table.height" in refused.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "/all",
            {"rows": [[1, None]]},
            "rows is null at [0][1]; expected float32 of shape (batch, 2), without missing",
        ),
        ("/all", {"rows": LONG}, "rows is null at [0][1]"),
        ("/all", {"rows": None}, "rows is null; expected"),
        ("/some", {"rows": [None, [1, 2]]}, "rows is null at [0]"),
        ("/whole", {"rows": [[1, None]]}, "rows is null at [0][1]; expected int64"),
        ("/whole", {"rows": [[1, 1]], "flag": None}, "got `null`"),
        ("/whole", {"rows": [[1, 1]], "word": None}, "got `null`"),
        ("/people", {"table": [{"age": 1, "height": None, "city": "Ulm"}]}, "table.height is null at [0]"),
        ("/people", {"table": [{"age": 1, "height": 1, "city": None}]}, "table.city is null at [0]"),
        ("/v1/models/scores:predict", {"instances": [[1, 2], [None, 2]]}, "x is null at [1][0]; expected float32"),
        ("/v1/models/scores:predict", {"instances": LONG}, "x is null at [0][1]"),
        ("/v1/models/scores:predict", {"inputs": {"x": [[1, None]]}}, "x is null at [0][1]"),
        ("/v1/models/scores:classify", {"examples": [{"x": [1, None]}]}, "x is null at [0][1]"),
        (
            "/v1/models/net:predict",
            {"instances": [{"left": [1, 2, None], "right": [1, 2, 3]}]},
            "left is null at [0][2]",
        ),
        ("/v2/models/scores/infer", v2([1, None], 1), "x is null at [1]; expected a list of FP32, without missing"),
        ("/v2/models/scores/infer", v2([[1, None]], 1), "x is null"),
        (
            "/v2/models/mirror/infer",
            v2([1, None], 1, "INT64", "INT64"),
            "INT64 is null at [1]; expected a list of INT64",
        ),
        ("/v2/models/mirror/infer", v2([True, None], 1, "BOOL", "BOOL"), "BOOL is null at [1]"),
        ("/v2/models/mirror/infer", v2(["a", None], 1, "BYTES", "BYTES"), "BYTES is null at [1]"),
    ],
)
def test_elsewhere_the_error_says_null(client: httpx.Client, path: str, body: Any, said: str) -> None:
    found = client.post(path, json=body)
    assert found.status_code == 422 and said in found.json()["error"], found.text


def test_infinity_is_refused_where_only_the_missing_is_taken(client: httpx.Client) -> None:
    found = client.post("/finite", content=b'{"rows": [[1e39, null]]}')
    assert found.status_code == 422 and "out of the range" in found.json()["error"]


def test_a_server_of_finite_numbers_takes_no_null(server: Server) -> None:
    with serve("missing", store=server.registry.store, settings=Settings(finite_only=True)) as strict:
        found = httpx.post(f"{strict.address}/v1/models/missing:predict", json={"instances": [[None, 2]]})
        assert found.status_code == 422 and "x is null at [0][0]" in found.json()["error"]


def test_the_description_says_which_values_may_be_missing(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    def element(path: str, *way: str) -> Any:
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for step in ("properties", *way):
            schema = schema[step]
        return schema["items"]["items"]["type"]

    assert element("/some", "rows") == ["number", "null"] and element("/all", "rows") == "number"
    example = document["paths"]["/some"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert example == {"rows": [[0, 0]]}
    assert client.post("/some", json=example).json() == [0]
    assert "float32 of shape (batch, 2), null where a value is missing" in json.dumps(document)


@pytest.mark.parametrize(
    "kind", ["int64 | None", "str|None", "bool |None", "float33 | None", "| None", "None | float32"]
)
def test_only_floating_point_numbers_can_be_missing(kind: str) -> None:
    with pytest.raises(TypeError, match=r"only floating-point numbers can be missing|is no type that can be sent"):
        Tensor[kind, "batch"]
