"""Made-up CLIP embeddings that the tests share."""

import os
import sys
import tracemalloc
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_info, threadpool_limits

# scikit-learn's array_api_dispatch asks for it, before scipy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

from sksemobridge import (  # noqa: E402
    FewShotClassifier,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
)
from sksemobridge.encoders import _cache, _shared, _text_encoder  # noqa: E402
from sksemobridge.labelling._photos.command import main  # noqa: E402

from .user_folder import fill  # noqa: E402

# Tests assert what comes out, never how long it took; and contributors wait for each example.
settings.register_profile("short, without deadlines", deadline=None, max_examples=20)
settings.load_profile("short, without deadlines")

NAMES = ["cat", "dog", "bird", "hot dog", "fire truck"]
TEMPLATE = "a photo of a {}."


class World:
    """Five classes whose images and texts live close together in a made-up joint space."""

    def __init__(self, seed=0, d=24, width=16, bias=False, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.names = sorted(NAMES)
        self.projection = rng.normal(size=(d, width)) / np.sqrt(d)
        self.projection_bias = rng.normal(scale=0.1, size=width) if bias else None
        self.eos = 3 * rng.normal(size=(len(self.names), d))
        self._joint = self.eos @ self.projection + (0 if not bias else self.projection_bias)
        self._rng, self._dtype = rng, dtype

    def text_encoder(self):
        return PrecomputedTextEncoder(
            self.texts,
            self.eos,
            self.projection,
            projection_bias=self.projection_bias,
            logit_scale=20.0,
        )

    @property
    def texts(self):
        return [TEMPLATE.format(name) for name in self.names]

    def classifier(self, kind=FewShotClassifier, **params):
        """A classifier that knows the texts, and learns from shots."""
        return kind(self.text_encoder(), prompts=TEMPLATE, **params)

    def zero_shot(self, **params):
        return ZeroShotClassifier(self.text_encoder(), prompts=TEMPLATE, **params)

    def codes(self, y):
        """Labels as numbers, for classifiers without text."""
        return np.searchsorted(self.names, y)

    def draw(self, per_class, noise=1.2):
        """Images `X` and labels `y`; `per_class` is a number or one for each class."""
        counts = np.broadcast_to(per_class, len(self.names))
        codes = np.repeat(np.arange(len(self.names)), counts)
        X = self._joint[codes] + noise * self._rng.normal(size=(len(codes), self._joint.shape[1]))
        order = self._rng.permutation(len(codes))
        return X[order].astype(self._dtype), np.array(self.names)[codes[order]]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World


@pytest.fixture(
    params=[{}, {"d": 10, "width": 18, "dtype": np.float32}, {"bias": True}],
    ids=["square", "wide", "bias"],
)
def any_world(request):
    """Projections of several shapes, with a bias or without, and both precisions."""
    return World(**request.param)


@pytest.fixture(params=[FewShotClassifier, SeMoBridgeClassifier])
def kind(request):
    return request.param


def every_model(test):
    """A test of both classifiers, and of a trained bridge, by `params` of `World.classifier`."""
    closed_form = {"kind": SeMoBridgeClassifier}
    trained = closed_form | {"solver": "lbfgs", "max_iter": 5}
    models = {"few shots": {}, "closed form": closed_form, "trained": trained}
    test = pytest.mark.filterwarnings("ignore:The bridge did not converge")(test)
    return pytest.mark.parametrize("params", models.values(), ids=models)(test)


def arrays_of(part):
    """All arrays that an object holds."""
    if isinstance(part, np.ndarray):
        yield part
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from arrays_of(item)
    elif isinstance(part, dict):
        yield from arrays_of(list(part.values()))
    elif hasattr(part, "__dict__"):
        yield from arrays_of(vars(part))


def peak_memory(function):
    """Most bytes that a call takes at a time."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.fixture
def own_memory(monkeypatch):
    """A memory of encoders for this test alone, which knows nothing that others embedded."""
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return fill(tmp_path)


@pytest.fixture
def label(place, capsys):
    """Runs `sksemobridge label` with arguments in one text. Gives its status, and what it said."""

    def run(arguments):
        try:
            status = main(["label", *arguments.split()])
        except SystemExit as ended:
            status = ended.code
        return status, capsys.readouterr().err

    return run
