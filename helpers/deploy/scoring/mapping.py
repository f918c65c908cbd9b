"""Which columns of a file fill which input: by its name, by numbered names (f0 … f9), or as ``--columns`` says.

An input that has a column of its name takes that. A tensor of 10 numbers in a row is filled by 10 columns that are
numbered without a gap, in the order of their numbers and not of the file: f2 comes before f10.
"""

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.errors import UserError
from helpers.runtime import TensorSpec

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, tuple[str, ...]]  # of each input
SHOWN = 12
NUMBERED = re.compile(r"(.*?)(\d+)")


def mapped(schema: "pa.Schema", inputs: Mapping[str, TensorSpec], given: Sequence[str], where: str) -> Columns:
    """The columns of each input, or a refusal that lists what is there and what is wanted."""
    there = list(schema.names)
    named = _given(there, inputs, given, where)
    found = {name: named.get(name) or _found(there, name, spec, where) for name, spec in inputs.items()}
    for name, spec in inputs.items():
        if found[name] != (name,) or name in named:
            _expect_count(name, spec, found[name], where)
    return found


def described(columns: Columns, inputs: Mapping[str, TensorSpec], there: Sequence[str]) -> list[str]:
    """What was mapped, in words, if any input takes other columns than that of its name."""
    if all(names == (name,) for name, names in columns.items()):
        return []
    used = {name for names in columns.values() for name in names}
    lines = [f"{name} is filled by {_count(len(names))}: {some(names)}" for name, names in columns.items()]
    passed = [name for name in there if name not in used]
    return lines + ([f"not read, and passed through: {some(passed)}"] if passed else [])


def some(names: Sequence[str]) -> str:
    """All names of a short list; of a long one the first and the last."""
    if len(names) <= SHOWN:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:3])}, … {names[-1]} ({len(names)})"


def _given(there: Sequence[str], inputs: Mapping[str, TensorSpec], given: Sequence[str], where: str) -> Columns:
    """What ``--columns [INPUT=]NAME,NAME,…`` says; a name may be a pattern."""
    found: Columns = {}
    for text in given:
        name, is_named, listed = text.partition("=")
        if not is_named or name not in inputs:
            if is_named and text not in there:
                raise UserError(f"There is no input {name!r}.", f"the inputs are {', '.join(inputs)}.", 2)
            if len(inputs) > 1:
                raise UserError(
                    f"--columns {text} does not say for which input.",
                    f"write --columns INPUT={text}; the inputs are {', '.join(inputs)}.",
                    2,
                )
            name, listed = next(iter(inputs)), text
        columns: list[str] = []
        for each in filter(None, (part.strip() for part in listed.split(","))):
            matches = [each] if each in there else sorted(fnmatch.filter(there, each), key=_natural)
            if not matches:
                raise UserError(f"{where} has no column {each}.", f"its columns are {some(there)}.", 2)
            columns += matches
        twice = sorted({each for each in columns if columns.count(each) > 1})
        if twice or not columns or name in found:
            what = f"names {twice[0]} twice" if twice else f"names no column for {name}, or it is there twice"
            raise UserError(f"--columns {text} {what}.", "name each column once.", 2)
        found[name] = tuple(columns)
    return found


def _found(there: Sequence[str], input_name: str, spec: TensorSpec, where: str) -> tuple[str, ...]:
    """The columns for one input that ``--columns`` does not name."""
    if input_name in there:
        return (input_name,)
    alike = [name for name in there if _plain(name) == _plain(input_name)]
    if len(alike) == 1:
        return (alike[0],)
    count = _numbers_in_a_row(spec)
    if count == 1 or len(spec.shape) < 2:
        return (input_name,)  # which is missing: the check of types says so, with all else that is wrong
    groups = _numbered(there)
    fitting = [group for group in groups.values() if _is_gapless(group) and count in (None, len(group))]
    own = [group for prefix, group in groups.items() if _plain(prefix) == _plain(input_name) and group in fitting]
    if len(own or fitting) == 1:
        return (own or fitting)[0]
    if len(fitting) > 1:
        listed = "; ".join(some(group) for group in fitting)
        raise UserError(
            f"{where} has several groups of columns for {input_name}: {listed}.",
            f"choose one: --columns {input_name}={fitting[0][0]},…",
            2,
        )
    longest = max(groups.values(), key=len, default=())
    if count is None or not longest:
        return (input_name,)
    first = NUMBERED.fullmatch(longest[0])
    assert first is not None
    start = min(int(first[2]), 1)
    wanted = [f"{first[1]}{number}" for number in range(start, start + count)]
    raise UserError(
        f"{input_name} takes {_count(count)}, such as {some(wanted)}, and {where} has {some(longest)}.",
        f"name them in their order: --columns {input_name}=NAME,NAME,…; its columns are {some(there)}.",
    )


def _numbered(there: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns that differ only in a number at their end, in the order of those numbers."""
    groups: dict[str, dict[int, str]] = {}
    for name in there:
        if found := NUMBERED.fullmatch(name):
            groups.setdefault(found[1], {})[int(found[2])] = name
    return {
        prefix: tuple(names[number] for number in sorted(names)) for prefix, names in groups.items() if len(names) > 1
    }


def _is_gapless(group: tuple[str, ...]) -> bool:
    """True if the numbers run from 0 or 1 without a gap: f0 … f9."""
    numbers = [int(found[2]) for name in group if (found := NUMBERED.fullmatch(name))]
    return numbers in (list(range(len(group))), list(range(1, len(group) + 1)))


def _expect_count(name: str, spec: TensorSpec, columns: tuple[str, ...], where: str) -> None:
    count = _numbers_in_a_row(spec)
    if count is not None and len(columns) != count and len(columns) > 1:
        raise UserError(
            f"{name} takes {_count(count)}, and {len(columns)} of {where} were named: {some(columns)}.",
            f"name {count}: --columns {name}=NAME,NAME,…",
            2,
        )


def _numbers_in_a_row(spec: TensorSpec) -> int | None:
    """How many values a row of an input has; None if that is open."""
    inner = spec.shape[1:]
    return (
        math.prod(size for size in inner if isinstance(size, int)) if all(isinstance(s, int) for s in inner) else None
    )


def _plain(name: str) -> str:
    """A name without what converters replace: ``petal length (cm)`` and ``petal_length__cm_`` are one."""
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name))


def _count(number: int) -> str:
    return f"{number} columns" if number != 1 else "1 column"
