"""What skl2onnx does not bring, or loses: trees of four libraries, as steps of a pipeline too."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.convert.frameworks import boosted_trees
from helpers.convert.frameworks.boosted_trees import Boosted

if TYPE_CHECKING:
    import onnx

FORESTS = {
    "sklearn.tree": ("DecisionTree", "ExtraTree"),
    "sklearn.ensemble": ("RandomForest", "ExtraTrees"),
}


def introduce_own_converters() -> None:
    """Make skl2onnx use this kit's trees, with categories, missing numbers and every objective.

    Of XGBoost and LightGBM only if they are imported already: a model that holds one has done so.
    """
    for module, names in FORESTS.items():
        if module in sys.modules:
            for name in names:
                _introduce(getattr(sys.modules[module], f"{name}Classifier"), _forest, classifier=True)
                _introduce(getattr(sys.modules[module], f"{name}Regressor"), _forest, classifier=False)
    if "sklearn.ensemble" in sys.modules:
        from sklearn import ensemble

        from helpers.convert.frameworks import hist_gradient_boosting, sklearn_trees

        _introduce(ensemble.HistGradientBoostingClassifier, _boosted(hist_gradient_boosting.read), classifier=True)
        _introduce(ensemble.HistGradientBoostingRegressor, _boosted(hist_gradient_boosting.read), classifier=False)
        _replace("SklearnIsolationForest", sklearn_trees.isolation_graph, {"score_samples": [True, False]})
    _replace_steps()
    if "xgboost" in sys.modules:
        import xgboost

        from helpers.convert.frameworks import xgboost_models

        for kind in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
            _introduce(kind, _boosted(xgboost_models.read), classifier=True)
        for kind in (xgboost.XGBRegressor, xgboost.XGBRFRegressor, xgboost.XGBRanker):
            _introduce(kind, _boosted(xgboost_models.read), classifier=False)
    if "lightgbm" in sys.modules:
        import lightgbm

        from helpers.convert.frameworks import lightgbm_models

        _introduce(lightgbm.LGBMClassifier, _boosted(lightgbm_models.read), classifier=True)
        _introduce(lightgbm.LGBMRegressor, _boosted(lightgbm_models.read), classifier=False)
        _introduce(lightgbm.LGBMRanker, _boosted(lightgbm_models.read), classifier=False)


def own_graph(model: Any) -> "onnx.ModelProto | None":
    """The whole graph of a model for which skl2onnx is not needed."""
    from helpers.convert.frameworks import sklearn_trees

    if type(model).__name__ == "IsolationForest":
        return sklearn_trees.isolation_graph(model)
    known = {f"{name}{kind}" for names in FORESTS.values() for name in names for kind in ("Classifier", "Regressor")}
    ours = type(model).__module__.startswith("sklearn.") and type(model).__name__ in known
    return sklearn_trees.forest_graph(model) if ours else None


def _forest(model: Any) -> "onnx.ModelProto":
    from helpers.convert.frameworks import sklearn_trees

    return sklearn_trees.forest_graph(model)


def _boosted(read: Callable[[Any], Boosted]) -> "Callable[[Any], onnx.ModelProto]":
    def graph(model: Any) -> "onnx.ModelProto":
        classes = np.asarray(model.classes_) if hasattr(model, "predict_proba") else None
        return boosted_trees.graph(read(model), classes, as_float=True)

    return graph


def _introduce(kind: type, graph: "Callable[[Any], onnx.ModelProto]", classifier: bool) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    shapes = (
        shape_calculator.calculate_linear_classifier_output_shapes
        if classifier
        else shape_calculator.calculate_linear_regressor_output_shapes
    )
    options = None
    if classifier:
        options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [False]}
    update_registered_converter(
        kind, f"ServeLab{kind.__module__}{kind.__name__}", shapes, _converter(graph), options=options
    )


def _converter(graph: "Callable[[Any], onnx.ModelProto]") -> Callable[[Any, Any, Any], None]:
    """A converter in skl2onnx's manner."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        from skl2onnx.helpers import add_onnx_graph

        made = graph(operator.raw_operator)
        del made.graph.output[len(operator.outputs) :]
        for value, expected in zip(made.graph.output, operator.outputs, strict=True):
            _as_type(made, value, expected.type.to_onnx_type().tensor_type.elem_type)
        add_onnx_graph(scope, operator, container, made)

    return convert


def _replace(name: str, graph: "Callable[[Any], onnx.ModelProto]", options: dict[str, Any]) -> None:
    """Another converter for a model that skl2onnx has already, with its outputs as they are."""
    from skl2onnx.common._registration import register_converter

    register_converter(name, _converter(graph), overwrite=True, options=options)


_theirs: dict[str, Any] = {}  # skl2onnx's own converters of the steps that are replaced


def _replace_steps() -> None:
    """Steps whose own converter stays for what ours does not write, such as text."""
    from skl2onnx.common._registration import get_converter, register_converter

    from helpers.convert.frameworks import sklearn_steps

    ours = {
        "SklearnKBinsDiscretizer": sklearn_steps.bins_graph,
        "SklearnOneHotEncoder": sklearn_steps.one_hot_graph,
    }
    for name, graph in ours.items():
        if name not in _theirs:
            _theirs[name] = get_converter(name)
            register_converter(name, _step_converter(name, graph), overwrite=True)


def _step_converter(
    name: str, graph: "Callable[[Any, Any], onnx.ModelProto | None]"
) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        types = {"FloatTensorType": np.float32, "DoubleTensorType": np.float64}
        dtype = types.get(type(operator.inputs[0].type).__name__) if len(operator.inputs) == 1 else None
        made = graph(operator.raw_operator, dtype) if dtype else None
        (_theirs[name] if made is None else _converter(lambda _: made))(scope, operator, container)

    return convert


def _as_type(made: "onnx.ModelProto", value: "onnx.ValueInfoProto", element: int) -> None:
    """The output in the type that the rest of a pipeline expects."""
    import onnx

    if value.type.tensor_type.elem_type != element and onnx.TensorProto.STRING not in (
        element,
        value.type.tensor_type.elem_type,
    ):
        (last,) = (node for node in made.graph.node if value.name in node.output)
        last.output[0] = f"{value.name}_before_cast"
        made.graph.node.append(onnx.helper.make_node("Cast", last.output[:1], [value.name], name="as_type", to=element))
        value.type.tensor_type.elem_type = element
