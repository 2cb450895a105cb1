"""Shapes of synthetic objects: ellipsoids, crystals, tubes, space-filling cells, smooth regions.

Like `synthetic_fields`, for images and volumes alike; lengths are in in-plane pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from stacksam.training.synthetic_fields import Floats, Grid, Labels, random_rotation, smooth_noise


def flat_rotation(angle: float, ndim: int) -> NDArray[np.float64]:
    """Rotation by `angle` in the image plane."""
    matrix = np.eye(ndim)
    c, s = np.cos(angle), np.sin(angle)
    matrix[-2:, -2:] = [[c, -s], [s, c]]
    return matrix


def local_offsets(
    grid: Grid, centre: NDArray[np.float64], reach: float | NDArray[np.float64]
) -> tuple[tuple[slice, ...], list[Floats]]:
    """Part of the grid within `reach` of `centre` and the open mesh of offsets from it."""
    step = np.asarray(grid.step)
    low = np.maximum(np.floor((centre - reach) / step), 0).astype(int)
    high = np.minimum(np.ceil((centre + reach) / step) + 1, grid.shape).astype(int)
    high = np.maximum(high, low)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [
        (np.arange(a, b) * s - c).astype(np.float32)
        for a, b, s, c in zip(low, high, step, centre, strict=True)
    ]
    return window, list(np.meshgrid(*axes, indexing="ij", sparse=True))


def ellipsoid(
    radii: NDArray[np.float64], rotation: NDArray[np.float64], z_limit: float | None = None
) -> NDArray[np.float64]:
    """Matrix from the ellipsoid to the unit ball; squeezed to `z_limit` above and below."""
    matrix = rotation / radii[:, None]
    if z_limit is not None:
        half = float(np.linalg.norm(np.linalg.inv(matrix)[0]))
        matrix[:, 0] *= max(half / z_limit, 1.0)
    return matrix


def blob(
    grid: Grid,
    centre: NDArray[np.float64],
    matrix: NDArray[np.float64],
    warp: Floats | None = None,
) -> tuple[tuple[slice, ...], Floats]:
    """Part of the grid around an ellipsoid and the distance: 0 centre, 1 surface (plus `warp`)."""
    grown = 1.05 if warp is None else 1.4
    window, offsets = local_offsets(
        grid, centre, grown * np.linalg.norm(np.linalg.inv(matrix), axis=1)
    )
    squared = np.zeros((), np.float32)
    for row in matrix.astype(np.float32):
        squared = squared + sum(r * x for r, x in zip(row, offsets, strict=True)) ** 2
    distance = np.sqrt(squared)
    return window, distance if warp is None else distance + warp[window]


def polytope(
    rng: np.random.Generator, grid: Grid, centre: NDArray[np.float64], radius: float
) -> tuple[tuple[slice, ...], Floats]:
    """Like `blob` for a random convex polygon or polyhedron (a crystal)."""
    window, offsets = local_offsets(grid, centre, 1.3 * radius)
    distance = sum(x**2 for x in offsets) / np.float32(1.4 * radius) ** 2
    for _ in range(rng.integers(4, 9) if grid.ndim == 2 else rng.integers(8, 16)):
        normal = rng.normal(size=grid.ndim)
        normal /= np.linalg.norm(normal) * radius * rng.uniform(0.7, 1.0)
        distance = np.maximum(
            distance, sum(float(n) * x for n, x in zip(normal, offsets, strict=True))
        )
    return window, np.asarray(distance, np.float32)


def scatter_centres(
    rng: np.random.Generator,
    grid: Grid,
    radii: NDArray[np.float64],
    *,
    touching: float = 0.5,
    closest: float = 0.75,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres for balls of the given radii; a share `touching` sits beside an earlier one.

    Two centres are at least `closest` times the sum of their radii apart; balls without room are
    left out. Returns centres ``(N, ndim)`` and their radii ``(N,)``.
    """
    extent, centres, kept = grid.extent, np.empty((len(radii), grid.ndim)), np.empty(len(radii))
    count = 0
    for radius in radii:
        for _ in range(8):
            if count and rng.random() < touching:
                other = rng.integers(count)
                towards = rng.normal(size=grid.ndim)
                towards *= (kept[other] + radius) * rng.uniform(0.8, 1.05) / np.linalg.norm(towards)
                centre = centres[other] + towards
            else:
                centre = rng.uniform(-0.03, 1.03, grid.ndim) * extent
            inside = np.all((centre > -0.3 * radius) & (centre < extent + 0.3 * radius))
            apart = np.linalg.norm(centres[:count] - centre, axis=1)
            if inside and np.all(apart > closest * (kept[:count] + radius)):
                centres[count], kept[count] = centre, radius
                count += 1
                break
    return centres[:count], kept[:count]


def z_limit(grid: Grid) -> float | None:
    """Half-height that lets an object begin or end inside the volume; None for images."""
    return 0.36 * float(grid.extent[0]) if grid.ndim == 3 else None


def draw_blobs(
    rng: np.random.Generator,
    grid: Grid,
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    *,
    elongation: float = 0.3,
    irregularity: float = 0.1,
    stacked: bool = False,
) -> tuple[Labels, Floats]:
    """Draw warped ellipsoids, one label each, and the depth inside them (0 surface, 1 centre).

    Where two meet, the voxel goes to the nearer one, or with `stacked` to the later one.
    """
    labels = np.zeros(grid.shape, np.int32)
    nearest = np.ones(grid.shape, np.float32)
    correlation = 0.45 * float(np.median(radii)) if len(radii) else 1.0
    warp = irregularity * smooth_noise(rng, grid, max(correlation, 1.5))
    for label, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        axes = radius * np.exp(rng.uniform(-elongation, elongation, grid.ndim))
        matrix = ellipsoid(axes, random_rotation(rng, grid.ndim), z_limit(grid))
        window, distance = blob(grid, centre, matrix, warp)
        paste_nearer(labels, nearest, window, distance, label, stacked=stacked)
    return labels, np.clip(1 - nearest, 0, 1)


def paste_nearer(
    labels: Labels,
    nearest: Floats,
    window: tuple[slice, ...],
    distance: Floats,
    label: int,
    *,
    stacked: bool = False,
) -> None:
    """Give voxels with a distance below 1 to `label` (if nearer than before, unless stacked)."""
    won = distance < (1.0 if stacked else nearest[window])
    nearest[window][won] = distance[won]
    labels[window][won] = label


def draw_tubes(
    grid: Grid, points: NDArray[np.float64], radii: NDArray[np.float64], owners: NDArray[np.int32]
) -> tuple[Labels, Floats]:
    """Draw balls along paths: labels of the deepest ball's owner and the depth (0 surface, 1 axis).

    `points` is (P, ndim) in in-plane pixels; path steps should be at most about a radius long.
    """
    depth = np.zeros(grid.shape, np.float32)
    labels = np.zeros(grid.shape, np.int32)
    cells = np.rint(points / np.asarray(grid.step)).astype(np.int64)
    rounded = np.maximum(np.rint(2 * radii) / 2, 0.6)
    flat: list[NDArray[np.int64]] = []
    depths: list[Floats] = []
    names: list[NDArray[np.int32]] = []
    for radius in np.unique(rounded):
        offsets, length = _ball(grid, radius)
        mine = rounded == radius
        index = (cells[mine, None] + offsets).reshape(-1, grid.ndim)
        inside = np.all((index >= 0) & (index < grid.shape), axis=1)
        flat.append(np.ravel_multi_index(tuple(index[inside].T), grid.shape))
        deep = np.broadcast_to(1 - length / radius + 1e-4, (int(mine.sum()), len(length)))
        depths.append(deep.reshape(-1)[inside].astype(np.float32))
        names.append(np.repeat(owners[mine], len(length))[inside])
    where, how_deep, who = np.concatenate(flat), np.concatenate(depths), np.concatenate(names)
    np.maximum.at(depth.reshape(-1), where, how_deep)
    top = how_deep >= depth.reshape(-1)[where]
    labels.reshape(-1)[where[top]] = who[top]
    return labels, np.clip(depth, 0, 1)


def _ball(grid: Grid, radius: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index offsets inside a ball (K, ndim) and their lengths (K,) in in-plane pixels."""
    axes = [np.arange(-int(radius / s), int(radius / s) + 1) for s in grid.step]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, grid.ndim)
    length = np.linalg.norm(offsets * np.asarray(grid.step), axis=1)
    return offsets[length <= radius], length[length <= radius]


def wander(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    steps: int,
    stride: float,
    bend: float,
    *,
    flatness: float = 1.0,
) -> NDArray[np.float64]:
    """Points of a path that turns a little at each step, (steps, ndim); z moves by `flatness`."""
    heading = rng.normal(size=len(start))
    heading /= np.linalg.norm(heading)
    turning = np.zeros(len(start))
    points = np.empty((steps, len(start)))
    scale = np.array([flatness] * (len(start) - 2) + [1.0, 1.0])
    position = np.array(start, dtype=float)
    for i in range(steps):
        points[i] = position
        turning = 0.8 * turning + bend * rng.normal(size=len(start))
        heading = heading + turning
        heading /= np.linalg.norm(heading)
        position = position + stride * heading * scale
    return points


def voronoi(
    rng: np.random.Generator, grid: Grid, spacing: float, *, waviness: float = 0.3
) -> Labels:
    """Space-filling cells about `spacing` pixels apart, with wavy borders."""
    count = max(int(np.prod(grid.extent / spacing)), 3)
    seeds = np.zeros(grid.shape, np.int32)
    places = scatter_centres(rng, grid, np.full(count * 2, spacing / 2), touching=0, closest=0.7)[0]
    cells = np.clip(places / np.asarray(grid.step), 0, np.asarray(grid.shape) - 1).astype(int)
    seeds[tuple(cells.T)] = np.arange(1, len(cells) + 1)
    nearest = ndi.distance_transform_edt(
        seeds == 0, sampling=grid.step, return_distances=False, return_indices=True
    )
    shifts = [waviness * 0.5 * spacing * smooth_noise(rng, grid, 0.4 * spacing) for _ in grid.shape]
    moved = []
    for index, shift, n, step in zip(
        np.indices(grid.shape), shifts, grid.shape, grid.step, strict=True
    ):
        moved.append(np.clip(np.rint(index + shift / step), 0, n - 1).astype(np.int32))
    source = tuple(moved)
    return seeds[tuple(near[source] for near in nearest)]


def borders(labels: Labels) -> NDArray[np.bool_]:
    """Voxels whose next neighbour along some axis has another label."""
    edge = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        here = [slice(None)] * labels.ndim
        here[axis] = slice(None, -1)
        edge[tuple(here)] |= np.diff(labels, axis=axis) != 0
    return edge


def smooth_regions(
    rng: np.random.Generator, grid: Grid, count: int, sigma: float, *, level: float = -9.0
) -> Labels:
    """Smooth label map: the strongest of `count` random fields, 0 where none passes `level`."""
    strongest = np.full(grid.shape, level, np.float32)
    labels = np.zeros(grid.shape, np.int32)
    for label in range(1, count + 1):
        field = smooth_noise(rng, grid, sigma)
        won = field > strongest
        strongest[won] = field[won]
        labels[won] = label
    return labels


def connected_parts(labels: Labels) -> Labels:
    """Number the parts of equal label, 0 excepted, that are connected by faces, by first voxel."""
    parts, count = np.zeros(labels.shape, np.int32), 0
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        if box is not None:
            found, here = ndi.label(labels[box] == label)
            parts[box][found > 0] = found[found > 0] + count
            count += here
    flat, first = parts.ravel(), np.full(count + 1, -1)
    first[flat[::-1]] = np.arange(flat.size)[::-1]  # the last one assigned stays
    new = np.zeros(count + 1, np.int32)
    new[np.argsort(first[1:]) + 1] = np.arange(1, count + 1)
    return new[parts]


def keep_main_parts(labels: Labels, smallest: int) -> NDArray[np.uint16]:
    """Keep each label's largest connected part of at least `smallest` voxels; number them."""
    parts = connected_parts(labels)
    sizes = np.bincount(parts.ravel())
    flat, flat_labels = parts.ravel(), labels.ravel()
    owner = np.zeros(len(sizes), np.int64)
    owner[flat] = flat_labels
    order = np.lexsort((-sizes, owner))
    first = np.append(True, np.diff(owner[order]) != 0)
    keep = order[first]
    keep = keep[(owner[keep] > 0) & (sizes[keep] >= smallest)]
    new = np.zeros(len(sizes), np.uint16)
    new[np.sort(keep)] = np.arange(1, len(keep) + 1)
    return new[parts]
