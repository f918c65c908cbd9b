"""torchvision, also where its compiled half does not fit the torch beside it.

The torchvision that PyPI has for Linux is built against the CUDA torch. Beside a CPU
torch its C++ library cannot be loaded, and then the plain import fails: torchvision's
Python describes how ``nms`` behaves, an operator that only the library would have
defined. Declaring the names of the missing operators is enough for models, transforms
and export. The operators themselves (``torchvision.ops.nms`` and its like) stay absent.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MISSING_OPERATORS = [
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
]

# The declarations last as long as this object does.
_declarations: Any = None


def import_torchvision() -> ModuleType:
    """torchvision, imported in the way that works here."""
    global _declarations
    if "torchvision" not in sys.modules and _declarations is None and not compiled_half_loads():
        import torch

        _declarations = torch.library.Library("torchvision", "FRAGMENT")
        for operator in MISSING_OPERATORS:
            _declarations.define(operator)
    import torchvision

    return torchvision  # type: ignore[no-any-return]


def compiled_half_loads() -> bool:
    """True if torchvision's C++ library fits this torch. Only Linux wheels can fail to."""
    found = importlib.util.find_spec("torchvision")
    if sys.platform != "linux" or found is None or not found.submodule_search_locations:
        return True
    import torch

    libraries = [library for folder in found.submodule_search_locations for library in Path(folder).glob("_C*.so")]
    for library in libraries:
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    # Builds without a library at all (for uncommon platforms) need the declarations too.
    return bool(libraries)


def resnet18(seed: int = 0) -> "torch.nn.Module":
    """torchvision's resnet18 in evaluation mode, with weights drawn from a seed."""
    import torch

    models = import_torchvision().models
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = models.resnet18(weights=None)
    return model.eval()
