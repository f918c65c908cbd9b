"""What XGBoost and LightGBM have in common on the way to ONNX: one table in, a class or a number out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.errors import ConversionError
from helpers.convert.graph_builder import GraphBuilder, with_columns
from helpers.convert.inputs import Arrays, Inputs

if TYPE_CHECKING:
    import onnx

Link = str | Callable[[GraphBuilder, str], str]


@dataclass(frozen=True)
class Boosted:
    """A boosted model: what it sums up for each target, and the link that makes a prediction of the sums.

    ``missing`` is the number that stands for a missing one, beside NaN.
    """

    columns: int
    targets: int
    link: Link
    sums: Callable[[GraphBuilder, str], str]
    missing: float = np.nan


def graph(
    boosted: Boosted, classes: NDArray[Any] | None, label_only: bool = False, as_float: bool = False
) -> "onnx.ModelProto":
    """The whole model as a graph with the input ``input``.

    With ``classes`` it answers with ``label`` and ``probabilities``, else with ``output``. With
    ``as_float`` it takes rows of any type of numbers, as a step of a pipeline does.
    """
    builder = GraphBuilder()
    rows = builder.input("input", np.float32, ("batch", boosted.columns))
    rows = builder.cast(rows, np.float32) if as_float else rows
    if not np.isnan(boosted.missing):
        is_missing = builder.add("Equal", rows, builder.constant(boosted.missing, np.float32))
        rows = builder.add("Where", is_missing, builder.constant(np.nan, np.float32), rows)
    scores = linked(builder, boosted.link, boosted.sums(builder, rows))
    if classes is None:
        builder.output("output", scores, np.float32, ("batch", boosted.targets))
    elif boosted.targets > 1 and len(classes) == 2 and boosted.link == "sigmoid":
        label = builder.add("Greater", scores, builder.constant(0.5, np.float32))
        builder.output("label", builder.cast(label, np.int64), np.int64, ("batch", boosted.targets))
        builder.output("probabilities", scores, np.float32, ("batch", boosted.targets))
    else:
        if boosted.targets == 1:
            other = builder.add("Sub", builder.constant(1, np.float32), scores)
            scores = builder.add("Concat", other, scores, axis=1)
        best = builder.add("ArgMax", scores, axis=1, keepdims=0)
        names = np.resize(label_values(classes), max(len(classes), 2))
        builder.output("label", builder.add("Gather", builder.constant(names), best), names.dtype, ("batch",))
        if not label_only:
            builder.output("probabilities", scores, np.float32, ("batch", len(names)))
    return builder.model("the model")


def linked(builder: GraphBuilder, link: Link, sums: str) -> str:
    """A prediction from the sums of the leaves."""
    if callable(link):
        return link(builder, sums)
    if link in ("identity", "argmax"):
        return sums
    if link == "step":
        return builder.cast(builder.add("Greater", sums, builder.constant(0, np.float32)), np.float32)
    if link == "softmax":
        return builder.add("Softmax", sums, axis=1)
    return builder.add({"sigmoid": "Sigmoid", "exp": "Exp"}[link], sums)


def label_values(classes: NDArray[Any]) -> NDArray[Any]:
    """The classes in a type that an output can have: whole numbers, truths, numbers or text."""
    classes = np.asarray(classes)
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    return classes if classes.dtype.kind in "bf" else classes.astype(str).astype(object)


def write(
    boosted: Boosted, classes: NDArray[Any] | None, example: Inputs, path: Path, label_only: bool = False
) -> None:
    """Write the model for one table, or for an input for each column of a DataFrame."""
    import onnx

    made = graph(boosted, classes, label_only)
    onnx.save(with_columns(made, example) if example.frame is not None else made, path)


def table(arrays: Inputs) -> Any:
    """What the model is asked with: an array, or the DataFrame again."""
    if arrays.frame is not None:
        return arrays.as_frame()
    if len(arrays) != 1 or arrays[0].ndim != 2:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ConversionError(
            f"The example has the shape {shapes}; trees take one table.", "pass rows with a column each."
        )
    return arrays[0]


def classified(model: Any, rows: Any) -> Arrays:
    """What a model with scikit-learn's methods answers: a class and its probabilities, or a number."""
    label = np.asarray(model.predict(rows))
    return (label, np.asarray(model.predict_proba(rows))) if hasattr(model, "predict_proba") else (label,)


def booster_classes(objective: str, targets: int) -> NDArray[Any] | None:
    """The classes of a library's own booster, which has numbers for them; None where it answers with numbers."""
    if objective not in (*CLASSIFYING, "multi:softmax") or (objective == "binary:logistic" and targets > 1):
        return None
    return np.arange(max(targets, 2))


def from_booster(objective: str, given: NDArray[Any]) -> Arrays:
    """The same from the library's own booster, which gives one probability where there are two classes."""
    if objective == "multi:softmax":
        return (given.astype(np.int64),)
    if objective not in CLASSIFYING or (objective == "binary:logistic" and given.ndim > 1):
        return (given,)
    probabilities = np.stack([1 - given, given], axis=1) if given.ndim == 1 else given
    return probabilities.argmax(axis=1), probabilities


# The objectives whose booster answers with a probability for each class.
CLASSIFYING = ("binary:logistic", "multi:softprob", "binary", "multiclass", "multiclassova")
