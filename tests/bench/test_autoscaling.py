"""Ray Serve's autoscaler, watched: from one replica to three and back, and nothing left behind."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from helpers.bench import autoscaling
from helpers.bench.autoscaling import Phase, Seen, Story
from helpers.errors import UserError

SERVICE = """
import asyncio
from ray import serve

@serve.deployment(
    max_ongoing_requests=2,
    ray_actor_options={"num_cpus": 0.1},
    autoscaling_config={
        "min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 1, "upscale_delay_s": 0.3,
        "downscale_delay_s": 1.0, "metrics_interval_s": 0.2, "look_back_period_s": 0.5,
    },
)
class Waits:
    async def __call__(self):
        await asyncio.sleep(0.1)
"""


def of_ray(folder: Path) -> list[psutil.Process]:
    """Processes that the story of this folder started."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cwd"] == str(folder) or str(folder) in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> bool:
    ends = time.monotonic() + seconds
    while not holds() and time.monotonic() < ends:
        time.sleep(0.1)
    return holds()


def test_replicas_follow_the_callers(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "waits.py").write_text(SERVICE)
    story = Story("waits:Waits", tmp_path, [Phase(1, hold=0.2), Phase(6, until=3, hold=0.2), Phase(0, until=1)])
    story.start()
    seen = story.wait()
    assert max(running for _, _, running in seen.looks) == 3
    assert seen.looks[0][1:] == (1, 1) and seen.looks[-1][1:] == (0, 1)
    assert len(seen.answers) > 6 and all(took >= 0.1 for _, took in seen.answers)
    assert story.wait() is seen, "asked again, it tells the same"
    assert wait_for(lambda: not of_ray(tmp_path)), "nothing stays behind"


def test_stopped_in_the_middle_it_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "waits.py").write_text(SERVICE)
    story = Story("waits:Waits", tmp_path, [Phase(1, hold=60, patience=60)])
    story.start()
    assert wait_for(lambda: len(of_ray(tmp_path)) > 1)
    story.stop()
    assert wait_for(lambda: not of_ray(tmp_path))


def test_a_story_that_fails_says_why(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    story = Story("nowhere:Nothing", tmp_path, [Phase(1)])
    story.start()
    with pytest.raises(UserError, match="nowhere"):
        story.wait()


def test_without_ray_there_is_a_sentence_and_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaling, "is_installed", lambda package: False)
    story = Story("waits:Waits", tmp_path, [Phase(1)])
    with pytest.raises(UserError, match="--extra scale"):
        story.start()
    with pytest.raises(UserError, match="not started"):
        story.wait()


class Handle:
    """Answers at once, and counts who asks."""

    def remote(self) -> "Handle":
        return self

    def result(self) -> None:
        time.sleep(0.005)


class Serve:
    """One replica more each time that it is looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def status(self) -> "Serve":
        self.looks += 1
        return self

    @property
    def applications(self) -> "dict[str, Serve]":
        return {"default": self}

    @property
    def deployments(self) -> "dict[str, Serve]":
        return {"Waits": self}

    @property
    def replica_states(self) -> dict[str, int]:
        return {"RUNNING": self.looks}


def test_a_phase_ends_when_it_was_reached_and_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaling, "LOOK_SECONDS", 0.04)
    seen: Seen = autoscaling._watched(
        Serve(), Handle(), "Waits", [Phase(2, until=4, hold=0), Phase(0, until=99, patience=0.05)]
    )
    first = [running for _, callers, running in seen.looks if callers == 2]
    assert first == [1, 2, 3, 4]
    assert seen.looks[-1][1] == 0 and seen.answers
