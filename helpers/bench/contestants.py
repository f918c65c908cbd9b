"""Who runs a model in ``bench runtime``: the framework, ONNX Runtime in its ways, and others that are installed.

Each contestant is made ready from the same model, and answers the same batch. One that
cannot be made ready on this machine is left out, and says why.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.installed import is_installed
from helpers.runtime import Options, Session, quantize

if TYPE_CHECKING:
    import torch

LIMIT = "bare session loop"
OURS = "Session"

Rows = NDArray[np.float32]
Runner = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """One model under test: as torch has it, as a file, and an example that calibrates it."""

    name: str
    model: "torch.nn.Module"
    path: Path
    example: Rows
    threads: int

    def rows(self, count: int) -> Rows:
        """A batch of that size out of the example."""
        return np.ascontiguousarray(np.resize(self.example, (count, *self.example.shape[1:])))


@dataclass
class Contestants:
    """Each by name: what makes it ready to answer a batch. ``absent`` says why others are not there."""

    ready: dict[str, Callable[[Rows], Runner]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def all_contestants(subject: Subject, without: frozenset[str] = frozenset()) -> Contestants:
    """Make each one ready; the limit and ours come first."""
    found = Contestants()
    for name, make in _entries(subject):
        if name in without:
            continue
        try:
            found.ready[name] = make()
        except Exception as error:  # of a compiler, a library, a processor that cannot: all say why
            found.absent[name] = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return found


def _entries(subject: Subject) -> Iterator[tuple[str, Callable[[], Callable[[Rows], Runner]]]]:
    folder, options = subject.path.parent, Options(threads=subject.threads)
    shared = Session(subject.path, options=options)  # so that nothing but the loop around it differs
    yield LIMIT, lambda: _bare_loop(shared)
    yield OURS, lambda: _session(shared)
    for level in ("none", "basic", "extended"):
        chosen = Options(threads=subject.threads, level=level)
        yield f"Session, {level}", lambda chosen=chosen: _session(Session(subject.path, options=chosen))  # type: ignore[misc]
    yield (
        "int8, dynamic",
        lambda: _session(Session(quantize(subject.path, folder / f"{subject.name}-dynamic.onnx"), options=options)),
    )
    yield (
        "int8, static",
        lambda: _session(
            Session(quantize(subject.path, folder / f"{subject.name}-static.onnx", [subject.example]), options=options)
        ),
    )
    yield "torch, eager", lambda: _torch(subject.model)
    yield "torch, compiled", lambda: _compiled(subject)
    yield "OpenVINO, float32", lambda: _openvino(subject, "f32")
    yield "OpenVINO, its default", lambda: _openvino(subject, None)


def _bare_loop(session: Session) -> Callable[[Rows], Runner]:
    """What ONNX Runtime takes by itself: nothing in Python can be faster."""
    run, names = session.runtime.run, [spec.name for spec in session.outputs]
    name = session.inputs[0].name

    def ready(rows: Rows) -> Runner:
        feeds = {name: rows}
        return lambda: run(names, feeds)[0]

    return ready


def _session(session: Session) -> Callable[[Rows], Runner]:
    return lambda rows: lambda: session(rows)


def _torch(model: Callable[..., Any]) -> Callable[[Rows], Runner]:
    import torch

    def ready(rows: Rows) -> Runner:
        tensor = torch.from_numpy(rows)

        def run() -> Any:
            with torch.inference_mode():
                return model(tensor)

        return run

    return ready


def _compiled(subject: Subject) -> Callable[[Rows], Runner]:
    import torch

    compiled = torch.compile(subject.model, dynamic=False)
    ready = _torch(compiled)
    ready(subject.rows(1))()  # whether there is a compiler shows when it is first called
    return ready


def _openvino(subject: Subject, precision: str | None) -> Callable[[Rows], Runner]:
    if not is_installed("openvino"):
        raise LookupError("not installed: pip install openvino")
    import openvino

    settings: dict[str, object] = {"INFERENCE_NUM_THREADS": subject.threads, "NUM_STREAMS": 1}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    request = openvino.Core().compile_model(str(subject.path), "CPU", settings).create_infer_request()

    def ready(rows: Rows) -> Runner:
        return lambda: request.infer([rows])[0]

    return ready
