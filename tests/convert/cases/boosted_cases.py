"""XGBoost and LightGBM: every objective and its link, kinds of boosting, categories and missing numbers."""

from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.convert.cases import CLASSES, NUMBERS, Answers, Case
from tests.convert.cases import tables as t

CASES: list[Case] = []
X = t.NUMBERS
SHARE = t.AMOUNTS / t.AMOUNTS.max()
TREES: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1, "random_state": 0}
LEAVES: dict[str, Any] = {"n_estimators": 6, "num_leaves": 7, "min_child_samples": 4, "n_jobs": 1, "verbose": -1}
CODES: dict[str, Any] = {"enable_categorical": True, "feature_types": ["c", "q", "c", "q"], "tree_method": "hist"}


def add(name: str, make: Any, oracle: Any, table: Any = X, missing: bool = True) -> None:
    CASES.append(Case(name, make, table[:5], oracle, lambda model: t.held_out(table, model, missing)))


def xgb(
    name: str, target: Any, table: Any = X, kind: Any = xgboost.XGBRegressor, missing: bool = True, **more: Any
) -> None:
    oracle = CLASSES if hasattr(kind, "predict_proba") else NUMBERS
    add(f"xgboost {name}", lambda: kind(**TREES | more).fit(table, target), oracle, table, missing)


def lgb(
    name: str, target: Any, table: Any = X, kind: Any = lightgbm.LGBMRegressor, categories: Any = "auto", **more: Any
) -> None:
    oracle = CLASSES if hasattr(kind, "predict_proba") else NUMBERS
    fit = lambda: kind(**LEAVES | more).fit(table, target, categorical_feature=categories)  # noqa: E731
    add(f"lightgbm {name}", fit, oracle, table)


XGBC, LGBC = xgboost.XGBClassifier, lightgbm.LGBMClassifier
xgb("squared error", t.TARGET * 100 + 5000)
xgb("absolute error", t.TARGET, objective="reg:absoluteerror")
xgb("logistic regression", SHARE, objective="reg:logistic", base_score=0.2)
xgb("Poisson", t.COUNTS, objective="count:poisson", base_score=3.0)
xgb("gamma", t.AMOUNTS, objective="reg:gamma")
xgb("Tweedie", t.AMOUNTS, objective="reg:tweedie")
xgb("three quantiles", t.TARGET, objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9])
xgb("Cox", np.where(t.TWO, t.AMOUNTS, -t.AMOUNTS), objective="survival:cox")
xgb("two targets", t.TWO_TARGETS)
xgb("two targets in one tree", t.TWO_TARGETS, multi_strategy="multi_output_tree", tree_method="hist")
xgb("dart", t.TARGET, booster="dart", rate_drop=0.4)
xgb("linear", t.TARGET, booster="gblinear", missing=False)
xgb("trained with NaN", t.TARGET, t.MISSING)
xgb("categories", t.BY_CATEGORY, t.CATEGORIES, missing=False, **CODES)
xgb("forest", t.TARGET + 1000, kind=xgboost.XGBRFRegressor)
xgb("two classes", t.TWO, kind=XGBC, base_score=0.1)
xgb("three classes", t.THREE, kind=XGBC)
xgb("raw scores", t.TWO, kind=XGBC, objective="binary:logitraw")
xgb("hinge", t.TWO, kind=XGBC, objective="binary:hinge")
xgb("three truths", t.THREE_TRUTHS, kind=XGBC)
xgb("forest of two classes", t.TWO, kind=xgboost.XGBRFClassifier)
GAPS = np.nan_to_num(t.MISSING, nan=-999.0)
gaps = [np.nan_to_num(rows, nan=-999.0) for rows in t.held_out(t.MISSING, missing=True)]
without = xgboost.XGBRegressor(**TREES, missing=-999.0)
CASES.append(Case("xgboost -999 for missing", lambda: without.fit(GAPS, t.TARGET), GAPS[:5], NUMBERS, lambda _: gaps))
for objective in ("rank:pairwise", "rank:ndcg"):
    ranker = xgboost.XGBRanker(**TREES, objective=objective)
    add(f"xgboost {objective}", lambda ranker=ranker: ranker.fit(X, t.RELEVANCE, qid=t.QUERIES), NUMBERS)


def xgb_booster(name: str, target: Any, oracle: Any = None, cut: Any = None, **settings: Any) -> None:
    def make() -> Any:
        booster = xgboost.train({"max_depth": 3, "nthread": 1, **settings}, xgboost.DMatrix(X, target), 6)
        return cut(booster) if cut else booster

    add(f"xgboost booster, {name}", make, oracle or by_booster)


def by_booster(model: Any, rows: Any) -> Answers:
    return {"output": model.predict(xgboost.DMatrix(rows) if isinstance(model, xgboost.Booster) else rows)}


def chances(model: Any, rows: Any) -> Answers:
    """A booster of two classes answers with the chance of the second, one of more with a chance for each."""
    (given,) = by_booster(model, rows).values()
    both = given if given.ndim == 2 else np.stack([1 - given, given], axis=1)
    return {"label": both.argmax(axis=1), "probabilities": both}


def best_class(model: Any, rows: Any) -> Answers:
    (given,) = by_booster(model, rows).values()
    return {"label": given.astype(int)}


xgb_booster("logistic", t.TWO, chances, objective="binary:logistic")
xgb_booster("raw scores", t.TWO, objective="binary:logitraw")
xgb_booster("hinge", t.TWO, objective="binary:hinge")
xgb_booster("gamma", t.AMOUNTS, objective="reg:gamma")
xgb_booster("softprob", t.THREE, chances, objective="multi:softprob", num_class=3)
xgb_booster("softmax", t.THREE, best_class, objective="multi:softmax", num_class=3)
xgb_booster("some of its trees", t.TARGET, cut=lambda booster: booster[2:5])

for objective, target in {
    "regression_l1": t.TARGET,
    "huber": t.TARGET,
    "poisson": t.COUNTS,
    "quantile": t.TARGET,
    "mape": t.AMOUNTS + 1,
    "gamma": t.AMOUNTS,
    "tweedie": t.AMOUNTS,
    "cross_entropy": SHARE,
    "cross_entropy_lambda": SHARE,
}.items():
    lgb(objective, target, objective=objective)
lgb("roots", t.TARGET * 10, reg_sqrt=True)
lgb("forest", t.TARGET, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7)
lgb("forest of three classes", t.THREE, kind=LGBC, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7)
lgb("dart", t.TARGET, boosting_type="dart", drop_rate=0.5)
lgb("zeros for missing", t.TARGET, t.ZEROS, zero_as_missing=True)
lgb("missing for zeros", t.TARGET, t.MISSING, use_missing=False)
lgb("trained with NaN", t.TARGET, t.MISSING)
lgb("many zeros", t.TARGET, t.ZEROS)
lgb("categories", t.BY_CATEGORY, t.CATEGORIES, categories=[0, 2], min_data_per_group=1, cat_smooth=1)
lgb("two classes", t.YES_NO, kind=LGBC)
lgb("steep sigmoid", t.TWO, kind=LGBC, objective="binary", sigmoid=2.0)
lgb("three classes of words", t.NAMES, kind=LGBC)
lgb("one against the rest", t.THREE, kind=LGBC, objective="multiclassova")
sizes = [10] * 8
for objective in ("lambdarank", "rank_xendcg"):
    ranks = lightgbm.LGBMRanker(**LEAVES, objective=objective)
    add(f"lightgbm {objective}", lambda ranks=ranks: ranks.fit(X, t.RELEVANCE, group=sizes), NUMBERS)


def lgb_booster(name: str, target: Any, oracle: Any, **settings: Any) -> None:
    settings |= {"num_leaves": 7, "min_data_in_leaf": 4, "num_threads": 1, "verbose": -1}
    add(f"lightgbm booster, {name}", lambda: lightgbm.train(settings, lightgbm.Dataset(X, target), 6), oracle)


lgb_booster("binary", t.TWO, chances, objective="binary", sigmoid=0.5)
lgb_booster("multiclass", t.THREE, chances, objective="multiclass", num_class=3)
lgb_booster("Poisson", t.COUNTS, by_booster, objective="poisson")
scaled = make_pipeline(StandardScaler(), xgboost.XGBRegressor(**TREES, objective="count:poisson"))
add("xgboost in a pipeline", lambda: scaled.fit(X, t.COUNTS), NUMBERS)


def refuse(name: str, model: Any, target: Any, sentence: str, remedy: str) -> None:
    CASES.append(Case(name, lambda: model.fit(X, target), X[:5], refused=(sentence, remedy)))


def squared(target: Any, predicted: Any) -> tuple[Any, Any]:
    return predicted - target, np.ones_like(predicted)


refuse(
    "lightgbm own objective",
    lightgbm.LGBMRegressor(**LEAVES, objective=squared),
    t.TARGET,
    "objective of your own",
    "booster_",
)
