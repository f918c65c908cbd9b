"""Load under the hand: so many requests a second on a server, and what comes of them while they come."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.bench.load import Question
from helpers.bench.offered_load import Offered, offer
from helpers.classroom.pictures import Picture

STEP = 0.5  # seconds that one point of the picture stands for


class LoadPanel:
    """A slider for the rate, a button, and a picture that grows. ``run`` does the same from a cell.

    >>> panel = LoadPanel(lambda: server.address, question)  # doctest: +SKIP
    >>> panel.run(rate=200, seconds=4)                       # doctest: +SKIP
    """

    def __init__(self, address: Callable[[], str], question: Question, title: str = "", seed: int = 0) -> None:
        self.address = address
        self.question = question
        self.title = title
        self.random = np.random.default_rng(seed)
        self.points: list[tuple[float, float, int]] = []  # when it was answered, after how long, with what
        self.rate = 0.0
        self._widget: Any = None
        self._busy = threading.Lock()

    def run(self, rate: float, seconds: float = 4.0) -> Offered:
        """Offer so much for so long, and keep what came of it for the picture."""
        self.points, self.rate = [], rate
        return offer(self.address(), self.question, rate, seconds, self.random, self._note)

    def picture(self) -> Picture:
        """Answers a second, and how long they took, over time."""
        import matplotlib.pyplot as plt

        figure, (upper, lower) = plt.subplots(2, 1, figsize=(7.5, 4), sharex=True, layout="constrained")
        ended = np.array([asked + latency for asked, latency, _ in self.points])
        latencies = 1e3 * np.array([latency for _, latency, _ in self.points])
        good = np.array([status == 200 for *_, status in self.points], bool)
        times, rates, middles, worsts = [], [], [], []
        for start in np.arange(0, ended.max() if len(ended) else 0, STEP):
            inside = (ended >= start) & (ended < start + STEP)
            if inside.any():
                times.append(start + STEP / 2)
                rates.append((inside & good).sum() / STEP)
                middles.append(np.percentile(latencies[inside], 50))
                worsts.append(np.percentile(latencies[inside], 99))
        upper.bar(times, rates, width=0.8 * STEP, color="#90caf9", edgecolor="#0d47a1", label="answered")
        upper.axhline(self.rate, linestyle="--", color="#333333", label="offered")
        upper.set(ylabel="requests a second", title=self.title)
        upper.legend(loc="lower right", fontsize=8)
        lower.plot(times, middles, marker="o", label="p50")
        lower.plot(times, worsts, marker="s", linestyle="--", label="p99")
        lower.set(xlabel="seconds", ylabel="milliseconds", ylim=(0, None))
        lower.legend(loc="upper right", fontsize=8)
        return Picture(figure, alt=self.told())

    def told(self) -> str:
        """The same in a sentence."""
        if not self.points:
            return "No load was offered yet."
        latencies = 1e3 * np.array([latency for _, latency, _ in self.points])
        failed = sum(status != 200 for *_, status in self.points)
        p50, p99 = np.percentile(latencies, [50, 99])
        return (
            f"{self.rate:g} requests a second were offered; {len(self.points) - failed} of {len(self.points)} "
            f"were answered, half of them within {p50:.1f} ms and 99 of 100 within {p99:.1f} ms."
        )

    def widget(self) -> Any:
        """Slider, button and picture."""
        if self._widget is None:
            from ipywidgets import HTML, Button, FloatLogSlider, HBox, Layout, VBox

            rate = FloatLogSlider(
                value=self.rate or 100,
                base=10,
                min=1,
                max=3.5,
                step=0.1,
                description="requests a second",
                readout_format=".0f",
                style={"description_width": "initial"},
                layout=Layout(width="30em"),
            )
            button = Button(description="Load, 6 s")
            self._shown = HTML(self._html())
            button.on_click(lambda _: threading.Thread(target=self._run_live, args=(rate.value,), daemon=True).start())
            self._widget = VBox([HBox([rate, button]), self._shown])
        return self._widget

    def __repr__(self) -> str:
        return self.told()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self._html(),
            "text/plain": self.told(),
        }

    def _note(self, asked: float, latency: float, status: int) -> None:
        self.points.append((asked, latency, status))

    def _run_live(self, rate: float) -> None:
        """The load in one thread, the picture in another, until the load ends."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            loading = threading.Thread(target=self._try, args=(rate,), daemon=True)
            loading.start()
            while loading.is_alive():
                loading.join(STEP)
                self._shown.value = self._html()
        finally:
            self._busy.release()

    def _try(self, rate: float) -> None:
        try:
            self.run(rate, 6.0)
        except (OSError, ValueError) as error:
            self._shown.value = f"<p>No load: {error}</p>"

    def _html(self) -> str:
        told = f'<p role="status">{self.told()}</p>'
        return told + (str(self.picture()._repr_html_()) if self.points else "")
