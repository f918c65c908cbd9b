"""One way from any framework's model to an ONNX file.

Each framework has a file in ``frameworks/`` with a ``Converter``: what it recognises,
how it writes a model, and what that model itself answers. A framework of your own is
added in the same way:

>>> register(Converter("abacus", handles=lambda kind: kind is Abacus, write=…, answer=…))  # doctest: +SKIP
>>> to_onnx(Abacus(), example, "abacus.onnx")                                              # doctest: +SKIP
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from helpers import atomic_files
from helpers.convert.clues import read_clues
from helpers.convert.errors import ConversionError
from helpers.convert.inputs import Arrays, Inputs, read_example, two_rows
from helpers.convert.locales import choose_locale
from helpers.convert.model_file import complete, free_axes, publish
from helpers.convert.probing import all_probes
from helpers.convert.shapes import output_shapes, read_axes
from helpers.convert.silence import quietly
from helpers.convert.unchanged import copied, expect_repeatable, random_state_kept
from helpers.convert.verification import TOLERANCE, Original
from helpers.convert.verification import verify as verify_file
from helpers.installed import expect_installed

Axes = Mapping[str, Mapping[int, str]] | Sequence[Mapping[int, str]]


@dataclass(frozen=True)
class Converter:
    """How the models of one framework become ONNX.

    ``handles`` is asked about the class of a model, and then about each class that it
    is derived from. ``write`` puts the model into a file; ``example`` holds two rows of
    each input. ``answer`` asks the model itself, with and for numpy arrays, one for
    each output of the file. ``needs`` are the packages that do the work.

    ``unchanged`` gives the model to work on, and leaves the caller's as it was. ``takes``
    are the options of ``to_onnx`` that are passed on to ``write`` and ``answer``. ``variants``
    are further options of ``write``: the first with which the file answers as the model is taken.
    ``defines_missing`` says that a model of the framework refuses missing numbers unless it gives them
    a meaning; its answers to them then have to be the file's too. ``scores`` are what decides on a
    label, where that is not the probabilities of ``answer``: labels may differ where two of them tie.
    """

    name: str
    handles: Callable[[type], bool]
    write: Callable[..., None]
    answer: Callable[..., Arrays]
    needs: Sequence[str] = ()
    unchanged: Callable[[Any], AbstractContextManager[Any]] = copied
    takes: Sequence[str] = ()
    variants: Sequence[Mapping[str, Any]] = ({},)
    defines_missing: bool = False
    scores: Callable[[Any, Inputs], Any] = lambda model, arrays: None


_Made = tuple[Path, str | None]  # a file, and the locale that it needs

# The newest first: what a learner registers comes before what the kit brings.
_registered: list[Converter] = []


def register(converter: Converter) -> None:
    """Make ``to_onnx`` and ``parity`` know one more framework; the same name again replaces it."""
    _registered[:] = [known for known in _registered if known.name != converter.name]
    _registered.insert(0, converter)


def to_onnx(
    model: Any,
    example: Any,
    path: Path | str,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    *,
    dynamic_axes: Axes | None = None,
    methods: Sequence[str] = (),
    verify: bool = True,
    tolerance: float = TOLERANCE,
) -> Path:
    """Write a model of any known framework as one ONNX file that answers as it does, and return its path.

    ``example`` is a batch of input: an array, a tuple of arrays, arrays by name, or a DataFrame,
    which becomes an input for each column. It tells the types and the shape of a row. The first axis
    of each input may have any size in the file, where it is called ``batch``; ``dynamic_axes`` names
    the others that may, such as ``[{1: "length"}]`` or ``{"images": {2: "height", 3: "width"}}``.
    ``inputs`` and ``outputs`` name the tensors in order; without them the framework's own names stay.
    ``methods`` are those of a scikit-learn model that the file answers with, such as
    ``["predict", "decision_function"]``.

    The file is compared with the model before it is returned, on the example and on rows made from it
    (see ``helpers.convert.verification``); where it differs by more than ``tolerance`` times the largest
    number of an output, there is a ConversionError and no file.
    ``verify=False`` skips that, for models that are random or keep state.

    >>> to_onnx(pipeline, rows, "digits.onnx", outputs=["label", "probabilities"])  # doctest: +SKIP
    """
    original, path = unwrapped(model), Path(path)
    converter = converter_for(original)
    if converter is None:
        raise ConversionError(
            f"There is no converter for {_kind(original)}.",
            f"known are {', '.join(known.name for known in converters())}; "
            "add one of your own with helpers.convert.register.",
        )
    expect_installed(f"Converting a {converter.name} model", converter.needs)
    given = read_example(example)
    options: dict[str, Any] = {"methods": tuple(methods)} if methods else {}
    lengths = read_axes(dynamic_axes, given)
    _expect_taken(converter, [*options, *(["dynamic_axes"] if lengths else [])])
    writing = options | ({"lengths": lengths} if lengths else {})
    name = "The SavedModel" if isinstance(original, Path) else type(original).__name__
    two = two_rows(given)
    with converter.unchanged(original) as working, random_state_kept(), quietly():

        def answer(arrays: Inputs) -> Arrays:
            return converter.answer(working, arrays, **options)

        answers = answers_to_example(name, answer, given, two)
        if verify:
            expect_repeatable(name, answer, two)
        shapes = output_shapes(name, answer, two, answers, lengths)
        with atomic_files.temporary_folder(path.parent, ".to-onnx-") as folder:

            def attempt(place: int) -> _Made:
                made = folder / str(place) / path.name
                made.parent.mkdir()
                converter.write(working, two, made, **writing, **converter.variants[place])
                done = complete(made, given, inputs, outputs, answers, shapes, lengths)
                locale = choose_locale(done)
                if verify:
                    clues = read_clues(done)
                    probes = all_probes(given, lengths, clues, converter.defines_missing)
                    model_itself = Original(name, answer, partial(converter.scores, working), tolerance)
                    free_axes(done, verify_file(done, model_itself, probes))
                return done, locale

            done, locale = _first_that_holds(attempt, len(converter.variants))
            publish(done, path)
    if locale:
        message = (
            f"{path.name} changes the case of text with the locale {locale}: each machine that serves it needs it."
        )
        warnings.warn(message, stacklevel=2)
    return path


def _first_that_holds(attempt: Callable[[int], _Made], count: int) -> _Made:
    """The file of the first variant that is right; if none is, what the first was refused for."""
    refusals: list[ConversionError] = []
    for place in range(count):
        try:
            return attempt(place)
        except ConversionError as error:
            if error.exit_code == 2:  # the caller's mistake, in every variant
                raise
            refusals.append(error)
    raise refusals[0]


def answers_to_example(name: str, answer: Callable[[Inputs], Arrays], given: Inputs, two: Inputs) -> Arrays:
    """What the model itself answers; one that cannot answer need not be converted."""
    try:
        return answer(two)
    except ConversionError:
        raise
    except Exception as error:  # whatever a framework, or the model's own code, raises
        why = _why(error)
        shapes = " and ".join(f"{array.dtype} {array.shape}" for array in two)
        if given.rows != two.rows and _is_answered(answer, given):
            raise ConversionError(
                f"{name} answers {given.rows} rows and not {two.rows}: {why}",
                "write the model for any number of rows, without a size that is fixed in its code.",
            ) from error
        raise ConversionError(
            f"{name} itself does not answer the example ({shapes}): {why}",
            "pass an example of the type and the shape that the model takes, and a model that is fitted.",
        ) from error


def converter_for(model: Any) -> Converter | None:
    """The converter of the nearest class that one handles: an XGBoost model is scikit-learn's too."""
    model = unwrapped(model)
    for kind in type(model).__mro__:
        for converter in converters():
            if converter.handles(kind):
                return converter
    return None


def converters() -> list[Converter]:
    """All that are known, in the order in which they are asked."""
    return [*_registered, *_built_in()]


def from_package(name: str) -> Callable[[type], bool]:
    """Handles the classes of a package, without importing it."""
    return lambda kind: kind.__module__.split(".")[0] == name


def unwrapped(model: Any) -> Any:
    """A text names a folder; what torch.compile returns holds the module itself."""
    if isinstance(model, str):
        return Path(model)
    return getattr(model, "_orig_mod", model)


def _expect_taken(converter: Converter, options: Sequence[str]) -> None:
    for option in options:
        if option not in converter.takes:
            takers = " and ".join(known.name for known in converters() if option in known.takes)
            raise ConversionError(
                f"{option} means nothing for a {converter.name} model.", f"leave it out; it is for {takers}.", 2
            )


def _is_answered(answer: Callable[[Inputs], Arrays], inputs: Inputs) -> bool:
    try:
        answer(inputs)
    except Exception:  # the model's own
        return False
    return True


def _why(error: Exception) -> str:
    said = (str(error).strip().splitlines() or ["without a word"])[0]
    return f"{type(error).__name__}: {said[:300]}"


def _kind(model: Any) -> str:
    return f"{model} (a path)" if isinstance(model, Path) else f"a {type(model).__module__}.{type(model).__qualname__}"


@cache
def _built_in() -> tuple[Converter, ...]:
    from helpers.convert.frameworks import (
        keras_models,
        lightgbm_models,
        saved_models,
        sklearn_models,
        torch_models,
        xgboost_models,
    )

    modules = (torch_models, sklearn_models, keras_models, saved_models, xgboost_models, lightgbm_models)
    return tuple(module.CONVERTER for module in modules)
