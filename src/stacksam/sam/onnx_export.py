"""Write a network as two ONNX graphs, an image encoder and a prompt decoder, optionally in 8 bits.

Other programs can run them without PyTorch, and `stacksam.sam.onnx_model` makes a model of them
again. Needs the extra ``onnx``.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stacksam.core.errors import StackSAMError
from stacksam.core.fields import Field, crop_image
from stacksam.core.windows import apply_window, resolve_window, to_grey
from stacksam.io.atomic import atomic_folder
from stacksam.sam.checksums import sha256_of
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.efficient_sam import PointEncoder
from stacksam.sam.model import PromptableModel
from stacksam.sam.predictor import Predictor
from stacksam.sam.prompt_encoder import (
    BOX_START,
    LOGIT_SCALE,
    NEGATIVE,
    POINT_RADIUS,
    POSITIVE,
    PromptEncoder,
)

FORMAT = "stacksam-onnx-1"
DESCRIPTION = "model.json"
ENCODER, ENCODER_INT8, DECODER = "encoder.onnx", "encoder_int8.onnx", "decoder.onnx"

OPSET = 17

CALIBRATION_CROPS = 48
"""Fields of the shipped samples from which the ranges of the 8-bit numbers are taken."""

FLOAT_CONVOLUTIONS = 4
"""The first ones stay exact: with them in 8 bits, masks of "compact" agree by 0.97 instead of 0.99
(mean IoU on 36 prompts of the shipped samples), for a tenth of the encoder's time."""


def export_onnx(model: Predictor, folder: str | Path, *, int8: bool = False) -> Path:
    """Write a model as ONNX.

    Parameters
    ----------
    model : Predictor
        From `stacksam.load_model`.
    folder : str or Path
        Replaced if it is an earlier export; otherwise it must not exist or be empty. Gets
        ``encoder.onnx`` or ``encoder_int8.onnx``, ``decoder.onnx`` and ``model.json``.
    int8 : bool
        Compute the encoder's convolutions or matrix products in 8 bits.

    Returns
    -------
    folder : Path
        `stacksam.load_model` takes it.

    Raises
    ------
    StackSAMError
        If the extra ``onnx`` is not installed, or the folder holds something else.
    WriteError
        If it cannot be written to.
    """
    need_onnx()
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION).is_file():
        raise StackSAMError(f"the folder {folder.name} holds other files; choose a new one")
    network = model.network
    if not isinstance(network, PromptableModel):
        raise StackSAMError(f"{model.name} cannot be exported; choose a model with weights")
    if getattr(model, "has_half_weights", False):
        raise StackSAMError(
            f"{model.name} was loaded with bfloat16 weights; load it with dtype 'float32' to "
            "export it"
        )
    network = network.to("cpu").float().eval()
    about = describe(network, model.name, model.fingerprint)
    try:
        with atomic_folder(folder) as temporary:
            about["encoder"] = _write_graphs(network, temporary, int8)
            files = (about["encoder"], DECODER)
            about["files"] = {name: sha256_of(temporary / name) for name in files}
            text = json.dumps(about, indent=1)
            (temporary / DESCRIPTION).write_text(text, encoding="utf-8")
    finally:
        network.to(model.device)
    return folder


def _write_graphs(network: PromptableModel, folder: Path, int8: bool) -> str:
    """Write both graphs; the file name of the encoder's."""
    write_graph(EncoderGraph(network), (example_image(network),), ["image"], folder / ENCODER)
    decoder = DecoderGraph(network)
    write_graph(decoder, decoder.example(), decoder.inputs, folder / DECODER)
    if not int8:
        return ENCODER
    quantize(folder / ENCODER, folder / ENCODER_INT8, network)
    (folder / ENCODER).unlink()
    return ENCODER_INT8


def describe(network: PromptableModel, name: str, fingerprint: str) -> dict[str, Any]:
    """What one needs to know to use the graphs, as plain JSON types."""
    prompt_encoder = network.prompt_encoder
    return {
        "format": FORMAT,
        "name": name,
        "fingerprint": fingerprint,
        "input_size": list(prompt_encoder.input_image_size),
        "mask_input_size": list(prompt_encoder.mask_input_size),
        "has_prompt_maps": prompt_encoder.has_prompt_maps,
        "num_context_maps": prompt_encoder.num_context_maps,
        "has_object_score": network.mask_decoder.has_object_score,
        "max_points": getattr(prompt_encoder, "max_points", None),
        "decoder_inputs": DecoderGraph(network).inputs,
        "image": "(1, 1, height, width) float32, windowed intensities in [0, 1]",
        "point_labels": "1 positive, 0 negative, 2 and 3 corners of a box, -1 padding; a "
        "padding point has to follow where there is no box",
    }


class EncoderGraph(nn.Module):
    """The image encoder with its normalisation: one image in, one to three tensors out."""

    def __init__(self, network: PromptableModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        embedding = self.network.encode(image)
        return (embedding.image_embedding, *(embedding.skips or ()))


class DecoderGraph(nn.Module):
    """Prompt encoder and mask decoder without branches that depend on values.

    Parameters
    ----------
    network : PromptableModel

    Attributes
    ----------
    inputs : list of str
        In the order of `forward`.
    """

    def __init__(self, network: PromptableModel) -> None:
        super().__init__()
        self.network = network
        encoder = network.prompt_encoder
        self.has_points_only = isinstance(encoder, PointEncoder)
        inputs = ["image_embedding"]
        inputs += (
            ["skip_2x", "skip_4x"] if getattr(network.mask_decoder, "has_skips", False) else []
        )
        inputs += ["point_coords", "point_labels"]
        inputs += [] if self.has_points_only else ["mask_input"]
        if encoder.has_prompt_maps:
            inputs += ["is_neighbour", *(["context"] if encoder.num_context_maps else [])]
        elif not self.has_points_only:
            inputs += ["has_mask_input"]
        self.inputs = inputs

    def example(self, n_points: int = 3) -> tuple[Tensor, ...]:
        """Inputs of the right shapes."""
        with torch.no_grad():
            embedding = self.network.encode(example_image(self.network))
        height, width = self.network.prompt_encoder.mask_input_size
        skips = embedding.skips or (None, None)
        values = {
            "image_embedding": embedding.image_embedding,
            "skip_2x": skips[0],
            "skip_4x": skips[1],
            "point_coords": torch.full((1, n_points, 2), 5.0),
            "point_labels": torch.ones(1, n_points),
            "mask_input": torch.zeros(1, 1, height, width),
            "has_mask_input": torch.zeros(1),
            "is_neighbour": torch.zeros(1),
            "context": torch.zeros(1, self.network.prompt_encoder.num_context_maps, height, width),
        }
        return tuple(values[name] for name in self.inputs)  # type: ignore[misc]

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, values, strict=True))
        skips = (given["skip_2x"], given["skip_4x"]) if "skip_2x" in given else None
        sparse, dense = self._prompts(given)
        encoder, decoder = self.network.prompt_encoder, self.network.mask_decoder
        output = decoder(
            Embedding(given["image_embedding"]).image_embedding,
            encoder.get_dense_pe(),
            sparse,
            dense,
            skips,
        )
        score = output.object_score_logits
        return (output.masks, output.iou_predictions, *([] if score is None else [score]))

    def _prompts(self, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        coords, labels = given["point_coords"], given["point_labels"]
        encoder: Any = self.network.prompt_encoder
        if self.has_points_only:
            return encoder.embed(coords, labels), coords.new_zeros(1, 1, 1, 1)
        sparse = encoder._embed_points(coords, labels)
        masks = given["mask_input"]
        if encoder.has_prompt_maps:
            maps = draw_maps(encoder, coords, labels, masks, given["is_neighbour"])
            if "context" in given:
                maps = torch.cat([maps, given["context"]], 1)
            return sparse, encoder.mask_downscaling(maps)
        has_mask = given["has_mask_input"].reshape(-1, 1, 1, 1)
        without = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return sparse, has_mask * encoder.mask_downscaling(masks) + (1 - has_mask) * without


def draw_maps(
    encoder: PromptEncoder, coords: Tensor, labels: Tensor, masks: Tensor, is_neighbour: Tensor
) -> Tensor:
    """`PromptEncoder._draw_maps` in one go over all points, as a graph needs it."""
    height, width = encoder.mask_input_size
    scale = coords.new_tensor(
        [width / encoder.input_image_size[1], height / encoder.input_image_size[0]]
    )
    grid_xy = (coords + 0.5) * scale - 0.5  # (B, N, 2) in map pixels
    xs, ys = torch.arange(width).float(), torch.arange(height).float()
    near_x = torch.exp(-((xs - grid_xy[..., :1]) ** 2) / (2 * POINT_RADIUS**2))  # (B, N, W)
    near_y = torch.exp(-((ys - grid_xy[..., 1:]) ** 2) / (2 * POINT_RADIUS**2))  # (B, N, H)
    is_known = (masks.abs().amax((1, 2, 3)) > 0).float()[:, None, None]  # (B, 1, 1)
    flag = is_neighbour.reshape(-1, 1, 1)
    ones = torch.ones(1, height, width)
    channels = [
        masks[:, 0].clamp(-16, 16) / LOGIT_SCALE,
        is_known * (1 - flag) * ones,
        is_known * flag * ones,
    ]
    for value in (POSITIVE, NEGATIVE):
        chosen = (labels == value).float()[..., None]  # (B, N, 1)
        channels.append(((near_y * chosen).transpose(1, 2) @ near_x).clamp(max=1))
    ends = torch.cat([grid_xy[:, 1:], grid_xy[:, -1:]], 1)  # the end follows its start
    in_x = covered(xs, grid_xy[..., :1], ends[..., :1])  # (B, N, W)
    in_y = covered(ys, grid_xy[..., 1:], ends[..., 1:]) * (labels == BOX_START).float()[..., None]
    channels.append((in_y[..., :, None] * in_x[..., None, :]).amax(1))
    return torch.stack(channels, 1)


def covered(positions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """How far pixels lie within [start, end], with sub-pixel edges."""
    inside = torch.minimum(positions + 0.5, end) - torch.maximum(positions - 0.5, start)
    return inside.clamp(0, 1)


def write_graph(
    module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], path: Path
) -> None:
    """Trace a module and write it as ONNX; the number of points stays open."""
    names = {
        "image": ["image_embedding", "skip_2x", "skip_4x"],
        "image_embedding": ["masks", "iou_predictions", "object_score_logits"],
    }[inputs[0]]
    n_outputs = len(module(*example))
    axes = {"point_coords": {1: "points"}, "point_labels": {1: "points"}}
    # With gradients on, every layer takes its plain path; see `fast_linear` and `image_encoder`.
    with torch.enable_grad(), _quiet():
        torch.onnx.export(
            module.eval(),
            tuple(example),
            str(path),
            input_names=list(inputs),
            output_names=names[:n_outputs],
            dynamic_axes={k: v for k, v in axes.items() if k in inputs},
            opset_version=OPSET,
            dynamo=False,  # the other exporter needs a further package and 20 times as long
        )


def quantize(path: Path, target: Path, network: PromptableModel) -> None:
    """Write an encoder's graph with 8-bit arithmetic.

    Convolutions get fixed ranges for their inputs, taken from fields of the shipped samples;
    networks made of matrix products find the ranges while running.
    """
    import onnx
    from onnxruntime import quantization

    nodes = onnx.load(path, load_external_data=False).graph.node
    kinds = Counter(node.op_type for node in nodes)
    convolutions = [node.name for node in nodes if node.op_type == "Conv"]
    options = {"per_channel": True, "weight_type": quantization.QuantType.QInt8}
    with _quiet():
        if kinds["Conv"] <= kinds["MatMul"] + kinds["Gemm"]:
            quantization.quantize_dynamic(path, target, op_types_to_quantize=["MatMul"], **options)
            return
        quantization.quantize_static(
            path,
            target,
            _Crops(calibration_crops(network.prompt_encoder.input_image_size[0])),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=convolutions[:FLOAT_CONVOLUTIONS],
            **options,
        )


class _Crops:
    """What ONNX Runtime calls a calibration data reader."""

    def __init__(self, crops: Iterator[np.ndarray]) -> None:
        self._crops = crops

    def get_next(self) -> dict[str, np.ndarray] | None:
        crop = next(self._crops, None)
        return None if crop is None else {"image": crop[None, None]}


def calibration_crops(
    size: int, count: int = CALIBRATION_CROPS, seed: int = 0
) -> Iterator[np.ndarray]:
    """Yield fields of the shipped samples, half of them with light and dark exchanged.

    Parameters
    ----------
    size : int
        Side of a crop.
    count, seed : int

    Yields
    ------
    crop : ndarray of shape (size, size), float32 in [0, 1]
    """
    from stacksam.io import read

    rng = np.random.default_rng(seed)
    folder = Path(__file__).parent.parent / "sample_data"
    volumes = [read(folder / name) for name in ("abdomen_ct.nii.gz", "nuclei.tif")]
    windows = [resolve_window(volumes[0], "ct-soft-tissue"), resolve_window(volumes[1], "auto")]
    for number in range(count):
        volume, window = volumes[number % 2], windows[number % 2]
        height, width = volume.plane_shape(0)
        side = float(rng.uniform(32, max(height, width)))
        y, x = rng.uniform(0, max(height - side, 1)), rng.uniform(0, max(width - side, 1))
        image = volume.read_slice(int(rng.integers(volume.n_slices(0))), 0)
        crop = crop_image(to_grey(apply_window(image, window)), Field(y, x, side, side), size)
        yield 1 - crop if number % 4 >= 2 else crop


def example_image(network: PromptableModel) -> Tensor:
    """A field of zeros."""
    return torch.zeros(1, 1, *network.prompt_encoder.input_image_size)


def need_onnx() -> None:
    """StackSAMError where the extra ``onnx`` is not installed."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise StackSAMError(
            f'{missing[0]} is not installed; pip install "napari-stacksam[onnx]" brings it'
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks about themselves and about shapes that are fixed here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
