"""Memory propagation: transformers' own loop, slice by slice and without the volume in memory."""

from threading import Event

import numpy as np
import pytest
import torch

from models import overlap
from stacksam.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet, ScribblePrompt
from stacksam.core.volume import Volume
from stacksam.core.windows import apply_window, resolve_window
from stacksam.propagation.memory import has_memory, run_memory_plan
from stacksam.propagation.plan import make_plan
from stacksam.propagation.slice_predictor import SlicePredictor
from stacksam.sam.video_models import VideoPredictor, preprocess_slice
from video_models import SIDE, own_loop, small_network

DEPTH, HEIGHT, WIDTH = 12, 40, 50


@pytest.fixture(scope="module")
def model():
    return VideoPredictor(small_network(), name="small", fingerprint="small", device="cpu")


@pytest.fixture
def volume():
    """Two tubes that move, over noise."""
    z, y, x = np.mgrid[:DEPTH, :HEIGHT, :WIDTH]
    rng = np.random.default_rng(0)
    image = 100 + 20 * rng.normal(size=(DEPTH, HEIGHT, WIDTH))
    image[(y - 15) ** 2 + (x - 15 - z) ** 2 < 64] += 500
    image[(y - 30) ** 2 + (x - 40 + z) ** 2 < 36] += 300
    return Volume(image.astype(np.float32))


def predictor_of(volume, model):
    return SlicePredictor(volume, resolve_window(volume, "auto"), model)


def frames_of(volume, axis=0):
    window = resolve_window(volume, "auto")
    slices = (volume.read_slice(i, axis) for i in range(volume.n_slices(axis)))
    return torch.cat([preprocess_slice(apply_window(s, window), SIDE) for s in slices])


def run(volume, model, *prompts, patience=None, z_range=None, axis=0, cancel=None):
    plan = make_plan(PromptSet(tuple(prompts)), 1, axis, volume.n_slices(axis), z_range)
    return list(run_memory_plan(predictor_of(volume, model), plan, cancel, patience=patience))


def point(index, y, x, positive=True, axis=0, prompt_id=1):
    return PointPrompt(prompt_id, 1, axis, index, (float(y), float(x)), positive)


def given_points(*points, box=None, shape=(HEIGHT, WIDTH)):
    """Coordinates as transformers' processor scales them: x times side / width."""
    scale = torch.tensor([SIDE / shape[1], SIDE / shape[0]], dtype=torch.float64)
    coords = torch.tensor([(x, y) for y, x, _ in points], dtype=torch.float64).reshape(-1, 2)
    labels = [int(positive) for _, _, positive in points]
    if box is not None:
        y0, x0, y1, x1 = box
        coords = torch.cat([torch.tensor([[x0, y0], [x1, y1]]).double(), coords])
        labels = [2, 3, *labels]
    return {
        "coords": (coords * scale).float()[None, None],
        "labels": torch.tensor(labels, dtype=torch.int32)[None, None],
    }


def given_mask(mask):
    values = torch.from_numpy(mask.astype(np.float32))[None, None]
    scaled = torch.nn.functional.interpolate(values, (SIDE, SIDE), mode="bilinear", antialias=True)
    return {"mask": (scaled >= 0.5).float()}


def enlarged(logits, shape=(HEIGHT, WIDTH)):
    """As transformers' processor brings masks to the frame's size."""
    values = torch.from_numpy(logits)[None, None]
    return torch.nn.functional.interpolate(values, shape, mode="bilinear")[0, 0].numpy() > 0


def assert_same(found, expected, shape=(HEIGHT, WIDTH)):
    """The same logits and masks on every slice, and masks on at least three."""
    by_index = dict(found)
    assert len(by_index) == len(found)
    for index, (logits, score) in expected.items():
        mask = enlarged(logits, shape)
        if index not in by_index:
            assert not mask.any(), index
            continue
        mine = by_index[index]
        if mine.given is None:
            np.testing.assert_allclose(mine.logits, logits, atol=1e-4)
            np.testing.assert_allclose(mine.presence, 1 / (1 + np.exp(-score)), atol=1e-5)
            np.testing.assert_array_equal(mine.mask, mask)
    assert sum(found.mask.any() for found in by_index.values()) >= 3
    assert len({found.mask.sum() for found in by_index.values()}) >= 3


def test_models_without_a_memory_are_told(volume, model):
    from models import ThresholdPredictor

    assert has_memory(predictor_of(volume, model))
    assert not has_memory(predictor_of(volume, ThresholdPredictor()))


@pytest.mark.parametrize("start", [0, 5, DEPTH - 1])
def test_a_click_is_followed_both_ways(volume, model, start):
    found = run(volume, model, point(start, 15, 15 + start))
    expected = own_loop(frames_of(volume), {start: given_points((15, 15 + start, True))})
    assert_same(found, expected)
    assert found[0][0] == start


def test_a_box_and_points_are_seen_together(volume, model):
    box = (7.0, 10.0, 24.0, 28.0)
    prompts = (
        BoxPrompt(1, 1, 0, 4, box),
        point(4, 15, 19, prompt_id=2),
        point(4, 30, 36, positive=False, prompt_id=3),
    )
    expected = own_loop(
        frames_of(volume), {4: given_points((15, 19, True), (30, 36, False), box=box)}
    )
    assert_same(run(volume, model, *prompts), expected)


def test_a_mask_is_kept_exactly_and_followed(volume, model):
    mask = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - np.array([15, 20])[:, None, None])) < 8
    found = run(volume, model, MaskPrompt.from_array(1, 1, 0, 5, mask))
    assert_same(found, own_loop(frames_of(volume), {5: given_mask(mask)}))
    np.testing.assert_array_equal(dict(found)[5].mask, mask)


def test_keyframes_on_any_slice(volume, model):
    mask = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - np.array([15, 24])[:, None, None])) < 8
    prompts = (
        BoxPrompt(1, 1, 0, 3, (7.0, 10.0, 24.0, 27.0)),
        MaskPrompt.from_array(2, 1, 0, 9, mask),
    )
    given = {3: given_points(box=(7.0, 10.0, 24.0, 27.0)), 9: given_mask(mask)}
    found = run(volume, model, *prompts)
    assert_same(found, own_loop(frames_of(volume), given))
    np.testing.assert_array_equal(dict(found)[9].mask, mask)


def test_order_of_prompting_is_order_of_slices(volume, model):
    """Keyframes are shown in ascending order, so that results follow from the prompts alone."""
    boxes = [BoxPrompt(i, 1, 0, z, (7.0, 10.0, 24.0, 27.0)) for i, z in ((1, 3), (2, 8))]
    one, other = (dict(run(volume, model, *order)) for order in (boxes, boxes[::-1]))
    assert one.keys() == other.keys()
    for index, found in one.items():
        np.testing.assert_array_equal(found.logits, other[index].logits)


@pytest.mark.parametrize("axis", [1, 2])
def test_along_other_axes(volume, model, axis):
    shape = volume.plane_shape(axis)
    index = volume.n_slices(axis) // 2
    found = run(volume, model, point(index, 5, 18, axis=axis), axis=axis)
    expected = own_loop(frames_of(volume, axis), {index: given_points((5, 18, True), shape=shape)})
    assert_same(found, expected, shape)


def test_memory_stays_small(volume, model, monkeypatch):
    """No more than the reach of memories is held, and never the volume."""
    from stacksam.sam import video_models

    held = []
    forget = video_models.Track.forget

    def counting(self, near):
        forget(self, near)
        held.append(len(self._session.output_dict_per_obj[0]["non_cond_frame_outputs"]))
        for outputs in self._session.output_dict_per_obj[0].values():
            assert not any("high_res_masks" in output for output in outputs.values())
        assert len(self._session.cache._vision_features) == 1

    monkeypatch.setattr(video_models.Track, "forget", counting)
    long = Volume(np.concatenate([np.asarray(volume.data)] * 3))
    run(long, model, point(20, 15, 23))
    assert len(held) == 3 * DEPTH - 1
    assert max(held) <= 3 * 4 + 2


def test_corrections_are_seen_with_the_memory(volume, model):
    plain = dict(run(volume, model, point(2, 15, 17)))
    corrected = dict(
        run(
            volume,
            model,
            point(2, 15, 17),
            point(6, 30, 34, prompt_id=2),
            point(6, 20, 20, positive=False, prompt_id=3),
        )
    )
    for index in (0, 1, 2, 3, 4, 5):
        np.testing.assert_array_equal(plain[index].logits, corrected[index].logits)
    assert np.abs(plain[6].logits - corrected[6].logits).max() > 1e-3
    assert np.abs(plain[8].logits - corrected[8].logits).max() > 1e-4


def test_a_stroke_is_points(volume, model):
    stroke = ScribblePrompt(1, 1, 0, 5, ((12.0, 18.0), (18.0, 22.0)), True, 3.0)
    found = dict(run(volume, model, BoxPrompt(2, 1, 0, 5, (7.0, 12.0, 24.0, 29.0)), stroke))
    boxed = dict(run(volume, model, BoxPrompt(2, 1, 0, 5, (7.0, 12.0, 24.0, 29.0))))
    assert np.abs(found[5].logits - boxed[5].logits).max() > 1e-3


def test_a_corrected_mask_is_what_is_followed(volume, model):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:23, 12:28] = True
    prompts = (MaskPrompt.from_array(1, 1, 0, 5, mask), point(5, 30, 35, prompt_id=2))
    found = dict(run(volume, model, *prompts))
    expected = own_loop(frames_of(volume), {5: given_mask(found[5].mask)})
    np.testing.assert_allclose(found[6].logits, expected[6][0], atol=1e-4)


def test_range_and_walls(volume, model):
    empty = np.zeros((HEIGHT, WIDTH), bool)
    wall = MaskPrompt.from_array(9, 1, 0, 8, empty)
    free = {i for i, _ in run(volume, model, point(4, 15, 19))}
    assert {i for i, _ in run(volume, model, point(4, 15, 19), z_range=(2, 7))} == free & {
        *range(2, 7)
    }
    assert {i for i, _ in run(volume, model, point(4, 15, 19), wall)} == free & {*range(8)}
    beyond = BoxPrompt(3, 1, 0, 10, (7.0, 17.0, 24.0, 34.0))
    indices = {i for i, _ in run(volume, model, point(4, 15, 19), wall, beyond)}
    assert 8 not in indices
    assert 9 not in indices
    assert 10 in indices


def test_it_stops_after_the_object_has_ended(volume, model, monkeypatch):
    from stacksam.sam import video_models

    seen = []
    step = video_models.Track.step

    def ending(self, index, embedding, **options):
        seen.append(index)
        found = step(self, index, embedding, **options)
        if abs(index - 5) > 1:
            return video_models.Seen(np.full_like(found.logits, -1024), found.score, 0.1)
        return found

    monkeypatch.setattr(video_models.Track, "step", ending)
    found = run(volume, model, point(5, 15, 20), patience=2)
    assert {i for i, _ in found} <= {4, 5, 6}
    assert seen == [6, 7, 8, 4, 3, 2]


def test_between_keyframes_it_does_not_give_up(volume, model, monkeypatch):
    from stacksam.sam import video_models

    seen = []

    def nothing(self, index, embedding, **options):
        seen.append(index)
        return video_models.Seen(np.full((16, 16), -1024, np.float32), 0.1, 0.1)

    monkeypatch.setattr(video_models.Track, "step", nothing)
    boxes = [BoxPrompt(i, 1, 0, z, (7.0, 10.0, 24.0, 27.0)) for i, z in ((1, 2), (2, 9))]
    run(volume, model, *boxes, patience=1)
    assert seen == [3, 4, 5, 6, 7, 8, 10, 1]


def test_cancel_keeps_what_is_there(volume, model):
    cancel = Event()
    plan = make_plan(PromptSet((point(5, 15, 20),)), 1, 0, DEPTH, None)
    found = []
    for index, _ in run_memory_plan(predictor_of(volume, model), plan, cancel, patience=None):
        found.append(index)
        if len(found) == 3:
            cancel.set()
    assert len(found) == 3


def test_predict_on_a_slice_is_the_keyframe(volume, model):
    """What is shown before propagating is what propagation shows there."""
    prompts = (point(5, 15, 20), point(5, 18, 22, prompt_id=2))
    alone = predictor_of(volume, model).from_prompts(0, 5, prompts)
    followed = dict(run(volume, model, *prompts))[5]
    assert overlap(alone.mask, followed.mask) == 1
    expected = own_loop(frames_of(volume), {5: given_points((15, 20, True), (18, 22, True))})
    np.testing.assert_allclose(alone.logits, expected[5][0], atol=1e-4)
