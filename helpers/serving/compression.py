"""Bodies that a client compressed: gzip and deflate, as far as the limit of a body's size."""

import asyncio
import zlib

from helpers.serving.exchange import Body, Request
from helpers.wire.errors import EngineError, malformed

GZIP, ZLIB, PLAIN = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


async def decompressed(request: Request, largest: int) -> Body:
    """The body as it was before its content encoding. In a thread: a small one may become a large one."""
    encoding = request.header(b"content-encoding").strip().lower()
    if encoding in ("", "identity"):
        return request.body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        told = f"the content encoding {encoding[:40]!r} is not read here; gzip and deflate are"
        raise EngineError("unsupported_media_type", told, headers=((b"accept-encoding", b"gzip, deflate"),))
    return await asyncio.to_thread(_decompressed, request.body, encoding.removeprefix("x-"), largest)


def _decompressed(body: Body, encoding: str, largest: int) -> bytes:
    reader = zlib.decompressobj(GZIP if encoding == "gzip" else _kind_of_deflate(body))
    try:
        found = reader.decompress(body, largest + 1)
    except zlib.error:
        raise malformed(f"the body is not what its content encoding says, {encoding}") from None
    if len(found) > largest:
        raise EngineError("too_large", f"the body has more than {largest} bytes when decompressed")
    if not reader.eof or reader.unused_data:
        raise malformed(f"the body in {encoding} is {'followed by something' if reader.eof else 'cut short'}")
    return found


def _kind_of_deflate(body: Body) -> int:
    """The standard means zlib's format; some clients send the data without its header."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    return ZLIB if is_zlib else PLAIN
