"""The course's models: as good as promised, the same each time, and safe to ask for."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import zoo
from helpers.places import ROOT
from helpers.zoo import digit_classifier, torchvision_models
from helpers.zoo.kept import kept, read_whole


def test_the_digits_are_cut_without_overlap() -> None:
    data = zoo.digits()
    assert data.train_images.shape == (1347, 1, 8, 8) and data.test_images.shape == (450, 1, 8, 8)
    assert data.train_images.dtype == np.float32 and 0 <= data.train_images.min() < data.train_images.max() <= 1
    seen = {image.tobytes() for image in data.train_images}
    assert not any(image.tobytes() in seen for image in data.test_images)
    data.test_images[:] = 0
    assert zoo.digits().test_images.any(), "what a notebook does to its digits is its own affair"


def test_the_classifier_is_as_good_as_promised_and_comes_ready_to_answer() -> None:
    model = zoo.digits_cnn()
    assert digit_classifier.accuracy(model) >= 0.97
    assert not model.training


def test_training_is_seeded_and_leaves_the_callers_numbers_alone(home: Path) -> None:
    torch.manual_seed(7)
    first = digit_classifier.train()
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.rand(1) == after
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    second = digit_classifier.train()
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_resnet18_is_seeded() -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(zoo.resnet18()(images), zoo.resnet18()(images))
        assert not torch.equal(zoo.resnet18()(images), zoo.resnet18(seed=1)(images))


def arrays() -> dict[str, np.ndarray]:
    return {"a": np.arange(6.0).reshape(2, 3), "b.c": np.array(3)}


def test_what_is_kept_is_made_once(home: Path) -> None:
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return arrays()

    for _ in range(3):
        found = kept("x", {"seed": 1}, make)
        assert all(np.array_equal(found[name], arrays()[name]) for name in arrays())
    assert len(made) == 1
    kept("x", {"seed": 2}, make)
    assert len(made) == 2, "another recipe is another thing"


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[:50] + b"X" + raw[51:]])
def test_what_is_damaged_is_made_again(home: Path, damage: object) -> None:
    kept("x", {}, arrays)
    (path,) = (home / "zoo").glob("*.npz")
    path.write_bytes(damage(path.read_bytes()))
    assert read_whole(path) is None
    assert np.array_equal(kept("x", {}, arrays)["a"], arrays()["a"])
    assert read_whole(path) is not None


def test_who_asks_at_once_gets_it_made_once(home: Path) -> None:
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return arrays()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kept("x", {}, make), range(16)))
    assert len(made) == 1 and len(found) == 16


def test_processes_that_ask_at_once_get_it_made_once(home: Path) -> None:
    program = """
import sys, numpy
from helpers.zoo.kept import kept
print("ready", flush=True)
sys.stdin.readline()
kept("x", {}, lambda: print("made", flush=True) or {"a": numpy.zeros(3)})
"""
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    for process in asking:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n")[0] for process in asking]
    assert all(process.returncode == 0 for process in asking)
    assert "".join(said).count("made") == 1


def test_torchvision_imports_beside_this_torch_in_a_fresh_process() -> None:
    program = """
from helpers.zoo import import_torchvision
torchvision = import_torchvision()
assert import_torchvision() is torchvision
import torch
from torchvision.transforms import v2
print(v2.Resize(4)(torch.zeros(3, 8, 8)).shape, torchvision.models.resnet18)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "torch.Size([3, 4, 4])" in ran.stdout


def test_beside_a_matching_torch_nothing_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matching pair cannot be installed beside this one: its library is played by a function."""
    loaded: list[str] = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    assert torchvision_models.compiled_half_loads()
    assert loaded or sys.platform != "linux"

    def refuses(path: str) -> None:
        raise OSError("libtorch_cuda.so: cannot open shared object file")

    monkeypatch.setattr(torch.ops, "load_library", refuses)
    assert torchvision_models.compiled_half_loads() == (sys.platform != "linux")
    monkeypatch.setattr(torchvision_models.sys, "platform", "darwin")
    assert torchvision_models.compiled_half_loads(), "elsewhere the wheels fit each other"
