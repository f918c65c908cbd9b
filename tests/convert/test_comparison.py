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

from helpers.convert import inputs_like, parity, quietly


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
    if len(shift) == 1:
        assert found.flipped is None, "one number is no choice between classes"
    else:
        # The original scores all classes alike, so whatever flips is a tie.
        assert found.flipped == found.ties == (2 * rows if int(np.argmax(shift)) else 0)


def test_a_parity_reads_as_a_sentence(tmp_path: Path) -> None:
    path = shifted_identity(tmp_path / "x.onnx", [0, 0.25])
    rows = np.array([[0.1, 0], [0, 0], [0.9, 0]], np.float32)
    assert str(parity(lambda batch: batch, path, [rows])) == (
        "3 inputs: largest difference 2.5e-01, 2 labels flipped (1 of them ties)"
    )
    one = shifted_identity(tmp_path / "one.onnx", [0.5])
    assert str(parity(lambda batch: batch, one, [rows[:, :1]])) == "3 inputs: largest difference 5.0e-01"


def test_what_is_not_a_number_is_no_parity(tmp_path: Path) -> None:
    path = shifted_identity(tmp_path / "x.onnx", [0, 0])
    found = parity(lambda batch: batch * np.nan, path, [np.ones((3, 2), np.float32)])
    assert not found.largest <= 1e-4


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no input to compare on"):
        parity(lambda batch: batch, shifted_identity(tmp_path / "x.onnx", [0, 0]), [])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 3), st.integers(1, 200))
def test_inputs_stay_in_the_range_of_their_example(rows: int, columns: int, seed: int, wanted: int) -> None:
    random = np.random.default_rng(seed)
    example = random.normal(size=(rows, columns)).astype(np.float32)
    counts = random.integers(0, 9, (rows, 2, columns))
    batches = inputs_like((example, counts), rows=wanted, seed=seed, batch=64)
    numbers, whole = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert numbers.shape == (wanted, columns) and whole.shape == (wanted, 2, columns)
    assert (numbers.dtype, whole.dtype) == (example.dtype, counts.dtype)
    assert (numbers >= example.min(axis=0)).all() and (numbers <= example.max(axis=0)).all()
    assert all(np.isin(whole[:, r, c], counts[:, r, c]).all() for r in range(2) for c in range(columns))
    taken = [np.isin(numbers[:, c], example[:, c]).mean() for c in range(columns)]
    assert all(share >= 0.5 for share in taken), "half of the rows are made of numbers that the example holds"
    again = inputs_like((example, counts), rows=wanted, seed=seed, batch=64)
    assert all(
        np.array_equal(a, b) for one, other in zip(batches, again, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_answers_of_another_shape_are_no_parity(tmp_path: Path) -> None:
    path = shifted_identity(tmp_path / "x.onnx", [0, 0])
    with pytest.raises(ValueError, match=r"shape \(3,\), the file with \(3, 2\)"):
        parity(lambda batch: batch[:, 0], path, [np.zeros((3, 2), np.float32)])


def test_quietly_hides_talk_and_not_errors(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger("torch").level
    with pytest.raises(LookupError), quietly():
        warnings.warn("talk", stacklevel=1)
        print("talk", file=sys.stderr)
        print("talk")
        logging.getLogger("torch.fx").warning("talk")
        raise LookupError
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("torch").level == before
