"""What can be served, as it is named on a command line: ``module:Service``, or a tag of the store."""

import importlib
import sys
from pathlib import Path
from typing import Any

from helpers.engine.service import spec_of
from helpers.errors import UserError

Target = str | type  # a tag, or a service's class


def resolve(named: str, folder: Path | None = None) -> Target:
    """The class of ``module:Service``, whose module is looked for in ``folder`` too; a tag as it is."""
    module, colon, name = named.partition(":")
    if not colon or not name.isidentifier():
        return named  # digits, digits:2
    if not name[0].isupper() and not _is_there(module, folder):
        return named  # digits:prod
    found = getattr(_imported(module, folder, named), name, None)
    if spec_of(found) is None:
        there_are = [each for each, value in vars(sys.modules[module]).items() if spec_of(value) is not None]
        raise UserError(
            f"{module} has no service {name}.",
            f"its services: {', '.join(there_are)}." if there_are else "mark a class with @service.",
            2,
        )
    assert isinstance(found, type)
    return found


def name_of(target: Target) -> str:
    """What a target is called when it is told to people."""
    spec = spec_of(target)
    return spec.name if spec is not None else str(target)


def _is_there(module: str, folder: Path | None) -> bool:
    place = (folder or Path.cwd()) / Path(*module.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def _imported(module: str, folder: Path | None, named: str) -> Any:
    place = str(folder or Path.cwd())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"There is no module {module} for {named}.", f"run this where {module.replace('.', '/')}.py lies.", 2
            ) from None
        raise UserError(f"{module} needs {error.name}, which is not installed.", f"pip install {error.name}") from None
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{module} cannot be imported: {type(error).__name__}: {error}.", f"python3 -m {module}"
        ) from error
