"""What checkpoint files hold: named tensors, the sizes of a SAM, and whether they fit a network.

Files are read without running code that they may hold, and every way in which one can be wrong
becomes one sentence; `stacksam.sam.families` makes networks of them.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stacksam.core.errors import CheckpointError
from stacksam.sam.official import SAM_CONFIGS, SamConfig

WRAPPERS = ("model", "model_state_dict", "state_dict", "model_state")
"""Names under which training scripts keep the weights."""

HUGGING_FACE_FILES = ("model.safetensors", "pytorch_model.bin")

OTHER_MODELS = {
    "image_encoder.trunk.": "SAM 2 without its memory",
    "sam_mask_decoder.": "SAM 2 without its memory",
    "mask_decoder.hf_token.": "SAM-HQ",
}
"""Names by which relatives of SAM are recognised that cannot be used."""

DAMAGED = (
    OSError,
    MemoryError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ImportError,
    OverflowError,
    AssertionError,
)
"""What torch.load and safetensors raise on a file that is damaged or something else."""


def checkpoint_file(path: str | Path) -> Path:
    """The file with the weights: `path` itself, or the one in a Hugging Face folder."""
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in HUGGING_FACE_FILES if (path / name).is_file()]
        if not found:
            raise CheckpointError(
                f"the folder {path.name} holds none of {', '.join(HUGGING_FACE_FILES)}; "
                "choose a checkpoint file"
            )
        return found[0]
    if not path.is_file():
        raise CheckpointError(f"the checkpoint {path.name} is missing; choose another file")
    return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file without running code that it may hold.

    Raises
    ------
    ValueError
        If it cannot be read; the message continues "the checkpoint NAME ...".
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # It warns about pickles of other programs; they are refused or read like all others.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise ValueError("may not be read; change its permissions or copy it") from error
    except DAMAGED as error:
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL " in str(error):
            raise ValueError(
                "holds more than numbers, which could run code, and was not opened; "
                "get the weights from their publisher or as safetensors"
            ) from error
        raise ValueError("is damaged or not a checkpoint; get it again") from error
    return _unwrapped(content)


def config_of(state: Mapping[str, Tensor]) -> SamConfig:
    """Recognise the sizes of a SAM from its weights.

    Parameters
    ----------
    state : mapping of official names to tensors

    Returns
    -------
    config : SamConfig

    Raises
    ------
    ValueError
        If the weights are not those of a SAM; the message continues "the checkpoint NAME ...".
    """
    for start, model in OTHER_MODELS.items():
        if any(name.startswith(start) for name in state):
            raise ValueError(f"holds {model}, which this version cannot use; choose a SAM")
    try:
        config = _measured(state)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            "does not hold a SAM: image encoder, prompt encoder and mask decoder are expected; "
            "choose another file"
        ) from error
    for name, known in SAM_CONFIGS.items():
        if config == replace(known, name=config.name):
            return replace(config, name=name)
    return config


def check_state(state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Compare names, shapes and values with what a network needs.

    Raises
    ------
    ValueError
        On the first difference; the message continues "the checkpoint NAME ...".
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    if missing:
        raise ValueError(f"lacks {_listed(missing)}; get it again or choose another file")
    if unexpected:
        raise ValueError(
            f"holds {_listed(unexpected)}, which its network does not have; choose another file"
        )
    for name, wanted in expected.items():
        if state[name].shape != wanted.shape:
            raise ValueError(
                f"has {name} of shape {tuple(state[name].shape)} where its network has "
                f"{tuple(wanted.shape)}; choose another file"
            )
        if not state[name].is_floating_point() or not bool(torch.isfinite(state[name]).all()):
            raise ValueError(f"holds values in {name} that are not finite numbers; get it again")


def _measured(state: Mapping[str, Tensor]) -> SamConfig:
    """Read the sizes off the shapes; heads of the decoder leave no trace and are SAM's eight."""
    encoder, decoder = "image_encoder.", "mask_decoder."
    _, grid, _, embed_dim = state[encoder + "pos_embed"].shape
    patch_size = state[encoder + "patch_embed.proj.weight"].shape[-1]
    depth = _count(state, encoder + r"blocks\.(\d+)\.")
    tables = [state[f"{encoder}blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    sides = [(length + 1) // 2 for length, _ in tables]
    windows = [side for side in sides if side != grid]
    return SamConfig(
        name="custom",
        embed_dim=embed_dim,
        depth=depth,
        num_heads=embed_dim // tables[0][1],
        global_attn_indexes=tuple(i for i, side in enumerate(sides) if side == grid),
        window_size=windows[0] if windows else 0,
        patch_size=patch_size,
        mlp_ratio=len(state[encoder + "blocks.0.mlp.lin1.bias"]) / embed_dim,
        image_size=grid * patch_size,
        out_chans=len(state[encoder + "neck.0.weight"]),
        decoder_depth=_count(state, decoder + r"transformer\.layers\.(\d+)\."),
        decoder_mlp_dim=len(state[decoder + "transformer.layers.0.mlp.lin1.bias"]),
        mask_in_chans=len(state["prompt_encoder.mask_downscaling.3.bias"]),
        iou_head_hidden_dim=len(state[decoder + "iou_prediction_head.layers.0.bias"]),
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    found = (re.match(pattern, name) for name in state)
    return 1 + max(int(match[1]) for match in found if match)


def _unwrapped(content: Any) -> dict[str, Tensor]:
    """The mapping of names to tensors inside whatever a training script saved."""
    if isinstance(content, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
        tensors = {k: v for k, v in content.items() if isinstance(k, str) and torch.is_tensor(v)}
        if tensors:
            return tensors
    raise ValueError("does not hold named weights; choose another file")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"
