"""Keras: its own archive, opened in its safe mode, which refuses Python code inside."""

from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.store.formats import Details, Format, is_of

FILE = "model.keras"


def write(model: Any, folder: Path) -> Details:
    model.save(folder / FILE)
    return {}


def read(folder: Path, details: Details, device: str) -> Any:
    import keras

    try:
        return keras.saving.load_model(folder / FILE, safe_mode=True)
    except ValueError as error:
        if "safe_mode" not in str(error):
            raise
        raise UserError(
            "The Keras model holds Python code (a Lambda layer), which is not run.",
            "use layers that Keras brings, or export the model to ONNX.",
        ) from error


FORMAT = Format("keras", lambda model: is_of(model, "keras"), write, read, runs_code=False, needs=("keras",))
