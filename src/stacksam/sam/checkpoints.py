"""The built-in model's checkpoint: half-precision safetensors that carry their own description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from stacksam.core.errors import CheckpointError, WriteError
from stacksam.io.atomic import atomic_path
from stacksam.sam.model import CompactConfig, PromptableModel, build_compact

FORMAT = "stacksam-compact-1"

FIRST_VERSION = {"num_context_maps": 0, "quality_dim": 0}
"""What the first checkpoints did not say, since there was no choice."""
_MAX_INPUT = 4096


def save_compact(
    path: str | Path, model: PromptableModel, config: CompactConfig, description: dict[str, Any]
) -> None:
    """Write a compact model's weights.

    Parameters
    ----------
    path : str or Path
        Replaced only once the new file is complete.
    model : PromptableModel
    config : CompactConfig
    description : dict
        How it was trained; plain JSON types.

    Raises
    ------
    WriteError
        If the folder is missing or cannot be written to.
    """
    path = Path(path)
    tensors = {
        name: value.detach().cpu().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
    }
    text = json.dumps({"format": FORMAT, "model": config.to_dict(), "training": description})
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"stacksam": text})
        except SafetensorError as error:
            raise WriteError(f"{path.name} was not written ({_first_line(error)})") from error


def load_compact(path: str | Path) -> tuple[PromptableModel, dict[str, Any]]:
    """Read a compact model's weights.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    model : PromptableModel
        In float32, in evaluation mode.
    description : dict
        What `save_compact` wrote: format, model and training.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or not a compact model.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"the checkpoint {path.name} is missing; give the path of a safetensors file or "
            "install the package again"
        )
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("stacksam", "")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"the checkpoint {path.name} cannot be read ({_first_line(error)}); get it again"
        ) from error
    try:
        description = json.loads(text)
        if description["format"] != FORMAT:
            raise KeyError(description["format"])
        config = CompactConfig.from_dict(FIRST_VERSION | description["model"])
        _check_sizes(config, tensors)
        model = build_compact(config)
        model.load_state_dict(tensors)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint {path.name} does not hold a compact model of this version; "
            "choose another file or update StackSAM"
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise CheckpointError(f"the checkpoint {path.name} holds numbers that are not finite")
    return model.eval(), description


def _check_sizes(config: CompactConfig, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse a description of a network larger than its weights before it is allocated."""
    values = [v for value in vars(config).values() for v in _flat(value)]
    if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values):
        raise ValueError("sizes are not whole numbers")
    largest = max((n for tensor in tensors.values() for n in tensor.shape), default=0)
    widths = (config.embed_dim, config.mlp_dim, config.mask_in_chans, *config.widths)
    blocks = (config.decoder_depth, config.num_prompt_blocks, config.num_output_blocks)
    if max(*widths, config.quality_dim) > largest or sum((*blocks, *config.depths)) > len(tensors):
        raise ValueError("the described network is larger than its weights")
    if not 0 < config.input_size <= _MAX_INPUT or config.num_context_maps > largest:
        raise ValueError("the described network is larger than its weights")


def _flat(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
