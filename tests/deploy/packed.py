"""A bundle of a small service, made once for a file of tests."""

import json
from pathlib import Path

import pytest

from helpers.deploy import Bundle, bundle
from helpers.store import Store
from tests.engine.served import twice_and_sum

SERVICE = """
import time

from helpers import store
from helpers.engine import Batching, Tensor, api, service

@service
class Sum:
    def __init__(self):
        self.model = store.load("net:1")

    @api(batching=Batching())
    def total(
        self, left: Tensor["float32", "batch", 3], right: Tensor["float32", "batch", 3]
    ) -> Tensor["float32", "batch"]:
        return self.model(left, right)[1]

    @api
    def slowly(self, seconds: float) -> str:
        print("at work", flush=True)
        time.sleep(seconds)
        return "done"

    @api
    def same(self, rows: Tensor["float32", "batch", 2]) -> Tensor["float32", "batch", 2]:
        return rows
"""
QUESTION = json.dumps({"left": [[1, 2, 3]], "right": [[1, 1, 1]]}).encode()
ANSWER = b"[15.0]"  # 2 × (1 + 2 + 3) + 3


def packed_sum(folder: Path) -> Bundle:
    """The bundle of ``Sum``, in a new folder; the store that it came from is not needed any more."""
    code = folder / "code"
    code.mkdir()
    (code / "adder.py").write_text(SERVICE, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVELAB_HOME", str(folder / "lab"))
        Store().save("net", twice_and_sum(folder / "net.onnx", 2.0))
        return bundle("adder:Sum", folder / "bundles", code, say=lambda line: None)
