"""LightGBM: its own text, which is data and no code; it comes back as a Booster."""

from pathlib import Path
from typing import Any

from helpers.store.formats import Details, Format, is_of

FILE = "model.txt"


def write(model: Any, folder: Path) -> Details:
    """A model in scikit-learn's manner holds a Booster; its predictions are probabilities."""
    getattr(model, "booster_", model).save_model(folder / FILE)
    return {}


def read(folder: Path, details: Details, device: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=str(folder / FILE))


FORMAT = Format("lightgbm", lambda model: is_of(model, "lightgbm"), write, read, runs_code=False, needs=("lightgbm",))
