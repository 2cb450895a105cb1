"""A SAM used as published: the same masks as transformers' and segment-anything's predictors."""

import copy
import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import sam_models
import stacksam
from reference_support import segment_anything_predictor
from stacksam.cli import app
from stacksam.core.errors import CheckpointError
from stacksam.core.fields import paste_logits
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.whole_slice import WholeSlicePredictor

SHAPE = (75, 117)  # to be enlarged by 128 / 117, and padded below
CLICKS = [((40.0, 60.0), True), ((20.5, 90.0), False), ((50.0, 30.25), True)]
BOX = (10, 20, 60, 100)
WINDOW = (0, 255)


def random_slices(*shape):
    """Blocks and noise, uint8."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (shape[0], 15, 13, *shape[3:])).repeat(5, 1).repeat(9, 2)
    return (coarse + rng.integers(0, 56, shape)).astype(np.uint8)


GREY = random_slices(3, *SHAPE)
COLOUR = random_slices(1, *SHAPE, 3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("Gewichte ä") / "sam_tiny.pth"
    torch.save(sam_models.tiny_sam().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint):
    return stacksam.load_model(checkpoint, device="cpu", whole_slice=True)


class TransformersPredictor:
    """transformers' processor and model behind the published predictor's interface."""

    def __init__(self):
        pil = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
        side = sam_models.TINY_SAM.image_size
        size = {"height": side, "width": side}
        self.processor = pil.SamImageProcessorPil(size={"longest_edge": side}, pad_size=size)
        self.model = sam_models.transformers_sam()

    def set_image(self, image):
        self.image = self.processor(image, return_tensors="pt")
        self.embedding = self.model.get_image_embeddings(self.image["pixel_values"])

    def predict(self, coords=None, labels=None, box=None, mask_input=None, multimask_output=True):
        sizes = (self.image[key][0].tolist() for key in ("reshaped_input_sizes", "original_sizes"))
        scale = np.divide(*sizes)[::-1]

        def scaled(xy):
            return torch.tensor((np.reshape(xy, (-1, 2)) * scale).astype(np.float32))

        found = self.model(
            image_embeddings=self.embedding,
            input_points=None if coords is None else scaled(coords)[None, None],
            input_labels=None if labels is None else torch.tensor(labels)[None, None],
            input_boxes=None if box is None else scaled(box).reshape(1, 1, 4),
            input_masks=None if mask_input is None else torch.tensor(mask_input)[None],
            multimask_output=multimask_output,
        )
        masks = self.processor.post_process_masks(
            found.pred_masks, self.image["original_sizes"], self.image["reshaped_input_sizes"]
        )
        return (
            masks[0][0].numpy(),
            found.iou_scores[0, 0].numpy(),
            found.pred_masks[0, 0].numpy(),
        )


def published_epsilon(model):
    """transformers' decoder normalises with another epsilon than the published one."""
    for module in model.mask_decoder.transformer.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5


@pytest.fixture(params=["transformers", "segment_anything"])
def published(request):
    if request.param == "transformers":
        predictor = TransformersPredictor()
        before = {m: m.eps for m in predictor.model.modules() if isinstance(m, torch.nn.LayerNorm)}
        published_epsilon(predictor.model)
        yield predictor
        for module, eps in before.items():
            module.eps = eps
        return
    if find_spec("segment_anything") is None:
        pytest.skip("needs segment-anything: pip install --no-deps segment-anything")
    yield segment_anything_predictor()


def as_published(predictor, image, clicks=(), box=None):
    """The best of three masks for a first click, its logits handed on to each correction."""
    predictor.set_image(image if image.ndim == 3 else np.stack([image] * 3, -1))
    low_res, masks = None, None
    for count in range(1, len(clicks) + 1) if box is None else range(len(clicks) + 1):
        coords = np.array([yx[::-1] for yx, _ in clicks[:count]])
        labels = np.array([int(positive) for _, positive in clicks[:count]])
        masks, scores, logits = predictor.predict(
            coords if count else None,
            labels if count else None,
            None if box is None else np.array(box)[[1, 0, 3, 2]],
            low_res,
            multimask_output=box is None and count == 1,
        )
        best = int(np.argmax(scores))
        low_res = logits[best : best + 1]
    return masks[best], scores[best]


def ours(model, slices, clicks=(), box=None, index=0):
    volume = stacksam.Volume(slices, rgb=slices.ndim == 4)
    session = stacksam.Session(volume, model, window=WINDOW)
    if box is not None:
        session.add_box(1, index, box)
    for yx, positive in clicks:
        session.add_point(1, (index, *yx), positive)
    return session.predict(1, index)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clicks_give_the_same_masks(model, published, count):
    expected, score = as_published(published, GREY[1], CLICKS[:count])
    found = ours(model, GREY, CLICKS[:count], index=1)
    assert 0 < expected.mean() < 1
    assert np.array_equal(found.mask, expected)
    assert found.score == pytest.approx(np.clip(score, 0, 1), abs=1e-4)


def test_all_candidates_of_a_click_are_the_same(model, published):
    as_published(published, GREY[1], CLICKS[:1])
    masks, scores, _ = published.predict(np.array([[60.0, 40.0]]), np.array([1]))
    found = ours(model, GREY, CLICKS[:1], index=1).candidates
    order = np.argsort(-scores)
    by_score = sorted(found, key=lambda c: -c.score)
    assert any(np.array_equal(c.mask, masks[order[0]]) for c in by_score)
    assert np.array_equal(found[0].mask, masks[order[0]])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_box_and_corrections_on_a_colour_image_give_the_same_masks(model, published, count):
    expected, _ = as_published(published, COLOUR[0], CLICKS[:count], BOX)
    found = ours(model, COLOUR, CLICKS[:count], BOX)
    assert 0 < expected.mean() < 1
    assert np.array_equal(found.mask, expected)


@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_the_best_mask_is_chosen_where_scores_leave_their_range(shift):
    """Clipped to [0, 1] first they would be equal, and the first mask would win."""
    network = copy.deepcopy(sam_models.tiny_sam())
    network.mask_decoder.iou_prediction_head.layers[-1].bias += shift
    model = WholeSlicePredictor(network, name="shifted", fingerprint="s", device="cpu")
    field = model.field_of(SHAPE)
    (point,) = field.to_field(np.array([CLICKS[0][0]]), model.input_size)
    prompts = FieldPrompts(points_yx=(tuple(point),), is_positive=(True,))
    raw = model.decode(model.encode(GREY[1]), prompts)
    best = 1 + int(np.argmax(raw.scores[1:]))
    assert best != 1
    assert raw.scores[1:].max() < 0 or raw.scores[1:].min() > 1
    found = ours(model, GREY, CLICKS[:1], index=1)
    assert np.array_equal(found.mask, paste_logits(raw.logits[best], field, SHAPE) > 0)
    assert not np.array_equal(found.mask, paste_logits(raw.logits[1], field, SHAPE) > 0)
    assert 0 <= found.score <= 1


def test_it_differs_from_fields(checkpoint, model):
    fields = stacksam.load_model(checkpoint, device="cpu")
    assert not np.array_equal(ours(fields, GREY, box=BOX).mask, ours(model, GREY, box=BOX).mask)


def test_a_slice_is_encoded_once(model, monkeypatch):
    encoded = []
    encode = WholeSlicePredictor.encode
    monkeypatch.setattr(
        WholeSlicePredictor, "encode", lambda *a: encoded.append(a[1].shape) or encode(*a)
    )
    ours(model, GREY, CLICKS, BOX)
    assert encoded == [SHAPE]


def test_masks_are_carried_through_the_stack(model):
    volume = stacksam.Volume(np.repeat(GREY[1:2], 3, 0))
    session = stacksam.Session(volume, model, window=WINDOW)
    session.add_mask(1, 1, np.pad(np.ones((20, 30), bool), ((10, 45), (40, 47))))
    result = session.propagate(1)
    assert result.mask[1].sum() == 600
    assert result.mask.shape == volume.shape


def test_a_name_may_ask_for_it(checkpoint):
    model = stacksam.load_model(f"{checkpoint}:whole-slice", device="cpu")
    assert isinstance(model, WholeSlicePredictor)
    assert model.name == "sam_tiny:whole-slice"
    assert model.dtype == torch.float32


def test_other_models_are_refused(tmp_path):
    torch.save(sam_models.tiny_sam().state_dict(), tmp_path / "medsam_x.pth")
    with pytest.raises(CheckpointError, match="medsam_x was not published to look at whole"):
        stacksam.load_model(tmp_path / "medsam_x.pth", device="cpu", whole_slice=True)
    with pytest.raises(CheckpointError, match="compact was not published to look at whole slices"):
        stacksam.load_model("compact", device="cpu", whole_slice=True)


def test_the_command_line_gives_the_published_masks(checkpoint, published, tmp_path):
    Image.fromarray(GREY[1]).save(tmp_path / "bild.png")
    y, x = CLICKS[0][0]
    prompts = [
        {"kind": "box", "axis": 0, "index": 0, "yxyx": BOX},
        {"kind": "point", "zyx": [0, y, x]},
    ]
    content = {"version": 1, "window": WINDOW, "objects": [{"id": 1, "prompts": prompts}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content), encoding="utf-8")
    command = ["segment", tmp_path / "bild.png", "--prompts", tmp_path / "prompts.json"]
    command += ["--out", tmp_path / "labels.tif", "--model", checkpoint, "--whole-slice"]
    result = CliRunner().invoke(app, [*map(str, command), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    expected, _ = as_published(published, GREY[1], CLICKS[:1], BOX)
    labels = stacksam.read(tmp_path / "labels.tif")
    assert np.array_equal(np.asarray(labels.data)[0] == 1, expected)
