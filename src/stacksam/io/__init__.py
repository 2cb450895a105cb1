"""Files in, files out: images become a `Volume`, labels leave in the same geometry."""

from stacksam.io.readers import read
from stacksam.io.writers import write_labels

__all__ = ["read", "write_labels"]
