"""Recognise which network a checkpoint holds, and build it.

Every family is a `PromptableModel` of our own core: the official SAM (and its fine-tunes, such as
MedSAM and micro-sam's), MobileSAM, EfficientSAM and SAM-Med2D. What a file holds is told by the
names of its weights, except that MedSAM, which has SAM's names, wants its pixels otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stacksam.core.errors import CheckpointError
from stacksam.sam.checkpoints import load_compact
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.efficient_sam import EfficientSamConfig, build_efficient_sam
from stacksam.sam.layouts import to_official
from stacksam.sam.model import PromptableModel
from stacksam.sam.official import SamModel, build_sam
from stacksam.sam.onnx_model import is_onnx, load_onnx
from stacksam.sam.sam_med2d import build_sam_med2d, from_med2d_names
from stacksam.sam.state_dicts import check_state, checkpoint_file, config_of, read_tensors
from stacksam.sam.tiny_vit import MobileSamConfig, build_mobile_sam
from stacksam.sam.video_weights import build_video_model, has_memory

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Family:
    """How the checkpoints of one family are recognised and built.

    Attributes
    ----------
    name : str
    marks : tuple of str
        Starts of names that only this family has.
    config_of : callable
        From weights to the configuration; ValueError where they are something else.
    build : callable
        From a configuration to a network with random weights.
    rename : callable
        From the published names to those of our network.
    unused : tuple of str
        Starts of names that are published but not needed.
    """

    name: str
    marks: tuple[str, ...]
    config_of: Callable[[State], Any]
    build: Callable[[Any], PromptableModel]
    rename: Callable[[State], dict[str, Tensor]] = dict
    unused: tuple[str, ...] = ()


class MedSamModel(SamModel):
    """A SAM that was trained on intensities in [0, 1] (Ma et al. 2024, MedSAM)."""

    pads_slices = False

    def encode(self, image: Tensor) -> Embedding:
        """Encode fields of shape (B, 1 or 3, H, W) in [0, 1]."""
        return self.image_encoder(image.expand(-1, 3, -1, -1))


def build_medsam(config: Any) -> MedSamModel:
    """`build_sam` for MedSAM and its fine-tunes."""
    network = build_sam(config)
    return MedSamModel(network.image_encoder, network.prompt_encoder, network.mask_decoder)


SAM = Family("sam", (), config_of, build_sam)
MEDSAM = Family("medsam", (), config_of, build_medsam)
FAMILIES = {
    family.name: family
    for family in (
        Family(
            "mobile-sam",
            ("image_encoder.patch_embed.seq.",),
            MobileSamConfig.from_state,
            build_mobile_sam,
            unused=("image_encoder.norm_head.", "image_encoder.head."),
        ),
        Family(
            "efficient-sam",
            ("prompt_encoder.invalid_points.",),
            EfficientSamConfig.from_state,
            build_efficient_sam,
        ),
        Family(
            "sam-med2d",
            ("image_encoder.blocks.0.Adapter.",),
            lambda state: config_of(_without(state, ".Adapter.")),
            build_sam_med2d,
            from_med2d_names,
        ),
        MEDSAM,
        SAM,
    )
}


def load_network(path: str | Path, *, family: str = "") -> tuple[Any, Path]:
    """Read a checkpoint of any family and build its network.

    Parameters
    ----------
    path : str or Path
        A checkpoint file, a folder in Hugging Face's layout, or a folder of an ONNX export.
    family : str
        A name of `FAMILIES`, ``"compact"``, ``"sam2"``, ``"medsam2"``, ``"edgetam"``, or ``""`` to
        have the file tell it. A file whose name begins with "medsam" counts as MedSAM if it
        holds a SAM, and one with "medsam2" as a SAM 2 at 512 x 512 pixels.

    Returns
    -------
    network : PromptableModel, OnnxModel, or transformers' network for SAM 2
        In float32, in evaluation mode.
    file : Path
        The file with the weights.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, unsafe, or holds none of these networks.
    """
    if is_onnx(path):
        return load_onnx(path)
    file = checkpoint_file(path)
    if is_compact(file):
        return load_compact(file)[0], file
    wanted = family or ("medsam" if _is_named_medsam(file) else "")
    try:
        state = read_tensors(file)
        if has_memory(state):
            is_small = wanted == "medsam2" or file.name.lower().startswith("medsam2")
            return build_video_model(state, file, image_size=512 if is_small else 1024), file
        return load_state(state, wanted), file
    except ValueError as error:
        raise CheckpointError(f"the checkpoint {file.name} {error}") from error


def load_state(state: State, family: str = "") -> PromptableModel:
    """Build the network that published weights belong to.

    Parameters
    ----------
    state : mapping of names to tensors
        In any known layout.
    family : str
        As in `load_network`.

    Returns
    -------
    network : PromptableModel
        In float32, in evaluation mode.

    Raises
    ------
    ValueError
        If no network fits; the message continues "the checkpoint NAME ...".
    """
    state = _weights(to_official(state))
    kind = family_of(state, family)
    config = kind.config_of(state)
    state = kind.rename({k: v for k, v in state.items() if not k.startswith(kind.unused)})
    with torch.device("meta"):  # no time for random weights that are replaced at once
        network = kind.build(config)
    check_state(state, network)
    floats = {name: state[name].detach().float().contiguous() for name in network.state_dict()}
    network.load_state_dict(floats, assign=True)
    return network.eval()


def family_of(state: State, wanted: str = "") -> Family:
    """Recognise a family by the names of its weights.

    Parameters
    ----------
    state : mapping of official names to tensors
    wanted : str
        Settles what names do not tell: a SAM is a MedSAM where this is ``"medsam"``.

    Raises
    ------
    ValueError
        If another family was wanted; the message continues "the checkpoint NAME ...".
    """
    found = next(
        (f for f in FAMILIES.values() if f.marks and any(k.startswith(f.marks) for k in state)),
        MEDSAM if wanted == "medsam" else SAM,
    )
    if wanted in FAMILIES and wanted not in (found.name, "medsam", "sam"):
        raise ValueError(f"holds {found.name} where {wanted} is expected; choose another file")
    return found


def is_compact(file: Path) -> bool:
    """Whether a file carries the description that compact models have."""
    if file.suffix != ".safetensors":
        return False
    try:
        with safe_open(file, framework="pt") as opened:
            return "stacksam" in (opened.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _is_named_medsam(file: Path) -> bool:
    return file.name.lower().startswith("medsam")


def _weights(state: State) -> dict[str, Tensor]:
    """Without the counters of batch norms, which nothing needs."""
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _without(state: State, part: str) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if part not in k}
