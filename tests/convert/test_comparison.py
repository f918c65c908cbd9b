"""Parity: against files whose error is known."""

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from helpers.convert import parity, quietly


def shifted_identity(path: Path, shift: list[float]) -> Path:
    """A file that adds ``shift`` to its input."""
    columns = len(shift)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "shift"], ["y"])],
        "shifted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", columns])],
        [helper.make_tensor("shift", TensorProto.FLOAT, [columns], shift)],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=5), st.integers(1, 40))
def test_the_largest_difference_is_the_largest_shift(
    tmp_path_factory: pytest.TempPathFactory, shift: list[float], rows: int
) -> None:
    path = shifted_identity(tmp_path_factory.mktemp("parity") / "x.onnx", shift)
    zeros = np.zeros((rows, len(shift)), np.float32)
    found = parity(lambda batch: batch, path, [zeros, zeros])
    assert found.rows == 2 * rows
    assert found.largest == pytest.approx(max(map(abs, shift)))
    assert found.flipped == (2 * rows if int(np.argmax(shift)) else 0)


def test_a_parity_reads_as_a_sentence(tmp_path: Path) -> None:
    found = parity(
        lambda batch: batch, shifted_identity(tmp_path / "x.onnx", [0, 0.25]), [np.zeros((3, 2), np.float32)]
    )
    assert str(found) == "3 inputs: largest difference 2.5e-01, 3 labels flipped"


def test_answers_of_another_shape_are_no_parity(tmp_path: Path) -> None:
    path = shifted_identity(tmp_path / "x.onnx", [0, 0])
    with pytest.raises(ValueError, match=r"shape \(3,\), the file with \(3, 2\)"):
        parity(lambda batch: batch[:, 0], path, [np.zeros((3, 2), np.float32)])


def test_quietly_hides_talk_and_not_errors(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger("torch").level
    with pytest.raises(LookupError), quietly():
        warnings.warn("talk", stacklevel=1)
        print("talk", file=sys.stderr)
        logging.getLogger("torch.fx").warning("talk")
        raise LookupError
    assert capsys.readouterr().err == ""
    assert logging.getLogger("torch").level == before
