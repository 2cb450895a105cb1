"""Keys do not take napari's own ones away."""

import pytest

pytest.importorskip("napari")
from app_model.types import KeyBinding
from napari.utils.shortcuts import default_shortcuts

from stacksam.plugin.keys import KEYS, cheat_sheet


def test_each_key_once():
    bindings = [key.binding for key in KEYS]
    assert len(set(bindings)) == len(bindings)


def test_none_is_one_of_naparis():
    taken = {str(binding) for bindings in default_shortcuts.values() for binding in bindings}
    ours = {str(KeyBinding.from_str(key.binding.replace("-", "+"))) for key in KEYS}
    ours -= {"Ctrl+Z", "Ctrl+Shift+Z"}  # which napari gives to labels layers only
    assert not ours & taken


def test_the_cheat_sheet_says_what_keys_and_mouse_do():
    sheet = dict(cheat_sheet())
    assert sheet["G"] == "Propagate"
    assert "window" in sheet["Right drag"]
