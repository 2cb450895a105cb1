"""A CT-like abdomen in Hounsfield units, drawn from smooth shapes, with truth.

Drawn on slices of a third of the thickness and averaged over three, so that edges have the partial
volume of thick slices; the truth is the label at the voxel's centre. Positions are millimetres from
the body's axis: x to the patient's left, y to the back, z from the lowest slice up (LPS). Portal
venous phase: the numbers are typical Hounsfield units. The shipped sample is one drawing of it;
training volumes are other patients: other sizes, places, contrast and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from stacksam.training.synthetic import SAMPLE_SEEDS
from stacksam.training.synthetic_fields import (
    Floats,
    Grid,
    fractal_noise,
    smooth_noise,
    standardised,
)
from stacksam.training.synthetic_shapes import draw_tubes, scatter_centres, wander

SHAPE = (48, 160, 160)
SPACING_ZYX = (4.0, 2.0, 2.0)
FINER = 3  # drawn slices per stored slice
PIXEL = SPACING_ZYX[1]
AXIS_YX = (148.0, 160.0)  # the body's axis in the field of view, mm
NAMES = {
    1: "liver",
    2: "spleen",
    3: "right kidney",
    4: "left kidney",
    5: "aorta",
    6: "spine",
    7: "stomach",
    8: "gallbladder",
    9: "pancreas",
    10: "inferior vena cava",
}
LABELS = {name: label for label, name in NAMES.items()}

Mask = NDArray[np.bool_]


class Patient:
    """How one body differs from the drawing: its size and pose, its organs, its contrast."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.stretch_xyz = np.exp(rng.normal(0, 0.1, 3)) * np.exp(rng.normal(0, 0.08))
        self.turn = float(rng.normal(0, 0.1))
        self.shift_xy = rng.normal(0, 8, 2)
        self.is_mirrored = bool(rng.random() < 0.3)
        phase = rng.normal(0, 30)  # of the contrast agent: kidneys and vessels follow it
        enhanced = {
            "aorta": 1.3,
            "inferior vena cava": 1.0,
            "right kidney": 1.2,
            "left kidney": 1.2,
        }
        self.hu_offsets = {name: phase * enhanced.get(name, 0.4) for name in LABELS}
        for name in LABELS:
            self.hu_offsets[name] += rng.normal(0, 10)
        self.noise = float(np.exp(rng.uniform(np.log(0.25), np.log(2.2))))
        self.softness = float(rng.uniform(0.4, 1.0))

    def place(self, centre: Sequence[float], radii: Sequence[float]) -> tuple[Any, Any]:
        """Centre and radii of this patient's version of an organ."""
        moved = np.asarray(centre) + self.rng.normal(0, 0.1, 3) * np.minimum(radii, 40)
        return moved, np.asarray(radii) * np.exp(self.rng.normal(0, 0.12, 3))


class Canvas:
    """Hounsfield units and labels on the fine grid, with coordinates and noise fields."""

    def __init__(self, rng: np.random.Generator, patient: Patient | None = None) -> None:
        self.rng, self.patient = rng, patient
        shape = (SHAPE[0] * FINER, *SHAPE[1:])
        dz = SPACING_ZYX[0] / FINER
        self.grid = Grid(shape, (dz / PIXEL, 1.0, 1.0))
        self.z = ((np.arange(shape[0], dtype=np.float32) - 1) * dz)[:, None, None]
        self.y = (np.arange(shape[1], dtype=np.float32) * PIXEL - AXIS_YX[0])[None, :, None]
        self.x = (np.arange(shape[2], dtype=np.float32) * PIXEL - AXIS_YX[1])[None, None, :]
        if patient is not None:
            self._pose(patient)
        self.hu = np.full(shape, -1000, np.float32)
        self.labels = np.zeros(shape, np.uint8)
        self.coarse = smooth_noise(rng, self.grid, 14)  # bends organs
        self.fine = smooth_noise(rng, self.grid, 5)  # roughens them
        self.grain = fractal_noise(rng, self.grid, 1.6, 12)  # texture of their inside

    def _pose(self, patient: Patient) -> None:
        """Stretch, turn and shift the body in the field of view."""
        c, s = np.cos(patient.turn), np.sin(patient.turn)
        x, y = self.x - patient.shift_xy[0], self.y - patient.shift_xy[1]
        x, y = c * x + s * y, c * y - s * x
        stretch = patient.stretch_xyz * [-1 if patient.is_mirrored else 1, 1, 1]
        self.x = (x / stretch[0]).astype(np.float32)
        self.y = (y / stretch[1]).astype(np.float32)
        self.z = (self.z / stretch[2]).astype(np.float32)

    def _to_view(self, points_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the body in the field of view's millimetres: the inverse of `_pose`."""
        if self.patient is None:
            return points_xyz
        patient = self.patient
        x, y, z = (points_xyz * patient.stretch_xyz).T
        x = -x if patient.is_mirrored else x
        c, s = np.cos(patient.turn), np.sin(patient.turn)
        return np.stack(
            [c * x - s * y + patient.shift_xy[0], s * x + c * y + patient.shift_xy[1], z], 1
        )

    def paint(self, mask: Mask, hu: float | Floats, name: str = "") -> None:
        """Set the values and the label (none: background) where `mask`."""
        mask = np.broadcast_to(mask, self.hu.shape)
        if self.patient is not None:
            hu = hu + self.patient.hu_offsets.get(name, 0.0)
        self.hu[mask] = np.broadcast_to(hu, mask.shape)[mask]
        self.labels[mask] = LABELS.get(name, 0)

    def ellipsoid(
        self,
        centre_xyz: Sequence[float],
        radii_xyz: Sequence[float],
        *,
        turn: float = 0.0,
        lean: tuple[float, float] = (0.0, 0.0),
    ) -> Floats:
        """Distance, 1 on the surface; turned about z, the axis leaning by (x, y) per z."""
        if self.patient is not None:
            centre_xyz, radii_xyz = self.patient.place(centre_xyz, radii_xyz)
        dz = self.z - centre_xyz[2]
        dx = self.x - centre_xyz[0] - lean[0] * dz
        dy = self.y - centre_xyz[1] - lean[1] * dz
        c, s = np.cos(turn), np.sin(turn)
        u, v = (c * dx + s * dy) / radii_xyz[0], (c * dy - s * dx) / radii_xyz[1]
        return np.sqrt(u**2 + v**2 + (dz / radii_xyz[2]) ** 2)

    def tube(self, points_xyz: Sequence[Sequence[float]], radii: Sequence[float]) -> Floats:
        """Depth (0 outside, 1 on the axis) of a smooth tube through the given points."""
        knots = np.linspace(0, 1, len(points_xyz))
        at = np.linspace(0, 1, 300)
        smooth = np.stack([np.interp(at, knots, c) for c in np.transpose(points_xyz)], 1)
        smooth = ndi.gaussian_filter1d(smooth, 12, axis=0, mode="nearest")
        return self.tube_along(smooth, np.interp(at, knots, radii))

    def tube_along(self, points_xyz: NDArray[np.float64], radii: NDArray[np.float64]) -> Floats:
        """Depth of a tube along densely given points."""
        x, y, z = self._to_view(points_xyz).T
        dz = SPACING_ZYX[0] / FINER
        pixels = np.stack([z + dz, y + AXIS_YX[0], x + AXIS_YX[1]], 1) / PIXEL
        owners = np.ones(len(pixels), np.int32)
        return draw_tubes(self.grid, pixels, np.asarray(radii) / PIXEL, owners)[1]


def smallest(a: Floats, b: Floats, sharpness: float = 7.0) -> Floats:
    """Smooth minimum: the union of two distances without a crease."""
    return -np.logaddexp(-sharpness * a, -sharpness * b) / sharpness


def draw_trunk(c: Canvas) -> tuple[Floats, Mask]:
    """Skin, fat, muscle wall, ribs; returns the wall's distance and the cavity inside it."""
    half_x = 146 - 6 * np.cos(c.z / 60) + 1.5 * c.coarse
    half_y = 101 + 5 * np.sin(c.z / 70) + 1.5 * c.coarse
    body = (np.abs(c.x / half_x) ** 2.3 + np.abs(c.y / half_y) ** 2.3) ** (1 / 2.3)
    c.paint(body < 1, -102 + 6 * c.grain)
    c.paint((body < 1) & (body > 0.982), 25.0)
    # the wall leaves more fat at the flanks and the back than in front
    wall = (np.abs(c.x / (half_x - 21)) ** 2.2 + np.abs((c.y + 3) / (half_y - 17)) ** 2.2) ** (
        1 / 2.2
    )
    wall = wall + 0.012 * c.coarse
    c.paint(wall < 1, 66 + 10 * c.grain)
    c.paint((np.abs(wall - 0.955) < 0.008) & (c.fine > -0.3), -60.0)  # fat between muscle layers
    cavity = wall < 0.905 - 0.02 * c.fine
    c.paint(cavity, -98 + 9 * c.grain)
    angle = np.arctan2(c.x, -c.y)  # 0 in front
    slant = c.z + 55 * np.abs(angle) / np.pi  # ribs fall towards the front
    height = np.abs((slant - 20) % 27 - 13.5)
    rib = np.hypot(height / 5.5, (wall - 0.93) / 0.037)
    is_there = (slant > 95) & (np.abs(angle) > 0.5)
    c.paint((rib < 1) & is_there, np.where(rib < 0.62, 150 + 40 * c.grain, 480).astype(np.float32))
    return wall, cavity


def draw_spine(c: Canvas) -> None:
    """Vertebrae and discs, arches and processes around a canal, muscles beside them."""
    for side in (-1, 1):
        back = c.ellipsoid((36 * side, 76, 90), (31, 21, 400), turn=0.25 * side)
        c.paint(back + 0.05 * c.fine < 1, 66 + 11 * c.grain)
        psoas = np.clip(21 - 0.13 * c.z, 3, None)
        belly = np.hypot((c.x - 37 * side) / psoas, (c.y - 42) / (0.95 * psoas))
        c.paint(belly + 0.05 * c.fine < 1, 68 + 7 * c.grain)
    level = (c.z + 9) % 37  # vertebra 28.5 mm, disc 8.5 mm
    is_disc = level > 28.5
    waist = 1 - 0.07 * np.sin(np.pi * np.clip(level / 28.5, 0, 1))
    body = np.hypot(c.x / (23.5 * waist), (c.y - 50) / (17.5 * waist)) + 0.02 * c.fine
    to_plate = np.minimum(level, np.abs(28.5 - level))
    cortex = (body > 0.91) | (to_plate < 1.6)
    bone = np.where(cortex, 430 + 40 * c.grain, 185 + 38 * c.grain)
    canal = np.hypot(c.x / 11, (c.y - 76) / 8.5)
    arch = (canal > 1) & (canal < 1.55) & (c.y > 68) & (level < 24)
    spinous = (np.abs(c.x) < 3.6) & (c.y > 82) & (c.y < 101) & (level > 4) & (level < 22)
    wings = (
        (np.abs(c.y - 71 - 0.12 * np.abs(c.x)) < 4) & (np.abs(c.x) < 40) & (np.abs(level - 15) < 5)
    )
    pedicle = (np.abs(np.abs(c.x) - 14) < 4.5) & (c.y > 60) & (c.y < 74) & (np.abs(level - 19) < 7)
    c.paint((arch | spinous | wings | pedicle) & (canal > 1), 330 + 60 * c.grain, "spine")
    c.paint((body < 1) & ~is_disc, bone.astype(np.float32), "spine")
    c.paint((body < 0.98) & is_disc, 92 + 6 * c.grain, "spine")
    c.paint(canal < 1, 22.0)
    c.paint(np.hypot(c.x / 6, (c.y - 76) / 5) < 1, 40.0)  # the cord


def draw_bowel(c: Canvas, cavity: Mask) -> None:
    """Loops with a wall and fluid, gas or stool, packed in front of the spine below the organs."""
    low, high = np.array([-4.0, -78.0, -112.0]), np.array([78.0, 14.0, 112.0])  # z, y, x
    room = Grid(tuple(np.ceil((high - low) / PIXEL).astype(int)), (1.0, 1.0, 1.0))
    radii = c.rng.uniform(11, 17, 90) / PIXEL
    centres, radii = scatter_centres(c.rng, room, radii, touching=0.5, closest=0.76)
    for centre, radius in zip(centres * PIXEL + low, radii * PIXEL, strict=True):
        z, y, x = centre
        long = radius * c.rng.uniform(1.1, 1.7)
        loop = c.ellipsoid((x, y, z), (long, radius, radius), turn=c.rng.uniform(0, 3.2))
        inside = (loop + 0.12 * c.coarse < 1) & cavity
        core = loop + 0.12 * c.coarse < 1 - 3.2 / radius
        c.paint(inside, 92 + 9 * c.grain)
        filling = c.rng.choice(3, p=[0.5, 0.2, 0.3])
        if filling == 0:
            c.paint(inside & core, c.rng.uniform(8, 45) + 5 * c.grain)
        else:  # gas in front of stool or fluid
            stool = (c.rng.uniform(0, 40) - 130 * np.clip(c.fine - 0.4, 0, None)).astype(np.float32)
            c.paint(inside & core, stool)
            c.paint(inside & core & (c.y < y - radius * c.rng.uniform(-0.2, 0.4)), -930.0)


def draw_liver(c: Canvas, cavity: Mask, below_lung: Mask) -> None:
    """Right and left lobe against the wall, with veins, small lesions and the gallbladder."""
    right = c.ellipsoid((-70, 0, 104), (63, 78, 80), turn=0.1)
    left = c.ellipsoid((-8, -50, 134), (62, 32, 36), turn=0.2)
    shape = smallest(right, left) + 0.05 * c.coarse + 0.012 * c.fine
    inside = (shape < 1) & cavity & below_lung
    hilum = c.ellipsoid((-24, 48, 96), (34, 34, 95), lean=(0.12, 0.0))  # vessels, spine
    inside &= hilum + 0.12 * c.coarse + 0.02 * c.fine > 1
    c.paint(inside, 106 + 5 * c.grain + 4 * c.coarse, "liver")
    starts = [(-32.0, -8.0, 112.0), (-28.0, 12.0, 150.0)]  # portal and hepatic veins
    veins = np.zeros(c.grid.shape, np.float32)
    for start in starts:
        for _ in range(7):
            heading = wander(c.rng, np.zeros(3), 45, 1.5, 0.05)
            path = np.asarray(start) + heading * [-1, 1, 1] * np.sign(heading[-1, 0]) ** [1, 0, 0]
            veins = np.maximum(veins, c.tube_along(path, np.linspace(5.0, 1.8, len(path))))
    c.paint(inside & (veins > 0), 142.0, "liver")
    for centre, radius, hu in (((-96, 28, 118), 9, 74), ((-60, -42, 92), 6, 22)):
        lesion = c.ellipsoid(centre, (radius,) * 3) + 0.12 * c.fine
        c.paint(inside & (lesion < 1), hu + 6 * c.grain, "liver")
    gallbladder = c.ellipsoid((-42, -44, 76), (15, 23, 22), turn=0.5) + 0.05 * c.coarse
    c.paint((gallbladder < 1) & cavity, 62.0, "gallbladder")
    c.paint(gallbladder < 0.86, 11.0, "gallbladder")


def draw_spleen_and_stomach(c: Canvas, cavity: Mask, below_lung: Mask) -> None:
    """A spleen between wall and stomach, and a stomach with wall, food, fluid level and air."""
    spleen = c.ellipsoid((88, 42, 116), (43, 58, 54), turn=-0.45) + 0.06 * c.coarse
    hollow = c.ellipsoid((58, 4, 120), (32, 38, 60)) + 0.05 * c.coarse
    c.paint((spleen < 1) & (hollow > 1) & cavity & below_lung, 117 + 4 * c.grain, "spleen")
    fundus = c.ellipsoid((56, -12, 128), (37, 42, 35), turn=-0.3)
    antrum = c.ellipsoid((14, -46, 92), (46, 24, 22), turn=0.3)
    shape = smallest(fundus, antrum, 4.0) + 0.05 * c.coarse
    stomach = (shape < 1) & cavity & below_lung
    c.paint(stomach, 92 + 8 * c.grain, "stomach")
    content = stomach & (shape < 0.88 - 0.02 * c.fine)
    c.paint(content, 28 + 14 * standardised(np.clip(c.fine, 0, None)), "stomach")
    c.paint(content & (c.y < -40), -960.0, "stomach")  # air rises to the front: a flat level


def draw_kidneys(c: Canvas) -> None:
    """Two kidneys with cortex, darker pyramids and a fat sinus with the pelvis."""
    for side, name, z in ((-1, "right kidney", 66), (1, "left kidney", 84)):
        place = (60 * side, 42, z)
        kidney = c.ellipsoid(place, (23, 29, 53), turn=0.5 * side, lean=(-0.16 * side, 0.12))
        kidney = kidney + 0.035 * c.coarse
        sinus = c.ellipsoid((45 * side, 34, z), (17, 10, 24), turn=0.5 * side) + 0.12 * c.fine
        inside = (kidney < 1) & (sinus > 1)
        pyramid = (kidney < 0.78) & (c.fine > -0.4)
        c.paint(kidney < 1.0, -85 + 10 * c.grain)
        c.paint(inside, np.where(pyramid, 158, 186) + 5 * c.grain, name)
        c.paint((sinus < 0.45) & (kidney < 1.1), 18.0)


def draw_vessels(c: Canvas) -> None:
    """Aorta with calcified wall, vena cava, renal, splenic and portal veins, pancreas."""
    pancreas = c.tube(
        [(-40, -2, 74), (-34, -12, 92), (0, -20, 100), (34, -4, 104), (70, 22, 112)],
        [18, 17, 13, 13, 11],
    )
    lobes = pancreas > np.clip(0.12 + 0.12 * c.fine, 0.02, None)
    c.paint(
        lobes & (c.labels == 0), 96 - 45 * np.clip(c.fine - 1, 0, None) + 9 * c.grain, "pancreas"
    )
    for points, radii in (
        ([(-14, 16, 64), (-32, 26, 64), (-48, 34, 64)], [4.5, 4, 3.5]),
        ([(10, 12, 84), (30, 22, 84), (46, 32, 84)], [4.5, 4, 3.5]),
        ([(-26, -4, 108), (0, -10, 104), (36, 8, 108), (70, 26, 116)], [6, 5, 4.5, 3.5]),
    ):
        c.paint((c.tube(points, radii) > 0) & np.isin(c.labels, (0, LABELS["pancreas"])), 150.0)
    for _ in range(14):  # mesenteric branches
        start = np.array([c.rng.normal(0, 25), c.rng.uniform(-45, 0), c.rng.uniform(10, 95)])
        path = start + wander(c.rng, np.zeros(3), 50, 1.4, 0.06)
        twig = c.tube_along(path, np.linspace(2.6, 1.2, len(path)))
        c.paint((twig > 0) & (c.hu < -60) & (c.labels == 0), 120.0)
    cava = c.tube([(-20, 20, -8), (-19, 20, 90), (-22, 12, 150), (-20, 2, 200)], [10, 11, 12, 13])
    c.paint(cava > 0, 138 + 3 * c.grain, "inferior vena cava")
    aorta = c.tube([(8, 20, -8), (13, 19, 70), (12, 21, 130), (15, 26, 200)], [9.5, 10.5, 11.5, 12])
    c.paint(aorta > 0, 152 + 2 * c.grain, "aorta")
    plaque = (aorta > 0) & (aorta < 0.17) & (0.5 * c.coarse + c.fine > 1.9)
    c.paint(plaque, 420.0, "aorta")


def draw_chest(c: Canvas, cavity: Mask) -> Mask:
    """Lung bases with vessels and the heart; returns what lies below the diaphragm."""
    right = 181 - ((c.x + 66) ** 2 / 95 + (c.y + 2) ** 2 / 130)
    left = 168 - ((c.x - 66) ** 2 / 90 + (c.y - 4) ** 2 / 130)
    dome = np.maximum(np.maximum(right, left), 112 + 26 * (c.y < 20)) + 2 * c.coarse
    middle = np.hypot((c.x - 2) / 27, (c.y - 30) / 62) + 0.12 * c.coarse + 0.03 * c.fine < 1
    above = (c.z > dome) & cavity & ~middle
    vessels = np.clip(smooth_noise(c.rng, c.grid, 1.6) - 1.7, 0, None)
    c.paint((c.z > dome - 3) & cavity, np.where(middle, -92 + 12 * c.grain, 55))
    c.paint(above, (-845 + 520 * np.clip(vessels, 0, 1.5) + 15 * c.grain).astype(np.float32))
    heart = c.ellipsoid((14, -38, 206), (58, 44, 46), turn=0.4) + 0.04 * c.coarse
    c.paint((heart < 1.06) & cavity & (c.z > dome), -90.0)
    c.paint((heart < 1) & cavity & (c.z > dome), 132 + 5 * c.grain)
    return c.z < dome - 3


def draw_table(c: Canvas) -> None:
    """The curved table below the patient: two thin shells around foam."""
    rise = c.y - 116 + 0.0011 * c.x**2
    wide = np.abs(c.x) < 150
    outside = c.hu < -900
    c.paint(wide & outside & (rise > 0) & (rise < 16), -900.0)
    to_shell = np.minimum(np.abs(rise - 1.5), np.abs(rise - 15))
    share = np.clip(2 - to_shell / PIXEL, 0, 1)  # partial volume, against jagged lines
    c.paint(wide & outside & (share > 0), -900 + 850 * share)


def measure_like_a_scanner(c: Canvas) -> NDArray[np.int16]:
    """Average over the slice thickness, blur, add noise that is strongest in the middle."""
    softness = 0.55 if c.patient is None else c.patient.softness
    blurred = ndi.gaussian_filter(c.hu, (0, softness, softness))
    slices = blurred.reshape(SHAPE[0], FINER, *SHAPE[1:]).mean(axis=1)
    white = c.rng.standard_normal(SHAPE, dtype=np.float32)
    noise = standardised(ndi.gaussian_filter(white, (0, 0.65, 0.65)))
    depth = np.clip(1 - np.hypot(c.x / 170, c.y / 125), 0, 1)
    noise *= np.where(slices > -950, 8 + 12 * depth, 3)
    if c.patient is not None:
        noise *= c.patient.noise
    return np.clip(np.rint(slices + noise), -1024, 3071).astype(np.int16)


def main_parts(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Drop crumbs that other organs cut off: keep the largest connected part of each label."""
    kept = np.zeros_like(labels)
    for label in NAMES:
        parts, _ = ndi.label(labels == label)
        if parts.any():
            kept[parts == np.bincount(parts[parts > 0]).argmax()] = label
    return kept


def draw_abdomen(
    seed: int, *, is_varied: bool = False
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Draw the phantom.

    Parameters
    ----------
    seed : int
    is_varied : bool
        Draw another patient, as for training, instead of the one of the shipped sample.

    Returns
    -------
    image : ndarray of shape (48, 160, 160), int16
        Hounsfield units, voxels of `SPACING_ZYX` mm.
    truth : ndarray of the same shape, uint8
        Ids of `NAMES`, 0 elsewhere.

    Raises
    ------
    ValueError
        If another patient is asked for with the shipped sample's seed.
    """
    if is_varied and seed in SAMPLE_SEEDS:
        raise ValueError(
            f"seed {seed} is reserved for the shipped sample data; choose another seed"
        )
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng, Patient(rng) if is_varied else None)
    _, cavity = draw_trunk(canvas)
    below_lung = draw_chest(canvas, cavity)
    draw_bowel(canvas, cavity)
    draw_liver(canvas, cavity, below_lung)
    draw_spleen_and_stomach(canvas, cavity, below_lung)
    draw_kidneys(canvas)
    draw_spine(canvas)
    draw_vessels(canvas)
    draw_table(canvas)
    return measure_like_a_scanner(canvas), main_parts(canvas.labels[FINER // 2 :: FINER])
