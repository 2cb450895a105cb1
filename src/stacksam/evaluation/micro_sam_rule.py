"""The rule by which micro-sam carries an object through a stack, re-created on our model.

Archit et al., Segment Anything for Microscopy (Nature Methods 22, 2025), as the code of micro-sam
1.8.10 has it (``segment_mask_in_volume`` with the projection ``mask``): the binary mask of the
slice before and its tight box are the prompts of the next slice, one mask is asked for and its
score is not looked at; a direction ends where this mask and the one before overlap by an IoU below
the threshold, 0.5 in its annotator. Nothing else is known of the slices before: neither soft
logits, nor grey values, nor distances in mm, nor whether the object is there.

Ours are the model and the field that it looks at, which follows the box as it does in our own
propagation, so that both see the same pixels and share embeddings.
"""

from __future__ import annotations

import math

import numpy as np

from stacksam.core.fields import Field, crop_labels, field_around, paste_logits
from stacksam.core.masks import Box, box_of
from stacksam.core.metrics import iou
from stacksam.propagation import SlicePredictor
from stacksam.propagation.field_choice import box_to_field
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.whole_slice import WholeSlicePredictor

IOU_LIMIT = 0.5
"""The annotator's default; the function's own is 0.8, with which objects end sooner."""

MASK_LOGIT = math.log(0.999 / 0.001)
"""A binary mask as micro-sam writes it for the network: log odds of 0.999 inside."""


def carry_by_micro_sam_rule(
    predictor: SlicePredictor, index: int, mask: np.ndarray, iou_limit: float = IOU_LIMIT
) -> np.ndarray:
    """Carry a mask through the stack along axis 0, in both directions.

    Parameters
    ----------
    predictor : SlicePredictor
    index : int
        The prompted slice.
    mask : ndarray of shape (Y, X), bool
        What was found there.
    iou_limit : float in [0, 1]

    Returns
    -------
    found : ndarray of shape (Z, Y, X), bool
        The given slice as it is.
    """
    found = np.zeros(predictor.volume.shape, dtype=bool)
    found[index] = mask
    for step in (1, -1):
        last, here = found[index], index + step
        while last.any() and 0 <= here < len(found):
            new = _next_mask(predictor, here, last)
            if not new.any() or iou(last, new) < iou_limit:
                break
            found[here] = last = new
            here += step
    return found


def _next_mask(predictor: SlicePredictor, index: int, last: np.ndarray) -> np.ndarray:
    model, box = predictor.model, box_of(last)
    assert box is not None
    field = _field(predictor, box)
    inside = crop_labels(last, field, model.logits_size)
    prompts = FieldPrompts(
        box_yxyx=box_to_field(box, field, model.input_size),
        logits=np.where(inside, MASK_LOGIT, -MASK_LOGIT).astype(np.float32),
    )
    prediction = model.decode(predictor.embed(0, index, field), prompts)
    return paste_logits(prediction.logits[0], field, (last.shape[0], last.shape[1])) > 0


def _field(predictor: SlicePredictor, box: Box) -> Field:
    """The field that our own propagation looks at for an object in this box."""
    shape = predictor.volume.plane_shape(0)
    if isinstance(predictor.model, WholeSlicePredictor):
        return predictor.model.field_of(shape)
    return field_around(box, shape, pixel_aspect=predictor.pixel_aspect(0))
