"""Loading models: which weights, once, and clear errors where there are none."""

import copy
import os
import pickle
import shutil
import socket
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from unittest.mock import MagicMock, Mock

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.base import clone

from sksemobridge import FewShotClassifier
from sksemobridge.encoders import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    ModelLoadError,
    _loaded_model,
    clear_model_cache,
)
from sksemobridge.encoders._hub import asking_hub_of
from sksemobridge.encoders._source import find_source, refuse_out_of_question

from ..encoder_helpers import (
    get_model,
    randomise,
    read_model,
    small_config,
    some_pictures,
    write_model,
)


@pytest.fixture(autouse=True)
def _empty_registry():
    clear_model_cache()
    yield
    clear_model_cache()


@pytest.fixture(scope="module")
def folder_model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), small_config("ViT-B-16"))


@pytest.fixture
def small_vit(monkeypatch):
    """open_clip's ViT-B-16 made small, so that its real tags can be tried with small weights."""
    config = small_config("ViT-B-16")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16", config)
    return config


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that nobody reaches. Call it for the folder in which a model that came from it earlier
    is kept.
    """

    def folder(repository):
        home = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text("abc")
        return home / "snapshots" / "abc"

    # huggingface_hub reads these from the environment when it is imported.
    for name, value in {
        "ENDPOINT": "http://127.0.0.1:9",
        "HUGGINGFACE_CO_URL_TEMPLATE": "http://127.0.0.1:9/{repo_id}/{revision}/{filename}",
        "HF_HUB_OFFLINE": True,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    return folder


@pytest.fixture
def downloaded(hub, small_vit):
    """Weights of two tags as earlier downloads left them: those of a small model with QuickGELU."""
    folder = hub("timm/vit_base_patch16_clip_224.openai")
    model = read_model(write_model(folder, small_config("ViT-B-16", quick_gelu=True)))
    shutil.copytree(folder, hub("laion/CLIP-ViT-B-16-laion2B-s34B-b88K"))
    return model


def activations(model):
    blocks = [*model.transformer.resblocks, *model.visual.transformer.resblocks]
    return {type(block.mlp.gelu).__name__ for block in blocks}


# What is loaded


def test_the_bundled_model_is_loaded_as_any_model_folder(hub, loads):
    loaded = get_model("mini", "bundled")
    assert (
        loaded.embed_dim == CLIPImageEncoder("mini", "bundled").transform(some_pictures(1)).shape[1]
    )
    assert CLIPTextEncoder("mini", "bundled").transform(["a cat"]).shape == (1, loaded.embed_dim)
    assert [name.partition(":")[0] for name in loads] == ["local-dir"]


def test_quickgelu_is_used_where_the_tag_says_so(downloaded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = get_model("ViT-B-16", "openai")
        assert activations(loaded.model) == {"QuickGELU"}
        assert activations(get_model("ViT-B-16", "laion2b_s34b_b88k").model) == {"GELU"}
    tokens = torch.randint(1, 1000, (3, loaded.model.context_length))
    torch.testing.assert_close(loaded.model.encode_text(tokens), downloaded.encode_text(tokens))


def test_preprocessing_is_the_models_own(folder_model, tmp_path):
    preprocess = {
        "mean": [0.1, 0.2, 0.3],
        "std": [0.9, 0.8, 0.7],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    squashing = write_model(tmp_path, small_config("ViT-B-16"), preprocess=preprocess)
    images = [Image.fromarray(pixels) for pixels in some_pictures(3, size=(50, 90))]
    for name in (folder_model, squashing):
        loaded = get_model(name)
        _, _, theirs = open_clip.create_model_and_transforms(name)
        cropped = np.stack([np.asarray(loaded.crop(image)) for image in images])
        ours = loaded.as_input(torch.from_numpy(cropped))
        assert torch.equal(ours, torch.stack([theirs(image) for image in images]))
        assert loaded.image_size == tuple(ours.shape[2:])


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_checkpoint_may_be_given_by_path(small_vit, tmp_path, as_type):
    model = randomise(open_clip.create_model("ViT-B-16", load_weights=False))
    torch.save(model.state_dict(), tmp_path / "checkpoint.pt")
    loaded = get_model("ViT-B/16", as_type(tmp_path / "checkpoint.pt"))
    assert torch.equal(loaded.model.text_projection, model.text_projection)


@pytest.fixture
def checkpoint(monkeypatch, tmp_path):
    """Write a checkpoint of a small model in place of the architecture of this name."""

    def write(name):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, small_config("ViT-B-16"))
        torch.save(
            open_clip.create_model(name, load_weights=False).state_dict(),
            tmp_path / "checkpoint.pt",
        )
        return name, tmp_path / "checkpoint.pt"

    return write


@pytest.mark.parametrize(
    ("name", "mean", "interpolation"),
    [
        ("MobileCLIP2-S0", (0, 0, 0), "bilinear"),
        ("ViT-B-16", open_clip.OPENAI_DATASET_MEAN, "bicubic"),
    ],
)
def test_a_checkpoint_has_the_preprocessing_on_which_all_tags_agree(
    checkpoint, name, mean, interpolation
):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        how = get_model(*checkpoint(name)).preprocessing()
    assert how["mean"] == pytest.approx(mean)
    assert how["interpolation"] == interpolation


def test_a_checkpoint_on_whose_preprocessing_tags_differ_is_warned_of(checkpoint):
    with pytest.warns(
        UserWarning, match="'ViT-L-14' .* do not agree .* preprocess_cfg: model_name='local-dir:"
    ):
        how = get_model(*checkpoint("ViT-L-14")).preprocessing()
    assert how["mean"] == pytest.approx(open_clip.OPENAI_DATASET_MEAN)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("ViT-B-32-256", "datacomp_s34b_b86k"),
        ("ViT-B-16", "datacomp_xl_s13b_b90k"),
        ("ViT-B-16-SigLIP", "webli"),
        ("ViT-H-14", "laion2b_s32b_b79k"),
        ("RN50", "openai"),
    ],
)
def test_auto_is_the_only_tag_or_the_best_one(name, tag):
    assert find_source(name, "auto") == find_source(name, tag)


def test_auto_is_the_bundled_model_where_its_name_is_given_and_an_error_without_weights():
    assert find_source("mini", "auto") == find_source("mini", "bundled")
    with pytest.raises(ModelLoadError, match="'auto' finds no weights of 'ViT-S-32'"):
        get_model("ViT-S-32", "auto")


def test_a_file_in_the_working_directory_does_not_hide_a_tag(downloaded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai").write_text("not weights")
    assert activations(get_model("ViT-B-16", "openai").model) == {"QuickGELU"}


# Clear errors where there are no weights


@pytest.mark.parametrize(
    ("model_name", "pretrained", "message"),
    [
        ("vit-b16", "openai", "knows no model 'vit-b16'. Similar names: ViT-B-16, "),
        ("Mini", "auto", "knows no model 'Mini'. Similar names: mini. open_clip.list_models"),
        ("ViT-B-16", "openia", "neither a file nor a tag of the model 'ViT-B-16': openai, "),
        ("ViT-B-16", None, "'ViT-B-16' needs weights"),
        ("ViT-B-16", "", "'ViT-B-16' needs weights"),
        ("mini", "openai", "model_name='mini' with pretrained='bundled'"),
        ("mini", None, "model_name='mini' with pretrained='bundled'"),
        ("ViT-B-16", "bundled", "model_name='mini' with pretrained='bundled'"),
        ("local-dir:/nothing/here", None, "there is no open_clip_config.json"),
    ],
)
def test_what_names_no_model_is_answered_with_what_there_is(model_name, pretrained, message):
    with pytest.raises(ModelLoadError, match=message):
        get_model(model_name, pretrained)


@pytest.mark.parametrize(
    ("name", "pretrained"), [("ViT-B-16", "openai"), ("hf-hub:some/model", None)]
)
def test_without_a_network_one_line_names_attempt_and_remedy(
    hub, name, pretrained, monkeypatch, caplog, recwarn
):
    # Nobody said so: there is no connection.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    tried = Mock(side_effect=socket.create_connection)
    monkeypatch.setattr(socket, "create_connection", tried)
    with pytest.raises(ModelLoadError, match="could not be loaded: it is not on this") as caught:
        get_model(name, pretrained)
    for part in (name, "http://127.0.0.1:9 cannot be reached", "HF_HOME", "copy that", "'bundled'"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    # Not five times for each file, and with nothing said of it.
    assert tried.call_count == 1
    assert (caplog.text, [*recwarn]) == ("", [])
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.fixture
def first_use(monkeypatch):
    """As in a process that has not imported open_clip yet."""
    monkeypatch.delitem(sys.modules, "open_clip")


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("vit-b16", "auto", "knows no model 'vit-b16'. Similar names: ViT-B-16, "),
        ("ViT-B-16", "auto", "'ViT-B-16', .* it is not on this machine, and http://127.0.0.1:9 c"),
        ("ViT-B/16", "openai", "it is not on this machine"),
        ("hf-hub:some/model", None, "'hf-hub:some/model' could not be loaded: it is not on this"),
        ("transformers:some/model", None, "it is not on this machine"),
    ],
)
def test_what_cannot_be_had_is_said_before_packages_are_imported(
    hub, first_use, name, pretrained, message
):
    if pretrained is None:
        hub("another/model")
    with pytest.raises(ModelLoadError, match=message):
        get_model(name, pretrained)
    assert "open_clip" not in sys.modules


def test_what_may_be_had_is_not_refused(hub, first_use, tmp_path, monkeypatch):
    (tmp_path / "config.json").touch()
    for name, pretrained in [
        ("mini", "auto"),
        ("timm:resnet18", None),
        ("ViT-B-16", "my_weights.pt"),
        (f"transformers:{tmp_path}", None),
    ]:
        refuse_out_of_question(name, pretrained)
    hub("some/model")
    refuse_out_of_question("ViT-B-16", "openai")
    refuse_out_of_question("hf-hub:some/model", None)
    # A hub that answers is asked.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "create_connection", MagicMock())
    refuse_out_of_question("hf-hub:another/model", None)


def test_threads_that_load_without_a_network_leave_the_setting_as_it_was(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    source, first_is_in, go_on = Mock(files=()), threading.Event(), threading.Event()

    def first():
        with asking_hub_of(source):
            first_is_in.set()
            go_on.wait(60)

    def second():
        with asking_hub_of(source):
            return go_on.is_set()

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(first)
        first_is_in.wait(60)
        two = threads.submit(second)
        with suppress(TimeoutError):
            two.result(0.05)
        go_on.set()
        one.result(60)
        assert two.result(60)
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("variable", "proxy", "asked"),
    [
        ("HTTPS_PROXY", "http://proxy:3128", ("proxy", 3128)),
        ("ALL_PROXY", "socks5://proxy", ("proxy", 1080)),
        # What is no address, the client of the hub says.
        ("HTTPS_PROXY", "http://proxy:port", None),
    ],
)
def test_a_hub_behind_a_proxy_is_asked_through_it(monkeypatch, variable, proxy, asked):
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub")
    connect = MagicMock()
    monkeypatch.setattr(socket, "create_connection", connect)
    with asking_hub_of(find_source("hf-hub:some/model", None)):
        assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert [call.args[0] for call in connect.call_args_list] == [asked] * (asked is not None)


@pytest.mark.parametrize("offline", [False, True])
def test_what_was_downloaded_once_needs_no_network(hub, downloaded, monkeypatch, offline):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    of_hub = read_model(write_model(hub("some/model"), small_config("ViT-B-16")))
    for name, pretrained, wanted in (
        ("ViT-B-16", "openai", downloaded),
        ("hf-hub:some/model", None, of_hub),
    ):
        loaded = get_model(name, pretrained)
        assert torch.equal(loaded.model.text_projection, wanted.text_projection)
        assert loaded.model.visual.preprocess_cfg["mean"] == open_clip.OPENAI_DATASET_MEAN
        assert len(CLIPTextEncoder(name, pretrained).transform(["a cat"])) == 1
    # Names of dimensions need no weights at all.
    assert len(CLIPImageEncoder("RN50", "openai").get_feature_names_out()) == 1024


def test_a_hub_model_whose_weights_are_missing_is_not_made_up(hub):
    write_model(hub("some/model"), small_config("ViT-B-16"), weights=False)
    with pytest.raises(ModelLoadError, match="hf-hub:some/model"):
        get_model("hf-hub:some/model")


@pytest.mark.parametrize(
    "content", ["missing", "empty", "text", "truncated", "of another architecture"]
)
def test_broken_weights_are_an_error_and_never_random_ones(tmp_path, folder_model, content):
    folder = shutil.copytree(folder_model.partition(":")[2], tmp_path / "broken")
    weights = folder / "open_clip_model.safetensors"
    if content == "missing":
        weights.unlink()
    elif content == "of another architecture":
        write_model(folder, small_config("RN50"), weights=False)
    else:
        contents = {"empty": b"", "text": b"x", "truncated": weights.read_bytes()[:100_000]}
        weights.write_bytes(contents[content])
    with pytest.raises(ModelLoadError, match="Check that the weights are whole and belong to this"):
        get_model(f"local-dir:{folder}")


def test_a_checkpoint_that_would_run_code_is_refused(small_vit, tmp_path):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"state_dict": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(ModelLoadError):
        get_model("ViT-B-16", str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


def test_a_missing_tokenizer_does_not_keep_images_from_being_embedded(tmp_path):
    config = small_config("ViT-B-16-SigLIP")
    name = write_model(tmp_path, config)
    assert CLIPImageEncoder(name).transform(some_pictures(2)).shape == (2, config["embed_dim"])
    with pytest.raises(ModelLoadError, match="tokenizer"):
        CLIPTextEncoder(name).transform(["a cat"])


# The registry


def test_threads_that_ask_at_once_load_once(folder_model, loads):
    together = threading.Barrier(4)

    def ask(_):
        together.wait()
        get_model(folder_model)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4)))
    assert len(loads) == 1


def test_weights_of_equal_size_and_time_are_loaded_anew(tmp_path):
    config = small_config("ViT-B-16")
    name = write_model(tmp_path, config, seed=0)
    before = CLIPTextEncoder(name).projection_
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_model(tmp_path, config, seed=1)
    for path, changed in times.items():
        os.utime(path, ns=(changed, changed))
    assert not np.allclose(CLIPTextEncoder(name).projection_, before)


def test_image_and_text_encoder_share_one_model_whatever_else_is_in_its_folder(tmp_path, loads):
    name = write_model(tmp_path / "model", small_config("ViT-B-16"))
    loads.clear()
    encoder = CLIPImageEncoder(name, cache=tmp_path / "model" / "cache")
    pictures = some_pictures(2)
    X = encoder.transform(pictures)
    (tmp_path / "model" / "notes.txt").write_text("very good")
    encoder.set_params(cache=tmp_path / "model").transform(pictures)
    os.utime(tmp_path / "model" / "open_clip_config.json")
    FewShotClassifier(CLIPTextEncoder(name), vocabulary=None).fit(X, ["cat", "dog"])
    assert len(loads) == 1


@pytest.mark.parametrize("encoder_class", [CLIPImageEncoder, CLIPTextEncoder])
def test_encoders_hold_no_weights(encoder_class, folder_model, loads):
    encoder = encoder_class(folder_model)
    encoder.transform(some_pictures(1) if encoder_class is CLIPImageEncoder else ["a cat"])
    assert set(vars(encoder)) == set(encoder.get_params())
    assert len(pickle.dumps(encoder)) < 2000
    loads.clear()
    clear_model_cache()
    other = clone(encoder)
    repr(other)
    other._repr_html_()
    assert loads == []


# Device and precision


def test_a_device_that_is_not_there_is_an_error_but_a_pickle_that_names_it_loads(folder_model):
    encoder = pickle.loads(pickle.dumps(CLIPImageEncoder(folder_model, device="cuda")))
    assert encoder.device == "cuda"
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda' is no device"):
            encoder.transform(some_pictures(1))
    # torch knows no such device.
    with pytest.raises(ValueError, match="device='gpu' is no device"):
        encoder.set_params(device="gpu").transform(some_pictures(1))
    assert encoder.set_params(device="auto").transform(some_pictures(1)).shape == (1, 32)


def test_automatic_precision_follows_the_hardware_except_for_small_encoders(monkeypatch):
    on_cpu = get_model("mini", "bundled")
    on_gpu = copy.copy(on_cpu)
    on_gpu.device = torch.device("cuda", 0)
    assert on_cpu.image_precision("auto") == on_gpu.image_precision("auto") == "fp32"
    monkeypatch.setattr(_loaded_model, "SMALL_ENCODER", 0)
    for native, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(_loaded_model, "_cpu_has_bf16", lambda native=native: native)
        assert on_cpu.image_precision("auto") == expected
        assert on_cpu.image_precision("fp32") == "fp32"
    for capability, expected in (((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert on_gpu.image_precision("auto") == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("architecture", ["ViT-B-16", "RN50"])
def test_a_gpu_gives_the_embeddings_of_the_cpu(tmp_path, architecture):
    name = write_model(tmp_path, small_config(architecture))
    pictures = some_pictures(20)
    on_cpu = CLIPImageEncoder(name, precision="fp32", device="cpu").transform(pictures)
    for precision, tolerance in (("fp32", 1e-4), ("auto", 1e-3)):
        on_gpu = CLIPImageEncoder(name, precision=precision, device="cuda").transform(pictures)
        lengths = np.linalg.norm(on_cpu, axis=1) * np.linalg.norm(on_gpu, axis=1)
        assert ((on_cpu * on_gpu).sum(axis=1) / lengths).min() > 1 - tolerance
