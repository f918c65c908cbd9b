"""Which inputs of an ONNX file take missing values: NaN, for which the model has an answer of its own.

Most models carry a NaN on into their answer. Some replace it (an imputer), look for it (IsNaN), or follow
the branch that a tree has for it. Those operators are found in the file, without the package onnx; then the
model is run once with NaN in each input, since they may be there for another input.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from helpers.runtime.inputs import TensorSpec
from helpers.runtime.session import Session

OPERATORS = {b"Imputer", b"IsNaN"}
TREE_BRANCHES = b"nodes_missing_value_tracks_true"  # an attribute of trees: 1 where NaN goes to the true branch
# Fields of ONNX's messages, by their numbers in onnx.proto.
MODEL_GRAPH, MODEL_FUNCTION, GRAPH_NODE, FUNCTION_NODE = 7, 25, 1, 7
NODE_OPERATOR, NODE_ATTRIBUTE, ATTRIBUTE_NAME, ATTRIBUTE_INTEGERS = 4, 5, 1, 8
ATTRIBUTE_GRAPHS, ATTRIBUTE_ABOUT = (6, 11), 13  # from the latter on a field tells of the attribute, and is no value
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # protobuf's ways to write a value


def inputs_with_missing(file: Path, session: Session) -> frozenset[str]:
    """The names of the inputs in which NaN stands for a missing value."""
    floats = [spec for spec in session.inputs if spec.dtype is not None and spec.dtype.kind == "f"]
    if session.options.finite_only or not floats or not handles_missing(file):
        return frozenset()
    return frozenset(spec.name for spec in floats if _answers_with_numbers(session, spec))


def handles_missing(file: Path) -> bool:
    """True if an operator of the graph is there for NaN, or a tree has a branch for it."""
    with file.open("rb") as opened:
        model = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    nodes = {MODEL_GRAPH: GRAPH_NODE, MODEL_FUNCTION: FUNCTION_NODE}
    try:
        return any(_any_node_handles(value, nodes[number]) for number, value in _fields(model) if number in nodes)
    except (ValueError, IndexError):  # ONNX Runtime has a form of its own too
        return False


def _any_node_handles(graph: memoryview, nodes: int) -> bool:
    return any(_node_handles(node) for number, node in _fields(graph) if number == nodes)


def _node_handles(node: memoryview) -> bool:
    for number, value in _fields(node):
        if number == NODE_OPERATOR and bytes(value) in OPERATORS:
            return True
        if number == NODE_ATTRIBUTE and _attribute_handles(value):
            return True
    return False


def _attribute_handles(attribute: memoryview) -> bool:
    """Branches and loops have graphs of their own. Of a tree's long lists all but one are passed over."""
    for number, value in _fields(attribute):
        if number == ATTRIBUTE_NAME:
            if bytes(value) == TREE_BRANCHES:
                return _has_a_one(attribute)
        elif number in ATTRIBUTE_GRAPHS:
            if _any_node_handles(value, GRAPH_NODE):
                return True
        elif number < ATTRIBUTE_ABOUT:
            return False
    return False


def _has_a_one(attribute: memoryview) -> bool:
    """True if a list of zeros and ones has a one: written each as a field, as most do, or all in one."""
    if bytes([ATTRIBUTE_INTEGERS << 3 | VARINT, 1]) in bytes(attribute):
        return True
    first = next((value for number, value in _fields(attribute) if number == ATTRIBUTE_INTEGERS), 0)
    return isinstance(first, memoryview) and any(first)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Each field of a protobuf message: its number, and its value, which for texts and messages is their bytes."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
        elif kind == BYTES:
            length, at = _varint(message, at)
            yield number, message[at : at + length]
            at += length
        elif kind in (FIXED_64, FIXED_32):
            at += 8 if kind == FIXED_64 else 4
            yield number, 0
        else:
            raise ValueError(f"this is not protobuf: it has a field of the kind {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _answers_with_numbers(session: Session, missing: TensorSpec) -> bool:
    """True if NaN in one input, and nothing in the others, gives no NaN."""
    named = {spec.name: _filled(spec, np.nan if spec is missing else 0) for spec in session.inputs}
    try:
        answers = session.run(named)
    except Exception:  # nothing in the others is no answer either: what the file says has to do
        return True
    floats = (array for array in answers.values() if isinstance(array, np.ndarray) and array.dtype.kind == "f")
    return not any(np.isnan(array).any() for array in floats)


def _filled(spec: TensorSpec, value: float) -> Any:
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    return np.full(shape, "", object) if spec.dtype == object else np.full(shape, value, spec.dtype)
