"""Slides in object stores: servers of this machine that speak as S3 and Google Cloud Storage do."""

from __future__ import annotations

import json
import logging
import sys
import urllib.request

import numpy as np
import pytest

from napari_deepheme import cli, open_slide
from napari_deepheme.errors import SlideError
from napari_deepheme.slide.fingerprint import fingerprint

KEY = "case 1/smear.svs"
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:moto.*", "ignore::DeprecationWarning:botocore.*", "ignore::ResourceWarning"
)


@pytest.fixture
def s3(monkeypatch, smear_path):
    """``s3://`` with the smear in it."""
    s3fs = pytest.importorskip("s3fs", reason="s3:// needs s3fs (napari-deepheme[remote])")
    s3fs.S3FileSystem.clear_instance_cache()  # of the server before
    moto = pytest.importorskip(
        "moto.server", reason="s3:// is tried on moto's server (moto[s3], flask, flask-cors)"
    )
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="slides")
    client.put_object(Bucket="slides", Key=KEY, Body=smear_path.read_bytes())
    yield "s3://slides"
    client.close()
    server.stop()


@pytest.fixture
def gs(monkeypatch, smear_path):
    """``gs://`` with the smear in it."""
    gcsfs = pytest.importorskip("gcsfs.core", reason="gs:// needs gcsfs (napari-deepheme[remote])")
    gcsfs.GCSFileSystem.clear_instance_cache()  # of the server before
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server", reason="gs:// is tried on gcp-storage-emulator"
    )
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="slides")
    server.start()
    endpoint = "http://{}:{}".format(*server._api._httpd.server_address)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    monkeypatch.setattr(
        "fsspec.config.conf", {"gs": {"token": "anon"}}
    )  # FSSPEC_GS_TOKEN, read at the import
    address = f"{endpoint}/upload/storage/v1/b/slides/o?uploadType=media&name=case%201%2Fsmear.svs"
    with urllib.request.urlopen(address, data=smear_path.read_bytes()):
        pass
    yield "gs://slides"
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def bucket(request):
    return request.getfixturevalue(request.param)


def test_a_slide_in_a_bucket_is_the_same_slide(bucket, smear_path):
    with open_slide(f"{bucket}/{KEY}") as there, open_slide(smear_path) as here:
        assert there.info.levels == here.info.levels
        assert fingerprint(there.info) == fingerprint(here.info)
        read = [slide.read((500.0, 600.0), (300, 200), 0.3) for slide in (there, here)]
    np.testing.assert_array_equal(*read)


def test_info_takes_the_address_of_a_bucket(bucket, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["napari-deepheme", "info", f"{bucket}/{KEY}", "--json"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["width"], facts["height"]) == ("Aperio SVS", 1280, 1536)


@pytest.mark.parametrize("place", ["{}/other.svs", "{}-of-others/smear.svs"])
def test_what_is_not_in_a_bucket_is_said_at_once(bucket, place):
    with pytest.raises(SlideError, match="there is no such file on the server"):
        open_slide(place.format(bucket))
