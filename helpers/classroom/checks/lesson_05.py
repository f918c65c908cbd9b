"""Lesson 05, Quantisation: five tasks about bytes and budgets.

The networks here are built from random numbers as ONNX files, so that no framework is
loaded. What is right is measured from files, by ONNX Runtime itself, and never timed.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, NotYet, task
from helpers.classroom.checks.model_files import first_line, folder_of_its_own

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MOST_IMAGES = 32


@task(
    "scale_and_zero",
    title="Find the scale and the zero point of a tensor by hand",
    hints=[
        "256 marks have 255 gaps. The gaps must span all values, and zero as well: padding needs it.",
        "Let the range begin at zero at the latest, and end at zero at the earliest. The zero point is the number of "
        "gaps from the low end to zero.",
        "low = min(values.min(), 0), high = max(values.max(), 0), and the scale is their distance over 255. "
        "Round -low / scale to an int. Think of a tensor that holds zeros only.",
    ],
    learned="A scale and a zero point describe a whole tensor, and zero is always exactly one of its marks.",
)
def scale_and_zero(attempt: Attempt) -> None:
    import numpy as np

    for low, high in ((-1.7, 0.6), (0.0, 5.0), (2.0, 6.0), (-9.0, -4.0), (-0.002, 0.003)):
        values = attempt.rng.uniform(low, high, (4, 3, 5)).astype(np.float32)
        about = f"for values from {values.min():.3g} to {values.max():.3g}"
        scale, zero_point = _pair(attempt, attempt.call(values.copy()), about)
        wanted_scale = _scale_of_the_runtime(values)
        attempt.expect(
            math.isclose(scale, wanted_scale, rel_tol=1e-4),
            f"{about} a scale of {scale:.6g}, with which 255 gaps span {255 * scale:.4g}",
            "255 gaps that span all the values and zero, and no more",
        )
        exact = max(-float(values.min()), 0.0) / wanted_scale
        attempt.expect(
            abs(zero_point - exact) < 0.501,
            f"{about} the zero point {zero_point}, so that the marks reach from {-zero_point * scale:.3g} "
            f"to {(255 - zero_point) * scale:.3g}",
            "marks that reach from the smallest value (or zero) to the largest (or zero)",
        )
    scale, zero_point = _pair(attempt, attempt.call(np.zeros((2, 3), np.float32)), "for zeros only")


@task(
    "channel_errors",
    title="Measure what rounding does to each channel, with one scale and with one for each",
    hints=[
        "The way there and back: divide by the scale, round, multiply by the scale. What is the scale of each weight?",
        "Flatten each channel: weights.reshape(len(weights), -1). Then the largest magnitude is one number for all, or "
        "one for each row; keepdims=True keeps a shape that divides well.",
        "The scale is the largest magnitude over 127. A channel that holds zeros only has none: let its scale be 1. "
        "Return the largest distance in each row.",
    ],
    learned="With one scale every channel pays for the largest weight of all; with its own, only for its own.",
)
def channel_errors(attempt: Attempt) -> None:
    import numpy as np

    for shape in ((6, 3, 3, 3), (10, 24), (5, 8, 1, 1)):
        weights = attempt.rng.normal(0, 0.3, shape).astype(np.float32)
        weights[2] *= attempt.rng.uniform(20, 60)  # the outlier
        weights[1] *= -1.0
        weights[4] = 0  # a dead channel
        for per_channel in (False, True):
            what = f"weights of shape {shape}, per_channel={per_channel}"
            given = attempt.call(weights.copy(), per_channel)
            attempt.expect_type(given, (np.ndarray, list, tuple), "the result")
            found = _as_floats(attempt, given)
            attempt.expect(
                found.shape == shape[:1],
                f"for {what}: a result of shape {found.shape}",
                "one number for each channel (the first axis)",
            )
            attempt.expect(
                bool(np.isfinite(found).all()),
                f"for {what}: {_listed(found)}",
                "numbers; one of the channels holds nothing but zeros",
            )
            wanted = _errors_of_the_runtime(weights, per_channel)
            worst = int(np.abs(found - wanted).argmax())
            attempt.expect(
                np.allclose(found, wanted, rtol=1e-3, atol=1e-6),
                f"for {what}: {found[worst]:.5f} for channel {worst}, where the largest move is {wanted[worst]:.5f}",
                "the largest distance between a weight and what comes back, each channel "
                + ("with its own scale" if per_channel else "with the scale of the whole tensor"),
            )


@task(
    "pick_calibration",
    title="Pick the few images whose ranges are those of all",
    hints=[
        "Calibration keeps the smallest and the largest value that it meets. Which images bring those along?",
        "Each image has a smallest and a largest value: pool.min((1, 2, 3)) and pool.max((1, 2, 3)). "
        "A random choice misses what is rare.",
        "Order the pool once by each with argsort; take half of the images from the low end of the one and half from "
        "the high end of the other. Return a list with one batch.",
    ],
    learned="What calibration has not seen is cut off. A few inputs are enough if they include the extreme ones.",
)
def pick_calibration(attempt: Attempt) -> None:
    import numpy as np

    with folder_of_its_own() as folder:
        source = _network(attempt, folder / "network.onnx")
        for _ in range(2):
            pool = _pool_with_rare_extremes(attempt)
            before = pool.copy()
            batches = _batches(attempt, attempt.call(pool, MOST_IMAGES))
            attempt.expect(np.array_equal(pool, before), "the pool itself was changed", "images taken from it")
            known = {image.tobytes() for image in pool}
            strange = sum(image.tobytes() not in known for batch in batches for image in batch)
            attempt.expect(
                not strange,
                f"{strange} images that are not in the pool",
                "images of the pool, as they are: calibrate with what the service sees",
            )
            ours = _ranges(_quantize(source, folder / "theirs.onnx", batches))
            full = _ranges(_quantize(source, folder / "full.onnx", [pool]))
            low, high = ours["images"]
            attempt.expect(
                low <= 0.9 * full["images"][0] and high >= 0.9 * full["images"][1],
                f"a file whose marks for the images reach from {low:.2f} to {high:.2f}; "
                f"the pool reaches from {full['images'][0]:.2f} to {full['images'][1]:.2f}",
                "marks that reach as far as the pool, at both ends",
            )
            for tensor, (bottom, top) in full.items():
                inner_low, inner_high = ours[tensor]
                share = (inner_high - inner_low) / (top - bottom)
                attempt.expect(
                    share > 0.6,
                    f"inside the network ({tensor}) a range of {share:.2f} times that of the whole pool",
                    "the images that produce large values inside as well",
                )


@task(
    "share_in_bytes",
    title="Say how much of a file's weights is held in one byte",
    hints=[
        "The numbers of a file are its initializers: onnx.load(path).graph.initializer. Each has dims and a data_type.",
        "Bytes are the count of numbers times the size of one. onnx.numpy_helper.to_array(tensor) knows both: nbytes.",
        "Sum nbytes over all tensors, and over those whose dtype is int8 or uint8; divide the second by the first.",
    ],
    learned="A tool that skipped a layer does not say so. The file does.",
)
def share_in_bytes(attempt: Attempt) -> None:
    import numpy as np

    with folder_of_its_own() as folder:
        for what, path in _files_to_read(attempt, folder).items():
            given = attempt.call(path)
            attempt.expect(
                isinstance(given, (float, int, np.floating)) and not isinstance(given, bool),
                f"for {what}: {type(given).__name__} {str(given)[:40]!r}",
                "a share from 0 to 1",
            )
            wanted = _bytes_in(path, ("int8", "uint8")) / _bytes_in(path)
            attempt.expect(
                abs(float(given) - wanted) < 1e-3,
                f"for {what}: {float(given):.3f}, where it is {wanted:.3f}",
                "the bytes of all tensors of int8 and uint8, as a share of the bytes of all tensors",
            )


@task(
    "meet_both",
    title="Make a file that meets a budget of size and one of accuracy, or say that there is none",
    hints=[
        "There are few choices: with calibration or without, per channel or not. Make each, and measure it.",
        "Size: a model may lie in two files (lesson 01), and read_graph(path).files has the bytes of each. "
        "Accuracy: what the float32 file loses, not what is missing to 1.",
        "Loop over the choices; give each file a name of its own; return the first that meets both; and None "
        "after the loop.",
    ],
    learned="A budget is met by measuring each candidate on both counts, and sometimes the honest answer is none.",
)
def meet_both(attempt: Attempt) -> None:
    for case in (_only_per_channel, _only_dynamic, _only_the_smaller, _too_small, _too_exact):
        with folder_of_its_own() as folder:
            inner = folder / "learner"
            inner.mkdir()
            _judge(attempt, case(attempt, folder), inner)


# What the runtime itself says about scales and errors


def _pair(attempt: Attempt, given: Any, about: str) -> tuple[float, int]:
    """The learner's scale and zero point, if that is what they are."""
    import numpy as np

    attempt.expect(
        isinstance(given, (tuple, list)) and len(given) == 2,
        f"{about}: {type(given).__name__} {str(given)[:60]}",
        "two values: the scale and the zero point",
    )
    scale, zero_point = given
    attempt.expect_type(scale, (float, int, np.floating), f"{about} the scale")
    attempt.expect(
        math.isfinite(scale) and scale > 0,
        f"{about} a scale of {float(scale):.6g}",
        "a scale that one can divide by: more than zero",
    )
    attempt.expect(
        isinstance(zero_point, (int, np.integer)) and not isinstance(zero_point, bool),
        f"{about} the zero point is {type(zero_point).__name__} {str(zero_point)[:40]}",
        "an int: it is the number of a mark",
    )
    attempt.expect(
        0 <= zero_point <= 255,
        f"{about} the zero point {zero_point}, which no byte can say: zero itself is not among the marks",
        "a whole number from 0 to 255",
    )
    return float(scale), int(zero_point)


def _scale_of_the_runtime(values: "Floats") -> float:
    from onnx import TensorProto, helper

    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero_point"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    outputs = [helper.make_tensor_value_info("scale", TensorProto.FLOAT, None)]
    (scale,) = _run(_model([node], inputs, outputs), {"x": values})
    return float(scale)


def _errors_of_the_runtime(weights: "Floats", per_channel: bool) -> "Floats":
    import numpy as np
    from onnx import TensorProto, helper

    flat = weights.reshape(len(weights), -1)
    largest = np.abs(flat).max(1) if per_channel else np.abs(flat).max()
    scale = np.where(largest == 0, 1, largest / 127).astype(np.float32)
    axis = {"axis": 0} if per_channel else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["bytes"], **axis),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["back"], **axis),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "scale")]
    inputs.append(helper.make_tensor_value_info("zero", TensorProto.INT8, None))
    outputs = [helper.make_tensor_value_info("back", TensorProto.FLOAT, None)]
    feeds = {"x": flat, "scale": scale, "zero": np.zeros(scale.shape, np.int8)}
    (back,) = _run(_model(nodes, inputs, outputs), feeds)
    errors: Floats = np.abs(back - flat).max(1)
    return errors


def _as_floats(attempt: Attempt, given: Any) -> "NDArray[np.float64]":
    import numpy as np

    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise NotYet(f"{type(given).__name__} {str(given)[:60]}", "one number for each channel") from None


def _listed(numbers: "NDArray[np.float64]") -> str:
    return ", ".join(f"{number:.4f}" for number in numbers)


# Calibration


def _pool_with_rare_extremes(attempt: Attempt) -> "Floats":
    """600 pale images around zero, and four each that are very dark or very bright, anywhere but at the ends."""
    import numpy as np

    pool = attempt.rng.normal(0, 0.1, (600, 1, 8, 8)).clip(-0.25, 0.25).astype(np.float32)
    rare = attempt.rng.choice(np.arange(80, 520), 8, replace=False)
    pool[rare[:4]] = attempt.rng.uniform(0.5, 1.0, (4, 1, 8, 8))
    pool[rare[4:]] = attempt.rng.uniform(-1.0, -0.5, (4, 1, 8, 8))
    return pool


def _batches(attempt: Attempt, given: Any) -> "list[Floats]":
    """The learner's batches, if they are such and not too many."""
    import numpy as np

    if isinstance(given, np.ndarray) or not hasattr(given, "__iter__") or isinstance(given, (str, bytes, dict)):
        raise NotYet(f"{type(given).__name__}, not a list", "a list of batches, each an array of (n, 1, 8, 8)")
    batches = list(given)
    for batch in batches:
        attempt.expect(
            isinstance(batch, np.ndarray) and batch.shape[1:] == (1, 8, 8) and batch.dtype == np.float32,
            f"a batch that is {type(batch).__name__} of shape {getattr(batch, 'shape', 'none')}",
            "float32 arrays of (n, 1, 8, 8)",
        )
    count = sum(len(batch) for batch in batches)
    attempt.expect(0 < count <= MOST_IMAGES, f"{count} images", f"at least one image, and at most {MOST_IMAGES}")
    return [batch for batch in batches if len(batch)]


def _ranges(path: Path) -> dict[str, tuple[float, float]]:
    """What each tensor between the steps can say in a static file, from its smallest value to its largest."""
    import onnx

    graph = onnx.load(path).graph
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = float(numbers[node.input[1]]), int(numbers[node.input[2]])
            found[node.input[0]] = (-128 - zero) * scale, (127 - zero) * scale
    return found


# Files to read


def _files_to_read(attempt: Attempt, folder: Path) -> dict[str, Path]:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    source = _network(attempt, folder / "network.onnx")
    calibration = [attempt.rng.random((8, 1, 8, 8), dtype=np.float32)]
    static = _quantize(source, folder / "static.onnx", calibration, per_channel=True)
    large = attempt.rng.integers(-9, 9, (90, 100))
    by_hand = onnx.load(source)
    tensors = [
        helper.make_tensor("listed", TensorProto.INT8, large.shape, large.ravel().tolist()),  # not as raw bytes
        numpy_helper.from_array((large + 9).astype(np.uint8), "unsigned"),
        numpy_helper.from_array(large.astype(np.float16), "half"),
        numpy_helper.from_array(large.astype(np.int32), "whole"),
    ]
    by_hand.graph.initializer.extend(tensors)
    onnx.save(by_hand, folder / "by-hand.onnx")
    onnx.save(onnx.load(static), folder / "two.onnx", save_as_external_data=True, location="two.bin", size_threshold=0)
    return {
        "a float32 file": source,
        "a file with float32, float16, int32, int8 and uint8 tensors": folder / "by-hand.onnx",
        "a dynamic file": _quantize(source, folder / "dynamic.onnx"),
        "a static file": static,
        "a static file with its weights beside it": folder / "two.onnx",
    }


def _bytes_in(path: Path, dtypes: tuple[str, ...] = ()) -> int:
    """The bytes of the initializers of some types, or of all, from their shapes alone."""
    import onnx

    sizes = 0
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if not dtypes or dtype.name in dtypes:
            sizes += math.prod(tensor.dims) * dtype.itemsize
    return sizes


# Budgets

CHOICES: dict[str, tuple[bool, bool]] = {
    "dynamic": (False, False),
    "dynamic, per channel": (False, True),
    "static": (True, False),
    "static, per channel": (True, True),
}


class Case:
    """A model with its data, what each choice costs, and the budgets to meet."""

    def __init__(self, attempt: Attempt, folder: Path, outlier: bool, dark: bool) -> None:
        import numpy as np
        import onnx

        self.source = _network(attempt, folder / "network.onnx", outlier=outlier)
        if outlier:  # this one lies in two files
            onnx.save(onnx.load(self.source), self.source, save_as_external_data=True, location="network.bin")
        draw = attempt.rng.random
        self.images = draw((600, 1, 8, 8), dtype=np.float32)
        self.labels = _scores(self.source, self.images).argmax(1)
        wrong = attempt.rng.choice(600, 60, replace=False)  # so that float32 is not right about everything
        self.labels[wrong] = (self.labels[wrong] + 1) % 10
        self.calibration = [draw((100, 1, 8, 8), dtype=np.float32) * np.float32(0.05 if dark else 1)]
        self.right = _right(self.source, self.images, self.labels)
        self.costs = {}
        for name, (calibrated, per_channel) in CHOICES.items():
            batches = self.calibration if calibrated else None
            file = _quantize(self.source, folder / "tried.onnx", batches, per_channel)
            self.costs[name] = self.cost(file)
        self.largest_share, self.largest_loss = 0.35, 1.0

    def cost(self, file: Path) -> tuple[float, float]:
        """A file's share of the size, and what it loses of the share that is right."""
        return _size(file) / _size(self.source), self.right - _right(file, self.images, self.labels)

    def allow_loss_of(self, *cheap: str) -> "Case":
        """Set the budget a little above what these choices lose; the others lose many times as much."""
        self.largest_loss = max(0.0, *(self.costs[name][1] for name in cheap)) + 0.01
        return self

    def meets(self, cost: tuple[float, float]) -> bool:
        return cost[0] <= self.largest_share + 1e-9 and cost[1] <= self.largest_loss + 1e-9

    @property
    def budget(self) -> str:
        return f"at most {self.largest_share:.3f} of the size and {self.largest_loss:.4f} lost"


def _only_per_channel(attempt: Attempt, folder: Path) -> Case:
    return Case(attempt, folder, outlier=True, dark=False).allow_loss_of("static, per channel")


def _only_dynamic(attempt: Attempt, folder: Path) -> Case:
    """Its calibration images are far too dark."""
    return Case(attempt, folder, outlier=False, dark=True).allow_loss_of("dynamic", "dynamic, per channel")


def _only_the_smaller(attempt: Attempt, folder: Path) -> Case:
    case = Case(attempt, folder, outlier=False, dark=False).allow_loss_of(*CHOICES)
    case.largest_share = (case.costs["static"][0] + case.costs["static, per channel"][0]) / 2
    return case


def _too_small(attempt: Attempt, folder: Path) -> Case:
    case = Case(attempt, folder, outlier=False, dark=False).allow_loss_of(*CHOICES)
    case.largest_share = 0.15
    return case


def _too_exact(attempt: Attempt, folder: Path) -> Case:
    case = Case(attempt, folder, outlier=True, dark=True)
    case.largest_loss = min(0.01, *(loss / 2 for _, loss in case.costs.values()))
    return case


def _judge(attempt: Attempt, case: Case, folder: Path) -> None:
    source_before = case.source.read_bytes()
    given = attempt.call(
        case.source, folder, case.calibration, case.images, case.labels, case.largest_share, case.largest_loss
    )
    attempt.expect(case.source.read_bytes() == source_before, "the source was changed", "a copy in the folder")
    possible = any(map(case.meets, case.costs.values()))
    if given is None:
        attempt.expect(
            not possible,
            f"None for a budget of {case.budget}",
            "a file: at least one of the four choices (calibrated or not, per channel or not) meets both",
        )
        return
    attempt.expect_type(given, (Path, str), "the result")
    attempt.expect(Path(given).is_file(), "a path at which there is no file", "the path of a file, or None")
    try:
        share, loss = case.cost(Path(given))
    except Exception as error:
        raise NotYet(f"a file that does not run: {first_line(error, folder)}", "a quantised copy") from None
    attempt.expect(
        case.meets((share, loss)),
        f"for a budget of {case.budget}: a file of {share:.3f} of the size that loses {loss:.4f}",
        "a file that meets both" if possible else "None: no choice meets both",
    )


def _size(path: Path) -> int:
    """The bytes of a model, in one file or two."""
    import onnx

    tensors = onnx.load(path, load_external_data=False).graph.initializer
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return sum(file.stat().st_size for file in (path, *(path.parent / name for name in names)))


def _right(path: Path, images: "Floats", labels: "NDArray[Any]") -> float:
    return float((_scores(path, images).argmax(1) == labels).mean())


# The network that the checks make


def _network(attempt: Attempt, path: Path, outlier: bool = False) -> Path:
    """Two convolutions and two plain layers with random weights, whose ten answers all occur.

    ``outlier`` gives one channel of the second convolution weights so large that one scale
    does not do for all, and a bias that keeps it silent: as float32 nothing changes.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shapes = {"w1": (8, 1, 3, 3), "w2": (16, 8, 3, 3), "w3": (256, 160), "w4": (160, 10)}
    values = {
        name: attempt.rng.normal(0, math.prod(shape[1:]) ** -0.5 if len(shape) == 4 else shape[0] ** -0.5, shape)
        for name, shape in shapes.items()
    }
    values |= {f"b{name[1]}": np.zeros(shape[0] if len(shape) == 4 else shape[1]) for name, shape in shapes.items()}
    if outlier:
        values["w2"][5] = -400 * np.abs(values["w2"][5])
        values["b2"][5] = -1.0
    nodes = [
        helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p2"], ["f2"]),
        helper.make_node("Gemm", ["f2", "w3", "b3"], ["g3"]),
        helper.make_node("Relu", ["g3"], ["r3"]),
        helper.make_node("Gemm", ["r3", "w4", "b4"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])]
    sample = attempt.rng.random((64, 1, 8, 8), dtype=np.float32)
    for _ in range(2):  # once to see the mean score of each class, once with that as the last bias
        tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in values.items()]
        onnx.save(_model(nodes, inputs, outputs, tensors), path)
        values["b4"] = -_scores(path, sample).mean(0)
    return path


def _model(
    nodes: "list[onnx.NodeProto]",
    inputs: "list[onnx.ValueInfoProto]",
    outputs: "list[onnx.ValueInfoProto]",
    tensors: "list[onnx.TensorProto] | None" = None,
) -> "onnx.ModelProto":
    from onnx import helper

    graph = helper.make_graph(nodes, "check", inputs, outputs, tensors or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _run(model: "onnx.ModelProto", feeds: "dict[str, Any]") -> list[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[Any] = session.run(None, feeds)
    return answers


def _scores(path: Path, images: "Floats") -> "Floats":
    from helpers.runtime import Options, Session

    scores: Floats = Session(path, options=Options(threads=1))(images)
    return scores


def _quantize(source: Path, target: Path, batches: "list[Floats] | None" = None, per_channel: bool = False) -> Path:
    from helpers.runtime import quantize

    return quantize(source, target, calibration=batches, per_channel=per_channel)
