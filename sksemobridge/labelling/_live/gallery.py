"""Data of the part "Classes": figures and pictures of each class, and disputed pictures."""

import threading
import traceback

import numpy as np
from sklearn.base import clone

from .._photos.folder_table import plain
from .named_class import known_class
from .page_state import items
from .refused import Refused

# Most pictures of a class in a response.
MOST_OF_CLASS = 200


class Gallery:
    """Figures of classes. The accuracy is measured in a thread of its own."""

    def __init__(self):
        self._lock = threading.Lock()
        # Accuracy by class on held-out shots, the view that it is of, and whether it is being
        # measured.
        self._accuracy, self._accuracy_of, self._is_measuring = {}, None, False

    def overview(self, snapshot):
        """Figures of each class, and last of none of the classes."""
        self._measure(snapshot.view)
        numbers, checked = {}, _checked(snapshot)
        for number, label in enumerate(_labels(snapshot)):
            numbers.setdefault(label, []).append(number)
        rows = [
            _figures(snapshot, name, numbers.get(name, []))
            | {"accuracy": self._accuracy.get(name), "checked": checked.get(name, [0, 0])}
            for name in [*snapshot.classes, ""]
        ]
        return {"overview": rows, "measuring": self._is_measuring}

    def _measure(self, view):
        """Begin to measure the accuracy on held-out shots, once for each view."""
        with self._lock:
            if self._is_measuring or self._accuracy_of is view:
                return
            self._is_measuring, self._accuracy_of = True, view
        threading.Thread(target=self._measure_now, args=[view.labels], daemon=True).start()

    def _measure_now(self, labels):
        try:
            accuracy = held_out_accuracy(labels)
        # An unforeseen error: the page goes on without these figures.
        except Exception:
            traceback.print_exc()
            accuracy = {}
        self._accuracy, self._is_measuring = accuracy, False


def look_at_class(snapshot, name, start, n_images):
    """Pictures of a class: first pictures with an answer, then given shots, then predictions, the
    least certain first.
    """
    if type(start) is not int or type(n_images) is not int:
        raise Refused("Pictures are asked for by numbers.")
    label = known_class(snapshot.annotations.names, name) if name != "" else ""
    own = [number for number, other in enumerate(_labels(snapshot)) if other == label]
    labelled = [*filter(snapshot.is_labelled, own)]
    labelled.sort(
        key=lambda number: snapshot.pictures.real[number] not in snapshot.annotations.answers
    )
    rest = sorted({*own}.difference(labelled), key=lambda number: snapshot.view.top[number])
    shown = [*filter(snapshot.is_readable, [*labelled, *rest])]
    start, stop = max(start, 0), max(start, 0) + min(max(n_images, 0), MOST_OF_CLASS)
    pictures = [item | {"predicted": plain(label)} for item in items(snapshot, shown[start:stop])]
    return {"gallery": {"name": name, "total": len(shown), "pictures": pictures}}


def disputed(snapshot):
    """Pictures to which persons gave different labels."""
    number_of = snapshot.pictures.number_of
    found = {
        number_of[real]: opinions
        for real, opinions in snapshot.annotations.disputed().items()
        if real in number_of
    }
    shown = items(snapshot, snapshot.bursts.first_of_each(found))
    return {
        "disputed": [item | {"opinions": _spelt(snapshot, found[item["number"]])} for item in shown]
    }


def _spelt(snapshot, opinions):
    """Pairs of person and label. The label of a dropped class is empty."""
    return [
        [plain(snapshot.annotations.name_of(who)), plain(label or "")]
        for who, label in opinions.items()
    ]


def _labels(snapshot):
    """The label of each picture: of the answer, of the shot, or the prediction."""
    job, answers = snapshot.job, snapshot.annotations.answers
    given = [snapshot.annotations.current_name(job.shots.labels[row]) for row in job.shown_shots]
    usual = [*snapshot.view.predicted[: snapshot.pictures.n_photos], *given]
    return [
        answers[real].label if real in answers else label
        for real, label in zip(snapshot.pictures.real, usual)
    ]


def _figures(snapshot, name, own):
    """Figures of a class, whose pictures are `own`."""
    answered = [i for i in own if snapshot.pictures.real[i] in snapshot.annotations.answers]
    shots = [
        i
        for i in own
        if i >= snapshot.pictures.n_photos
        and snapshot.pictures.real[i] not in snapshot.annotations.answers
    ]
    predicted = [i for i in own if not snapshot.is_labelled(i)]
    return {
        "name": plain(name),
        "labelled": len(answered),
        "predicted": len(predicted),
        "shots": len(shots),
        "doubt": _doubt(snapshot.view, name, predicted),
        "example": _example(snapshot.view, name, [*answered, *shots], predicted),
    }


def _doubt(view, name, predicted):
    """The number of predicted labels of a class that are wrong, as the model expects."""
    if name not in (*view.columns, ""):
        return 0.0
    column = view.columns.index(name) if name else -1
    return float(np.sum(1 - view.proba[predicted, column]))


def _example(view, name, labelled, predicted):
    """A typical picture of a class: the last labelled one, or else the surest prediction."""
    if labelled:
        return labelled[-1]
    if not predicted:
        return None
    column = view.columns.index(name) if name in view.columns else -1
    return predicted[int(view.proba[predicted, column].argmax())]


def _checked(snapshot):
    """By class, the number of right predictions in the last check, and of all answered
    predictions.
    """
    annotations, checked = snapshot.annotations, {}
    for real, is_right in annotations.checked().items():
        counts = checked.setdefault(annotations.current_name(annotations.check.shown[real]), [0, 0])
        counts[0] += is_right
        counts[1] += 1
    return checked


def held_out_accuracy(labels):
    """Share of the held-out shots that are predicted right, by class, of `FolderLabels`."""
    if labels is None or not len(labels.shots.labels):
        return {}
    classifier = clone(labels.classifier).set_params(store_held_out=True)
    given, classes = labels.shots.labels, labels.classifier.classes_
    # Other pictures of a burst would give the label of a held-out picture away.
    groups = labels.shot_groups
    classifier.partial_fit(labels.shots.embeddings, given, classes=classes, groups=groups)
    proba, classes = classifier.held_out_proba_, classifier.classes_
    is_known = np.isfinite(proba).all(axis=1)
    is_right = classes[np.nan_to_num(proba).argmax(axis=1)] == given
    rows = {label: is_known & (given == label) for label in classes}
    return {str(label): float(is_right[of].mean()) for label, of in rows.items() if of.any()}
