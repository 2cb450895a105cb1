"""A small SAM 2 with random weights that draws something, and transformers' own video loop."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

SIDE = 64
REACH = 4


@cache
def small_network() -> Any:
    """Random weights, with an object score that is positive; leave it as it is."""
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    if not hasattr(transformers, "Sam2VideoModel"):
        pytest.skip("this transformers has no SAM 2")
    sizes = [[SIDE // step] * 2 for step in (4, 8, 16)]
    config = transformers.Sam2VideoConfig(
        image_size=SIDE,
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "num_attention_heads": 1,
                "image_size": [SIDE, SIDE],
                "blocks_per_stage": [1, 2, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 2, 2, 2],
                "window_size_per_stage": [8, 4, 4, 2],
                "global_attention_blocks": [4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": sizes,
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"image_size": SIDE, "hidden_size": 128},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 48, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=128,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=48,
        memory_attention_rope_feat_sizes=sizes[-1],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=48,
        num_maskmem=REACH,
        max_object_pointers_in_encoder=REACH,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = transformers.Sam2VideoModel(config)
        for name, value in network.named_parameters():
            value += (0.3 if "embed" in name or "token" in name else 0.15) * torch.randn_like(value)
        head = network.mask_decoder.pred_obj_score_head.proj_out
        head.weight *= 0.1
        head.bias.fill_(3.0)
    return network.eval().requires_grad_(False)


def own_loop(
    frames: torch.Tensor, given: dict[int, dict[str, Any]], *, n_back: bool = True
) -> dict[int, tuple[np.ndarray, float]]:
    """transformers' loop over prepared frames (N, 3, S, S): logits and object score by frame.

    `given` maps frames to ``{"coords": (1, 1, N, 2), "labels": (1, 1, N)}`` or ``{"mask": ...}``.
    """
    import transformers

    network = small_network()
    session = transformers.Sam2VideoInferenceSession(
        video=frames, video_height=SIDE, video_width=SIDE, dtype=torch.float32
    )
    index = session.obj_id_to_idx(1)
    found = {}

    def keep(output: Any) -> None:
        score = float(output.object_score_logits.reshape(-1)[0])
        found[output.frame_idx] = (output.pred_masks[0, 0].numpy(), score)

    for frame, what in given.items():
        if "mask" in what:
            session.add_mask_inputs(index, frame, what["mask"])
        else:
            points = {"point_coords": what["coords"], "point_labels": what["labels"]}
            session.add_point_inputs(index, frame, points)
        session.obj_with_new_inputs = [1]
        keep(network(inference_session=session, frame_idx=frame))
    for is_reverse in (False, True) if n_back else (False,):
        for output in network.propagate_in_video_iterator(
            session, start_frame_idx=min(given), reverse=is_reverse
        ):
            keep(output)
    return found
