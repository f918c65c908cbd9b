"""An independent reader of ``/openapi.json`` asks everything that it describes, rightly and wrongly."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import onnx
from onnx import TensorProto, helper

from helpers.engine import Batching, Image, Table, Tensor, api, service, task
from helpers.serving import serve
from tests.engine.served import store_with_two_versions


@dataclass
class Order:
    what: str
    pieces: int
    sizes: list[float]
    more: "Order | None" = None


@service
class Everything:
    """An API of every kind."""

    @api(batching=Batching())
    def largest(self, rows: Tensor["float32", "batch", 3]) -> Tensor["float32", "batch"]:
        """The largest of each row."""
        return rows.max(axis=1)

    @api
    def count(self, numbers: Tensor["int8", 2, "some"], words: Tensor["str", "some"], yes: Tensor["bool"]) -> int:
        return int(numbers.size) + len(words) + int(yes)

    @api
    def brightness(self, photo: Image["RGB"]) -> dict[str, float]:
        return {"mean": float(photo.mean())}

    @api
    def darker(self, photo: Image["L"]) -> Image["L"]:
        return photo // 2

    @api(batching=Batching())
    def price(self, rows: Table[{"size": "float64", "city": "str", "new": "bool"}]) -> Table[{"price": "float64"}]:
        return {"price": rows["size"]}

    @api(batching=Batching())
    def lengths(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    @api
    async def order(self, order: Order, when: Literal["now", "later"] = "now") -> Order:
        await asyncio.sleep(0)
        return order

    @api
    def words(self, text: str, times: int | None = None) -> Iterator[str]:
        yield from text.split()

    @api
    async def squares(self, of: list[int]) -> Any:
        for number in of:
            yield number**2

    @task
    def wait(self, steps: list[str]) -> Iterator[str]:
        yield from steps


def halves(path: Path) -> Path:
    """A model with one input, of which all can be said in a schema."""
    made = helper.make_graph(
        [helper.make_node("Mul", ["pixels", "half"], ["scores"])],
        "halves",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])],
    )
    onnx.save(helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


# Its own reader of the document, its own data, its own checks: all that it has. What is off, and why:
SETTINGS = r"""
[checks]
# A task that was cancelled can still be asked after.
use_after_free.enabled = false
# A patience of 5e-324 seconds is over before anyone can answer.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]

# What a schema cannot say: which bytes are a picture, that columns and inputs are equally long, that data has
# as many elements as its shape says, which features a context may have, that 1.0 is no whole number here.
[[operations]]
include-path-regex = "/(brightness|darker|price|count|infer|net(/versions/1)?:predict|[^/]+:(classify|regress))$"
checks.positive_data_acceptance.enabled = false
"""


def test_everything_is_as_it_is_described(tmp_path: Path) -> None:
    store = store_with_two_versions(tmp_path)
    store.save("halves", halves(tmp_path / "halves.onnx"))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", "--max-examples=10"]
    command += ["--generation-deterministic", "--no-shrink", "--continue-on-failure", "--suppress-health-check=all"]
    command += ["--exclude-path-regex=unload$"]  # the models that it asks would be gone
    with serve(Everything, "net:prod", "halves", store=store) as server:
        address = f"{server.address}/openapi.json"
        said = subprocess.run([*command, address], cwd=tmp_path, capture_output=True, text=True)
        described = httpx.get(address).json()["paths"]
    assert said.returncode == 0, said.stdout + said.stderr
    tested = re.search(r"Tested: +(\d+)", said.stdout)
    assert tested and int(tested[1]) == sum(len(path) for path in described.values()) - 1
