"""A model, loaded and ready to answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from helpers.errors import UserError
from helpers.runtime import providers as provider_names
from helpers.runtime.inputs import InputError, TensorSpec, check_axes_agree, spec_of

LEVEL_NAMES = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}


@dataclass(frozen=True)
class Options:
    """How a session runs.

    ``threads`` are those that work on one operator together; None is one for each core.
    ``spinning`` keeps them busy while they wait: a little faster for a session that has
    its cores to itself, and a plague for everything else on the machine.
    ``parallel_operators`` would run branches of a graph side by side; on a CPU it gains
    nothing (lesson 06 measures it) and may keep a core busy.
    """

    threads: int | None = None
    parallel_operators: int = 1
    spinning: bool = False
    arena: bool = True
    level: str = "all"
    finite_only: bool = False

    def for_runtime(self) -> onnxruntime.SessionOptions:
        """The same in ONNX Runtime's words."""
        if self.level not in LEVEL_NAMES:
            raise UserError(f"There is no level {self.level!r}.", f"choose from: {', '.join(LEVEL_NAMES)}.", 2)
        for name, number in (("threads", self.threads), ("parallel_operators", self.parallel_operators)):
            if number is not None and number < 1:
                raise UserError(f"{name} is {number}.", "it must be 1 or more.", 2)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVEL_NAMES[self.level])
        options.intra_op_num_threads = self.threads or 0
        options.inter_op_num_threads = self.parallel_operators
        if self.parallel_operators > 1:
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        options.add_session_config_entry("session.inter_op.allow_spinning", str(int(self.spinning)))
        options.enable_cpu_mem_arena = self.arena
        options.log_severity_level = 4  # what goes wrong is raised, once, and not logged as well
        return options


class Session:
    """A model that answers arrays with arrays.

    It may be called from several threads at once. Inputs are checked, and a wrong one
    is an InputError that says what was expected.

    >>> session = Session("digits.onnx", options=Options(threads=1))  # doctest: +SKIP
    >>> session.inputs[0].shape                                       # doctest: +SKIP
    ('batch', 1, 8, 8)
    """

    def __init__(
        self,
        model: Path | str | bytes,
        providers: Sequence[str] | None = None,
        options: Options | None = None,
    ) -> None:
        self.model = model
        self.options = options or Options()
        providers = (provider_names.default_device(),) if providers is None else providers
        wanted = provider_names.resolve(providers)
        self.runtime = open_model(model, self.options.for_runtime(), provider_names.with_options(providers))
        self.runtime.disable_fallback()  # a failing provider raises, and is not replaced half-way
        provider_names.expect_honoured(wanted, self.runtime.get_providers())
        self.providers = [provider_names.short_name(name) for name in wanted]
        self.inputs: tuple[TensorSpec, ...] = tuple(map(spec_of, self.runtime.get_inputs()))
        self.outputs: tuple[TensorSpec, ...] = tuple(map(spec_of, self.runtime.get_outputs()))
        self._output_names = [spec.name for spec in self.outputs]

    def __call__(self, *values: NDArray[Any]) -> Any:
        """The inputs in order; the output, or a tuple of them if there are several."""
        answers = self.runtime.run(self._output_names, self.feeds(values))
        return answers[0] if len(answers) == 1 else tuple(answers)

    def run(self, named: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The same by name."""
        unknown = named.keys() - {spec.name for spec in self.inputs}
        if unknown:
            raise InputError(sorted(unknown)[0], f"the inputs {self._input_names()}", "not among them")
        values = [named.get(spec.name) for spec in self.inputs]
        answers = self.runtime.run(self._output_names, self.feeds(values))
        return dict(zip(self._output_names, answers, strict=True))

    def feeds(self, values: Sequence[NDArray[Any] | None]) -> dict[str, NDArray[Any]]:
        """The values by name, each of them checked."""
        if len(values) != len(self.inputs):
            raise InputError("", f"{len(self.inputs)} ({self._input_names()})", f"{len(values)} inputs")
        checked: dict[str, NDArray[Any]] = {}
        for spec, value in zip(self.inputs, values, strict=True):
            if value is None:
                raise spec.refusal("missing")
            spec.check(value)
            if self.options.finite_only:
                spec.check_finite(value)
            checked[spec.name] = value
        if len(checked) > 1:
            check_axes_agree(self.inputs, list(checked.values()))
        return checked

    def warm_up(self, batch_sizes: Iterable[int] = (1,)) -> None:
        """Run once for each size, so that no caller pays for the first time.

        Dynamic axes other than the first are taken as 1.
        """
        for size in batch_sizes:
            self(*(self._blank(spec, size) for spec in self.inputs))

    def bind(self, *values: NDArray[Any]) -> "Binding":
        """Fix the inputs' memory, for calling again and again with what is written into it."""
        return Binding(self, values)

    def _blank(self, spec: TensorSpec, size: int) -> NDArray[Any]:
        if spec.dtype is None:
            raise UserError(f"The input {spec.name!r} is no tensor.", "call the session with a real one.")
        shape = [axis if isinstance(axis, int) else 1 for axis in spec.shape]
        if spec.shape and isinstance(spec.shape[0], str):
            shape[0] = size
        return np.full(shape, "", object) if spec.dtype == object else np.zeros(shape, spec.dtype)

    def _input_names(self) -> str:
        return ", ".join(spec.name for spec in self.inputs)


class Binding:
    """A session with the memory of its inputs and outputs fixed.

    On a GPU this keeps data where it is. On a CPU it saves nothing worth having, which
    lesson 06 measures.
    """

    def __init__(self, session: Session, values: Sequence[NDArray[Any]]) -> None:
        self.session = session
        self._kept = session.feeds(values)
        self._binding = session.runtime.io_binding()
        for name, value in self._kept.items():
            if not value.flags.c_contiguous:  # a copy would not follow what is written into the original
                raise InputError(name, "memory in one piece (numpy.ascontiguousarray)", "a view with gaps")
            self._binding.bind_cpu_input(name, value)
        for spec in session.outputs:
            self._binding.bind_output(spec.name)

    def __call__(self) -> Any:
        self.session.runtime.run_with_iobinding(self._binding)
        answers = self._binding.copy_outputs_to_cpu()
        return answers[0] if len(answers) == 1 else tuple(answers)


def open_model(
    model: Path | str | bytes,
    options: onnxruntime.SessionOptions,
    providers: Sequence[str | tuple[str, dict[str, str]]],
) -> onnxruntime.InferenceSession:
    """ONNX Runtime's session, or one sentence about why there is none."""
    name = "the model" if isinstance(model, bytes) else str(model)
    try:
        source = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise explain(name, str(error)) from error


def explain(name: str, said: str) -> UserError:
    """Name the cause of a model that does not load."""
    if re.search("external (data|initializer)", said, re.IGNORECASE):
        missing = re.findall(r'"([^"]+)"', said)
        file = Path(missing[-1]).name if missing else "a second file"
        return UserError(
            f"{name} keeps its weights in {file}, which is missing or damaged.", "copy both files together."
        )
    locale = re.search(r"construct locale with name:([\w.-]+)", said)
    if locale:
        return UserError(
            f"{name} changes the case of text with the locale {locale[1]}, which this system does not have.",
            f"install it (on Debian: apt-get install locales, then locale-gen {locale[1]}), or export the model again "
            "where it is to run.",
        )
    if "doesn't exist" in said or "NO_SUCHFILE" in said:
        return UserError(f"There is no file {name}.", "check its name.")
    if re.search(r"protobuf|No graph was found|does not have a graph|ModelProto", said, re.IGNORECASE):
        return UserError(f"{name} is not an ONNX model, or it was cut short.", "export or copy it again.")
    if "opset" in said.lower() or "ir version" in said.lower():
        return UserError(f"{name} is newer than this ONNX Runtime: {said.splitlines()[0]}", "export for a lower opset.")
    return UserError(f"{name} cannot be loaded: {said.splitlines()[0][:300]}", "check it with onnx.checker.")
