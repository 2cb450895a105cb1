"""A segmentation from a box without a trained model, in the manner of GrabCut.

What lies in the box and what lies around it each get a model of their intensities (a small mixture
of Gaussians); a graph cut divides the box by these models and by edges; the models are learned anew
from the two parts, and so on (Rother, Kolmogorov and Blake, ACM Transactions on Graphics 23(3),
2004).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from skimage.transform import resize

from stacksam.core.masks import fill_holes
from stacksam.evaluation.baselines import crop_around, resized

MAX_SIDE = 96
ROUNDS = 4
COMPONENTS = 3
EDGE_WEIGHT = 5.0  # chosen on the training files
_MARGIN = 0.3  # of the box's sides is looked at around it
_NOISE = 0.01  # least standard deviation of a Gaussian, of the window's range
_UNIT = 100  # capacities are whole numbers
_NEVER = 1_000_000
_EM_ROUNDS = 10


def grabcut_from_box(
    image: np.ndarray, yxyx: tuple[float, float, float, float], edge_weight: float = EDGE_WEIGHT
) -> np.ndarray:
    """Segment the object in a box by alternating colour models and graph cuts.

    The work is done on a crop around the box, reduced to at most `MAX_SIDE` pixels a side.

    Parameters
    ----------
    image : ndarray of shape (H, W), float in [0, 1]
    yxyx : tuple of float
        Half-open box inside the image.
    edge_weight : float
        How much a cut through pixels of equal intensity costs.

    Returns
    -------
    mask : ndarray of shape (H, W), bool
        Inside the box. The whole box where its inside and its surroundings cannot be told apart.
    """
    window, inside = crop_around(yxyx, image.shape, _MARGIN)
    crop, box = np.asarray(image[window], dtype=np.float64), inside
    shrink = max(1.0, max(crop.shape) / MAX_SIDE)
    if shrink > 1:
        small = tuple(max(2, round(n / shrink)) for n in crop.shape)
        crop = resize(crop, small, order=1, anti_aliasing=True)
        box = resize(inside.astype(float), small, order=1) > 0.5
    found = _alternate(crop, box, edge_weight)
    out = np.zeros(image.shape, dtype=bool)
    out[window] = fill_holes(resized(found, inside.shape) & inside)
    return out


def _alternate(image: np.ndarray, box: np.ndarray, edge_weight: float) -> np.ndarray:
    """Models from the parts, parts from the models, until nothing changes."""
    if box.all() or not box.any() or np.ptp(image) < 1e-6:
        return box
    edges = _edges(image, edge_weight)
    mask = box
    for _ in range(ROUNDS):
        inside, outside = (_fit(image[part]) for part in (mask, ~mask))
        cost = _log_density(image, inside) - _log_density(image, outside)
        found = _cut(cost, box, edges)
        if not found.any() or np.array_equal(found, mask):
            break
        mask = found
    return mask


def _fit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and deviations of a mixture, by expectation maximisation from quantiles."""
    means = np.quantile(values, (np.arange(COMPONENTS) + 0.5) / COMPONENTS)
    deviations = np.full(COMPONENTS, max(float(values.std()), _NOISE))
    weights = np.full(COMPONENTS, 1 / COMPONENTS)
    for _ in range(_EM_ROUNDS):
        part = np.exp(_log_parts(values, (weights, means, deviations)))
        part /= part.sum(axis=-1, keepdims=True) + 1e-12
        total = part.sum(axis=0) + 1e-9
        weights = total / total.sum()
        means = (part * values[:, np.newaxis]).sum(axis=0) / total
        spread = (part * (values[:, np.newaxis] - means) ** 2).sum(axis=0) / total
        deviations = np.sqrt(spread + _NOISE**2)
    return weights, means, deviations


def _log_parts(
    values: np.ndarray, mixture: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    weights, means, deviations = mixture
    off = (values[..., np.newaxis] - means) / deviations
    return np.log(weights / deviations) - 0.5 * off**2


def _log_density(
    values: np.ndarray, mixture: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    return np.logaddexp.reduce(_log_parts(values, mixture), axis=-1)


def _edges(image: np.ndarray, weight: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Neighbours to the right and below, and what a cut between them costs."""
    number = np.arange(image.size).reshape(image.shape)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    flat = image.ravel()
    steps = [(flat[a.ravel()] - flat[b.ravel()]) ** 2 for a, b in pairs]
    scale = 2 * float(np.concatenate(steps).mean()) + 1e-12
    return [
        (a.ravel(), b.ravel(), np.round(_UNIT * weight * np.exp(-step / scale)).astype(np.int32))
        for (a, b), step in zip(pairs, steps, strict=True)
    ]


def _cut(
    cost: np.ndarray, box: np.ndarray, edges: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> np.ndarray:
    """The cheapest division into object (source side) and background (sink side)."""
    n = cost.size
    source, sink = n, n + 1
    votes = np.round(_UNIT * np.clip(cost.ravel(), -20, 20)).astype(np.int32)
    to_source, to_sink = np.maximum(votes, 0), np.maximum(-votes, 0)
    to_source[~box.ravel()], to_sink[~box.ravel()] = 0, _NEVER
    every = np.arange(n)
    ends = [(np.full(n, source), every, to_source), (every, np.full(n, sink), to_sink)]
    for a, b, capacity in edges:
        ends += [(a, b, capacity), (b, a, capacity)]
    rows, columns, capacities = (np.concatenate(part) for part in zip(*ends, strict=True))
    graph = sparse.csr_array((capacities, (rows, columns)), shape=(n + 2, n + 2), dtype=np.int32)
    flow = maximum_flow(graph, source, sink).flow
    left = sparse.csr_array(graph - flow)
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    mask = np.zeros(n + 2, dtype=bool)
    mask[reached] = True
    return mask[:n].reshape(cost.shape)
