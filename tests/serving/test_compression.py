"""Compressed bodies: read as if they were not, up to the same limit; a damaged one is refused in one sentence."""

import gzip
import json
import zlib
from collections.abc import Iterator

import httpx
import pytest

from helpers.serving import Settings
from helpers.serving.server import Server, serve
from tests.serving.mirror import store_for_clients

LARGEST = 1 << 20
BODY = json.dumps({"instances": [[1.5, 2.0]] * 50}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = store_for_clients(tmp_path_factory.mktemp("served"))
    with serve("missing", store=store, settings=Settings(largest_body=LARGEST)) as running:
        yield running


def sent(server: Server, body: bytes, encoding: str) -> httpx.Response:
    headers = {"content-encoding": encoding}
    return httpx.post(f"{server.address}/v1/models/missing:predict", content=body, headers=headers, timeout=60)


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (BODY, "identity"),
        (BODY, ""),
        (gzip.compress(BODY, mtime=0), "gzip"),
        (gzip.compress(BODY, mtime=0), "GZIP"),
        (gzip.compress(BODY, mtime=0), "x-gzip"),
        (zlib.compress(BODY), "deflate"),
        (zlib.compress(BODY, 0), "deflate"),
        (raw_deflate(BODY), "deflate"),
        (gzip.compress(BODY + b" " * (LARGEST - len(BODY)), mtime=0), "gzip"),
    ],
)
def test_it_is_read(server: Server, body: bytes, encoding: str) -> None:
    answer = sent(server, body, encoding)
    assert answer.status_code == 200 and answer.json() == {"predictions": [[3.5]] * 50}


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (BODY, "gzip", 400, "is not what its content encoding says, gzip"),
        (BODY, "deflate", 400, "is not what its content encoding says, deflate"),
        (b"", "gzip", 400, "cut short"),
        (gzip.compress(BODY, mtime=0)[:-5], "gzip", 400, "cut short"),
        (gzip.compress(BODY, mtime=0) + b"more", "gzip", 400, "followed by something"),
        (gzip.compress(b"{", mtime=0), "gzip", 400, "not JSON"),
        (BODY, "br", 415, "'br' is not read here; gzip and deflate are"),
        (gzip.compress(gzip.compress(BODY, mtime=0), mtime=0), "gzip, gzip", 415, "'gzip, gzip' is not read here"),
        (gzip.compress(b" " * (LARGEST + 1), mtime=0), "gzip", 413, f"more than {LARGEST} bytes when decompressed"),
        (gzip.compress(b" " * (200 * LARGEST), mtime=0), "gzip", 413, "when decompressed"),
    ],
)
def test_it_is_refused(server: Server, body: bytes, encoding: str, status: int, said: str) -> None:
    answer = sent(server, body, encoding)
    assert answer.status_code == status and said in answer.json()["error"], answer.text
    assert sent(server, BODY, "identity").status_code == 200
