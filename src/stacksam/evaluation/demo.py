"""The main job on the shipped samples: prompts in, labels, scores and one picture out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stacksam.core.errors import WriteError
from stacksam.core.metrics import dice
from stacksam.evaluation.drawing import page
from stacksam.evaluation.pictures import three_planes

FOLDER = Path(__file__).parent.parent / "sample_data"
PICTURE = "demo.png"


@dataclass(frozen=True)
class Sample:
    """One shipped volume: its files in `FOLDER` and where its labels go."""

    name: str
    title: str
    image: str
    truth: str
    prompts: str
    labels: str


SAMPLES = (
    Sample(
        "abdomen_ct",
        "Abdomen CT phantom, one box for each organ",
        "abdomen_ct.nii.gz",
        "abdomen_ct_truth.nii.gz",
        "abdomen_ct_prompts.json",
        "abdomen_ct_labels.nii.gz",
    ),
    Sample(
        "abdomen_ct_corrected",
        "Abdomen CT phantom, corrected",
        "abdomen_ct.nii.gz",
        "abdomen_ct_truth.nii.gz",
        "abdomen_ct_corrected_prompts.json",
        "abdomen_ct_corrected_labels.nii.gz",
    ),
    Sample(
        "nuclei",
        "Fluorescence nuclei (generated), one box for each",
        "nuclei.tif",
        "nuclei_truth.tif",
        "nuclei_prompts.json",
        "nuclei_labels.tif",
    ),
)


def run_demo(
    out: str | Path,
    *,
    model: Any = "compact",
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Segment both shipped samples from their shipped prompts.

    The CT is segmented twice: from one box for each organ, and from these boxes and the corrections
    that `tools/correct_sample.py` made.

    Parameters
    ----------
    out : path-like
        Folder for the labels (in the samples' own geometry) and the picture ``demo.png``; made if
        missing, files of an earlier run are replaced.
    model : str or model
        As `stacksam.load_model` takes it, or what it returned.
    device : str
    progress : callable, optional
        Called with (slices done, slices in all), starting over for each sample.

    Returns
    -------
    figures : dict
        ``"samples"``: by sample, ``{"dice": {object's name: Dice}, "mean": mean, "prompts": n}`` of
        the whole 3D objects against the truth; ``"labels"``: file by sample; ``"picture"``: file.

    Raises
    ------
    WriteError
        If the folder cannot be made or written to.
    """
    from stacksam.io import read
    from stacksam.io.atomic import atomic_path
    from stacksam.io.prompt_files import load_prompts
    from stacksam.session import segment_file

    out = _made(Path(out))
    figures: dict[str, Any] = {"samples": {}, "labels": {}, "picture": out / PICTURE}
    pictures = []
    for sample in SAMPLES:
        target = out / sample.labels
        segment_file(
            FOLDER / sample.image,
            FOLDER / sample.prompts,
            target,
            model=model,
            device=device,
            progress=progress,
        )
        volume, labels = read(FOLDER / sample.image), np.asarray(read(target).data)
        truth = np.asarray(read(FOLDER / sample.truth).data)
        prompts = load_prompts(FOLDER / sample.prompts, volume.shape)
        names = {i: prompts.names.get(i) or f"object {i}" for i in prompts.prompts.object_ids}
        scores = {i: dice(truth == i, labels == i) for i in names}
        mean, count = float(np.mean(list(scores.values()))), len(prompts.prompts)
        title = f"{sample.title}: {count} prompts, mean Dice {mean:.2f}"
        window = prompts.window or "auto"
        pictures.append(
            three_planes(volume, labels, window=window, names=names, scores=scores, title=title)
        )
        dices = {names[i]: score for i, score in scores.items()}
        figures["samples"][sample.name] = {"dice": dices, "mean": mean, "prompts": count}
        figures["labels"][sample.name] = target
    with atomic_path(out / PICTURE) as temporary:
        page(pictures).save(temporary)
    return figures


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WriteError(
            f"cannot make the folder {folder.name}: {reason}; choose another"
        ) from error
    return folder
