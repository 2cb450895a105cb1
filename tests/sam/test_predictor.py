"""Crops and prompts in as numpy, logits and scores out as numpy."""

import numpy as np
import pytest
import torch

from models import tiny_network, tiny_predictor
from stacksam.sam.predictor import MAX_POINTS, FieldPrompts, Predictor, choose_device
from stacksam.sam.prompt_encoder import BOX_END, BOX_START, NEGATIVE, POSITIVE


@pytest.fixture(scope="module")
def model():
    return tiny_predictor()


@pytest.fixture(scope="module")
def crop():
    return np.random.default_rng(0).random((64, 64), np.float32)


@pytest.fixture(scope="module")
def embedding(model, crop):
    return model.encode(crop)


@pytest.fixture
def given(monkeypatch):
    """What the network gets to see, call after call, and a predictor that shows it."""
    predictor = Predictor(tiny_network(), name="spy", fingerprint="x", device="cpu")
    calls = []
    decode = predictor.network.decode

    def spy(embedding, points, boxes, masks, is_neighbour, context):
        calls.append((points[0][0].tolist(), points[1][0].tolist(), masks, is_neighbour))
        return decode(embedding, points, boxes, masks, is_neighbour, context)

    monkeypatch.setattr(predictor.network, "decode", spy)
    return predictor, calls


def test_sizes_are_told(model):
    assert (model.input_size, model.logits_size) == (64, 32)
    assert model.tells_presence
    assert model.knows_neighbours
    assert model.sees_neighbours


def test_embedding_is_half_precision(embedding):
    tensors = [embedding.image_embedding, *embedding.skips]
    assert {t.dtype for t in tensors} == {torch.float16}
    assert [tuple(t.shape) for t in tensors] == [(1, 32, 8, 8), (1, 8, 16, 16), (1, 4, 32, 32)]


@pytest.mark.parametrize(
    "prompts",
    [
        FieldPrompts(points_yx=((30.0, 20.0),), is_positive=(True,)),
        FieldPrompts(points_yx=((30.0, 20.0), (1.0, 2.0)), is_positive=(True, False)),
        FieldPrompts(box_yxyx=(3.0, 4.0, 50.0, 60.0)),
        FieldPrompts(logits=np.ones((32, 32), np.float32), is_neighbour=True),
        FieldPrompts(box_yxyx=(3.0, 4.0, 50.0, 60.0), logits=np.ones((32, 32), np.float32)),
    ],
    ids=["click", "clicks", "box", "neighbour", "box and logits"],
)
def test_every_kind_of_prompt_gives_masks_and_scores(model, embedding, prompts):
    found = model.decode(embedding, prompts)
    assert found.logits.shape == (4, 32, 32)
    assert found.logits.dtype == found.scores.dtype == np.float32
    assert np.isfinite(found.logits).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    again = model.decode(embedding, prompts)
    assert np.array_equal(found.logits, again.logits)


def test_prompts_and_images_matter(model, crop, embedding):
    def decode(embedding, *args, **options):
        return model.decode(embedding, FieldPrompts(*args, **options)).logits

    click = decode(embedding, ((30.0, 20.0),), (True,))
    others = [
        decode(embedding, ((30.0, 40.0),), (True,)),
        decode(embedding, ((30.0, 20.0),), (False,)),
        decode(embedding, box_yxyx=(20.0, 10.0, 40.0, 30.0)),
        decode(model.encode(1 - crop), ((30.0, 20.0),), (True,)),
        decode(embedding, ((30.0, 20.0),), (True,), None, np.ones((32, 32), np.float32)),
    ]
    assert not any(np.allclose(click, other) for other in others)


def test_only_a_handed_mask_asks_for_presence(model, embedding):
    logits = np.ones((32, 32), np.float32)
    handed = FieldPrompts(logits=logits, is_neighbour=True)
    assert 0 < model.decode(embedding, handed).presence < 1
    corrected = FieldPrompts(((30.0, 20.0),), (True,), logits=logits, is_neighbour=True)
    refined = FieldPrompts(((30.0, 20.0),), (True,), logits=logits)
    assert model.decode(embedding, corrected).presence == 1
    assert model.decode(embedding, refined).presence == 1


def test_network_gets_x_before_y_and_centres(given, embedding):
    predictor, calls = given
    predictor.decode(embedding, FieldPrompts(((3.0, 5.0), (7.0, 9.0)), (True, False)))
    coordinates, labels, masks, is_neighbour = calls[0]
    assert coordinates == [[5, 3], [9, 7]]
    assert labels == [POSITIVE, NEGATIVE]
    assert masks is None
    assert is_neighbour is None


def test_half_open_box_becomes_edges(given, embedding):
    predictor, calls = given
    predictor.decode(embedding, FieldPrompts(box_yxyx=(0.0, 10.0, 64.0, 20.0)))
    assert calls[0][:2] == ([[9.5, -0.5], [19.5, 63.5]], [BOX_START, BOX_END])


def test_box_and_newest_points_are_kept(given, embedding):
    predictor, calls = given
    points = tuple((float(i), 0.0) for i in range(MAX_POINTS + 10))
    prompts = FieldPrompts(points, (True,) * len(points), box_yxyx=(0.0, 0.0, 9.0, 9.0))
    predictor.decode(embedding, prompts)
    coordinates, labels = calls[0][:2]
    assert labels == [BOX_START, BOX_END] + [POSITIVE] * MAX_POINTS
    assert coordinates[2] == [0, 10]
    assert coordinates[-1] == [0, MAX_POINTS + 9]


def test_logits_and_their_origin_arrive(given, embedding):
    predictor, calls = given
    logits = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    for is_neighbour in (True, False):
        predictor.decode(embedding, FieldPrompts(logits=logits, is_neighbour=is_neighbour))
    for (_, _, masks, flag), expected in zip(calls, (True, False), strict=True):
        assert np.array_equal(masks[0, 0].numpy(), logits)
        assert flag.tolist() == [expected]


def test_reduced_precision_stays_close(embedding):
    prompts = FieldPrompts(box_yxyx=(3.0, 4.0, 50.0, 60.0))
    plain = tiny_predictor().decode(embedding, prompts)
    reduced = Predictor(
        tiny_network(), name="b", fingerprint="b", device="cpu", dtype="bfloat16"
    ).decode(embedding, prompts)
    assert np.abs(plain.logits - reduced.logits).max() < 0.1 * np.abs(plain.logits).max() + 0.05


def test_what_the_neighbour_shows_is_looked_at(model, embedding):
    logits = np.full((32, 32), 2.0, np.float32)
    context = np.random.default_rng(0).normal(size=(3, 32, 32)).astype(np.float32)
    plain = model.decode(embedding, FieldPrompts(logits=logits, is_neighbour=True))
    empty = FieldPrompts(logits=logits, is_neighbour=True, context=np.zeros_like(context))
    shown = FieldPrompts(logits=logits, is_neighbour=True, context=context)
    assert np.array_equal(model.decode(embedding, empty).logits, plain.logits)
    assert not np.allclose(model.decode(embedding, shown).logits, plain.logits)


def test_inputs_are_left_alone(model, crop):
    before = crop.copy()
    logits = np.full((32, 32), 2.0, np.float32)
    model.decode(model.encode(crop), FieldPrompts(logits=logits))
    assert np.array_equal(crop, before)
    assert (logits == 2).all()


def test_points_and_signs_have_to_match(model, embedding):
    with pytest.raises(ValueError, match="zip"):
        model.decode(embedding, FieldPrompts(((1.0, 2.0),), ()))


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="unknown"):
        choose_device("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_missing_device_is_refused():
    with pytest.raises(ValueError, match="'cuda' is not available"):
        choose_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_the_cpu(crop):
    prompts = FieldPrompts(box_yxyx=(3.0, 4.0, 50.0, 60.0))
    found = []
    for device in ("cpu", "cuda"):
        model = Predictor(tiny_network(), name="d", fingerprint="d", device=device, dtype="float32")
        found.append(model.decode(model.encode(crop), prompts).logits)
    assert found[0] == pytest.approx(found[1], abs=0.05)
