"""Synthetic microscopy: nuclei, cells, membranes, rods, filaments, tissue sections, particles.

Each family takes a random generator and a `Grid` and returns a float image and its label map.
Families that do not need a plane draw volumes as well.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from stacksam.training.synthetic_fields import (
    Floats,
    Grid,
    Labels,
    blur,
    camera_noise,
    fractal_noise,
    illumination,
    per_label,
    random_rotation,
    smooth_noise,
    texture,
)
from stacksam.training.synthetic_shapes import (
    blob,
    borders,
    draw_blobs,
    draw_tubes,
    ellipsoid,
    local_offsets,
    paste_nearer,
    polytope,
    scatter_centres,
    voronoi,
    wander,
    z_limit,
)

Drawing = tuple[Floats, Labels]


def _sizes(rng: np.random.Generator, grid: Grid, low: float, high: float) -> np.ndarray:
    """Radii of a population: a log-uniform typical size, a random spread and number."""
    typical = np.exp(rng.uniform(np.log(low), np.log(high)))
    room = float(np.prod(grid.extent[-2:])) / (4 * typical**2)
    if grid.ndim == 3:
        room *= max(float(grid.extent[0]) / (2 * typical), 1.0)
    count = int(np.clip(room * rng.uniform(0.2, 1.0), 2, 130))
    return typical * np.exp(rng.normal(0, rng.uniform(0.05, 0.3), count))


def nuclei(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Fluorescent nuclei that touch, of uneven brightness and texture, some out of focus."""
    radii = _sizes(rng, grid, 5, 40 if grid.ndim == 2 else 22)
    centres, radii = scatter_centres(rng, grid, radii, touching=rng.uniform(0.2, 0.9), closest=0.8)
    labels, depth = draw_blobs(
        rng,
        grid,
        centres,
        radii,
        elongation=rng.uniform(0.1, 0.45),
        irregularity=rng.uniform(0, 0.2),
    )
    brightness = per_label(rng, labels, rng.uniform(0.15, 0.7), 1.0)
    chromatin = np.clip(1 + rng.uniform(0, 0.35) * texture(rng, grid), 0.2, None)
    image = brightness * chromatin * (1 - rng.uniform(0, 0.6) * (1 - depth) ** 2)
    if rng.random() < 0.4:  # light from other planes
        ghosts, _ = scatter_centres(rng, grid, radii[: len(radii) // 2 + 1], touching=0)
        ghost_labels, ghost_depth = draw_blobs(rng, grid, ghosts, radii[: len(ghosts)])
        image += blur(grid, np.sqrt(ghost_depth) * (ghost_labels > 0), 5) * rng.uniform(0.1, 0.5)
    image = blur(grid, image, rng.uniform(0.4, 2.2), along_z=rng.uniform(1, 3))
    image += rng.uniform(0.02, 0.2) + rng.uniform(0, 0.05) * fractal_noise(rng, grid, 2, 60)
    image *= illumination(rng, grid, rng.uniform(0, 0.5))
    image = camera_noise(rng, image, np.exp(rng.uniform(2.5, 7)), rng.uniform(0, 0.04))
    return (-image if rng.random() < 0.08 else image), labels


def cell_bodies(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Irregular cells with a darker or brighter nucleus inside; whole cells are labelled."""
    radii = _sizes(rng, grid, 14, 50 if grid.ndim == 2 else 28)
    centres, radii = scatter_centres(rng, grid, radii, touching=rng.uniform(0.3, 0.9), closest=0.7)
    labels, depth = draw_blobs(
        rng, grid, centres, radii, elongation=0.5, irregularity=rng.uniform(0.15, 0.35)
    )
    small = radii * rng.uniform(0.3, 0.5)
    inner, inner_depth = draw_blobs(rng, grid, centres, small, elongation=0.2, irregularity=0.05)
    image = per_label(rng, labels, 0.25, 1.0) * (0.4 + 0.6 * depth ** rng.uniform(0.2, 1))
    image *= np.clip(1 + rng.uniform(0.05, 0.5) * texture(rng, grid), 0.1, None)
    hole = np.clip(4 * inner_depth, 0, 1) * (inner == labels)
    image *= 1 + rng.uniform(-0.85, 0.6) * hole
    if rng.random() < 0.5:
        image += rng.uniform(0.2, 0.6) * blur(grid, borders(labels).astype(np.float32), 0.8)
    image = blur(grid, image, rng.uniform(0.5, 1.8), along_z=2) + rng.uniform(0.02, 0.2)
    image *= illumination(rng, grid, rng.uniform(0, 0.4))
    return camera_noise(rng, image, np.exp(rng.uniform(3, 7)), rng.uniform(0, 0.03)), labels


def phase_contrast(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Transmitted light: grey cells on grey, with a halo, a rim or a relief as in DIC."""
    radii = _sizes(rng, grid, 8, 45)
    centres, radii = scatter_centres(rng, grid, radii, touching=rng.uniform(0.2, 0.9), closest=0.72)
    labels, depth = draw_blobs(
        rng,
        grid,
        centres,
        radii,
        elongation=rng.uniform(0.1, 0.9),
        irregularity=rng.uniform(0, 0.35),
    )
    inside = labels > 0
    edge = blur(grid, borders(labels).astype(np.float32), rng.uniform(0.7, 1.5))
    if rng.random() < 0.35:  # relief: light from one side
        height = blur(grid, np.sqrt(depth) + 0.12 * inside * texture(rng, grid), 1.2)
        angle = rng.uniform(0, 2 * np.pi)
        slopes = np.gradient(height)
        image = 4 * (np.cos(angle) * slopes[0] + np.sin(angle) * slopes[1])
    else:
        sharp = inside.astype(np.float32)
        halo = blur(grid, sharp, rng.uniform(2, 6)) - blur(grid, sharp, 0.7)
        image = rng.uniform(0.3, 1.5) * np.clip(halo, 0, None) + rng.normal(0, 0.8) * edge
        image += (rng.normal(0, 0.12) + rng.uniform(0.03, 0.2) * texture(rng, grid)) * inside
        image += rng.uniform(-0.4, 0.4) * np.sqrt(depth)
    image += rng.uniform(0.01, 0.08) * fractal_noise(rng, grid, 1.5, 30)
    image = (image + 1.5) * illumination(rng, grid, rng.uniform(0, 0.3))
    return camera_noise(rng, image, 1e4, rng.uniform(0.01, 0.1)), labels


def membranes(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Cells that fill the space, seen by their bright or dark borders, which may be interrupted."""
    labels = voronoi(rng, grid, rng.uniform(16, 60), waviness=rng.uniform(0.1, 0.5))
    if rng.random() < 0.4:  # tissue that ends
        hull = smooth_noise(rng, grid, 0.25 * grid.side) > rng.uniform(-1, 0.2)
        inside = np.bincount(labels.ravel(), weights=hull.ravel())
        labels = labels * (inside > 0.5 * np.bincount(labels.ravel()))[labels]
    edge = blur(grid, borders(labels).astype(np.float32), rng.uniform(0.7, 2.2), along_z=1.5)
    edge /= max(float(edge.max()), 1e-6)
    edge *= np.clip(1 + rng.uniform(0.1, 0.6) * smooth_noise(rng, grid, 12), 0.1, None)
    filling = per_label(rng, labels, 0.0, rng.uniform(0, 0.5), background=rng.uniform(0, 0.3))
    image = rng.uniform(0.4, 1.2) * edge + filling
    image += rng.uniform(0.02, 0.15) * texture(rng, grid)
    image = (image + 0.15) * illumination(rng, grid, rng.uniform(0, 0.5))
    image = camera_noise(rng, image, np.exp(rng.uniform(3, 7)), 0.03)
    return (-image if rng.random() < 0.3 else image), labels


def rods(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Bacteria: bent rods, some in chains and packs, bright or dark with a rim."""
    width = np.exp(rng.uniform(np.log(2.5), np.log(9)))
    radii = np.full(int(rng.integers(8, 110)), width * rng.uniform(1.3, 2.2))
    centres, radii = scatter_centres(rng, grid, radii, touching=rng.uniform(0.3, 0.95), closest=0.6)
    labels = np.zeros(grid.shape, np.int32)
    nearest = np.ones(grid.shape, np.float32)
    common, spread = rng.uniform(0, np.pi), rng.uniform(0.1, 2)
    for label, centre in enumerate(centres, start=1):
        half = width * rng.uniform(0.6, 4)
        window, (y, x) = local_offsets(grid, centre, half + width)
        angle = common + spread * rng.normal()
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        across = across + rng.normal(0, 0.12) * along**2 / half
        beyond = np.clip(np.abs(along) - half, 0, None)
        paste_nearer(labels, nearest, window, np.hypot(beyond, across) / width, label)
    depth = np.clip(1 - nearest, 0, 1)
    image = per_label(rng, labels, 0.4, 1) * depth ** rng.uniform(0.1, 0.8)
    if rng.random() < 0.5:  # a rim or halo of the other sign
        halo = blur(grid, (labels > 0).astype(np.float32), rng.uniform(2, 5))
        image -= rng.uniform(0.3, 1.0) * halo * (labels == 0)
    image = blur(grid, image, rng.uniform(0.5, 1.5)) + 1
    image += rng.uniform(0.01, 0.1) * fractal_noise(rng, grid, 1.5, 30)
    image = camera_noise(rng, image * illumination(rng, grid, 0.2), 1e4, rng.uniform(0.01, 0.1))
    return (-image if rng.random() < 0.5 else image), labels


def tubes(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Vessels, neurites or filaments that branch, taper and end; each tree is one object."""
    points, radii, owners = [], [], []
    flatness = min(1.0, float(grid.extent[0]) / grid.side)
    thick = np.exp(rng.uniform(np.log(1.5), np.log(9 if grid.ndim == 2 else 7)))
    for owner in range(1, int(rng.integers(2, 12 if thick < 4 else 7)) + 1):
        start = rng.uniform(0.05, 0.95, grid.ndim) * grid.extent
        length = rng.uniform(0.3, 1.2) * grid.side
        branches = [(start, thick * rng.uniform(0.7, 1.3), length)]
        for _ in range(rng.integers(1, 6)):
            begin, radius, length = branches[rng.integers(len(branches))]
            stride = max(0.5 * radius, 1.0)
            steps, bend = max(int(length / stride), 4), rng.uniform(0.02, 0.12)
            path = wander(rng, begin, steps, stride, bend, flatness=flatness)
            points.append(path)
            radii.append(np.linspace(radius, radius * rng.uniform(0.5, 0.9), len(path)))
            owners.append(np.full(len(path), owner, np.int32))
            branches.append(
                (path[rng.integers(len(path) // 3, len(path))], 0.75 * radius, 0.6 * length)
            )
    labels, depth = draw_tubes(
        grid, np.concatenate(points), np.concatenate(radii), np.concatenate(owners)
    )
    if rng.random() < 0.3:  # hollow: a bright wall
        profile = np.clip(1 - np.abs(depth - 0.25) / 0.25, 0.15, 1) * (labels > 0)
    else:
        profile = depth ** rng.uniform(0.1, 0.8)
    image = per_label(rng, labels, 0.45, 1) * profile
    image *= np.clip(1 + rng.uniform(0, 0.35) * texture(rng, grid), 0.1, None)
    image = blur(grid, image, rng.uniform(0.4, 1.5), along_z=rng.uniform(1, 3)) + rng.uniform(
        0.1, 0.5
    )
    image += rng.uniform(0, 0.12) * fractal_noise(rng, grid, 2, 50)
    image *= illumination(rng, grid, rng.uniform(0, 0.4))
    image = camera_noise(rng, image, np.exp(rng.uniform(3.5, 7)), 0.02)
    return (-image if rng.random() < 0.35 else image), labels


def electron_microscopy(rng: np.random.Generator, grid: Grid) -> Drawing:
    """EM-like: dark membranes, grainy cells, organelles; cells or organelles are labelled."""
    cells = voronoi(rng, grid, rng.uniform(25, 80), waviness=rng.uniform(0.3, 0.7))
    membrane = blur(grid, borders(cells).astype(np.float32), rng.uniform(0.7, 1.6))
    membrane /= max(float(membrane.max()), 1e-6)
    radii = np.exp(rng.uniform(np.log(4), np.log(rng.uniform(7, 24)), int(rng.integers(8, 45))))
    places, radii = scatter_centres(rng, grid, radii, touching=0.2, closest=1.0)
    organelles, depth = draw_blobs(rng, grid, places, radii, elongation=0.6, irregularity=0.12)
    organelles[membrane > 0.4] = 0
    cristae = np.clip(1 + 0.35 * texture(rng, grid), 0.3, 1.7)
    rim = np.clip(1 - 5 * depth, 0, 1)
    image = per_label(rng, cells, 0.6, 0.95) + 0.06 * texture(rng, grid)
    inside = rng.uniform(0.2, 0.75) * cristae
    image = np.where(organelles > 0, inside * (1 - rng.uniform(0, 0.7) * rim), image)
    image *= 1 - rng.uniform(0.5, 0.95) * membrane
    image = blur(grid, image, rng.uniform(0.3, 1.0)) * illumination(rng, grid, rng.uniform(0, 0.25))
    image += rng.uniform(0.02, 0.12) * rng.standard_normal(grid.shape, dtype=np.float32)
    return image.astype(np.float32), (cells if rng.random() < 0.4 else organelles)


def myelin(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Axons in dark sheaths: the sheath is an object with a hole, the axon inside it another."""
    radii = _sizes(rng, grid, 9, 30)
    centres, radii = scatter_centres(rng, grid, radii, touching=0.7, closest=0.95)
    labels, depth = draw_blobs(rng, grid, centres, radii, elongation=0.3, irregularity=0.15)
    thickness = per_label(rng, labels, 0.15, 0.45)
    sheath = (labels > 0) & (depth < thickness)
    axon = (labels > 0) & ~sheath
    lamellae = 1 + 0.15 * np.sin(depth / 0.03)
    image = 0.65 + 0.08 * fractal_noise(rng, grid, 1.5, 20)
    image = np.where(axon, per_label(rng, labels, 0.55, 1.0) + 0.04 * texture(rng, grid), image)
    image = np.where(sheath, rng.uniform(0.05, 0.35) * lamellae, image)
    image = blur(grid, image.astype(np.float32), rng.uniform(0.5, 1.3))
    image *= illumination(rng, grid, rng.uniform(0, 0.25))
    image = camera_noise(rng, image, np.exp(rng.uniform(4, 7)), 0.03)
    count = int(labels.max())
    both = np.where(sheath, labels, 0) + np.where(axon, labels + count, 0)
    chosen = [np.where(sheath, labels, 0), np.where(axon, labels, 0), both, labels][rng.integers(4)]
    return (-image if rng.random() < 0.3 else image), chosen.astype(np.int32)


def particles(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Grains and crystals lying on each other, lit from one side, with shadows."""
    radii = np.sort(_sizes(rng, grid, 6, 45))[::-1]
    centres, radii = scatter_centres(rng, grid, radii, touching=0.5, closest=rng.uniform(0.5, 0.95))
    labels = np.zeros(grid.shape, np.int32)
    distance_to_centre = np.ones(grid.shape, np.float32)
    is_round = rng.random()
    for label, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        if rng.random() < is_round:
            axes = radius * rng.uniform(0.7, 1.1, grid.ndim)
            matrix = ellipsoid(axes, random_rotation(rng, grid.ndim), z_limit(grid))
            window, distance = blob(grid, centre, matrix)
        else:
            window, distance = polytope(rng, grid, centre, radius)
        paste_nearer(labels, distance_to_centre, window, distance, label, stacked=True)
    inside = labels > 0
    height = np.sqrt(np.clip(1 - distance_to_centre**2, 0, 1)) * inside
    slopes = np.gradient(blur(grid, height, 1.5))
    angle = rng.uniform(0, 2 * np.pi)
    shade = np.cos(angle) * slopes[-2] + np.sin(angle) * slopes[-1]
    shift = [0.0] * (grid.ndim - 2) + [
        rng.uniform(2, 7) * f for f in (np.cos(angle), np.sin(angle))
    ]
    shadow = blur(grid, ndi.shift(inside.astype(np.float32), shift, order=0), 2) * ~inside
    image = per_label(rng, labels, 0.35, 0.8, background=rng.uniform(0.1, 0.9))
    image += rng.uniform(0.5, 3) * shade - rng.uniform(0, 0.4) * shadow
    image += rng.uniform(0.01, 0.12) * texture(rng, grid) * inside
    image += rng.uniform(0.01, 0.1) * fractal_noise(rng, grid, 1.5, 40) * ~inside
    image = blur(grid, image.astype(np.float32), rng.uniform(0.3, 1.2))
    image = (image + 0.5) * illumination(rng, grid, rng.uniform(0, 0.4))
    return camera_noise(rng, image, 1e4, rng.uniform(0.005, 0.06)), labels


def histology(rng: np.random.Generator, grid: Grid) -> Drawing:
    """Stained tissue in grey: dark nuclei in fibrous stroma, some around bright glands."""
    tissue = 0.7 + rng.uniform(0.02, 0.08) * fractal_noise(rng, grid, rng.uniform(1, 2), 25)
    ridges = 1 - np.abs(smooth_noise(rng, grid, rng.uniform(3, 8)))
    tissue += rng.uniform(0.02, 0.12) * np.clip(ridges, 0, None)
    places, sizes = scatter_centres(
        rng, grid, rng.uniform(22, 55, int(rng.integers(0, 6))), touching=0.3, closest=1.1
    )
    glands, gland_depth = draw_blobs(rng, grid, places, sizes, elongation=0.4, irregularity=0.15)
    lumen = gland_depth > rng.uniform(0.45, 0.7)
    tissue = np.where(glands > 0, 0.6 + 0.05 * fractal_noise(rng, grid, 1.5, 15), tissue)
    tissue = np.where(lumen, 0.95, tissue)
    typical = rng.uniform(4, 10)
    radii = typical * np.exp(
        rng.normal(0, 0.2, int(min(150, 9000 / typical**2) * rng.uniform(0.3, 1)))
    )
    centres, radii = scatter_centres(rng, grid, radii, touching=0.3, closest=0.85)
    rim = np.argwhere((gland_depth > 0.04) & (gland_depth < 0.16) & (glands > 0))
    for _ in range(min(len(rim), 3 * len(centres))):  # nuclei line the glands
        spot = rim[rng.integers(len(rim))].astype(float)
        if np.all(np.linalg.norm(centres - spot, axis=1) > 1.6 * typical):
            centres, radii = np.vstack([centres, spot]), np.append(radii, typical)
    pixel = np.clip(centres, 0, np.asarray(grid.shape) - 1).astype(int)
    free = ~lumen[tuple(pixel.T)]
    labels, depth = draw_blobs(
        rng, grid, centres[free], radii[free], elongation=0.4, irregularity=0.1
    )
    stain = per_label(rng, labels, 0.2, 0.55) + 0.1 * texture(rng, grid)
    image = np.where(labels > 0, stain + 0.15 * (depth > 0.3), tissue).astype(np.float32)
    image = blur(grid, image, rng.uniform(0.5, 1.4)) * illumination(rng, grid, 0.1)
    image = camera_noise(rng, image, 5e3, rng.uniform(0.005, 0.03))
    with_glands = glands.max() > 0 and rng.random() < 0.4
    return image, (glands if with_glands else labels)
