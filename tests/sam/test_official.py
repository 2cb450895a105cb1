"""The published sizes."""

import copy

import numpy as np
import pytest
import torch

from stacksam.sam.official import SAM_CONFIGS, build_sam
from stacksam.sam.predictor import FieldPrompts, Predictor
from stacksam.sam.whole_slice import WholeSlicePredictor, preprocess_whole_slice

PARAMETERS = {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}
"""As published with the checkpoints, without the buffer of position features."""


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def encoder_shapes(dim, depth, heads, global_blocks):
    shapes = {"pos_embed": (1, 64, 64, dim)}
    shapes |= {"patch_embed.proj.weight": (dim, 3, 16, 16), "patch_embed.proj.bias": (dim,)}
    for index in range(depth):
        block = f"blocks.{index}"
        shapes |= norm(f"{block}.norm1", dim) | norm(f"{block}.norm2", dim)
        shapes |= linear(f"{block}.attn.qkv", dim, 3 * dim) | linear(f"{block}.attn.proj", dim, dim)
        shapes |= linear(f"{block}.mlp.lin1", dim, 4 * dim)
        shapes |= linear(f"{block}.mlp.lin2", 4 * dim, dim)
        positions = 127 if index in global_blocks else 27
        for axis in "hw":
            shapes[f"{block}.attn.rel_pos_{axis}"] = (positions, dim // heads)
    shapes |= {"neck.0.weight": (256, dim, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
    return shapes | norm("neck.1", 256) | norm("neck.3", 256)


def prompt_shapes():
    shapes = {f"point_embeddings.{i}.weight": (1, 256) for i in range(4)}
    shapes |= {"not_a_point_embed.weight": (1, 256), "no_mask_embed.weight": (1, 256)}
    shapes["pe_layer.positional_encoding_gaussian_matrix"] = (2, 128)
    convolutions = {0: (4, 1, 2, 2), 3: (16, 4, 2, 2), 6: (256, 16, 1, 1)}
    for index, shape in convolutions.items():
        shapes[f"mask_downscaling.{index}.weight"] = shape
        shapes[f"mask_downscaling.{index}.bias"] = shape[:1]
    return shapes | norm("mask_downscaling.1", 4) | norm("mask_downscaling.4", 16)


def attention(name, inner):
    projections = (linear(f"{name}.{part}_proj", 256, inner) for part in "qkv")
    q, k, v = projections
    return q | k | v | linear(f"{name}.out_proj", inner, 256)


def decoder_shapes():
    shapes = {"iou_token.weight": (1, 256), "mask_tokens.weight": (4, 256)}
    for index in range(2):
        layer = f"transformer.layers.{index}"
        shapes |= attention(f"{layer}.self_attn", 256)
        shapes |= attention(f"{layer}.cross_attn_token_to_image", 128)
        shapes |= attention(f"{layer}.cross_attn_image_to_token", 128)
        shapes |= linear(f"{layer}.mlp.lin1", 256, 2048) | linear(f"{layer}.mlp.lin2", 2048, 256)
        for number in range(1, 5):
            shapes |= norm(f"{layer}.norm{number}", 256)
    shapes |= attention("transformer.final_attn_token_to_image", 128)
    shapes |= norm("transformer.norm_final_attn", 256)
    shapes |= {"output_upscaling.0.weight": (256, 64, 2, 2), "output_upscaling.0.bias": (64,)}
    shapes |= norm("output_upscaling.1", 64)
    shapes |= {"output_upscaling.3.weight": (64, 32, 2, 2), "output_upscaling.3.bias": (32,)}
    heads = {f"output_hypernetworks_mlps.{i}": 32 for i in range(4)} | {"iou_prediction_head": 4}
    for head, outputs in heads.items():
        for layer, (a, b) in enumerate(((256, 256), (256, 256), (256, outputs))):
            shapes |= linear(f"{head}.layers.{layer}", a, b)
    return shapes


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("vit_b", (768, 12, 12, (2, 5, 8, 11))),
        ("vit_l", (1024, 24, 16, (5, 11, 17, 23))),
        ("vit_h", (1280, 32, 16, (7, 15, 23, 31))),
    ],
)
def test_names_and_shapes_are_those_of_the_official_checkpoints(name, encoder):
    expected = {f"image_encoder.{k}": v for k, v in encoder_shapes(*encoder).items()}
    expected |= {f"prompt_encoder.{k}": v for k, v in prompt_shapes().items()}
    expected |= {f"mask_decoder.{k}": v for k, v in decoder_shapes().items()}
    with torch.device("meta"):
        model = build_sam(SAM_CONFIGS[name])
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == expected
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


GREY = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)


def test_fields_in_a_window_are_encoded_like_8_bit_images(tiny_sam):
    field = torch.tensor(GREY / 255, dtype=torch.float32)[None, None]
    with torch.inference_mode():
        expected = tiny_sam.image_encoder(preprocess_whole_slice(GREY, 128)).image_embedding
        from_field = tiny_sam.encode(field).image_embedding
        from_colours = tiny_sam.encode(field.expand(1, 3, 128, 128)).image_embedding
    assert (from_field - expected).abs().max() < 1e-4
    assert (from_colours - expected).abs().max() < 1e-4


def test_the_predictor_of_fields_runs_it_as_well(tiny_sam):
    """A field that is the whole slice: same logits but for the embedding's half precision."""
    whole = WholeSlicePredictor(tiny_sam, name="tiny", fingerprint="x", device="cpu")
    fields = Predictor(copy.deepcopy(tiny_sam), name="tiny", fingerprint="x", device="cpu")
    prompts = FieldPrompts(points_yx=((40.0, 30.0),), is_positive=(True,))
    expected = whole.decode(whole.encode(GREY), prompts).logits
    found = fields.decode(fields.encode((GREY / 255).astype(np.float32)), prompts)
    assert fields.input_size == 128
    assert found.presence == 1
    assert np.abs(found.logits - expected).max() < 0.02 * np.abs(expected).max()
