"""Fixtures that the tests share.

Each imports what it needs when a test asks for it: the process that only hands tests to others
imports this module too, before these start.
"""

import os
import sys
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_info, threadpool_limits

import sksemobridge

# scikit-learn's array_api_dispatch asks for it, before scipy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# Tests assert what comes out, never how long it took; and contributors wait for each example.
settings.register_profile("short, without deadlines", deadline=None, max_examples=20)
settings.load_profile("short, without deadlines")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser that the tests of all pages share."""
    from .browser import Browser

    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def make_world():
    from .made_up import World

    return World


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture(
    params=[{}, {"d": 10, "width": 18, "dtype": np.float32}, {"bias": True}],
    ids=["square", "wide", "bias"],
)
def any_world(request, make_world):
    """Projections of several shapes, with a bias or without, and both precisions."""
    return make_world(**request.param)


@pytest.fixture(params=["FewShotClassifier", "SeMoBridgeClassifier"])
def kind(request):
    return getattr(sksemobridge, request.param)


@pytest.fixture
def own_memory(monkeypatch):
    """A memory of encoders for this test alone, which knows nothing that others embedded."""
    from sksemobridge.encoders import _cache, _shared, _text_encoder

    memory = _cache.store_in_memory()
    for module in (_cache, _shared, _text_encoder):
        monkeypatch.setattr(module, "IN_MEMORY", memory)
    return memory


@pytest.fixture
def on_pass(own_memory):
    """Have a function called with the number of images or texts of each pass through an encoder,
    before or after it. What earlier tests embedded is not known.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer
    from torch.nn import Embedding
    from torch.nn.modules.module import (
        register_module_forward_hook,
        register_module_forward_pre_hook,
    )

    entrances = {"image": (ModifiedResNet, VisionTransformer), "text": Embedding}
    with ExitStack() as hooks:

        def listen(encoder, function, after=False):
            def hook(module, inputs, *output):
                if isinstance(module, entrances[encoder]):
                    function(len(inputs[0]))

            register = register_module_forward_hook if after else register_module_forward_pre_hook
            hooks.enter_context(register(hook))

        yield listen


@pytest.fixture
def passes(on_pass):
    """Sizes of the batches that go through the image encoder."""
    sizes = []
    on_pass("image", sizes.append)
    return sizes


@pytest.fixture
def loads(monkeypatch):
    """Names of models in the order in which open_clip was asked to make them."""
    import open_clip

    made, create = [], open_clip.create_model

    def counting(name, *args, **kwargs):
        made.append(name)
        return create(name, *args, **kwargs)

    monkeypatch.setattr(open_clip, "create_model", counting)
    return made


@pytest.fixture
def bars_after(monkeypatch):
    """Say after how many seconds encoders show a bar of progress."""
    return lambda seconds: monkeypatch.setattr(
        "sksemobridge.encoders._embedding._BAR_AFTER", seconds
    )


@pytest.fixture
def limit_pixels(monkeypatch):
    """Set Pillow's limit on the pixels of a picture."""
    return lambda limit: monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", limit)


@pytest.fixture
def without(monkeypatch):
    """Take a package away, as if it were not installed."""
    return lambda package: monkeypatch.setitem(sys.modules, package, None)


@pytest.fixture
def blas_threads():
    """How many threads BLAS may use, as a set; two to begin with."""
    with threadpool_limits(2, user_api="blas"):
        yield lambda: {
            pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
        }


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of a user with `shots` and `photos`, the current one; caches are there too."""
    from .user_folder import fill

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return fill(tmp_path)


@pytest.fixture
def label(place, capsys):
    """Runs `sksemobridge label` with arguments in one text. Gives its status, and what it said."""
    from sksemobridge.labelling._command.cli import main

    def run(arguments):
        try:
            status = main(["label", *arguments.split()])
        except SystemExit as ended:
            status = ended.code
        return status, capsys.readouterr().err

    return run
