"""scikit-learn, XGBoost and LightGBM on DataFrames with words and numbers, tables of words, and texts."""

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from tests.convert.cases import CLASSES, NUMBERS, TABLE, Case
from tests.convert.cases.tables import draw

CASES: list[Case] = []

g = draw(31)
FRAME = pd.DataFrame(
    {
        "age": g.integers(18, 80, 90),
        "income": g.normal(3e4, 1e4, 90),
        "city": g.choice(["Oslo", "Rome", "Zürich", "Łódź"], 90),
        "member": g.choice(["yes", "no"], 90),
        "score": g.normal(size=90).astype(np.float32),
    }
)
PLACES = ["city", "member"]
COUNTS = ["age", "income", "score"]
OLD = ((FRAME.age > 45) ^ (FRAME.city == "Rome")).astype(int).to_numpy()
PRICE = (FRAME.age * 2.0 + FRAME.income / 1000 + (FRAME.city == "Oslo") * 30).to_numpy()
RANDOM: dict[str, Any] = {"random_state": 0}


def unseen(frame: pd.DataFrame, missing: bool) -> list[pd.DataFrame]:
    """Columns mixed anew, cities that were not there in training, numbers far away, and batches of 1, 3 and 7."""
    generator = draw(77)
    mixed = pd.DataFrame({name: generator.permutation(frame[name])[:40] for name in frame}).astype(frame.dtypes)
    batches = [mixed, mixed[:1], mixed[1:4], mixed[4:11]]
    if "city" in frame and frame.city.dtype != "category":
        batches.append(mixed[:6].assign(city=["Paris", "", "oslo", "Zurich", "Rome ", "Oslo"]))
    if "income" in frame:
        batches.append(mixed[:4].assign(income=[0.0, -1e5, 1e5, 1e-3]))
        if missing:
            batches.append(mixed[:6].assign(income=np.nan))
    return batches


def add(
    name: str, model: Any, target: Any, oracle: Any = NUMBERS, frame: pd.DataFrame = FRAME, missing: bool = False
) -> None:
    held_out = lambda _: unseen(frame, missing)  # noqa: E731
    CASES.append(Case(f"frame {name}", lambda: model.fit(frame, target), frame[:5], oracle, held_out))


def refuse(name: str, model: Any, frame: pd.DataFrame, sentence: str, remedy: str) -> None:
    CASES.append(Case(f"frame {name}", lambda: model.fit(frame, PRICE), frame[:5], refused=(sentence, remedy)))


def coded() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def columns(words: Any = None, numbers: Any = None, **options: Any) -> ColumnTransformer:
    words = words or OneHotEncoder(handle_unknown="ignore")
    steps = [("numbers", numbers or StandardScaler(), COUNTS), ("words", words, PLACES)]
    return ColumnTransformer(steps, **options)


only_words = [("words", OneHotEncoder(handle_unknown="ignore"), PLACES)]
add("logistic regression", make_pipeline(columns(), LogisticRegression()), OLD, CLASSES)
add(
    "forest of words",
    make_pipeline(columns(), RandomForestClassifier(8, **RANDOM)),
    np.array(["no", "yes"])[OLD],
    CLASSES,
)
filled = make_pipeline(SimpleImputer(), StandardScaler())
boosted = GradientBoostingRegressor(n_estimators=8, **RANDOM)
add("imputer and boosting", make_pipeline(columns(numbers=filled), boosted), PRICE, missing=True)
add("other columns pass", make_pipeline(ColumnTransformer(only_words, remainder="passthrough"), Ridge()), PRICE)
histogram = HistGradientBoostingRegressor(max_iter=8, min_samples_leaf=5, categorical_features=[3, 4], **RANDOM)
light = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=5, verbose=-1, n_jobs=1)
add("LightGBM", make_pipeline(columns(), light), PRICE)
add("transformer alone", columns(), None, TABLE)
search = GridSearchCV(make_pipeline(columns(), LogisticRegression()), {"logisticregression__C": [0.5, 2]}, cv=2)
add("numbers only", make_pipeline(StandardScaler(), LogisticRegression()), OLD, CLASSES, FRAME[COUNTS])
add("truths", make_pipeline(columns(), Ridge()), PRICE, frame=FRAME.assign(paid=FRAME.age > 40))
add(
    "another order", make_pipeline(columns(), Ridge()), PRICE, frame=FRAME[["score", "member", "age", "city", "income"]]
)
add("XGBoost alone", xgboost.XGBRegressor(n_estimators=5, n_jobs=1), PRICE, frame=FRAME[COUNTS], missing=True)
add("LightGBM alone", light.__class__(**light.get_params()), PRICE, frame=FRAME[COUNTS], missing=True)

logarithm = ColumnTransformer([("log", FunctionTransformer(np.log1p), ["age"]), *only_words])
refuse("a function", make_pipeline(logarithm, Ridge()), FRAME, "The step FunctionTransformer", "move the step out")
rare = OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")
refuse(
    "rare words together",
    make_pipeline(columns(rare), Ridge()),
    FRAME,
    "answers new text, and its file does not.*Unknown",
    "prepare the text",
)
dates = FRAME[COUNTS].assign(day=pd.Timestamp("2026-01-01"))
price = make_pipeline(ColumnTransformer([("numbers", StandardScaler(), COUNTS)]), Ridge())
refuse("dates", price, dates, "The column 'day' of the example is of the type datetime", "turn dates into numbers")

WORDS = np.array(
    [["red", "small"], ["blue", "large"], ["red", "large"], ["green", "small"], ["Blue", "medium"], ["red", "é"]] * 6,
    dtype=object,
)
NEW_WORDS = np.array([["pink", "small"], ["RED", "xl"], ["", "large"], ["red ", "e"], ["red", "é"]], dtype=object)


def add_words(name: str, model: Any, target: Any = None, oracle: Any = TABLE) -> None:
    batches = [NEW_WORDS, WORDS[:1], WORDS[1:4], WORDS[2:9]]
    CASES.append(Case(f"words {name}", lambda: model.fit(WORDS, target), WORDS[:4], oracle, lambda _: batches))


classes = np.arange(36) % 3
add_words("one column each", OneHotEncoder(handle_unknown="ignore"))
add_words("codes", coded())
add_words(
    "one column each and lines",
    make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
    classes,
    CLASSES,
)
add_words("codes and forest", make_pipeline(coded(), RandomForestClassifier(5, **RANDOM)), classes, CLASSES)

TEXTS = ["the cat sat on the mat", "a dog barks; dogs bark", "naïve café déjà vu", "cats and dogs, dogs and cats"] * 3
NEW_TEXTS = ["the dog sat", "café naïve and cats", "ÉCLAIR éclair", "dog,cat;mat", "  the   cat  ", "", "cat cat dog"]


def text(*texts: str) -> Any:
    return np.array(texts, dtype=object)


def add_texts(name: str, model: Any, target: Any = None, oracle: Any = TABLE) -> None:
    batches = [text(*NEW_TEXTS), text("dogs"), text(*NEW_TEXTS[:3])]
    CASES.append(Case(f"texts {name}", lambda: model.fit(TEXTS, target), text(*TEXTS[:4]), oracle, lambda _: batches))


def refuse_texts(name: str, model: Any, sentence: str, remedy: str) -> None:
    CASES.append(Case(f"texts {name}", lambda: model.fit(TEXTS), text(*TEXTS[:4]), refused=(sentence, remedy)))


add_texts("counts", CountVectorizer(lowercase=False))
add_texts("weights, in small letters", TfidfVectorizer())
add_texts(
    "weights and lines",
    make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression()),
    np.arange(12) % 2,
    CLASSES,
)
add_texts("stop words", CountVectorizer(stop_words=["the", "and"], lowercase=False))
add_texts("pairs of words", CountVectorizer(ngram_range=(1, 2), lowercase=False))
only_words_supported = "parameter or the step that is named"
refuse_texts(
    "without accents", TfidfVectorizer(strip_accents="unicode"), "only strip_accents=None", only_words_supported
)
refuse_texts(
    "characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)), "only tokenizer='word'", only_words_supported
)
refuse_texts(
    "a tokenizer in Python",
    CountVectorizer(tokenizer=str.split, token_pattern=None),
    "Custom tokenizer",
    only_words_supported,
)
