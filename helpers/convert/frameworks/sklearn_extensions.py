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

        from helpers.convert.frameworks import hist_gradient_boosting

        _introduce(ensemble.HistGradientBoostingClassifier, _boosted(hist_gradient_boosting.read), classifier=True)
        _introduce(ensemble.HistGradientBoostingRegressor, _boosted(hist_gradient_boosting.read), classifier=False)
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
    from skl2onnx.helpers import add_onnx_graph

    def convert(scope: Any, operator: Any, container: Any) -> None:
        made = graph(operator.raw_operator)
        for value, expected in zip(made.graph.output, operator.outputs, strict=False):
            _as_type(made, value, expected.type.to_onnx_type().tensor_type.elem_type)
        add_onnx_graph(scope, operator, container, made)

    shapes = (
        shape_calculator.calculate_linear_classifier_output_shapes
        if classifier
        else shape_calculator.calculate_linear_regressor_output_shapes
    )
    options = None
    if classifier:
        options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [False]}
    update_registered_converter(kind, f"ServeLab{kind.__module__}{kind.__name__}", shapes, convert, options=options)


def _as_type(made: "onnx.ModelProto", value: "onnx.ValueInfoProto", element: int) -> None:
    """The output in the type that the rest of a pipeline expects."""
    import onnx

    if value.type.tensor_type.elem_type != element and onnx.TensorProto.STRING not in (
        element,
        value.type.tensor_type.elem_type,
    ):
        (last,) = (node for node in made.graph.node if value.name in node.output)
        last.output[0] = f"{value.name}_before_cast"
        made.graph.node.append(onnx.helper.make_node("Cast", last.output[:1], [value.name], to=element))
        value.type.tensor_type.elem_type = element
