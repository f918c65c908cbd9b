"""Weights of one byte in place of four: smaller, often faster, a little less exact."""

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from helpers.errors import UserError
from helpers.runtime.session import Session


def quantize(
    source: Path | str,
    target: Path | str,
    calibration: Iterable[NDArray[Any]] | None = None,
    per_channel: bool = False,
) -> Path:
    """Write a quantised copy of a model; return the file.

    Without ``calibration`` only the weights have one byte beforehand, and the ranges of
    what flows between the steps are found while it runs (dynamic quantisation). With it,
    batches like those that the service will see decide those ranges once (static, QDQ).

    >>> quantize("digits.onnx", "small.onnx", calibration=[images[:100]])  # doctest: +SKIP
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise UserError(f"{target} is the source itself.", "name another file.", 2)
    session = Session(source)  # says what is wrong with a file that is no model
    batches = None if calibration is None else _checked(session, calibration)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantize-") as folder, _quiet_log():
        made = Path(folder) / "made.onnx"
        _make(source, made, session.inputs[0].name, batches, per_channel)
        shutil.move(made, target)
    return target


def _make(source: Path, made: Path, input_name: str, batches: list[NDArray[Any]] | None, per_channel: bool) -> None:
    try:
        from onnxruntime import quantization as tools
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise UserError(
            f"Quantising needs the package {error.name}, which is not installed.", f"pip install {error.name}"
        ) from None

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(batches or [])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            batch = next(self.rest, None)
            return None if batch is None else {input_name: batch}

    # Shapes are inferred and batch normalisations folded first: without that, dynamic
    # quantisation of what torch exports fails.
    prepared = made.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    if batches is None:
        tools.quantize_dynamic(str(prepared), str(made), per_channel=per_channel)
    else:
        tools.quantize_static(str(prepared), str(made), Reader(), per_channel=per_channel)


def _checked(session: Session, calibration: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
    """The batches, each of which the model must take."""
    if len(session.inputs) != 1:
        raise UserError(
            f"The model has {len(session.inputs)} inputs; static quantisation is done here for one.",
            "leave calibration out, for dynamic quantisation.",
        )
    batches = list(calibration)
    if not batches:
        raise UserError(
            "The calibration set is empty, so no range can be found.",
            "pass a few batches of inputs like those that the service will see.",
        )
    for batch in batches:
        session.inputs[0].check(batch)
        session.inputs[0].check_finite(batch)
    return batches


@contextmanager
def _quiet_log() -> Iterator[None]:
    """The tools advise through the root logger to do what is done here already."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
