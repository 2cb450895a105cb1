"""The models StackSAM knows by name, how one gets onto this computer, and how it is loaded.

Nothing here uses the network except `download_model`.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event

from stacksam.core.errors import CheckpointError
from stacksam.sam.checksums import check_file, sha256_of
from stacksam.sam.downloads import Progress
from stacksam.sam.families import load_network
from stacksam.sam.model_files import (
    check_record,
    copy_model,
    fetch_model,
    not_here,
    shown,
    unpacked,
)
from stacksam.sam.model_list import (
    PACKAGE_LIST,
    WEIGHTS_FOLDER,
    ModelEntry,
    add_to_user_list,
    find_checkpoint,
    read_list,
    user_list,
)
from stacksam.sam.predictor import Predictor
from stacksam.sam.video_models import VideoPredictor
from stacksam.sam.whole_slice import SUFFIX, WholeSlicePredictor

MODELS = {
    "compact": ModelEntry(
        "compact",
        "built in; small, for CPUs; cells, particles, CT, MR, ultrasound",
        "BSD-3-Clause",
        WEIGHTS_FOLDER / "compact.safetensors",
        family="compact",
    ),
    **read_list(PACKAGE_LIST),
}


def list_models() -> list[ModelEntry]:
    """All known models, the built-in one first, the user's own last.

    Raises
    ------
    CheckpointError
        If the user's list cannot be read.
    """
    return list({**MODELS, **user_list()}.values())


def find_model(name: str) -> ModelEntry:
    """A model by name.

    Raises
    ------
    CheckpointError
        If there is none of that name.
    """
    known = {**MODELS, **user_list()}
    if name not in known:
        raise CheckpointError(
            f"model {name!r} is unknown; choose one of {', '.join(known)} or give the path of a "
            "checkpoint file"
        )
    return known[name]


def download_model(
    name: str, *, progress: Progress | None = None, cancel: Event | None = None
) -> Path:
    """Fetch a model from its publisher, or from the mirror that the user has named.

    Parameters
    ----------
    name : str
        From `list_models`. Show its `licence_text` before.
    progress : callable, optional
        Called with (bytes so far, bytes in all or 0 if unknown).
    cancel : threading.Event, optional

    Returns
    -------
    path : Path
        Of the checkpoint; at once if it is here already.

    Raises
    ------
    DownloadError
        With the file to fetch by hand and where to put it.
    WriteError
        If the folder cannot be written to or the disk is full.
    CheckpointError
        If the name is unknown.
    """
    entry = find_model(name)
    return find_checkpoint(entry) or fetch_model(entry, progress, cancel)


def import_model(
    file: str | Path, name: str | None = None, *, family: str = "", licence: str = ""
) -> ModelEntry:
    """Put a checkpoint that was fetched by hand, or trained, into the models folder.

    Parameters
    ----------
    file : str or Path
        Stays where it is.
    name : str, optional
        A known model, whose checksum the file then has to have, or a new name. By default the known
        model with that file name, else the file's name.
    family : str
        For a new name, where the file does not tell it: ``"medsam"`` for fine-tunes of MedSAM.
    licence : str
        For a new name.

    Returns
    -------
    entry : ModelEntry

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, unsafe, of an unknown kind, or not the published one.
    """
    file = Path(file)
    if not file.is_file():
        raise CheckpointError(f"the checkpoint {file.name} is missing; choose another file")
    known = {**MODELS, **user_list()}
    by_file = {entry.file_name: entry for entry in known.values() if entry.file_name}
    entry = known.get(name) if name else by_file.get(file.name)
    if entry is None:
        new = ModelEntry(
            name or file.stem,
            "imported",
            licence or "not stated",
            family=family,
            file_name=_safe_name(name or file.stem) + "".join(file.suffixes[-1:]),
        )
        load_network(file, family=new.family)  # refuses what cannot be used
        return _take_over(file, new)
    if not entry.file_name:
        raise CheckpointError(f"{entry.name} is built in; import the file under another name")
    try:
        check_file(file, entry.checksums)
    except ValueError as error:
        raise CheckpointError(
            f"{file.name} is not the published {entry.name} ({error}); get it again, or import it "
            "under another name"
        ) from error
    if file.suffix != ".zip":
        load_network(file, family=entry.family)
    copy_model(file, entry)
    return entry


def load_model(
    name: str | Path = "compact",
    *,
    device: str = "auto",
    dtype: str = "auto",
    whole_slice: bool = False,
) -> Predictor:
    """Load a model.

    Parameters
    ----------
    name : str or Path
        A name from `list_models`, or the path of a checkpoint: ``.pth``, ``.pt``, ``.bin``,
        ``.safetensors``, a folder as Hugging Face's `save_pretrained` writes it, or a folder from
        `stacksam.sam.onnx_export.export_onnx`. What network it holds is told by the file.
    device : {"auto", "cpu", "cuda", "mps"}
    dtype : {"auto", "float32", "bfloat16", "float16"}
    whole_slice : bool
        Use a SAM as published: whole slices, longest side 1024, no fields; see
        `stacksam.sam.whole_slice`. A name that ends in ``:whole-slice`` says the same.

    Returns
    -------
    model : Predictor

    Raises
    ------
    CheckpointError
        If the name is unknown, or the checkpoint missing, damaged, unsafe or of another kind, or
        no SAM where `whole_slice` is wanted.
    ValueError
        If the device is not available.
    """
    kind = WholeSlicePredictor if whole_slice or str(name).endswith(SUFFIX) else Predictor
    name = str(name).removesuffix(SUFFIX)
    entry = {**MODELS, **user_list()}.get(name)
    if entry is None:
        path = Path(name)
        if not path.suffix and not path.exists():
            find_model(name)  # says which names there are
        return _load(kind, path, path.stem, "", device, dtype)
    found = find_checkpoint(entry)
    if found is None:
        raise CheckpointError(not_here(entry))
    return _load(kind, unpacked(found), entry.name, entry.family, device, dtype)


def describe_model(name: str) -> dict[str, str]:
    """What is known of a model, for people; reads all of its file if that is here.

    Raises
    ------
    CheckpointError
        If there is none of that name.
    """
    entry = find_model(name)
    found = find_checkpoint(entry)
    return {
        "name": entry.name,
        "family": entry.family or "told by the file",
        "for": entry.summary,
        "licence": entry.licence_text,
        "cite": entry.citation or "nothing stated",
        "source": entry.url or entry.page or "none",
        "page": entry.page or "none",
        "size": f"{entry.size / 1e6:.1f} MB" if entry.size else "not published",
        "checksum": ", ".join(entry.checksums) or "none published",
        "needs": f'pip install "napari-stacksam[{entry.extra}]"' if entry.extra else "nothing else",
        "here": "no" if found is None else _state(entry, found),
    }


def _state(entry: ModelEntry, path: Path) -> str:
    """Whether a file is the published one."""
    place = shown(path.parent)
    try:
        checked = check_file(path, entry.checksums)
    except ValueError as error:
        return f"{path.name} in {place}, NOT THE PUBLISHED FILE ({error})"
    if not entry.url and not entry.page:
        return f"{path.name} in {place}"
    if checked:
        return f"{path.name} in {place}, verified ({', '.join(c.split(':')[0] for c in checked)})"
    why = "none is published" if not entry.checksums else "install xxhash to compare"
    return f"{path.name} in {place}, unverified ({why}); its sha256 is {sha256_of(path)}"


def _load(
    kind: type[Predictor], path: Path, name: str, family: str, device: str, dtype: str
) -> Predictor:
    network, file = load_network(path, family=family)
    if hasattr(network, "memory_attention"):
        kind = VideoPredictor  # whole slices, whether asked for or not
    elif kind is WholeSlicePredictor and not getattr(network, "pads_slices", False):
        raise CheckpointError(f"{name} was not published to look at whole slices; choose a SAM")
    digest = sha256_of(file)
    check_record(file, digest)
    return kind(network, name=name, fingerprint=digest[:16], device=device, dtype=dtype)


def _take_over(file: Path, entry: ModelEntry) -> ModelEntry:
    copy_model(file, entry)
    add_to_user_list(entry)
    return entry


def _safe_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".") or "model"


__all__ = [
    "MODELS",
    "ModelEntry",
    "describe_model",
    "download_model",
    "find_model",
    "import_model",
    "list_models",
    "load_model",
]
