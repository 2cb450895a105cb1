"""EdgeTAM's checkpoint for transformers: names brought to its layout, and its sizes.

EdgeTAM (Zhou et al. 2025, arXiv:2501.07256) is a SAM 2 with RepViT as image encoder and a perceiver
that condenses each memory to 512 tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from stacksam.core.errors import StackSAMError

MARK = "spatial_perceiver."
"""Start of names that of all networks with a memory only EdgeTAM has."""

BACKBONE = {
    "model_type": "timm_wrapper",
    "architecture": "repvit_m1",
    "do_pooling": True,
    "num_classes": 2,  # of no consequence, but transformers wants a number
    "label_names": ["0", "1"],
    "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
}
"""The image encoder in ``sam2/configs/edgetam.yaml`` of the publisher's repository."""

NAMES = (
    (r"^vision_encoder\.backbone\.body\.", "vision_encoder.backbone.timm_model."),
    (r"^(memory_attention\.layers\.\d+)\.linear1\.", r"\1.mlp.up_proj."),
    (r"^(memory_attention\.layers\.\d+)\.linear2\.", r"\1.mlp.down_proj."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"^spatial_perceiver\.norm\.", "spatial_perceiver.layer_norm."),
    (r"\.attn\.norm_x\.", ".layer_norm_input."),
    (r"\.attn\.norm_latents\.", ".layer_norm_latents."),
    (r"\.self_attn\.norm\.", ".layer_norm_self."),
    (r"\.(self_)?attn\.to_q\.", r".\1attn.q_proj."),
    (r"\.(self_)?attn\.to_out\.", r".\1attn.o_proj."),
    (r"\.(self_)?ff\.0\.", r".\1mlp.layer_norm."),
    (r"\.(self_)?ff\.1\.", r".\1mlp.up_proj."),
    (r"\.(self_)?ff\.3\.", r".\1mlp.down_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.", r"\1.cross_attention."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.", r"\1.self_attention."),
)
"""Patterns and replacements, applied in this order after those of SAM 2."""

KEYS_AND_VALUES = re.compile(r"(.*)\.to_kv\.(.*)")
"""One matrix in the publisher's layout, two in transformers'."""


def has_perceiver(state: Mapping[str, Tensor]) -> bool:
    """Whether weights are EdgeTAM's, in its publisher's layout or transformers'."""
    return any(name.startswith(MARK) for name in state)


def rename_perceiver(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring what EdgeTAM adds to SAM 2 to transformers' names.

    Parameters
    ----------
    state : mapping of names to tensors
        With SAM 2's names already changed by `stacksam.sam.video_weights.to_transformers`.

    Returns
    -------
    state : dict
    """
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        if match := KEYS_AND_VALUES.fullmatch(name):
            for part, rows in zip(("k_proj", "v_proj"), value.chunk(2), strict=True):
                named[f"{match[1]}.{part}.{match[2]}"] = rows
        else:
            named[name] = value
    return named


def edgetam_config() -> Any:
    """Sizes of the published network, as transformers' configuration."""
    import transformers

    return transformers.EdgeTamVideoConfig(
        vision_config={"model_type": "edgetam_vision_model", "backbone_config": dict(BACKBONE)},
        enable_occlusion_spatial_embedding=False,
        enable_temporal_pos_encoding_for_object_pointers=False,
    )


def need_timm() -> None:
    """StackSAMError where the package that holds EdgeTAM's image encoder is not installed."""
    if find_spec("timm") is None:
        raise StackSAMError(
            'EdgeTAM\'s image encoder needs timm; pip install "napari-stacksam[edgetam]" brings it'
        )
