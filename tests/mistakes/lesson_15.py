"""What goes wrong in lesson 15."""

import asyncio
import base64
import json
import math
import os
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
Event = dict[str, Any]


# address


def makes_a_number_of_whatever_comes(environment: dict[str, str]) -> tuple[str, int]:
    return environment.get("HOST") or "127.0.0.1", int(environment.get("PORT") or 3000)


def leaves_it_a_text(environment: dict[str, str]) -> tuple[str, Any]:
    return environment.get("HOST") or "127.0.0.1", environment.get("PORT") or "3000"


def reads_the_environment_of_the_process(environment: dict[str, str]) -> tuple[str, int]:
    return os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or "3000")


def takes_an_empty_text_for_a_host(environment: dict[str, str]) -> tuple[str, int]:
    return environment.get("HOST", "127.0.0.1"), int(environment.get("PORT") or "3000")


def listens_to_everyone(environment: dict[str, str]) -> tuple[str, int]:
    return environment.get("HOST") or "0.0.0.0", int(environment.get("PORT") or "3000")


def falls_back_when_it_is_nonsense(environment: dict[str, str]) -> tuple[str, int]:
    told = environment.get("PORT", "")
    return environment.get("HOST") or "127.0.0.1", int(told) if told.isdigit() else 3000


def refuses_in_its_own_words_only_what_is_no_number(environment: dict[str, str]) -> tuple[str, int]:
    told = environment.get("PORT") or "3000"
    if not told.isdigit():
        raise ValueError(f"PORT is {told}")
    return environment.get("HOST") or "127.0.0.1", int(told)


def allows_the_port_0(environment: dict[str, str]) -> tuple[str, int]:
    host, port = refuses_in_its_own_words_only_what_is_no_number(environment)
    if port > 65535:
        raise ValueError(f"PORT is {port}")
    return host, port


def refuses_without_a_name(environment: dict[str, str]) -> tuple[str, int]:
    told = environment.get("PORT") or "3000"
    if not (told.isdigit() and 1 <= int(told) <= 65535):
        raise ValueError("not a number")
    return environment.get("HOST") or "127.0.0.1", int(told)


def gives_a_url(environment: dict[str, str]) -> str:
    return "http://{}:{}".format(*makes_a_number_of_whatever_comes(environment))


# gate


async def say(send: Send, status: int, told: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


class Gate:
    """A right one, for others to go wrong."""

    def __init__(self, service: Any, load: Any) -> None:
        self.service, self.load = service, load
        self.loaded = self.failed = self.draining = False

    async def start(self) -> None:
        try:
            await self.load()
            self.loaded = True
        except Exception:
            self.failed = True

    def drain(self) -> None:
        self.draining = True

    def alive(self) -> bool:
        return not self.failed

    def ready(self) -> bool:
        return self.loaded and not self.draining

    def open(self) -> bool:
        return self.loaded

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["path"] == "/livez":
            await say(send, 200 if self.alive() else 503, "")
        elif scope["path"] == "/readyz":
            await say(send, 200 if self.ready() else 503, "")
        elif self.open():
            await self.service(scope, receive, send)
        else:
            await say(send, 503, "")


def is_alive_when_it_is_ready(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        def alive(self) -> bool:
            return self.ready()

    return Wrong(service, load)


def is_always_alive(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        def alive(self) -> bool:
            return True

    return Wrong(service, load)


def is_ready_while_it_drains(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        def ready(self) -> bool:
            return self.loaded

    return Wrong(service, load)


def dies_when_it_drains(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        def alive(self) -> bool:
            return not self.failed and not self.draining

    return Wrong(service, load)


def refuses_while_it_drains(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        def open(self) -> bool:
            return self.ready()

    return Wrong(service, load)


def lets_requests_in_before_the_model(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        def open(self) -> bool:
            return True

    return Wrong(service, load)


def has_one_word_for_its_state(service: Any, load: Any) -> Gate:
    """Loaded comes after draining, and is all that it remembers."""

    class Wrong(Gate):
        async def start(self) -> None:
            await super().start()
            self.draining = False

    return Wrong(service, load)


def is_ready_before_it_is_loaded(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        async def start(self) -> None:
            self.loaded = True
            await super().start()

    return Wrong(service, load)


def loads_when_it_is_first_asked(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        async def start(self) -> None:
            return

        async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
            if not self.loaded:
                await Gate.start(self)
            await super().__call__(scope, receive, send)

    return Wrong(service, load)


def waits_for_the_load_before_it_answers(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        lock = asyncio.Lock()

        async def start(self) -> None:
            async with self.lock:
                await super().start()

        async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
            async with self.lock:
                await super().__call__(scope, receive, send)

    return Wrong(service, load)


def answers_without_a_body(service: Any, load: Any) -> Gate:
    class Wrong(Gate):
        async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    return Wrong(service, load)


def answers_for_the_service(service: Any, load: Any) -> Gate:
    async def other(scope: Any, receive: Any, send: Send) -> None:
        await say(send, 200, "all is well")

    return Gate(other, load)


# event


def handled(event: Event, ask: Any, **changes: Any) -> dict[str, Any]:
    """Right, but for what is changed."""
    http, text = event["requestContext"]["http"], event.get("body") or ""
    sent: Any = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
    headers, query = dict(event["headers"]), event["rawQueryString"]
    if event.get("cookies"):
        headers["cookie"] = "; ".join(event["cookies"])
    target = f"{event['rawPath']}?{query}" if query else event["rawPath"]
    asked = {"method": http["method"], "target": target, "headers": headers, "body": sent}
    asked |= {name: change(event) for name, change in changes.items() if name in asked}
    status, pairs, content = ask(*asked.values())
    joined: dict[str, list[str]] = {}
    for name, value in pairs:
        joined.setdefault(name.lower(), []).append(value)
    cookies = joined.pop("set-cookie", [])
    answer = {"statusCode": status, "cookies": cookies, "headers": {n: ",".join(v) for n, v in joined.items()}}
    try:
        answer |= {"body": content.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        answer |= {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}
    said = {name: change(status) for name, change in changes.items() if name in ("statusCode", "isBase64Encoded")}
    return answer | said


def forgets_the_query(event: Event, ask: Any) -> Any:
    return handled(event, ask, target=lambda event: event["rawPath"])


def always_adds_a_question_mark(event: Event, ask: Any) -> Any:
    return handled(event, ask, target=lambda event: f"{event['rawPath']}?{event['rawQueryString']}")


def sends_the_text(event: Event, ask: Any) -> Any:
    return handled(event, ask, body=lambda event: event.get("body") or "")


def never_unpacks(event: Event, ask: Any) -> Any:
    return handled(event, ask, body=lambda event: (event.get("body") or "").encode())


def sends_latin_1(event: Event, ask: Any) -> Any:
    def body(event: Event) -> bytes:
        text = event.get("body") or ""
        return base64.b64decode(text) if event["isBase64Encoded"] else text.encode("latin-1")

    return handled(event, ask, body=body)


def forgets_the_cookies(event: Event, ask: Any) -> Any:
    return handled(event, ask, headers=lambda event: dict(event["headers"]))


def joins_cookies_by_a_comma(event: Event, ask: Any) -> Any:
    return handled(event, ask, headers=lambda e: e["headers"] | {"cookie": ",".join(e.get("cookies", []))})


def writes_into_the_event(event: Event, ask: Any) -> Any:
    event["headers"]["cookie"] = "; ".join(event.pop("cookies", []))
    return handled(event, ask)


def keeps_the_last_of_two_headers(event: Event, ask: Any) -> Any:
    def last(*told: Any) -> Any:
        status, pairs, content = ask(*told)
        cookies = [pair for pair in pairs if pair[0].lower() == "set-cookie"]
        others = {name.lower(): value for name, value in pairs if name.lower() != "set-cookie"}
        return status, [*others.items(), *cookies], content

    return handled(event, last)


def joins_the_cookies_of_the_answer(event: Event, ask: Any) -> Any:
    given = handled(event, ask)
    cookies = given["cookies"]
    return given | {"cookies": [], "headers": given["headers"] | {"set-cookie": ", ".join(cookies)}}


def leaves_bytes_in_it(event: Event, ask: Any) -> Any:
    given = handled(event, ask)
    return given | {"body": given["body"].encode()}


def drops_what_is_no_text(event: Event, ask: Any) -> Any:
    def lossy(*told: Any) -> Any:
        status, pairs, content = ask(*told)
        return status, pairs, content.decode(errors="replace").encode()

    return handled(event, lossy)


def packs_and_does_not_say_so(event: Event, ask: Any) -> Any:
    return handled(event, ask, isBase64Encoded=lambda status: False)


def packs_without_packing(event: Event, ask: Any) -> Any:
    return handled(event, ask, isBase64Encoded=lambda status: True)


def always_says_200(event: Event, ask: Any) -> Any:
    return handled(event, ask, statusCode=lambda status: 200)


def asks_twice(event: Event, ask: Any) -> Any:
    handled(event, ask)
    return handled(event, ask)


def returns_the_body_only(event: Event, ask: Any) -> Any:
    return handled(event, ask)["body"]


# replicas


def by_the_rule(now: float, replicas: int, use: float, past: list[Any], rule: Any, **changes: Any) -> int:
    """Right, but for what is changed."""
    told = {"rounded": math.ceil, "tolerance": rule.tolerance, "window": rule.window, "of": max} | changes
    ratio = use / rule.target
    wanted = replicas if abs(ratio - 1) <= told["tolerance"] else int(told["rounded"](replicas * ratio))
    wanted = min(max(wanted, rule.least), rule.most)
    past.append((now, wanted))
    if wanted >= replicas:
        return wanted
    return min(replicas, told["of"](number for when, number in past if now - when <= told["window"]))


def rounds_to_the_nearest(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, rounded=round)


def rounds_down(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, rounded=math.floor)


def tolerates_nothing(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, tolerance=0.0)


def always_tolerates_a_tenth(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, tolerance=0.1)


def goes_down_at_once(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, window=0.0)


def never_forgets(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, window=math.inf)


def takes_the_lowest(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, past, rule, of=min)


def forgets_the_bounds(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    ratio = use / rule.target
    return replicas if abs(ratio - 1) <= rule.tolerance else math.ceil(replicas * ratio)


def goes_up_to_what_was_wanted_once(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    by_the_rule(now, replicas, use, past, rule)
    return int(max(number for when, number in past if now - when <= rule.window))


def remembers_only_the_way_down(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    found = by_the_rule(now, replicas, use, past, rule)
    if found >= replicas:
        past.pop()
    return found


def remembers_in_one_place_for_all(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return by_the_rule(now, replicas, use, ONE_PLACE, rule)


def adds_one(now: float, replicas: int, use: float, past: list[Any], rule: Any) -> int:
    return min(max(replicas + (use > rule.target) - (use < rule.target), rule.least), rule.most)


ONE_PLACE: list[Any] = []


# parts


def writes_under_its_own_name(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        if f"part-{number}" not in disk.names():
            disk.write(f"part-{number}", score(rows))


def writes_beside_under_a_name_that_counts(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        if f"part-{number}" not in disk.names():
            disk.write(f"part-{number}.new", score(rows))
            disk.rename(f"part-{number}.new", f"part-{number}")


def scores_all_of_it_again(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        disk.write("unfinished", score(rows))
        disk.rename("unfinished", f"part-{number}")


def starts_over(parts: list[Any], disk: Any, score: Any) -> None:
    names = disk.names()
    if all(f"part-{number}" in names for number in range(len(parts))):
        return
    for name in names:
        disk.remove(name)
    scores_all_of_it_again(parts, disk, score)


def counts_the_files(parts: list[Any], disk: Any, score: Any) -> None:
    """A leftover counts as a part."""
    for number in range(len(disk.names()), len(parts)):
        disk.write("unfinished", score(parts[number]))
        disk.rename("unfinished", f"part-{number}")


def notes_that_it_is_done_first(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        if f"done-{number}" not in disk.names():
            disk.write(f"done-{number}", [])
            disk.write("unfinished", score(rows))
            disk.rename("unfinished", f"part-{number}")
    for number in range(len(parts)):
        disk.remove(f"done-{number}")


def trusts_what_was_left_half(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        names = disk.names()
        if f"part-{number}" not in names:
            if f"new-{number}" not in names:
                disk.write(f"new-{number}", score(rows))
            disk.rename(f"new-{number}", f"part-{number}")


def keeps_all_until_the_end(parts: list[Any], disk: Any, score: Any) -> None:
    found = [score(rows) for rows in parts]
    for number, rows in enumerate(found):
        if f"part-{number}" not in disk.names():
            disk.write("unfinished", rows)
            disk.rename("unfinished", f"part-{number}")


def leaves_the_record_of_its_run(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        if f"part-{number}" not in disk.names():
            disk.write("unfinished", score(rows))
            disk.rename("unfinished", f"part-{number}")
    disk.write("done", [len(parts)])


def scores_a_row_at_a_time(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        if f"part-{number}" not in disk.names():
            disk.write("unfinished", [scored for row in rows for scored in score([row])])
            disk.rename("unfinished", f"part-{number}")


def begins_at_one(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts, start=1):
        if f"part-{number}" not in disk.names():
            disk.write("unfinished", score(rows))
            disk.rename("unfinished", f"part-{number}")


def writes_the_rows_and_not_their_scores(parts: list[Any], disk: Any, score: Any) -> None:
    for number, rows in enumerate(parts):
        if f"part-{number}" not in disk.names():
            score(rows)
            disk.write("unfinished", rows)
            disk.rename("unfinished", f"part-{number}")


MISTAKES = {
    "address": {
        makes_a_number_of_whatever_comes: "the error says",
        leaves_it_a_text: "a str",
        reads_the_environment_of_the_process: "('127.0.0.1', 8080)",
        takes_an_empty_text_for_a_host: "('', 3000)",
        listens_to_everyone: "('0.0.0.0', 3000)",
        falls_back_when_it_is_nonsense: "3000) for PORT='http'",
        refuses_in_its_own_words_only_what_is_no_number: "0) for PORT='0'",
        allows_the_port_0: "0) for PORT='0'",
        refuses_without_a_name: "PORT in its text",
        gives_a_url: "a tuple",
    },
    "gate": {
        is_alive_when_it_is_ready: "before start: /livez is answered with 503",
        is_always_alive: "after load() raised: /livez is answered with 200",
        is_ready_while_it_drains: "while it drains: /readyz is answered with 200",
        dies_when_it_drains: "while it drains: /livez is answered with 503",
        refuses_while_it_drains: "is answered with 503",
        lets_requests_in_before_the_model: "is answered with 207",
        has_one_word_for_its_state: "and loaded after that: /readyz is answered with 200",
        is_ready_before_it_is_loaded: "while it loads: /readyz is answered with 200",
        loads_when_it_is_first_asked: "before start: /livez is not answered",
        waits_for_the_load_before_it_answers: "while it loads: /livez is not answered",
        answers_without_a_body: "a head and a body",
        answers_for_the_service: "is answered with 200",
    },
    "event": {
        forgets_the_query: "the target is '/classify'",
        always_adds_a_question_mark: "the target is '/readyz?'",
        sends_the_text: "the body is str",
        never_unpacks: "the body is b'i",
        sends_latin_1: "\\xf6",
        forgets_the_cookies: "the header cookie is None",
        joins_cookies_by_a_comma: "cookie",
        writes_into_the_event: "the event is another one afterwards",
        keeps_the_last_of_two_headers: "the header vary is 'origin'",
        joins_the_cookies_of_the_answer: "set-cookie stands in headers too",
        leaves_bytes_in_it: "cannot be written as JSON",
        drops_what_is_no_text: "the gateway reads",
        packs_and_does_not_say_so: "the gateway reads",
        packs_without_packing: "the gateway reads",
        always_says_200: "statusCode is 200",
        asks_twice: "ask() was called 2 times",
        returns_the_body_only: "a dict",
    },
    "replicas": {
        rounds_to_the_nearest: "replicas at",
        rounds_down: "4 for 4 replicas at 80%",
        tolerates_nothing: "5 for 4 replicas at 75%",
        always_tolerates_a_tenth: "20 for 20 replicas at 54%",
        goes_down_at_once: "were in the last 300 s",
        never_forgets: "are wanted and at most",
        takes_the_lowest: "were in the last 300 s",
        forgets_the_bounds: "16 for 8 replicas at 140%",
        goes_up_to_what_was_wanted_once: "8 for 3 replicas at 40%",
        remembers_only_the_way_down: "were in the last 300 s",
        remembers_in_one_place_for_all: "replicas at",
        adds_one: "5 for 4 replicas at 140%",
    },
    "parts": {
        writes_under_its_own_name: "part-0 holds",
        writes_beside_under_a_name_that_counts: "part-0.new, for no such part",
        scores_all_of_it_again: "part-0 was there, and was scored again",
        starts_over: "part-0 was there, and was scored again",
        counts_the_files: "part-0 is missing",
        notes_that_it_is_done_first: "is missing",
        trusts_what_was_left_half: "part-0 holds",
        keeps_all_until_the_end: "part-0 was there, and was scored again",
        leaves_the_record_of_its_run: "done is left over",
        scores_a_row_at_a_time: "score() was given",
        begins_at_one: "part-1 holds [",
        writes_the_rows_and_not_their_scores: "part-0 holds [",
    },
}
