"""Everything that computes on a device, on one that does not mix with the CPU."""

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, clear_model_cache

from .encoder_helpers import some_pictures
from .second_device import NAME, SecondDevice
from .semobridge.test_training import train
from .semobridge.worlds import make_problem
from .versions import needs

TEXTS = ["a cat", "a dog and a tree", "a cat"]


@pytest.fixture(autouse=True)
def second_device():
    with SecondDevice():
        yield


@pytest.fixture(autouse=True, scope="module")
def _no_model_stays_there():
    yield
    clear_model_cache()


def mini(encoder_class, device, **params):
    return encoder_class("mini", "bundled", device=device, **params)


MISTAKES = {
    "arange without device": lambda x: x + torch.arange(3),
    "zeros for zeros_like": lambda x: torch.zeros(x.shape) + x,
    "a constant of NumPy": lambda x: x @ torch.from_numpy(np.ones((3, 2), dtype=np.float32)),
    "torch.tensor on the device": lambda x: x + torch.tensor([1.0, 2.0, 3.0], device=x.device),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_device_catches_mistakes_that_the_cpu_forgives(mistake):
    x = torch.ones(2, 3)
    mistake(x)
    with pytest.raises(RuntimeError, match="mixes tensors|without values"):
        mistake(x.to(NAME))


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("identity", [False, True])
def test_training_gives_what_the_cpu_gives(solver, identity):
    problem = make_problem(identity=identity, bias=True)
    on_cpu, on_device = (
        train(problem, solver, max_iter=8, device=device) for device in ("cpu", NAME)
    )
    assert_allclose(on_device.bridge, on_cpu.bridge, atol=1e-5)
    assert_allclose(on_device.class_bias, on_cpu.class_bias, atol=1e-5)
    assert_allclose(on_device.loss_curve[-1], on_cpu.loss_curve[-1], rtol=1e-6)


def test_images_are_embedded_as_on_the_cpu(tmp_path):
    pictures = some_pictures(5)
    pictures.append(pictures[1].copy())
    expected = mini(CLIPImageEncoder, "cpu", normalize=True).transform(pictures)
    encoder = mini(CLIPImageEncoder, NAME, normalize=True, batch_size=2, cache=tmp_path)
    for _ in range(2):
        assert_allclose(encoder.transform(pictures), expected, atol=1e-5)


@needs(
    "open_clip_torch", "3.3", "indexes with positions on the CPU, which this device does not take"
)
def test_texts_are_embedded_as_on_the_cpu():
    device, cpu = mini(CLIPTextEncoder, NAME), mini(CLIPTextEncoder, "cpu")
    for method in ("transform", "encode"):
        assert_allclose(getattr(device, method)(TEXTS), getattr(cpu, method)(TEXTS), atol=1e-4)
    assert_allclose(device.projection_, cpu.projection_)
    assert device.logit_scale_ == pytest.approx(cpu.logit_scale_)


@needs(
    "array-api-compat", "1.15", "makes constants in a way that GPUs take and this device does not"
)
def test_probabilities_stay_on_the_device(kind, make_world):
    world = make_world(bias=True, dtype=np.float32)
    X, y = world.draw(4)
    queries = world.draw(6)[0]
    classifier = world.classifier(kind).fit(X, y)
    with sklearn.config_context(array_api_dispatch=True):
        probabilities = classifier.predict_proba(torch.from_numpy(queries).to(NAME))
    assert probabilities.device.type == NAME
    assert_allclose(probabilities.cpu(), classifier.predict_proba(queries), rtol=1e-3, atol=1e-5)
