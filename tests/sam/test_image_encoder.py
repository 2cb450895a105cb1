"""The image encoder's parts, by hand and against plainer ways to compute the same."""

from dataclasses import replace

import pytest
import torch

from stacksam.sam import image_encoder
from stacksam.sam.image_encoder import (
    attend,
    join_windows,
    partition_windows,
    relative_table,
    resize_positions,
)
from stacksam.sam.official import build_sam


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("grid", [(6, 6), (7, 6), (5, 9), (1, 1), (2, 13)])
@pytest.mark.parametrize("size", [1, 3, 6])
def test_windows_put_back_are_the_grid(grid, size):
    x = random(2, *grid, 4)
    windows = partition_windows(x, size)
    columns = -(-grid[1] // size)
    assert windows.shape == (2 * -(-grid[0] // size) * columns, size, size, 4)
    assert torch.equal(join_windows(windows, grid), x)
    assert torch.equal(windows[0, 0, 0], x[0, 0, 0])
    if grid[1] > size:
        assert torch.equal(windows[1, 0, 0], x[0, 0, size])
    assert windows.abs().sum() == pytest.approx(float(x.abs().sum()), rel=1e-5)  # zeros around


def test_relative_table_is_indexed_by_query_minus_key():
    table = torch.arange(5.0)[:, None]  # distances -2 ... 2
    expected = torch.tensor([[2.0, 1, 0], [3, 2, 1], [4, 3, 2]])
    assert torch.equal(relative_table(table, 3)[..., 0], expected)


def test_relative_table_stretches_to_other_sizes():
    table = torch.linspace(-1, 1, 13)[:, None]
    stretched = relative_table(table, 11)[..., 0]
    assert stretched.shape == (11, 11)
    assert stretched.diagonal().abs().max() < 1e-6
    assert torch.allclose(stretched, -stretched.T, atol=1e-6)
    assert stretched[10, 0] > 0.9
    assert (stretched[:, 0].diff() > 0).all()


def test_positions_keep_their_grid_or_are_resampled():
    positions = torch.linspace(0, 1, 8)[None, :, None, None].expand(1, 8, 8, 2)
    assert resize_positions(positions, (8, 8)) is positions
    resized = resize_positions(positions, (4, 16))
    assert resized.shape == (1, 4, 16, 2)
    assert (resized[0, :, 0, 0].diff() > 0.2).all()
    assert torch.allclose(resized[0, 1], resized[0, 1, :1].expand(16, 2), atol=1e-5)


@pytest.mark.parametrize("elements", [1, 40, 200, 10_000_000])
def test_attention_in_pieces_equals_the_formula(monkeypatch, elements):
    monkeypatch.setattr(image_encoder, "BIAS_ELEMENTS", elements)
    q, k, v = random(3, 2, 3, 12, 8)
    bias_h, bias_w = random(2, 3, 12, 3, seed=1), random(2, 3, 12, 4, seed=2)
    bias = (bias_h[..., :, None] + bias_w[..., None, :]).reshape(2, 3, 12, 12)
    expected = (q @ k.transpose(-2, -1) / 8**0.5 + bias).softmax(-1) @ v
    with torch.no_grad():
        assert torch.allclose(attend(q, k, v, bias_h, bias_w), expected, atol=1e-6)
    assert torch.allclose(attend(q, k, v, bias_h, bias_w), expected, atol=1e-6)


@pytest.mark.parametrize("elements", [1, 40, 200, 10_000_000])
def test_attention_in_bfloat16_is_the_formula_rounded(monkeypatch, elements):
    monkeypatch.setattr(image_encoder, "BIAS_ELEMENTS", elements)
    q, k, v = random(3, 2, 3, 12, 8)
    bias_h, bias_w = random(2, 3, 12, 3, seed=1), random(2, 3, 12, 4, seed=2)
    bias = (bias_h[..., :, None] + bias_w[..., None, :]).reshape(2, 3, 12, 12)
    expected = (q @ k.transpose(-2, -1) / 8**0.5 + bias).softmax(-1) @ v
    with torch.inference_mode():
        mixed = attend(*(t.bfloat16() for t in (q, k, v, bias_h, bias_w)))
    assert mixed.dtype == torch.bfloat16
    assert torch.allclose(mixed.float(), expected, atol=4e-2)


def test_windows_are_filled_up_with_what_is_asked_for():
    x, fill = random(2, 5, 4, 3), torch.tensor([1.0, 2, 3])
    windows = partition_windows(x, 3, fill)
    assert torch.equal(join_windows(windows, (5, 4)), x)
    assert torch.equal(windows[1, :, 1], fill.expand(3, 3))  # right of the grid
    assert torch.equal(windows[2, 2], fill.expand(3, 3))  # below it
    assert torch.allclose(windows, partition_windows(x - fill, 3) + fill, atol=1e-6)


def test_tokens_that_fill_up_windows_take_part_as_zeros(tiny_sam):
    """As published: zeros before the projections, so keys and values are these' bias."""
    attention, x = tiny_sam.image_encoder.blocks[0].attn, random(1, 5, 4, 32)
    size = tiny_sam.image_encoder.blocks[0].window_size
    with torch.inference_mode():
        published = join_windows(attention(partition_windows(x, size)), (5, 4))
        assert torch.allclose(attention(x, size), published, atol=1e-5)


def test_training_path_equals_inference_path(tiny_sam):
    image = random(1, 3, 128, 128)
    with torch.enable_grad():
        trained = tiny_sam.image_encoder(image).image_embedding
    with torch.inference_mode():
        inferred = tiny_sam.image_encoder(image).image_embedding
    assert torch.allclose(trained, inferred, atol=1e-4)


def test_gradients_reach_the_relative_tables(tiny_config):
    encoder = build_sam(tiny_config).image_encoder
    encoder(random(1, 3, 128, 128)).image_embedding.pow(2).sum().backward()
    for block in encoder.blocks:
        assert block.attn.rel_pos_h.grad.abs().max() > 0
        assert block.attn.rel_pos_w.grad.abs().max() > 0


def test_a_batch_equals_its_images(tiny_sam):
    images = random(2, 3, 128, 128)
    with torch.inference_mode():
        together = tiny_sam.image_encoder(images).image_embedding
        alone = tiny_sam.image_encoder(images[1:]).image_embedding
    assert torch.allclose(together[1:], alone, atol=1e-4)


@pytest.mark.parametrize("size", [(96, 160), (64, 64), (256, 16)])
def test_other_input_sizes(tiny_config, tiny_sam, size):
    model = build_sam(replace(tiny_config, input_size=size)).eval()
    model.load_state_dict(tiny_sam.state_dict())
    grid = (size[0] // 16, size[1] // 16)
    with torch.inference_mode():
        embedding = model.image_encoder(random(1, 3, *size))
        assert embedding.image_embedding.shape == (1, 32, *grid)
        points = (torch.tensor([[[5.0, 6.0]]]), torch.tensor([[1]]))
        output = model.decode(embedding, points)
    assert output.masks.shape == (1, 4, 4 * grid[0], 4 * grid[1])
    assert output.masks.isfinite().all()


def test_an_upright_image_is_the_transpose_of_a_lying_one(tiny_config, tiny_sam):
    """Rows and columns are not mixed up: swap image, patches, positions and tables."""
    swapped = build_sam(replace(tiny_config, input_size=(160, 96))).eval()
    state = dict(tiny_sam.state_dict())
    for name, value in tiny_sam.state_dict().items():
        if "rel_pos_h" in name:
            state[name] = tiny_sam.state_dict()[name.replace("rel_pos_h", "rel_pos_w")]
        elif "rel_pos_w" in name:
            state[name] = tiny_sam.state_dict()[name.replace("rel_pos_w", "rel_pos_h")]
        elif name.endswith("pos_embed"):
            state[name] = value.transpose(1, 2)
        elif name.endswith(("patch_embed.proj.weight", "neck.2.weight")):
            state[name] = value.transpose(2, 3)
    swapped.load_state_dict(state)
    image = random(1, 3, 96, 160)
    with torch.inference_mode():
        lying = tiny_sam.image_encoder(image).image_embedding
        upright = swapped.image_encoder(image.transpose(2, 3)).image_embedding
    assert torch.allclose(lying, upright.transpose(2, 3), atol=1e-4)


def test_sizes_that_the_patch_does_not_divide_are_refused(tiny_config, tiny_sam):
    with pytest.raises(ValueError, match="100 x 128; both have to be multiples of 16"):
        tiny_sam.image_encoder(random(1, 3, 100, 128))
    with pytest.raises(ValueError, match="input size is 128 x 100; it has to be a multiple of 16"):
        build_sam(replace(tiny_config, input_size=(128, 100)))
