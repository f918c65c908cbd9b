"""``bench runtime``: one model, one machine, every way to run it that is here.

All contestants of a model and a batch size take turns, and answer for their correctness
before they are timed. Ratios are against the bare session loop of the same rounds.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.bench.contestants import LIMIT, Contestants, Rows, Subject, all_contestants
from helpers.bench.timing import Timing, duration, take_turns
from helpers.text_table import aligned

MODELS = ("digits", "wide", "resnet18")
BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Result:
    """One contestant at one batch size. ``apart`` is its largest difference from torch's answer."""

    model: str
    contestant: str
    batch: int
    timing: Timing
    ratio: float
    apart: float

    def as_dict(self) -> dict[str, Any]:
        low, high = self.timing.quartiles
        return {
            "model": self.model,
            "contestant": self.contestant,
            "batch": self.batch,
            "median_s": self.timing.median,
            "quartiles_s": [low, high],
            "rounds": len(self.timing.seconds),
            "times_the_bare_loop": self.ratio,
            "largest_difference": self.apart,
        }


def measure(
    models: Sequence[str] = MODELS,
    batches: Sequence[int] = BATCHES,
    threads: int = 1,
    seconds: float = 3.0,
    without: frozenset[str] = frozenset(),
    say: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Measure the models one after the other; ``seconds`` for each model and batch size."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="servelab-bench-") as folder, _torch_threads(threads):
        for name in models:
            say(f"{name}: making the contestants ready")
            subject = make_subject(name, Path(folder), threads)
            contestants = all_contestants(subject, without)
            for absent, why in contestants.absent.items():
                say(f"  without {absent}: {why}")
            for batch in batches:
                say(f"  batch of {batch}")
                results += _one_size(subject, contestants, batch, seconds)
    return results


def make_subject(name: str, folder: Path, threads: int) -> Subject:
    """A model of the zoo, exported, with rows like those that it sees."""
    from helpers import zoo
    from helpers.convert import to_onnx

    random = np.random.default_rng(0)
    if name == "digits":
        model, example = zoo.digits_cnn(), zoo.digits().train_images[:64]
    elif name == "wide":
        model, example = zoo.wide_mlp(), random.random((64, 784), dtype=np.float32)
    else:
        model, example = zoo.resnet18(), random.random((4, 3, 224, 224), dtype=np.float32)
    return Subject(name, model, to_onnx(model, example, folder / f"{name}.onnx"), example, threads)


def tables(results: Sequence[Result]) -> str:
    """For each model: the median of a call, and how often the bare loop's time goes into it."""
    texts = []
    for model in dict.fromkeys(result.model for result in results):
        of_model = [result for result in results if result.model == model]
        batches = list(dict.fromkeys(result.batch for result in of_model))
        rows = []
        for contestant in dict.fromkeys(result.contestant for result in of_model):
            own = {result.batch: result for result in of_model if result.contestant == contestant}
            cells = [_cell(own[batch]) if batch in own else "" for batch in batches]
            rows.append([contestant, *cells, f"{max(result.apart for result in own.values()):.0e}"])
        columns = [model, *(f"batch of {batch}" for batch in batches), "off by"]
        texts.append(aligned(columns, rows))
    note = "Median of a call ± half the middle half's width; in brackets, times the bare session loop."
    return "\n\n".join(texts) + f"\n\n{note}"


def _cell(result: Result) -> str:
    low, high = result.timing.quartiles
    spread = (high - low) / 2 / result.timing.median if result.timing.median else 0.0
    return f"{duration(result.timing.median)} ±{spread:.0%} [{result.ratio:.2f}]"


def _one_size(subject: Subject, contestants: Contestants, batch: int, seconds: float) -> Iterator[Result]:
    rows = subject.rows(batch)
    wanted = _answer(subject, rows)
    runners, apart = {}, {}
    for name, ready in contestants.ready.items():
        runners[name] = ready(rows)
        apart[name] = float(np.abs(np.asarray(runners[name]()) - wanted).max())  # and this warms it up
    times = take_turns(runners, rounds=200, seconds=seconds)
    for name, timing in times.items():
        yield Result(subject.name, name, batch, timing, timing.ratio(times[LIMIT]), apart[name])


def _answer(subject: Subject, rows: Rows) -> Rows:
    import torch

    with torch.inference_mode():
        return np.asarray(subject.model(torch.from_numpy(rows)))


@contextlib.contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
