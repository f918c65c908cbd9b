"""What is counted, over several workers: nothing lost, nothing twice, and always text that Prometheus reads."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from helpers.engine.counts import ENTRY, LAST, NAME, Page, entries
from helpers.engine.metrics import BOUNDS, GONE, LIVE, Metrics, retire

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(metrics: Metrics) -> Samples:
    """As Prometheus's own parser understands the text."""
    families = text_string_to_metric_families(metrics.text().decode())
    found = [(each.name, frozenset(each.labels.items()), each.value) for family in families for each in family.samples]
    assert len({(name, labels) for name, labels, _ in found}) == len(found), "each series once"
    return {(name, labels): value for name, labels, value in found}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def lane(waiting: int, limit: int, batches: int) -> Any:
    return SimpleNamespace(
        scheduler=SimpleNamespace(queued_rows=waiting, size=SimpleNamespace(limit=limit)), batches=batches
    )


requests = st.tuples(st.sampled_from(["v2", "classify", ""]), st.sampled_from([200, 404, 503]), st.floats(0, 20))


@given(st.lists(st.tuples(st.integers(0, 2), requests)), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_whoever_is_asked_tells_the_sum(counted: list[tuple[int, Any]], gone: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workers = [Metrics(folder, str(number)) for number in range(3)]
        for worker, request in counted:
            workers[worker].count(*request)
        asked = workers[:gone] + workers[gone + 1 :]
        before = [samples(each) for each in asked]
        retire(folder, str(gone))
        after = [samples(each) for each in asked]
    totals = Counter((route, str(status)) for _, (route, status, _) in counted)
    for found in (*before, *after):
        told = {labels: value for (family, labels), value in found.items() if family == "servelab_requests_total"}
        assert told == {frozenset({("route", r), ("status", s)}): count for (r, s), count in totals.items()}
        for route in {route for route, _ in totals}:
            seconds = [seconds for _, (other, _, seconds) in counted if other == route]
            label = ("route", route)
            assert found["servelab_request_seconds_count", frozenset([label])] == len(seconds)
            assert found["servelab_request_seconds_sum", frozenset([label])] == pytest.approx(sum(seconds), abs=1e-5)
            for bound in (*BOUNDS, float("inf")):
                le = "+Inf" if bound == float("inf") else str(bound)
                below = found["servelab_request_seconds_bucket", frozenset([label, ("le", le)])]
                assert below == sum(each <= bound for each in seconds)
    assert {found["servelab_workers", frozenset()] for found in before} == {3}
    assert {found["servelab_workers", frozenset()] for found in after} == {2}


@given(st.text(max_size=70), st.text(max_size=70))
@settings(max_examples=100, deadline=None)
def test_any_name_can_be_told(model: str, version: str) -> None:
    metrics = Metrics()
    metrics.note({(model, version): lane(1, 2, 3)})
    metrics.count(model, 200, 0.1)
    told = [entry for entry in metrics.text().decode().split("\n") if entry and not entry.startswith("#")]
    assert all(len(name.encode()) < NAME for name, _ in metrics._page.entries())
    assert all(entry.rpartition(" ")[0].endswith("}") for entry in told if "{" in entry)
    if "\r" not in model + version and model.isprintable() and version.isprintable():
        assert value(metrics, "servelab_queued_rows", model=model[:64], version=version[:64]) == 1


def test_what_was_measured_goes_with_its_worker_and_what_was_counted_stays(tmp_path: Path) -> None:
    one, other = Metrics(tmp_path, "1"), Metrics(tmp_path, "2")
    one.note({("net", "1"): lane(waiting=5, limit=8, batches=70)})
    other.note({("net", "1"): lane(waiting=3, limit=32, batches=11)})
    labels = {"model": "net", "version": "1"}
    assert value(one, "servelab_queued_rows", **labels) == 8
    assert value(one, "servelab_batch_limit", **labels) == 32, "no batch is as large as two limits together"
    retire(tmp_path, "2")
    assert value(one, "servelab_queued_rows", **labels) == 5
    assert value(one, "servelab_batch_limit", **labels) == 8
    assert value(one, "servelab_batches_total", **labels) == 81
    retire(tmp_path, "2")  # who was told twice
    assert value(one, "servelab_batches_total", **labels) == 81
    (page,) = tmp_path.glob(f"*{GONE}")
    assert page.stat().st_size == 4 * ENTRY, "it keeps no more room than its numbers need"


def test_a_version_that_was_unloaded_has_no_queue() -> None:
    metrics = Metrics()
    metrics.note({("net", "1"): lane(waiting=5, limit=8, batches=70)})
    metrics.note({("net", "2"): lane(waiting=1, limit=8, batches=1)})
    assert value(metrics, "servelab_queued_rows", model="net", version="1") == 0
    assert value(metrics, "servelab_queued_rows", model="net", version="2") == 1
    assert value(metrics, "servelab_batches_total", model="net", version="1") == 70


def test_a_worker_that_dies_while_the_pages_are_read_is_counted_once(tmp_path: Path) -> None:
    one, other = Metrics(tmp_path, "1"), Metrics(tmp_path, "2")
    other.count("v2", 200, 0.1)

    class Folder:
        """Between the look into the folder and the look into its files, a worker is retired."""

        def iterdir(self) -> Iterator[Path]:
            seen = list(tmp_path.iterdir())
            assert tmp_path / f"2{LIVE}" in seen
            retire(tmp_path, "2")
            return iter(seen)

    one.folder = Folder()  # type: ignore[assignment]
    assert value(one, "servelab_requests_total", route="v2", status="200") == 1


def test_a_name_that_is_not_yet_whole_is_not_read() -> None:
    page = bytearray(2 * ENTRY)
    page[:3] = b"one"
    page[ENTRY + 1 : ENTRY + 3] = b"wo"
    assert [name for name, _ in entries(bytes(page))] == ["one"]  # type: ignore[arg-type]


def test_a_full_page_mixes_nothing_up(tmp_path: Path) -> None:
    page = Page(tmp_path / "page")
    there_are = LAST // ENTRY
    for number in range(there_are + 10):
        page.add(f"name{number}", number)
    assert dict(page.entries()) == {f"name{number}": number for number in range(there_are)}
    assert dict(entries((tmp_path / "page").read_bytes())) == dict(page.entries())
