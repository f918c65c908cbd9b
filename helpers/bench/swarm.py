"""Locust, run headless: so many users who each ask, wait for the answer, and ask again."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from helpers.bench.load import Question
from helpers.errors import UserError
from helpers.installed import expect_installed

USER = """
import json, os
from pathlib import Path
from locust import FastHttpUser, constant, task

asked = json.loads(Path(os.environ["SERVELAB_QUESTION"]).read_text("utf-8"))
body = bytes.fromhex(asked["body"])


class Caller(FastHttpUser):
    wait_time = constant(0)

    @task
    def ask(self):
        self.client.post(asked["path"], data=body, headers=asked["headers"])
"""


@dataclass(frozen=True)
class Swarm:
    """Locust's statistics: rates a second, latencies in seconds, and its history second by second."""

    users: int
    requests: int
    failures: int
    rate: float
    p50: float
    p95: float
    p99: float
    history: tuple[tuple[float, float, float], ...]  # second, requests a second, median so far in seconds


def swarm(address: str, question: Question, users: int = 50, seconds: int = 8, spawn_rate: int = 50) -> Swarm:
    """Let ``users`` loose on a server for so many seconds."""
    expect_installed("A swarm of users", ["locust"])
    with tempfile.TemporaryDirectory(prefix="servelab-swarm-") as place:
        folder = Path(place)
        (folder / "locustfile.py").write_text(USER, "utf-8")
        told = {"path": question.path, "body": question.body.hex(), "headers": question.headers}
        (folder / "question.json").write_text(json.dumps(told), "utf-8")
        load = ["-u", str(users), "-r", str(spawn_rate), "-t", f"{seconds}s", "--host", address]
        command = [sys.executable, "-m", "locust", "--headless", "--csv", "found", "--csv-full-history", *load]
        ran = subprocess.run(
            [*command, "--only-summary", "--reset-stats", "-f", "locustfile.py"],
            cwd=folder,
            env=os.environ | {"SERVELAB_QUESTION": str(folder / "question.json")},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
        )
        stats = folder / "found_stats.csv"
        if not stats.exists():
            raise UserError("Locust did not run.", ran.stderr.strip()[-500:] or "it said nothing.")
        return _read(users, stats, folder / "found_stats_history.csv")


def _read(users: int, stats: Path, history: Path) -> Swarm:
    whole = next(row for row in _rows(stats) if row["Name"] == "Aggregated")
    past = [row for row in _rows(history) if row["Name"] == "Aggregated" and _seconds(row["50%"]) is not None]
    first = float(past[0]["Timestamp"]) if past else 0.0
    return Swarm(
        users,
        int(whole["Request Count"]),
        int(whole["Failure Count"]),
        float(whole["Requests/s"]),
        _seconds(whole["50%"]) or 0.0,
        _seconds(whole["95%"]) or 0.0,
        _seconds(whole["99%"]) or 0.0,
        tuple((float(row["Timestamp"]) - first, float(row["Requests/s"]), _seconds(row["50%"]) or 0.0) for row in past),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _seconds(milliseconds: str) -> float | None:
    return float(milliseconds) / 1e3 if milliseconds not in ("", "N/A") else None
