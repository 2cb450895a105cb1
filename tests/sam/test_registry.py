"""Models by name or path, and how they get onto the computer."""

import hashlib
import json
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import stacksam
from models import TINY, tiny_network
from sam_models import tiny_sam
from stacksam.core.errors import CheckpointError
from stacksam.sam import registry
from stacksam.sam.checkpoints import save_compact
from stacksam.sam.checksums import KINDS
from stacksam.sam.downloads import DownloadCancelled, DownloadError
from stacksam.sam.model_list import PACKAGE_LIST
from stacksam.sam.predictor import FieldPrompts
from stacksam.sam.registry import (
    MODELS,
    ModelEntry,
    describe_model,
    download_model,
    import_model,
    list_models,
    load_model,
)
from web_support import serving


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty models folder, and nothing else of this computer."""
    folder = tmp_path / "meine Modelle"
    monkeypatch.setenv("STACKSAM_MODELS", str(folder))
    monkeypatch.delenv("STACKSAM_OFFLINE", raising=False)
    monkeypatch.delenv("STACKSAM_MIRROR", raising=False)
    return folder


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mein Möbel.safetensors"
    save_compact(path, tiny_network(), TINY, {})
    return path


@pytest.fixture
def published(path, monkeypatch):
    """A model on a web server: (server, entry, its bytes)."""
    data = path.read_bytes()
    with serving() as web:
        web.files["/tiny.safetensors"] = data
        entry = ModelEntry(
            "tiny",
            "tests",
            "MIT",
            file_name="tiny.safetensors",
            url=f"{web.address}/tiny.safetensors",
            page=f"{web.address}/about",
            size=len(data),
            checksums=(f"sha256:{hashlib.sha256(data).hexdigest()}",),
        )
        monkeypatch.setitem(registry.MODELS, "tiny", entry)
        yield web, entry, data


def publish(monkeypatch, entry, **changes):
    monkeypatch.setitem(registry.MODELS, "tiny", replace(entry, **changes))


def test_built_in_model_comes_first():
    entries = list_models()
    assert entries[0].name == "compact"
    assert entries[0].is_here


def test_every_entry_says_what_a_user_needs():
    for entry in list_models()[1:]:
        assert entry.summary
        assert entry.licence
        assert entry.family
        assert entry.citation
        assert entry.file_name
        assert entry.page.startswith("https://")
        assert entry.url.startswith("https://") or not entry.url
        assert all(checksum.partition(":")[0] in KINDS for checksum in entry.checksums)
        assert not entry.is_here


def test_checksums_that_nobody_published_are_null():
    listed = {e["name"]: e["checksums"] for e in json.loads(PACKAGE_LIST.read_text("utf-8"))}
    assert listed["sam-med2d"] is None
    assert MODELS["sam-med2d"].checksums == ()
    assert all(listed[name] is None or listed[name] for name in listed)


def test_the_file_name_holds_the_published_prefix():
    for name in ("sam-vit-b", "sam-vit-l", "sam-vit-h"):
        (checksum,) = MODELS[name].checksums
        assert checksum.startswith("md5-prefix:")
        assert checksum.partition(":")[2] in MODELS[name].file_name


IMPORTS_ONLY = """
import sys
used = []
sys.addaudithook(lambda event, _: event.startswith("socket.") and used.append(event))
import stacksam, stacksam.cli, stacksam.sam.registry
stacksam.Session, stacksam.load_model
stacksam.sam.registry.list_models()
assert not [e for e in used if "connect" in e or "getaddrinfo" in e], used
"""


def test_importing_never_uses_the_network():
    subprocess.run([sys.executable, "-c", IMPORTS_ONLY], check=True)


def test_file_names_do_not_collide():
    names = [entry.file_name for entry in list_models() if entry.file_name]
    assert len(names) == len(set(names))


def test_built_in_model_is_small_and_works():
    if not MODELS["compact"].is_here:
        pytest.skip("the built-in model's weights are not in this checkout yet")
    assert MODELS["compact"].path.stat().st_size <= 16 * 2**20
    model = stacksam.load_model("compact", device="cpu")
    image = np.zeros((256, 256), np.float32)
    image[80:170, 90:190] = 1
    prompts = FieldPrompts(box_yxyx=(80, 90, 170, 190))
    mask = model.decode(model.encode(image), prompts).logits[0] > 0
    truth = image[::2, ::2] > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


@pytest.mark.parametrize("as_text", [True, False])
def test_path_loads(path, as_text):
    model = load_model(str(path) if as_text else path, device="cpu")
    assert model.name == "mein Möbel"
    assert model.input_size == 64
    assert model.dtype == torch.float32


def test_an_official_checkpoint_loads(tmp_path):
    torch.save(tiny_sam().state_dict(), tmp_path / "sam.pth")
    model = load_model(tmp_path / "sam.pth", device="cpu")
    assert (model.name, model.input_size, model.logits_size) == ("sam", 128, 32)
    crop = np.linspace(0, 1, 128 * 128, dtype=np.float32).reshape(128, 128)
    prediction = model.decode(model.encode(crop), FieldPrompts(box_yxyx=(10, 10, 90, 100)))
    assert prediction.logits.shape == (4, 32, 32)
    assert prediction.logits.std() > 0


def test_fingerprint_follows_the_weights(path, tmp_path):
    other = tmp_path / "other.safetensors"
    save_compact(other, tiny_network(1), TINY, {})
    same = tmp_path / "same.safetensors"
    same.write_bytes(path.read_bytes())
    prints = [load_model(p, device="cpu").fingerprint for p in (path, other, same)]
    assert prints[0] == prints[2] != prints[1]


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(CheckpointError, match="'compakt' is unknown; choose one of compact, sam-"):
        load_model("compakt")


def test_path_is_told_without_its_folders(tmp_path):
    with pytest.raises(CheckpointError, match="missing") as caught:
        load_model(tmp_path / "none.safetensors")
    assert tmp_path.name not in str(caught.value)


def test_missing_built_in_weights_say_what_to_do(tmp_path, monkeypatch):
    entry = ModelEntry("compact", "s", "l", tmp_path / "compact.safetensors")
    monkeypatch.setitem(registry.MODELS, "compact", entry)
    assert not entry.is_here
    with pytest.raises(CheckpointError, match="install the package again"):
        load_model("compact")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"device": "toaster"}, "device 'toaster' is unknown"), ({"dtype": "int3"}, "dtype 'int3'")],
)
def test_bad_options_are_refused(path, options, message):
    with pytest.raises(ValueError, match=message):
        load_model(path, **{"device": "cpu", **options})


def test_loading_never_uses_the_network(published, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("the network was used")

    web, _, _ = published
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    with pytest.raises(CheckpointError, match="stacksam models download tiny"):
        load_model("tiny")
    assert list_models()
    assert describe_model("tiny")["here"] == "no"
    assert web.requests == []


def test_a_download_is_loaded_by_its_name(published, folder):
    _, _, data = published
    seen = []
    path = download_model("tiny", progress=lambda *numbers: seen.append(numbers))
    assert path == folder / "tiny.safetensors"
    assert seen[-1] == (len(data), len(data))
    assert load_model("tiny", device="cpu").name == "tiny"
    assert "verified (sha256)" in describe_model("tiny")["here"]
    record = (folder / "tiny.safetensors.sha256").read_text(encoding="utf-8")
    assert record == f"{hashlib.sha256(data).hexdigest()}  tiny.safetensors\n"


def test_what_is_here_is_not_fetched_again(published):
    web, _, _ = published
    assert download_model("tiny") == download_model("tiny")
    assert len(web.requests) == 1


def test_without_a_published_hash_the_first_one_is_recorded(published, folder, monkeypatch):
    _, entry, data = published
    publish(monkeypatch, entry, checksums=(), size=None)
    download_model("tiny")
    digest = hashlib.sha256(data).hexdigest()
    here = describe_model("tiny")["here"]
    assert f"unverified (none is published); its sha256 is {digest}" in here
    save_compact(folder / "tiny.safetensors", tiny_network(1), TINY, {})
    with pytest.raises(
        CheckpointError, match=r"has changed since .* delete tiny\.safetensors\.sha"
    ):
        load_model("tiny", device="cpu")


def test_a_hash_nobody_here_can_compute_is_not_claimed(published, monkeypatch):
    _, entry, _ = published
    publish(monkeypatch, entry, checksums=("xxh128:00",))
    monkeypatch.setattr("stacksam.sam.checksums.find_spec", lambda name: None)
    download_model("tiny")
    assert "unverified (install xxhash to compare)" in describe_model("tiny")["here"]


def test_a_wrong_hash_names_the_way_by_hand(published, folder, monkeypatch):
    _, entry, _ = published
    publish(monkeypatch, entry, checksums=(f"sha256:{'0' * 64}",))
    with pytest.raises(DownloadError) as caught:
        download_model("tiny")
    message = str(caught.value)
    assert "arrived damaged or is not the published file" in message
    assert f"fetch tiny.safetensors by hand from {entry.url} and put it into" in message
    assert folder.name in message
    assert "under that name, or run: stacksam models import FILE --name tiny" in message
    assert list(folder.iterdir()) == []


def test_behind_a_firewall_the_message_says_what_to_fetch(published, monkeypatch):
    _, entry, _ = published
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.safetensors"
        publish(monkeypatch, entry, url=address)
        with pytest.raises(DownloadError, match=f"cannot be reached.* by hand from {address}"):
            download_model("tiny")


def test_cancel(published):
    import threading

    cancel = threading.Event()
    cancel.set()
    with pytest.raises(DownloadCancelled, match="what has arrived is kept"):
        download_model("tiny", cancel=cancel)


def test_no_address_means_by_hand(published, monkeypatch):
    _, entry, _ = published
    publish(monkeypatch, entry, url="")
    with pytest.raises(DownloadError, match=f"no address that a program .* from {entry.page}"):
        download_model("tiny")


def test_a_mirror_is_asked_instead(published, monkeypatch):
    web, entry, data = published
    web.files["/spiegel/tiny.safetensors"] = data
    publish(monkeypatch, entry, url="https://publisher.invalid/x")
    monkeypatch.setenv("STACKSAM_MIRROR", f"{web.address}/spiegel/")
    download_model("tiny")
    assert web.requests == [("/spiegel/tiny.safetensors", None)]


def test_an_offline_folder_is_read(published, path, tmp_path, monkeypatch):
    web, _, data = published
    (tmp_path / "Netzlaufwerk").mkdir()
    (tmp_path / "Netzlaufwerk" / "tiny.safetensors").write_bytes(data)
    monkeypatch.setenv("STACKSAM_OFFLINE", str(tmp_path / "Netzlaufwerk"))
    assert load_model("tiny", device="cpu").name == "tiny"
    assert download_model("tiny").parent.name == "Netzlaufwerk"
    assert web.requests == []


def test_a_file_fetched_by_hand_is_taken_over(published, tmp_path, folder):
    _, _, data = published
    (tmp_path / "tiny.safetensors").write_bytes(data)
    entry = import_model(tmp_path / "tiny.safetensors")
    assert entry.name == "tiny"
    assert (folder / "tiny.safetensors").read_bytes() == data
    assert load_model("tiny", device="cpu").name == "tiny"


def test_a_wrong_file_by_hand_is_refused(published, tmp_path, folder):
    save_compact(tmp_path / "tiny.safetensors", tiny_network(1), TINY, {})
    with pytest.raises(CheckpointError, match=r"is not the published tiny .*its sha256 is"):
        import_model(tmp_path / "tiny.safetensors")
    assert not folder.exists()


def test_an_own_model_gets_a_name(path, folder):
    entry = import_model(path, "Möbel von mir", licence="private")
    assert (entry.name, entry.licence) == ("Möbel von mir", "private")
    assert list_models()[-1] == entry
    assert load_model("Möbel von mir", device="cpu").name == "Möbel von mir"
    stored = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    assert [e["name"] for e in stored] == ["Möbel von mir"]


def test_without_a_name_the_files_is_taken(path):
    assert import_model(path).name == "mein Möbel"


def test_the_built_in_name_is_taken(path):
    with pytest.raises(CheckpointError, match="compact is built in; import the file under another"):
        import_model(path, "compact")


def test_importing_nonsense_leaves_nothing(tmp_path, folder):
    (tmp_path / "a.pth").write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match=r"a\.pth is damaged or not a checkpoint"):
        import_model(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"none\.pth is missing"):
        import_model(tmp_path / "none.pth")
    assert not folder.exists()


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.mkdir, (self.target,)


def test_a_pickle_bomb_is_refused(published, tmp_path, monkeypatch):
    web, entry, _ = published
    torch.save(dict(tiny_sam().state_dict()) | {"x": Bomb(tmp_path / "trap")}, tmp_path / "b.pth")
    data = (tmp_path / "b.pth").read_bytes()
    web.files["/b.pth"] = data
    changes = {"file_name": "b.pth", "url": f"{web.address}/b.pth", "size": None, "checksums": ()}
    publish(monkeypatch, entry, **changes)
    download_model("tiny")
    with pytest.raises(CheckpointError, match="could run code, and was not opened"):
        load_model("tiny", device="cpu")
    with pytest.raises(CheckpointError, match="could run code, and was not opened"):
        import_model(tmp_path / "b.pth", "other")
    assert not (tmp_path / "trap").exists()


def test_a_zipped_checkpoint_is_unpacked(published, tmp_path, folder, monkeypatch):
    web, entry, data = published
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        archive.writestr("weights/tiny.safetensors", data)
    web.files["/tiny.zip"] = (tmp_path / "tiny.zip").read_bytes()
    changes = {"size": None, "checksums": (), "url": f"{web.address}/tiny.zip"}
    publish(monkeypatch, entry, file_name="tiny.safetensors.zip", **changes)
    download_model("tiny")
    assert load_model("tiny", device="cpu").name == "tiny"
    assert (folder / "tiny.safetensors").read_bytes() == data


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_damaged_zip(published, folder, monkeypatch, content):
    _, entry, _ = published
    publish(monkeypatch, entry, file_name="tiny.safetensors.zip")
    folder.mkdir()
    file = folder / "tiny.safetensors.zip"
    if content is None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("other.txt", "")
    else:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"zip does not hold tiny\.safetensors; get it again"):
        load_model("tiny", device="cpu")


def user_list(folder, content):
    folder.mkdir()
    (folder / "models.json").write_text(content, encoding="utf-8")


def test_entries_of_the_user(path, folder, tmp_path):
    entry = {"name": "ours", "summary": "our cells", "licence": "CC BY-NC 4.0", "path": path.name}
    user_list(folder, json.dumps([{**entry, "is_non_commercial": True}]))
    (folder / path.name).write_bytes(path.read_bytes())
    assert list_models()[-1].licence_text == "CC BY-NC 4.0 (NON-COMMERCIAL)"
    assert load_model("ours", device="cpu").name == "ours"
    assert "NON-COMMERCIAL" in describe_model("ours")["licence"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("5", "cannot be read"),
        ("[5]", "cannot be read"),
        ('[{"name": "a"}]', "an entry lacks 'summary'"),
        ('[{"name": "a", "summary": "s", "licence": " "}]', "licence is empty"),
        ('[{"name": "a", "summary": "s", "licence": "l", "uri": ""}]', "'uri' is unknown"),
    ],
)
def test_a_wrong_list_says_so(folder, content, message):
    user_list(folder, content)
    with pytest.raises(CheckpointError, match=rf"models\.json .*{message}.*correct it or move it"):
        list_models()
