"""Prompts as tokens and as maps."""

import pytest
import torch

from stacksam.sam.prompt_encoder import (
    BOX_END,
    BOX_START,
    LOGIT_SCALE,
    NEGATIVE,
    PADDING,
    POSITIVE,
    PromptEncoder,
)

SIDE = 64  # of the input; maps have 32, the embedding 8 pixels


@pytest.fixture(scope="module")
def encoder():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = PromptEncoder(16, (8, 8), (SIDE, SIDE), 8, has_prompt_maps=True)
    return built.requires_grad_(False)


def draw(encoder, coords, labels, masks=None, is_neighbour=None):
    coords = torch.tensor(coords, dtype=torch.float32).reshape(1, -1, 2)
    labels = torch.tensor(labels, dtype=torch.float32)[None]
    maps = torch.zeros(6, SIDE // 2, SIDE // 2)
    for channel, drawn in encoder._draw_maps(coords, labels, masks, is_neighbour).items():
        maps[channel] = drawn[0]
    return maps


def brightest(channel):
    y, x = divmod(int(channel.argmax()), channel.shape[1])
    return y, x


@pytest.mark.parametrize(("label", "channel"), [(POSITIVE, 3), (NEGATIVE, 4)])
def test_a_point_lights_its_channel_at_its_place(encoder, label, channel):
    maps = draw(encoder, [[40.5, 12.5]], [label])  # x, y: input pixels of half the map's size
    assert brightest(maps[channel]) == (6, 20)
    assert maps[channel].max() == pytest.approx(1, abs=1e-5)
    others = [c for c in range(6) if c != channel]
    assert not maps[others].any()


def test_points_that_meet_do_not_add_up(encoder):
    maps = draw(encoder, [[30, 30], [31, 30], [30, 31]], [POSITIVE] * 3)
    assert maps[3].max() == 1


def test_a_box_fills_its_channel_with_soft_edges(encoder):
    # half-open [8, 24) x [16, 41) in x and y, handed on as pixel edges - 0.5
    maps = draw(encoder, [[7.5, 15.5], [23.5, 40.5]], [BOX_START, BOX_END])
    assert not maps[:5].any()
    assert (maps[5, 8:20, 4:12] == 1).all()
    assert torch.allclose(maps[5, 20, 4:12], torch.tensor(0.5))  # half a map pixel
    maps[5, 8:21, 4:12] = 0
    assert not maps[5].any()


def test_padding_draws_nothing(encoder):
    assert not draw(encoder, [[10, 10], [0, 0]], [PADDING, PADDING]).any()


def test_a_mask_says_where_it_comes_from(encoder):
    logits = torch.full((1, 1, 32, 32), 4.0)
    earlier = draw(encoder, [], [], logits)
    neighbour = draw(encoder, [], [], logits, torch.tensor([True]))
    nothing = draw(encoder, [], [], torch.zeros(1, 1, 32, 32))
    assert (earlier[0] == 4 / LOGIT_SCALE).all()
    assert (earlier[1] == 1).all()
    assert not earlier[2].any()
    assert not neighbour[1].any()
    assert (neighbour[2] == 1).all()
    assert not nothing.any()
    assert draw(encoder, [], [], 1000 * logits)[0].max() == 16 / LOGIT_SCALE


def test_maps_enter_the_dense_embedding(encoder):
    def dense(x, y):
        points = (torch.tensor([[[x, y]]]), torch.tensor([[POSITIVE]]))
        return encoder(points, None, None)[1]

    difference = (dense(12.0, 12.0) - dense(52.0, 12.0)).abs().sum(1)[0]
    assert difference[:4].max() > 10 * difference[6:].max()


def test_channels_of_zeros_change_nothing(encoder):
    """What is not drawn is not computed either."""
    points = (
        torch.tensor([[[12.0, 20.0]], [[30.0, 40.0]]]),
        torch.tensor([[POSITIVE], [NEGATIVE]]),
    )
    earlier = torch.zeros(2, 1, 32, 32)
    earlier[1] = 3.0
    drawn = encoder._draw_maps(*points, earlier, torch.tensor([True, True]))
    assert sorted(drawn) == [0, 2, 3, 4]
    maps = torch.zeros(2, 6, 32, 32)
    for channel, part in drawn.items():
        maps[:, channel] = part
    found = encoder(points, None, earlier, is_neighbour=torch.tensor([True, True]))[1]
    assert torch.allclose(found, encoder.mask_downscaling(maps), atol=1e-5)
    nothing = encoder(None, None, None)[1]
    assert torch.allclose(nothing, encoder.mask_downscaling(torch.zeros_like(maps[:1])), atol=1e-5)


def test_tokens_of_points_and_boxes(encoder):
    points = (torch.rand(2, 3, 2) * SIDE, torch.tensor([[1, 0, 1], [0, -1, -1]]))
    boxes = torch.tensor([[1.0, 2, 30, 40], [5, 6, 7, 8]])
    assert encoder(points, boxes, None)[0].shape == (2, 5, 16)
    assert encoder(None, boxes, None)[0].shape == (2, 2, 16)
    alone, dense = encoder(points, None, None)
    assert alone.shape == (2, 4, 16)  # one padding point, as in SAM
    assert dense.shape == (2, 16, 8, 8)
    assert torch.equal(alone[1, 1], encoder.not_a_point_embed.weight[0])
    assert torch.equal(alone[0, 3], encoder.not_a_point_embed.weight[0])


def test_nothing_prompted(encoder):
    sparse, dense = encoder(None, None, None)
    assert sparse.shape == (1, 0, 16)
    assert dense.shape == (1, 16, 8, 8)
    sparse, dense = encoder(None, None, torch.ones(3, 1, 32, 32))
    assert sparse.shape == (3, 0, 16)
    assert dense.shape == (3, 16, 8, 8)


def test_position_of_a_cell_is_that_of_its_centre(encoder):
    grid = encoder.get_dense_pe()
    cell = SIDE / 8
    center = torch.tensor([(2 + 0.5) * cell / SIDE, (5 + 0.5) * cell / SIDE])  # x, y
    assert torch.allclose(grid[0, :, 5, 2], encoder.pe_layer(center), atol=1e-6)
