"""Correct the CT sample as a person would, and write down every prompt.

Begins with the shipped boxes. Again and again the object is propagated and the slice with the most
wrong pixels is corrected: by a loose box, then by clicks in the middle of the largest error, or by
"not on this slice" where the object is not. The prompts are those of the model at hand, so run this
again when the built-in model changes: ``python tools/correct_sample.py [--model NAME]``.
"""

from __future__ import annotations

import argparse

import numpy as np
from generate_sample_data import ABDOMEN_SEED, DEFAULT_FOLDER, loose_box
from numpy.typing import NDArray

import stacksam
from stacksam.core.metrics import dice, iou
from stacksam.core.prompts import PromptSet
from stacksam.core.simulated_prompts import corrective_click
from stacksam.io.prompt_files import dump_prompts, load_prompts

STEM = "abdomen_ct"
GOAL = 0.93
"""Dice in 3D at which an object is left as it is."""

GOOD_SLICE = 0.92
"""IoU at which a slice is."""

MOST_SLICES, MOST_CLICKS = 6, 3
"""Slices corrected of an object, clicks on one slice."""


def correct(
    session: stacksam.Session, object_id: int, truth: NDArray[np.bool_], rng: np.random.Generator
) -> list[float]:
    """Correct one object slice by slice; Dice before and after each corrected slice."""
    scores = []
    touched = {p.index for p in session.objects[object_id].prompts}
    while True:
        found = np.asarray(session.propagate(object_id).mask)
        scores.append(dice(truth, found))
        if scores[-1] >= GOAL or len(scores) > MOST_SLICES:
            return scores
        index = int((found ^ truth).sum(axis=(1, 2)).argmax())
        correct_slice(session, object_id, index, truth[index], rng, is_new=index not in touched)
        touched.add(index)


def correct_slice(
    session: stacksam.Session,
    object_id: int,
    index: int,
    truth: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    is_new: bool,
) -> None:
    """A box where there is no prompt yet, then clicks; an empty mask where the object is not."""
    if not truth.any():
        session.add_mask(object_id, index, truth)
        return
    if is_new:
        session.add_box(object_id, index, tuple(loose_box(rng, truth[None])[1]))
    for _ in range(MOST_CLICKS):
        mask = session.predict(object_id, index).mask
        click = corrective_click(truth, mask)
        if click is None or iou(truth, mask) >= GOOD_SLICE:
            return
        (y, x), is_positive = click
        session.add_point(object_id, (index, y, x), positive=is_positive)


def main(model: str) -> None:
    """Correct all prompted organs and write ``abdomen_ct_corrected_prompts.json``."""
    volume = stacksam.read(DEFAULT_FOLDER / f"{STEM}.nii.gz")
    truth = np.asarray(stacksam.read(DEFAULT_FOLDER / f"{STEM}_truth.nii.gz").data)
    given = load_prompts(DEFAULT_FOLDER / f"{STEM}_prompts.json", volume.shape)
    session = stacksam.Session(volume, stacksam.load_model(model), window=given.window or "auto")
    rng = np.random.default_rng(ABDOMEN_SEED)
    for box in given.prompts:
        session.add_box(box.object_id, box.index, box.yxyx)
        scores = correct(session, box.object_id, truth == box.object_id, rng)
        count = len(session.objects[box.object_id].prompts)
        steps = " ".join(f"{score:.3f}" for score in scores)
        print(f"{given.names[box.object_id]}: {count} prompts, Dice {steps}")
    path = DEFAULT_FOLDER / f"{STEM}_corrected_prompts.json"
    prompts = PromptSet(tuple(p for o in session.objects.values() for p in o.prompts))
    dump_prompts(path, prompts, window=given.window, names=given.names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Correct the CT sample as a person would.")
    parser.add_argument("--model", default="compact", help="a model's name or a checkpoint file")
    main(parser.parse_args().model)
