"""Image encoder, prompt encoder and mask decoder put together, from a plain configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from stacksam.sam.compact_encoder import CompactEncoder, Embedding
from stacksam.sam.mask_decoder import DecoderOutput, MaskDecoder
from stacksam.sam.prompt_encoder import CONTEXT_MAPS, PromptEncoder
from stacksam.sam.transformer import TwoWayTransformer


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of the built-in model; stored in its checkpoint.

    Attributes
    ----------
    input_size : int
        Side of the field in model pixels.
    embed_dim, widths, depths
        See `CompactEncoder`.
    decoder_depth, num_heads, mlp_dim, mask_in_chans, num_prompt_blocks, num_output_blocks
        See `MaskDecoder` and `PromptEncoder`.
    num_context_maps, quality_dim
        See `PromptEncoder` and `MaskDecoder`.
    """

    input_size: int = 256
    embed_dim: int = 128
    widths: tuple[int, ...] = (32, 64, 128, 192, 256)
    depths: tuple[int, ...] = (1, 2, 3, 2)
    decoder_depth: int = 2
    num_heads: int = 4
    mlp_dim: int = 512
    mask_in_chans: int = 64
    num_prompt_blocks: int = 2
    num_output_blocks: int = 1
    num_context_maps: int = CONTEXT_MAPS
    quality_dim: int = 128

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CompactConfig:
        """Inverse of `to_dict`; ValueError on unknown or missing keys."""
        fields: dict[str, Any]
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"model configuration does not fit this version: {error}") from None


class PromptableModel(nn.Module):
    """A SAM-like network: `encode` once per field, `decode` once per prompt batch."""

    def __init__(
        self, image_encoder: nn.Module, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    def encode(self, image: Tensor) -> Embedding:
        """Encode fields of shape (B, 1, S, S) in [0, 1]."""
        return self.image_encoder(image)

    def decode(
        self,
        embedding: Embedding,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        is_neighbour: Tensor | None = None,
        context: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode prompts; shapes as in `PromptEncoder.forward`."""
        sparse, dense = self.prompt_encoder(
            points, boxes, masks, is_neighbour=is_neighbour, context=context
        )
        return self.mask_decoder(
            embedding.image_embedding,
            self.prompt_encoder.get_dense_pe(),
            sparse,
            dense,
            embedding.skips,
        )


def build_compact(config: CompactConfig = CompactConfig()) -> PromptableModel:
    """Build the built-in model with random weights."""
    encoder = CompactEncoder(config.embed_dim, config.widths, config.depths)
    side = config.input_size // 8
    prompt_encoder = PromptEncoder(
        config.embed_dim,
        (side, side),
        (config.input_size, config.input_size),
        config.mask_in_chans,
        has_prompt_maps=True,
        num_context_maps=config.num_context_maps,
    )
    decoder = MaskDecoder(
        transformer_dim=config.embed_dim,
        transformer=TwoWayTransformer(
            config.decoder_depth, config.embed_dim, config.num_heads, config.mlp_dim
        ),
        iou_head_hidden_dim=config.embed_dim,
        num_prompt_blocks=config.num_prompt_blocks,
        num_output_blocks=config.num_output_blocks,
        has_skips=True,
        has_object_score=True,
        quality_dim=config.quality_dim,
    )
    return PromptableModel(encoder, prompt_encoder, decoder)
