"""Bytes of HTTP/1.1 into messages, however they come: torn, late, several at once, or none at all.

llhttp reads the heads, and what comes in chunks. A body that says how long it is, and did not come
with its head, is received where it is to lie: so a large tensor is copied once, by the system.
"""

from urllib.parse import unquote

import httptools
import numpy as np

from helpers.serving.exchange import Body, Headers, too_long
from helpers.wire.errors import EngineError, malformed

MOST_OF_A_HEAD = 1 << 16
FRAMING = (b"content-length", b"transfer-encoding")  # the headers that say where a message ends
FIRST_PIECE = 1 << 20  # of a long body: who only says that it is long does not get the memory for it
GROWTH = 4  # times the memory, when that was filled


class Message:
    """One request as it came. ``refusal`` says why it is not to be answered; the rest of it may be missing then."""

    __slots__ = ("body", "headers", "is_old", "keeps", "method", "refusal", "url")

    def __init__(self) -> None:
        self.method = ""
        self.url = b""
        self.headers: Headers = {}
        self.body: Body = b""
        self.keeps = True  # the connection, for the next one
        self.is_old = False  # HTTP/1.0, which knows no chunks, and keeps a connection only if both sides say so
        self.refusal: EngineError | None = None

    @property
    def path(self) -> str:
        """Of what was asked for, be it a whole address; without its query."""
        path = self.url.decode("ascii", "replace").partition("?")[0].partition("#")[0]
        if not path.startswith("/") and "://" in path:
            path = "/" + path.partition("://")[2].partition("/")[2]
        return unquote(path) if "%" in path else path


class Reader:
    """What one connection brings: ``buffer`` is where the next bytes belong, ``came`` says that they are there.

    Whole messages are put into ``messages``, for whoever takes them out. ``scratch`` may be shared by
    all readers of one thread.
    """

    def __init__(self, largest_body: int, scratch: memoryview) -> None:
        self.messages: list[Message] = []
        self.over = False  # nothing that comes from now on means anything
        self.asks_to_go_on = False  # and sends its body when it is told to
        self.in_head = False  # of a message, which is not whole yet
        self._largest = largest_body
        self._scratch = scratch
        self._parser = httptools.HttpRequestParser(self)
        self._message = Message()
        self._in_body = self._head_is_ours = False
        self._head_size = 0
        self._framing = b""
        self._length: int | None = None  # of the body, if it was told
        self._parts: list[bytes] = []
        self._size = 0
        self._place: memoryview | None = None  # of a body that is received where it is to lie

    def buffer(self) -> memoryview:
        return self._scratch if self._place is None else self._place[self._size :]

    def came(self, count: int) -> None:
        """So many bytes are in the buffer."""
        if self.over:
            return
        if self._place is not None:
            self._fill(count)
            return
        self._read(self._scratch[:count])
        if self.in_head:
            self._head_size += count
            if self._head_size > MOST_OF_A_HEAD:
                self._refuse(EngineError("head_too_large", f"the head has more than {MOST_OF_A_HEAD} bytes"))
        elif self._in_body and self._length is not None:
            self._receive_in_place(self._length)

    # What llhttp tells

    def on_message_begin(self) -> None:
        if not self._head_is_ours:
            self._message = Message()
            self.in_head, self._head_size, self._framing = True, 0, b""

    def on_url(self, url: bytes) -> None:
        if not self._head_is_ours:
            self._message.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:  # but after a body; or in a head of ours
            return
        name = name.lower()
        self._message.headers[name] = value
        if name in FRAMING:
            self._framing += b"%b: %b\r\n" % (name, value)

    def on_headers_complete(self) -> None:
        if self._head_is_ours:
            self._head_is_ours = False
            return
        message, parser = self._message, self._parser
        self.in_head, self._in_body = False, True
        message.method = parser.get_method().decode("ascii")
        message.keeps = parser.should_keep_alive()
        message.is_old = parser.get_http_version() < "1.1"
        length = message.headers.get(b"content-length")
        self._length = int(length) if length is not None else None  # llhttp has looked at it
        self._size = 0
        if message.method == "CONNECT":
            self._refuse(malformed("this server is no proxy"))
        elif not message.url.isascii():
            self._refuse(malformed("the path has characters that are not ASCII"))
        elif self._length is not None and self._length > self._largest:
            self._refuse(too_long(str(self._length), self._largest))
        else:
            self.asks_to_go_on = message.headers.get(b"expect", b"").lower() == b"100-continue"

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._largest:
            self._refuse(too_long(f"{self._size} or more", self._largest))
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._complete(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))

    def _read(self, data: memoryview) -> None:
        while len(data) and not self.over:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = self._stayed(data[upgrade.args[0] :])
            except httptools.HttpParserError as error:
                self._refuse(malformed(f"this is no request in HTTP/1.1: {error}"))

    def _stayed(self, rest: memoryview) -> memoryview:
        """An offer to go on in another protocol is passed over, as HTTP allows. llhttp stops there, before the body:
        another one gets a head without the offer, and what follows. What it says of the message's end is left to it.
        """
        self._parser = httptools.HttpRequestParser(self)
        self._head_is_ours = True
        return memoryview(b"POST / HTTP/1.1\r\n%b\r\n%b" % (self._framing, bytes(rest)))

    def _receive_in_place(self, length: int) -> None:
        """From now on the body's bytes go to where they will stay; another parser is there for what follows them."""
        start = b"".join(self._parts)
        self._grow_to(min(length, max(FIRST_PIECE, GROWTH * self._size)), memoryview(start))
        self._parts.clear()
        self._parser = httptools.HttpRequestParser(self)

    def _fill(self, count: int) -> None:
        assert self._place is not None and self._length is not None
        self.asks_to_go_on = False
        self._size += count
        if self._size == self._length:
            body, self._place = self._place.toreadonly(), None
            self._complete(body)
        elif self._size == len(self._place):
            self._grow_to(min(self._length, GROWTH * self._size), self._place)

    def _grow_to(self, size: int, start: memoryview) -> None:
        try:
            self._place = np.empty(size, np.uint8).data  # a bytearray would be set to 0 first
        except MemoryError:
            self._refuse(EngineError("overloaded", "there is not enough memory for this now", retry_after=1.0))
        else:
            self._place[: len(start)] = start

    def _complete(self, body: Body) -> None:
        self._parts.clear()
        self._in_body = self.asks_to_go_on = False
        if not self.over:
            self._message.body = body
            self.messages.append(self._message)
            self.over = not self._message.keeps

    def _refuse(self, refusal: EngineError) -> None:
        """At once, whatever is still to come: nothing of it is read."""
        if not self.over:
            self._message.refusal, self._message.keeps = refusal, False
            self.messages.append(self._message)
        self.over = True
        self._parts.clear()
        self._place, self.asks_to_go_on = None, False
