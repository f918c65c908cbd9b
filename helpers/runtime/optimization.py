"""Graph optimisation done once, offline, and kept as a file."""

from pathlib import Path

from helpers import atomic_files
from helpers.errors import UserError
from helpers.runtime import providers as provider_names
from helpers.runtime.session import LEVEL_NAMES, Options, open_model

LEVELS = list(LEVEL_NAMES)
"""From nothing to everything: each level does what the one before does, and more."""


def optimize(source: Path | str, target: Path | str, level: str = "all", provider: str = "cpu") -> Path:
    """Write the graph as ONNX Runtime would run it at a level; return the file.

    ``basic`` and ``extended`` files run anywhere. ``layout`` and ``all`` are arranged for
    the processor that they were made on.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise UserError(f"{target} is the source itself.", "name another file.", 2)
    options = Options(level=level).for_runtime()
    with atomic_files.replacing(target) as beside:
        options.optimized_model_filepath = str(beside)
        open_model(source, options, provider_names.resolve([provider]))
    return target
