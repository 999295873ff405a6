"""Suggestions of classes for a folder: names, or clusters of pictures that look alike."""

import threading

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize

from .._photos.folder_table import plain
from .._suggest_names import spelling, suggest_names
from .refused import Refused

# Most names in a request.
MOST_SUGGESTED = 100
# Pictures that are sent with a name: the page shows eight, and some may be gone.
N_OF_NAME = 12
# Mean number of pictures in a cluster. A smaller cluster shows little more than a single picture.
N_CLUSTERED = 16


class Suggestions:
    """Suggested names for pictures, beside the known classes."""

    def __init__(self):
        self._one_at_a_time = threading.Lock()

    def suggest(self, snapshot, n_names):
        """At most `n_names` names with their share and pictures. Models without words give clusters
        without a name.
        """
        if type(n_names) is not int or not 1 <= n_names <= MOST_SUGGESTED:
            raise Refused(f"Ask for 1 to {MOST_SUGGESTED} names.")
        gone = {key for key in snapshot.annotations.cards if _is_class(snapshot.annotations, key)}
        with self._one_at_a_time:
            found = _names(snapshot, n_names + len(gone)) or _clusters(snapshot, n_names)
        found = [one for one in found if one[0] not in gone][:n_names]
        return {
            "suggestions": [
                {"name": plain(name), "share": share, "numbers": numbers[:N_OF_NAME]}
                for name, share, numbers in found
            ]
        }


def _is_class(annotations, suggested):
    """Whether a suggestion is a class now, perhaps by another name."""
    return annotations.names.current_name(annotations.cards[suggested][1] or suggested) is not None


def _names(snapshot, n_names):
    encoder = snapshot.job.pipeline[-1].text_encoder
    # A file of embeddings knows its own texts alone. Without a text encoder there are no words.
    is_open = getattr(encoder, "open_vocabulary", False)
    vocabulary = "auto" if is_open else list(getattr(encoder, "texts", ()))
    known = None if snapshot.view.labels is None else snapshot.view.labels.classifier
    if known is not None and known.text_embeddings_ is None:
        known = None
    if not vocabulary or (known is not None and not _has_other(vocabulary, known)):
        return []
    found = suggest_names(
        snapshot.job.embeddings, encoder, vocabulary=vocabulary, known=known, n_names=n_names
    )
    return [(name, float(share), rows.tolist()) for name, share, rows in found]


def _has_other(vocabulary, known):
    """Whether there is a word that is no class."""
    classes = {spelling(name) for name in known.class_names_ if name is not None}
    return vocabulary == "auto" or any(spelling(text) not in classes for text in vocabulary)


def _clusters(snapshot, n_clusters):
    """Pictures without a label that look alike, the largest cluster first."""
    numbers = snapshot.rest()
    if not numbers:
        return []
    embeddings = normalize(snapshot.job.embeddings[numbers])
    n_clusters = min(n_clusters, max(1, len(numbers) // N_CLUSTERED))
    means = KMeans(n_clusters, n_init=3, random_state=0).fit(embeddings)
    distance = means.transform(embeddings)
    counts = np.bincount(means.labels_, minlength=n_clusters)
    found = []
    for cluster in np.argsort(-counts, kind="stable"):
        own = np.flatnonzero(means.labels_ == cluster)
        nearest = own[np.argsort(distance[own, cluster], kind="stable")]
        rows = [numbers[row] for row in nearest]
        found.append(("", len(own) / len(snapshot.job.embeddings), rows))
    return found
