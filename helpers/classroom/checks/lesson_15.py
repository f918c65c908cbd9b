"""Lesson 15, Deploy: five tasks, from a port that is told to a run that may be killed at any moment.

Nothing here asks a clock or a platform. The gate is asked by ASGI, events are made and answers read
as a gateway would, the autoscaler gets its moments as numbers, and the disk that kills counts its steps.
"""

import asyncio
import base64
import functools
import inspect
import json
import math
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from helpers.classroom.checking import Attempt, LearnerRaised, NotYet, _learner_line, task

if TYPE_CHECKING:
    import numpy as np

PATIENCE = 2.0  # seconds; only what never answers meets it
TURNS = 20  # of an event loop, for what was set going to arrive


class Planted(Exception):
    """What the check's own parts raise."""


@task(
    "address",
    title="Take the address from the environment",
    hints=[
        "environment.get('PORT') is None where nothing was told, and '' where an empty text was.",
        "int() takes more than digits: ' 80', '+80', '8_080'. Look at the text before you make a number of it.",
        "Ask isdigit() of the text, compare the number with 1 and 65535, and raise ValueError(f'PORT is {text!r} …').",
    ],
    learned="A platform says where to listen. What cannot be right is refused before anything listens, by its name.",
)
def address(attempt: Attempt) -> None:
    number = str(int(attempt.rng.integers(1024, 65000)))
    right = [
        ({}, ("127.0.0.1", 3000)),
        ({"PORT": "8080"}, ("127.0.0.1", 8080)),
        ({"PORT": number, "HOST": "0.0.0.0"}, ("0.0.0.0", int(number))),
        ({"PORT": "", "HOST": ""}, ("127.0.0.1", 3000)),
        ({"HOST": "::1", "K_SERVICE": "digits"}, ("::1", 3000)),
        ({"PORT": "1"}, ("127.0.0.1", 1)),
        ({"PORT": "65535"}, ("127.0.0.1", 65535)),
    ]
    for told, wanted in right:
        given = dict(told)
        found = attempt.call(given)
        attempt.expect_type(found, tuple, "the result")
        attempt.expect(len(found) == 2, f"{len(found)} values", "two: a host and a port")
        if isinstance(found[1], bool) or not isinstance(found[1], int):
            raise NotYet(f"for {told} the port is {found[1]!r}, a {type(found[1]).__name__}", "a whole number")
        attempt.expect(found == wanted, f"{found} for {told}", f"{wanted}")
        attempt.expect(given == told, f"the environment was changed to {given}", "that it stays as it was")
    for text in ("http", "80.0", "-1", "0", "65536", "+80", "8_080", "80 80", "0x50", str(10**9)):
        _refused(attempt, text)


def _refused(attempt: Attempt, text: str) -> None:
    def ask() -> Any:
        try:
            return attempt.answer({"PORT": text})
        except ValueError as error:
            return error

    found = attempt.call_other(ask)
    if not isinstance(found, ValueError):
        raise NotYet(f"{found!r} for PORT={text!r}"[:120], "a ValueError")
    said = str(found)
    for part in ("PORT", text):
        attempt.expect(part in said, f"for PORT={text!r} the error says {said!r}"[:160], f"{part} in its text")


# The gate


@task(
    "gate",
    title="Say truly whether it is alive, and whether it is ready",
    hints=[
        "Three things happen, in an order that you do not choose: it was loaded, loading failed, it was told to drain. "
        "Remember each of them by itself.",
        "Alive is everything but a failed load. Ready is: loaded, and not draining. The service itself asks only "
        "whether it is loaded.",
        "start awaits load() in a try and notes one of two things; drain notes the third; __call__ looks at "
        "scope['path'] and at the notes, and never waits for the load.",
    ],
    learned="Alive and ready are different questions. A service that drains is alive, not ready, and still answers.",
)
def gate(attempt: Attempt) -> None:
    from helpers.bench.load import in_a_thread

    for story in (_it_is_well, _it_fails, _it_is_told_too_early):
        in_a_thread(functools.partial(story, attempt))


async def _it_is_well(attempt: Attempt) -> None:
    stage = Stage(attempt)
    await stage.expect("before start", (200, 503, 503))
    await stage.start()
    await stage.expect("while it loads", (200, 503, 503))
    attempt.expect(stage.loads == 1, f"start() called load() {stage.loads} times", "once")
    await stage.finish_loading()
    await stage.expect("once it is loaded", (200, 200, 207))
    stage.drain()
    await stage.expect("while it drains", (200, 503, 207))
    attempt.expect(stage.loads == 1, f"load() was called {stage.loads} times in all", "once")


async def _it_fails(attempt: Attempt) -> None:
    stage = Stage(attempt)
    await stage.start()
    await stage.finish_loading(Planted("the model's file is not whole"))
    await stage.expect("after load() raised", (503, 503, 503))


async def _it_is_told_too_early(attempt: Attempt) -> None:
    stage = Stage(attempt)
    await stage.start()
    stage.drain()
    await stage.expect("told to drain while it loads", (200, 503, 503))
    await stage.finish_loading()
    await stage.expect("told to drain, and loaded after that", (200, 503, 207))


class Stage:
    """The learner's gate before a service of the check's, on a running loop."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.loads = 0
        self.end_of_load: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.body = attempt.rng.bytes(12)
        self.path = f"/classify/{int(attempt.rng.integers(1000))}"
        self.gate = attempt.call(self._service, self._load)
        for name in ("start", "drain", "__call__"):
            if not callable(getattr(self.gate, name, None)):
                lacks = "which cannot be called" if name == "__call__" else f"which has no {name}"
                raise NotYet(f"what comes back is a {type(self.gate).__name__}, {lacks}", "a gate, as in the task")
        self.starting: asyncio.Future[Any] | None = None

    async def _load(self) -> None:
        self.loads += 1
        await asyncio.shield(self.end_of_load)

    async def _service(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 207, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": self.body[:6], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[6:]})

    async def start(self) -> None:
        starting = self.attempt.call_other(self.gate.start)
        if not inspect.isawaitable(starting):
            raise NotYet(f"start() gives {type(starting).__name__}, which is not to be awaited", "async def start")
        self.starting = asyncio.ensure_future(starting)
        await _turn()
        if self.starting.done() and self.starting.exception() is not None:
            self._raised(self.starting.exception())

    async def finish_loading(self, error: Exception | None = None) -> None:
        """Let load() come to its end, well or not."""
        assert self.starting is not None
        if error is None:
            self.end_of_load.set_result(None)
        else:
            self.end_of_load.set_exception(error)
            self.end_of_load.exception()  # it is looked at, also where load() was never awaited
        await _turn()
        done, _ = await asyncio.wait([self.starting], timeout=PATIENCE)
        self.attempt.expect(done, "start() does not end, though load() has", "that it ends")
        raised = self.starting.exception()
        if raised is not None and error not in (raised, raised.__cause__, raised.__context__):
            self._raised(raised)

    def drain(self) -> None:
        told = self.attempt.call_other(self.gate.drain)
        if asyncio.iscoroutine(told):
            told.close()
            raise NotYet("drain() is to be awaited", "def drain, which is called and not awaited")

    async def expect(self, when: str, wanted: tuple[int, int, int]) -> None:
        """The statuses of the three kinds of paths."""
        for path, status in zip(("/livez", "/readyz", self.path), wanted, strict=True):
            found, body = await self._asked(when, path)
            what = "an answer of the service's own (207)" if status == 207 else str(status)
            self.attempt.expect(found == status, f"{when}: {path} is answered with {found}", what)
            if status == 207:
                same = body == self.body
                self.attempt.expect(same, f"{when}: another body than the service's", "its answer as it is")

    async def _asked(self, when: str, path: str) -> tuple[int, bytes]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": []}
        answering = self.attempt.call_other(self.gate, scope | {"query_string": b""}, receive, send)
        if not inspect.isawaitable(answering):
            raise NotYet(f"calling the gate gives {type(answering).__name__}", "async def __call__")
        asked = asyncio.ensure_future(answering)
        done, _ = await asyncio.wait([asked], timeout=PATIENCE)
        if not done:
            asked.cancel()
            raise NotYet(f"{when}: {path} is not answered", "an answer at once, whatever is going on")
        if asked.exception() is not None:
            self._raised(asked.exception())
        kinds = [message.get("type") for message in sent]
        whole = kinds[:1] == ["http.response.start"] and "http.response.body" in kinds[1:]
        self.attempt.expect(whole, f"{when}: {path} is answered with {kinds}", "a head and a body, as say() sends them")
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    def _raised(self, error: BaseException | None) -> None:
        assert error is not None
        raise LearnerRaised(error, _learner_line(error.__traceback__, self.attempt.answer)) from error


async def _turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


# Events


@task(
    "event",
    title="Answer an event as if it were a request",
    hints=[
        "First print an event: json.dumps(event, indent=1). Everything that ask() wants is in it, under another name.",
        "Bytes come out of the body by b64decode or by encode. On the way back, try content.decode(): what raises "
        "UnicodeDecodeError is no text.",
        "Go through the pairs once: values of set-cookie into a list, all others into a dictionary, joined by a comma "
        "where the name was there already.",
    ],
    learned="An adapter turns the clothes of a request inside out. The service behind it need not know.",
)
def event(attempt: Attempt) -> None:
    for number, (made, wanted, answer) in enumerate(_exchanges(attempt.rng)):
        asked: list[tuple[Any, ...]] = []

        def ask(*told: Any, asked: list[tuple[Any, ...]] = asked, answer: Any = answer) -> Any:
            asked.append(told)
            return answer

        before = json.dumps(made)
        given = attempt.call(made, ask)
        attempt.expect(json.dumps(made) == before, "the event is another one afterwards", "that it stays as it was")
        attempt.expect(len(asked) == 1, f"ask() was called {len(asked)} times for an event", "once")
        _expect_asked(attempt, asked[0], wanted)
        _expect_taken(attempt, given, answer, number)


Exchange = tuple[dict[str, Any], tuple[str, str, dict[str, str], bytes], tuple[int, list[tuple[str, str]], bytes]]


def _exchanges(random: "np.random.Generator") -> Iterator[Exchange]:
    """Events, what the service has to be asked, and what it answers."""
    pixels = b"\x89NUMPY\xff\x00" + random.bytes(40)
    text = json.dumps({"images": [float(random.integers(16))], "note": "größer"}, ensure_ascii=False)
    team = {"x-team": "post,parcels"}
    plain = [("content-type", "application/json"), ("x-request-id", str(int(random.integers(1_000_000))))]
    twice = [("Vary", "accept"), ("vary", "origin"), ("set-cookie", "seen=1; Path=/"), ("Set-Cookie", "to=b; Secure")]
    refusal = '{"error":"images is missing, größer"}'.encode()
    yield _made("GET", "/readyz"), ("GET", "/readyz", {}, b""), (200, plain, b'{"ready":true}')
    query = f"api=2&trace=a%20b&trace={int(random.integers(100))}"
    yield (
        _made("POST", "/classify", query, team, text),
        ("POST", f"/classify?{query}", team, text.encode()),
        (422, plain, refusal),
    )
    yield (
        _made("PUT", "/same", headers=team, body=base64.b64encode(pixels).decode(), packed=True),
        ("PUT", "/same", team, pixels),
        (201, [("content-type", "application/x-npy")], pixels[::-1] + b"\xff"),
    )
    cookies = ["a=1", f"b={int(random.integers(1_000_000))}"]
    yield (
        _made("GET", "/", cookies=cookies),
        ("GET", "/", {"cookie": "; ".join(cookies)}, b""),
        (204, twice, b""),
    )
    packed = base64.b64encode(text.encode()).decode()
    yield (
        _made("POST", "/classify", body=packed, packed=True),
        ("POST", "/classify", {}, text.encode()),
        (200, plain, text.encode()),
    )


def _made(
    method: str,
    path: str,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: str | None = None,
    packed: bool = False,
    cookies: list[str] | None = None,
) -> dict[str, Any]:
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}
    made: dict[str, Any] = {"version": "2.0", "rawPath": path, "rawQueryString": query}
    made["headers"] = {"accept": "*/*", **(headers or {})}
    made |= {"requestContext": {"http": http, "stage": "$default"}, "isBase64Encoded": packed}
    made |= {"cookies": cookies} if cookies is not None else {}
    return made | ({"body": body} if body is not None else {})


def _expect_asked(attempt: Attempt, asked: tuple[Any, ...], wanted: tuple[str, str, dict[str, str], bytes]) -> None:
    attempt.expect(len(asked) == 4, f"ask() gets {len(asked)} values", "four: method, target, headers, body")
    method, target, headers, body = asked
    attempt.expect(method == wanted[0], f"the method is {method!r}", f"{wanted[0]!r}")
    attempt.expect(target == wanted[1], f"the target is {target!r}", f"{wanted[1]!r}")
    if not isinstance(headers, dict):
        raise NotYet(f"the headers are a {type(headers).__name__}", "a dictionary")
    found = {str(name).lower(): value for name, value in headers.items()}
    for name, value in ({"accept": "*/*"} | wanted[2]).items():
        attempt.expect(found.get(name) == value, f"the header {name} is {found.get(name)!r}", f"{value!r}")
    attempt.expect("cookie" in wanted[2] or "cookie" not in found, "a header cookie where none was sent", "none")
    attempt.expect(isinstance(body, bytes), f"the body is {type(body).__name__} {body!r}"[:90], "bytes")
    attempt.expect(body == wanted[3], f"the body is {body!r}"[:100], f"{wanted[3]!r}"[:100])


def _expect_taken(attempt: Attempt, given: Any, answer: tuple[int, list[tuple[str, str]], bytes], number: int) -> None:
    """Read as a gateway would; what it cannot read, it answers with 502."""
    status, pairs, content = answer
    attempt.expect_type(given, dict, "the result")
    for name in ("statusCode", "headers", "cookies", "body", "isBase64Encoded"):
        attempt.expect(name in given, f"the result has no {name}", f"{name} in it")
    try:
        told = json.loads(json.dumps(given))
    except TypeError as error:
        raise NotYet(
            f"the result cannot be written as JSON: {error}", "texts, numbers, lists and dictionaries"
        ) from None
    attempt.expect(told["statusCode"] == status, f"statusCode is {told['statusCode']!r}", str(status))
    attempt.expect(isinstance(told["body"], str), f"body is {told['body']!r}"[:90], "a text")
    attempt.expect(
        isinstance(told["isBase64Encoded"], bool), f"isBase64Encoded is {told['isBase64Encoded']!r}", "True or False"
    )
    read = _read(told["body"], told["isBase64Encoded"])
    attempt.expect(
        read == content, f"the gateway reads {read!r}"[:120] + f" for the bytes {content!r}"[:90], "the same bytes"
    )
    wanted = [value for name, value in pairs if name.lower() == "set-cookie"]
    attempt.expect(told["cookies"] == wanted, f"cookies are {told['cookies']!r}", f"{wanted!r}")
    attempt.expect(isinstance(told["headers"], dict), f"headers are {told['headers']!r}"[:90], "a dictionary")
    found = {name.lower(): value for name, value in told["headers"].items()}
    attempt.expect("set-cookie" not in found, "set-cookie stands in headers too", "it in cookies only")
    for name in {name.lower() for name, _ in pairs} - {"set-cookie"}:
        values = [value for each, value in pairs if each.lower() == name]
        same = isinstance(found.get(name), str) and [part.strip() for part in found[name].split(",")] == values
        attempt.expect(same, f"the header {name} is {found.get(name)!r}", f"{' and '.join(values)}, joined by a comma")


def _read(body: str, packed: bool) -> bytes | None:
    try:
        return base64.b64decode(body, validate=True) if packed else body.encode()
    except ValueError:
        return None


# The autoscaler


@task(
    "replicas",
    title="Decide how many replicas there shall be",
    hints=[
        "Three steps, one after the other: what the ratio wants, the bounds, and then what the past says, which "
        "matters only on the way down.",
        "Append (now, what is wanted) to past at every call, also when it goes up: later calls need it.",
        "On the way down take the max of what was wanted at moments with now - when <= rule.window, and the min of "
        "that and the replicas there are.",
    ],
    learned="Up at once, down to the highest of a while: calls for fewer must last before they are believed.",
)
def replicas(attempt: Attempt) -> None:
    random = attempt.rng
    rule = SimpleNamespace(target=70, tolerance=0.1, least=2, most=10, window=300)
    for there, use, wanted, why in (
        (4, 140, 8, "twice the target"),
        (4, 80, 5, "above the tolerance, rounded up"),
        (4, 75, 4, "within the tolerance"),
        (4, 65, 4, "within the tolerance"),
        (8, 140, 10, "no more than most"),
        (3, 0, 2, "no less than least"),
        (6, 30, 3, "a past with nothing else in it"),
        (1, 70, 2, "no less than least"),
        (12, 72, 10, "no more than most"),
    ):
        told = attempt.call(float(random.uniform(1e3, 1e6)), there, use, [], rule)
        _expect_number(attempt, told, wanted, f"{there} replicas at {use}% of a target of 70%, {why}")
    other = SimpleNamespace(target=50, tolerance=0.02, least=1, most=40, window=120)
    told = attempt.call(50.0, 20, 54, [], other)
    _expect_number(attempt, told, 22, "20 replicas at 54% of a target of 50%, with a tolerance of 0.02")
    _plays(attempt, rule)
    _plays(attempt, other)
    _by_hand(attempt, rule)


def _plays(attempt: Attempt, rule: Any) -> None:
    """Two autoscalers side by side, through loads that go up and down."""
    random = attempt.rng
    theirs: tuple[list[Any], list[Any]] = ([], [])
    history: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])
    there, now = [rule.least, rule.most // 2], float(random.uniform(1e3, 1e6))
    begun, levels = now, random.uniform(0.3, 2.5, 12)
    for step in range(90):
        now += float(random.choice([15.0, 16.0, 31.0]))
        if any(abs(now - when - rule.window) < 0.01 for each in history for when, _ in each):
            now += 0.5  # nobody argues about the edge of the window
        for which in (0, 1):
            level = levels[(step // 9 + 5 * which) % len(levels)]
            use = round(float(rule.target * level * random.uniform(0.9, 1.1)), 1) + 0.037
            if abs(abs(use / rule.target - 1) - rule.tolerance) < 1e-3:
                use += 1.0
            ratio = use / rule.target
            by_ratio = there[which] if abs(ratio - 1) <= rule.tolerance else math.ceil(there[which] * ratio)
            wanted = sorted((rule.least, by_ratio, rule.most))[1]
            history[which].append((now, wanted))
            lately = [number for when, number in history[which] if now - when <= rule.window]
            right = wanted if wanted >= there[which] else min(there[which], max(lately))
            told = attempt.call(now, there[which], use, theirs[which], rule)
            case = f"{now - begun:.0f} s on, {there[which]} replicas at {use:.0f}% of {rule.target}%, where {wanted} "
            case += f"are wanted and at most {max(lately)} were in the last {rule.window} s"
            _expect_number(attempt, told, right, case)
            there[which] = right


def _by_hand(attempt: Attempt, rule: Any) -> None:
    """Somebody else takes replicas away while many are remembered."""
    now, past = float(attempt.rng.uniform(1e3, 1e6)), list[Any]()
    for later, there, use, wanted in ((0, 4, 140, 8), (15, 3, 40, 3), (30, 3, 84, 4), (45, 3, 72, 3)):
        told = attempt.call(now + later, there, use, past, rule)
        case = f"{there} replicas at {use}% of a target of 70%"
        case += ", though 8 were wanted a moment ago (somebody took some away)" if later else ""
        _expect_number(attempt, told, wanted, case)


def _expect_number(attempt: Attempt, told: Any, wanted: int, case: str) -> None:
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    attempt.expect(is_number and told == int(told), f"{told!r} for {case}"[:200], "a whole number of replicas")
    attempt.expect(told == wanted, f"{told} for {case}", f"{wanted}")


# The disk that kills


@task(
    "parts",
    title="Survive a kill at any moment",
    hints=[
        "What is half written must not have a name that counts. Which of the disk's four things has no half?",
        "Write under another name, one that does not begin with part-, and the same one each time, so that what a "
        "kill leaves is written over.",
        "For each number: if its name is in disk.names(), go on; else write score(rows) under a name that nobody "
        "reads, and rename it.",
    ],
    learned="A result gets its name in one step. Then a kill needs no repair: what is missing is done, once.",
)
def parts(attempt: Attempt) -> None:
    random = attempt.rng
    sizes = [int(size) for size in random.integers(2, 6, 3)]
    numbers = iter(random.permutation(10_000).tolist())
    given = [[next(numbers) for _ in range(size)] for size in sizes]
    step = 0
    while True:
        step += 1
        disk = Disk(given, kill_at=step)
        killed = _run(attempt, disk)
        if not killed:
            break
        attempt.expect(step < 200, "200 steps, and no end", "three parts, and a few steps for each")
        for again in range(1, 40):
            copy = disk.revived(kill_at=again)
            where = f"killed at its step {step}, and at step {again} of the next run"
            if not _run(attempt, copy):
                break
            _expect_final(attempt, copy.revived(), f"{where}, and run to its end")
        _expect_final(attempt, disk.revived(), f"killed at its step {step}, and run to its end")
    _expect_final(attempt, Disk(given), "never killed")
    finished = Disk(given)
    _run(attempt, finished)
    _expect_final(attempt, finished.revived(), "run once more when all was done")
    empty = Disk([])
    _run(attempt, empty)
    attempt.expect(not empty.files, f"without any parts there is {sorted(empty.files)}", "nothing")


class Killed(BaseException):
    """Nobody gets to say a last word."""


class Disk:
    """Four things that a disk does, and a score; each is a step, and at one of them everything ends."""

    def __init__(self, given: Sequence[list[int]], kill_at: int = 0, files: dict[str, Any] | None = None) -> None:
        self.given = [list(rows) for rows in given]
        self.kill_at = kill_at
        self.files: dict[str, Any] = dict(files or {})
        self.finished_before = {name for name in self.files if name.startswith("part-")}
        self.steps = 0
        self.scored: list[list[int]] = []

    def revived(self, kill_at: int = 0) -> "Disk":
        """The same files, for the next run."""
        return Disk(self.given, kill_at, self.files)

    @property
    def wanted(self) -> dict[str, list[int]]:
        return {f"part-{number}": _score(rows) for number, rows in enumerate(self.given)}

    def names(self) -> list[str]:
        self._step()
        return sorted(self.files)

    def write(self, name: str, rows: Any) -> None:
        self._step()
        rows = list(rows)
        self.files[name] = rows[: len(rows) // 2]
        self._step()
        self.files[name] = rows

    def rename(self, old: str, new: str) -> None:
        self._step()
        if old not in self.files:
            raise FileNotFoundError(f"there is no {old}")
        self.files[new] = self.files.pop(old)

    def remove(self, name: str) -> None:
        self._step()
        if name not in self.files:
            raise FileNotFoundError(f"there is no {name}")
        del self.files[name]

    def score(self, rows: Any) -> list[int]:
        self._step()
        self.scored.append(list(rows))
        return _score(rows)

    def _step(self) -> None:
        self.steps += 1
        if self.kill_at and self.steps >= self.kill_at:  # also for who goes on after it
            raise Killed


def _score(rows: Any) -> list[int]:
    return [3 * int(row) + 1 for row in rows]


def _run(attempt: Attempt, disk: Disk) -> bool:
    """Run until the end, or until it is killed; True if it was. What is there is looked at in both cases."""
    killed = False
    try:
        attempt.call([list(rows) for rows in disk.given], disk, disk.score)
    except Killed:
        killed = True
    when = f"after a kill at step {disk.steps}" if killed else "at the end of a run"
    for name, rows in disk.files.items():
        if name.startswith("part-"):
            attempt.expect(name in disk.wanted, f"{when} there is {name}, for no such part", "part-0, part-1, …")
            right = disk.wanted[name]
            cut = len(rows) < len(right) and rows == right[: len(rows)]
            of_all = f"{when} {name} holds {len(rows)} of {len(right)} rows"
            attempt.expect(not cut, of_all, "what begins with part- whole at any time")
            attempt.expect(rows == right, f"{when} {name} holds {rows}"[:160], "score() of that part's rows")
    for rows in disk.scored:
        known = rows in disk.given
        attempt.expect(known, f"score() was given {rows}", "all rows of a part, and no others")
        number = disk.given.index(rows)
        anew = f"part-{number}" in disk.finished_before
        attempt.expect(not anew, f"part-{number} was there, and was scored again", "that it is left as it is")
    twice = len(disk.scored) > len({tuple(rows) for rows in disk.scored})
    attempt.expect(not twice, "a part is scored twice in one run", "once")
    return killed


def _expect_final(attempt: Attempt, disk: Disk, when: str) -> None:
    _run(attempt, disk)
    missing = sorted(disk.wanted.keys() - disk.files.keys())
    attempt.expect(not missing, f"{when}: {', '.join(missing)} is missing", "all parts there")
    left = sorted(disk.files.keys() - disk.wanted.keys())
    attempt.expect(not left, f"{when}: {', '.join(left)} is left over", "the parts and nothing else")
