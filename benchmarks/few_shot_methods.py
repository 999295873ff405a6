"""The methods that are compared: how each is built for a task, and what a search may change."""

from collections.abc import Callable
from dataclasses import dataclass

import peers
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC

from sksemobridge import PaperBlend, SeMoBridgeClassifier, Training

OURS, PAPER, TRAINED = "SeMoBridge", "SeMoBridge, paper", "SeMoBridge-T, paper"
ZERO_SHOT = "zero-shot"


def n_folds(k):
    """Folds of a search on `k` shots of each class."""
    return min(k, 3)


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes
    ----------
    name : str
    build : callable
        `build(task, texts)` gives an estimator; `texts (C, D)` are the unit class texts.
    grid : callable or None
        `grid(task)` gives what a search tries, as `GridSearchCV` takes it. Defaults come first, since the first of
        equals is taken. None where there is nothing to tune.
    min_shots, min_images : int
        Least number of shots of each class, and in all.
    with_text : bool
        Whether the method needs class texts.
    """

    name: str
    build: Callable
    grid: Callable | None = None
    min_shots: int = 1
    min_images: int = 1
    with_text: bool = False

    def can(self, protocol, k, n_classes, has_text=True):
        """Whether `k` shots of each class are enough; for tuning, all but one fold of them must be."""
        if self.with_text and not has_text:
            return False
        if protocol == "tuned":
            return (
                self.grid is not None and k >= 2 and self.can("defaults", k - -(-k // n_folds(k)), n_classes)
            )
        return k >= self.min_shots and k * n_classes >= self.min_images


def _with_text(kind, **grid):
    def build(task, texts):
        return kind(texts, task.text_encoder.logit_scale_)

    return {"build": build, "grid": (lambda task: grid) if grid else None, "with_text": True}


def _on_unit_rows(estimator, **grid):
    """scikit-learn's estimators are given embeddings of unit length, as CLIP compares them."""

    def build(task, texts):
        return Pipeline([("unit", Normalizer()), ("model", estimator)])

    of_model = {f"model__{name}": values for name, values in grid.items()}
    return {"build": build, "grid": (lambda task: of_model) if grid else None}


def _ours(task, texts):
    return SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)


def _paper(task, texts):
    """The paper's classifier with the numbers that are its defaults here, the same for every task."""
    return _ours(task, texts).set_params(blend=PaperBlend())


def _paper_trained(task, texts):
    return _paper(task, texts).set_params(solver=Training(device="cpu"))


def _ours_grid(task):
    """With text and without."""
    return {"text_encoder": [task.text_encoder, None]}


CS = [1.0, 0.1, 10.0, 100.0, 1000.0]

_ALL = [
    Method(OURS, _ours, _ours_grid, with_text=True),
    Method(PAPER, _paper, with_text=True),
    Method(TRAINED, _paper_trained, with_text=True),
    Method(ZERO_SHOT, **_with_text(peers.ZeroShot)),
    Method("Tip-Adapter", **_with_text(peers.TipAdapter, a=[1.0, 0.3, 3.0, 10.0, 30.0], b=[5.5, 1.0, 15.0])),
    Method(
        "APE",
        **_with_text(peers.APE, a=[1.0, 3.0, 10.0, 30.0], b=[5.5, 1.0], g=[0.1, 0.0, 0.5], share=[0.5, 0.8]),
    ),
    Method("GDA", **_with_text(peers.GDA, a=[1.0, 0.001, 0.01, 0.1, 10.0])),
    Method("CLAP-style probe", **_with_text(peers.CLAPProbe, C=CS)),
    Method("SS-Text", **_with_text(peers.SSText)),
    Method("ProKeR", **_with_text(peers.ProKeR)),
    Method("LP++", lambda task, texts: peers.LPPlusPlus(texts), with_text=True),
    Method("TextCoord", **_with_text(peers.TextCoord)),
    Method(f"{OURS}, no text", lambda task, texts: SeMoBridgeClassifier()),
    Method("GDA, no text", lambda task, texts: peers.GDA(None), min_shots=2),
    Method("LogisticRegression", **_on_unit_rows(LogisticRegression(max_iter=2000), C=CS)),
    Method("SVC, linear", **_on_unit_rows(SVC(kernel="linear"), C=CS)),
    Method("KNeighbors", **_on_unit_rows(KNeighborsClassifier(), n_neighbors=[5, 1, 3]), min_images=5),
    Method("NearestCentroid", **_on_unit_rows(NearestCentroid())),
    Method(
        "LDA, shrinkage",
        **_on_unit_rows(
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), shrinkage=["auto", 0.3, 0.6, 0.9]
        ),
        min_shots=2,
    ),
]
METHODS = {method.name: method for method in _ALL}
NAMES = list(METHODS)
