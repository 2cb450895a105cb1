"""Expected calibration error of the predicted IoU over all clicks and boxes of the test side.

Ten bins of equal count over the predictions of both protocols together; as the model predicts, and
after Platt scaling that was fitted on the val side.

    python benchmarks/run.py calibration --data ../shared/data --picture reliability.png
"""

from __future__ import annotations

import stacksam
from stacksam.evaluation import evaluate
from stacksam.evaluation.calibration import PlattScaling, calibration_of

PROTOCOLS = ("click", "box")


def measure(
    data: str = "../shared/data",
    model: str = "compact",
    limit: int = 20,
    seed: int = 0,
    device: str = "auto",
    picture: str = "",
) -> dict[str, float]:
    """Errors with and without scaling, together and by protocol; `picture` is a PNG to write."""
    loaded = stacksam.load_model(model, device=device)
    sides = {
        side: {p: evaluate(data, loaded, p, side, limit, seed).scores for p in PROTOCOLS}
        for side in ("val", "test")
    }
    val = calibration_of([s for scores in sides["val"].values() for s in scores])
    assert val is not None
    scaling = PlattScaling.fit(val.predicted, val.true)
    parts = {"all": [s for scores in sides["test"].values() for s in scores], **sides["test"]}
    figures = {"slope": scaling.slope, "offset": scaling.offset, "predictions_val": scaling.n}
    for name, scores in parts.items():
        found = calibration_of(scores, scaling)
        assert found is not None
        figures[f"error_as_predicted_{name}"] = found.error()
        figures[f"error_calibrated_{name}"] = found.error(is_scaled=True)
        figures[f"predictions_{name}"] = len(found.predicted)
        if picture and name == "all":
            found.to_picture(f"Clicks and boxes on test, model {loaded.name}").save(picture)
    return figures
