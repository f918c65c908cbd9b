"""An autoscaler at work: callers come and go, and the replicas on Ray Serve follow them.

Ray starts about ten processes and takes its time. So the story is played in a process of its
own, while a notebook goes on; ``wait`` then tells what was seen.

>>> story = Story("replicas:Elsewhere", folder, [Phase(1), Phase(6, until=3), Phase(0, until=1)])  # doctest: +SKIP
>>> story.start()       # doctest: +SKIP
>>> story.wait().looks  # doctest: +SKIP
"""

import contextlib
import importlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.installed import is_installed
from helpers.places import ROOT

LOOK_SECONDS = 0.15
# Each of Ray's processes checks its settings with jsonschema, which would build a parser for web
# addresses, one second long, if JupyterLab has brought it. Ray has no use for it.
LEFT_OUT = "rfc3987_syntax"
# It reports to nobody, keeps no password in the user's own folder, and does not start once more when
# something asks for it after it was shut down.
ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


@dataclass(frozen=True)
class Phase:
    """So many callers, each asking again when it is answered: ``hold`` seconds long, once there are
    ``until`` replicas (if it matters), and ``patience`` seconds at most."""

    callers: int
    until: int | None = None
    hold: float = 1.0
    patience: float = 20.0


@dataclass(frozen=True)
class Seen:
    """Seconds from the beginning, callers and running replicas at each look; of each answer when it was
    asked for, and how long it took."""

    looks: list[tuple[float, int, int]]
    answers: list[tuple[float, float]]


class Story:
    """Plays phases on the deployment ``module:name``, whose module lies in ``folder``."""

    def __init__(self, target: str, folder: Path, phases: Sequence[Phase]) -> None:
        self.target = target
        self.folder = folder
        self.phases = list(phases)
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: Seen | None = None

    def start(self) -> None:
        """Begin; if it was begun before, begin anew."""
        if not is_installed("ray"):
            raise UserError("Ray is not installed here.", "python3 -m helpers setup --extra scale")
        self.stop()
        self._seen = None
        paths = [str(self.folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
        played = [sys.executable, "-m", "helpers.bench.autoscaling", self.target]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "helpers.bench.tether", *played, json.dumps([*map(asdict, self.phases)])],
                cwd=self.folder,
                env=os.environ | ALONE | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def wait(self) -> Seen:
        """What was seen, when it is over."""
        if self._seen is None:
            if self._process is None:
                raise UserError("The story was not started.", "start it first.")
            told = self._process.stdout.readline()  # type: ignore[union-attr]
            threading.Thread(target=self.stop).start()  # Ray takes seconds to end, and nothing more is seen
            if not told:
                said = self._log.read_text("utf-8", "replace").strip().splitlines()
                raise UserError("Ray did not come to the end of the story.", said[-1] if said else "it said nothing.")
            found = json.loads(told)
            self._seen = Seen([tuple(each) for each in found["looks"]], [tuple(each) for each in found["answers"]])
        return self._seen

    def stop(self) -> None:
        """End it, wherever it is, with all of Ray's processes."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]  # the tether sees it and ends all
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]

    @property
    def _log(self) -> Path:
        return self.folder / "ray_story.log"


def play(target: str, phases: Sequence[Phase], tell: Callable[[Seen], None]) -> None:
    """In this process: start Ray, serve the deployment, let the callers come and go."""
    module, _, name = target.partition(":")
    with tempfile.TemporaryDirectory(prefix="servelab-") as folder:
        Path(folder, f"{LEFT_OUT}.py").write_text("raise ImportError('left out')\n", "utf-8")
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
        sys.path.insert(0, folder)
        import ray
        from ray import serve

        # No dashboard, no port but the loopback's, and nobody's name is looked up on a network.
        ray.init(
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address="127.0.0.1",
        )
        try:
            serve.start(http_options={"location": "NoServer"})
            deployment = getattr(importlib.import_module(module), name)
            handle = serve.run(deployment.bind(), route_prefix=None)
            tell(_watched(serve, handle, name, phases))
        finally:
            ray.shutdown()


def _watched(serve: Any, handle: Any, name: str, phases: Sequence[Phase]) -> Seen:
    looks: list[tuple[float, int, int]] = []
    answers: list[tuple[float, float]] = []
    clock, pause, over = time.perf_counter, threading.Event(), threading.Event()
    began, callers = clock(), 0

    def call(number: int) -> None:
        while not over.is_set():
            if number < callers:
                asked = clock()
                handle.remote().result()
                answers.append((asked - began, clock() - asked))
            else:
                pause.wait(0.05)

    asking = [threading.Thread(target=call, args=(number,)) for number in range(max(each.callers for each in phases))]
    for thread in asking:
        thread.start()
    try:
        for phase in phases:
            callers, since, reached = phase.callers, clock(), None
            while clock() - since < phase.patience and (reached is None or clock() - reached < phase.hold):
                states = serve.status().applications["default"].deployments[name].replica_states
                running = int(states.get("RUNNING", 0))
                looks.append((clock() - began, callers, running))
                if reached is None and phase.until in (None, running):
                    reached = clock()
                pause.wait(LOOK_SECONDS)
    finally:
        over.set()
        for thread in asking:
            thread.join()
    return Seen(looks, answers)


def _print(seen: Seen) -> None:
    print(json.dumps(asdict(seen)), flush=True)


if __name__ == "__main__":
    play(sys.argv[1], [Phase(**each) for each in json.loads(sys.argv[2])], _print)
