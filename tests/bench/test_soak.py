"""``bench soak``: honest and hostile callers at once, and a finding that can be a bad one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers.bench import soak
from helpers.bench.engine import make_workload
from helpers.bench.soak import Span
from helpers.bench.soak_callers import Tally, ask_honestly, ask_with_malice, honest_questions, hostile_messages
from helpers.cli import main
from helpers.engine import EngineError
from helpers.places import ROOT
from helpers.runtime import Options, Session

FINE = Span(1.0, 100.0, 900.0, 0.01, (), {"400": 3, "left in the middle": 1})


def test_the_command_sees_both_kinds_of_callers_and_no_honest_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    seen: list[Span] = []
    monkeypatch.setattr(soak, "PAUSE", 0.0)
    measured = soak.measure
    monkeypatch.setattr(soak, "measure", lambda *given: seen.extend(measured(*given)) or seen)
    assert main(["bench", "soak", "--minutes", "0.06", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert not any(span.errors or span.unfair for span in seen)
    assert sum(span.rate for span in seen) > 0 and all(span.megabytes > 10 for span in seen)
    told = {what for span in seen for what in span.hostile}
    assert told >= {"400", "404", "413", "422", "left in the middle", "came byte by byte"}
    assert "hostile: what they were told" in said and "0 errors among them" in said
    assert (tmp_path / "bench" / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_told_to_end_it_leaves_no_server_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "helpers", "bench", "soak", "--minutes", "5", "--workers", "1"]
    variables = os.environ | {"SERVELAB_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout and bench.stdout.readline()
        started = psutil.Process(bench.pid).children(recursive=True)
        bench.terminate()
        assert bench.wait(60) == 128 + signal.SIGTERM
    assert started and psutil.wait_procs(started, timeout=10)[1] == []


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (Span(1.0, 100.0, 900.0, 0.01, ("/mean: 500 b''",), {}), "/mean: 500"),
        (Span(1.0, 100.0, 900.0, 0.01, (), {"500": 2}), "2 were not told 4xx"),
        (Span(1.0, 100.0, 900.0, 0.01, (), {"200": 1}), "1 were not told 4xx"),
        (Span(1.0, 100.0, 900.0, 0.01, (), {"no answer": 4}), "4 were not told 4xx"),
    ],
)
def test_a_bad_finding_is_one(spoilt: Span, why: str) -> None:
    assert soak.went_well([FINE, FINE])
    assert not soak.went_well([FINE, spoilt]) and why in soak.summary([FINE, spoilt])


def test_the_table_has_a_line_for_each_span() -> None:
    lines = soak.table([FINE, FINE]).splitlines()
    assert len(lines) == 4
    assert lines[2].split() == [
        "1",
        "100",
        "900",
        "10.0",
        "0",
        "400",
        "×",
        "3,",
        "left",
        "in",
        "the",
        "middle",
        "×",
        "1",
    ]


async def talk(answer: bytes, call: Callable[[int], Coroutine[None, None, None]]) -> None:
    """Let a caller talk to a server that gives that answer to whatever it reads, or hangs up, 20 times."""
    given = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1 << 20):
                given.release()
                if not answer:
                    return
                writer.write(answer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        calling = asyncio.ensure_future(call(server.sockets[0].getsockname()[1]))
        for _ in range(20):
            enough = asyncio.ensure_future(given.acquire())
            await asyncio.wait([calling, enough], return_when=asyncio.FIRST_COMPLETED)
            assert not calling.done(), "callers go on whatever they are told"
        calling.cancel()
        await asyncio.wait([calling])


def http(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    workload = make_workload("tiny", tmp_path_factory.mktemp("tiny"))
    return Session(workload.path, options=Options(threads=1))


WRONG = b'{"predictions":[[1]],"outputs":[{"data":[1]}]}'


@pytest.mark.parametrize("answer", [http(503, b"{}"), http(200, WRONG), b""], ids=["refused", "wrong", "cut off"])
def test_honest_callers_note_each_error_and_go_on(answer: bytes, session: Session) -> None:
    tally, questions = Tally(), honest_questions("tiny", session, np.random.default_rng(0))
    asyncio.run(talk(answer, lambda port: ask_honestly(port, questions, tally)))
    assert len(tally.errors) > 5


def test_hostile_callers_note_what_they_were_told() -> None:
    tally = Tally()
    asyncio.run(talk(http(500, b""), lambda port: ask_with_malice(port, "tiny", tally, 0)))
    assert tally.hostile["500"] >= len(hostile_messages("tiny")) - 1


def test_honest_questions_take_every_form_and_know_their_answers(session: Session) -> None:
    questions = honest_questions("tiny", session, np.random.default_rng(0))
    paths = []
    for _ in range(5):
        asked, is_right = next(questions)
        paths.append(asked.split(None, 2)[1].decode())
        with pytest.raises((KeyError, TypeError, EngineError)):
            is_right({}, json.dumps({}).encode())
    assert sorted(paths) == ["/mean", "/mean", "/v1/models/tiny:predict", *["/v2/models/tiny/infer"] * 2]
