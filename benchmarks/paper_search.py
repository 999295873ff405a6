"""The use that the paper makes of its validation split: seven numbers by 1,000 trials, and the best step of training."""

from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch

from sksemobridge import PaperBlend, SeMoBridgeClassifier
from sksemobridge._paper.training import BridgeLoss

ATOL = 0.3
# What the paper validates steps with, before any search.
INITIAL = {
    "alpha": 1.0,
    "beta": 1.0,
    "gamma": 1.0,
    "lambda1": 0.5,
    "lambda2": 0.5,
    "lambda3": 0.5,
    "smoothness": 0.01,
}


class Validation:
    """Accuracy of the paper's blend on validation images.

    Parameters
    ----------
    fitted : SeMoBridgeClassifier
        Fitted to the shots, of any solver: it gives `z1`, the image means and the divergences.
    X : ndarray of shape (n, D)
    y : ndarray of shape (n,)
        Labels, equal to the positions of their classes.
    device : torch.device or str
    """

    def __init__(self, fitted, X, y, device):
        def tensor(values):
            return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)

        self.labels = torch.as_tensor(y, device=device)
        self.X, self.texts, self.means = (
            tensor(X),
            tensor(fitted.text_embeddings_),
            tensor(fitted.image_means_),
        )
        self.projection = tensor(fitted.text_encoder.projection_)
        self.queries = _unit(self.X)
        self.z1 = self.queries @ self.texts.T
        own = torch.softmax(self.means @ self.texts.T, dim=1).diagonal()
        self.divergence = torch.log2((1 + 1e-6) / (own + 1e-6))  # KL_c

    def affinities(self, bridge, prototypes):
        """`z1`, `z2`, `z3` of the bridge `(D, d)` and the prototypes `(C, D)`."""
        return self.z1, self.queries @ prototypes.T, _unit(self.X @ bridge @ self.projection) @ self.means.T

    def accuracy(self, affinities, settings):
        """Share of the images that the blend with these seven numbers classifies right."""
        terms = [
            settings[f"lambda{k}"] * torch.exp(settings[sharpness] * (z - 1))
            for k, (sharpness, z) in enumerate(zip(("alpha", "beta", "gamma"), affinities), start=1)
        ]
        scores = terms[0] + (terms[1] + terms[2]) * torch.exp(settings["smoothness"] * self.divergence)
        return float((scores.argmax(dim=1) == self.labels).double().mean())


@dataclass(frozen=True)
class Step:
    """A bridge `(D, d)` and its prototypes `(C, D)` after `number` steps of training."""

    number: int
    bridge: torch.Tensor
    prototypes: torch.Tensor

    @classmethod
    def of(cls, fitted, device):
        """The last step of a fitted classifier."""
        arrays = (fitted.bridge_, fitted.prototypes_)
        return cls(fitted.n_iter_, *(torch.as_tensor(a, dtype=torch.float32, device=device) for a in arrays))


def search(step, validation, trials, ranges, seed):
    """The best seven numbers on the validation images in `trials` trials of TPE, of which `INITIAL` is the first.

    Parameters
    ----------
    step : Step
    validation : Validation
    trials : int
    ranges : dict
        `(low, high)` of each number.
    seed : int
    """
    import optuna

    affinities = validation.affinities(step.bridge, step.prototypes)

    def objective(trial):
        settings = {name: trial.suggest_float(name, low, high) for name, (low, high) in ranges.items()}
        return validation.accuracy(affinities, settings)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(INITIAL)
    study.optimize(objective, n_trials=trials)
    return study.best_params


def best_step(classifier, X, y, validation):
    """The first `Step` after which the blend with its initial numbers is best on the validation images.

    Parameters
    ----------
    classifier : SeMoBridgeClassifier
        With `solver=Training("adamw")`; fitted here.
    X, y : ndarray of shape (n, D) and (n,)
        The shots; labels equal to the positions of their classes.
    validation : Validation
    """
    device = validation.X.device
    inputs = torch.as_tensor(X, dtype=torch.float32, device=device)
    codes = torch.as_tensor(y, device=device)
    share = (1 / torch.bincount(codes).float())[codes][:, None]
    best, accuracies = None, []

    def watch(bridge, class_bias):
        nonlocal best
        bridge, class_bias = (torch.as_tensor(values, device=device) for values in (bridge, class_bias))
        means = torch.zeros_like(class_bias).index_add_(
            0, codes, _unit(inputs @ bridge + class_bias[codes]) * share
        )
        prototypes = _unit(means @ validation.projection)
        accuracy = validation.accuracy(validation.affinities(bridge, prototypes), INITIAL)
        # The first call comes before any step; the paper validates after each.
        if accuracies and accuracy > max(accuracies[1:], default=-1):
            best = Step(len(accuracies), bridge.clone(), prototypes)
        accuracies.append(accuracy)

    with _every_step(watch):
        classifier.fit(X, y)
    watch(classifier.bridge_, classifier.class_bias_)
    return best


def paper_classifier(text_encoder, prompts):
    """The classifier with the paper's cutoff and score, and the numbers `INITIAL`."""
    blend = PaperBlend(**INITIAL, atol=ATOL, temperature=None)
    return SeMoBridgeClassifier(text_encoder, prompts=prompts, blend=blend)


def _every_step(watch):
    """Within the block, training calls `watch(bridge, class_bias)` with the weights that each step starts from."""

    original = BridgeLoss.__call__

    def watched(loss, inputs, bridge, class_bias):
        watch(bridge.detach(), class_bias.detach())
        return original(loss, inputs, bridge, class_bias)

    return mock.patch.object(BridgeLoss, "__call__", watched)


def _unit(rows):
    return torch.nn.functional.normalize(rows, dim=1)
