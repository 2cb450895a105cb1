"""The published SAM in its three sizes (Kirillov et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.image_encoder import ImageEncoder
from stacksam.sam.mask_decoder import MaskDecoder
from stacksam.sam.model import PromptableModel
from stacksam.sam.prompt_encoder import PromptEncoder
from stacksam.sam.transformer import TwoWayTransformer

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""Of the red, green and blue values of ImageNet, 0 to 255."""


@dataclass(frozen=True)
class SamConfig:
    """Sizes of a SAM network.

    Attributes
    ----------
    name : str
    embed_dim, depth, num_heads, global_attn_indexes, window_size, patch_size, mlp_ratio
        See `ImageEncoder`.
    image_size : int
        Side of the images in training.
    out_chans : int
        Width of the image embedding and of the decoder.
    decoder_depth, decoder_num_heads, decoder_mlp_dim, mask_in_chans, iou_head_hidden_dim
        See `MaskDecoder` and `PromptEncoder`.
    input_size : (height, width) or None
        At which the network is used; None is `image_size`.
    """

    name: str = "vit_b"
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    patch_size: int = 16
    mlp_ratio: float = 4.0
    image_size: int = 1024
    out_chans: int = 256
    decoder_depth: int = 2
    decoder_num_heads: int = 8
    decoder_mlp_dim: int = 2048
    mask_in_chans: int = 16
    iou_head_hidden_dim: int = 256
    input_size: tuple[int, int] | None = None


VIT_B = SamConfig()
VIT_L = SamConfig("vit_l", 1024, 24, 16, (5, 11, 17, 23))
VIT_H = SamConfig("vit_h", 1280, 32, 16, (7, 15, 23, 31))
SAM_CONFIGS = {config.name: config for config in (VIT_B, VIT_L, VIT_H)}
"""The three published sizes."""


class SamModel(PromptableModel):
    """A SAM network that takes windowed intensities like every other model of StackSAM.

    Attributes
    ----------
    pads_slices : bool
        Whether its publisher's predictor prepares images as `stacksam.sam.whole_slice` does.
    """

    pads_slices = True

    def encode(self, image: Tensor) -> Embedding:
        """Encode fields of shape (B, 1 or 3, H, W) in [0, 1]."""
        return self.image_encoder(normalize_pixels(255 * image))


def build_sam(config: SamConfig = VIT_B) -> SamModel:
    """Build a SAM network with random weights.

    Parameters
    ----------
    config : SamConfig

    Returns
    -------
    model : SamModel
        Its parameter names and shapes equal those of the official checkpoints.

    Raises
    ------
    ValueError
        If the patch does not divide the input size.
    """
    size = config.input_size or (config.image_size, config.image_size)
    if size[0] % config.patch_size or size[1] % config.patch_size:
        raise ValueError(
            f"input size is {size[0]} x {size[1]}; it has to be a multiple of {config.patch_size}"
        )
    encoder = ImageEncoder(
        image_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        out_chans=config.out_chans,
        window_size=config.window_size,
        global_attn_indexes=config.global_attn_indexes,
    )
    grid = (size[0] // config.patch_size, size[1] // config.patch_size)
    prompt_encoder = PromptEncoder(config.out_chans, grid, size, config.mask_in_chans)
    decoder = MaskDecoder(
        transformer_dim=config.out_chans,
        transformer=TwoWayTransformer(
            config.decoder_depth,
            config.out_chans,
            config.decoder_num_heads,
            config.decoder_mlp_dim,
        ),
        iou_head_hidden_dim=config.iou_head_hidden_dim,
    )
    return SamModel(encoder, prompt_encoder, decoder)


def normalize_pixels(image: Tensor) -> Tensor:
    """Subtract the mean and divide by the spread of natural images; grey becomes three channels.

    Parameters
    ----------
    image : Tensor of shape (B, 1 or 3, H, W)
        In [0, 255].

    Returns
    -------
    normalized : Tensor of shape (B, 3, H, W)
    """
    mean, std = image.new_tensor(PIXEL_MEAN), image.new_tensor(PIXEL_STD)
    return (image - mean[:, None, None]) / std[:, None, None]
