"""The training loop: seeded, resumable to the bit, logged, exported."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import TINY, tiny_network
from pack_support import FILES, items_of
from stacksam.core.errors import CheckpointError
from stacksam.sam.checkpoints import load_compact, save_compact
from stacksam.sam.model import build_compact
from stacksam.sam.prompt_encoder import PADDING
from stacksam.training.config import TrainConfig, load_config
from stacksam.training.datasets import SampleSource, collate
from stacksam.training.loop import Trainer, learning_rate, play_rounds, train
from stacksam.training.packs import read_pack, write_pack
from stacksam.training.sample_prompts import KINDS


@pytest.fixture(autouse=True)
def short_validation(monkeypatch):
    validate = Trainer.validate
    monkeypatch.setattr(Trainer, "validate", lambda self: validate(self, batches=1))


@pytest.fixture
def make_config(tmp_path, items):
    """Writes the configuration of a run of its own on one small pack."""
    write_pack(tmp_path / "pack.npz", items)
    model = "\n".join(f"{k} = {json.dumps(v)}" for k, v in TINY.to_dict().items())

    def make(run, **settings):
        settings = {"steps": 4, "images_per_step": 2, "checkpoint_every": 3} | settings
        text = "\n".join(f"{k} = {json.dumps(v)}" for k, v in settings.items())
        path = tmp_path / f"{run}.toml"
        path.write_text(
            '[data]\nfolder = "none"\npack = "pack.npz"\n'
            f'[train]\nrun_folder = "läufe/{run}"\n{text}\n[model]\n{model}\n',
            encoding="utf-8",
        )
        return path

    return make


def checkpoint_of(config_path):
    folder = load_config(config_path).train.run_folder
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def equal(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


def log_of(config_path):
    text = (load_config(config_path).train.run_folder / "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_two_and_two_steps_are_four_to_the_bit(make_config):
    whole, halves = make_config("whole"), make_config("halves")
    weights = train(whole)
    train(halves, steps=2)
    assert checkpoint_of(halves)["step"] == 2
    assert not equal(checkpoint_of(whole), checkpoint_of(halves))
    again = train(halves)
    assert equal(checkpoint_of(whole), checkpoint_of(halves))
    networks = [load_compact(path)[0].state_dict() for path in (weights, again)]
    assert equal(*networks)


def test_log_and_export(make_config):
    config, said = make_config("run"), []
    weights = train(config, progress=said.append)
    log = log_of(config)
    assert [row["step"] for row in log] == [4, 4]
    assert {"loss", "norm", "seconds_per_step"} <= log[0].keys()
    assert all(key == "step" or key.startswith("val_") for key in log[1])
    assert said[0] == "training from step 0 to 4"
    network, description = load_compact(weights)
    assert weights.name == "compact.safetensors"
    assert description["training"]["steps"] == 4
    assert description["training"]["data"] == {"dsb2018_nuclei": 1, "organs_ct": 1}
    average = checkpoint_of(config)["average"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, average[name].half().float())


def test_finished_run_stays_as_it_is(make_config):
    config = make_config("run", steps=2)
    weights = train(config)
    before = weights.read_bytes()
    assert train(config).read_bytes() == before
    assert len(log_of(config)) == 2


def test_training_begins_with_given_weights(make_config):
    weights = train(make_config("first"))
    second = make_config("second", start_weights=str(weights))
    trainer, given = Trainer(load_config(second)), load_compact(weights)[0].state_dict()
    assert trainer.step == 0
    for state in (trainer.model.state_dict(), trainer.average.state_dict()):
        assert all(torch.equal(state[name], value) for name, value in given.items())
    assert load_config(second).to_dict()["train"]["start_weights"] == "compact.safetensors"


def test_seed_decides(make_config):
    first, second = make_config("a", steps=1), make_config("b", steps=1, seed=1)
    train(first)
    train(second)
    assert not equal(checkpoint_of(first)["model"], checkpoint_of(second)["model"])


def test_average_lags_behind(make_config):
    config, name = make_config("run"), "mask_decoder.iou_token.weight"
    train(config)
    state, start = checkpoint_of(config), tiny_network().state_dict()[name]
    average, current = state["average"][name], state["model"][name]
    assert 0 < (average - start).abs().sum() < (current - start).abs().sum()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_unfit_checkpoint_is_said(make_config, content):
    config = make_config("run", steps=1)
    train(config)
    path = load_config(config).train.run_folder / "checkpoint.pt"
    if content is None:
        torch.save({"step": 1, "model": {}, "average": {}, "optimizer": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt in the run folder is damaged"):
        train(config)


def test_missing_pack_is_made_of_allowed_files_only(make_config, data):
    config = make_config("run", steps=1)
    text = config.read_text(encoding="utf-8")
    text = text.replace('"none"', json.dumps(data.name, ensure_ascii=False))
    text = text.replace(
        '"pack.npz"',
        '"new.npz"\nsynthetic_images = 1\nsynthetic_volumes = 0\nsynthetic_patients = 0',
    )
    config.write_text(text, encoding="utf-8")
    said = []
    train(config, progress=said.append)
    assert said[0] == "packing the training data"
    packed = {i.dataset for i in read_pack(load_config(config).data.pack)}
    assert packed == {"cells", "organs", "synthetic_images"}
    assert "banned" in "".join(FILES)


def test_pack_without_validation_images_is_refused(make_config, tmp_path):
    write_pack(tmp_path / "pack.npz", items_of("train", 0))
    with pytest.raises(ValueError, match="no items of this split"):
        train(make_config("run"))


def test_items_of_other_sides_are_not_used(make_config, items, tmp_path):
    write_pack(tmp_path / "pack.npz", [*items, replace(items[0], split="test", dataset="sealed")])
    trainer = Trainer(load_config(make_config("run")))
    used = [*trainer.source.items, *trainer.validation.items]
    assert {i.split for i in used} == {"train", "val"}
    assert len(used) == len(items)


def test_learning_rate_warms_up_holds_and_falls():
    settings = TrainConfig("runs", steps=1000, learning_rate=0.1, warmup_steps=10, decay_share=0.5)
    rates = [learning_rate(step, settings) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[9:501] == pytest.approx([0.1] * 492)
    assert rates[750] == pytest.approx(0.05)
    assert rates[1000] == 0
    assert (np.diff(rates[:11]) >= 0).all()
    assert (np.diff(rates[500:]) <= 0).all()


@pytest.fixture
def batch():
    source = SampleSource(items_of("train", 0), input_size=64, objects_per_image=2)
    samples = [source.draw((5, i)) for i in range(6)]
    return {k: torch.from_numpy(v) for k, v in collate(samples).items()}


def test_rounds_add_a_click_on_the_largest_error(batch):
    model, seen = tiny_network(), []
    decode = model.decode

    def spy(embedding, points, **options):
        seen.append((points, options))
        return decode(embedding, points, **options)

    model.decode = spy
    rounds = play_rounds(model, batch, 3, np.random.default_rng(0))
    assert len(rounds) == len(seen) == 3
    lengths = [points[1].shape[1] for points, _ in seen]
    assert lengths == [lengths[0], lengths[0] + 1, lengths[0] + 2]
    clicks, labels = seen[1][0][0][:, -1], seen[1][0][1][:, -1]
    for click, label, truth, logits in zip(
        clicks, labels, batch["truth"], rounds[0].logits, strict=True
    ):
        x, y = (int(v) // 2 for v in click)
        assert (truth[y, x] > 0.5) != (logits[y, x] > 0)
        assert bool(label) == bool(truth[y, x] > 0.5)
    is_refined = ~seen[1][1]["is_neighbour"]
    assert torch.equal(seen[1][1]["masks"][is_refined, 0], rounds[0].logits[is_refined])


def test_steps_against_the_gradient_lower_the_loss(batch):
    network, losses = tiny_network(), []
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(25):
        (played,) = play_rounds(network, batch, 1, np.random.default_rng(0))
        optimizer.zero_grad()
        played.total.backward()
        optimizer.step()
        losses.append(float(played.total.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_only_single_clicks_are_ambiguous_and_absent_objects_are_not_corrected(batch):
    batch["truth"][0] = 0
    rounds = play_rounds(tiny_network(), batch, 2, np.random.default_rng(0))
    assert all(torch.isfinite(r.total) for r in rounds)
    clicked = batch["kind"] == KINDS.index("click")
    assert clicked.any()
    rounds[1].total.backward()


def test_masks_are_handed_on_to_the_slice_that_follows(batch, monkeypatch):
    batch["follows"][2:4] = True  # the second sample after the first
    monkeypatch.setattr("stacksam.training.loop.LEAST_HANDED", 0.0)
    model, seen = tiny_network(), []
    decode = model.decode

    def spy(embedding, points, **options):
        seen.append((points, options))
        return decode(embedding, points, **options)

    model.decode = spy
    before = batch["context"].clone()
    rounds = play_rounds(model, batch, 2, np.random.default_rng(0))
    (_, labels), options = seen[1]
    assert torch.equal(options["masks"][2:4, 0], rounds[0].logits[:2])
    assert options["is_neighbour"][2:4].all()
    assert (labels[2:4, -1] == PADDING).all()
    assert not torch.equal(options["context"][2:4], before[2:4])
    assert torch.equal(options["context"][4:], before[4:])
    assert torch.equal(batch["context"], before)


def test_masks_of_something_else_are_not_handed_on(batch, monkeypatch):
    plain = play_rounds(tiny_network(), batch, 2, np.random.default_rng(0))
    batch["follows"][2:4] = True
    monkeypatch.setattr("stacksam.training.loop.LEAST_HANDED", 1.1)
    rounds = play_rounds(tiny_network(), batch, 2, np.random.default_rng(0))
    assert torch.equal(rounds[1].logits, plain[1].logits)


def test_absent_objects_that_follow_learn_to_be_absent(batch, monkeypatch):
    monkeypatch.setattr("stacksam.training.loop.LEAST_HANDED", 0.0)
    batch["follows"][2:4] = True
    batch["truth"][2:4] = 0
    losses = []
    for follows in (True, False):
        batch["follows"][2:4] = follows
        losses.append(play_rounds(tiny_network(), batch, 2, np.random.default_rng(0))[1].total)
    assert losses[0] != losses[1]


def test_start_weights_without_a_quality_head_are_taken_over(make_config, tmp_path):
    bare = replace(TINY, quality_dim=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = build_compact(bare)
    save_compact(tmp_path / "start.safetensors", network, bare, {})
    config = make_config("begun", start_weights="start.safetensors")
    trainer = Trainer(load_config(config))
    taken = trainer.model.state_dict()
    for name, value in network.state_dict().items():
        assert torch.allclose(taken[name], value, atol=1e-3)
    assert not taken["mask_decoder.quality_head.out.weight"].any()


def test_start_weights_of_another_network_are_refused(make_config, tmp_path):
    other = replace(TINY, num_output_blocks=0)
    save_compact(tmp_path / "start.safetensors", build_compact(other), other, {})
    with pytest.raises(ValueError, match="start_weights are of another network"):
        Trainer(load_config(make_config("begun", start_weights="start.safetensors")))


def test_left_out_data_sets_are_not_trained_on(make_config, items):
    left_out = items[0].dataset
    path = make_config("without")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[train]", f'leave_out = ["{left_out}"]\n[train]'), "utf-8")
    trainer = Trainer(load_config(path))
    kept = {item.dataset for item in trainer.source.items + trainer.validation.items}
    assert left_out not in kept
    assert kept
    path.write_text(text.replace("[train]", 'leave_out = ["no such set"]\n[train]'), "utf-8")
    with pytest.raises(ValueError, match="leave_out names data sets that the pack lacks: no such"):
        Trainer(load_config(path))


@pytest.fixture
def small_config(make_config, items, tmp_path):
    """A configuration with a small pack, and generated items beside it."""
    write_pack(tmp_path / "small.npz", items, is_small=True)
    drawn = "synthetic_images = 2\nsynthetic_volumes = 0\nsynthetic_patients = 0\nleave_out = []"

    def make(run, **settings):
        path = make_config(run, **settings)
        text = path.read_text(encoding="utf-8")
        text = text.replace('"pack.npz"', f'"small.npz"\npack_mib = 1\n{drawn}')
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_generated_items_of_a_small_pack_are_drawn_once(small_config, tmp_path):
    said = []
    train(small_config("run", steps=1), progress=said.append)
    assert said[0] == "drawing the generated items"
    drawn = tmp_path / "generated-2-0-0.npz"
    before = drawn.stat().st_mtime_ns
    train(small_config("again", steps=1), progress=said.append)
    assert drawn.stat().st_mtime_ns == before
    config = load_config(small_config("run", steps=1))
    names = [i.dataset for i in Trainer(config).source.items]
    assert names == ["dsb2018_nuclei", "organs_ct", "synthetic_images", "synthetic_images"]


def test_pieces_by_time_are_the_whole_to_the_bit(small_config):
    whole, pieces = small_config("whole", steps=3), small_config("pieces", steps=3)
    train(whole)
    for step in (1, 2, 3):
        train(pieces, minutes=0)
        assert checkpoint_of(pieces)["step"] == step
    assert equal(checkpoint_of(whole), checkpoint_of(pieces))
    validated = [row["step"] for row in log_of(pieces) if any(k.startswith("val") for k in row)]
    assert validated == [3]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch's way; Python 3.12 warns
def test_processes_draw_the_same_batches(make_config):
    thread, processes = make_config("thread", steps=3), make_config("processes", workers=2, steps=3)
    train(thread)
    train(processes, steps=2)
    train(processes)
    assert equal(checkpoint_of(thread), checkpoint_of(processes))


BLOCKED = ("skimage", "SimpleITK", "zarr", "tifffile", "PIL", "pydicom", "napari", "qtpy")


def test_training_runs_where_readers_are_not_installed(small_config):
    config = small_config("bare", steps=2)
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({(*BLOCKED, 'typer', 'rich')!r}))\n"
        f"from stacksam.training.loop import train\nprint(train({str(config)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert checkpoint_of(config)["step"] == 2
