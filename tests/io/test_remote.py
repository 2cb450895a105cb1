"""Zarr at an address, from a server on this computer that counts what it is asked for."""

import socket
import subprocess
import sys

import numpy as np
import pytest
import zarr

from stacksam.core.errors import ReadError
from stacksam.io import read, read_labels, remote_store
from stacksam.io.remote import Address, located
from web_support import put_folder, serving


def stack(shape=(6, 8, 10), dtype=np.uint16):
    return np.random.default_rng(0).integers(1, 100, shape).astype(dtype)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No waiting, and neither proxies nor credentials of this computer."""
    monkeypatch.setattr(remote_store, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web():
    with serving() as web:
        yield web


def put_array(web, tmp_path, zarr_format=3, **options):
    options = {"data": stack(), "chunks": (1, 4, 10)} | options
    zarr.create_array(tmp_path / "a.zarr", zarr_format=zarr_format, **options)
    return put_folder(web, tmp_path / "a.zarr")


def put_ome(web, tmp_path, zarr_format):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    datasets = []
    for level in range(2):
        data = stack()[:, :: level + 1, :: level + 1]
        group.create_array(f"s{level}", data=data, chunks=(1, 4, 5))
        scale = [{"type": "scale", "scale": [2.0, level + 1.0, level + 1.0]}]
        datasets.append({"path": f"s{level}", "coordinateTransformations": scale})
    axes = [{"name": a, "type": "space", "unit": "millimeter"} for a in "zyx"]
    ome = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    group.attrs.update({"ome": ome} if zarr_format == 3 else ome)
    return put_folder(web, tmp_path / "a.zarr")


def asked(web):
    """Files that the server was asked for since it was looked at last."""
    found = [path.rpartition("a.zarr/")[2] for path, _ in web.requests]
    web.requests.clear()
    return found


def is_metadata(path):
    return path.rpartition("/")[2] in ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


# what is read


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_opening_reads_metadata_and_a_slice_its_chunks(web, tmp_path, zarr_format):
    volume = read(put_array(web, tmp_path, zarr_format))
    opened = asked(web)
    assert opened
    assert all(map(is_metadata, opened))
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])
    chunks = ["2.0.0", "2.1.0"] if zarr_format == 2 else ["c/2/0/0", "c/2/1/0"]
    assert sorted(asked(web)) == chunks
    assert (volume.shape, volume.name) == ((6, 8, 10), "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_finest_level_of_ome_zarr(web, tmp_path, zarr_format):
    address = put_ome(web, tmp_path, zarr_format)
    volume = read(address)
    assert all(map(is_metadata, asked(web)))
    np.testing.assert_array_equal(volume.read_slice(5), stack()[5])
    chunks = asked(web)
    assert len(chunks) == 4
    assert all(chunk.startswith("s0/") for chunk in chunks)
    assert volume.spacing_zyx == (2.0, 1.0, 1.0)
    assert read(address, series=1).shape == (6, 4, 5)


def test_it_is_the_same_volume_as_on_this_computer(web, tmp_path):
    address = put_array(web, tmp_path)
    assert read(address).fingerprint == read(tmp_path / "a.zarr").fingerprint


def test_deep_chunks_are_read_once(web, tmp_path):
    volume = read(put_array(web, tmp_path, chunks=(3, 8, 10)))
    asked(web)
    for index in range(3):
        np.testing.assert_array_equal(volume.read_slice(index), stack()[index])
    assert asked(web) == ["c/0/0/0"]


def test_shards_are_read_in_parts(web, tmp_path):
    address = put_array(web, tmp_path, shards=(6, 8, 10))
    volume = read(address)
    asked(web)
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])
    assert set(asked(web)) == {"c/0/0/0"}
    web.takes_ranges = False
    with pytest.raises(ReadError, match=r"the server of a\.zarr sends whole files only"):
        volume.read_slice(2)


def test_chunks_that_are_missing_hold_the_fill_value(web, tmp_path):
    address = put_array(web, tmp_path, fill_value=7)
    del web.files["/data/a.zarr/c/2/0/0"]
    image = read(address).read_slice(2)
    assert (image[:4] == 7).all()
    np.testing.assert_array_equal(image[4:], stack()[2, 4:])


def test_labels_are_read(web, tmp_path):
    labels = read_labels(put_array(web, tmp_path))
    np.testing.assert_array_equal(np.asarray(labels.data), stack())


def test_s3(web, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
    zarr.create_array(tmp_path / "a.zarr", data=stack(), chunks=(1, 8, 10))
    put_folder(web, tmp_path / "a.zarr", "/bucket")
    volume = read("s3://bucket/a.zarr")
    assert all(map(is_metadata, asked(web)))
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])
    assert asked(web) == ["c/2/0/0"]
    web.status = 403
    with pytest.raises(ReadError, match=r"the server gives no access to a\.zarr; "):
        volume.read_slice(3)
    web.status = 500
    with pytest.raises(ReadError, match=r"the server of a\.zarr answered 500; "):
        volume.read_slice(3)
    with pytest.raises(ReadError, match=r"b\.zarr was not found|gives no access|answered 500"):
        read("s3://bucket/b.zarr")


def test_the_only_array_of_a_group_on_s3(web, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
    zarr.create_group(tmp_path / "a.zarr").create_array("image", data=stack())
    put_folder(web, tmp_path / "a.zarr", "/bucket")
    listing = "/bucket?list-type=2&prefix=a.zarr%2F&delimiter=%2F&encoding-type=url"
    web.files[listing] = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated>"
        b"<Contents><Key>a.zarr/zarr.json</Key><Size>9</Size></Contents>"
        b"<CommonPrefixes><Prefix>a.zarr/image/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    np.testing.assert_array_equal(read("s3://bucket/a.zarr").read_slice(2), stack()[2])
    web.statuses[listing] = 403
    with pytest.raises(ReadError, match=r"the server gives no access to a\.zarr; "):
        read("s3://bucket/a.zarr")


def test_s3_that_nobody_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(ReadError, match=r"the server of a\.zarr cannot be reached; "):
        read("s3://bucket/a.zarr")


# what goes wrong


def test_what_is_not_there_or_no_zarr(web):
    web.files["/data/a.zarr/readme.txt"] = b"hello"
    with pytest.raises(ReadError, match=r"^a\.zarr was not found or is not a Zarr array"):
        read(f"{web.address}/data/a.zarr")


def test_a_web_page_for_everything_is_no_zarr(web):
    for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"):
        web.files[f"/a.zarr/{name}"] = b"<html>Log in</html>"
    with pytest.raises(ReadError, match=r"a\.zarr is damaged or not a Zarr folder"):
        read(f"{web.address}/a.zarr")


@pytest.mark.parametrize(
    ("status", "message"), [(403, "gives no access to"), (401, "gives no"), (500, "answered 500")]
)
def test_refusals_are_told(web, tmp_path, status, message):
    address = put_array(web, tmp_path)
    web.status = status
    with pytest.raises(ReadError, match=message):
        read(address)


def test_services_that_answer_403_for_what_is_missing(web, tmp_path):
    address = put_array(web, tmp_path, zarr_format=2)
    web.statuses["/data/a.zarr/zarr.json"] = 403
    np.testing.assert_array_equal(read(address).read_slice(1), stack()[1])


def test_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ReadError, match=r"^the server of a\.zarr cannot be reached; ") as found:
        read(f"http://127.0.0.1:{port}/patient/a.zarr")
    assert "127.0.0.1" not in str(found.value)
    assert found.value.__suppress_context__


def test_a_server_that_falls_silent(monkeypatch):
    monkeypatch.setattr(remote_store, "SILENT_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ReadError, match=r"the server of a\.zarr did not answer in time"),
    ):
        read(f"http://127.0.0.1:{silent.getsockname()[1]}/a.zarr")


def test_a_request_that_fails_is_made_again(web, tmp_path):
    volume = read(put_array(web, tmp_path))
    web.next_statuses = [503, 502]
    web.cut_after = [10]
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])


def test_a_transfer_that_breaks_off_again_and_again(web, tmp_path):
    volume = read(put_array(web, tmp_path))
    web.cut_after = [10] * 6
    with pytest.raises(ReadError, match=r"the transfer of a\.zarr broke off"):
        volume.read_slice(2)
    web.cut_after.clear()
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])


def test_redirects_stay_on_the_server(web, tmp_path):
    address = put_array(web, tmp_path)
    for path in list(web.files):
        web.redirects[path.replace("/data", "/old")] = path
    volume = read(address.replace("/data", "/old"))
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])
    with serving() as elsewhere:
        web.redirects["/data/a.zarr/c/3/0/0"] = f"{elsewhere.address}/data/a.zarr/c/3/0/0"
        elsewhere.files.update(web.files)
        with pytest.raises(ReadError, match="the server leads to another one"):
            read(address).read_slice(3)
        assert elsewhere.requests == []


def test_a_file_without_end_is_not_taken(web, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_store, "MOST_METADATA", 1000)
    monkeypatch.setattr(remote_store, "SPARE", 1000)
    volume = read(put_array(web, tmp_path))
    web.files["/data/a.zarr/c/2/0/0"] = bytes(10**6)
    with pytest.raises(ReadError, match="far larger than the array can hold"):
        volume.read_slice(2)


def test_a_chunk_that_would_burst_is_not_decoded(web, tmp_path):
    volume = read(put_array(web, tmp_path))
    bomb = np.frombuffer(b"\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x00\x00\x00\x00\x00", np.uint8)
    web.files["/data/a.zarr/c/2/0/0"] = bomb.tobytes()
    with pytest.raises(ReadError, match="would decode to far more than the array can hold"):
        volume.read_slice(2)


def test_a_group_that_cannot_be_listed(web, tmp_path):
    zarr.create_group(tmp_path / "a.zarr").create_array("0", data=stack())
    address = put_folder(web, tmp_path / "a.zarr")
    with pytest.raises(ReadError, match=r"does not list; open the image in it, such as a\.zarr/0"):
        read(address)
    assert read(f"{address}/0").shape == (6, 8, 10)


@pytest.mark.parametrize("address", ["ftp://host/a.zarr", "file:///a.zarr", "https:///a.zarr"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ReadError, match="begin with https, http or s3"):
        read(address)


def test_only_zarr_is_read_from_an_address():
    with pytest.raises(ReadError, match=r"only Zarr .*; download a\.nii\.gz and open"):
        read("https://nowhere.invalid/patient/a.nii.gz?key=secret")


def test_without_the_packages_the_extra_is_named(tmp_path):
    code = (
        "import sys; sys.modules['fsspec'] = sys.modules['aiohttp'] = None\n"
        "from stacksam.io import read\n"
        "try: read('https://nowhere.invalid/a.zarr')\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "napari-stacksam[remote]"' in done.stdout


# what is told to nobody


def test_credentials_and_signatures_go_to_the_server_only(web, tmp_path):
    address = put_array(web, tmp_path).replace("://", "://me:geheim@")
    for path in list(web.files):
        web.files[f"{path}?sig=a%2Bb"] = web.files.pop(path)
    volume = read(f"{address}/?sig=a%2Bb")
    np.testing.assert_array_equal(volume.read_slice(2), stack()[2])
    assert web.authorization == "Basic bWU6Z2VoZWlt"  # me:geheim
    assert volume.name == "a.zarr"
    array = volume.data.source._array
    shown = " ".join(map(repr, [volume, array, array.store, array.store_path, Address(address)]))
    shown += str(array.store) + str(array.info)
    assert all(word not in shown for word in ("geheim", "sig", "127.0.0.1", "data/"))


def test_paths_are_no_addresses(tmp_path):
    for path in (tmp_path / "a.zarr", "C:/a.zarr", "C://a.zarr", "a.zarr"):
        assert not isinstance(located(path), Address)
