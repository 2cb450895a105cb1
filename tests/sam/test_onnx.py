"""ONNX graphs: the same numbers as the network they were made of, and a model again."""

import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

import stacksam
from family_models import family_network
from models import TINY, tiny_network
from sam_models import tiny_sam
from stacksam.cli import app
from stacksam.core.errors import CheckpointError, StackSAMError
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.model import build_compact
from stacksam.sam.onnx_export import calibration_crops, draw_maps, export_onnx
from stacksam.sam.onnx_model import load_onnx
from stacksam.sam.predictor import FieldPrompts, Predictor
from stacksam.sam.prompt_encoder import CONTEXT_MAPS, MAP_CHANNELS

pytest.importorskip("onnx", reason="needs the extra 'onnx'")
pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

KINDS = ("compact", "compact-with-context", "sam", "sam-med2d", "mobile-sam", "efficient-sam")


@cache
def network(kind):
    """A small network that answers differently to different prompts."""
    if not kind.startswith("compact"):
        return tiny_sam() if kind == "sam" else family_network(kind)
    maps = CONTEXT_MAPS if kind.endswith("context") else 0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = build_compact(replace(TINY, num_context_maps=maps))
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """(network, network of the export, its folder)."""
    model = Predictor(network(request.param), name="a", fingerprint="abc", device="cpu")
    folder = export_onnx(model, tmp_path_factory.mktemp("für ONNX") / request.param)
    return network(request.param), load_onnx(folder)[0], folder


def random(*shape, seed=0, scale=1.0):
    return scale * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def prompts(net, n_points, with_box, with_mask):
    height, width = net.prompt_encoder.input_image_size
    size = torch.tensor([width, height])
    coords = random(1, n_points, 2, seed=1) * size
    labels = torch.tensor([[i % 2 for i in range(1, n_points + 1)]], dtype=torch.float32)
    if with_box:
        corners = torch.tensor([[[0.2, 0.3], [0.7, 0.8]]]) * size
        coords = torch.cat([corners, coords], 1)
        labels = torch.cat([torch.tensor([[2.0, 3.0]]), labels], 1)
    mask = random(1, 1, *net.prompt_encoder.mask_input_size, seed=2, scale=8.0) - 4
    return (coords, labels), mask if with_mask else None


def test_embeddings_agree(exported):
    net, theirs, _ = exported
    image = random(2, 1, *net.prompt_encoder.input_image_size)
    with torch.inference_mode():
        ours = net.encode(image)
    found = theirs.encode(image)
    assert ours.image_embedding.abs().max() > 0.1
    pairs = [(ours.image_embedding, found.image_embedding)]
    pairs += list(zip(ours.skips or (), found.skips or (), strict=True))
    for one, other in pairs:
        assert one.shape == other.shape
        assert (one - other).abs().max() < 1e-3


@pytest.mark.parametrize("n_points", [0, 1, 4])
@pytest.mark.parametrize("with_box", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_logits_agree(exported, n_points, with_box, with_mask):
    net, theirs, _ = exported
    image = random(1, 1, *net.prompt_encoder.input_image_size)
    points, mask = prompts(net, n_points, with_box, with_mask)
    context = None
    if net.prompt_encoder.num_context_maps:
        context = random(1, CONTEXT_MAPS, *net.prompt_encoder.mask_input_size, seed=3)
    flag = torch.tensor([n_points == 0])
    with torch.inference_mode():
        ours = net.decode(net.encode(image), points, None, mask, flag, context)
    found = theirs.decode(theirs.encode(image), points, None, mask, flag, context)
    assert ours.masks.shape == found.masks.shape
    assert (ours.masks - found.masks).abs().max() < 1e-3
    assert (ours.iou_predictions - found.iou_predictions).abs().max() < 1e-3
    assert (ours.object_score_logits is None) == (found.object_score_logits is None)
    if ours.object_score_logits is not None:
        assert (ours.object_score_logits - found.object_score_logits).abs().max() < 1e-3


def test_it_is_a_model_again(exported):
    net, _, folder = exported
    model = stacksam.load_model(folder, device="cpu")
    ours = Predictor(net, name="a", fingerprint="abc", device="cpu")
    assert model.name == folder.name
    assert model.input_size == ours.input_size
    assert model.tells_presence == ours.tells_presence
    assert model.knows_neighbours == ours.knows_neighbours
    crop = random(model.input_size, model.input_size).numpy()
    side = model.input_size
    asked = FieldPrompts(
        points_yx=((0.4 * side, 0.5 * side),),
        is_positive=(True,),
        box_yxyx=(0.1 * side, 0.2 * side, 0.7 * side, 0.8 * side),
    )
    expected, found = (p.decode(p.encode(crop), asked) for p in (ours, model))
    assert np.abs(expected.logits - found.logits).max() < 0.01  # embeddings are kept as halves
    assert np.abs(expected.scores - found.scores).max() < 0.01


def test_prompts_are_drawn_as_in_training():
    encoder = network("compact").prompt_encoder
    points, mask = prompts(network("compact"), 5, True, True)
    flag = torch.tensor([1.0])
    for masks in (mask, torch.zeros_like(mask)):
        found = draw_maps(encoder, *points, masks, flag)
        drawn = encoder._draw_maps(*points, masks, flag)
        for channel in range(MAP_CHANNELS):
            expected = drawn.get(channel, torch.zeros_like(found[:, 0]))
            torch.testing.assert_close(found[:, channel], expected)


@pytest.mark.parametrize("kind", ["compact", "sam"])
def test_eight_bits_are_smaller_and_nearly_the_same(kind, tmp_path):
    model = Predictor(network(kind), name="a", fingerprint="abc", device="cpu")
    export_onnx(model, tmp_path / "float")
    export_onnx(model, tmp_path / "int8", int8=True)
    files = {p.name for p in (tmp_path / "int8").iterdir()}
    assert files == {"encoder_int8.onnx", "decoder.onnx", "model.json"}
    sizes = [
        (tmp_path / name).stat().st_size
        for name in ("int8/encoder_int8.onnx", "float/encoder.onnx")
    ]
    assert sizes[0] < sizes[1]
    (crop,) = calibration_crops(model.input_size, 1)
    exact = model.encode(crop).image_embedding.float()
    coarse = stacksam.load_model(tmp_path / "int8", device="cpu").encode(crop).image_embedding
    error = (exact - coarse.float()).pow(2).mean() / exact.var()
    assert 0 < error < 0.05


def test_calibration_is_the_same_each_time():
    first, again = (np.stack(list(calibration_crops(32, 8))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.min() >= 0
    assert first.max() <= 1
    assert all(crop.std() > 0 for crop in first)


@pytest.fixture
def folder(tmp_path):
    model = Predictor(network("compact"), name="a", fingerprint="abc", device="cpu")
    return export_onnx(model, tmp_path / "a")


def test_an_export_is_replaced_by_the_next(folder):
    before = (folder / "model.json").read_text(encoding="utf-8")
    model = Predictor(network("compact"), name="b", fingerprint="abc", device="cpu")
    export_onnx(model, folder)
    assert (folder / "model.json").read_text(encoding="utf-8") != before


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    model = Predictor(network("compact"), name="a", fingerprint="abc", device="cpu")
    with pytest.raises(StackSAMError, match="holds other files; choose a new one"):
        export_onnx(model, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "decoder.onnx").unlink(),
        lambda folder: (folder / "decoder.onnx").write_bytes(b"nonsense"),
        lambda folder: (folder / "model.json").write_text("{", encoding="utf-8"),
        lambda folder: (folder / "model.json").write_text("[]", encoding="utf-8"),
        lambda folder: rewrite(folder, format="other"),
        lambda folder: rewrite(folder, encoder="../encoder.onnx"),
        lambda folder: rewrite(folder, input_size=None),
    ],
)
def test_damaged_exports_are_refused(folder, damage):
    damage(folder)
    with pytest.raises(CheckpointError, match="the ONNX model a is incomplete, damaged or of"):
        stacksam.load_model(folder, device="cpu")


def rewrite(folder, **changes):
    about = json.loads((folder / "model.json").read_text(encoding="utf-8")) | changes
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")


def test_an_export_cannot_be_exported(folder, tmp_path):
    model = stacksam.load_model(folder, device="cpu")
    with pytest.raises(StackSAMError, match="a cannot be exported; choose a model with weights"):
        export_onnx(model, tmp_path / "b")


def test_the_command_writes_a_model(tmp_path):
    save_compact(tmp_path / "mein Möbel.safetensors", tiny_network(), TINY, {})
    out = tmp_path / "für ONNX"
    arguments = ["export", str(tmp_path / "mein Möbel.safetensors"), "--onnx", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "use it with --model" in result.stdout
    assert stacksam.load_model(out, device="cpu").name == "für ONNX"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("", encoding="utf-8")
    refused = CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "full")])
    assert refused.exit_code == 1
    assert "holds other files" in refused.stderr


def test_the_command_line_segments_with_it(folder, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (3, 40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    box = {"kind": "box", "axis": 0, "index": 1, "yxyx": [5, 5, 30, 40]}
    prompts = {"version": 1, "objects": [{"id": 1, "prompts": [box]}]}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    arguments = ["segment", tmp_path / "image.tif", "--prompts", tmp_path / "prompts.json"]
    arguments += ["--out", tmp_path / "labels.tif", "--model", folder, "--device", "cpu"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert tifffile.imread(tmp_path / "labels.tif").shape == image.shape


def test_without_the_extra_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("stacksam.sam.onnx_export.find_spec", lambda name: None)
    with pytest.raises(StackSAMError, match=r'onnx is not installed; pip install "napari-stacksa'):
        export_onnx(SimpleNamespace(), tmp_path / "b")
