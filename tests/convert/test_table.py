"""Models of every framework: the file answers as the framework itself does, or there is no file and a true reason."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from helpers.convert import ConversionError, to_onnx
from tests.convert.cases import Answers, Case
from tests.convert.cases.boosted_cases import CASES as BOOSTED
from tests.convert.cases.frame_cases import CASES as FRAMES
from tests.convert.cases.keras_cases import CASES as KERAS
from tests.convert.cases.saved_model_cases import CASES as SAVED_MODELS
from tests.convert.cases.sklearn_cases import CASES as SKLEARN
from tests.convert.cases.torch_cases import CASES as TORCH

CASES = [*SKLEARN, *FRAMES, *BOOSTED, *TORCH, *KERAS, *SAVED_MODELS]
TOLERANCE = 1e-4  # of the output's largest number
TIE = 1e-6
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64} | {
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def made(case: Case) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the training
        return case.make()


def asked(case: Case, model: Any, inputs: Any) -> Answers:
    assert case.oracle is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: np.asarray(answer) for name, answer in case.oracle(model, inputs).items()}


def feeds(case: Case, inputs: Any) -> dict[str, np.ndarray]:
    """The file's inputs by name; a DataFrame has one for each column."""
    if hasattr(inputs, "columns"):
        return {name: column(inputs[name]) for name in inputs.columns}
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return dict(zip(case.inputs, inputs if isinstance(inputs, tuple) else (inputs,), strict=True))


def column(values: Any) -> np.ndarray:
    array = values.to_numpy()
    to = {"i": np.int64, "f": np.float32, "b": np.bool_}.get(array.dtype.kind, np.object_)
    return array.astype(to)[:, None]


@pytest.mark.filterwarnings("ignore:.*changes the case of text with the locale")
@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=str)
def test_the_file_answers_as_the_framework_does(case: Case, tmp_path: Path) -> None:
    model = made(case)
    assert case.held_out is not None
    batches = case.held_out(model)
    expected = [asked(case, model, inputs) for inputs in batches]
    path = to_onnx(model, case.example, tmp_path / "model.onnx", **case.options)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_outputs()] == list(expected[0])
    sizes = set()
    for inputs, answers in zip(batches, expected, strict=True):
        fed = feeds(case, inputs)
        expect_declared(session.get_inputs(), fed)
        given = dict(zip(answers, session.run(list(answers), fed), strict=True))
        expect_declared(session.get_outputs(), given)
        expect_same(answers, given)
        sizes.add(len(next(iter(fed.values()))))
    assert len(sizes) > 1, "one size of a batch shows nothing of the others"


def expect_declared(entries: list[Any], arrays: Mapping[str, np.ndarray]) -> None:
    """The file declares these names, types and shapes; an axis with a name may have any size, the same everywhere."""
    assert [entry.name for entry in entries] == list(arrays)
    free: dict[str, int] = {}
    for entry in entries:
        array = arrays[entry.name]
        assert np.dtype(TYPES[entry.type]) == array.dtype, f"{entry.name} is declared {entry.type}, not {array.dtype}"
        assert len(entry.shape) == array.ndim, f"{entry.name} is declared {entry.shape}, not {array.shape}"
        for declared, size in zip(entry.shape, array.shape, strict=True):
            wanted = free.setdefault(declared, size) if isinstance(declared, str) else declared
            assert wanted == size, f"{entry.name} is declared {entry.shape}, not {array.shape}"


def expect_same(expected: Answers, given: Mapping[str, np.ndarray]) -> None:
    tied = ties(expected)
    for name, wanted in expected.items():
        found = given[name]
        if found.shape != wanted.shape:  # a column of one number may have an axis of its own
            assert found.shape == (*wanted.shape, 1), f"{name} has the shape {found.shape}, not {wanted.shape}"
            found = found.reshape(wanted.shape)
        if wanted.dtype.kind == "f":
            scale = max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * scale, equal_nan=True, err_msg=name)
            continue
        if wanted.dtype.kind in "OU":
            wanted, found = wanted.astype(str), found.astype(str)
        differs = (found != wanted).reshape(len(wanted), -1).any(axis=1) if wanted.ndim else found != wanted
        if tied is not None and tied.shape == np.shape(differs):
            differs &= ~tied
        assert not np.any(differs), f"{name}: {found[differs][:5]} should be {wanted[differs][:5]}"


def ties(expected: Answers) -> np.ndarray | None:
    """The rows for which the model itself scores the best two alike."""
    for scores in expected.values():
        if scores.dtype.kind == "f" and scores.ndim == 2 and scores.shape[1] > 1:
            best = np.sort(scores, axis=1)
            return best[:, -1] - best[:, -2] <= TIE
    return None


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=str)
def test_what_has_no_such_file_is_refused_with_its_reason(case: Case, tmp_path: Path) -> None:
    model = made(case)
    assert case.refused is not None
    sentence, remedy = case.refused
    with pytest.raises(ConversionError) as refused:
        to_onnx(model, case.example, tmp_path / "model.onnx", **case.options)
    assert re.search(sentence, refused.value.sentence), refused.value
    assert re.search(remedy, refused.value.remedy), refused.value
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_large_and_its_names_are_distinct() -> None:
    assert len(CASES) >= 170
    assert len({case.name for case in CASES}) == len(CASES)
