"""Combo boxes that keep their choice when their entries change."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from qtpy.QtWidgets import QComboBox


def fill_combo(
    combo: QComboBox, entries: Sequence[tuple[Hashable, str]], current: Hashable | None = None
) -> None:
    """Give a combo box new entries without a signal.

    Parameters
    ----------
    combo : QComboBox
    entries : sequence of (key, text)
    current : hashable, optional
        The key to choose; by default the one that is chosen now, if it is still among them.
    """
    wanted = combo.currentData() if current is None else current
    combo.blockSignals(True)
    combo.clear()
    for key, text in entries:
        combo.addItem(text, key)
    keys = [key for key, _ in entries]
    combo.setCurrentIndex(keys.index(wanted) if wanted in keys else min(0, len(keys) - 1))
    combo.blockSignals(False)
