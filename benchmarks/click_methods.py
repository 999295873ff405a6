"""The methods that `clicks.py` compares: what each learns from labels, and which it asks for."""

import numpy as np
import tasks
from few_shot_methods import chosen
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier
from sksemobridge.labelling import label_next, stranger_proba
from sksemobridge.labelling._label_next import least_certain
from sksemobridge.labelling._share_right import Answered, share_right, weights_of_answers

NONE = ""  # the label of images of none of the classes
OURS = "FewShotClassifier"
OURS_RANDOM = "FewShotClassifier, random"
NAMELESS = "FewShotClassifier, no names"
STRATEGIES = ("TypiClust", "CoreSet", "Badge", "ProbCover")
METHODS = (OURS, OURS_RANDOM, NAMELESS, "LogisticRegression, random", "LogisticRegression, margin")
METHODS += ("zero-shot, margin", "LogisticRegression, from names")
METHODS += tuple(f"LogisticRegression, {name}" for name in STRATEGIES)


class Ours:
    """The classifier that the folder has taught. `kind` is empty, "random", or "no names"."""

    def __init__(self, task, kind, rng):
        self.task, self.kind, self.rng = task, kind, rng
        self.classes, self.answers = np.setdiff1d(task.y, [NONE]), []

    def learn(self, labelled):
        """Predictions for the images without a label."""
        task, own = self.task, labelled & (self.task.y != NONE)
        if self.kind == "no names":
            if not labelled.any():
                return np.full(len(labelled), self.classes[0])
            self.model = FewShotClassifier(class_names="ignore").fit(task.X[own], task.y[own])
        elif own.any():
            self.model = FewShotClassifier(task.text_encoder, prompts=task.prompts)
            self.model.partial_fit(task.X[own], task.y[own], classes=self.classes)
        else:
            self.model = tasks.zero_shot(task, self.classes)
        none, p_none = labelled & ~own, np.zeros(len(labelled))
        if none.any():
            p_none = stranger_proba(self.model, task.X, task.X[none])
        pool = ~labelled & (p_none < 0.5)
        taught = self.model.with_unlabeled(task.X[pool]) if pool.any() else self.model
        p = np.column_stack([taught.predict_proba(task.X) * (1 - p_none)[:, None], p_none])
        self.p, self.predicted = p, np.append(taught.classes_, NONE)[p.argmax(axis=1)]
        return self.predicted[~labelled]

    def estimate(self, labelled):
        """The error of the estimate of the share that is right, in points, and whether its interval
        holds the share.

        It is about the images that have no label, and are no strangers by the predictions.
        """
        rest = ~labelled & (self.predicted != NONE)
        share = np.mean(self.predicted[rest] == self.task.y[rest])
        said = share_right(self.p[rest], self._answered())
        return {
            "error": 100 * (said.estimate - share),
            "held": int(said.low <= share <= said.high),
        }

    def _answered(self):
        if not self.answers or self.kind == "random":
            return []
        proba, codes = map(np.concatenate, zip(*self.answers))
        rounds = np.repeat(np.arange(len(self.answers)), [len(codes) for _, codes in self.answers])
        return [Answered(proba, codes, weights_of_answers(rounds, proba.argmax(axis=1)))]

    def choose(self, labelled, n):
        chosen = self._choose(labelled, n)
        if self.kind == "no names":  # it does not know all classes
            return chosen
        # Like the page: strangers say nothing of the other images.
        own = chosen[self.task.y[chosen] != NONE]
        self.answers.append((self.p[own], np.searchsorted(self.classes, self.task.y[own])))
        return chosen

    def _choose(self, labelled, n):
        if self.kind == "random" or (self.kind == "no names" and not labelled.any()):
            return self.rng.permutation(np.flatnonzero(~labelled))[:n]
        if NONE in self.task.y:
            rest = np.flatnonzero(~labelled)
            return rest[least_certain(self.p[rest])[:n]]
        return label_next(self.model, self.task.X, n)


class Names:
    """The names of the classes alone."""

    def __init__(self, task):
        self.model = tasks.zero_shot(task, np.setdiff1d(task.y, [NONE]))
        self.p = self.model.predict_proba(task.X)

    def learn(self, labelled):
        """Predictions for the images without a label."""
        return self.model.classes_[self.p[~labelled].argmax(axis=1)]

    def choose(self, labelled, n):
        rest = np.flatnonzero(~labelled)
        return rest[least_margin(self.p[rest])[:n]]


def least_margin(p):
    """Rows of probabilities by the difference of the two largest ones."""
    p = np.sort(p, axis=1)
    return np.argsort(p[:, -1] - p[:, -2], kind="stable")


class Logistic:
    """scikit-learn's logistic regression with its setting of other families of tasks.

    `strategy` is random, margin, "from names", or a name of scikit-activeml.
    """

    def __init__(self, task, strategy, rng):
        self.X, self.strategy, self.rng = normalize(task.X), strategy, rng
        self.y = np.unique(task.y, return_inverse=True)[1]
        self.names = np.unique(task.y)
        self.task, self.model = task, None
        # Examples before the first label: the texts of the classes, or none.
        self.first_X, self.first_y = self.X[:0], self.y[:0]
        if strategy == "from names":
            by_names = tasks.zero_shot(task, np.setdiff1d(task.y, [NONE]))
            self.first_X = by_names.text_embeddings_
            self.first_y = np.searchsorted(self.names, by_names.classes_)

    def learn(self, labelled):
        X = np.concatenate([self.first_X, self.X[labelled]])
        y = np.concatenate([self.first_y, self.y[labelled]])
        known = np.unique(y)
        if len(known) < 2:
            return np.full((~labelled).sum(), self.names[known[0] if len(known) else 0])
        self.model = chosen("LogisticRegression", self.task).fit(X, y)
        return self.names[self.model.predict(self.X[~labelled])]

    def choose(self, labelled, n):
        rest = np.flatnonzero(~labelled)
        if self.strategy in STRATEGIES:
            return self._ask(labelled, n)
        if self.strategy in ("margin", "from names") and self.model is not None:
            return rest[least_margin(self.model.predict_proba(self.X[rest]))[:n]]
        return self.rng.permutation(rest)[:n]

    def _ask(self, labelled, n):
        from skactiveml import pool
        from skactiveml.classifier import SklearnClassifier

        if self.strategy == "Badge" and not labelled.any():
            return self.rng.permutation(len(labelled))[:n]
        strategy = getattr(pool, self.strategy)(random_state=0, missing_label=-1)
        options = {}
        if self.strategy == "Badge":
            options["clf"] = SklearnClassifier(
                chosen("LogisticRegression", self.task),
                classes=np.unique(self.y),
                missing_label=-1,
                random_state=0,
            )
        known = np.where(labelled, self.y, -1)
        return strategy.query(self.X, known, batch_size=n, **options)
