"""Largest differences between our networks and their published code, same random weights.

SAM ViT-B, L and H, MobileSAM, EfficientSAM Ti and S, SAM-Med2D, MedSAM: the published network's
random weights are written to a file, which `stacksam.load_model` loads by what it holds, and both
see the same pixels and prompts. `--references` names a folder with checkouts of the repositories
under these names; what is missing there is left out and said. Small stubs stand in for the few
functions that their code takes from timm.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

import stacksam
from stacksam.sam.official import SAM_CONFIGS, SamConfig, normalize_pixels

sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import Differences


@dataclass(frozen=True)
class Run:
    """What every comparison is given.

    Attributes
    ----------
    name : str
        Of the comparison.
    folder : Path
        The checkout.
    seed : int
    manifests : str
        See `measure`.
    """

    name: str
    folder: Path
    seed: int
    manifests: str = ""

    def load(self, state: dict[str, Tensor], file_name: str) -> Any:
        """Our network with published weights, through the one call that loads every model."""
        if self.manifests:
            write_manifest(state, Path(self.manifests) / f"{self.name}.json")
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / file_name)
            model = stacksam.load_model(Path(folder) / file_name, device="cpu", dtype="float32")
        return model.network


def measure(
    references: str = "../references", models: str = "all", seed: int = 0, manifests: str = ""
) -> dict[str, float]:
    """Largest absolute differences, by model.

    Parameters
    ----------
    references : str
        Folder with the checkouts segment-anything, MobileSAM, EfficientSAM, SAM-Med2D and MedSAM.
    models : str
        Names of `COMPARISONS` with commas between them, or "all".
    seed : int
    manifests : str
        Folder for lists of the names and shapes of the published code's weights, which the tests
        compare with ours; `tests/sam/manifests` was written this way.
    """
    figures: dict[str, float] = {}
    for name in COMPARISONS if models == "all" else models.split(","):
        checkout, compare = COMPARISONS[name]
        run = Run(name, Path(references) / checkout, seed, manifests)
        if not run.folder.is_dir():
            print(
                f"  {name}: left out, there is no checkout {checkout} in {references}", flush=True
            )
            continue
        torch.manual_seed(seed)
        with torch.inference_mode():
            found = compare(run)
        gc.collect()
        for figure, value in found.items():
            figures[f"{name}_{figure}"] = value
            print(f"  {name} {figure}: {value:.3g}", flush=True)
    return figures


def write_manifest(state: dict[str, Tensor], path: Path) -> None:
    """Write the names and shapes of a state, one per line."""
    lines = [f"{json.dumps(k)}: {list(v.shape)}" for k, v in sorted(state.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def compare_published_sam(run: Run, config: SamConfig) -> dict[str, float]:
    """segment-anything's networks."""
    modeling = import_from(
        run.folder / "segment_anything" / "modeling", "segment_anything_modeling"
    )
    encoder = vit_encoder(modeling, config)
    return compare_sam(run, config, modeling, encoder, f"sam_{config.name}.pth")


def compare_mobile_sam(run: Run) -> dict[str, float]:
    """MobileSAM's `build_sam_vit_t`."""
    stub_timm()
    modeling = import_from(run.folder / "mobile_sam" / "modeling", "mobile_sam_modeling")
    encoder = modeling.TinyViT(
        img_size=1024,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
        drop_path_rate=0.0,
    )
    return compare_sam(run, SamConfig(), modeling, encoder, "mobile_sam.pt")


def compare_sam_med2d(run: Run) -> dict[str, float]:
    """SAM-Med2D's ViT-B with adapters at 256 x 256."""
    modeling = import_from(run.folder / "segment_anything" / "modeling", "sam_med2d_modeling")
    config = SamConfig(image_size=256)
    encoder = vit_encoder(modeling, config, adapter_train=True)
    return compare_sam(run, config, modeling, encoder, "sam-med2d_b.pth")


def compare_medsam(run: Run) -> dict[str, float]:
    """MedSAM's ViT-B, on intensities in [0, 1]."""
    modeling = import_from(run.folder / "segment_anything" / "modeling", "medsam_modeling")
    config = SamConfig()
    encoder = vit_encoder(modeling, config)
    return compare_sam(run, config, modeling, encoder, "medsam_vit_b.pth", is_normalized=False)


def compare_sam(
    run: Run,
    config: SamConfig,
    modeling: ModuleType,
    encoder: nn.Module,
    file_name: str,
    *,
    is_normalized: bool = True,
) -> dict[str, float]:
    """A network with SAM's prompt encoder and mask decoder, from pixels to logits."""
    side, grid = config.image_size, config.image_size // 16
    theirs = SimpleNamespace(
        image_encoder=encoder,
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=256,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=16,
        ),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(
                depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=256,
        ),
    )
    state = randomized(vars(theirs))
    ours = run.load(state, file_name)
    points, labels, box, mask = prompts(side, run.seed)
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(run.seed))
    image = normalize_pixels(255 * pixels) if is_normalized else pixels
    embedding, their_embedding = ours.encode(pixels), encoder.eval()(image)
    found = Differences()
    found.add("embedding", embedding.image_embedding, their_embedding)
    for has_points, has_box, has_mask in ((1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1)):
        chosen = (
            (points, labels) if has_points else None,
            box if has_box else None,
            mask if has_mask else None,
        )
        output = ours.decode(embedding, *chosen)
        sparse, dense = theirs.prompt_encoder.eval()(*chosen)
        expected, scores = theirs.mask_decoder.eval().predict_masks(
            their_embedding, theirs.prompt_encoder.get_dense_pe(), sparse, dense
        )
        found.add("low_res_masks", output.masks, expected)
        found.add("iou_predictions", output.iou_predictions, scores)
    return found.figures


def compare_efficient_sam(run: Run, dim: int, heads: int) -> dict[str, float]:
    """EfficientSAM, from pixels to logits."""
    package = import_from(run.folder / "efficient_sam", "efficient_sam_package")
    module = importlib.import_module(f"{package.__name__}.efficient_sam")
    theirs = module.build_efficient_sam(dim, heads).eval()
    state = randomized({"": theirs})
    ours = run.load(state, f"{run.name}.pt")
    points, labels, box, _ = prompts(1024, run.seed)
    pixels = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(run.seed))
    embedding, their_embedding = ours.encode(pixels), theirs.get_image_embeddings(pixels)
    found = Differences()
    found.add("embedding", embedding.image_embedding, their_embedding)
    corners, ends = box.reshape(1, 2, 2), torch.tensor([[2, 3]])
    for coords, values in (
        (points, labels),
        (corners, ends),
        (torch.cat([corners, points], 1), torch.cat([ends, labels], 1)),
    ):
        output = ours.decode(embedding, (coords, values))
        for many in (False, True):
            masks, scores = theirs.predict_masks(
                their_embedding, coords[None], values[None], many, 1024, 1024
            )
            chosen = slice(1, None) if many else slice(0, 1)
            found.add("low_res_masks", output.masks[:, chosen], masks)
            found.add("iou_predictions", output.iou_predictions[:, chosen], scores)
    return found.figures


COMPARISONS: dict[str, tuple[str, Callable[[Run], dict[str, float]]]] = {
    **{
        f"sam_{name}": ("segment-anything", partial(compare_published_sam, config=config))
        for name, config in SAM_CONFIGS.items()
    },
    "mobile_sam": ("MobileSAM", compare_mobile_sam),
    "efficient_sam_ti": ("EfficientSAM", partial(compare_efficient_sam, dim=192, heads=3)),
    "efficient_sam_s": ("EfficientSAM", partial(compare_efficient_sam, dim=384, heads=6)),
    "sam_med2d": ("SAM-Med2D", compare_sam_med2d),
    "medsam": ("MedSAM", compare_medsam),
}
"""Folder and function of each."""


def vit_encoder(modeling: ModuleType, config: SamConfig, **options: Any) -> nn.Module:
    """The published image encoder of a SAM."""
    return modeling.ImageEncoderViT(
        img_size=config.image_size,
        embed_dim=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
        use_rel_pos=True,
        global_attn_indexes=config.global_attn_indexes,
        window_size=config.window_size,
        out_chans=config.out_chans,
        **options,
    )


def randomized(parts: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Move all weights away from where training starts; the state under the parts' names."""
    state = {}
    for part, module in parts.items():
        module.eval()
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                spread = 0.1 if "pos" in name or "bias" in name else 0.02
                noise = spread * torch.randn_like(value)
                value += noise.abs() if name.endswith("running_var") else noise
            state[f"{part}.{name}".lstrip(".")] = value
        module.train().eval()  # MobileSAM keeps a copy of its biases while evaluating
    return state


def prompts(side: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Three points with labels, a box and a mask's logits."""
    generator = torch.Generator().manual_seed(seed + 1)
    points = side * torch.rand(1, 3, 2, generator=generator)
    box = side * torch.tensor([[0.1, 0.2, 0.8, 0.9]])
    mask = 4 * torch.randn(1, 1, side // 4, side // 4, generator=generator)
    return points, torch.tensor([[1, 0, 1]]), box, mask


def import_from(folder: Path, name: str) -> ModuleType:
    """Import a package under a name of our own, as several are called segment_anything."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder.name} is not a package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def stub_timm() -> None:
    """Stand in for the functions that MobileSAM takes from timm."""
    if importlib.util.find_spec("timm"):
        return
    for name in ("timm", "timm.models", "timm.models.layers", "timm.models.registry"):
        sys.modules[name] = ModuleType(name)
    layers: Any = sys.modules["timm.models.layers"]
    layers.DropPath = nn.Identity
    layers.to_2tuple = lambda value: (value, value)
    layers.trunc_normal_ = nn.init.trunc_normal_
    registry: Any = sys.modules["timm.models.registry"]
    registry.register_model = lambda function: function
