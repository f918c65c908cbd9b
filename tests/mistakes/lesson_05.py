"""What goes wrong in lesson 05."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from helpers.convert import read_graph
from helpers.runtime import quantize
from helpers.runtime.session import Session

Floats = NDArray[np.float32]

# scale_and_zero


def span(values: Floats) -> tuple[float, float]:
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def leaves_zero_out(values: Floats) -> Any:
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale)


def clips_the_zero_point_only(values: Floats) -> Any:
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(round(-low / scale), 0, 255))


def counts_marks_and_not_gaps(values: Floats) -> Any:
    low, high = span(values)
    scale = (high - low) / 256 or 1.0
    return scale, min(round(-low / scale), 255)


def divides_by_zero_later(values: Floats) -> Any:
    low, high = span(values)
    scale = (high - low) / 255
    return scale, round(-low / scale) if scale else 0


def is_symmetric(values: Floats) -> Any:
    return float(np.abs(values).max()) / 127 or 1.0, 128


def counts_from_the_middle(values: Floats) -> Any:
    low, high = span(values)
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale) - 128


def forgets_to_round(values: Floats) -> Any:
    low, high = span(values)
    scale = (high - low) / 255 or 1.0
    return scale, -low / scale


def counts_from_the_top(values: Floats) -> Any:
    low, high = span(values)
    scale = (high - low) / 255 or 1.0
    return scale, round(high / scale)


def swaps_the_two(values: Floats) -> Any:
    low, high = span(values)
    scale = (high - low) / 255 or 1.0
    return round(-low / scale), scale


# channel_errors


def errors(weights: Floats, scale: Any) -> Any:
    rows = weights.reshape(len(weights), -1)
    return np.abs(np.rint(rows / scale) * scale - rows).max(1)


def magnitudes(weights: Floats) -> Any:
    found = np.abs(weights.reshape(len(weights), -1)).max(1, keepdims=True)
    return np.where(found == 0, 1, found)


def always_one_scale(weights: Floats, per_channel: bool) -> Any:
    return errors(weights, magnitudes(weights).max() / 127)


def always_one_for_each(weights: Floats, per_channel: bool) -> Any:
    return errors(weights, magnitudes(weights) / 127)


def dead_channel_becomes_nan(weights: Floats, per_channel: bool) -> Any:
    rows = weights.reshape(len(weights), -1)
    largest = np.abs(rows).max(1, keepdims=True) if per_channel else np.abs(rows).max()
    with np.errstate(invalid="ignore"):
        return errors(weights, largest / 127)


def forgets_the_sign(weights: Floats, per_channel: bool) -> Any:
    rows = weights.reshape(len(weights), -1)
    largest = rows.max(1, keepdims=True) if per_channel else rows.max()
    return errors(weights, np.where(largest == 0, 1, largest) / 127)


def cuts_instead_of_rounding(weights: Floats, per_channel: bool) -> Any:
    rows = weights.reshape(len(weights), -1)
    scale = (magnitudes(weights) if per_channel else magnitudes(weights).max()) / 127
    return np.abs(np.trunc(rows / scale) * scale - rows).max(1)


def returns_the_largest_of_all(weights: Floats, per_channel: bool) -> Any:
    return errors(weights, (magnitudes(weights) if per_channel else magnitudes(weights).max()) / 127).max()


def takes_the_mean(weights: Floats, per_channel: bool) -> Any:
    rows = weights.reshape(len(weights), -1)
    scale = (magnitudes(weights) if per_channel else magnitudes(weights).max()) / 127
    return np.abs(np.rint(rows / scale) * scale - rows).mean(1)


def channels_are_the_last_axis(weights: Floats, per_channel: bool) -> Any:
    turned = np.moveaxis(weights, -1, 0)
    return errors(turned, (magnitudes(turned) if per_channel else magnitudes(turned).max()) / 127)


def uses_256_marks(weights: Floats, per_channel: bool) -> Any:
    return errors(weights, (magnitudes(weights) if per_channel else magnitudes(weights).max()) / 128)


# pick_calibration


def takes_the_first(pool: Floats, most: int) -> Any:
    return [pool[:most]]


def takes_any(pool: Floats, most: int) -> Any:
    return [pool[np.random.default_rng(0).choice(len(pool), most, replace=False)]]


def takes_the_brightest(pool: Floats, most: int) -> Any:
    return [pool[pool.max((1, 2, 3)).argsort()[-most:]]]


def takes_the_darkest(pool: Floats, most: int) -> Any:
    return [pool[pool.min((1, 2, 3)).argsort()[:most]]]


def takes_all(pool: Floats, most: int) -> Any:
    return [pool]


def invents_noise_of_that_range(pool: Floats, most: int) -> Any:
    drawn = np.random.default_rng(0).uniform(pool.min(), pool.max(), (most, 1, 8, 8))
    return [drawn.astype(np.float32)]


def stretches_the_pale_ones(pool: Floats, most: int) -> Any:
    return [pool[:most] * np.float32(np.abs(pool).max() / np.abs(pool[:most]).max())]


def returns_one_array(pool: Floats, most: int) -> Any:
    return pool[np.abs(pool).max((1, 2, 3)).argsort()[-most:]]


def loses_the_batch_axis(pool: Floats, most: int) -> Any:
    return list(pool[np.abs(pool).max((1, 2, 3)).argsort()[-most:]])


def sorts_the_pool_in_place(pool: Floats, most: int) -> Any:
    pool[:] = pool[np.abs(pool).max((1, 2, 3)).argsort()]
    return [pool[-most:]]


def picks_nothing(pool: Floats, most: int) -> Any:
    return []


# share_in_bytes


def arrays_of(path: Path) -> Iterator[NDArray[Any]]:
    for tensor in onnx.load(path).graph.initializer:
        yield onnx.numpy_helper.to_array(tensor)


def forgets_uint8(path: Path) -> float:
    return sum(a.nbytes for a in arrays_of(path) if a.dtype == np.int8) / sum(a.nbytes for a in arrays_of(path))


def counts_tensors(path: Path) -> float:
    return float(np.mean([a.dtype in (np.int8, np.uint8) for a in arrays_of(path)]))


def counts_numbers(path: Path) -> float:
    return sum(a.size for a in arrays_of(path) if a.itemsize == 1) / sum(a.size for a in arrays_of(path))


def believes_raw_data(path: Path) -> float:
    tensors = onnx.load(path).graph.initializer
    one_byte = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    held = sum(len(t.raw_data) for t in tensors if t.data_type in one_byte)
    return held / sum(len(t.raw_data) for t in tensors)


def leaves_the_second_file(path: Path) -> float:
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    held = [(onnx.helper.tensor_dtype_to_np_dtype(t.data_type), t) for t in tensors if not t.external_data]
    whole = sum(dtype.itemsize * int(np.prod(t.dims)) for dtype, t in held)
    one_byte = sum(int(np.prod(t.dims)) for dtype, t in held if dtype in (np.int8, np.uint8))
    return float(one_byte / max(whole, 1))


def divides_by_the_file(path: Path) -> float:
    return sum(a.nbytes for a in arrays_of(path) if a.itemsize == 1) / size(path)


def counts_all_but_float32(path: Path) -> float:
    whole = sum(a.nbytes for a in arrays_of(path))
    return sum(a.nbytes for a in arrays_of(path) if a.dtype != np.float32) / whole


def says_it_in_words(path: Path) -> str:
    return f"{divides_by_the_file(path):.0%}"


def says_yes(path: Path) -> Any:
    return "quantized" in path.name


# meet_both


def right(path: Path, images: Floats, labels: NDArray[Any]) -> float:
    return float((Session(path)(images).argmax(1) == labels).mean())


def size(path: Path) -> int:
    return sum(read_graph(path).files.values())


Made = list[tuple[Path, float, float]]


def candidates(source: Path, folder: Path, calibration: Any, images: Floats, labels: NDArray[Any]) -> Made:
    """Each choice with its share of the size and what it loses."""
    found = []
    for number, batches in enumerate((None, calibration)):
        for per_channel in (False, True):
            file = quantize(source, folder / f"{number}{per_channel}.onnx", batches, per_channel)
            loss = right(source, images, labels) - right(file, images, labels)
            found.append((file, size(file) / size(source), loss))
    return found


def always_per_channel(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    return quantize(source, folder / "made.onnx", calibration, per_channel=True)


def always_dynamic(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    return quantize(source, folder / "made.onnx")


def looks_at_the_size_only(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    made = candidates(source, folder, calibration, images, labels)
    return next((file for file, part, _ in made if part <= share), None)


def looks_at_the_accuracy_only(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    made = candidates(source, folder, calibration, images, labels)
    return next((file for file, _, lost in made if lost <= loss), None)


def returns_the_best_it_has(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    return min(candidates(source, folder, calibration, images, labels), key=lambda made: made[2])[0]


def gives_up(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    return None


def never_tries_dynamic(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    made = candidates(source, folder, calibration, images, labels)[2:]
    return next((file for file, part, lost in made if part <= share and lost <= loss), None)


def wants_all_labels_right(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    made = candidates(source, folder, calibration, images, labels)
    return next(
        (file for file, part, _ in made if part <= share and 1 - right(file, images, labels) <= loss),
        None,
    )


def weighs_the_graph_alone(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    allowed = share * source.stat().st_size
    made = candidates(source, folder, calibration, images, labels)
    return next((file for file, _, lost in made if file.stat().st_size <= allowed and lost <= loss), None)


def writes_over_what_it_found(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    file, found = folder / "made.onnx", None
    for batches in (calibration, None):
        for per_channel in (True, False):
            quantize(source, file, batches, per_channel)
            lost = right(source, images, labels) - right(file, images, labels)
            if size(file) <= share * size(source) and lost <= loss:
                found = file
    return found


def hands_back_the_source(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    return source


def replaces_the_source(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    shutil.move(quantize(source, folder / "made.onnx", calibration, per_channel=True), source)
    return source


def cleans_up_too_early(
    source: Path, folder: Path, calibration: Any, images: Floats, labels: Any, share: float, loss: float
) -> Any:
    made = quantize(source, folder / "made.onnx", calibration, per_channel=True)
    made.unlink()
    return made


MISTAKES = {
    "scale_and_zero": {
        leaves_zero_out: "zero itself is not among the marks",
        clips_the_zero_point_only: "255 gaps that span all the values and zero",
        counts_marks_and_not_gaps: "with which 255 gaps span",
        divides_by_zero_later: "a scale that one can divide by",
        is_symmetric: "with which 255 gaps span",
        counts_from_the_middle: "so that the marks reach from",
        forgets_to_round: "an int",
        counts_from_the_top: "so that the marks reach from",
        swaps_the_two: "the number of a mark",
    },
    "channel_errors": {
        always_one_scale: "per_channel=True",
        always_one_for_each: "per_channel=False",
        dead_channel_becomes_nan: "nothing but zeros",
        forgets_the_sign: "where the largest move is",
        cuts_instead_of_rounding: "where the largest move is",
        returns_the_largest_of_all: "the result is",
        takes_the_mean: "where the largest move is",
        channels_are_the_last_axis: "one number for each channel",
        uses_256_marks: "where the largest move is",
    },
    "pick_calibration": {
        takes_the_first: "as far as the pool",
        takes_any: "as far as the pool",
        takes_the_brightest: "as far as the pool",
        takes_the_darkest: "as far as the pool",
        takes_all: "600 images",
        invents_noise_of_that_range: "not in the pool",
        stretches_the_pale_ones: "not in the pool",
        returns_one_array: "ndarray, not a list",
        loses_the_batch_axis: "of shape (1, 8, 8)",
        sorts_the_pool_in_place: "the pool itself was changed",
        picks_nothing: "0 images",
    },
    "share_in_bytes": {
        forgets_uint8: "float16, int32, int8 and uint8",
        counts_tensors: "float16, int32, int8 and uint8",
        counts_numbers: "float16, int32, int8 and uint8",
        believes_raw_data: "float16, int32, int8 and uint8",
        leaves_the_second_file: "weights beside it",
        divides_by_the_file: "float16, int32, int8 and uint8",
        counts_all_but_float32: "float16, int32, int8 and uint8",
        says_it_in_words: "a share from 0 to 1",
        says_yes: "a share from 0 to 1",
    },
    "meet_both": {
        always_per_channel: "a file that meets both",
        always_dynamic: "a file that meets both",
        looks_at_the_size_only: "a file that meets both",
        looks_at_the_accuracy_only: "None: no choice meets both",
        returns_the_best_it_has: "None: no choice meets both",
        gives_up: "None for a budget of",
        never_tries_dynamic: "None for a budget of",
        wants_all_labels_right: "None for a budget of",
        weighs_the_graph_alone: "None for a budget of",
        writes_over_what_it_found: "a file that meets both",
        hands_back_the_source: "a file that meets both",
        replaces_the_source: "the source was changed",
        cleans_up_too_early: "no file",
    },
}
