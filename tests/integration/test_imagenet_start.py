"""``--start imagenet`` against a hub of our own on 127.0.0.1, which answers as the real one does."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import timm
import torch
from safetensors.torch import save

from napari_deepheme.errors import OptionError
from napari_deepheme.models.spec import Architecture
from napari_deepheme.train.recipe import Recipe, read_recipe
from napari_deepheme.train.start import starting_network

CPU = torch.device("cpu")
CLASSES = 11


def imagenet_network() -> torch.nn.Module:
    torch.manual_seed(5)
    return timm.create_model("regnety_002", num_classes=1000)


@pytest.fixture(scope="module")
def weights() -> bytes:
    return save({name: value.contiguous() for name, value in imagenet_network().state_dict().items()})


@pytest.fixture
def asked(weights, tmp_path, monkeypatch) -> Iterator[list[str]]:
    """What is asked of a hub that only has the weights of ``regnety_002``."""
    paths: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            paths.append(self.path)
            found = self.path == "/timm/regnety_002.pycls_in1k/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            if found:
                self.send_header("ETag", '"0123"')
                self.send_header("X-Repo-Commit", "0" * 40)
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(weights) if found else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(weights)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    yield paths
    server.shutdown()
    server.server_close()


def recipe(**changes: object) -> Recipe:
    network = Architecture(name="regnety_002")
    return read_recipe("small").model_copy(update={"start": "imagenet", "architecture": network, **changes})


def test_the_weights_are_fetched_once_and_only_the_last_layer_is_new(asked, monkeypatch):
    network = starting_network(recipe(), CLASSES, CPU)
    known, own = imagenet_network().state_dict(), network.state_dict()
    other = {name for name in own if not torch.equal(own[name], known[name])}
    assert other == {"head.fc.weight", "head.fc.bias"}
    assert network.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, CLASSES)

    asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = starting_network(recipe(), CLASSES, CPU).state_dict()
    assert all(torch.equal(again[name], own[name]) for name in own if name not in other)
    assert not asked


def test_weights_that_the_hub_does_not_have_are_said_in_a_sentence(asked):
    architecture = recipe().architecture.model_copy(update={"name": "regnetx_002"})
    with pytest.raises(
        OptionError, match=r"ImageNet weights of regnetx_002 cannot be had .* --start scratch"
    ):
        starting_network(recipe(architecture=architecture), CLASSES, CPU)
    assert asked
