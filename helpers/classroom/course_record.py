"""One's own course so far: what was measured on this machine, lesson by lesson, drawn."""

from collections.abc import Callable, Mapping

from helpers.bench.timing import duration
from helpers.classroom.lessons import all_lessons
from helpers.classroom.measurements import recall
from helpers.classroom.pictures import Picture

# What the end of a figure's name says of its unit; without any, a number is a number.
UNITS: dict[str, Callable[[float], str]] = {
    "seconds": duration,
    "per_second": lambda value: f"{value:,.0f}/s",
    "bytes": lambda value: f"{value / 1e6:.2f} MB",
    "mb": lambda value: f"{value:,.0f} MB",
    "accuracy": lambda value: f"{value:.1%}",
    "share": lambda value: f"{value:.0%}",
}
A_COLUMN = 3


def course_so_far() -> Picture:
    """A panel for each series that was kept; single figures stand below the lesson's name."""
    import matplotlib.pyplot as plt

    panels = _panels()
    if not panels:
        figure, place = plt.subplots(figsize=(6, 1))
        place.axis("off")
        nothing = "Nothing was measured on this machine yet: run the lessons from 02 on."
        place.text(0, 0.5, nothing)
        return Picture(figure, alt=nothing)
    rows = -(-len(panels) // A_COLUMN)
    figure, places = plt.subplots(rows, A_COLUMN, figsize=(12, 2.3 * rows), squeeze=False, layout="constrained")
    told = []
    for place, (title, series) in zip(places.flat, panels, strict=False):
        names, values, texts = (
            list(series),
            [value for value, _ in series.values()],
            [text for _, text in series.values()],
        )
        place.barh(names, values, color="#90caf9", edgecolor="#0d47a1")
        place.bar_label(place.containers[0], labels=texts, fontsize=7, padding=2)
        place.set_title(title, fontsize=9, loc="left")
        place.tick_params(labelsize=7)
        place.set(xticks=[], xlim=(0, 1.35 * max([*values, 1e-12])))
        place.invert_yaxis()
        told.append(f"{title}: {', '.join(f'{name} {text}' for name, text in zip(names, texts, strict=True))}")
    for place in places.flat[len(panels) :]:
        place.axis("off")
    return Picture(figure, alt="Measured on this machine. " + ". ".join(told) + ".")


def _panels() -> list[tuple[str, Mapping[str, tuple[float, str]]]]:
    """A title and a series each: number and text by name."""
    panels: list[tuple[str, Mapping[str, tuple[float, str]]]] = []
    for lesson in all_lessons():
        kept = recall(lesson.number)
        single = {name: value for name, value in kept.items() if isinstance(value, int | float)}
        series = {name: value for name, value in kept.items() if isinstance(value, dict) and value}
        for name, values in series.items():
            shown = {each: (float(value), _text(name, value)) for each, value in values.items()}
            panels.append((f"{lesson.number} {name.replace('_', ' ')}", shown))
        for unit in dict.fromkeys(map(_unit, single)):  # bars of one panel are of one unit
            own = {name: value for name, value in single.items() if _unit(name) == unit}
            shown = {name.replace("_", " "): (float(value), _text(name, value)) for name, value in own.items()}
            panels.append((lesson.number, shown))
    return panels


def _text(name: str, value: float) -> str:
    """A number with its unit."""
    unit = UNITS.get(_unit(name))
    return unit(value) if unit else f"{value:.3g}"


def _unit(name: str) -> str:
    """What the end of a name says."""
    return next((end for end in UNITS if name == end or name.endswith(f"_{end}")), "")
