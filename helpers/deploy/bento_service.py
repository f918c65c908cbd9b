"""A bundle's APIs in BentoML's form: the text of its ``service.py``.

Run as ``python -m helpers.deploy.bento_service BUNDLE``, in a process of its own, since it imports the
bundle's code; prints JSON.
"""

import importlib.util
import json
import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.engine.service import Api, spec_of
from helpers.engine.targets import resolve
from helpers.errors import UserError
from helpers.store import Store
from helpers.wire.values import ImageValue, JsonValue, TensorValue, Value

SERVICE = '''\
"""{target} in BentoML's form. What answers is the bundle beside this file."""

import sys
from pathlib import Path
from typing import {typing}

import bentoml
import numpy as np
from bentoml.validators import DType
{image}
sys.path.insert(0, str(Path(__file__).parent / "bundle"))
import run  # the bundle's entry point

run.prepared()  # its files are those that were packed, and from here on Python finds them
{packed}
{arrays}

@bentoml.service(name="{name}", workers=1, traffic={{"timeout": {timeout}}})
class {title}:
    def __init__(self) -> None:
        {opened}
{calls}'''
# bentoml.validators.Shape stands beside DType, and is left out: it puts 3 × 2 numbers into 2 × 3 and goes on.
ARRAY = '{name} = Annotated[np.ndarray, DType("{dtype}")]\n'
STRINGS = {"object": "object_", "str": "object_", "string": "object_"}  # what numpy calls them
LARGEST = 32  # rows of a model's batch, as with us
TIMEOUT = 30.0


@dataclass(frozen=True)
class Call:
    """One API: its parameters with their annotations, and the lines that answer."""

    name: str
    parameters: dict[str, str]
    result: str
    body: list[str]
    largest: int | None = None  # rows of a batch
    is_async: bool = False

    def __str__(self) -> str:
        batching = f"(batchable=True, max_batch_size={self.largest})" if self.largest else ""
        given = "".join(f", {name}: {annotation}" for name, annotation in self.parameters.items())
        head = f"{'async ' if self.is_async else ''}def {self.name}(self{given}) -> {self.result}:"
        lines = [f"@bentoml.api{batching}", head, *(f"    {line}" for line in self.body)]
        return "\n" + "".join(f"    {line}\n" for line in lines)


def service_of(folder: Path) -> dict[str, str]:
    """The text for the bundle in a folder, and the name of the class in it."""
    spec = importlib.util.spec_from_file_location("servelab_run", folder / "run.py")
    assert spec is not None and spec.loader is not None
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)
    named = entry.prepared()
    name = json.loads((folder / "bundle.json").read_text("utf-8"))["name"]
    target = resolve(named, folder / "app")
    if isinstance(target, str):
        calls, title, timeout = [_of_model(target)], "Model", TIMEOUT
        packed, opened = "from helpers import store", f'self.model = store.load("{target}")'
    else:
        service = spec_of(target)
        assert service is not None
        calls, title, timeout = [_of_api(api) for api in service.apis.values()], target.__name__, service.timeout
        packed, opened = f"from {target.__module__} import {target.__name__} as Packed", "self.packed = Packed()"
    told = {"target": named, "name": name.lower(), "title": title, "timeout": timeout, "opened": opened}
    text = "".join(map(str, calls))
    dtypes = sorted(set(re.findall(r"\b([A-Z]\w+)Array\b", text)))
    arrays = "".join(ARRAY.format(name=f"{each}Array", dtype=each.lower()) for each in dtypes)
    image = "from PIL.Image import Image\n" if re.search(r"\bImage\b", text) else ""
    told["typing"] = "Annotated, Any" if re.search(r"\bAny\b", text) else "Annotated"
    told |= {"packed": packed, "calls": text, "arrays": f"\n{arrays}" if arrays else "", "image": image}
    return {"title": title, "text": SERVICE.format(**told)}


def _of_api(api: Api) -> Call:
    if api.streams or api.keep is not None or api.defaults:
        raise _unknown(f"{api.name} streams, is a task, or has defaults")
    if isinstance(api.result, ImageValue):
        raise _unknown(f"{api.name} answers with a picture")
    parameters = {name: _annotation(value, f"{name} of {api.name}") for name, value in api.parameters.items()}
    given = [
        f'np.asarray({name}.convert("{value.mode}"))' if isinstance(value, ImageValue) else name
        for name, value in api.parameters.items()
    ]
    # BentoML batches what has one parameter, and no other.
    largest = api.batching.largest if api.batching and api.batching.largest > 1 and len(parameters) == 1 else None
    body = [f"return {'await ' if api.is_async else ''}self.packed.{api.name}({', '.join(given)})"]
    return Call(api.name, parameters, _annotation(api.result, f"what {api.name} answers"), body, largest, api.is_async)


def _of_model(tag: str) -> Call:
    """One API for a model of the store, by its signature."""
    signature = next(iter(Store().get(tag).record.signatures.values()))
    parameters = {_identifier(each.name): _array(each.dtype) for each in signature.inputs}
    asked, outputs = f"self.model({', '.join(parameters)})", signature.outputs
    if len(outputs) > 1:
        names = [each.name for each in outputs]
        body = [
            f"answers = zip({names!r}, {asked}, strict=True)",
            "return {name: each.tolist() for name, each in answers}",
        ]
        return Call("predict", parameters, "dict[str, Any]", body)
    batched = signature.batchable and signature.batch_axis == 0 and len(parameters) == 1
    return Call("predict", parameters, _array(outputs[0].dtype), [f"return {asked}"], LARGEST if batched else None)


def _annotation(value: Value, what: str) -> str:
    match value:
        case TensorValue(spec):
            return _array(str(spec.dtype))
        case ImageValue():
            return "Image"
        case JsonValue(type=plain) if plain in (Any, int, float, str, bool, list, dict):
            return "Any" if plain is Any else str(plain.__name__)
        case JsonValue(type=nested) if re.fullmatch(r"(list|dict|tuple|int|float|str|bool|[\[\], |])+", str(nested)):
            return str(nested)
    raise _unknown(f"{what} is {value}")


def _array(dtype: str) -> str:
    return f"{STRINGS.get(dtype, dtype).capitalize()}Array"


def _identifier(name: str) -> str:
    """A model's input as a parameter's name."""
    found = re.sub(r"\W", "_", name)
    return f"x{found}" if not found[:1].isalpha() or keyword.iskeyword(found) else found


def _unknown(what: str) -> UserError:
    return UserError(f"Not written in BentoML's form here: {what}.", "tensors, pictures and plain JSON are.")


def main(folder: str) -> None:
    try:
        told: dict[str, Any] = service_of(Path(folder))
    except UserError as error:
        told = {"sentence": error.sentence, "remedy": error.remedy, "exit_code": error.exit_code}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
