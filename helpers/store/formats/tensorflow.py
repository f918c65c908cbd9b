"""TensorFlow: a SavedModel's folder, or a module that can be saved as one."""

import shutil
from pathlib import Path
from typing import Any

from helpers.store.formats import Details, Format, is_of

FOLDER = "saved_model"


def handles(model: Any) -> bool:
    if isinstance(model, (str, Path)):
        return (Path(model) / "saved_model.pb").is_file()
    return is_of(model, "tensorflow")


def write(model: Any, folder: Path) -> Details:
    if isinstance(model, (str, Path)):
        shutil.copytree(model, folder / FOLDER)
        return {}
    import tensorflow as tf

    tf.saved_model.save(model, str(folder / FOLDER), signatures=getattr(model, "signatures", None))
    return {}


def read(folder: Path, details: Details, device: str) -> Any:
    import tensorflow as tf

    kind, _, number = device.partition(":")
    with tf.device(f"/GPU:{number or 0}" if kind == "cuda" else "/CPU:0"):
        return tf.saved_model.load(str(folder / FOLDER))


# Its graph may read and write files: TensorFlow's own advice is to treat it as a program.
FORMAT = Format("tensorflow", handles, write, read, runs_code=True, needs=("tensorflow",))
