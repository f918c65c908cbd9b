"""The laboratories: what a hand does, what stands on paper, and that nothing stays behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers import zoo
from helpers.bench.batching import one_at_a_time, simulate
from helpers.bench.load import Question
from helpers.bench.server_process import ServerProcess
from helpers.classroom import (
    BatchingLab,
    DigitPad,
    LoadPanel,
    Recorder,
    ServerPanel,
    VersionPanel,
    course_so_far,
    overlap,
    queue_picture,
    remember,
    spans_picture,
)
from helpers.classroom.digit_pad import as_digit
from helpers.classroom.timelines import Span
from helpers.errors import UserError
from helpers.serving import serve
from tests.bench.test_servers_and_load import ADDER, QUESTION
from tests.engine.served import store_with_two_versions

VIEW = "application/vnd.jupyter.widget-view+json"


def predict(image: np.ndarray) -> np.ndarray:
    """The more ink, the higher the digit."""
    shares = np.zeros(10)
    shares[min(9, int(10 * image.mean()))] = 1
    return shares


# The digit pad


def test_what_is_drawn_is_moved_to_the_middle_and_made_as_large_as_the_data() -> None:
    points = np.zeros((32, 32), int)
    points[3:6, 2:5] = 1  # a dot in a corner
    small = as_digit(points)
    assert small.shape == (1, 1, 8, 8) and small.dtype == np.float32
    assert small[0, 0, 1:7, 1:7].min() == 1, "the dot fills the pad"
    assert as_digit(np.roll(points, (20, 9), (0, 1))).tolist() == small.tolist()
    assert as_digit(np.zeros((32, 32))).max() == 0


def test_real_strokes_keep_their_shape() -> None:
    points = np.zeros((32, 32), int)
    points[2:30, 14:17] = 1  # a one
    image = as_digit(points)[0, 0]
    assert image[:, 3:5].sum() > 5 and image[:, [0, 1, 6, 7]].sum() == 0


def test_the_pad_asks_the_model_when_something_is_drawn() -> None:
    pad = DigitPad(predict, zoo.digits().test_images[:1])
    shown = pad.widget().children[1]
    assert "Draw a digit" in shown.value and pad.image is None
    pad.draw(np.ones((32, 32)))
    assert "The model says: <strong>8</strong>" in shown.value or "<strong>9</strong>" in shown.value
    assert 'aria-live="polite"' in shown.value and pad.image is not None
    pad.draw(np.zeros((32, 32)))
    assert "Draw a digit" in shown.value


def test_the_pad_goes_on_when_the_model_does_not_answer() -> None:
    def broken(image: np.ndarray) -> np.ndarray:
        raise OSError("<gone>")

    pad = DigitPad(broken, zoo.digits().test_images[:1])
    pad.draw(np.ones((32, 32)))
    assert "No answer: &lt;gone&gt;" in pad.widget().children[1].value


def test_the_pad_on_paper_shows_an_example_with_its_answer() -> None:
    bundle = DigitPad(predict, zoo.digits().test_images[:1])._repr_mimebundle_()
    assert "the model takes it for a" in bundle["text/plain"] and "<img alt=" in bundle["text/html"]
    assert bundle[VIEW]["model_id"]


# Batching


def test_the_sliders_change_the_timelines() -> None:
    lab = BatchingLab(rate=100)
    *sliders, shown = lab.widget().children
    assert sliders[0].description == "arrivals a second"
    before, picture = lab.timelines["when busy"].mean_rows, shown.value
    sliders[0].value = 1000
    assert lab.timelines["when busy"].mean_rows > before
    assert shown.value != picture and "one at a time:" in shown.value
    assert "a window of 10 ms" in repr(lab)


def test_the_same_settings_draw_the_same_arrivals() -> None:
    one, other = BatchingLab(rate=300), BatchingLab(rate=300)
    assert one.timelines["one at a time"] == other.timelines["one at a time"]
    assert BatchingLab(rate=300, seed=1).timelines != one.timelines


def test_a_queue_is_told_in_words_too() -> None:
    picture = queue_picture({"alone": simulate([0.0, 1.0], one_at_a_time, lambda rows: 0.5)})
    assert "alone: 1.0 together on average, p50 500.0 ms" in picture.alt


# Spans


def test_overlap_is_the_share_of_time_with_two_at_once() -> None:
    assert overlap([Span("a", "", 0, 2), Span("b", "", 1, 3)]) == pytest.approx(1 / 3)
    assert overlap([Span("a", "", 0, 1), Span("b", "", 1, 2)]) == 0
    assert overlap([Span("a", "", 0, 1)]) == 0


def test_spans_are_noted_even_if_they_fail_and_are_told_in_order() -> None:
    record = Recorder()
    with record("first", "one"):
        pass
    with pytest.raises(ZeroDivisionError), record("second"):
        raise ZeroDivisionError
    assert [span.lane for span in record.spans] == ["first", "second"]
    alt = spans_picture(record.spans, "Two").alt
    assert alt.index("first (one)") < alt.index("second")


# Servers and load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("adder")
    (made / "adder.py").write_text(ADDER, "utf-8")
    return made


@pytest.fixture(scope="module")
def panel(folder: Path) -> Iterator[ServerPanel]:
    with ServerPanel("adder", ServerProcess.of_kit("adder:Adder", folder=folder)) as made:
        yield made


def test_the_buttons_start_and_stop_the_server(folder: Path) -> None:
    panel = ServerPanel("buttons", ServerProcess.of_kit("adder:Adder", folder=folder))
    head, log = panel.widget().children
    start, stop, state = head.children
    assert "not running" in state.value
    start.click()
    assert "ready at http://127.0.0.1" in state.value and 'role="status"' in state.value
    assert "Serving Adder" in log.value
    stop.click()
    assert "not running" in state.value and not panel.server.is_running
    panel.close()


def test_a_server_that_cannot_start_is_told_in_the_panel(folder: Path) -> None:
    panel = ServerPanel("broken", ServerProcess.of_kit("adder:Nothing", folder=folder))
    head, log = panel.widget().children
    head.children[0].click()
    assert "not running" in head.children[2].value and "no service Nothing" in log.value
    panel.close()


def test_a_panel_of_the_same_name_takes_the_place_of_the_first(folder: Path) -> None:
    first = ServerPanel("again", ServerProcess.of_kit("adder:Adder", folder=folder)).start()
    second = ServerPanel("again", ServerProcess.of_kit("adder:Adder", folder=folder))
    assert not first.server.is_running
    second.close()


def test_load_is_drawn_and_told(panel: ServerPanel) -> None:
    load = LoadPanel(lambda: panel.server.address, QUESTION, "adder")
    assert "No load" in repr(load)
    found = load.run(rate=100, seconds=0.5)
    assert found.statuses == {200: 50}
    assert "100 requests a second were offered; 50 of 50 were answered" in repr(load)
    bundle = load._repr_mimebundle_()
    assert "<img alt=" in bundle["text/html"] and bundle[VIEW]["model_id"]


def test_the_load_button_draws_while_it_loads_and_says_when_it_cannot() -> None:
    load = LoadPanel(lambda: "http://127.0.0.1:nothing", Question("/", b"", {}))
    load.widget()
    load._run_live(50)
    assert "No load" in load._shown.value


# Versions


def test_promote_and_roll_back_move_the_alias_and_the_server(tmp_path: Path) -> None:
    store = store_with_two_versions(tmp_path)
    with serve("net:prod", store=store) as server:
        panel = VersionPanel("net", store, server.address)
        head, shown = panel.widget().children
        choice, promote, back = head.children
        assert panel.in_production() == panel.answering() == "1"
        choice.value = "2"
        promote.click()
        assert panel.in_production() == panel.answering() == "2"
        assert "prod and answering" in shown.value
        back.click()
        assert panel.in_production() == panel.answering() == "1"
        back.click()
        assert "no other version" in shown.value


def test_a_version_that_does_not_load_is_not_promoted(tmp_path: Path) -> None:
    store = store_with_two_versions(tmp_path)
    with serve("net:prod", store=store) as server:
        (model,) = (store.root / "net" / "2").glob("*.onnx")
        model.write_bytes(model.read_bytes()[:-5])
        panel = VersionPanel("net", store, server.address)
        with pytest.raises(UserError, match=r"did not load version 2: .*is not what was saved"):
            panel.promote("2")
        assert panel.in_production() == panel.answering() == "1"


# The course so far


def test_what_was_measured_is_drawn_with_its_units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    assert "Nothing was measured" in course_so_far().alt
    remember("03", digits_seconds={"torch": 0.0002, "onnx": 3.5e-5}, answers_per_second=1234.0, first_seconds=0.5)
    (tmp_path / "measurements.json").write_text(
        json.dumps(json.loads((tmp_path / "measurements.json").read_text()) | {"99": {"unknown": 1}}), "utf-8"
    )
    alt = course_so_far().alt
    assert "03 digits seconds: onnx 35 µs, torch 200 µs" in alt and "answers per second 1,234/s" in alt
    assert alt.count("03:") == 2, "seconds and rates have no bars in common"
    assert "unknown" not in alt
