"""The picture of ``bench runtime``: time for a row over the batch size, one panel for each model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.bench.runtime import Result

MARKERS = "osD^v<>Pp*hX"
STYLES = ("-", "--", "-.", ":")


def draw(results: Sequence[Result], path: Path) -> Path:
    """Draw the medians with the middle half of the samples; markers and dashes tell them apart without colour."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(result.model for result in results))
    contestants = list(dict.fromkeys(result.contestant for result in results))
    figure = Figure(figsize=(5.2 * len(models), 4.6), layout="constrained")
    for place, model in zip(np.atleast_1d(figure.subplots(1, len(models))), models, strict=True):
        for number, contestant in enumerate(contestants):
            own = [result for result in results if (result.model, result.contestant) == (model, contestant)]
            batches = [result.batch for result in own]
            low, high = np.array([result.timing.quartiles for result in own]).T / batches * 1e6
            style = {"marker": MARKERS[number % len(MARKERS)], "linestyle": STYLES[number % len(STYLES)]}
            middle = [result.timing.median / result.batch * 1e6 for result in own]
            (line,) = place.plot(batches, middle, label=contestant, markersize=5, linewidth=1.2, **style)
            place.fill_between(batches, low, high, alpha=0.15, color=line.get_color())
        place.set(xscale="log", yscale="log", title=model, xlabel="rows in a batch", ylabel="microseconds for a row")
        place.set_xticks(batches, [str(batch) for batch in batches])
        place.minorticks_off()
    figure.legend(
        *place.get_legend_handles_labels(), loc="outside lower center", ncols=4 if len(models) > 1 else 2, fontsize=8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, facecolor="white")
    return path
