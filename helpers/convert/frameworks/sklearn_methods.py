"""Which of a scikit-learn model's methods a file answers with, and where skl2onnx writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.convert.errors import ConversionError
from helpers.convert.model_file import rename

if TYPE_CHECKING:
    import onnx

KNOWN = ("predict", "predict_proba", "decision_function", "score_samples", "transform")
NAMES = {"predict_proba": "probabilities"}


@dataclass(frozen=True)
class Wanted:
    """An output of skl2onnx's by its place, its name in the file, and the axes of the model's own answer."""

    place: int
    name: str
    axes: int


Plan = list[tuple[dict[str, object], list[Wanted]]]  # skl2onnx's options, and the outputs to keep


def default_methods(model: Any) -> tuple[str, ...]:
    if not hasattr(model, "predict"):
        return ("transform",)
    return ("predict", "predict_proba") if hasattr(model, "predict_proba") else ("predict",)


def results_of(model: Any, method: str, rows: Any) -> list[NDArray[Any]]:
    """The arrays that a method returns: a list of tables, where a model has several targets."""
    if method not in KNOWN or not hasattr(model, method):
        has = ", ".join(known for known in KNOWN if hasattr(model, known))
        raise ConversionError(f"{type(model).__name__} has no method {method!r} for a file.", f"choose from: {has}.", 2)
    given = getattr(model, method)(rows)
    if hasattr(given, "toarray"):
        given = given.toarray()
    return [np.asarray(one) for one in given] if isinstance(given, list) else [np.asarray(given)]


def options_of(model: Any, methods: Sequence[str], rows: Any) -> Plan:
    """What to ask of skl2onnx, once for each set of options."""
    from sklearn.base import is_classifier

    classifier = is_classifier(model)
    plan: dict[str, tuple[dict[str, object], list[Wanted]]] = {}
    for method in methods:
        results = results_of(model, method, rows)
        names = [_name(model, method)]
        if len(results) > 1:
            names = [f"{names[0]}_{place}" for place in range(len(results))]
        options: dict[str, object] = {"zipmap": False} if classifier else {}
        if hasattr(model, "get_support") and method != "transform":
            raise ConversionError(
                f"A file of {type(model).__name__} selects columns, and does not answer with {method}.",
                'pass methods=["transform"], or convert its estimator_ on the columns that it selects.',
                2,
            )
        first = method in ("predict", default_methods(model)[0]) or hasattr(model, "get_support")
        place = 0 if first else 1
        if method == "transform" and place and not hasattr(model, "cluster_centers_"):
            raise ConversionError(
                f"A file of {type(model).__name__} answers with predictions, and not with transform.",
                "put the transform into a pipeline of its own, and convert that.",
                2,
            )
        if method == "decision_function" and classifier:
            options["raw_scores"] = True
        if method == "score_samples":
            options["score_samples"], place = True, 2
        wanted = plan.setdefault("" if method in ("predict", "predict_proba") else method, (options, []))[1]
        wanted += [Wanted(place, name, results[0].ndim) for name in names]
    return list(plan.values())


def with_outputs(made: "onnx.ModelProto", wanted: Sequence[Wanted]) -> "onnx.ModelProto":
    """The outputs that are wanted, under their names; a list of tables becomes an output for each."""
    import onnx

    graph, values, used = made.graph, [], dict[str, int]()
    for want in wanted:
        value = onnx.ValueInfoProto.FromString(graph.output[min(want.place, len(graph.output) - 1)].SerializeToString())
        shape = value.type.tensor_type.shape.dim
        if value.type.HasField("sequence_type"):
            kind = value.type.sequence_type.elem_type.tensor_type.elem_type
            number = used.setdefault(value.name, 0)
            used[value.name] += 1
            item = _node(graph, "SequenceAt", [value.name, _number(graph, number)])
            value = onnx.helper.make_tensor_value_info(item, kind, [None, None])
        elif want.name == "label" and want.axes == 1 and len(shape) == 2:
            item = _node(graph, "Reshape", [value.name, _number(graph, [-1])])
            value = onnx.helper.make_tensor_value_info(item, value.type.tensor_type.elem_type, [None])
        elif want.name == "decision_function" and want.axes == 1 and len(shape) == 2:  # of two classes, the second's
            value.name = _node(graph, "Slice", [value.name, *(_number(graph, [end]) for end in (-1, 2**31, 1))])
        values.append(value)
    del graph.output[:]
    graph.output.extend(values)
    rename(made, list(graph.output), [want.name for want in wanted], "output")
    return made


def _node(graph: "onnx.GraphProto", operator: str, inputs: list[str]) -> str:
    import onnx

    name = f"{operator.lower()}_{len(graph.node)}"
    graph.node.append(onnx.helper.make_node(operator, inputs, [name]))
    return name


def _number(graph: "onnx.GraphProto", value: int | list[int]) -> str:
    import onnx

    name = f"number_{len(graph.initializer)}"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.int64), name))
    return name


def in_one_file(files: "list[onnx.ModelProto]") -> "onnx.ModelProto":
    """Several files with the same inputs as one; their inner names get a number."""
    import onnx

    if len(files) == 1:
        return files[0]
    first, *rest = (_with_prefix(file, f"part_{number}/") for number, file in enumerate(files, start=1))
    for other in rest:
        first.graph.node.extend(other.graph.node)
        first.graph.initializer.extend(other.graph.initializer)
        first.graph.output.extend(other.graph.output)
        known = {entry.domain for entry in first.opset_import}
        first.opset_import.extend(entry for entry in other.opset_import if entry.domain not in known)
    return onnx.ModelProto.FromString(first.SerializeToString())


def _with_prefix(file: "onnx.ModelProto", prefix: str) -> "onnx.ModelProto":
    import onnx

    made: onnx.ModelProto = onnx.compose.add_prefix(file, prefix, rename_inputs=False, rename_outputs=False)
    return made


def _name(model: Any, method: str) -> str:
    from sklearn.base import is_regressor

    if method == "predict":
        return "output" if is_regressor(model) else "label"
    if method == "transform" and (not hasattr(model, "predict") or hasattr(model, "get_support")):
        return "output"
    return NAMES.get(method, method)
