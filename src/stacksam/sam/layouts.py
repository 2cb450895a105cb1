"""Names of SAM's weights in the layouts in which they are published."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

PREFIXES = ("module.", "_orig_mod.", "sam.", "model.")
"""What wrappers put before every name."""

NOT_WEIGHTS = ("pixel_mean", "pixel_std")

HUGGING_FACE_NAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^shared_image_embedding\.|^prompt_encoder\.shared_embedding\.", "prompt_encoder.pe_layer."),
    (r"pe_layer\.positional_embedding$", "pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder\.", "image_encoder."),
    (r"patch_embed\.projection\.", "patch_embed.proj."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"neck\.conv1\.", "neck.0."),
    (r"neck\.layer_norm1\.", "neck.1."),
    (r"neck\.conv2\.", "neck.2."),
    (r"neck\.layer_norm2\.", "neck.3."),
    (r"mask_embed\.conv1\.", "mask_downscaling.0."),
    (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
    (r"mask_embed\.conv2\.", "mask_downscaling.3."),
    (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
    (r"mask_embed\.conv3\.", "mask_downscaling.6."),
    (r"prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"((?:_mlps\.\d+|_head)\.)layers\.(\d+)\.", lambda m: f"{m[1]}layers.{int(m[2]) + 1}."),
    (r"((?:_mlps\.\d+|_head)\.)proj_in\.", r"\1layers.0."),
    (r"((?:_mlps\.\d+|_head)\.)proj_out\.", r"\1layers.2."),
    (r"layer_norm_final_attn\.", "norm_final_attn."),
    (r"layer_norm(\d)\.", r"norm\1."),
)
"""Patterns and replacements, applied in this order."""


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring the names of any layout to the official ones.

    Parameters
    ----------
    state : mapping of names to tensors
        Official or Hugging Face names, with or without a wrapper's prefix.

    Returns
    -------
    state : dict
        Official names; names that are not known stay as they are.
    """
    names = {name: name for name in state}
    while prefix := next((p for p in PREFIXES if _all_start_with(names.values(), p)), None):
        names = {name: short.removeprefix(prefix) for name, short in names.items()}
    if any(short.startswith("vision_encoder.") for short in names.values()):
        names = {name: official_name(short) for name, short in names.items()}
    return {short: state[name] for name, short in names.items() if short not in NOT_WEIGHTS}


def official_name(name: str) -> str:
    """Official name of a weight in Hugging Face's `SamModel`.

    Examples
    --------
    >>> official_name("vision_encoder.layers.3.layer_norm1.weight")
    'image_encoder.blocks.3.norm1.weight'
    """
    for pattern, replacement in HUGGING_FACE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _all_start_with(names: Iterable[str], prefix: str) -> bool:
    names = [name for name in names if name not in NOT_WEIGHTS]
    return bool(names) and all(name.startswith(prefix) for name in names)
