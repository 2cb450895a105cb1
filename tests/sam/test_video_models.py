"""SAM 2's weights in its publisher's layout and transformers', and prompts on single slices."""

import json
import os
import weakref
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import stacksam
from stacksam.core.errors import CheckpointError, StackSAMError
from stacksam.core.fields import paste_logits
from stacksam.core.squashed_slice import squashed_slice
from stacksam.core.windows import apply_window
from stacksam.sam.edgetam_weights import edgetam_config
from stacksam.sam.families import load_network
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.video_models import VideoPredictor, preprocess_slice
from stacksam.sam.video_weights import build_video_model, to_transformers
from video_models import SIDE, own_loop, small_network

MANIFESTS = Path(__file__).parent / "manifests"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small network as transformers saves it."""
    folder = tmp_path_factory.mktemp("für Video")
    small_network().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model():
    return VideoPredictor(small_network(), name="small", fingerprint="small", device="cpu")


def published(name):
    """Names and shapes in the publisher's layout."""
    shapes = json.loads((MANIFESTS / f"{name}.json").read_text(encoding="utf-8"))
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("size", "side"),
    [("tiny", 512), ("tiny", 1024), ("small", 1024), ("base-plus", 1024), ("large", 1024)],
)
def test_published_names_become_transformers(size, side):
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    if not hasattr(transformers, "Sam2VideoModel"):
        pytest.skip("this transformers has no SAM 2")
    from stacksam.sam.video_weights import _config_of

    state = to_transformers(published(f"sam2.1_{size}"))
    config = _config_of(state, side)
    assert config.image_size == side
    with torch.device("meta"):
        network = transformers.Sam2VideoModel(config)
    assert shapes(network.state_dict()) == shapes(state)


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


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


def test_edgetams_published_names_become_transformers():
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    if not hasattr(transformers, "EdgeTamVideoModel"):
        pytest.skip("this transformers has no EdgeTAM")
    state = to_transformers(published("edgetam"))
    config = edgetam_config()
    encoder = "vision_encoder.backbone."
    if find_spec("timm") is None:  # all but the image encoder, in whose place another one stands
        config.vision_config.backbone_config = transformers.Sam2VideoConfig().vision_config
        config.vision_config.backbone_config = config.vision_config.backbone_config.backbone_config
        state = {name: value for name, value in state.items() if not name.startswith(encoder)}
    with torch.device("meta"):
        expected = shapes(transformers.EdgeTamVideoModel(config).state_dict())
    if find_spec("timm") is None:
        expected = {k: shape for k, shape in expected.items() if not k.startswith(encoder)}
    assert shapes(state) == expected


def test_keys_and_values_of_edgetam_are_told_apart():
    kv = torch.arange(8.0).reshape(4, 2)
    state = {"spatial_perceiver.layers.0.self_attn.to_kv.weight": kv}
    start = "spatial_perceiver.layers.0.self_attention."
    renamed = to_transformers(state)
    assert renamed.keys() == {f"{start}k_proj.weight", f"{start}v_proj.weight"}
    assert torch.equal(renamed[f"{start}k_proj.weight"], kv[:2])
    assert torch.equal(renamed[f"{start}v_proj.weight"], kv[2:])


def test_edgetam_names_the_package_it_needs(monkeypatch):
    pytest.importorskip("transformers", reason="needs the extra 'models'")
    monkeypatch.setattr("stacksam.sam.edgetam_weights.find_spec", lambda name: None)
    with pytest.raises(StackSAMError, match=r"needs timm; pip install .*\[edgetam\]"):
        build_video_model({"spatial_perceiver.latents": torch.zeros(1)})


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


def sample_session(model, name):
    """A session on eight slices of a shipped stack, and a box in its middle."""
    sample = stacksam.read(Path(stacksam.__file__).parent / "sample_data" / name)
    volume = stacksam.Volume(np.asarray(sample.data)[5:13], spacing_zyx=sample.spacing_zyx)
    height, width = volume.plane_shape(0)
    box = (0.2 * height, 0.3 * width, 0.6 * height, 0.8 * width)
    return stacksam.Session(volume, model), box


def given_box(box, shape):
    scale = torch.tensor([SIDE / shape[1], SIDE / shape[0]], dtype=torch.float64)
    corners = torch.tensor([[box[1], box[0]], [box[3], box[2]]], dtype=torch.float64) * scale
    return {"coords": corners.float()[None, None], "labels": torch.tensor([[[2, 3]]]).int()}


def given_mask(mask):
    values = torch.from_numpy(mask.astype(np.float32))[None, None]
    scaled = torch.nn.functional.interpolate(values, (SIDE, SIDE), mode="bilinear", antialias=True)
    return {"mask": (scaled >= 0.5).float()}


def assert_equals_transformers_loop(session, given):
    """The same masks on every slice without a mask of the user's, and on at least three one."""
    mask, volume = session.propagate(1).mask, session.volume
    images = (apply_window(volume.read_slice(i, 0), session.window) for i in range(8))
    frames = torch.cat([preprocess_slice(image, SIDE) for image in images])
    for index, (logits, _) in own_loop(frames, given).items():
        if "mask" in given.get(index, {}):
            continue
        values = torch.from_numpy(logits)[None, None]
        shape = volume.plane_shape(0)
        expected = torch.nn.functional.interpolate(values, shape, mode="bilinear")
        differ = (expected[0, 0].numpy() > 0) != mask[index]
        assert differ.mean() < 1e-4, index  # where a logit is 0 but for rounding
    assert mask.any((1, 2)).sum() >= 3


@pytest.mark.parametrize("name", ["nuclei.tif", "abdomen_ct.nii.gz"])
def test_a_session_on_the_samples_equals_transformers_loop(model, name):
    session, box = sample_session(model, name)
    session.add_box(1, 3, box)
    given = {3: given_box(box, session.volume.plane_shape(0))}
    assert_equals_transformers_loop(session, given)


def test_keyframes_of_a_session_are_those_of_transformers_loop(model):
    session, box = sample_session(model, "nuclei.tif")
    shape = session.volume.plane_shape(0)
    mask = np.zeros(shape, bool)
    mask[20:60, 30:90] = True
    session.add_mask(1, 6, mask)
    session.add_box(1, 2, box)
    assert_equals_transformers_loop(session, {2: given_box(box, shape), 6: given_mask(mask)})
    np.testing.assert_array_equal(session.propagate(1).mask[6], mask)


class ReadOnce:
    """A stack of slices that are made when asked for, and how many of them are held."""

    def __init__(self, depth):
        self.shape, self.dtype, self.ndim = (depth, 40, 50), np.dtype(np.float32), 3
        self.refs, self.read, self.most = [], set(), 0

    def __getitem__(self, key):
        index = key[0] if isinstance(key, tuple) else key
        if not isinstance(index, (int, np.integer)):
            raise AssertionError("more than a slice was read")
        image = np.random.default_rng(int(index)).random((40, 50), dtype=np.float32)
        self.refs = [ref for ref in self.refs if ref() is not None] + [weakref.ref(image)]
        self.most = max(self.most, len(self.refs))
        self.read.add(int(index))
        return image[key[1:]] if isinstance(key, tuple) else image


def test_slices_are_read_one_at_a_time_and_let_go(model, monkeypatch):
    """With room for four slices and four embeddings, no more are held of sixty."""
    monkeypatch.setattr("stacksam.propagation.slice_predictor.SLICE_BUDGET", 4 * 40 * 50 * 4)
    embedding = model.encode(np.zeros((40, 50), np.float32))
    size = sum(level.nbytes for level in (embedding.image_embedding, *embedding.skips))
    monkeypatch.setattr("stacksam.propagation.slice_predictor.EMBEDDING_BUDGET", 4 * size)
    stack = ReadOnce(60)
    session = stacksam.Session(stacksam.Volume(stack), model, window=(0.0, 1.0))
    session.add_box(1, 30, (10, 10, 30, 40))
    found = [index for index, _, _ in session.propagate_iter(1)]
    assert len(found) >= 3
    assert len(stack.read) >= 3 + len(found) // 2
    assert stack.most <= 6
