"""A service's own form over real sockets: every mistake a 4xx that names its field, every answer what was promised."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import base64
import datetime
import enum
import io
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import msgspec
import numpy as np
import pytest
from PIL import Image as Pictures

from helpers.engine import Image, Table, Tensor, api, invalid, service
from helpers.serving import Server, serve
from helpers.wire import native, pictures
from tests.engine.served import picture_file


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Box:
    left: int
    size: int


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    first: Box
    colour: Colour = Colour.RED


People = Table[{"age": "int64", "city": "str"}]


@service(finite_only=True)
class Strict:
    @api
    def finite(self, rows: Tensor["float32", "n"]) -> Tensor["float32", "n"]:
        return rows


@service
class Everything:
    @api
    def total(self, rows: Tensor["float32", "n", 2]) -> Tensor["float32", "n"]:
        rows += 0  # a method may change what it is given
        return rows.sum(1)

    @api
    def words(self, texts: Tensor["str", "n"]) -> Tensor["str", "n"]:
        return np.array([text.upper() for text in texts])

    @api
    def mixed(self, rows: Tensor["int64", "n"], scale: int, shift: int = 1, more: Tensor["int64", "n"] = None) -> Any:
        return {"rows": rows * scale + shift, "more": more, "number": np.float32(0.5)}

    @api
    def typed(
        self,
        pair: Pair,
        mode: Literal["fast", "slow"] = "fast",
        most: int | None = None,
        day: datetime.date = datetime.date(2026, 1, 2),
        names: list[str] = ["a", "b"],  # noqa: B006
        weights: dict[str, float] = {},  # noqa: B006
    ) -> list[Any]:
        return [pair, mode, most, day, names, weights]

    @api
    def nothing(self) -> None:
        return None

    @api
    def shrunk(self, photo: Image["RGB"], by: int = 2) -> Image["L"]:
        photo += 0
        return photo[::by, ::by, 0]

    @api
    def grey(self, photo: Image["L"]) -> list[list[int]]:
        return photo.tolist()  # type: ignore[no-any-return]

    @api
    def older(self, people: People) -> People:
        return {"age": people["age"] + 1, "city": [city.upper() for city in people["city"]]}

    @api
    def broken(self, how: str) -> Tensor["float32", "n", 2]:
        broken: dict[str, Any] = {
            "type": np.ones((1, 2)),
            "axes": np.ones(2, np.float32),
            "size": np.ones((1, 3), np.float32),
            "ragged": [[1, 2], [3]],
            "secret": lambda: 1 / 0,
        }
        if how == "raises":
            raise KeyError("secret")
        if how == "stops":
            return next(iter(()))
        if how == "refuses":
            raise invalid("how", "refused by the method itself", "another")
        return broken[how]  # type: ignore[no-any-return]

    @api
    def broken_picture(self) -> Image["RGB"]:
        return np.ones((2, 2), np.uint8)

    @api
    def broken_table(self, how: int) -> People:
        return [{}, {"age": np.arange(2), "city": ["Ulm"]}, {"age": [0.5], "city": ["Ulm"]}][how]  # type: ignore[return-value]

    @api
    def broken_json(self) -> Any:
        return object()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Everything, Strict) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=20) as made:
        yield made


def ask(client: httpx.Client, api: str, body: bytes, kind: str, **headers: str) -> httpx.Response:
    return client.post(f"/{api}", content=body, headers={"content-type": kind, **headers})


# What comes through


def test_tensors_in_each_form(client: httpx.Client) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    for body, kind in (
        (native.to_json({"rows": rows}), "application/json"),
        (native.to_npy(rows), "Application/X-NPY; a=b"),
    ):
        as_asked = ask(client, "total", body, kind)
        as_json = ask(client, "total", body, kind, accept="application/json")
        as_npy = ask(client, "total", body, kind, accept="application/x-npy")
        assert as_json.json() == [1, 5, 9] and as_json.headers["content-type"] == "application/json"
        assert np.load(io.BytesIO(as_npy.content)).tolist() == [1, 5, 9]
        assert as_asked.content == (as_npy if "npy" in kind.lower() else as_json).content
    for array in (np.asfortranarray(rows), rows.astype(">f4")):
        file = io.BytesIO()
        np.save(file, array)
        assert np.load(io.BytesIO(ask(client, "total", file.getvalue(), native.NPY).content)).tolist() == [1, 5, 9]


def test_texts_are_always_json(client: httpx.Client) -> None:
    answer = client.post("/words", json={"texts": ["grüezi", ""]}, headers={"accept": native.NPY})
    assert answer.json() == ["GRÜEZI", ""] and answer.headers["content-type"] == "application/json"


def test_several_parameters_and_defaults(client: httpx.Client) -> None:
    assert client.post("/mixed", json={"rows": [1, 2], "scale": 3}).json() == {
        "rows": [4, 7],
        "more": None,
        "number": 0.5,
    }
    told = client.post("/mixed", json={"rows": [1], "scale": 3, "shift": 0, "more": [7]}).json()
    assert told == {"rows": [3], "more": [7], "number": 0.5}
    assert ask(client, "mixed", b'{"rows": [1], "scale": 1, "scale": 5}', "").json()["rows"] == [6], (
        "the last one counts"
    )
    assert (
        ask(client, "nothing", b"", "").json() is None and ask(client, "nothing", b"{}", native.JSON).status_code == 200
    )
    assert ask(client, "nothing", b"{}", "application/x-www-form-urlencoded").status_code == 200, "as curl -d has it"


def test_whatever_msgspec_can_check(client: httpx.Client) -> None:
    pair = {"first": {"left": 3, "size": 1}, "colour": "red"}
    told = client.post("/typed", json={"pair": {"first": {"left": 3, "size": 1}}}).json()
    assert told == [pair, "fast", None, "2026-01-02", ["a", "b"], {}]
    given = {
        "pair": pair | {"colour": "blue"},
        "mode": "slow",
        "most": 3,
        "day": "2027-02-03",
        "names": [],
        "weights": {"a": 1},
    }
    assert client.post("/typed", json=given).json() == [*given.values()]


def test_pictures_in_each_form(client: httpx.Client) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    file = picture_file(pixels, "PNG")
    text = base64.b64encode(file).decode()
    plain = ask(client, "shrunk", file, "image/png")
    assert plain.status_code == 415, "there are two parameters, so it cannot come alone"
    for told in (text, {"b64": text}):
        answer = client.post("/shrunk", json={"photo": told})
        assert answer.headers["content-type"] == "image/png"
        assert np.asarray(Pictures.open(io.BytesIO(answer.content))).tolist() == pixels[::2, ::2, 0].tolist()
    flat = np.full((3, 5), 77, np.uint8)
    for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        answer = ask(client, "grey", picture_file(flat, form), f"image/{form.lower()}")
        assert np.abs(np.array(answer.json(), int) - 77).max() <= 2, form


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_any_mode_become_the_wanted_one(client: httpx.Client, mode: str) -> None:
    picture = Pictures.new("L", (4, 3), 255)
    if mode == "I;16":
        picture = Pictures.fromarray(np.full((3, 4), 128 << 8, np.uint16))
    elif mode != "F":
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, "JPEG" if mode == "CMYK" else "PNG")
    answer = ask(client, "grey", file.getvalue(), "image/png").json()
    assert np.abs(np.array(answer, int) - (128 if mode == "I;16" else 255)).max() <= 2
    assert np.shape(answer) == (3, 4)


def test_tables_in_each_form(client: httpx.Client) -> None:
    people = [{"age": 4, "city": "ULM, DONAU"}, {"age": 31, "city": 'THE "CITY"\n'}]
    by_rows = [{"age": 3, "city": "Ulm, Donau"}, {"city": 'the "city"\n', "age": 30}]
    by_columns = {"city": ["Ulm, Donau", 'the "city"\n'], "age": [3, 30]}
    for given in (by_rows, by_columns):
        assert client.post("/older", json={"people": given}).json() == people
    text = 'city,age\r\n"Ulm, Donau",3\r\n\r\n"the ""city""\n", 30 \r\n'
    for raw in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.replace("\r\n", "\n").encode()):
        answer = ask(client, "older", raw, "text/csv; charset=utf-8")
        assert answer.text == 'age,city\r\n4,"ULM, DONAU"\r\n31,"THE ""CITY""\n"\r\n'
        assert answer.headers["content-type"] == "text/csv"
        assert ask(client, "older", raw, "text/csv", accept=native.JSON).json() == people


# Mistakes


BRACKETS = b"[" * 200_000 + b"]" * 200_000
FIRST = {"first": {"left": 1, "size": 1}}
PEOPLE = {"age": [3], "city": ["Ulm"]}


@pytest.mark.parametrize(
    ("api", "body", "status", "said"),
    [
        ("total", {}, 422, "rows is missing; expected a value for it"),
        ("total", {"rows": [[1, 2]], "x": 1}, 422, "x is not a parameter; expected one of rows"),
        ("nothing", {"x": 1}, 422, "x is not a parameter; expected one of none"),
        ("total", {"rows": None}, 422, "rows is null; expected float32 of shape"),
        ("total", {"rows": [1, 2]}, 422, "rows is not as the model takes it"),
        ("total", {"rows": [[1, 2, 3]]}, 422, "rows is float32 of shape (1, 3); expected float32 of shape (n, 2)"),
        ("total", {"rows": []}, 422, "rows is "),
        ("total", {"rows": [[]]}, 422, "rows is empty"),
        ("total", {"rows": [[1, 2], [3]]}, 422, "rows is of lists of different lengths"),
        ("total", {"rows": [[1, "2"]]}, 422, "Expected `float`, got `str`"),
        ("total", {"rows": [[1, None]]}, 422, "rows is null at [0][1]; expected float32 of shape"),
        ("mixed", {"rows": [1.5], "scale": 1}, 422, "Expected `int`, got `float`"),
        ("mixed", {"rows": [2**63], "scale": 1}, 422, "rows is out of the range of its type"),
        ("mixed", {"rows": [1], "scale": "1"}, 422, "scale: Expected `int`, got `str`"),
        ("mixed", {"rows": [1], "scale": 1, "more": None}, 422, "more is null; expected int64 of shape"),
        ("mixed", {"rows": [1]}, 422, "scale is missing"),
        ("words", {"texts": [1]}, 422, "texts is not as the model takes it"),
        ("words", {"texts": [{"b64": "é"}]}, 422, "texts is bytes that are not text"),
        ("words", {"texts": [{"c64": "AA"}]}, 422, "texts is bytes that are not text"),
        ("typed", {"pair": {"first": {"left": "x"}}}, 422, "pair: Expected `int`, got `str`"),
        ("typed", {"pair": FIRST | {"third": 1}}, 422, "pair: Object contains unknown field `third`"),
        ("typed", {"pair": {}}, 422, "pair: Object missing required field `first`"),
        ("typed", {"pair": FIRST, "mode": "other"}, 422, "mode: Invalid enum value 'other'"),
        ("typed", {"pair": FIRST, "day": "tomorrow"}, 422, "day: Invalid RFC3339"),
        ("typed", {"pair": FIRST, "weights": {"a": "b"}}, 422, "weights: Expected `float`"),
        ("total", b"[]", 422, "the request: Expected `object`, got `array`"),
        ("total", b"null", 422, "the request: Expected `object`, got `null`"),
        ("total", b"", 422, "rows is missing"),
        ("total", b"{", 400, "the request is not JSON"),
        ("total", b'{"rows": [[1, 2}', 400, "not JSON"),
        ("total", b'{"rows": [[NaN, 2]]}', 400, "not JSON"),
        ("total", b'{"rows": ' + BRACKETS + b"}", 400, "not JSON"),
        ("typed", b'{"pair": ' + BRACKETS + b"}", 422, "pair: Expected `object`, got `array`"),
        ("typed", b'{"other": ' + BRACKETS + b"}", 422, "other is not a parameter"),
        ("total", BRACKETS, 422, "the request: Expected `object`, got `array`"),
        ("nothing", b'{"\xff": 1}', 400, "not JSON"),
        ("words", b'{"texts": ["\xff"]}', 400, "not JSON"),
        ("older", {"people": 3}, 422, "people is no table"),
        ("older", {"people": []}, 422, "people.age is empty"),
        ("older", {"people": {"age": [], "city": []}}, 422, "people.age is empty"),
        ("older", {"people": [{"age": 3}]}, 422, "people[0].city is missing"),
        ("older", {"people": [{"age": 3, "city": "Ulm", "zip": 1}]}, 422, "people[0].zip is not a column"),
        ("older", {"people": PEOPLE | {"zip": [1]}}, 422, "people.zip is not a column"),
        ("older", {"people": {"age": [3]}}, 422, "people.city is missing"),
        ("older", {"people": PEOPLE | {"age": [3, 4]}}, 422, "people is of columns of different lengths"),
        ("older", {"people": PEOPLE | {"age": ["3"]}}, 422, "people.age is not as the model takes it"),
        ("older", {"people": PEOPLE | {"age": 3}}, 422, "people.age is not as the model takes it"),
        ("older", b'{"people": ' + BRACKETS + b"}", 400, "not JSON"),
        ("grey", {"photo": 3}, 422, "photo is no picture"),
        ("grey", {"photo": {"c64": ""}}, 422, "photo is no picture"),
        ("grey", {"photo": "%%%"}, 422, "photo is no picture"),
        ("grey", {"photo": "é"}, 422, "photo is no picture"),
        ("grey", {"photo": "AAAA"}, 422, "photo is no picture that can be read"),
        ("grey", b'{"photo": ' + BRACKETS + b"}", 400, "not JSON"),
        ("finite", b'{"rows": [1e999]}', 422, "rows is "),
    ],
)  # fmt: skip
def test_a_mistake_names_its_field(client: httpx.Client, api: str, body: Any, status: int, said: str) -> None:
    answer = client.post(f"/{api}", content=body if isinstance(body, bytes) else native.to_json(body))
    told = answer.json()
    assert said in told["error"] and answer.status_code == status, told
    assert told["code"] == {422: "invalid_input", 400: "malformed"}[status] and len(answer.content) < 1000
    assert "xpected" not in said or told["expected"] in told["error"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "people.age is missing"),
        (b"age,city", 422, "people.age is empty"),
        (b"age,city\n3,Ulm,89073\n", 422, "people is 3 values wide in line 2; expected 2"),
        (b'age,city\n3,"a\nb"\n\n4\n', 422, "people is 1 values wide in line 5"),
        (b"age\n3\n", 422, "people.city is missing"),
        (b"age,city,zip\n3,Ulm,1\n", 422, "people.zip is not a column"),
        (b"age,city,age\n3,Ulm,1\n", 422, "people is with one name for two columns"),
        (b"age,city\nold,Ulm\n", 422, "people.age is no column of int64"),
        (b"age,city\n,Ulm\n", 422, "people.age is no column of int64"),
        (b"age,city\n3.5,Ulm\n", 422, "people.age is no column of int64"),
        (b"age,city\n%d,Ulm\n" % 2**63, 422, "people.age is no column of int64"),
        (b"age,city\n" + b"9" * 5000 + b",Ulm\n", 422, "people.age is no column of int64"),
        (b'age,city\n3,"Ulm\n', 400, "people is not CSV"),
        (b'age,city\n3,"U"lm\n', 400, "people is not CSV"),
        (b"age,city\n3,\xff\n", 400, "people is not CSV in UTF-8"),
        (b"age,city\n3," + b"x" * 200_000, 400, "people is not CSV"),
    ],
)
def test_a_csv_that_does_not_fit_is_told_by_its_line(client: httpx.Client, body: bytes, status: int, said: str) -> None:
    answer = ask(client, "older", body, "text/csv")
    assert said in answer.json()["error"] and answer.status_code == status and len(answer.content) < 1000


def test_one_long_value_does_not_make_its_column_huge(client: httpx.Client) -> None:
    body = b"age,city\n" + b"1,x\n" * 20_000 + b" " * 100_000 + b"1,x\n"
    answer = ask(client, "older", body, "text/csv")
    assert answer.status_code == 200 and answer.text.count("\n") == 20_002


@pytest.mark.parametrize(
    ("api", "kind"),
    [("total", "text/csv"), ("total", "image/png"), ("older", "application/x-npy"), ("grey", "text/plain"),
     ("mixed", "application/x-npy"), ("nothing", "application/octet-stream")],
)  # fmt: skip
def test_another_content_type_is_a_415_that_says_which_are_read(client: httpx.Client, api: str, kind: str) -> None:
    answer = ask(client, api, b"{}", kind)
    assert (
        answer.status_code == 415 and f"{api} does not read {kind}; it reads application/json" in answer.json()["error"]
    )


def test_pictures_that_are_none(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    file = picture_file(np.zeros((50, 60, 3), np.uint8), "PNG")
    jpeg = picture_file(np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8), "JPEG")
    for broken in (b"", b"\x89PNG", file[:40], file[:-30], jpeg[: len(jpeg) // 2], b"GIF89a", b"<svg/>", file[30:]):
        answer = ask(client, "grey", broken, "image/png")
        assert answer.status_code == 422 and "photo is no picture that can be read" in answer.json()["error"]
    monkeypatch.setattr(pictures, "MOST_PIXELS", 50 * 60 - 1)
    answer = ask(client, "grey", file, "image/png")
    assert answer.status_code == 422 and "photo is 60 × 50 pixels; expected at most 2,999" in answer.json()["error"]


@pytest.mark.parametrize("size", [9_000, 30_000])
def test_a_small_file_of_a_huge_picture_is_not_unpacked(client: httpx.Client, size: int) -> None:
    file = bytearray(picture_file(np.zeros((1, 1), np.uint8), "PNG"))
    file[16:24] = size.to_bytes(4, "big") * 2
    file[29:33] = zlib.crc32(bytes(file[12:29])).to_bytes(4, "big")
    answer = ask(client, "grey", bytes(file), "image/png")
    assert answer.status_code == 422 and answer.json()["field"] == "photo"


def test_finite_numbers_only_where_a_service_asks_for_them(client: httpx.Client) -> None:
    bad = np.array([[1, np.nan], [np.inf, 1]], np.float32)
    assert ask(client, "total", native.to_npy(bad), native.NPY, accept=native.JSON).json() == [None, None]
    answer = ask(client, "finite", native.to_npy(bad.ravel()), native.NPY)
    assert answer.status_code == 422 and "NaN or infinite" in answer.json()["error"]
    assert ask(client, "finite", b'{"rows": [1, 2]}', native.JSON).json() == [1, 2]


# A service's own mistakes


@pytest.mark.parametrize(
    ("api", "given", "logged"),
    [
        (
            "broken",
            {"how": "type"},
            "the answer of Everything.broken should be float32 of shape (n, 2), and is float64",
        ),
        ("broken", {"how": "axes"}, "should be float32 of shape (n, 2), and is float32 of shape (2,)"),
        ("broken", {"how": "size"}, "should be float32 of shape (n, 2), and is float32 of shape (1, 3)"),
        ("broken", {"how": "ragged"}, "inhomogeneous"),
        ("broken", {"how": "secret"}, "should be float32"),
        ("broken", {"how": "raises"}, "KeyError: 'secret'"),
        ("broken", {"how": "stops"}, "Everything.broken raised StopIteration"),
        ("broken_picture", {}, "should be uint8 of RGB, and is uint8 of shape (2, 2)"),
        ("broken_table", {"how": 0}, "should be a table with age: int64, city: strings, and is []"),
        ("broken_table", {"how": 1}, "columns of different lengths"),
        ("broken_table", {"how": 2}, "age should be int64 of shape (rows,), and is float64"),
        ("broken_json", {}, "an answer cannot hold a object"),
    ],
)
def test_an_answer_that_breaks_the_promise_is_told_only_to_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, api: str, given: Any, logged: str
) -> None:
    with caplog.at_level(logging.ERROR, "servelab"):
        answer = client.post(f"/{api}", json=given, headers={"x-request-id": "seven"})
    assert answer.status_code == 500
    told = {"error": "the model failed to answer; the server's log says why", "code": "internal"}
    assert answer.json() == {**told, "request_id": "seven"}
    (record,) = caplog.records
    assert logged in caplog.text and record.request == "seven"  # type: ignore[attr-defined]


def test_a_method_may_refuse_for_itself(client: httpx.Client) -> None:
    answer = client.post("/broken", json={"how": "refuses"})
    assert answer.status_code == 422 and answer.json()["field"] == "how"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/total", 405), ("POST", "/total/1", 404), ("POST", "/none", 404)]
)
def test_other_paths_and_methods(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status and answer.headers.get("allow") == ("POST" if status == 405 else None)
