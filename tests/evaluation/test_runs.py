"""A whole evaluation on a small folder, with a Session that thresholds."""

import json

import numpy as np
import pytest
import tifffile

from stacksam.evaluation import PROTOCOLS, evaluate
from stacksam.evaluation.datasets import find_items


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_easy_folder_is_solved(data, model, make_session, protocol):
    report = evaluate(data, model, protocol, baselines=True, make_session=make_session)
    assert report.mean("model").value > 0.9
    assert report.methods[1:] == sorted(PROTOCOLS[protocol].baselines)
    if PROTOCOLS[protocol].in_3d:
        assert set(report.dataset_means("model")) == {"nuclei"}
    else:
        assert set(report.dataset_means("model")) == {"cells", "nuclei", "stain", "lesions"}
        assert report.dataset_means("model")["cells"][1] == 6


def test_objects_of_a_file_share_a_session_and_are_removed(data, model, make_session):
    evaluate(data / "microscopy" / "cells", model, "box", make_session=make_session)
    assert len(model.sessions) == 3
    assert all(s.prompts == {} for s in model.sessions)


def test_limit_split_and_progress(data, model, make_session):
    seen = []
    report = evaluate(
        data,
        model,
        "click",
        limit=1,
        progress=lambda done, total: seen.append((done, total)),
        make_session=make_session,
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.limit, report.model) == (1, "threshold")
    report = evaluate(data, model, "click", split="val", make_session=make_session)
    assert set(report.dataset_means("model")) == {"cells"}


def test_equal_runs_give_equal_json(data, model, make_session):
    first, second = (
        json.dumps(
            evaluate(
                data, model, "iterative", seed=4, baselines=True, make_session=make_session
            ).to_dict()
        )
        for _ in range(2)
    )
    assert first == second


def test_baselines_need_no_model(data):
    report = evaluate(data, None, "box", baselines=True)
    assert report.methods == ["random_walker"]
    assert report.model == "none"
    assert report.mean("random_walker").value > 0.7


def test_nothing_to_run(data):
    with pytest.raises(ValueError, match="no model and no baselines"):
        evaluate(data, None, "click")
    with pytest.raises(ValueError, match="no model and no baselines"):
        evaluate(data, None, "iterative", baselines=True)


def test_unknown_protocol(data, model):
    with pytest.raises(ValueError, match="protocol is 'guess'; it has to be one of click, box"):
        evaluate(data, model, "guess")


def test_no_object_fits(data, model, make_session):
    with pytest.raises(ValueError, match="no object in lesions fits"):
        evaluate(data / "radiology" / "lesions", model, "propagate", make_session=make_session)


def test_image_and_mask_of_different_size(data, model, make_session):
    item = find_items(data / "radiology" / "lesions")[0]
    labels = np.zeros((64, 70), np.uint16)
    labels[:20, :20] = 1
    tifffile.imwrite(item.mask_path, labels)
    with pytest.raises(ValueError, match=r"l\.png has shape \(1, 64, 80\), but its labels"):
        evaluate(data / "radiology", model, "click", make_session=make_session)


def test_baselines_on_the_shared_test_sets(shared_data):
    report = evaluate(shared_data, None, "box", limit=3, baselines=True)
    mean = report.mean("random_walker")
    assert mean.n_datasets == 23
    assert mean.value > 0.65
