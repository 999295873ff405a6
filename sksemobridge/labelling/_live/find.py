"""Pictures found by words, or by pictures that a person picked."""

from functools import cached_property

import numpy as np
from sklearn.preprocessing import normalize

from ... import ZeroShotClassifier
from .._photos.class_texts import has_text
from .._photos.folder_table import plain
from .._suggest_names import without_article
from .page_state import items
from .refused import Refused
from .session import MOST_CHOSEN

# Most letters of a text.
LONGEST_TEXT = 200
# Most pictures that are sent at a time.
MOST_FOUND = 200
# Multiple of the mean variance that is added in each direction of the embeddings. On eight sets of
# 13 to 102 classes, 10 finds the class of one picture with a mean average precision of 0.62, of
# three pictures with 0.74, and of ten pictures with 0.80. The cosine to the mean of the pictures
# has 0.59, 0.66 and 0.70, and a logistic regression 0.62, 0.73 and 0.77. With 3, ten pictures gain
# 0.006, and one picture loses 0.05.
RIDGE = 10.0
# Most pictures from which the variance is computed.
MOST_MEASURED = 10_000


def words(snapshot):
    """The texts by which a person can find pictures, None for any text."""
    encoder = snapshot.job.pipeline[-1].text_encoder
    if encoder is None:
        return {"words": []}
    is_open = not hasattr(encoder, "texts") or getattr(encoder, "model", None) is not None
    return {"words": None if is_open else sorted(map(plain, encoder.texts))}


class Finder:
    """A search for pictures. Statistics of the pictures of a job are kept."""

    def __init__(self):
        self._measured = None

    def find(self, snapshot, start, n_images, text=None, like=(), is_open=False):
        """Pictures in the order in which they fit a text, or the picked pictures `like`, which come
        first. With `is_open`, only pictures that nobody labelled.
        """
        if not (isinstance(like, list | tuple) and (isinstance(text, str) or like)):
            raise Refused("Give a text, or pictures.")
        if type(start) is not int or type(n_images) is not int or min(start, n_images) < 0:
            raise Refused("Ask for a number of pictures.")
        if len(like) > MOST_CHOSEN or not all(map(snapshot.pictures.has, like)):
            raise Refused("There is no such picture.")
        measured = self._measured
        if measured is None or measured.job is not snapshot.job:
            measured = self._measured = Measured(snapshot.job)
        if like:
            picked = np.stack([_embedding(snapshot, number) for number in like])
            scores = by_pictures(measured, picked)
        else:
            scores = by_text(snapshot, measured, text)
        order = np.argsort(-scores, kind="stable").tolist()
        order = [*dict.fromkeys([*(number for number in like if number < len(order)), *order])]
        may = snapshot.is_open if is_open is True else snapshot.is_readable
        shown = snapshot.bursts.first_of_each(filter(may, order))
        stop = start + min(n_images, MOST_FOUND)
        return {"found": {"total": len(shown), "pictures": items(snapshot, shown[start:stop])}}


def by_pictures(measured, picked):
    """Scores of all pictures by picked embeddings `(k, D)`: a discriminant between the picked
    pictures and the rest, from the difference of the means and the covariance.
    """
    mean, covariance = measured.spread
    direction = np.linalg.solve(covariance, normalize(picked).mean(axis=0) - mean)
    return measured.unit @ direction


def by_text(snapshot, measured, text):
    """Scores of all pictures: the cosine to the text, both centred. The text is centred by the
    texts of the classes: otherwise, what all texts share would count most.
    """
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise Refused(f"A text has 1 to {LONGEST_TEXT} letters.")
    encoder, text = snapshot.job.pipeline[-1].text_encoder, without_article(text.strip())
    if not has_text(encoder, text):
        raise Refused(f"There is no text “{text}” in what was given.")
    names = {text: encoder.name_of(text)} if hasattr(encoder, "name_of") else None
    found = ZeroShotClassifier(encoder, class_names=names).fit(None, [text])
    row, labels = found.text_embeddings_[0], snapshot.view.labels
    others = None if labels is None else labels.classifier.text_embeddings_
    if others is None:
        return measured.unit @ row
    centred = measured.unit - measured.spread[0]
    return normalize(centred) @ (row - others.mean(axis=0))


def _embedding(snapshot, number):
    n = snapshot.pictures.n_photos
    if number < n:
        return snapshot.job.embeddings[number]
    return snapshot.job.shots.embeddings[snapshot.job.shown_shots[number - n]]


class Measured:
    """Unit embeddings `(n, D)` of a job, and statistics that are computed once."""

    def __init__(self, job):
        self.job, self.unit = job, normalize(job.embeddings)

    @cached_property
    def spread(self):
        """The mean of the pictures, and their covariance plus the same variance in each
        direction.
        """
        n = len(self.unit)
        some = np.linspace(0, n - 1, min(n, MOST_MEASURED), dtype=int)
        rows = self.unit[some].astype(np.float64)
        mean = rows.mean(axis=0)
        covariance = np.cov(rows, rowvar=False, bias=True).reshape(len(mean), len(mean))
        added = RIDGE * np.trace(covariance) / len(mean) or 1.0
        return mean, covariance + added * np.eye(len(mean))
