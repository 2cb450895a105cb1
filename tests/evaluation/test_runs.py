"""A whole evaluation on a small folder, with a Session that thresholds."""

import json
import weakref

import numpy as np
import pytest
import tifffile

from stacksam.core.volume import Volume
from stacksam.evaluation import PROTOCOLS, evaluate
from stacksam.evaluation.datasets import Item, find_items


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_easy_folder_is_solved(data, model, make_session, protocol):
    report = evaluate(data, model, protocol, baselines=True, make_session=make_session)
    assert report.mean("model").value > 0.9
    beside = {
        "propagate": {"shape_held_constant"},
        "propagate-k": {"interpolation"},
        "interpolate": {"interpolation"},
    }
    expected = {"model", *PROTOCOLS[protocol].baselines, *beside.get(protocol, ())}
    assert set(report.methods) == expected
    assert report.methods[0] == ("interpolation" if protocol == "interpolate" else "model")
    assert len(report.views) == len({(s.file, s.label_id) for s in report.scores})
    if PROTOCOLS[protocol].in_3d:
        assert set(report.dataset_means("model")) == {"nuclei"}
    else:
        assert set(report.dataset_means("model")) == {"cells", "nuclei", "stain", "lesions"}
        assert report.dataset_means("model")["cells"][1] == 6


def test_without_baselines_a_protocol_reports_its_own_methods_only(data, model, make_session):
    for protocol, methods in (
        ("propagate", ["model"]),
        ("interpolate", ["interpolation", "model"]),
    ):
        assert evaluate(data, model, protocol, make_session=make_session).methods == methods


def test_all_slice_protocols_ask_for_the_same_objects(data, model, make_session):
    asked = [
        [(s.file, s.label_id) for s in report.scores]
        for protocol in ("click", "box", "iterative")
        for report in [evaluate(data, model, protocol, limit=2, make_session=make_session)]
    ]
    assert asked[0] == asked[1] == asked[2]


def test_spacing_of_the_image_gives_millimetres(data, model, make_session, monkeypatch):
    report = evaluate(data, model, "propagate", make_session=make_session)
    assert "boundary_mm" not in report.figures("model")
    read_volume = Item.read_volume
    monkeypatch.setattr(
        Item, "read_volume", lambda item: Volume(read_volume(item).data, spacing_zyx=(2, 1, 1))
    )
    report = evaluate(data, model, "propagate", make_session=make_session)
    assert "boundary_mm" in report.figures("model")


def test_a_session_is_gone_when_its_file_is_done(data, model, make_session):
    alive, most = [], []

    def make(volume, model):
        session = make_session(volume, model)
        model.sessions.clear()
        most.append(sum(ref() is not None for ref in alive))
        alive.append(weakref.ref(session))
        session.itself = session
        return session

    evaluate(data / "microscopy" / "cells", model, "click", make_session=make)
    assert most == [0, 0, 0]


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


@pytest.mark.parametrize("protocol", ["iterative", "interpolate"])
def test_equal_runs_give_equal_json(data, model, make_session, protocol):
    first, second = (
        json.dumps(
            evaluate(
                data, model, protocol, seed=4, baselines=True, make_session=make_session
            ).to_dict(),
            allow_nan=False,
        )
        for _ in range(2)
    )
    assert first == second


def test_baselines_need_no_model(data):
    report = evaluate(data, None, "box", baselines=True)
    assert report.methods == ["grabcut", "otsu", "random_walker"]
    assert report.to_picture().width > 0
    assert report.model == "none"
    assert report.mean("random_walker").value > 0.7


def test_nothing_to_run(data):
    with pytest.raises(ValueError, match="no model and no baselines"):
        evaluate(data, None, "click")
    with pytest.raises(ValueError, match="no model and no baselines"):
        evaluate(data, None, "interpolate", baselines=True)


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
    report = evaluate(shared_data, None, "box", limit=1, baselines=True)
    mean = report.mean("random_walker")
    assert mean.n_datasets == 23
    assert mean.value > 0.6
