"""ONNX Runtime, held firmly: what was asked for is what runs, and what goes wrong is said.

>>> session = Session("digits.onnx")           # doctest: +SKIP
>>> scores = session(images)                   # doctest: +SKIP
"""

from helpers.runtime.inputs import InputError, TensorSpec
from helpers.runtime.optimization import LEVELS, optimize
from helpers.runtime.profiling import NodeTime, profile
from helpers.runtime.providers import available
from helpers.runtime.quantization import quantize
from helpers.runtime.session import Options, Session

__all__ = [
    "LEVELS",
    "InputError",
    "NodeTime",
    "Options",
    "Session",
    "TensorSpec",
    "available",
    "optimize",
    "profile",
    "quantize",
]
