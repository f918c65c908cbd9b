"""A laboratory of batching: sliders for the load and the policy, and the queue that comes of it."""

import html
from typing import Any

import numpy as np

from helpers.bench.batching import Cost, Timeline, in_a_window, one_at_a_time, poisson, simulate, when_busy
from helpers.classroom.pictures import Picture
from helpers.classroom.timelines import queue_picture

COUNT = 400  # arrivals: enough for a p99 that means something


class BatchingLab:
    """The same arrivals under three policies; ``timelines`` are those that are shown.

    >>> BatchingLab(rate=400, a_ms=4, b_ms=0.5, window_ms=5, largest=16)  # doctest: +SKIP
    """

    def __init__(
        self,
        rate: float = 200.0,
        a_ms: float = 4.0,
        b_ms: float = 0.5,
        window_ms: float = 10.0,
        largest: int = 16,
        seed: int = 0,
    ) -> None:
        self.settings: dict[str, float] = {
            "rate": rate,
            "a_ms": a_ms,
            "b_ms": b_ms,
            "window_ms": window_ms,
            "largest": largest,
        }
        self.seed = seed
        self._widget: Any = None

    @property
    def timelines(self) -> dict[str, Timeline]:
        """What each policy makes of the arrivals."""
        now = self.settings
        arrivals = poisson(now["rate"], COUNT, np.random.default_rng(self.seed))
        cost, largest = Cost(now["a_ms"] / 1e3, now["b_ms"] / 1e3), int(now["largest"])
        return {
            "one at a time": simulate(arrivals, one_at_a_time, cost),
            f"a window of {now['window_ms']:g} ms": simulate(
                arrivals, in_a_window(now["window_ms"] / 1e3, largest), cost
            ),
            "when busy": simulate(arrivals, when_busy(largest), cost),
        }

    def picture(self) -> Picture:
        """The first requests of each, and the latencies of all."""
        return queue_picture(self.timelines)

    def widget(self) -> Any:
        """The sliders above the picture."""
        if self._widget is None:
            from ipywidgets import HTML, FloatLogSlider, FloatSlider, IntSlider, Layout, VBox

            style = {"style": {"description_width": "14em"}, "layout": Layout(width="34em"), "continuous_update": False}
            sliders = {
                "rate": FloatLogSlider(
                    description="arrivals a second", base=10, min=1, max=3.5, step=0.1, readout_format=".0f", **style
                ),
                "a_ms": FloatSlider(description="a call costs (a), ms", min=0, max=20, step=0.5, **style),
                "b_ms": FloatSlider(description="a row costs (b), ms", min=0, max=5, step=0.1, **style),
                "window_ms": FloatSlider(description="window, ms", min=0, max=50, step=1, **style),
                "largest": IntSlider(description="largest batch", min=1, max=64, **style),
            }
            shown = HTML()

            def show(_: object = None) -> None:
                self.settings = {name: float(slider.value) for name, slider in sliders.items()}
                shown.value = f'<div aria-live="polite">{self.picture()._repr_html_()}</div>'

            for name, slider in sliders.items():
                slider.value = self.settings[name]
                slider.observe(show, names="value")
            show()
            self._widget = VBox([*sliders.values(), shown])
        return self._widget

    def __repr__(self) -> str:
        return repr(self.picture())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        told = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        picture = self.picture()
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": f"<p>{html.escape(told)}</p>{picture._repr_html_()}",
            "text/plain": repr(picture),
        }
