"""SAM 2's weights in its publisher's layout and transformers', and prompts on single slices."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import stacksam
from stacksam.core.errors import CheckpointError, StackSAMError
from stacksam.core.fields import paste_logits
from stacksam.core.squashed_slice import squashed_slice
from stacksam.core.windows import apply_window
from stacksam.sam.families import load_network
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.video_models import VideoPredictor, preprocess_slice
from stacksam.sam.video_weights import build_video_model, to_transformers
from video_models import SIDE, own_loop, small_network

MANIFEST = Path(__file__).parent / "manifests" / "sam2.1_tiny.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small network as transformers saves it."""
    folder = tmp_path_factory.mktemp("für Video")
    small_network().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model():
    return VideoPredictor(small_network(), name="small", fingerprint="small", device="cpu")


def published():
    """The names and shapes of SAM 2.1 tiny in its publisher's layout."""
    shapes = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("side", [512, 1024])
def test_published_names_become_transformers(side):
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    if not hasattr(transformers, "Sam2VideoModel"):
        pytest.skip("this transformers has no SAM 2")
    from stacksam.sam.video_weights import _config_of

    state = to_transformers(published())
    config = _config_of(state, side)
    assert config.image_size == side
    with torch.device("meta"):
        network = transformers.Sam2VideoModel(config)
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == {
        k: tuple(v.shape) for k, v in state.items()
    }


def test_transformers_names_stay():
    state = {"vision_encoder.backbone.pos_embed": torch.zeros(1)}
    assert to_transformers(state) == state


def test_a_folder_loads(folder):
    network, file = load_network(folder)
    assert file.name == "model.safetensors"
    expected = small_network().state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert not network.training


def test_load_model_gives_a_model_with_a_memory(folder):
    loaded = stacksam.load_model(folder, device="cpu")
    assert isinstance(loaded, VideoPredictor)
    assert loaded.has_memory
    assert loaded.input_size == SIDE
    assert loaded.logits_size == SIDE // 4


def test_weights_that_are_missing_are_named(folder, tmp_path):
    state = small_network().state_dict()
    del state["no_memory_embedding"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(
        (folder / "config.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    with pytest.raises(CheckpointError, match="lacks no_memory_embedding; get it again"):
        load_network(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "sam2_video", "image_size": "x"}'])
def test_a_damaged_config_is_told(folder, tmp_path, text):
    torch.save(small_network().state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json that cannot be read"):
        load_network(tmp_path)


def test_without_a_config_small_networks_are_unknown(tmp_path):
    torch.save(small_network().state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="a SAM 2 of 6 blocks of width 8, which is unknown"):
        load_network(tmp_path / "a.pt")


def test_edgetam_in_its_publishers_layout_is_told():
    state = {"spatial_perceiver.latents": torch.zeros(1), "memory_attention.a": torch.zeros(1)}
    with pytest.raises(ValueError, match="EdgeTAM in its publisher's layout; get it in Hugging"):
        build_video_model(state)


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setattr("stacksam.sam.video_weights.find_spec", lambda name: None)
    with pytest.raises(StackSAMError, match=r'pip install -U "napari-stacksam\[models\]"'):
        build_video_model({"memory_attention.a": torch.zeros(1)})


def test_a_pickle_bomb_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trap"),)

    torch.save(small_network().state_dict() | {"x": Bomb()}, tmp_path / "sam2.1_hiera_tiny.pt")
    with pytest.raises(CheckpointError, match="could run code, and was not opened"):
        load_network(tmp_path / "sam2.1_hiera_tiny.pt")
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("shape", [(30, 50), (100, 90), (64, 64), (1, 7)])
@pytest.mark.parametrize("is_rgb", [False, True])
def test_slices_are_squashed(shape, is_rgb):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3) if is_rgb else shape, dtype=np.uint8)
    prepared = preprocess_slice(image, SIDE)
    assert prepared.shape == (1, 3, SIDE, SIDE)
    torch.testing.assert_close(prepared, preprocess_slice((image / 255).astype(np.float32), SIDE))
    mean = torch.tensor([123.675, 116.28, 103.53])
    spread = torch.tensor([58.395, 57.12, 57.375])
    levels = prepared[0].permute(1, 2, 0) * spread + mean
    assert levels.min() > -1
    assert levels.max() < 256
    if shape == (64, 64):
        expected = torch.from_numpy(image).float().reshape(64, 64, -1).expand(-1, -1, 3)
        torch.testing.assert_close(levels, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (4, 4, 2)])
def test_other_images_are_refused(shape):
    with pytest.raises(ValueError, match="give a slice"):
        preprocess_slice(np.zeros(shape, np.float32), SIDE)


@pytest.mark.parametrize("shape", [(40, 50), (10, 7), (16, 16)])
def test_masks_come_back_as_transformers_enlarges_them(shape):
    logits = np.random.default_rng(0).normal(0, 5, (16, 16)).astype(np.float32)
    field = squashed_slice(shape)
    values = torch.from_numpy(logits)[None, None]
    expected = torch.nn.functional.interpolate(values, shape, mode="bilinear")
    np.testing.assert_allclose(
        paste_logits(logits, field, shape), expected[0, 0].numpy(), atol=1e-5
    )


def test_points_go_there_and_back():
    field = squashed_slice((40, 50))
    points = np.array([[3.5, 7.0], [39.0, 49.0]])
    np.testing.assert_allclose(field.from_field(field.to_field(points, SIDE), SIDE), points)
    np.testing.assert_allclose(field.to_field(points, SIDE)[0], [3.5 * 64 / 40, 7 * 64 / 50])


def crop(seed=0):
    return np.random.default_rng(seed).random((40, 50), dtype=np.float32)


def test_a_click_has_three_candidates(model):
    embedding = model.encode(crop())
    found = model.decode(embedding, FieldPrompts(points_yx=((20, 30),), is_positive=(True,)))
    assert found.logits.shape == (4, 16, 16)
    assert 0 < found.presence < 1
    boxed = model.decode(embedding, FieldPrompts(box_yxyx=(10, 10, 40, 50)))
    assert boxed.logits.shape == (1, 16, 16)


def test_earlier_logits_do_not_count_but_given_masks_do(model):
    embedding = model.encode(crop())
    asked = FieldPrompts(points_yx=((20, 30), (40, 5)), is_positive=(True, False))
    plain = model.decode(embedding, asked).logits
    noise = np.random.default_rng(1).normal(0, 4, (16, 16)).astype(np.float32)
    drawn = np.where(noise > 0, 8, -8).astype(np.float32)
    for logits, differs in ((noise, False), (drawn, True)):
        given = FieldPrompts(asked.points_yx, asked.is_positive, logits=logits)
        difference = np.abs(model.decode(embedding, given).logits - plain).max()
        assert (difference > 1e-3) == differs


def test_a_mask_alone_is_seen(model):
    embedding = model.encode(crop())
    noise = np.random.default_rng(1).normal(0, 4, (16, 16)).astype(np.float32)
    one, other = (model.decode(embedding, FieldPrompts(logits=s * noise)).logits for s in (1, -1))
    assert np.abs(one - other).max() > 1e-3


def test_different_slices_give_different_embeddings(model):
    one, other = model.encode(crop()), model.encode(crop(1))
    assert (one.image_embedding - other.image_embedding).abs().max() > 1e-3
    assert one.image_embedding.dtype == torch.float32


@pytest.mark.parametrize("axis", [0, 2])
def test_through_a_session(model, axis):
    image = np.random.default_rng(0).random((6, 40, 50), dtype=np.float32)
    session = stacksam.Session(stacksam.Volume(image), model)
    index = 2 if axis == 0 else 20
    session.add_box(1, index, (2, 10, 5, 30) if axis == 2 else (10, 10, 30, 40), axis=axis)
    shown = session.predict(1, index, axis=axis).mask
    result = session.propagate(1, axis=axis)
    assert result.complete
    np.testing.assert_array_equal(np.take(result.mask, index, axis), shown)
    assert result.mask.any((1, 2) if axis == 0 else (0, 1)).sum() >= 3


@pytest.mark.parametrize("name", ["nuclei.tif", "abdomen_ct.nii.gz"])
def test_a_session_on_the_samples_equals_transformers_loop(model, name):
    sample = stacksam.read(Path(stacksam.__file__).parent / "sample_data" / name)
    volume = stacksam.Volume(np.asarray(sample.data)[5:13], spacing_zyx=sample.spacing_zyx)
    session = stacksam.Session(volume, model)
    height, width = volume.plane_shape(0)
    box = (0.2 * height, 0.3 * width, 0.6 * height, 0.8 * width)
    session.add_box(1, 3, box)
    mask = session.propagate(1).mask
    images = (apply_window(volume.read_slice(i, 0), session.window) for i in range(8))
    frames = torch.cat([preprocess_slice(image, SIDE) for image in images])
    scale = torch.tensor([SIDE / width, SIDE / height], dtype=torch.float64)
    corners = torch.tensor([[box[1], box[0]], [box[3], box[2]]], dtype=torch.float64) * scale
    given = {"coords": corners.float()[None, None], "labels": torch.tensor([[[2, 3]]]).int()}
    for index, (logits, _) in own_loop(frames, {3: given}).items():
        values = torch.from_numpy(logits)[None, None]
        expected = torch.nn.functional.interpolate(values, (height, width), mode="bilinear")
        differ = (expected[0, 0].numpy() > 0) != mask[index]
        assert differ.mean() < 1e-4, index  # where a logit is 0 but for rounding
    assert mask.any((1, 2)).sum() >= 3
