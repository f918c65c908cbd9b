"""What a model can run on, by short names; asked for and present, or refused."""

from collections.abc import Sequence

import onnxruntime

from helpers.errors import UserError

# Where each comes from, for the remedy. The plain package brings the CPU alone.
SOURCES = {
    "cpu": "pip install onnxruntime",
    "cuda": "pip install onnxruntime-gpu (in place of onnxruntime), with an NVIDIA driver",
    "tensorrt": "pip install onnxruntime-gpu tensorrt, with an NVIDIA driver",
    "openvino": "pip install onnxruntime-openvino (in place of onnxruntime)",
    "coreml": "pip install onnxruntime, on macOS",
    "dml": "pip install onnxruntime-directml (in place of onnxruntime), on Windows",
}
SPELLINGS = {"tensorrt": "Tensorrt", "openvino": "OpenVINO", "coreml": "CoreML"}


def available() -> list[str]:
    """The providers that this ONNX Runtime was built with, by short name.

    ``azure``, which the plain package lists too, calls a cloud and runs no step of an ordinary graph.
    """
    return [short_name(name) for name in onnxruntime.get_available_providers()]


def short_name(name: str) -> str:
    """``cpu`` for ``CPUExecutionProvider``."""
    return name.removesuffix("ExecutionProvider").lower()


def long_name(name: str) -> str:
    """ONNX Runtime's own name; its own names are accepted as they are."""
    for known in onnxruntime.get_all_providers():
        if name in (known, short_name(known)):
            return str(known)
    if name in SOURCES:
        return f"{SPELLINGS.get(name, name.upper())}ExecutionProvider"
    raise UserError(f"There is no provider {name!r}.", f"choose from: {', '.join(available())}.", 2)


def resolve(wanted: Sequence[str]) -> list[str]:
    """The long names of what is wanted, all of which this ONNX Runtime must have."""
    if not wanted:
        raise UserError("No provider was named.", f"choose from: {', '.join(available())}.", 2)
    present = onnxruntime.get_available_providers()
    names = [long_name(name) for name in wanted]
    for name in names:
        if name not in present:
            short = short_name(name)
            raise UserError(
                f"This ONNX Runtime has no {short} provider; it has: {', '.join(available())}.",
                SOURCES.get(short, "install the build of ONNX Runtime that brings it"),
            )
    return names


def expect_honoured(wanted: list[str], running: list[str]) -> None:
    """Refuse a session that runs on less than was asked for.

    A provider that cannot start (no driver, no device) is left out by ONNX Runtime with
    a line in a log, and the model quietly runs on the CPU, many times slower.
    """
    missing = [short_name(name) for name in wanted if name not in running]
    if missing:
        raise UserError(
            f"The {' and '.join(missing)} provider is installed and could not be started; "
            f"the session would run on: {', '.join(map(short_name, running))}.",
            "see python3 -m helpers doctor, or ask for cpu.",
        )
