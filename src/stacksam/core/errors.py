"""Errors a user can act on; the text of each says what is wrong and what to do."""


class StackSAMError(Exception):
    """Base of every error whose message is meant for the person in front of the screen."""


class ReadError(StackSAMError, ValueError):
    """A file cannot be read as an image: missing, damaged, of an unknown kind or ambiguous."""


class WriteError(StackSAMError, OSError):
    """A file cannot be written: no space, no permission, or a format that cannot hold the data."""


class CheckpointError(StackSAMError, ValueError):
    """A model's weights are missing, damaged, unsafe or of another kind."""
