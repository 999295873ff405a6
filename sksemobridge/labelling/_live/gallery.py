"""What "Classes" shows: figures and pictures of each class. And pictures with different answers."""

import threading

import numpy as np
from sklearn.base import clone

from .._photos.folder_table import plain
from .session import Refused

# Most pictures of a class that are sent at a time.
MOST_IMAGES = 200


class Gallery:
    """The classes of a `Session`, and their pictures. `items` gives what the page shows of
    pictures.
    """

    def __init__(self, session, items):
        self.session, self.items = session, items
        # Accuracy by class on held-out shots, of which learning, and whether it is being measured.
        self._accuracy, self._accuracy_of, self._is_measuring = {}, None, False

    def overview(self, tab, who):
        """Figures of each class, and at last of none of them."""
        session = self.session
        with session.lock:
            view = session.learner.view
            self._measure(view)
            labels, said = self._labels(), session.said
            numbers = {}
            for number, label in enumerate(labels):
                numbers.setdefault(label, []).append(number)
            checked = self._checked()
            rows = []
            for name in [*session.classes(), ""]:
                own = numbers.get(name, [])
                answered = [i for i in own if session.files.real[i] in said.answers]
                shots = [i for i in own if i >= session.files.n_photos and i not in answered]
                predicted = [i for i in own if not session.is_labelled(i)]
                rows.append(
                    {
                        "name": plain(name),
                        "labelled": len(answered),
                        "predicted": len(predicted),
                        "shots": len(shots),
                        "doubt": self._doubt(name, predicted),
                        "accuracy": self._accuracy.get(name),
                        "checked": checked.get(name, [0, 0]),
                        "example": self._example(name, [*answered, *shots], predicted),
                    }
                )
        return {"overview": rows, "measuring": self._is_measuring}

    def look_at_class(self, tab, who, name, start, n_images):
        """Pictures of a class: those with a label first, then the least certain."""
        session = self.session
        if type(start) is not int or type(n_images) is not int:
            raise Refused("Pictures are asked for by numbers.")
        with session.lock:
            label = session.known_class(name) if name != "" else ""
            labels = self._labels()
            own = [number for number, other in enumerate(labels) if other == label]
            labelled = [number for number in own if session.is_labelled(number)]
            sure = session.learner.view.proba.max(axis=1)
            rest = sorted({*own}.difference(labelled), key=lambda number: sure[number])
            shown = [number for number in [*labelled, *rest] if number not in session.files.unread]
            start, stop = max(start, 0), max(start, 0) + min(max(n_images, 0), MOST_IMAGES)
            pictures = [
                item | {"predicted": plain(label)} for item in self.items(shown[start:stop])
            ]
        return {"gallery": {"name": name, "total": len(shown), "pictures": pictures}}

    def disputed(self, tab, who):
        """Pictures of which different persons said different labels."""
        session = self.session
        with session.lock:
            found = {
                session.files.numbers[real]: opinions
                for real, opinions in session.said.disputed().items()
                if real in session.files.numbers
            }
            items = self.items(session.strips.first_of_each(found))
            return {
                "disputed": [
                    item | {"said": _spelt(session.said, found[item["number"]])} for item in items
                ]
            }

    def _labels(self):
        """The label of each picture: what was said, that of a shot, or what is predicted."""
        session, job = self.session, self.session.job
        answers, predicted = session.said.answers, session.learner.view.predicted
        given = [job.shots.labels[row] for row in job.shown_shots]
        usual = [*predicted[: session.files.n_photos], *map(session.said.now, given)]
        return [
            answers[real].label if real in answers else label
            for real, label in zip(session.files.real, usual)
        ]

    def _doubt(self, name, predicted):
        """How many of the predicted labels of a class are wrong, as the model expects it."""
        view = self.session.learner.view
        if name not in (*view.columns, ""):
            return 0.0
        column = view.columns.index(name) if name else -1
        return float(np.sum(1 - view.proba[predicted, column]))

    def _example(self, name, labelled, predicted):
        """A picture that shows what a class is."""
        if labelled:
            return labelled[-1]
        if not predicted:
            return None
        view = self.session.learner.view
        column = view.columns.index(name) if name in view.columns else -1
        return predicted[int(view.proba[predicted, column].argmax())]

    def _checked(self):
        """How many predictions of each class were right in the last check, and how many there
        were.
        """
        said, checked = self.session.said, {}
        for real, is_right in said.checked().items():
            counts = checked.setdefault(said.now(said.check.shown[real]), [0, 0])
            counts[0] += is_right
            counts[1] += 1
        return checked

    def _measure(self, view):
        """Begin to measure the accuracy on held-out shots after a new learning."""
        if self._is_measuring or self._accuracy_of is view:
            return
        self._is_measuring, self._accuracy_of = True, view
        threading.Thread(target=self._measure_now, args=[view.labels], daemon=True).start()

    def _measure_now(self, labels):
        try:
            accuracy = held_out_accuracy(labels)
        # Too few shots, or a classifier that holds none out: then there is no figure.
        except (AttributeError, ValueError):
            accuracy = {}
        self._accuracy, self._is_measuring = accuracy, False


def _spelt(said, opinions):
    """Who said what. A class that was dropped is none."""
    return [[plain(said.name_of(who)), plain(label or "")] for who, label in opinions.items()]


def held_out_accuracy(labels):
    """Share of the held-out shots that are predicted right, by class, of `FolderLabels`."""
    if labels is None or not len(labels.shots.labels) or not hasattr(labels.classifier, "fit"):
        return {}
    classifier = clone(labels.classifier).set_params(store_held_out=True)
    given, classes = labels.shots.labels, labels.classifier.classes_
    # The other frames of a burst would give each of them away.
    groups = labels.shot_groups
    classifier.partial_fit(labels.shots.embeddings, given, classes=classes, groups=groups)
    proba, classes = classifier.held_out_proba_, classifier.classes_
    is_known = np.isfinite(proba).all(axis=1)
    is_right = classes[np.nan_to_num(proba).argmax(axis=1)] == given
    rows = {label: is_known & (given == label) for label in classes}
    return {str(label): float(is_right[of].mean()) for label, of in rows.items() if of.any()}
