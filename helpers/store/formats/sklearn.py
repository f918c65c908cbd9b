"""scikit-learn: estimators and pipelines, pickled by joblib."""

from pathlib import Path
from typing import Any

from helpers.store.formats import Details, Format, is_of

FILE = "model.joblib"


def write(model: Any, folder: Path) -> Details:
    import joblib

    joblib.dump(model, folder / FILE)
    return {"class": f"{type(model).__module__}.{type(model).__qualname__}"}


def read(folder: Path, details: Details, device: str) -> Any:
    import joblib

    return joblib.load(folder / FILE)


FORMAT = Format(
    "sklearn", lambda model: is_of(model, "sklearn"), write, read, runs_code=True, needs=("sklearn", "joblib")
)
