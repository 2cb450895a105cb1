"""A model out of ONNX graphs: what `stacksam.sam.onnx_export` wrote, run by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stacksam.core.errors import CheckpointError
from stacksam.sam.checksums import sha256_of
from stacksam.sam.compact_encoder import Embedding
from stacksam.sam.efficient_sam import arrange_points
from stacksam.sam.mask_decoder import DecoderOutput
from stacksam.sam.onnx_export import DECODER, DESCRIPTION, FORMAT, need_onnx
from stacksam.sam.prompt_encoder import PromptEncoder


class OnnxModel(nn.Module):
    """The interface of `PromptableModel`, answered by two ONNX graphs.

    It runs on the CPU, or on a GPU where ONNX Runtime has been installed for it; tensors come and
    go through main memory.

    Parameters
    ----------
    folder : Path
    about : dict
        From ``model.json``.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        super().__init__()
        self.about = about
        self.prompt_encoder = SimpleNamespace(
            input_image_size=tuple(about["input_size"]),
            mask_input_size=tuple(about["mask_input_size"]),
            has_prompt_maps=bool(about["has_prompt_maps"]),
            num_context_maps=int(about["num_context_maps"]),
        )
        self.mask_decoder = SimpleNamespace(has_object_score=bool(about["has_object_score"]))
        self._encoder = _session(folder / about["encoder"])
        self._decoder = _session(folder / DECODER)

    def encode(self, image: Tensor) -> Embedding:
        """Encode fields of shape (B, 1, H, W) in [0, 1], one after the other."""
        found = [self._encoder.run(None, {"image": one[None]}) for one in _array(image)]
        levels = (np.concatenate(parts) for parts in zip(*found, strict=True))
        embedding, *skips = map(torch.from_numpy, levels)
        return Embedding(embedding, (skips[0], skips[1]) if skips else None)

    def decode(
        self,
        embedding: Embedding,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        is_neighbour: Tensor | None = None,
        context: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode one combination of prompts; shapes as in `PromptEncoder.forward`, B is 1."""
        coords, labels = self._arranged(points, boxes)
        size = self.prompt_encoder.mask_input_size
        skips = embedding.skips or (None, None)
        zeros = np.zeros((1, 1, *size), np.float32)
        maps = np.zeros((1, self.prompt_encoder.num_context_maps, *size), np.float32)
        flag = False if is_neighbour is None else bool(is_neighbour[0])
        values = {
            "image_embedding": embedding.image_embedding,
            "skip_2x": skips[0],
            "skip_4x": skips[1],
            "point_coords": coords,
            "point_labels": labels,
            "mask_input": zeros if masks is None else masks,
            "has_mask_input": np.array([masks is not None], np.float32),
            "is_neighbour": np.array([flag], np.float32),
            "context": maps if context is None else context,
        }
        feeds = {name: _array(values[name]) for name in self.about["decoder_inputs"]}
        found = [torch.from_numpy(value) for value in self._decoder.run(None, feeds)]
        return DecoderOutput(found[0], found[1], found[2] if len(found) > 2 else None)

    def _arranged(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.about["max_points"] is not None:
            return arrange_points(points, boxes, int(self.about["max_points"]))
        if points is None:
            points = (torch.zeros(1, 0, 2), torch.zeros(1, 0))
        coords, labels = PromptEncoder._as_points(points, boxes)
        assert coords is not None
        assert labels is not None
        return coords, labels


def is_onnx(path: str | Path) -> bool:
    """Whether a folder is an export of ours."""
    return (Path(path) / DESCRIPTION).is_file()


def load_onnx(folder: str | Path) -> tuple[OnnxModel, Path]:
    """Read an export.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    network : OnnxModel
    file : Path
        The description, which holds the hashes of the graphs.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged or of another version.
    StackSAMError
        If the extra ``onnx`` is not installed.
    """
    need_onnx()
    folder = Path(folder)
    try:
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(about["format"])
        files = {name: folder / name for name in (about["encoder"], DECODER)}
        if any(Path(name).name != name for name in files):
            raise ValueError("a file outside the folder")
        changed = [name for name, file in files.items() if sha256_of(file) != about["files"][name]]
        if changed:
            raise ValueError(f"{changed[0]} is not the one that was exported")
        return OnnxModel(folder, about), folder / DESCRIPTION
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"the ONNX model {folder.name} is incomplete, damaged or of another version; export it "
            "again"
        ) from error


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    available = onnxruntime.get_available_providers()
    providers = [name for name in wanted if name in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _array(value: Any) -> np.ndarray:
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return np.ascontiguousarray(array, np.float32)
