"""How long a person takes until a folder is right, with questions and with pages, and which classes
`suggest_names` finds. `clicks.py` prints it.

What a person does is counted in seconds, which are assumptions (`Costs`).

- questions: `label_next` asks for single images, `C // 4` (at least 5) before the classifier learns
  again.
- pages: `review_next` shows 24 images under their predicted classes, the wrong ones are corrected,
  and the classifier learns from all answers.
- both: questions for half a label a class, then pages.
- pages, nothing learnt: the pages of the first classifier.

The classifier starts from the names, and is taught by the images that nobody has seen
(`with_unlabeled`).
"""

import warnings
from typing import NamedTuple

import numpy as np
import tasks

from sksemobridge import FewShotClassifier, PrecomputedTextEncoder
from sksemobridge.labelling import review_next, suggest_names
from sksemobridge.labelling._label_next import images_to_label

MOST = 800  # images of a folder
LEVELS = (95, 99, 99.9)  # percent of the folder that is right
QUESTIONS = "questions"
PAGES = "pages"
BOTH = "both"
REVIEW = "pages, nothing learnt"
METHODS = (QUESTIONS, PAGES, BOTH, REVIEW)
N_SHOWN = 8  # images of a suggestion
N_ALIKE = 5  # of these, so many of one class show it
PER_CLASS = (1, 1.5, 2)  # suggestions for each class


class Costs(NamedTuple):
    """Seconds that a person takes."""

    page: float = 3.0  # to look at a page of one class
    further_class: float = 1.0  # more for each further class on it
    correction: float = 2.0  # to correct an image
    question: float = 2.0  # to answer what an image is


class Person:
    """Somebody who labels the images of a task rightly. `seconds` have passed."""

    def __init__(self, task, method, costs):
        self.task, self.method, self.costs, self.seconds = task, method, costs, 0.0
        self.classes = np.unique(task.y)
        self.seen = np.zeros(len(task.y), dtype=bool)
        self.model = self._taught(tasks.zero_shot(task))

    def right(self):
        """Share of the folder that is right."""
        self.predicted = self.model.predict(self.task.X)
        return np.mean(self.seen | (self.predicted == self.task.y))

    def step(self):
        """One page, or the questions before the classifier learns again."""
        few = self.method == BOTH and self.seen.sum() < len(self.classes) / 2
        if self.method == QUESTIONS or few:
            self._ask()
        else:
            self._look_through()

    def _ask(self):
        rest = np.flatnonzero(~self.seen)
        n = max(len(self.classes) // 4, 5)
        taught_by = np.arange(len(rest))
        rows = rest[images_to_label(self.model, self.task.X[rest], n, taught_by)]
        # Equal images are asked once.
        rows = rows if len(rows) else rest
        self.seconds += self.costs.question * len(rows)
        self.seen[rows] = True
        self.model = self._learnt()

    def _look_through(self):
        seen = np.flatnonzero(self.seen)
        rows = review_next(self.model, self.task.X, seen=seen)
        rows = rows if len(rows) else np.flatnonzero(~self.seen)
        predicted = self.predicted[rows]
        n_wrong = np.sum(predicted != self.task.y[rows])
        self.seconds += self.costs.page + self.costs.correction * n_wrong
        self.seconds += self.costs.further_class * (len(np.unique(predicted)) - 1)
        self.seen[rows] = True
        if self.method != REVIEW:
            self.model = self._learnt()

    def _learnt(self):
        model = FewShotClassifier(self.task.text_encoder, prompts=self.task.prompts)
        X, y = self.task.X[self.seen], self.task.y[self.seen]
        return self._taught(model.partial_fit(X, y, classes=self.classes))

    def _taught(self, model):
        return model if self.seen.all() else model.with_unlabeled(self.task.X[~self.seen])


def seconds_of(task, method, costs):
    """Rows of seconds and the share of the folder that is right, in percent."""
    warnings.simplefilter("ignore")
    person, rows = Person(task, method, costs), []
    while True:
        right = person.right()
        rows.append(
            {"model": task.model, "task": task.name, "method": method, "n": len(task.y)}
            | {"seconds": f"{person.seconds:g}", "right": f"{100 * right:.3f}"}
        )
        if 100 * right >= LEVELS[-1]:
            return rows
        person.step()


def report_seconds(frame):
    """Seconds by task and method, and their geometric means, relative to questions."""
    methods = [method for method in METHODS if method in set(frame.method)]
    until, rows = {}, []
    for (task, method), of_curve in frame.groupby(["task", "method"], sort=False):
        until[task, method] = [of_curve.seconds[of_curve.right >= level].min() for level in LEVELS]
    names = list(frame.task.unique())
    rows = [
        [task, method, *(f"{seconds:.0f}" for seconds in until[task, method])]
        for task in names
        for method in methods
    ]
    for method in methods if QUESTIONS in methods else []:
        # A second more, for folders that are right from the start.
        ratios = [
            (np.array(until[task, method]) + 1) / (np.array(until[task, QUESTIONS]) + 1)
            for task in names
        ]
        mean = np.exp(np.log(ratios).mean(axis=0))
        rows.append(["mean, relative", method, *(f"{ratio:.2f}" for ratio in mean)])
    header = ["task", "seconds until", *(f"{level} %" for level in LEVELS)]
    return tasks.table(header, rows, n_left=2)


def draw_seconds(frame, path):
    """The mean over the tasks of the share that is right, by seconds for 100 images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
    frame = frame.assign(seconds=100 * frame.seconds / frame.n)
    last = frame.groupby(["task", "method"]).seconds.max()
    grid = np.linspace(0, last.groupby("method").mean().max(), 200)
    for method in [method for method in METHODS if method in set(frame.method)]:
        curves = [
            np.interp(grid, of_curve.seconds, of_curve.right)
            for _, of_curve in frame[frame.method == method].groupby("task")
        ]
        wrong = 100 - np.mean(curves, axis=0)
        width = 2.5 if method == PAGES else 1.2
        ax.plot(grid, np.where(wrong > 0, wrong, np.nan), label=method, linewidth=width)
    ax.set(
        xlabel="seconds of a person for 100 images",
        ylabel="images of the folder that are wrong, %",
        yscale="log",
        xlim=(0, None),
        ylim=(0.05, None),
    )
    ax.set_yticks([10, 5, 2, 1, 0.5, 0.2, 0.1], ["10", "5", "2", "1", "0.5", "0.2", "0.1"])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def classes_seen(task, vocabulary):
    """The row of a task: how many classes the first suggestions show, and which these are.

    A class is seen if `N_ALIKE` of the first `N_SHOWN` images of a suggestion are of it. The names
    of the classes are no words of the vocabulary.
    """
    other = tasks.other_words(vocabulary["texts"], np.unique(task.y))
    texts = [str(text) for text in vocabulary["texts"][other]]
    encoder = PrecomputedTextEncoder(texts, vocabulary["text"][other], np.eye(task.X.shape[1]))
    names, y = np.unique(task.y, return_inverse=True)
    most = int(max(PER_CLASS) * len(names))
    suggestions = suggest_names(task.X, encoder, vocabulary=texts, n_names=most)
    shown = []
    for suggestion in suggestions:
        counts = np.bincount(y[suggestion.rows[:N_SHOWN]])
        shown.append(counts.argmax() if counts.max() >= N_ALIKE else -1)
    seen = [len({*shown[: int(k * len(names))]} - {-1}) for k in PER_CLASS]
    first = ", ".join(suggestion.name for suggestion in suggestions[:6])
    return [task.name, *(f"{number} of {len(names)}" for number in seen), first]


def report_names(all_tasks, vocabularies):
    """Classes that suggestions show, of the tasks for which there is a vocabulary."""
    rows = []
    for task in all_tasks:
        width = task.X.shape[1]
        own = [vocabulary for vocabulary in vocabularies if vocabulary["text"].shape[1] == width]
        if getattr(task.text_encoder, "open_vocabulary", False):
            own = [bundled_vocabulary(task.text_encoder)]
        if own:
            rows.append(classes_seen(task, own[0]))
    header = ["classes seen", *(f"{k:g} a class" for k in PER_CLASS), "first suggestions"]
    return tasks.table(header, rows) if rows else None


def bundled_vocabulary(text_encoder):
    """The bundled words by a model that can embed any text."""
    from sksemobridge._texts.words import bundled_words

    texts = np.array(bundled_words())
    return {"texts": texts, "text": text_encoder.transform(texts)}
