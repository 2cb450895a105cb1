"""From a session folder to labels in a file: `stacksam restore` and `stacksam replay`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stacksam.core.volume import Volume
from stacksam.io import read, write_labels
from stacksam.session.files import Content, check_image, find_image, read_folder
from stacksam.session.replay import Replayed, replay


def restore_labels(folder: str | Path, out: str | Path, image: str | Path | None = None) -> Content:
    """Write the committed labels of a session folder, in the image's geometry; needs no model.

    Parameters
    ----------
    folder : path-like
        Saved, or with a journal.
    out : path-like
        Its extension chooses the format.
    image : path-like, optional
        By default the file of the same name beside the folder.

    Returns
    -------
    content : Content
        What the folder holds, with notes on what could not be read.

    Raises
    ------
    ReadError
        If the folder is damaged, or the image is another one.
    WriteError
        If the labels cannot be written.
    """
    content = read_folder(Path(folder))
    volume = read(image) if image is not None else find_image(Path(folder), content.snapshot.image)
    check_image(volume, content.snapshot.image)
    write_labels(out, content.labels, like=volume)
    return content


def replay_labels(
    folder: str | Path,
    out: str | Path | None = None,
    image: str | Path | None = None,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Compute a session again from its prompts, and write the labels if asked for.

    Parameters
    ----------
    folder, image
        See `restore_labels`.
    out : path-like, optional
    device : str
    progress : callable, optional
        Called with (steps done, steps).
    """
    volume: Volume | None = None if image is None else read(image)
    replayed = replay(folder, volume, device=device, progress=progress)
    if out is not None:
        write_labels(out, replayed.session.labels, like=replayed.session.volume)
    return replayed
