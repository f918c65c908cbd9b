"""Models that the table tests convert: how each is made, and what its own framework answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Answers = dict[str, Any]  # the name of an output → an array


@dataclass(frozen=True)
class Case:
    """A model, and either what its file must answer or why there must be no file.

    ``oracle`` calls the framework itself, never the kit: it returns the outputs by name, in the file's order.
    ``held_out`` returns batches of input for a model, which the conversion has not seen. Arrays without a name are
    fed as ``inputs``. With ``refused``, a pattern of the sentence and one of the remedy, the conversion must fail.
    """

    name: str
    make: Callable[[], Any]
    example: Any
    oracle: Callable[[Any, Any], Answers] | None = None
    held_out: Callable[[Any], list[Any]] | None = None
    inputs: Sequence[str] = ("input",)
    options: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


def by_method(**methods: str) -> Callable[[Any, Any], Answers]:
    """The oracle of a model in scikit-learn's manner: each output is what one of its methods returns."""

    def oracle(model: Any, rows: Any) -> Answers:
        answers: Answers = {}
        for name, method in methods.items():
            answer = getattr(model, method)(rows)
            if isinstance(answer, list):  # a table for each target
                answers |= {f"{name}_{place}": table for place, table in enumerate(answer)}
            else:
                answers[name] = answer.toarray() if hasattr(answer, "toarray") else answer
        return answers

    return oracle


CLASSES = by_method(label="predict", probabilities="predict_proba")
LABELS = by_method(label="predict")
NUMBERS = by_method(output="predict")
TABLE = by_method(output="transform")
