"""One wrong answer of a session costs little, wherever it is."""

import numpy as np
import pytest

from sksemobridge import FewShotClassifier, PrecomputedTextEncoder, ZeroShotClassifier
from sksemobridge.labelling import label_next, stranger_proba

NAMES = np.array(["a", "b", "c", "d", "e"])


class Session:
    """A folder of five classes, whose images are asked for two by two."""

    def __init__(self, seed, n=16, width=48):
        rng = np.random.default_rng(seed)
        means = rng.normal(size=(len(NAMES), width))
        self.codes = np.repeat(np.arange(len(NAMES)), n)
        noise = 0.9 * rng.normal(size=(len(self.codes), width))
        self.X = 2 * rng.normal(size=width) + means[self.codes] + noise
        texts = means + 0.7 * rng.normal(size=means.shape) + 4 * rng.normal(size=width)
        self.encoder = PrecomputedTextEncoder.from_joint(dict(zip(NAMES, texts)))
        self.names = ZeroShotClassifier(self.encoder, prompts="{}").fit(None, NAMES)
        self.first = label_next(self.names, self.X, 2)

    def classifier(self, said):
        """What the answers teach, and the rows that are none of the classes."""
        none = [row for row, code in said.items() if code is None]
        own = [row for row in said if row not in none]
        if not own:
            return self.names, none
        classifier = FewShotClassifier(self.encoder, prompts="{}")
        labels = NAMES[[said[row] for row in own]]
        return classifier.partial_fit(self.X[own], labels, classes=NAMES), none

    def share_right(self, wrong_at=None, wrong=None):
        """The share of the folder that is right after four answers. The one at `wrong_at` is
        `wrong` further on among the classes, or none of these.
        """
        said = {}
        for _ in range(2):
            classifier, _ = self.classifier(said)
            asked = label_next(classifier, self.X, 4) if said else self.first
            for row in [row for row in asked if row not in said][:2]:
                code = self.codes[row]
                if len(said) == wrong_at:
                    code = None if wrong is None else (code + wrong) % len(NAMES)
                said[row] = code
        classifier, none = self.classifier(said)
        p_none = np.zeros(len(self.X))
        if none:
            p_none = stranger_proba(classifier, self.X, self.X[none])
        taught = classifier.with_unlabeled(self.X[p_none < 0.5])
        p = taught.predict_proba(self.X) * (1 - p_none)[:, None]
        return np.mean((p.argmax(axis=1) == self.codes) & (p.max(axis=1) >= p_none))


@pytest.fixture(scope="module")
def sessions():
    sessions = [Session(seed) for seed in range(1, 5)]
    return [(session, session.share_right()) for session in sessions]


@pytest.mark.filterwarnings("ignore:.* hardly count")
@pytest.mark.parametrize("wrong_at", range(4))
@pytest.mark.parametrize("wrong", [1, None], ids=["another class", "none of these"])
def test_one_wrong_answer_hardly_changes_the_folder(sessions, wrong_at, wrong):
    lost = [all_right - session.share_right(wrong_at, wrong) for session, all_right in sessions]
    assert np.mean(lost) < 0.05
