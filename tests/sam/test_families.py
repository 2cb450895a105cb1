"""MobileSAM, EfficientSAM, SAM-Med2D and MedSAM: recognised, built, and used like any model."""

import json
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from family_models import BUILDERS, CONFIGS, family_network
from sam_models import tiny_sam
from stacksam.core.errors import CheckpointError
from stacksam.sam.efficient_sam import EfficientSamConfig
from stacksam.sam.families import family_of, load_network, load_state
from stacksam.sam.layouts import to_official
from stacksam.sam.official import SAM_CONFIGS
from stacksam.sam.predictor import FieldPrompts, Predictor
from stacksam.sam.state_dicts import config_of
from stacksam.sam.tiny_vit import MobileSamConfig, build_mobile_sam, distances

MANIFESTS = Path(__file__).parent / "manifests"


def published_names(family: str) -> dict[str, torch.Tensor]:
    """The state as it is published."""
    state = family_network(family).state_dict()
    if family == "mobile-sam":
        state["image_encoder.head.weight"] = torch.zeros(10, 32)
        state["image_encoder.norm_head.bias"] = torch.zeros(32)
        counters = [k for k in state if k.endswith("running_var")]
        for name in counters:
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    if family == "sam-med2d":
        state = {k.replace(".mlp.adapter.", ".Adapter."): v for k, v in state.items()}
    return dict(state)


def manifest(name):
    shapes = json.loads((MANIFESTS / f"{name}.json").read_text(encoding="utf-8"))
    return {k: torch.empty(shape, device="meta") for k, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("sam_vit_b", "sam", SAM_CONFIGS["vit_b"]),
        ("sam_vit_l", "sam", SAM_CONFIGS["vit_l"]),
        ("sam_vit_h", "sam", SAM_CONFIGS["vit_h"]),
        ("mobile_sam", "mobile-sam", MobileSamConfig()),
        ("efficient_sam_ti", "efficient-sam", EfficientSamConfig()),
        (
            "efficient_sam_s",
            "efficient-sam",
            EfficientSamConfig(embed_dim=384, num_heads=6, mlp_dim=1536),
        ),
        ("sam_med2d", "sam-med2d", None),
    ],
)
def test_names_and_shapes_are_the_published_ones(name, family, expected):
    state = to_official(manifest(name))
    kind = family_of(state)
    assert kind.name == family
    config = kind.config_of(state)
    if expected is None:
        assert (config.image_size, config.embed_dim, config.depth) == (256, 768, 12)
    else:
        assert config == expected
    with torch.device("meta"):
        model = kind.build(config)
    ours = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    theirs = {
        k: tuple(v.shape)
        for k, v in kind.rename(state).items()
        if not k.startswith(kind.unused or ("-",)) and not k.endswith("num_batches_tracked")
    }
    assert ours == theirs


@pytest.mark.parametrize("family", BUILDERS)
@pytest.mark.parametrize("form", ["pth", "wrapped", "safetensors", "old"])
def test_every_layout_loads(tmp_path, family, form):
    state = published_names(family)
    path = tmp_path / f"größe.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    elif form == "wrapped":
        weights = OrderedDict((f"module.{k}", v) for k, v in state.items())
        torch.save({"model": weights, "epoch": 3}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "pth")
    loaded, file = load_network(path)
    assert file == path
    assert type(loaded) is type(family_network(family))
    expected = family_network(family).state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.state_dict().items())
    assert not loaded.training


@pytest.mark.parametrize("family", BUILDERS)
def test_a_predictor_takes_it(family):
    predictor = Predictor(family_network(family), name="a", fingerprint="a", device="cpu")
    side, low = predictor.input_size, predictor.logits_size
    rng = np.random.default_rng(0)
    crop = rng.random((side, side), dtype=np.float32)
    embedding = predictor.encode(crop)
    box = FieldPrompts(box_yxyx=(0.1 * side, 0.2 * side, 0.5 * side, 0.7 * side))
    first = predictor.decode(embedding, box)
    assert first.logits.shape == (4, low, low)
    assert np.isfinite(first.logits).all()
    assert ((first.scores >= 0) & (first.scores <= 1)).all()
    points = ((0.3 * side, 0.3 * side), (0.9 * side, 0.1 * side))
    refined = predictor.decode(
        embedding, replace(box, points_yx=points, is_positive=(True, False), logits=first.logits[0])
    )
    assert np.abs(refined.logits - first.logits).max() > 1e-3
    other = predictor.encode(1 - crop).image_embedding
    assert (other - embedding.image_embedding).abs().max() > 1e-3


@pytest.mark.parametrize("family", BUILDERS)
def test_what_is_not_there_is_said(tmp_path, family):
    state = published_names(family)
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt (lacks|does not hold a complete)"):
        load_network(tmp_path / "a.pt")


@pytest.mark.parametrize("family", BUILDERS)
def test_foreign_weights_are_named(tmp_path, family):
    state = published_names(family) | {"mask_decoder.more": torch.zeros(1)}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"holds mask_decoder\.more"):
        load_network(tmp_path / "a.pt")


def test_another_family_than_wanted_is_refused(tmp_path):
    torch.save(published_names("mobile-sam"), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="holds mobile-sam where efficient-sam is expected"):
        load_network(tmp_path / "a.pt", family="efficient-sam")


def test_medsam_sees_intensities_as_they_are(tmp_path):
    """MedSAM has SAM's names, so the file's name or the user says which it is."""
    image = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    torch.save(tiny_sam().state_dict(), tmp_path / "MedSAM_vit_b.pth")
    torch.save(tiny_sam().state_dict(), tmp_path / "other.pth")
    expected = tiny_sam().image_encoder(image.expand(-1, 3, -1, -1)).image_embedding
    by_name, _ = load_network(tmp_path / "MedSAM_vit_b.pth")
    by_family, _ = load_network(tmp_path / "other.pth", family="medsam")
    plain, _ = load_network(tmp_path / "other.pth")
    for medsam in (by_name, by_family):
        torch.testing.assert_close(medsam.encode(image).image_embedding, expected)
    assert (plain.encode(image).image_embedding - expected).abs().max() > 0.01


def test_a_finetuned_microscopy_model_is_a_sam(tmp_path):
    """micro-sam's training keeps the weights under "model_state", each with a prefix."""
    state = {f"sam.{k}": v for k, v in tiny_sam().state_dict().items()}
    torch.save({"model_state": state, "iteration": 5}, tmp_path / "best.pt")
    loaded, _ = load_network(tmp_path / "best.pt")
    assert config_of(loaded.state_dict()) == config_of(tiny_sam().state_dict())


def test_adapters_take_part():
    image = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    state = published_names("sam-med2d")
    before = load_state(state).encode(image).image_embedding
    name = "image_encoder.blocks.2.Adapter.channel.2.weight"
    after = load_state(state | {name: 3 * state[name]}).encode(image).image_embedding
    assert (after - before).abs().max() > 1e-4


@pytest.mark.parametrize("size", [96, 112])
def test_adapters_take_odd_grids(size):
    """96 / 16 is even, 112 / 16 is odd, where the hourglass comes out larger than it went in."""
    encoder = family_network("sam-med2d").image_encoder
    assert encoder(torch.zeros(1, 3, size, size)).image_embedding.shape == (
        (1, 32, size // 16, size // 16)
    )


def test_mobile_sam_refuses_sizes_it_cannot_halve():
    with pytest.raises(ValueError, match="60 x 64; both have to be multiples of 16"):
        family_network("mobile-sam").image_encoder(torch.zeros(1, 3, 60, 64))


def test_distances_within_a_window():
    table = distances(3)
    assert table.shape == (9, 9)
    assert table[0, 8] == 8
    assert torch.equal(table, table.T)
    assert (table.diagonal() == 0).all()
    assert table[1, 3] == 4  # one row and one column apart


def test_batch_statistics_stay_while_training():
    model = build_mobile_sam(CONFIGS["mobile-sam"]).train()
    before = model.image_encoder.patch_embed.seq[0].bn.running_mean.clone()
    model.encode(torch.rand(1, 1, 64, 64)).image_embedding.sum().backward()
    assert torch.equal(model.image_encoder.patch_embed.seq[0].bn.running_mean, before)
    assert model.image_encoder.patch_embed.seq[0].c.weight.grad.abs().max() > 0


def decode_points(coords, labels, boxes=None):
    model = family_network("efficient-sam")
    embedding = torch.rand(1, 32, 64, 64, generator=torch.Generator().manual_seed(0))
    points = None if coords is None else (torch.tensor([coords]), torch.tensor([labels]))
    sparse, dense = model.prompt_encoder(points, boxes, None)
    return model.mask_decoder(embedding, model.prompt_encoder.get_dense_pe(), sparse, dense).masks


def test_efficient_sam_keeps_the_box_and_the_newest_points():
    corners = [[100.0, 100.0], [600.0, 700.0]]
    old = [[9.0, 9.0], [20.0, 900.0], [30.0, 30.0]]
    new = [[200.0, 200.0], [300.0, 400.0], [500.0, 600.0], [400.0, 300.0]]
    many = decode_points(corners + old + new, [2, 3] + [1] * 7)
    few = decode_points(corners + new, [2, 3] + [1] * 4)
    torch.testing.assert_close(many, few)
    apart = decode_points(new, [1] * 4, torch.tensor([[100.0, 100.0, 600.0, 700.0]]))
    torch.testing.assert_close(apart, few)


def test_efficient_sam_tells_points_apart():
    positive, negative = (decode_points([[200.0, 300.0]], [value]) for value in (1, 0))
    assert (positive - negative).abs().max() > 1e-3


def test_a_box_beyond_the_edge_is_moved_inside():
    outside = decode_points([[-0.5, -0.5], [600.0, 700.0]], [2, 3])
    inside = decode_points([[0.0, 0.0], [600.0, 700.0]], [2, 3])
    torch.testing.assert_close(outside, inside)
