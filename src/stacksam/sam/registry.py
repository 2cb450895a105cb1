"""The models StackSAM knows by name, and how one is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stacksam.core.errors import CheckpointError
from stacksam.sam.checkpoints import load_compact, sha256_of
from stacksam.sam.predictor import Predictor

WEIGHTS_FOLDER = Path(__file__).parent.parent / "weights"


@dataclass(frozen=True)
class ModelEntry:
    """What a user should know before choosing a model.

    Attributes
    ----------
    name, summary, licence : str
    path : Path
        Of the checkpoint.
    """

    name: str
    summary: str
    licence: str
    path: Path

    @property
    def is_here(self) -> bool:
        """Whether the checkpoint lies on this computer."""
        return self.path.is_file()


MODELS = {
    "compact": ModelEntry(
        "compact",
        "built in; small, for CPUs; cells, particles, CT, MR, ultrasound",
        "BSD-3-Clause",
        WEIGHTS_FOLDER / "compact.safetensors",
    ),
}


def list_models() -> list[ModelEntry]:
    """All known models, the built-in one first."""
    return list(MODELS.values())


def load_model(
    name: str | Path = "compact", *, device: str = "auto", dtype: str = "auto"
) -> Predictor:
    """Load a model.

    Parameters
    ----------
    name : str or Path
        A name from `list_models`, or the path of a compact model's safetensors file.
    device : {"auto", "cpu", "cuda", "mps"}
    dtype : {"auto", "float32", "bfloat16", "float16"}

    Returns
    -------
    model : Predictor

    Raises
    ------
    CheckpointError
        If the name is unknown or the checkpoint missing, damaged or of another kind.
    ValueError
        If the device is not available.
    """
    entry = MODELS.get(str(name))
    path = entry.path if entry else Path(name)
    if entry is None and path.suffix != ".safetensors":
        raise CheckpointError(
            f"model {path.name!r} is unknown; choose one of {', '.join(MODELS)} or give the path "
            "of a .safetensors file"
        )
    network, _ = load_compact(path)
    label = entry.name if entry else path.stem
    return Predictor(
        network, name=label, fingerprint=sha256_of(path)[:16], device=device, dtype=dtype
    )
