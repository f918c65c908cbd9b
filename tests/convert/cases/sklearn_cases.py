"""scikit-learn: estimators, pipelines and methods that are asked for, on tables of numbers."""

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, DictionaryLearning
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tests.convert.cases import CLASSES, LABELS, NUMBERS, TABLE, Case, by_method
from tests.convert.cases import tables as t

CASES: list[Case] = []
X = t.NUMBERS
DOUBLE = t.draw(21).normal(size=(t.ROWS, 4))
DOUBLE_TWO = (DOUBLE[:, 0] > 0.1).astype(int)
TREE: dict[str, Any] = {"max_depth": 4, "random_state": 0}
SMALL: dict[str, Any] = {"n_estimators": 8, "max_depth": 5, "random_state": 0}
BOOST: dict[str, Any] = {"n_estimators": 8, "random_state": 0}
HIST: dict[str, Any] = {"max_iter": 4, "min_samples_leaf": 5, "random_state": 0}


def add(name: str, model: Any, target: Any, oracle: Any, table: Any = X, missing: bool = False, **options: Any) -> None:
    """A model that is fitted on a table and asked about rows that it has not seen."""
    case = Case(
        f"sklearn {name}",
        lambda: model.fit(table, target),
        table[:5],
        oracle,
        lambda fitted: t.held_out(table, fitted, missing),
        options=options,
    )
    CASES.append(case)


def refuse(name: str, model: Any, target: Any, sentence: str, remedy: str, **options: Any) -> None:
    case = Case(f"sklearn {name}", lambda: model.fit(X, target), X[:5], options=options, refused=(sentence, remedy))
    CASES.append(case)


def voters() -> list[tuple[str, Any]]:
    return [("lines", LogisticRegression()), ("tree", DecisionTreeClassifier(**TREE)), ("bayes", GaussianNB())]


add("linear regression of two targets", LinearRegression(), t.TWO_TARGETS, NUMBERS)
add("Poisson regression", PoissonRegressor(), t.COUNTS, NUMBERS)
add("logistic regression of two", LogisticRegression(), t.TWO, CLASSES)
add("logistic regression of words", LogisticRegression(), t.NAMES, CLASSES)
add("logistic regression of negative labels", LogisticRegression(), t.THREE * 5 - 7, CLASSES)
add("logistic regression in float64", LogisticRegression(), DOUBLE_TWO, CLASSES, DOUBLE)
add("ridge classifier", RidgeClassifier(), t.THREE, LABELS)
add("linear SVM of words", LinearSVC(), t.YES_NO, LABELS)
add("SVM", SVC(), t.THREE, LABELS)
add("tree", DecisionTreeClassifier(random_state=0), t.THREE, CLASSES)
add("tree of words", DecisionTreeClassifier(**TREE), t.NAMES, CLASSES)
add("tree of float64", DecisionTreeClassifier(**TREE), DOUBLE_TWO, CLASSES, DOUBLE)
add("tree trained with NaN", DecisionTreeClassifier(**TREE), t.THREE, CLASSES, t.MISSING, missing=True)
add("tree that sees NaN later", DecisionTreeClassifier(**TREE), t.THREE, CLASSES, missing=True)
add("tree of two targets", DecisionTreeClassifier(**TREE), t.TWO_LABELS, CLASSES)
add("regression tree with NaN", DecisionTreeRegressor(**TREE), t.TARGET, NUMBERS, t.MISSING, missing=True)
add("regression tree of two targets", DecisionTreeRegressor(**TREE), t.TWO_TARGETS, NUMBERS)
add("forest", RandomForestClassifier(**SMALL), t.THREE, CLASSES)
add("forest with ties", RandomForestClassifier(2, random_state=0), t.WHOLE.sum(1) % 3, CLASSES, t.WHOLE)
add("forest with NaN", RandomForestClassifier(**SMALL), t.NAMES, CLASSES, t.MISSING, missing=True)
add("forest of two targets", RandomForestClassifier(**SMALL), t.TWO_LABELS, CLASSES)
add("forest of three truths", RandomForestClassifier(**SMALL), t.THREE_TRUTHS, CLASSES)
add("regression forest of two targets", RandomForestRegressor(**SMALL), t.TWO_TARGETS, NUMBERS)
add("gradient boosting", GradientBoostingClassifier(**BOOST), t.THREE, CLASSES)
add("gradient boosting, Huber loss", GradientBoostingRegressor(loss="huber", **BOOST), t.TARGET, NUMBERS)
add("histogram boosting", HistGradientBoostingClassifier(**HIST), t.YES_NO, CLASSES, t.MISSING, missing=True)
poisson = HistGradientBoostingRegressor(loss="poisson", **HIST)
add("histogram boosting, Poisson", poisson, t.COUNTS, NUMBERS, missing=True)
categorical = HistGradientBoostingRegressor(categorical_features=[0, 2], **HIST)
add("histogram boosting of categories", categorical, t.BY_CATEGORY, NUMBERS, t.CATEGORIES, missing=True)
add("AdaBoost", AdaBoostClassifier(n_estimators=5, random_state=0), t.YES_NO, CLASSES)
add("bagging", BaggingClassifier(LogisticRegression(), 4, max_features=0.5, random_state=0), t.THREE, CLASSES)
add("soft vote", VotingClassifier(voters(), voting="soft", weights=[1, 3, 2]), t.NAMES, CLASSES)
add("hard vote", VotingClassifier(voters()), t.THREE, LABELS)
add("regression vote", VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(**TREE))]), t.TARGET, NUMBERS)
add("a classifier for each target", MultiOutputClassifier(LogisticRegression()), t.TWO_LABELS, CLASSES)
add("one against the rest", OneVsRestClassifier(LogisticRegression()), t.THREE, CLASSES)
add("calibrated SVM", CalibratedClassifierCV(LinearSVC(), cv=2), t.YES_NO, CLASSES)
add("search", GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2), t.THREE, CLASSES)
add("nearest neighbours of words", KNeighborsClassifier(1), t.NAMES, CLASSES)
add("Gaussian Bayes", GaussianNB(), t.NAMES, CLASSES)
add("Bernoulli Bayes at its limit", BernoulliNB(binarize=0.5), t.THREE, CLASSES, np.round(X * 2) / 2)
add("multinomial Bayes", MultinomialNB(), t.THREE, CLASSES, t.WHOLE)
add("neural network", MLPClassifier((6,), max_iter=20, random_state=0), t.YES_NO, CLASSES)
add("neural network of a number", MLPRegressor(hidden_layer_sizes=(6,), max_iter=20, random_state=0), t.TARGET, NUMBERS)
add("linear discriminants", LinearDiscriminantAnalysis(), t.NAMES, CLASSES)
add("quadratic discriminants", QuadraticDiscriminantAnalysis(), t.THREE, CLASSES)
add("clusters", KMeans(3, n_init=1, random_state=0), None, LABELS)
add("outliers", IsolationForest(n_estimators=8, contamination=0.2, random_state=0), None, LABELS)
add("principal components", PCA(2, whiten=True), None, TABLE)
add("scaler of a far table", StandardScaler(), None, TABLE, X * np.float32(0.01) + 1000)
add("scaler with NaN", RobustScaler(), None, TABLE, missing=True)
add("rows of length one", Normalizer(), None, TABLE)
add("truths at the limit", Binarizer(threshold=0.5), None, TABLE)
add("products of columns", PolynomialFeatures(2), None, TABLE)
add("bins", KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"), None, TABLE)
add("one column for each number", OneHotEncoder(handle_unknown="ignore"), None, TABLE, t.WHOLE)
add("imputer", SimpleImputer(), None, TABLE, t.MISSING, missing=True)
add("selection", SelectKBest(k=2), t.THREE, TABLE)
add("union", FeatureUnion([("a", PCA(2)), ("b", "passthrough"), ("c", "drop")]), None, TABLE)
add("columns", ColumnTransformer([("a", StandardScaler(), [2, 0])], remainder=MinMaxScaler()), None, TABLE)
scaled_forest = make_pipeline(StandardScaler(), RandomForestClassifier(**SMALL))
add("bins and lines", make_pipeline(MinMaxScaler(), SVC()), t.THREE, LABELS)
add(
    "imputer and boosting",
    make_pipeline(SimpleImputer(), GradientBoostingRegressor(**BOOST)),
    t.TARGET,
    NUMBERS,
    t.MISSING,
)
add("a step that passes through", Pipeline([("a", "passthrough"), ("b", Ridge())]), t.TARGET, NUMBERS)
add("neighbours' mean of two targets", KNeighborsRegressor(1), t.TWO_TARGETS, NUMBERS)

# Methods that are asked for.
DECISION = by_method(label="predict", decision_function="decision_function")
methods = ["predict", "decision_function"]
forest = IsolationForest(n_estimators=8, random_state=0)
add("decision function of an isolation forest", forest, None, DECISION, methods=methods)
samples = by_method(score_samples="score_samples")
add("samples' scores of an isolation forest", IsolationForest(**BOOST), None, samples, methods=["score_samples"])
add("decision function of a one-class SVM", OneClassSVM(nu=0.2), None, DECISION, methods=methods)
add("decision function of an SVM", SVC(), t.THREE, DECISION, methods=methods)
add("decision function of two classes", RidgeClassifier(), t.TWO, DECISION, methods=methods)
distances = by_method(label="predict", transform="transform")
add("distances", KMeans(3, n_init=1, random_state=0), None, distances, methods=["predict", "transform"])
chances = by_method(probabilities="predict_proba")
renamed = by_method(kind="predict", chance="predict_proba")
add("named outputs", LogisticRegression(), t.NAMES, renamed, outputs=["kind", "chance"])

refuse("a chain of classifiers", ClassifierChain(LogisticRegression()), t.THREE_TRUTHS, "ClassifierChain", "register")
refuse("dictionary learning", DictionaryLearning(3, max_iter=2), None, "DictionaryLearning", "register")
logarithm = make_pipeline(FunctionTransformer(np.abs), Ridge())
refuse("two linear discriminants", LinearDiscriminantAnalysis(), t.TWO, "differ in 'probabilities'", "does not support")
refuse("a power transform of NaN", PowerTransformer(), None, "rows with missing numbers.*nan", "fill them before")
refuse("neighbours for NaN", KNNImputer(n_neighbors=3), None, "rows with missing numbers", "fill them before")
target = TransformedTargetRegressor(Ridge(), transformer=StandardScaler())
refuse("a scaled target", target, t.TARGET, "no converter for TransformedTargetRegressor", "another estimator")
refuse("splines", SplineTransformer(n_knots=4), None, "no converter for SplineTransformer", "another estimator")
refuse("a function", logarithm, t.TARGET, "The step FunctionTransformer cannot be converted", "move the step out")
refuse("a kernel in Python", SVC(kernel=lambda a, b: a @ b.T), t.TWO, "SVC", "parameter")
refuse("broken ties", SVC(break_ties=True), t.THREE, "break_ties=True, which skl2onnx overlooks", "break_ties=False")
refuse(
    "a method that is not there", Ridge(), t.TARGET, "no method 'predict_proba'", "predict", methods=["predict_proba"]
)
refuse("predictions of a selector", RFE(Ridge()), t.TARGET, "selects columns", "transform", methods=["predict"])
refuse("two names for one output", Ridge(), t.TARGET, "2 names for 1 output", "name each", outputs=["a", "b"])
refuse(
    "names twice", LogisticRegression(), t.TWO, "Two tensors would be called 'a'", "another name", outputs=["a", "a"]
)
