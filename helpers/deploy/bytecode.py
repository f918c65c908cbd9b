"""Python's bytecode for an image, made by a process for each core: most of a cold start, and of a build.

Run as a program, which needs nothing but Python, it compiles what its input names.
"""

import importlib.util
import json
import marshal
import os
import subprocess
import sys
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

AT_ONCE = 250  # modules that a process is started for
# Of the forms in which code is written: the last whose bytes do not depend on what else the process has in memory.
FORM = 2


class Source(NamedTuple):
    """A module's file here, and its path in the image, which its tracebacks name."""

    file: Path
    name: str


def all_compiled(sources: Sequence[Source]) -> Generator[bytes]:
    """The bytecode of each, in order."""
    parts = [sources[start : start + AT_ONCE] for start in range(0, len(sources), AT_ONCE)]
    with ThreadPoolExecutor(os.cpu_count() or 1, "compile") as threads:
        for made in threads.map(_in_a_process, parts):
            yield from made


def _in_a_process(sources: Sequence[Source]) -> list[bytes]:
    asked = json.dumps([(str(source.file), source.name) for source in sources]).encode()
    command = [sys.executable, "-I", "-S", __file__]
    answer = subprocess.run(command, input=asked, capture_output=True, check=True).stdout
    made, place = [], 0
    for _ in sources:
        begin = place + 4
        place = begin + int.from_bytes(answer[place:begin], "little")
        made.append(answer[begin:place])
    return made


def compiled(text: bytes, name: str) -> bytes:
    """A module's bytecode, used without a look at its text, whose time of change an image has not."""
    try:
        code = compile(text, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):  # a template, or for another Python; nobody imports it
        return b""
    unchecked = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(text) + marshal.dumps(code, FORM)


def main() -> None:
    warnings.simplefilter("ignore")  # of others' code
    for file, name in json.load(sys.stdin.buffer):
        made = compiled(Path(file).read_bytes(), name)
        sys.stdout.buffer.write(len(made).to_bytes(4, "little") + made)


if __name__ == "__main__":
    main()
