"""torch: modules, compiled ScriptModules, and state dicts, which alone can be opened without trust."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.store.formats import Details, Format, is_of

MODULE_FILE, SCRIPT_FILE, STATE_FILE = "module.pt", "script.pt", "state.pt"


def is_script(model: Any) -> bool:
    return is_of(model, "torch") and any(kind.__name__ == "ScriptModule" for kind in type(model).__mro__)


def is_module(model: Any) -> bool:
    return is_of(model, "torch") and hasattr(model, "state_dict")


def is_state(model: Any) -> bool:
    """Tensors by name."""
    return isinstance(model, Mapping) and bool(model) and all(is_of(value, "torch") for value in model.values())


def write_module(model: Any, folder: Path) -> Details:
    """The module as Python's pickle has it: its class must be importable where it is loaded."""
    import torch

    torch.save(model, folder / MODULE_FILE)
    return {"class": f"{type(model).__module__}.{type(model).__qualname__}"}


def read_module(folder: Path, details: Details, device: str) -> Any:
    import torch

    return torch.load(folder / MODULE_FILE, map_location=device, weights_only=False).eval()


def write_script(model: Any, folder: Path) -> Details:
    model.save(str(folder / SCRIPT_FILE))
    return {}


def read_script(folder: Path, details: Details, device: str) -> Any:
    import torch

    return torch.jit.load(str(folder / SCRIPT_FILE), map_location=device).eval()


def write_state(model: Any, folder: Path) -> Details:
    import torch

    torch.save(dict(model), folder / STATE_FILE)
    return {}


def read_state(folder: Path, details: Details, device: str) -> Any:
    """The tensors by name; ``module.load_state_dict`` takes them."""
    import torch

    return torch.load(folder / STATE_FILE, map_location=device, weights_only=True)


MODULE = Format("torch", is_module, write_module, read_module, runs_code=True, needs=("torch",))
SCRIPT = Format("torchscript", is_script, write_script, read_script, runs_code=True, needs=("torch",))
STATE = Format("torch-state", is_state, write_state, read_state, runs_code=False, needs=("torch",))
