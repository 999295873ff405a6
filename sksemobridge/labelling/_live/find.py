"""Pictures found by words, or by what a person picked."""

from functools import cached_property

import numpy as np

from ..._utils.array_api import l2_normalize
from ..._utils.rows import evenly_spaced
from ..._zero_shot import ZeroShotClassifier
from .._photos.folder_job import has_text
from .._photos.folder_table import plain
from .._suggest_names import without_article
from .session import MOST_CHOSEN, Refused

# Letters of a text.
MOST_LETTERS = 200
# Most pictures that are sent at a time.
MOST_IMAGES = 200
# What every direction of the embeddings has at least of the mean variance, times this. On eight
# sets of 13 to 102 classes it finds the class of one picture with a mean average precision of 0.62,
# of three with 0.74 and of ten with 0.80; the cosine to the mean of the pictures with 0.59, 0.66
# and 0.70, and a logistic regression with 0.62, 0.73 and 0.77. 3 is better by 0.006 for ten, and
# worse by 0.05 for one.
RIDGE = 10.0
# Pictures of which the variance is taken.
MOST_MEASURED = 10_000


class Finder:
    """Orders the pictures of a `Session`. `items` gives what the page shows of pictures."""

    def __init__(self, session, items):
        self.session, self.items = session, items
        self._job, self._kept = None, None

    def words(self, tab, who):
        """The texts by which one can find, None for any."""
        encoder = self.session.job.pipeline[-1].text_encoder
        if encoder is None:
            return {"words": []}
        is_open = not hasattr(encoder, "texts") or getattr(encoder, "model", None) is not None
        return {"words": None if is_open else sorted(map(plain, encoder.texts))}

    def find(self, tab, who, start, n_images, text, like, is_open):
        """Pictures in the order in which they fit a text, or else those that were picked, which
        come first. `is_open`: only pictures that nobody labelled.
        """
        if not (isinstance(like, list) and (isinstance(text, str) or like)):
            raise Refused("Give a text, or pictures.")
        if type(start) is not int or type(n_images) is not int or min(start, n_images) < 0:
            raise Refused("Ask for a number of pictures.")
        session = self.session
        if len(like) > MOST_CHOSEN or not all(map(session.files.has, like)):
            raise Refused("There is no such picture.")
        scores = self._by_pictures(like) if like else self._by_text(text)
        with session.lock:
            order = np.argsort(-scores, kind="stable").tolist()
            order = [*dict.fromkeys([*(number for number in like if number < len(order)), *order])]
            may = session.is_open if is_open is True else session.is_readable
            shown = session.strips.first_of_each(filter(may, order))
            stop = start + min(n_images, MOST_IMAGES)
            return {"found": {"total": len(shown), "pictures": self.items(shown[start:stop])}}

    def _by_pictures(self, numbers):
        """Against the rest: the difference of the means, by the variance in each direction."""
        mean, covariance = self._measured.spread
        rows = l2_normalize(np.stack([self._embedding(number) for number in numbers]))
        direction = np.linalg.solve(covariance, rows.mean(axis=0) - mean)
        return self._measured.unit @ direction

    def _by_text(self, text):
        """The cosine to the text, both centred. Classes say what the text differs from: without
        them, what all texts share counts for most.
        """
        if not text.strip() or len(text) > MOST_LETTERS:
            raise Refused(f"A text has 1 to {MOST_LETTERS} letters.")
        encoder, text = self.session.job.pipeline[-1].text_encoder, without_article(text.strip())
        if not has_text(encoder, text):
            raise Refused(f"There is no text “{text}” in what was given.")
        names = {text: encoder.name_of(text)} if hasattr(encoder, "name_of") else None
        found = ZeroShotClassifier(encoder, class_names=names).fit(None, [text])
        row, labels = found.text_embeddings_[0], self.session.learner.view.labels
        others = None if labels is None else labels.classifier.text_embeddings_
        if others is None:
            return self._measured.unit @ row
        centred = self._measured.unit - self._measured.spread[0]
        return l2_normalize(centred) @ (row - others.mean(axis=0))

    def _embedding(self, number):
        session = self.session
        if number < session.files.n_photos:
            return session.job.embeddings[number]
        shots = session.job.shown_shots
        return session.job.shots.embeddings[shots[number - session.files.n_photos]]

    @property
    def _measured(self):
        """`Measured` pictures: others when new ones were read."""
        job = self.session.job
        if self._job is not job:
            self._job, self._kept = job, Measured(job.embeddings)
        return self._kept


class Measured:
    """Unit embeddings `(n, D)`, and what is computed of them once."""

    def __init__(self, embeddings):
        self.unit = l2_normalize(embeddings)

    @cached_property
    def spread(self):
        """The mean of the pictures, and their covariance with the same added in each direction."""
        rows = self.unit[evenly_spaced(len(self.unit), MOST_MEASURED)].astype(np.float64)
        mean = rows.mean(axis=0)
        covariance = np.cov(rows, rowvar=False, bias=True).reshape(len(mean), len(mean))
        added = RIDGE * np.trace(covariance) / len(mean) or 1.0
        return mean, covariance + added * np.eye(len(mean))
