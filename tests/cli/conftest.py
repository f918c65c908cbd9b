"""What the tests of several commands share."""

from pathlib import Path

import pytest

from tests.cli.tiny_course import Course


@pytest.fixture(scope="session")
def set_up_once(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A tiny course whose environment is made with real pip, which takes seconds; only to be copied."""
    made = Course(tmp_path_factory.mktemp("course"))
    ran = made.run("setup", "--extra", "dev")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return made


@pytest.fixture
def ready_course(set_up_once: Course, tmp_path: Path) -> Course:
    """A tiny course with an environment for ``course`` and ``dev``."""
    return Course(tmp_path, like=set_up_once)
