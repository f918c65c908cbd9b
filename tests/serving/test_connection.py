"""One connection's order, patience and memory, on a transport that only writes down what it is told."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import h11
import pytest

from helpers.serving import connection as module
from helpers.serving.application import Application
from helpers.serving.connection import MOST_AHEAD, SILENCE_SECONDS, Connection, Connections
from helpers.serving.exchange import Answer, Request


class Transport:
    def __init__(self) -> None:
        self.sent = b""
        self.told: list[str] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent += data

    def writelines(self, parts: list[bytes]) -> None:
        self.told.append(f"{len(parts)} parts")
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.told.append("close")
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name)


class Line:
    """A connection, what it asks of the application, and what comes back."""

    def __init__(self) -> None:
        self.app = Application([]).app
        self.app.routes = {"now": self.now, "later": self.later, "parts": self.parts}
        self.go = asyncio.Event()
        self.begun: list[bytes] = []
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.size = 0
        self.all = Connections(self.app)
        self.connection = Connection(self.all)
        self.transport = Transport()
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    async def now(self, request: Request) -> Answer:
        self.begun.append(request.number)
        return Answer([request.number, b"x" * self.size])

    async def later(self, request: Request) -> Answer:
        self.begun.append(request.number)
        await self.go.wait()
        return Answer([request.number])

    async def parts(self, request: Request) -> Answer:
        async def made() -> AsyncIterator[bytes]:
            while piece := await self.pieces.get():
                yield piece

        return Answer(stream=made(), content_type=b"text/plain")

    async def comes(self, *requests: bytes) -> None:
        data = b"".join(requests)
        while data:
            room = self.connection.get_buffer(-1)
            count = min(len(data), len(room))
            room[:count] = data[:count]
            self.connection.buffer_updated(count)
            data = data[count:]
        await turns()

    def answers(self, asked: int) -> list[tuple[int, bytes, dict[bytes, bytes]]]:
        """As a library reads them that others wrote."""
        client = h11.Connection(h11.CLIENT)
        client.receive_data(self.transport.sent)
        found = []
        for _ in range(asked):
            client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
            client.send(h11.EndOfMessage())
            body = b""
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                assert event is not h11.NEED_DATA
                if isinstance(event, h11.Response):
                    status, headers = event.status_code, dict(event.headers)
                elif isinstance(event, h11.Data):
                    body += event.data
            found.append((status, body, headers))
            if client.our_state is h11.DONE:
                client.start_next_cycle()
        assert not client.trailing_data[0]
        return found


async def turns(number: int = 6) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def get(path: str, number: int | str, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: x", f"X-Request-Id: {number}", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def test_requests_that_came_at_once_are_answered_one_after_the_other() -> None:
    line = Line()
    await line.comes(get("/later", 1), get("/now", 2), get("/later", 3))
    assert line.begun == [b"1"] and not line.transport.sent
    line.go.set()
    await turns(20)
    assert [body for _, body, _ in line.answers(3)] == line.begun == [b"1", b"2", b"3"]
    assert not line.transport.closed


async def test_who_sends_far_more_than_is_answered_is_not_read_meanwhile() -> None:
    line = Line()
    await line.comes(get("/later", 0), *(get("/now", n) for n in range(MOST_AHEAD)))
    assert line.transport.told == []
    await line.comes(get("/now", "last"))
    assert line.transport.told == ["pause_reading"]
    line.go.set()
    await turns(3 * MOST_AHEAD)
    assert line.transport.told == ["pause_reading", "resume_reading"]
    assert len(line.answers(MOST_AHEAD + 2)) == MOST_AHEAD + 2


async def test_nor_is_one_whose_bodies_are_long() -> None:
    line = Line()
    long = b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000
    await line.comes(get("/later", 0), long)
    assert line.transport.told == []
    await line.comes(long)
    assert line.transport.told == ["pause_reading"]


async def test_who_does_not_read_gets_no_further_answers_made() -> None:
    line = Line()
    await line.comes(get("/now", 1))
    line.connection.pause_writing()
    await line.comes(*(get("/now", n) for n in range(2, 2 * MOST_AHEAD)))
    assert line.begun == [b"1"] and line.transport.told == ["pause_reading"]
    line.connection.resume_writing()
    await turns(5 * MOST_AHEAD)
    assert len(line.begun) == 2 * MOST_AHEAD - 1 and line.transport.told[-1] == "resume_reading"


async def test_a_stream_goes_no_faster_than_it_is_read() -> None:
    line = Line()
    await line.comes(get("/parts", 1))
    line.pieces.put_nowait(b"one")
    await turns()
    line.connection.pause_writing()
    line.pieces.put_nowait(b"two")
    line.pieces.put_nowait(b"three")
    await turns()
    assert b"two" in line.transport.sent and b"three" not in line.transport.sent
    line.connection.resume_writing()
    line.pieces.put_nowait(b"")
    await turns(20)
    ((status, body, headers),) = line.answers(1)
    assert (status, body, headers[b"transfer-encoding"]) == (200, b"onetwothree", b"chunked")


@pytest.mark.parametrize("end", ["eof", "lost"])
async def test_a_stream_ends_when_its_reader_does(end: str) -> None:
    line = Line()
    await line.comes(get("/parts", 1))
    line.pieces.put_nowait(b"one")
    await turns()
    if end == "eof":
        assert line.connection.eof_received(), "there is something to end first"
    else:
        line.transport.closed = True
        line.connection.connection_lost(None)
    await turns(20)
    assert line.connection._now is None and line.transport.closed and line.app.metrics.requests(499) == 1


async def test_who_ends_its_side_still_gets_what_is_done_and_then_the_end() -> None:
    line = Line()
    await line.comes(get("/later", 1), get("/now", 2))
    assert line.connection.eof_received() and line.connection.has_left()
    line.go.set()
    await turns(20)
    assert [(body, headers.get(b"connection")) for _, body, headers in line.answers(2)] == [
        (b"1", None),
        (b"2", b"close"),
    ]
    assert line.transport.told == ["close"]
    assert not Line().connection.eof_received(), "where nothing is asked, nothing is to be ended"


async def test_what_is_written_is_copied_only_if_it_is_short() -> None:
    line = Line()
    for size, told in ((10, []), (1 << 20, ["2 parts"])):
        line.size, line.transport.sent = size, b""
        line.app.routes["now"] = lambda request: as_it_is(Answer([b"x" * line.size]))
        await line.comes(get("/now", 1))
        assert line.transport.told == told and len(line.answers(1)[0][1]) == size


async def as_it_is(answer: Answer) -> Answer:
    return answer


async def test_a_connection_over_which_nothing_comes_is_closed_but_not_one_that_waits_for_its_answer() -> None:
    idle, amid, waiting = Line(), Line(), Line()
    await idle.comes(get("/now", 1))
    await amid.comes(b"POST /now HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
    await waiting.comes(get("/later", 1))
    heard = max(line.connection.heard for line in (idle, amid, waiting))
    for seconds, closed in ((SILENCE_SECONDS - 1, [False] * 3), (SILENCE_SECONDS + 1, [True, True, False])):
        for line in (idle, amid, waiting):
            line.connection.close_if_silent(heard + seconds)
        assert [line.transport.closed for line in (idle, amid, waiting)] == closed


async def test_a_head_that_comes_byte_by_byte_has_no_more_time_and_a_body_has() -> None:
    head, body = Line(), Line()
    now = head.connection._loop.time()
    for line in (head, body):
        line.connection._loop = SimpleNamespace(time=lambda: now)  # type: ignore[assignment]
    await body.comes(b"POST /now HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
    for letter in (b"G", b"E", b"T"):
        now += SILENCE_SECONDS / 2
        await head.comes(letter)
        await body.comes(b"x")
        for line in (head, body):
            line.connection.close_if_silent(now)
    assert head.transport.closed and not body.transport.closed


@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"]])
async def test_the_old_http_keeps_a_connection_if_it_is_asked_to_and_says_so(headers: list[str]) -> None:
    line = Line()
    await line.comes(get("/now", 1, *headers, version="1.0"))
    ((_, body, told),) = line.answers(1)
    assert body == b"1" and told[b"connection"] == (b"keep-alive" if headers else b"close")
    assert line.transport.closed == (not headers)


async def test_to_the_old_http_a_stream_is_sent_without_chunks_and_ends_with_the_connection() -> None:
    line = Line()
    await line.comes(get("/parts", 1, "Connection: keep-alive", version="1.0"))
    for piece in (b"one", b"two", b""):
        line.pieces.put_nowait(piece)
    await turns(20)
    head, _, body = line.transport.sent.partition(b"\r\n\r\n")
    assert body == b"onetwo" and b"transfer-encoding" not in head and b"connection: close" in head
    assert line.transport.closed


async def test_who_asks_whether_to_go_on_is_told_when_its_turn_has_come() -> None:
    line = Line()
    asks = b"POST /now HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    await line.comes(get("/later", 1), asks)
    assert not line.transport.sent
    line.go.set()
    await turns()
    assert line.transport.sent.endswith(b"\r\n\r\n1HTTP/1.1 100 Continue\r\n\r\n")
    await line.comes(b"ok")
    assert len(line.begun) == 2 and line.transport.sent.count(b"100 Continue") == 1


async def test_after_a_refusal_what_still_comes_is_let_pass_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.01)
    line = Line()
    line.app.largest_body = 10
    line.connection = Connection(line.all)
    line.connection.connection_made(line.transport)  # type: ignore[arg-type]
    await line.comes(get("/later", 1), b"POST /now HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", b"x" * 50_000)
    assert line.transport.told == [], "the one before it is answered first"
    line.go.set()
    await turns()
    assert [status for status, _, _ in line.answers(2)] == [200, 413] and line.transport.told == ["write_eof"]
    sent = line.transport.sent
    await line.comes(b"x" * 60_000, get("/now", 3))
    assert line.transport.sent == sent and line.begun == [b"1"]
    while line.transport.told[-1] != "abort":  # which the test's own time limit awaits
        await asyncio.sleep(0.001)
    assert not line.connection.eof_received()


async def test_while_the_server_ends_the_last_answer_says_that_it_is_the_last() -> None:
    line, idle = Line(), Line()
    await line.comes(get("/later", 1), get("/now", 2))
    for each in (line, idle):
        each.all.ending = True
        each.connection.end()
    assert idle.transport.closed and not line.transport.closed
    line.go.set()
    await turns(20)
    assert [headers.get(b"connection") for _, _, headers in line.answers(2)] == [None, b"close"]
    assert line.transport.closed


async def test_one_that_is_cut_off_has_its_work_cancelled() -> None:
    line = Line()
    await line.comes(get("/later", 1))
    line.connection.cut_off()
    await turns()
    assert line.transport.told[0] == "abort" and line.connection._task is None and not line.transport.sent
    line.connection.connection_lost(None)
    assert not line.all and line.all.none_left.is_set()


async def test_an_answer_that_cannot_be_written_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    line = Line()
    line.app.routes["now"] = lambda request: as_it_is(Answer(status=299))  # of which nobody has heard
    await line.comes(get("/now", 1), get("/now", 2))
    assert line.transport.told == ["close"] and "could not be sent" in caplog.text
