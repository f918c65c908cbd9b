"""What a model can run on, by short names; asked for and present, or refused.

A device is a provider, with the number of a GPU if there are several: ``cpu``, ``cuda``, ``cuda:1``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

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
NUMBERED = {"cuda", "tensorrt", "rocm", "migraphx", "dml"}  # providers whose option device_id chooses one of several
GPU_FILES = "nvidia[0-9]*"  # in /dev, one for each GPU that NVIDIA's driver has found
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


_default_device = "cpu"


def default_device() -> str:
    """What a session runs on if its maker names nothing."""
    return _default_device


def use_device(device: str) -> None:
    """Let each session of this process that names no provider run on this device, or refuse one that is not here."""
    global _default_device
    name, number = split_device(device)
    if short_name(name) not in devices():
        raise UserError(
            f"This machine has no device {device!r} for ONNX Runtime; it has: {', '.join(devices())}.",
            SOURCES.get(short_name(name), "choose one of those; python3 -m helpers doctor shows what is here"),
            2,
        )
    count = _gpus() if name in ("cuda", "tensorrt") else None
    if number is not None and count is not None and number >= count:
        there = ", ".join(f"{name}:{each}" for each in range(count)) or "none"
        raise UserError(f"This machine has no device {device!r}; of {name} it has: {there}.", "name one of those.", 2)
    _default_device = device


def devices() -> list[str]:
    """What a model can run on here; ``azure`` is a cloud's service and no device."""
    return [name for name in available() if name != "azure"]


def split_device(device: str) -> tuple[str, int | None]:
    """``("cuda", 1)`` for ``cuda:1``."""
    name, colon, number = device.partition(":")
    if not colon:
        return device, None
    if not re.fullmatch(r"[0-9]{1,3}", number) or short_name(name) not in NUMBERED:
        raise UserError(
            f"There is no device {device!r}.",
            f"write cuda:0 for the first GPU; {name} has no numbers." if number.isdigit() else "write cuda:0, or cpu.",
            2,
        )
    return name, int(number)


def with_options(wanted: Sequence[str]) -> list[str | tuple[str, dict[str, str]]]:
    """The providers as a session takes them: a GPU's number is an option of its provider."""
    found: list[str | tuple[str, dict[str, str]]] = []
    for device in wanted:
        name, number = split_device(device)
        long = long_name(name)
        found.append(long if number is None else (long, {"device_id": str(number)}))
    return found


def _gpus() -> int | None:
    """How many GPUs the driver shows, where it shows them as files."""
    dev = Path("/dev")
    return len(list(dev.glob(GPU_FILES))) or None if dev.is_dir() else None


def resolve(wanted: Sequence[str]) -> list[str]:
    """The long names of what is wanted, all of which this ONNX Runtime must have."""
    if not wanted:
        raise UserError("No provider was named.", f"choose from: {', '.join(available())}.", 2)
    present = onnxruntime.get_available_providers()
    names = [long_name(split_device(name)[0]) for name in wanted]
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
