"""scikit-learn: estimators and pipelines, through skl2onnx."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.convert.conversion import Converter, from_package
from helpers.convert.errors import ConversionError
from helpers.convert.frameworks.sklearn_extensions import introduce_own_converters, own_graph
from helpers.convert.frameworks.sklearn_methods import (
    Wanted,
    default_methods,
    in_one_file,
    options_of,
    results_of,
    with_outputs,
)
from helpers.convert.graph_builder import OPSETS, tensor_type, with_columns
from helpers.convert.inputs import Arrays, Inputs
from helpers.convert.silence import quietly

if TYPE_CHECKING:
    import onnx


# Words as Python's patterns of scikit-learn find them, in the syntax of ONNX Runtime's tokenizer (RE2),
# whose \w has no letters with accents.
WORDS = {
    r"(?u)\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",
    r"(?u)\b\w+\b": r"[\p{L}\p{N}_]+",
}


def write(model: Any, example: Inputs, path: Path, methods: Sequence[str] = (), precise: bool = False) -> None:
    """A classifier's file answers with ``label`` and ``probabilities``.

    ``precise`` computes inside the file in the other precision: in float64 for a float32 example, and
    the other way round.
    """
    import onnx

    introduce_own_converters()
    make_convertible(model)
    rows = as_rows(example)
    model = getattr(model, "best_estimator_", model)  # a search answers with the best that it found
    plan = options_of(model, methods or default_methods(model), rows)
    onnx.save(in_one_file([_converted(model, example, options, wanted, precise) for options, wanted in plan]), path)


def make_convertible(model: Any) -> None:
    """Settings that skl2onnx stumbles over, and on which no prediction depends; others it overlooks."""
    for step in [*parts(model)]:
        if getattr(step, "break_ties", False):
            raise ConversionError(
                f"{type(step).__name__} has break_ties=True, which skl2onnx overlooks.",
                "train it with break_ties=False.",
            )
        if getattr(step, "encode", None) == "onehot":  # a dense table for a sparse one
            step.encode = "onehot-dense"
        if hasattr(step, "transformer_list"):
            kept = [(name, part) for name, part in step.transformer_list if part != "drop"]
            step.transformer_list = [(name, _identity() if part == "passthrough" else part) for name, part in kept]
        if hasattr(step, "steps"):
            step.steps = [(name, part) for name, part in step.steps if part is not None and part != "passthrough"]
        if getattr(step, "flatten_transform", None) is True:
            step.flatten_transform = False
        if type(step).__name__.startswith("Voting") and isinstance(step.weights, list):
            step.weights = np.asarray(step.weights)


def answer(model: Any, arrays: Inputs, methods: Sequence[str] = ()) -> Arrays:
    """What stands first in the file: a class and its probabilities, a number, or a transformed row."""
    rows = as_rows(arrays)
    with quietly():
        return tuple(result for name in methods or default_methods(model) for result in results_of(model, name, rows))


def deciding_scores(model: Any, arrays: Inputs) -> Any:
    """Probabilities saturate where the scores behind them do not."""
    if not hasattr(model, "decision_function"):
        return None
    with quietly():
        scores = np.asarray(model.decision_function(as_rows(arrays)))
    return scores if scores.dtype.kind == "f" else None


def as_rows(inputs: Inputs) -> Any:
    """One table: an array, texts, or the DataFrame again."""
    if inputs.frame is not None:
        return inputs.as_frame()
    if len(inputs) != 1:
        raise ConversionError(
            f"The example has {len(inputs)} inputs; a scikit-learn model takes one table.",
            "pass one array, with a column for each feature.",
        )
    return inputs[0]


def _converted(
    model: Any, example: Inputs, options: dict[str, object], wanted: Sequence[Wanted], precise: bool
) -> "onnx.ModelProto":
    from skl2onnx import to_onnx

    own = None if precise and example[0].dtype == np.float64 else own_graph(model)
    if own is not None:
        return with_outputs(_for_example(own, example, by_column=False), _in_order(own, wanted))
    by_column = example.frame is not None and needs_columns(model, example)
    double = precise != any(array.dtype == np.float64 for array in example)
    types = column_types(example, double) if by_column else [("input", table_type(example, double))]
    with quietly():
        try:
            made = to_onnx(model, initial_types=types, options=all_options(model, options), target_opset=OPSETS)
        except Exception as error:  # skl2onnx raises of many kinds
            raise explain(model, example, error) from error
    return with_outputs(_for_example(made, example, by_column), wanted)


def _in_order(made: "onnx.ModelProto", wanted: Sequence[Wanted]) -> list[Wanted]:
    """A graph of our own has an output for each table of probabilities, where skl2onnx has a list of them."""
    names = [value.name for value in made.graph.output]
    return [Wanted(names.index(one.name), one.name, one.axes) if one.name in names else one for one in wanted]


def needs_columns(model: Any, example: Inputs) -> bool:
    """A model that treats its columns differently gets each as an input of its own."""
    return any(array.dtype.kind == "O" for array in example) or any(
        hasattr(step, "transformers_") for step in parts(model)
    )


def column_types(example: Inputs, double: bool) -> list[tuple[str, Any]]:
    """Text, or one type of numbers: skl2onnx cannot put columns of several types into one table."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number = DoubleTensorType if double else FloatTensorType
    kinds = [StringTensorType if array.dtype.kind == "O" else number for array in example]
    return [(name, kind([None, 1])) for name, kind in zip(example.names, kinds, strict=True)]


def table_type(example: Inputs, double: bool) -> Any:
    """skl2onnx's type of a table: any number of rows, as many columns as the example has."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, guess_data_type

    columns = [None, len(example)] if example.frame is not None else [None, *as_rows(example).shape[1:]]
    if (
        example.frame is not None
        or as_rows(example).dtype.kind == "f"
        or (double and as_rows(example).dtype.kind in "iu")
    ):
        return (DoubleTensorType if double else FloatTensorType)(columns)
    _, guessed = guess_data_type(as_rows(example)[:1])[0]
    return type(guessed)(columns)


def _for_example(made: "onnx.ModelProto", example: Inputs, by_column: bool) -> "onnx.ModelProto":
    """The file takes what the example has, whatever type it computes with."""
    import onnx

    if example.frame is not None and not by_column:
        return with_columns(made, example)
    for value, array in zip(made.graph.input, example, strict=False):
        inner = value.type.tensor_type.elem_type
        if array.dtype.kind not in "fib" or tensor_type(array.dtype) == inner or len(made.graph.input) != len(example):
            continue
        name = f"{value.name}_as_computed"
        for node in made.graph.node:
            node.input[:] = [name if one == value.name else one for one in node.input]
        made.graph.node.insert(0, onnx.helper.make_node("Cast", [value.name], [name], to=inner))
        value.type.tensor_type.elem_type = tensor_type(array.dtype)
    return made


def _identity() -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer()


def all_options(model: Any, chosen: dict[str, object]) -> dict[int, dict[str, object]]:
    """The model's own, and scaling that rounds as scikit-learn does.

    skl2onnx would write a scaler that multiplies by 1/s where scikit-learn divides by s. The two
    differ in the last bit, and a tree that comes after looks on which side of a threshold a
    number lies.
    """
    from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

    options: dict[int, dict[str, object]] = {}
    if chosen := {name: value for name, value in chosen.items() if name != "zipmap" or _has_zipmap(model)}:
        options[id(model)] = chosen
    for step in parts(model):
        if isinstance(step, (StandardScaler, RobustScaler, MaxAbsScaler)):
            options[id(step)] = {"div": "div"}
        words = (
            WORDS.get(str(getattr(step, "token_pattern", None))) if getattr(step, "analyzer", None) == "word" else None
        )
        if words:
            options[id(step)] = {"tokenexp": words}
    return options


def _has_zipmap(model: Any) -> bool:
    """Models whose file could answer with dictionaries: skl2onnx has the option for no others."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if hasattr(last, "get_support"):
        return False
    return hasattr(model, "predict_proba") or type(last).__name__ in ("SVC", "NuSVC")


def parts(model: Any) -> Iterator[Any]:
    """The model and, as deep as pipelines go, the models that it is made of."""
    yield model
    inner = [entry[1] for entry in getattr(model, "steps", [])]
    for name in ("transformers_", "transformer_list"):
        inner += [entry[1] for entry in getattr(model, name, [])]
    inner += [one for one in np.asarray(getattr(model, "estimators_", []), object).flat if hasattr(one, "get_params")]
    inner += [
        getattr(model, name) for name in ("best_estimator_", "final_estimator_", "estimator_") if hasattr(model, name)
    ]
    for part in inner:
        yield from parts(part)


def explain(model: Any, example: Inputs, error: BaseException) -> ConversionError:
    """Which step cannot be converted, and what then."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    own = "use estimators of scikit-learn, move the step out of the pipeline, or give skl2onnx a converter for it"
    for step in parts(model):
        kind = type(step).__name__
        if kind in said and kind != type(model).__name__:
            return ConversionError(
                f"The step {kind} cannot be converted: {said[:200]}",
                f"{own} (skl2onnx.update_registered_converter), as lesson 02 shows.",
            )
    if "shape calculator" in said or "converter for" in said:
        return ConversionError(
            f"skl2onnx has no converter for {type(model).__name__}: {said[:200]}",
            "use another estimator, or register a converter of your own (skl2onnx.update_registered_converter).",
        )
    double = any(array.dtype == np.float64 for array in example)
    return ConversionError(
        f"{type(model).__name__} could not be converted: {said[:300]}",
        "pass a float32 example: not every step can be written for float64."
        if double
        else "change the parameter or the step that is named: skl2onnx does not support it.",
    )


CONVERTER = Converter(
    "scikit-learn",
    from_package("sklearn"),
    write,
    answer,
    needs=("sklearn", "skl2onnx", "onnx"),
    takes=("methods",),
    variants=({}, {"precise": True}),
    defines_missing=True,
    scores=deciding_scores,
)
