"""Files in, files out: images become a `Volume`, labels leave in the same geometry."""

from stacksam.io.readers import read, read_labels
from stacksam.io.writers import write_labels

__all__ = ["read", "read_labels", "write_labels"]
