"""A model that can be asked: checked inputs in, named answers out, through its own lane.

Everything that asks (a protocol, a notebook, another model) asks here, with named arrays;
a request that could not stand alone is refused before it meets another.
"""

import math
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from helpers.engine.batch_size import BatchSize
from helpers.engine.lane import Lane
from helpers.engine.scheduler import Scheduler
from helpers.runtime import InputError, Session, TensorSpec
from helpers.wire.errors import EngineError, invalid

Named = dict[str, NDArray[Any]]
Arrays = Sequence[NDArray[Any]]


class Servable:
    """One version of one model, ready to answer."""

    def __init__(
        self,
        name: str,
        version: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        run: Callable[[Arrays], tuple[NDArray[Any], ...]],
        largest_batch: int = 32,
        most_rows: int = 1024,
        clock: Callable[[], float] = time.monotonic,
        finite_only: bool = False,
    ) -> None:
        self.name = name
        self.version = version
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.finite_only = finite_only
        self.missing = frozenset(spec.name for spec in self.inputs if spec.takes_missing)
        self.classes: Sequence[Any] = ()  # what its numbers stand for, if its record says so
        self.batched = largest_batch > 1 and all(_is_open(spec) for spec in (*inputs, *outputs))
        size = BatchSize(largest_batch if self.batched else 1)
        self.lane = Lane(run, Scheduler(clock, size, most_rows), name)
        self._output_names = [spec.name for spec in self.outputs]
        self._by_name = {spec.name: spec for spec in self.inputs}
        # Where all axes but the first are fixed, requests that pass the check are of one kind; as are those
        # that run one by one in any case.
        open_sizes = any(isinstance(size, str) for spec in self.inputs for size in spec.shape[1:])
        self._one_kind = not (self.batched and open_sizes)

    @classmethod
    def of_session(
        cls, name: str, version: str, session: Session, largest_batch: int = 32, missing: Collection[str] = ()
    ) -> "Servable":
        """An ONNX model. Whether it takes NaN and infinite numbers is the session's option.

        ``missing`` names the inputs in which NaN stands for a missing value.
        """
        names, run = [spec.name for spec in session.outputs], session.runtime.run
        input_names = [spec.name for spec in session.inputs]

        def answer(arrays: Arrays) -> tuple[NDArray[Any], ...]:
            try:
                return tuple(run(names, dict(zip(input_names, arrays, strict=True))))
            except InvalidArgument:  # such as an index beyond a table: the values are at fault, and not the model
                raise EngineError("invalid_input", "the model has no answer to these values") from None

        return cls(
            name,
            version,
            [replace(spec, takes_missing=spec.name in missing) for spec in session.inputs],
            session.outputs,
            answer,
            largest_batch,
            finite_only=session.options.finite_only,
        )

    async def infer(
        self,
        inputs: Mapping[str, NDArray[Any]],
        deadline: float = math.inf,
        has_left: Callable[[], bool] | None = None,
    ) -> Named:
        """The answer to one request; ``deadline`` is on the lane's clock."""
        arrays = self.checked(inputs)
        rows = len(arrays[0]) if self.batched else 1
        answers = await self.lane.ask(arrays, rows, self._kind(arrays), deadline, has_left)
        return dict(zip(self._output_names, answers, strict=True))

    def checked(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """The arrays in the model's order, each as the model takes it."""
        arrays: list[NDArray[Any]] = []
        for spec in self.inputs:
            array = inputs.get(spec.name)
            if array is None:
                raise invalid(spec.name, "missing", str(spec))
            try:
                spec.check(array)
                if self.finite_only:
                    spec.check_finite(array)
            except InputError as error:
                raise invalid(spec.name, error.given, error.expected) from None
            arrays.append(array)
        if len(inputs) != len(arrays):
            unknown = next(name for name in inputs if name not in self._by_name)
            raise invalid(unknown[:80], "not an input of the model", f"the inputs {', '.join(self._by_name)}")
        if len(arrays) > 1 and self.batched and len({len(array) for array in arrays}) > 1:
            counts = ", ".join(f"{spec.name} {len(array)}" for spec, array in zip(self.inputs, arrays, strict=True))
            raise invalid(self.inputs[0].name, f"of another number of rows ({counts})", "as many rows in each input")
        return arrays

    async def warm_up(self) -> None:
        """Answer once for each size of a batch's first doublings, so that no caller pays for the first time."""
        if any(spec.dtype is None or spec.dtype.kind == "O" for spec in self.inputs):
            return
        for rows in (1, 1, 2, 4) if self.batched else (1, 1):
            blank = {spec.name: np.zeros(_shape(spec, rows), spec.dtype) for spec in self.inputs}
            await self.infer(blank)
        self.lane.scheduler.size.forget_batches()

    async def drain(self) -> None:
        """Answer those who are here already, and then be gone."""
        await self.lane.drain()

    def close(self) -> None:
        self.lane.close()

    def _kind(self, arrays: Arrays) -> Hashable:
        """What may go together in a batch."""
        return None if self._one_kind else tuple(array.shape[1:] for array in arrays)


def _is_open(spec: TensorSpec) -> bool:
    """True if the first axis may have any size."""
    return spec.dtype is not None and bool(spec.shape) and isinstance(spec.shape[0], str)


def _shape(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    fixed = [size if isinstance(size, int) else 1 for size in spec.shape]
    if _is_open(spec):
        fixed[0] = rows
    return tuple(fixed)
