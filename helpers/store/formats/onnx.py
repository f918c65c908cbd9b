"""ONNX: a file, its bytes, or a model of the onnx package. It is opened freely: it is data and no code."""

import re
import shutil
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.runtime import Session, TensorSpec
from helpers.store.formats import Details, Format, is_of
from helpers.store.record import Signature, TensorInfo

FILE = "model.onnx"


def handles(model: Any) -> bool:
    if isinstance(model, bytes):
        return True
    if isinstance(model, (str, Path)):
        return Path(model).suffix == ".onnx"
    return is_of(model, "onnx")


def write(model: Any, folder: Path) -> Details:
    """The file, and where weights lie beside it, those under their own names."""
    target = folder / FILE
    if isinstance(model, (str, Path)):
        source = Path(model)
        if not source.is_file():
            raise UserError(f"There is no file {source}.", "check its name.")
        shutil.copyfile(source, target)
        for beside in source.parent.glob(f"{source.name}[._]data*"):  # how exporters call a second file
            shutil.copyfile(beside, folder / beside.name)
    else:
        target.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    Session(target)  # refuses what is no model, or lacks a part
    return {}


def needed_locale(folder: Path) -> str | None:
    """The locale of the system that the file needs to change the case of text; None if it does not."""
    content = (folder / FILE).read_bytes()
    if b"StringNormalizer" not in content or not re.search(rb"LOWER|UPPER", content):
        return None
    found = re.search(rb"locale\x22.([\w.-]+)", content)  # an attribute's name, and its value as a string
    return found[1].decode() if found else "en_US"


def read(folder: Path, details: Details, device: str) -> Session:
    return Session(folder / FILE, providers=[device])


def signatures(folder: Path) -> dict[str, Signature]:
    """What the file says of itself; rows can be put together if each tensor has an open first axis."""
    session = Session(folder / FILE)
    tensors = (*session.inputs, *session.outputs)
    open_first = all(spec.shape and isinstance(spec.shape[0], str) for spec in tensors)
    return {
        "__call__": Signature(
            inputs=tuple(map(_info, session.inputs)),
            outputs=tuple(map(_info, session.outputs)),
            batchable=open_first,
        )
    }


def _info(spec: TensorSpec) -> TensorInfo:
    return TensorInfo(spec.name, "any" if spec.dtype is None else str(spec.dtype), spec.shape)


FORMAT = Format("onnx", handles, write, read, runs_code=False, signatures=signatures)
