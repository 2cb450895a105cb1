"""Parts of pictures: lines of text, and pictures beside or under each other on white."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

FOOTER = "Research use only, not a medical device"
COLOURS = (
    (230, 60, 60),
    (70, 200, 90),
    (80, 140, 255),
    (255, 190, 40),
    (210, 90, 230),
    (60, 210, 220),
    (255, 130, 60),
    (170, 220, 60),
    (255, 120, 170),
    (160, 150, 255),
)
"""Outlines and methods take them in this order."""

GAP = 16
TEXT = 15
"""Height of ordinary text in pixels."""


def page(pictures: Sequence[Image.Image], footer: str = FOOTER) -> Image.Image:
    """Put pictures under each other on white, with a margin and a footer.

    Returns
    -------
    picture : PIL.Image.Image, RGB
    """
    content = below([*pictures, text_line(footer, TEXT, (110, 110, 110))])
    sheet = Image.new("RGB", (content.width + 2 * GAP, content.height + 2 * GAP), "white")
    sheet.paste(content, (GAP, GAP))
    return sheet


def text_line(text: str, size: int, colour: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """Write one line of text on white; `size` is its height in pixels."""
    _, _, right, bottom = font(size).getbbox(text)
    line = Image.new("RGB", (max(1, round(right)), round(bottom) + 4), "white")
    ImageDraw.Draw(line).text((0, 0), text, fill=colour, font=font(size))
    return line


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which is there on every system."""
    return ImageFont.load_default(size=size)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures beside each other, their upper edges in line."""
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width + GAP
    return sheet


def below(pictures: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Put pictures under each other, their left edges in line."""
    height = sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (max(p.width for p in pictures), height), "white")
    y = 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height + gap
    return sheet
