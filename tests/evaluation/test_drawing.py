"""Lines of text and pictures put together."""

import numpy as np
from PIL import Image

from stacksam.evaluation.drawing import GAP, below, beside, page, text_line


def plain(width, height, colour="black"):
    return Image.new("RGB", (width, height), colour)


def test_page_adds_margin_and_footer():
    plain = Image.new("RGB", (300, 100), "black")
    sheet = page([plain, plain])
    assert sheet.width > 300
    assert sheet.height > 216
    assert np.asarray(sheet)[-40:].min() < 200  # the footer's text


def test_pictures_beside_and_below_each_other_do_not_overlap():
    pictures = [plain(30, 10), plain(20, 40)]
    for joined, size in ((beside(pictures), (50 + GAP, 40)), (below(pictures), (30, 50 + GAP))):
        assert joined.size == size
        assert (np.asarray(joined) == 0).all(axis=-1).sum() == 30 * 10 + 20 * 40


def test_a_line_is_as_wide_as_its_text():
    short, long = text_line("a", 14), text_line("a long line", 14)
    assert short.width < long.width
    assert np.asarray(long).min() < 100
    assert text_line("", 14).width == 1
