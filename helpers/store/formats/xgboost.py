"""XGBoost: its own binary JSON, which is data and no code."""

from pathlib import Path
from typing import Any

from helpers.store.formats import Details, Format, is_of

FILE = "model.ubj"
CLASSES = ("Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")


def write(model: Any, folder: Path) -> Details:
    model.save_model(folder / FILE)
    nearest = next(kind.__name__ for kind in type(model).__mro__ if kind.__name__ in CLASSES)
    return {"class": nearest}


def read(folder: Path, details: Details, device: str) -> Any:
    import xgboost

    name = details.get("class", "Booster")
    model = getattr(xgboost, name if name in CLASSES else "Booster")()
    model.load_model(folder / FILE)
    return model


FORMAT = Format("xgboost", lambda model: is_of(model, "xgboost"), write, read, runs_code=False, needs=("xgboost",))
