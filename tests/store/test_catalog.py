"""Saving, finding and loading; what is refused; and what many processes, killers and full disks cannot spoil."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helpers import store as default_store
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.store import Signature, Store, TensorInfo
from helpers.store import shelf as shelves
from tests.store.models import ROWS, multiply_by


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def factor(store: Store, tag: str) -> float:
    """Which model answers."""
    return float(store.load(tag)(ROWS)[1, 2] / ROWS[1, 2])


def test_versions_are_counted_and_answer_as_themselves(store: Store) -> None:
    assert [store.save("net", multiply_by(number)).tag for number in (2, 3, 4)] == ["net:1", "net:2", "net:3"]
    assert [factor(store, tag) for tag in ("net:1", "net:2", "net:3", "net", "net:latest")] == [2, 3, 4, 4, 4]


def test_everything_that_was_said_is_found_without_opening_the_model(store: Store) -> None:
    signature = Signature(inputs=(TensorInfo("x", "float32", ("n", 3)),), batchable=False)
    store.save(
        "net",
        multiply_by(2),
        signatures={"predict": signature},
        labels={"stage": "trial"},
        metadata={"accuracy": 0.5, "seen": [1, {"by": "me"}]},
        custom_objects={"classes": ["no", "yes"]},
    )
    (stored_file,) = (store.root / "net" / "1").glob("*.onnx")
    stored_file.write_bytes(b"never opened")
    found = store.get("net:1").record
    assert found.signatures == {"predict": signature} and found.labels == {"stage": "trial"}
    assert found.metadata == {"accuracy": 0.5, "seen": [1, {"by": "me"}]}
    assert found.format == "onnx" and found.bytes > 0 and found.custom_objects == {"classes": "json"}
    assert found.libraries["onnxruntime"] and found.created.endswith("+00:00")


def test_a_model_of_onnx_describes_itself(store: Store) -> None:
    signature = store.save("net", multiply_by(2)).record.signatures["__call__"]
    assert signature.inputs == (TensorInfo("x", "float32", ("batch", 3)),) and signature.batchable


def test_a_version_may_have_a_name_of_its_own(store: Store) -> None:
    store.save("net", multiply_by(2), version="2026-11")
    assert store.save("net", multiply_by(3)).tag == "net:1", "the count goes on beside it"
    assert factor(store, "net:2026-11") == 2 and factor(store, "net") == 3
    store.save("net", multiply_by(4), version="2026-12")
    assert factor(store, "net:latest") == 4, "the newest is the last one saved, whatever it is called"
    with pytest.raises(UserError, match="net:2026-12 is there already"):
        store.save("net", multiply_by(5), version="2026-12")


def test_aliases_move_and_are_versions_to_whoever_asks(store: Store) -> None:
    for number in (2, 3):
        store.save("net", multiply_by(number))
    assert store.alias("net:1", "prod").aliases == ("prod",)
    assert factor(store, "net:prod") == 2
    store.alias("net:latest", "prod")
    assert factor(store, "net:prod") == 3
    store.alias("net:prod", "trial")
    assert store.get("net:2").aliases == ("prod", "trial")
    with pytest.raises(UserError, match="net:2 is what prod and trial stands for"):
        store.remove("net:2")
    store.remove_alias("net:prod")
    with pytest.raises(UserError, match="no version 'prod'"):
        store.get("net:prod")
    with pytest.raises(UserError, match="net:trial is an alias already"):
        store.save("net", multiply_by(5), version="trial")
    store.save("net", multiply_by(5), version="named")
    with pytest.raises(UserError, match="net:named is a version"):
        store.alias("net:1", "named")


def test_a_removed_number_is_not_given_again(store: Store) -> None:
    for number in (2, 3):
        store.save("net", multiply_by(number))
    assert store.remove("net:2") == "net:2"
    assert factor(store, "net:latest") == 2
    assert store.save("net", multiply_by(4)).tag == "net:3"
    with pytest.raises(UserError, match="Which version of net"):
        store.remove("net")


def test_lists_and_the_newest_with_a_label(store: Store) -> None:
    for number, stage in enumerate(["trial", "prod", "trial"]):
        store.save("net", multiply_by(number), labels={"stage": stage, "team": "a"})
    store.save("other", multiply_by(9))
    assert [found.tag for found in store.list()] == ["net:3", "net:2", "net:1", "other:1"]
    assert [found.tag for found in store.list("net", labels={"stage": "trial"})] == ["net:3", "net:1"]
    assert [found.tag for found in store.list(format="torch")] == []
    assert store.newest("net", stage="prod", team="a").tag == "net:2"
    with pytest.raises(UserError, match="net has no version with stage=gone"):
        store.newest("net", stage="gone")


def test_custom_objects_come_back_as_they_were(store: Store) -> None:
    objects = {"classes": ["a", "ä"], "threshold": 0.5, "nothing": None, "mapping": {"one": 1}}
    stored = store.save("net", multiply_by(2), custom_objects=objects)
    assert stored.custom_objects() == objects and set(stored.record.custom_objects.values()) == {"json"}
    mean = np.array([1.0, 2.0])
    stored = store.save("net", multiply_by(2), custom_objects={"mean": mean, "pair": (1, 2), "by_number": {1: "a"}})
    assert set(stored.record.custom_objects.values()) == {"pickle"}, "JSON would give back other types"
    with pytest.raises(UserError, match=r"keeps mean, pair, by_number as a pickle.*can run any code"):
        stored.custom_objects()
    again = stored.custom_objects(trust=True)
    assert np.array_equal(again["mean"], mean) and again["pair"] == (1, 2) and again["by_number"] == {1: "a"}
    with pytest.raises(UserError, match="custom object 'f' cannot be kept"):
        store.save("net", multiply_by(2), custom_objects={"f": lambda: None})
    with pytest.raises(UserError, match="no name of a custom object"):
        store.save("net", multiply_by(2), custom_objects={"../../evil": 1})


def change(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: change(folder / "model.onnx"), "model.onnx was changed"),
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing"),
        (lambda folder: (folder / "model.onnx").write_bytes(b""), "model.onnx was changed"),
        (lambda folder: (folder / "more.bin").write_bytes(b"x"), "more.bin does not belong there"),
        (lambda folder: change(folder / "custom" / "a.json"), "custom/a.json was changed"),
    ],
)
def test_files_that_are_not_those_that_were_saved_are_refused(store: Store, spoil: object, said: str) -> None:
    stored = store.save("net", multiply_by(2), custom_objects={"a": [1, 2, 3]})
    spoil(stored.path)  # type: ignore[operator]
    for open_it in (lambda: store.load("net:1"), stored.custom_objects):
        with pytest.raises(UserError, match=f"net:1 is not what was saved: {said}"):
            open_it()


def test_a_record_whose_digests_were_changed_is_refused(store: Store) -> None:
    stored = store.save("net", multiply_by(2))
    change(stored.path / "model.onnx")
    record = json.loads((stored.path / "model.json").read_text("utf-8"))
    record["files"] = json.loads(json.dumps({k: vars_of(v) for k, v in shelves.measure(stored.path).items()}))
    (stored.path / "model.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(UserError, match="its record was changed"):
        store.load("net:1")


def vars_of(file: shelves.File) -> dict[str, object]:
    return {"bytes": file.bytes, "sha256": file.sha256}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"name": 7}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_record_is_told_listed_and_removable(store: Store, damage: bytes) -> None:
    for number in (2, 3):
        store.save("net", multiply_by(number))
    (store.root / "net" / "2" / "model.json").write_bytes(damage)
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        store.get("net:2")
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        store.load("net:latest")  # an older one must not pass for the newest
    assert [found.tag for found in store.list()] == ["net:1"] and store.damaged("net") == ["net:2"]
    assert factor(store, "net:1") == 2
    store.remove("net:2")
    assert factor(store, "net:latest") == 2


def test_a_record_of_a_newer_release_is_not_guessed_at(store: Store) -> None:
    path = store.save("net", multiply_by(2)).path / "model.json"
    path.write_text(path.read_text("utf-8").replace('"schema": 1', '"schema": 2'), "utf-8")
    with pytest.raises(UserError, match="written by a newer release"):
        store.get("net:1")


def test_what_is_not_there_is_told_with_what_is(store: Store) -> None:
    with pytest.raises(UserError, match="no model called 'net'") as refused:
        store.get("net")
    assert "the store is empty" in refused.value.remedy
    store.save("other", multiply_by(2))
    with pytest.raises(UserError) as refused:
        store.get("net")
    assert "there are: other" in refused.value.remedy
    with pytest.raises(UserError, match="other has no version '9'") as refused:
        store.get("other:9")
    assert "choose from: 1, latest" in refused.value.remedy


@pytest.mark.parametrize("labels", [{"a": 1}, {1: "a"}, {"": "x"}, {"a": "b\nc"}])
def test_labels_are_words(store: Store, labels: dict[str, str]) -> None:
    with pytest.raises(UserError, match="is not text"):
        store.save("net", multiply_by(2), labels=labels)


def test_metadata_must_be_plain(store: Store) -> None:
    with pytest.raises(UserError, match="metadata cannot be kept"):
        store.save("net", multiply_by(2), metadata={"f": object()})
    assert store.list() == []


@pytest.mark.parametrize("model", [b"", b"no model", multiply_by(2)[:-20]])
def test_what_is_no_model_is_not_kept(store: Store, model: bytes) -> None:
    with pytest.raises(UserError, match="is not an ONNX model"):
        store.save("net", model)
    assert store.names() == [] and not any((store.root / "net").iterdir())


def save_some(root: str, first: int) -> list[str]:
    store = Store(root)
    return [store.save("net", multiply_by(first + number)).tag for number in range(5)]


def test_ten_processes_save_at_once_and_none_loses_a_version(store: Store) -> None:
    with multiprocessing.get_context("spawn").Pool(10) as pool:
        saved = pool.starmap(save_some, [(str(store.root), 10 * each) for each in range(10)])
    tags = [tag for some in saved for tag in some]
    assert {*tags} == {f"net:{number}" for number in range(1, 51)} and len(tags) == 50
    for each, some in enumerate(saved):
        assert [factor(store, tag) for tag in some] == [10 * each + number for number in range(5)]
    assert store.get("net").tag == "net:50"
    assert not list((store.root / "net").glob(".new-*"))


SAVE_FOR_EVER = """
import sys
from helpers.store import Store
model = bytes.fromhex(sys.stdin.readline())
store = Store(sys.argv[1])
while True:
    print(store.save("net", model, metadata={"filler": "x" * 100_000}).tag, flush=True)
"""


def test_kill_9_during_save_leaves_whole_versions_only(store: Store) -> None:
    for seconds in (0.0, 0.003, 0.01):
        command = [sys.executable, "-c", SAVE_FOR_EVER, str(store.root)]
        saver = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert saver.stdin and saver.stdout
        saver.stdin.write(multiply_by(2).hex() + "\n")
        saver.stdin.flush()
        assert saver.stdout.readline().startswith("net:"), "it is saving"
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        saver.kill()
        saver.communicate()
        found = store.list("net")
        assert found and store.damaged("net") == []
        for stored in found:
            stored.verify()
    numbers = [int(stored.record.version) for stored in store.list("net")]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "no number was lost"
    assert store.save("net", multiply_by(3)).tag == f"net:{len(numbers) + 1}"


def test_a_saver_that_was_killed_is_cleaned_up_after_and_one_that_writes_is_not(store: Store) -> None:
    store.save("net", multiply_by(2))
    shelf = store.root / "net"
    (shelf / ".new-killed" / "version").mkdir(parents=True)
    (shelf / ".new-killed" / "version" / "model.onnx").write_bytes(b"half")
    with shelves.Shelf(store.root, "net").new_folder() as folder:
        (folder / "model.onnx").write_bytes(b"half")
        store.save("net", multiply_by(3))
        assert (folder / "model.onnx").read_bytes() == b"half"
        assert [path.name for path in shelf.glob(".new-*")] == [folder.parent.name]
    assert not list(shelf.glob(".new-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_a_saved_version_may_be_read_by_others(store: Store) -> None:
    before = os.umask(0o022)
    try:
        stored = store.save("net", multiply_by(2))
        store.alias("net:1", "prod")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (stored.path, *stored.path.iterdir())}
    assert modes == {"1": 0o755, "model.onnx": 0o644, "model.json": 0o644}
    assert (store.root / "net" / ".aliases" / "prod").stat().st_mode & 0o777 == 0o644


SAVE_ON_A_FULL_DISK = """
import resource, signal, sys
from helpers.errors import UserError
from helpers.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Store(sys.argv[1]).save("net", bytes.fromhex(sys.stdin.read()), metadata={"filler": "x" * 5000})
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit that stands for a full disk is a POSIX one")
def test_a_disk_that_takes_no_more_is_told_and_nothing_half_saved_stays(store: Store) -> None:
    store.save("net", multiply_by(2))
    command = [sys.executable, "-c", SAVE_ON_A_FULL_DISK, str(store.root)]
    ran = subprocess.run(command, cwd=ROOT, input=multiply_by(3).hex(), capture_output=True, text=True, check=True)
    assert "net could not be saved" in ran.stdout and "File too large" in ran.stdout
    assert [found.tag for found in store.list()] == ["net:1"]
    assert not list((store.root / "net").glob(".new-*"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_may_not_be_written_is_told(store: Store) -> None:
    store.root.mkdir(mode=0o500)
    with pytest.raises(UserError, match="could not be saved"):
        store.save("net", multiply_by(2))


def test_a_link_is_no_file_of_a_version(store: Store, tmp_path: Path) -> None:
    stored = store.save("net", multiply_by(2))
    secret = tmp_path / "secret"
    secret.write_text("secret", "utf-8")
    try:
        (stored.path / "link").symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no links here")
    with pytest.raises(UserError, match="link does not belong there"):
        store.load("net:1")


def test_the_functions_of_the_room_use_the_store_of_the_lab(home: Path) -> None:
    default_store.save("net", multiply_by(2), labels={"a": "b"})
    default_store.alias("net:1", "prod")
    assert float(default_store.load("net:prod")(ROWS)[0, 1]) == 2
    assert [found.tag for found in default_store.list("net")] == ["net:1"]
    assert default_store.newest("net", a="b").path == home / "store" / "net" / "1"
    default_store.remove_alias("net:prod")
    assert default_store.get("net").aliases == ()
    assert default_store.remove("net:latest") == "net:1"


class StoreAgainstAModel(RuleBasedStateMachine):
    """Any order of saving, naming and removing, against a dictionary that does the same."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory(prefix="servelab-store-")
        self.store = Store(self.folder.name)
        self.versions: dict[str, float] = {}  # in the order of saving
        self.aliases: dict[str, str] = {}
        self.given = 0
        self.saved = 0

    @rule()
    def save(self) -> None:
        self.given += 1
        self.saved += 1
        assert self.store.save("net", multiply_by(self.saved)).record.version == str(self.given)
        self.versions[str(self.given)] = self.saved

    @rule(name=st.sampled_from(["a", "b", "v2"]))
    def save_named(self, name: str) -> None:
        self.saved += 1
        if name in self.versions or name in self.aliases:
            with pytest.raises(UserError):
                self.store.save("net", multiply_by(self.saved), version=name)
        else:
            self.store.save("net", multiply_by(self.saved), version=name)
            self.versions[name] = self.saved

    @rule(alias=st.sampled_from(["prod", "b"]), at=st.integers(0, 9))
    def set_alias(self, alias: str, at: int) -> None:
        if not self.versions:
            return
        version = list(self.versions)[at % len(self.versions)]
        if alias in self.versions:
            with pytest.raises(UserError):
                self.store.alias(f"net:{version}", alias)
        else:
            self.store.alias(f"net:{version}", alias)
            self.aliases[alias] = version

    @rule(at=st.integers(0, 9))
    def remove(self, at: int) -> None:
        if not self.versions:
            return
        version = list(self.versions)[at % len(self.versions)]
        if version in self.aliases.values():
            with pytest.raises(UserError):
                self.store.remove(f"net:{version}")
        else:
            self.store.remove(f"net:{version}")
            del self.versions[version]

    @invariant()
    def they_agree(self) -> None:
        assert {found.record.version for found in self.store.list()} == self.versions.keys()
        if self.versions:
            assert factor(self.store, "net:latest") == list(self.versions.values())[-1]
        for alias, version in self.aliases.items():
            assert self.store.get(f"net:{alias}").record.version == version

    def teardown(self) -> None:
        self.folder.cleanup()


TestStoreAgainstAModel = StoreAgainstAModel.TestCase
TestStoreAgainstAModel.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
