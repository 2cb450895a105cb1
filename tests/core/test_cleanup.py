import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.morphology import convex_hull_image

from stacksam.core.cleanup import CleanUp, clean_mask

masks = st.one_of(
    arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))),
)
without_smoothing = st.builds(
    CleanUp, fill_holes=st.booleans(), keep_largest=st.booleans(), min_size=st.integers(0, 9)
)


def mask_of(*rows):
    return np.array([[c == "#" for c in row] for row in rows])


def pieces_of(mask):
    return ndimage.label(mask, np.ones((3,) * mask.ndim))


def blob(seed, shape=(40, 50)):
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 3) > 0.03


# by hand


def test_everything_is_off_by_default():
    mask = blob(0)
    cleaned = clean_mask(mask, CleanUp())
    np.testing.assert_array_equal(cleaned, mask)
    assert CleanUp().is_off
    assert not np.shares_memory(cleaned, mask)


def test_holes_are_filled_but_bays_are_not():
    mask = mask_of("#####.", "#.#.#.", "###.#.")
    filled = mask_of("#####.", "###.#.", "###.#.")
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(fill_holes=True)), filled)


def test_a_hole_of_a_volume_is_closed_on_all_sides():
    mask = np.ones((3, 5, 5), bool)
    mask[1, 2, 2] = mask[:, 0, 0] = False
    filled = mask.copy()
    filled[1, 2, 2] = True
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(fill_holes=True)), filled)


def test_the_largest_piece_is_kept_and_corners_connect():
    mask = mask_of("##...#", "..#..#", "......", "###...")
    kept = mask_of("##....", "..#...", "......", "......")
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(keep_largest=True)), kept)


@pytest.mark.parametrize(
    ("size", "rows"),
    [
        (1, ("##.#", "....", "###.")),
        (2, ("##..", "....", "###.")),
        (3, ("....", "....", "###.")),
        (4, ("....", "....", "....")),
    ],
)
def test_pieces_below_a_size_are_dropped(size, rows):
    mask = mask_of("##.#", "....", "###.")
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(min_size=size)), mask_of(*rows))


@pytest.mark.parametrize(
    ("shape", "spacing", "size", "is_kept"),
    [
        ((1, 3), (0.1, 0.1), 0.03, True),
        ((1, 3), (0.1, 0.1), 0.0301, False),
        ((2, 1, 3), (5, 0.5, 0.5), 7.5, True),
        ((2, 1, 3), (5, 0.5, 0.5), 7.6, False),
    ],
)
def test_a_size_in_mm_counts_area_or_volume(shape, spacing, size, is_kept):
    settings = CleanUp(min_size=size, min_size_unit="mm")
    assert clean_mask(np.ones(shape, bool), settings, spacing).any() == is_kept


def test_smoothing_rounds_off_spikes_and_fills_notches():
    mask = np.zeros((30, 30), bool)
    mask[8:22, 8:22] = True
    ragged = mask.copy()
    ragged[15, 22:27] = True
    ragged[8:11, 15] = False
    smooth = clean_mask(ragged, CleanUp(smooth=1.5))
    assert not smooth[15, 23:].any()
    assert smooth[10, 15]
    assert smooth.sum() == pytest.approx(mask.sum(), rel=0.06)


def test_smoothing_leaves_a_straight_cut_at_the_border():
    mask = np.zeros((20, 20), bool)
    mask[:9, :] = True
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(smooth=2)), mask)


def test_what_smoothing_would_wipe_out_stays():
    mask = mask_of("......", "..#...", "......")
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(smooth=3)), mask)


def test_smoothing_reaches_equally_far_in_mm():
    mask = np.zeros((9, 60, 60), bool)
    mask[2:7, 10:50, 10:50] = True
    thick = clean_mask(mask, CleanUp(smooth=2), spacing=(8, 1, 1))
    np.testing.assert_array_equal(thick.any(axis=(1, 2)), mask.any(axis=(1, 2)))
    in_plane = np.stack([clean_mask(plane, CleanUp(smooth=2)) for plane in mask])
    np.testing.assert_array_equal(thick[2:7], in_plane[2:7])


# what holds for every mask


@given(mask=masks, settings=without_smoothing)
def test_cleaning_twice_changes_nothing_more(mask, settings):
    once = clean_mask(mask, settings)
    np.testing.assert_array_equal(clean_mask(once, settings), once)


@given(mask=masks, settings=without_smoothing)
def test_the_result_is_what_was_asked_for(mask, settings):
    before = mask.copy()
    cleaned = clean_mask(mask, settings)
    np.testing.assert_array_equal(mask, before)
    pieces, count = pieces_of(cleaned)
    if settings.fill_holes:
        np.testing.assert_array_equal(ndimage.binary_fill_holes(cleaned), cleaned)
    if settings.keep_largest:
        assert count <= 1
    if count:
        assert np.bincount(pieces.ravel())[1:].min() >= settings.min_size


@given(mask=masks)
def test_filling_only_adds_and_dropping_only_removes(mask):
    filled = clean_mask(mask, CleanUp(fill_holes=True))
    assert (filled | ~mask).all()
    for settings in (CleanUp(keep_largest=True), CleanUp(min_size=3)):
        cleaned = clean_mask(mask, settings)
        assert not (cleaned & ~mask).any()
        pieces, count = pieces_of(mask)
        for piece in range(1, count + 1):
            assert cleaned[pieces == piece].all() or not cleaned[pieces == piece].any()


@given(mask=masks)
def test_the_largest_piece_is_as_large_as_any(mask):
    pieces, _ = pieces_of(mask)
    largest = np.bincount(pieces.ravel(), minlength=2)[1:].max()
    assert clean_mask(mask, CleanUp(keep_largest=True)).sum() == largest


@given(mask=masks, settings=without_smoothing, shift=st.integers(0, 3))
def test_the_place_in_the_image_does_not_matter(mask, settings, shift):
    moved = np.pad(mask, [(shift, 1)] * mask.ndim)
    expected = np.pad(clean_mask(mask, settings), [(shift, 1)] * mask.ndim)
    np.testing.assert_array_equal(clean_mask(moved, settings), expected)


@pytest.mark.parametrize("sigma", [0.5, 1, 2.5])
@pytest.mark.parametrize("seed", range(5))
def test_smoothing_stays_inside_the_convex_hull(seed, sigma):
    mask = np.pad(blob(seed), 10)
    smooth = clean_mask(mask, CleanUp(smooth=sigma))
    assert smooth.any()
    assert not (smooth & ~convex_hull_image(mask, offset_coordinates=False)).any()


@pytest.mark.parametrize("seed", range(5))
def test_smoothing_keeps_the_order_of_masks(seed):
    small = np.pad(blob(seed), 10)
    large = small | np.pad(blob(seed + 100), 10)
    settings = CleanUp(smooth=1.5)
    assert not (clean_mask(small, settings) & ~clean_mask(large, settings)).any()


@pytest.mark.parametrize("seed", range(5))
def test_smoothing_a_small_mask_in_a_large_image_equals_smoothing_the_image(seed):
    mask = np.zeros((120, 130), bool)
    mask[50:90, 40:90] = blob(seed)
    expected = ndimage.gaussian_filter(mask.astype(np.float32), 2, truncate=3) > 0.5
    np.testing.assert_array_equal(clean_mask(mask, CleanUp(smooth=2)), expected)


@given(mask=masks, sigma=st.floats(0.1, 4))
def test_smoothing_never_makes_a_mask_disappear(mask, sigma):
    assert clean_mask(mask, CleanUp(smooth=sigma)).any() == mask.any()


@given(mask=masks, sigma=st.floats(0.1, 4))
def test_no_holes_or_small_pieces_are_left_by_smoothing(mask, sigma):
    cleaned = clean_mask(mask, CleanUp(fill_holes=True, keep_largest=True, smooth=sigma))
    np.testing.assert_array_equal(ndimage.binary_fill_holes(cleaned), cleaned)
    assert pieces_of(cleaned)[1] == int(mask.any())


# bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_size": -1}, "min_size is -1; it has to be a finite number"),
        ({"min_size": float("nan")}, "min_size is nan"),
        ({"smooth": float("inf")}, "smooth is inf"),
        ({"min_size_unit": "cm"}, "min_size_unit is 'cm'; choose 'px' or 'mm'"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CleanUp(**values)


@pytest.mark.parametrize(
    ("mask", "spacing", "error", "message"),
    [
        (np.zeros((3, 3)), None, TypeError, "mask has dtype float64; expected bool"),
        (np.zeros(3, bool), None, ValueError, r"mask has shape \(3,\); expected"),
        (np.zeros((2, 2, 2, 2), bool), None, ValueError, "expected .*H, W"),
        (np.zeros((3, 3), bool), (1, 1, 1), ValueError, "expected 2 finite numbers above 0"),
        (np.zeros((3, 3), bool), (1, 0), ValueError, r"spacing is \(1, 0\)"),
        (np.zeros((3, 3), bool), None, ValueError, "needs a spacing, which is unknown; use 'px'"),
    ],
)
def test_bad_masks_and_spacings_are_refused(mask, spacing, error, message):
    with pytest.raises(error, match=message):
        clean_mask(mask, CleanUp(min_size=1, min_size_unit="mm"), spacing)


@pytest.mark.parametrize("shape", [(0, 5), (4, 0, 2), (5, 5)])
def test_an_empty_mask_stays_empty(shape):
    settings = CleanUp(fill_holes=True, keep_largest=True, min_size=5, smooth=2)
    assert not clean_mask(np.zeros(shape, bool), settings).any()
