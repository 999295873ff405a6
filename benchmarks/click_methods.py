"""The methods that `clicks.py` compares: what each says of a folder, and which images it asks for.

A method is a class of two methods, made anew for each folder:

- `Method(folder, rng)`: `folder` is a `Folder`, which has no labels, and `rng` a NumPy generator;
- `learn(rows, labels)`: the answers so far, `rows (k,)` of the folder in the order in which they
  were asked, and the names `labels (k,)` of their classes (`NONE` for none of these). It returns
  the labels `(n,)` that it gives all images, and the share of the images without an answer that it
  says are right: a number, `(estimate, low, high)`, or None where it says nothing;
- `choose(n)`: at most `n` rows without an answer, which are asked next.
"""

import os
import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import numpy as np
import peers
import tasks
from few_shot_methods import chosen
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier, SeMoBridgeClassifier
from sksemobridge.labelling import stranger_proba
from sksemobridge.labelling._label_next import images_to_label, least_certain
from sksemobridge.labelling._share_right import Answered, share_right, weights_of_answers

NONE = ""  # the label of images of none of the classes
OURS = "FewShotClassifier"
OURS_RANDOM = "FewShotClassifier, random"
NAMELESS = "FewShotClassifier, no names"
RIVAL = "LogisticRegression around the texts, margin"
STRATEGIES = ("TypiClust", "CoreSet", "Badge", "ProbCover")


@dataclass(frozen=True)
class Folder:
    """What a method knows before the first answer.

    Attributes
    ----------
    name : str
        Of the task. Peers have their setting of other families by it.
    X : ndarray of shape (n, D)
        Embeddings of the images.
    classes : ndarray of shape (C,)
        Their names, sorted.
    texts : ndarray of shape (C, D) or None
        Unit embeddings of the names; None where there are none.
    logit_scale : float
        That of the model.
    has_strangers : bool
        Whether some images are of none of the classes.
    text_encoder, prompts
        As `FewShotClassifier` takes them.
    """

    name: str
    X: np.ndarray
    classes: np.ndarray
    texts: np.ndarray
    logit_scale: float
    has_strangers: bool
    text_encoder: object
    prompts: object

    @classmethod
    def of(cls, task, classes):
        """The folder of the images of a task, with the names of some classes."""
        texts, scale = None, 100.0
        if task.text_encoder is not None:
            names = tasks.zero_shot(task, classes)
            texts, scale = names.text_embeddings_, float(names.text_encoder.logit_scale_)
        has_strangers, of_text = NONE in task.y, (task.text_encoder, task.prompts)
        return cls(task.name, task.X, classes, texts, scale, has_strangers, *of_text)


class Ours:
    """The classifier that the folder has taught. `kind` is empty, "random", or "no names"."""

    def __init__(self, folder, rng, kind=""):
        self.folder, self.rng, self.kind = folder, rng, kind
        self.rows, self.answers = np.array([], dtype=int), []

    def learn(self, rows, labels):
        self._remember(rows[len(self.rows) :], labels[len(self.rows) :])
        self.rows, own = rows, labels != NONE
        X, names = self.folder.X, self.folder.classes
        if self.kind == "no names" and not len(rows):
            return np.full(len(X), names[0]), None
        self.model = self._fitted(X[rows[own]], labels[own])
        p_none = np.zeros(len(X))
        if not own.all():
            p_none = stranger_proba(self.model, X, X[rows[~own]])
        pool = self._unanswered() & (p_none < 0.5)
        self.taught = self.model.with_unlabeled(X[pool]) if pool.any() else self.model
        self.p = np.column_stack([self.taught.predict_proba(X) * (1 - p_none)[:, None], p_none])
        predicted = np.append(self.taught.classes_, NONE)[self.p.argmax(axis=1)]
        return predicted, self._said(self._unanswered() & (predicted != NONE))

    def choose(self, n):
        rest = np.flatnonzero(self._unanswered())
        if self.kind == "random" or (self.kind == "no names" and not len(self.rows)):
            return self.rng.permutation(rest)[:n]
        if self.folder.has_strangers:
            return rest[least_certain(self.p[rest])[:n]]
        # `label_next` of what the rest has taught already. Equal images are asked once.
        chosen = images_to_label(self.taught, self.folder.X[rest], n, np.arange(len(rest)))
        return rest[chosen] if len(chosen) else rest[:n]

    def _unanswered(self):
        return ~np.isin(np.arange(len(self.folder.X)), self.rows)

    def _fitted(self, X, y):
        if self.kind == "no names":
            return FewShotClassifier(class_names="ignore").fit(X, y)
        if not len(X):
            return tasks.zero_shot(self.folder, self.folder.classes)
        model = FewShotClassifier(self.folder.text_encoder, prompts=self.folder.prompts)
        return model.partial_fit(X, y, classes=self.folder.classes)

    def _remember(self, rows, labels):
        """Answers to images that the model chose say how good its probabilities were."""
        # Like the page: strangers say nothing of the other images.
        own = labels != NONE
        if own.any() and self.kind == "":
            codes = np.searchsorted(self.folder.classes, labels[own])
            self.answers.append((self.p[rows[own]], codes))

    def _said(self, rest):
        # Names alone say nothing, and what is ignored has no share of names.
        if not len(self.rows) or self.kind == "no names" or not rest.any():
            return None
        return share_right(self.p[rest], self._answered())

    def _answered(self):
        if not self.answers:
            return []
        proba, codes = map(np.concatenate, zip(*self.answers))
        rounds = np.repeat(np.arange(len(self.answers)), [len(codes) for _, codes in self.answers])
        return [Answered(proba, codes, weights_of_answers(rounds, proba.argmax(axis=1)))]


def least_margin(p):
    """Rows of probabilities by the difference of the two largest ones."""
    p = np.sort(p, axis=1)
    return np.argsort(p[:, -1] - p[:, -2], kind="stable")


class ByMargin:
    """A classifier that starts from the names, and asks for the least margin.

    `fit(folder, X, y)` gives it from the answers that name a class; None is the names alone. The
    share that it says is the mean of its largest probabilities.
    """

    def __init__(self, folder, rng, fit=None):
        self.folder, self.fit = folder, fit
        self.model = tasks.zero_shot(folder, folder.classes)

    def learn(self, rows, labels):
        own = labels != NONE
        if self.fit is not None and own.any():
            self.model = self.fit(self.folder, self.folder.X[rows[own]], labels[own])
        self.p = self.model.predict_proba(self.folder.X)
        self.rest = np.setdiff1d(np.arange(len(self.p)), rows)
        return self.folder.classes[self.p.argmax(axis=1)], self.p[self.rest].max(axis=1).mean()

    def choose(self, n):
        return self.rest[least_margin(self.p[self.rest])[:n]]


def around_texts(folder, X, y):
    return peers.AnchoredProbe(folder.texts, folder.logit_scale).fit(X, y, folder.classes)


def text_coord(folder, X, y):
    return peers.TextCoord(folder.texts, folder.logit_scale).fit(X, y, folder.classes)


def semobridge(folder, X, y):
    model = SeMoBridgeClassifier(folder.text_encoder, prompts=folder.prompts, device="cpu")
    return model.partial_fit(X, y, folder.classes)


class Logistic:
    """scikit-learn's logistic regression with its setting of other families of tasks.

    `strategy` is random, margin, "from names", or a name of scikit-activeml. Images of none of the
    classes are a class.
    """

    def __init__(self, folder, rng, strategy):
        self.folder, self.strategy, self.rng = folder, strategy, rng
        self.X, self.model = normalize(folder.X), None
        # Examples before the first answer: the texts of the classes, or none.
        by_names = slice(None if strategy == "from names" else 0)
        self.first_X, self.first_y = folder.texts[by_names], folder.classes[by_names]

    def learn(self, rows, labels):
        self.rows, self.labels = rows, labels
        self.rest = np.setdiff1d(np.arange(len(self.X)), rows)
        y = np.concatenate([self.first_y, labels])
        if len(np.unique(y)) < 2:
            return np.full(len(self.X), [*y, self.folder.classes[0]][0]), None
        X = np.concatenate([self.first_X, self.X[rows]])
        self.model = chosen("LogisticRegression", self.folder).fit(X, y)
        self.p = self.model.predict_proba(self.X)
        return self.model.classes_[self.p.argmax(axis=1)], self.p[self.rest].max(axis=1).mean()

    def choose(self, n):
        if self.strategy in STRATEGIES:
            return self._ask(n)
        if self.strategy in ("margin", "from names") and self.model is not None:
            return self.rest[least_margin(self.p[self.rest])[:n]]
        return self.rng.permutation(self.rest)[:n]

    def _ask(self, n):
        from skactiveml import pool
        from skactiveml.classifier import SklearnClassifier

        if self.strategy == "Badge" and not len(self.rows):
            return self.rng.permutation(len(self.X))[:n]
        strategy = getattr(pool, self.strategy)(random_state=0, missing_label=-1)
        classes, options = np.append(self.folder.classes, NONE), {}
        if self.strategy == "Badge":
            options["clf"] = SklearnClassifier(
                chosen("LogisticRegression", self.folder),
                classes=np.arange(len(classes)),
                missing_label=-1,
                random_state=0,
            )
        known = np.full(len(self.X), -1)
        known[self.rows] = [np.flatnonzero(classes == label)[0] for label in self.labels]
        return strategy.query(self.X, known, batch_size=n, **options)


METHODS = {
    OURS: Ours,
    RIVAL: partial(ByMargin, fit=around_texts),
    "TextCoord, margin": partial(ByMargin, fit=text_coord),
    "SeMoBridge, margin": partial(ByMargin, fit=semobridge),
    NAMELESS: partial(Ours, kind="no names"),
    "LogisticRegression, margin": partial(Logistic, strategy="margin"),
    OURS_RANDOM: partial(Ours, kind="random"),
    "LogisticRegression, random": partial(Logistic, strategy="random"),
    "zero-shot, margin": ByMargin,
    "LogisticRegression, from names": partial(Logistic, strategy="from names"),
    **{f"LogisticRegression, {name}": partial(Logistic, strategy=name) for name in STRATEGIES},
}
# What needs no other package.
BASELINES = [name for name in METHODS if not name.endswith(STRATEGIES)]


def method_of(name):
    """What makes a method for a folder: one of `METHODS`, or the class `module:Class`."""
    if name in METHODS:
        return METHODS[name]
    module, _, kind = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(
            f"{name!r} must name a class as module:Class, in a file module.py of this folder"
            f" ({error})."
        ) from error
