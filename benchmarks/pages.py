"""How long a person takes until a folder is right, with questions and with pages.

    python benchmarks/pages.py --tasks FILE.npz ... --plot pages.png

A folder is the images of a task, at most 800. The table has the seconds until 95, 99 and 99.9 % of
it are right. What a person does is counted in seconds, which are assumptions (`Costs`): `--page`,
`--further-class`, `--correction` and `--question`.

- questions: `label_next` asks for single images, `C // 4` (at least 5) before the classifier learns
  again.
- pages: `review_next` shows 24 images under their predicted classes, the wrong ones are corrected,
  and the classifier learns from all answers.
- both: questions for half a label a class, then pages.
- pages, nothing learnt: the pages of the first classifier.
- LogisticRegression around the texts, TextCoord and SeMoBridge, margin: as many questions as the
  first, those that `clicks.py` describes.

Our classifier starts from the names, and is taught by the images that nobody has seen
(`with_unlabeled`). Rows are added to `--results`, so that an interrupted run goes on.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tasks
from click_methods import RIVAL, Folder, method_of
from clicks import folder
from results import Results, in_words

from sksemobridge import FewShotClassifier
from sksemobridge.labelling import review_next
from sksemobridge.labelling._label_next import images_to_label

MOST = 800  # images of a folder
LEVELS = (95, 99, 99.9)  # percent of the folder that is right
QUESTIONS = "questions"
PAGES = "pages"
BOTH = "both"
REVIEW = "pages, nothing learnt"
RIVALS = (RIVAL, "TextCoord, margin", "SeMoBridge, margin")
METHODS = (QUESTIONS, PAGES, BOTH, REVIEW, *RIVALS)


class Costs(NamedTuple):
    """Seconds that a person takes."""

    page: float = 3.0  # to look at a page of one class
    further_class: float = 1.0  # more for each further class on it
    correction: float = 2.0  # to correct an image
    question: float = 2.0  # to answer what an image is


KEY = ("model", "task", "method", *Costs._fields, "seconds")
VALUES = ("right", "n")


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
        taught_by = np.arange(len(rest))
        n = n_questions(self.classes)
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


def n_questions(classes):
    """Questions before the classifier learns again."""
    return max(len(classes) // 4, 5)


class Answerer:
    """Somebody who answers the questions of a method of others."""

    def __init__(self, task, method, costs):
        self.task, self.costs, self.seconds = task, costs, 0.0
        self.classes, self.asked = np.unique(task.y), np.array([], dtype=int)
        self.method = method_of(method)(Folder.of(task, self.classes), np.random.default_rng(0))

    def right(self):
        """Share of the folder that is right."""
        predicted = np.array(self.method.learn(self.asked, self.task.y[self.asked])[0])
        predicted[self.asked] = self.task.y[self.asked]
        return np.mean(predicted == self.task.y)

    def step(self):
        """The questions before the classifier learns again."""
        rows = self.method.choose(n_questions(self.classes))
        self.asked = np.append(self.asked, rows)
        self.seconds += self.costs.question * len(rows)


def seconds_of(task, method, costs):
    """Rows of seconds and the share of the folder that is right, in percent."""
    warnings.simplefilter("ignore")
    person, rows = (Answerer if method in RIVALS else Person)(task, method, costs), []
    while True:
        right = person.right()
        rows.append(
            {"model": task.model, "task": task.name, "method": method, "n": len(task.y)}
            | {"seconds": person.seconds, "right": 100 * right}
            | costs._asdict()
        )
        if 100 * right >= LEVELS[-1]:
            return rows
        person.step()


def report(frame):
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


def draw_plot(frame, path):
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


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], results="pages.csv")
    for name, value in Costs()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args(arguments)
    costs = Costs(*(getattr(args, name) for name in Costs._fields))
    results = Results(args.results, KEY, VALUES)
    # Other assumptions are another measurement.
    done = results.seen("model", "task", "method", *Costs._fields)
    jobs = [
        (folder(whole, most=MOST), method, costs)
        for whole in tasks.load(args.tasks)
        for method in args.methods
        if (whole.model, whole.name, method, *map(in_words, costs)) not in done
    ]
    results.measure(seconds_of, jobs, args.jobs)
    frame = results.frame()
    frame = frame[(frame[[*Costs._fields]] == costs).all(axis=1)]
    print(report(frame))
    if args.plot:
        draw_plot(frame, args.plot)


if __name__ == "__main__":
    main()
