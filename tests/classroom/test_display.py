"""Tables and pictures that everyone can read."""

import matplotlib.pyplot as plt
import pytest

from helpers.classroom import Picture, Table


def test_a_table_is_text_and_html() -> None:
    table = Table(["file", "bytes"], [["a<b", 10], ["c", 2000]], "Two files")
    assert repr(table).splitlines() == ["Two files", "file  bytes", "----  -----", "a<b   10", "c     2000"]
    shown = table._repr_html_()
    assert "a&lt;b" in shown and shown.count("scope='col'") == 2 and "<caption" in shown


def test_a_picture_has_alt_text_and_closes_its_figure() -> None:
    figure, _ = plt.subplots()
    picture = Picture(figure, alt='A "curve" that rises.')
    assert 'alt="A &quot;curve&quot; that rises."' in picture._repr_html_()
    assert repr(picture) == '[picture: A "curve" that rises.]'
    assert picture.png.startswith(b"\x89PNG")
    assert not plt.get_fignums()
    with pytest.raises(ValueError, match="alt text"):
        Picture(figure, alt=" ")
