"""Some tests in this folder open windows."""

from window_support import skip_without_window


def pytest_collection_modifyitems(items):
    skip_without_window(items, "plugin")
