"""Bytes into messages: whatever the pieces they come in, and whoever wrote them; and what is none of it."""

from collections.abc import Iterable

import h11
import httptools
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.serving import reader as reader_module
from helpers.serving.reader import FIRST_PIECE, MOST_OF_A_HEAD, Message, Reader

LARGEST = 1 << 21
Header = tuple[str, bytes]


def a_reader(largest: int = LARGEST, scratch: int = 1 << 16) -> Reader:
    return Reader(largest, memoryview(bytearray(scratch)))


def feed(reader: Reader, data: bytes, pieces: Iterable[int] = ()) -> list[Message]:
    """The data, in pieces of these lengths, and the rest of it in as few as there is room for."""
    at, lengths = 0, iter(pieces)
    while at < len(data):
        room = reader.buffer()
        count = min(next(lengths, len(data)), len(room), len(data) - at)
        room[:count] = data[at : at + count]
        reader.came(count)
        at += count
    return reader.messages


def shown(messages: list[Message]) -> list[tuple[str, bytes, bytes]]:
    assert all(message.refusal is None for message in messages)
    return [(message.method, message.url, bytes(message.body)) for message in messages]


def written_by_h11(method: str, path: bytes, headers: list[Header], parts: list[bytes]) -> bytes:
    """A request as a library writes it that others wrote."""
    client = h11.Connection(h11.CLIENT)
    head = h11.Request(method=method, target=path, headers=[("Host", b"x"), *headers])
    events = [head, *map(h11.Data, filter(None, parts)), h11.EndOfMessage()]
    return b"".join(client.send(event) or b"" for event in events)


PATHS = st.lists(st.text("abz09._~%-:", min_size=1, max_size=8), max_size=4).map(lambda each: "/" + "/".join(each))
PARTS = st.lists(st.binary(max_size=300), max_size=4)
REQUESTS = st.lists(
    st.tuples(st.sampled_from(["GET", "POST", "DELETE"]), PATHS.map(str.encode), PARTS, st.booleans()), max_size=5
)


@given(REQUESTS, st.lists(st.integers(1, 60), max_size=60), st.sampled_from([64, 1000, 1 << 16]))
def test_what_another_library_wrote_is_read_whatever_pieces_it_comes_in(
    requests: list[tuple[str, bytes, list[bytes], bool]], pieces: list[int], scratch: int
) -> None:
    data = b""
    for method, path, parts, chunked in requests:
        length = sum(map(len, parts))
        told: Header = ("Transfer-Encoding", b"chunked") if chunked else ("Content-Length", b"%d" % length)
        data += written_by_h11(method, path, [told], parts)
    reader = a_reader(scratch=scratch)
    found = shown(feed(reader, data, pieces))
    assert found == [(method, path, b"".join(parts)) for method, path, parts, _ in requests]
    assert not reader.over and not reader.asks_to_go_on


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20))
@example(b"POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", [])
@example(b"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n0123456789", [])
@example(b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", [])
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [])
@example(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n" * 8, [])
def test_no_bytes_make_it_raise(data: bytes, pieces: list[int]) -> None:
    reader = a_reader(1000)
    messages = feed(reader, data, pieces)
    assert all(message.refusal is None for message in messages[:-1]), "nobody is heard after a refusal"


@given(st.binary(min_size=1, max_size=3), st.integers(0, 200), st.lists(st.integers(1, 50), max_size=20))
def test_nor_does_a_request_in_which_something_was_changed(change: bytes, at: int, pieces: list[int]) -> None:
    right = b"POST /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" * 2
    reader = a_reader(1000)
    feed(reader, right[:at] + change + right[at + len(change) :], pieces)
    assert len(reader.messages) <= 3


LONG = np.random.default_rng(0).bytes(LARGEST)


@pytest.mark.parametrize("length", [1, 70_000, FIRST_PIECE, FIRST_PIECE + 1, LARGEST])
@pytest.mark.parametrize("first", [1, 60, 200, 50_000])
def test_a_long_body_lies_where_it_was_received_and_cannot_be_changed(length: int, first: int) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length
    reader = a_reader()
    following = b"GET /next HTTP/1.1\r\n\r\n"
    messages = feed(reader, head + LONG[:length] + following, [first])
    assert shown(messages) == [("POST", b"/", LONG[:length]), ("GET", b"/next", b"")]
    body = messages[0].body
    assert isinstance(body, bytes) or body.readonly
    if length >= FIRST_PIECE:
        assert isinstance(body, memoryview) and body.contiguous


def test_who_only_says_that_a_body_is_long_gets_little_memory_for_it() -> None:
    reader = a_reader(1 << 40)
    feed(reader, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\nabc" % (1 << 40))
    assert len(reader.buffer()) == FIRST_PIECE - 3


def test_where_there_is_no_memory_for_a_body_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reader_module.np, "empty", none)
    reader = a_reader()
    (message,) = feed(reader, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    assert message.refusal is not None and message.refusal.status == 503 and reader.over
    assert feed(reader, b"def" * 10_000) == [message]


REFUSED = {
    "length over the limit": (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
    "chunks over the limit": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101, 413),
    "a little in each chunk": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 101, 413),
    "a head without an end": (b"GET / HTTP/1.1\r\nA: " + b"x" * 2 * MOST_OF_A_HEAD, 431),
    "a path without an end": (b"GET /" + b"x" * 2 * MOST_OF_A_HEAD, 431),
    "headers without an end": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * MOST_OF_A_HEAD, 431),
    "a proxy": (b"CONNECT x:80 HTTP/1.1\r\n\r\n", 400),
    "not ASCII": (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_what_is_refused_ends_it_and_those_before_are_kept(what: str, piece: int) -> None:
    data, status = REFUSED[what]
    reader = a_reader(100)
    good = b"POST /good HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"
    first, refused = feed(reader, good + data + good * 3, [piece] * 10_000)
    assert shown([first]) == [("POST", b"/good", b"ok")]
    assert refused.refusal is not None and refused.refusal.status == status and not refused.keeps
    assert reader.over


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize(
    "told", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@given(pieces=st.lists(st.integers(1, 40), max_size=30))
def test_an_offer_of_another_protocol_is_passed_over_and_the_body_kept(told: bytes, pieces: list[int]) -> None:
    one = b"POST /a HTTP/1.1\r\nHost: x\r\n" + OFFER + told
    messages = feed(a_reader(), one * 2 + b"GET /b HTTP/1.1\r\n" + OFFER + b"\r\n", pieces)
    assert shown(messages) == [("POST", b"/a", b"hello")] * 2 + [("GET", b"/b", b"")]
    assert messages[0].headers[b"upgrade"] == b"h2c"


FRAMED = [
    b"Content-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Content-Length: 0\r\n",
    b"",
]


@pytest.mark.parametrize("framing", FRAMED)
@pytest.mark.parametrize("body", [b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""])
def test_an_offer_does_not_change_where_a_message_ends(framing: bytes, body: bytes) -> None:
    """Else one could hide a request in the body of another, where a proxy before us reads it without the offer."""
    read = []
    for offer in (b"", OFFER):
        messages = feed(
            a_reader(), b"POST /a HTTP/1.1\r\n" + offer + framing + b"\r\n" + body + b"GET /b HTTP/1.1\r\n\r\n"
        )
        read.append([(m.url, bytes(m.body), m.refusal and m.refusal.status) for m in messages])
    assert read[0] == read[1]


def test_an_offer_of_another_protocol_does_not_raise_the_limit() -> None:
    one = b"POST /a HTTP/1.1\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 30
    (message,) = feed(a_reader(100), one)
    assert message.refusal is not None and message.refusal.status == 413


def test_headers_are_told_by_their_names_in_small_letters_and_trailers_are_none() -> None:
    data = b"POST / HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 3\r\nX-B: 4\r\n\r\n"
    (message,) = feed(a_reader(), data)
    assert message.headers == {b"x-a": b"2", b"transfer-encoding": b"chunked"}


@pytest.mark.parametrize(
    ("first", "keeps", "is_old"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True, False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False, False),
        (b"GET / HTTP/1.0\r\n\r\n", False, True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, True),
    ],
)
def test_whether_the_connection_is_kept_is_the_messages_affair(first: bytes, keeps: bool, is_old: bool) -> None:
    messages = feed(a_reader(), first + b"GET /b HTTP/1.1\r\n\r\n")
    assert (messages[0].keeps, messages[0].is_old) == (keeps, is_old)
    assert len(messages) == (2 if keeps else 1), "what follows the last one is not read"


def test_who_asks_whether_to_go_on_does_so_until_the_body_comes() -> None:
    reader = a_reader(100)
    feed(reader, b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.asks_to_go_on
    feed(reader, b"o")
    assert not reader.asks_to_go_on
    assert shown(feed(reader, b"k")) == [("POST", b"/", b"ok")]
    feed(reader, b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 200\r\n\r\n")
    assert not reader.asks_to_go_on and reader.messages[-1].refusal is not None


def test_llhttp_says_what_a_reader_relies_on() -> None:
    """It stops before the body where another protocol is offered; and what it takes for a length is one."""
    with pytest.raises(httptools.HttpParserUpgrade) as stopped:
        httptools.HttpRequestParser(object()).feed_data(b"POST / HTTP/1.1\r\n" + OFFER + b"Content-Length: 2\r\n\r\nok")
    assert stopped.value.args[0] == len(b"POST / HTTP/1.1\r\n" + OFFER + b"Content-Length: 2\r\n\r\n")
    for length in (b"", b"-1", b"1 2", b"0x1", b"1_0", b"+1", b"9" * 30):
        with pytest.raises(httptools.HttpParserError):
            httptools.HttpRequestParser(object()).feed_data(
                b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n"
            )


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/", "/"),
        ("/v1/a:b?c=/d", "/v1/a:b"),
        ("/a%2fb%C3%BC", "/a/bü"),
        ("/a#b", "/a"),
        ("http://x:1/a/b?c", "/a/b"),
        ("http://x", "/"),
        ("*", "*"),
        ("//x/y", "//x/y"),
    ],
)
def test_the_path_is_found_in_whatever_was_asked_for(url: str, path: str) -> None:
    message = Message()
    message.url = url.encode()
    assert message.path == path
