"""How many labels make a whole folder right: ours, and logistic regression on the same embeddings.

    python benchmarks/clicks.py --tasks FILE.npz ... --plot clicks.png

A folder is the images of a task, at most 2,000. Labels are asked for in batches of half a label a
class, and answered rightly. After each batch, the share of the whole folder that is right is
measured: images with a label are right, the others are predicted. Methods:

- FewShotClassifier: from the names alone on, taught by the folder (`with_unlabeled`), asks for
  `label_next`;
- FewShotClassifier, random: the same, asks for random images;
- FewShotClassifier, no names: without the names, from a random batch on, asks for `label_next`;
- zero-shot, margin: the names alone. It learns nothing, and asks for the least margin, the
  difference of the two largest probabilities;
- LogisticRegression, from names: with margin, and the texts of the classes as their first examples;
- LogisticRegression (`C=10`, unit embeddings), random or margin: asks for random images, or for
  those with the least difference of the two largest probabilities;
- LogisticRegression with the strategies TypiClust, CoreSet, Badge and ProbCover of scikit-activeml.

The first batch of logistic regression is random, but for TypiClust, CoreSet, ProbCover and the one
from names. Tasks with the same labels in the same order are one set of pictures through several
models: their mean counts once. The first table has the labels until 90, 95 and 99 % of the folder
are right, means over `--draws` of the random choices (of scikit-activeml's, one), and at last
labels a class, means over the tasks. ">" is before a number if a task did not reach the level in
`--rounds` batches. The second table and the plot have the share that is right, means over the
tasks. With `--strangers`, half of the folder are images of another task, which are none of the
classes (`folder.py` says which). For logistic regression they are a class. Results are added to
`--results`, so that an interrupted run goes on.

Then it prints how long a person takes until 95, 99 and 99.9 % of a folder of at most 800 images are
right, with single questions, with pages of images that are predicted alike, and with both
(`pages.py`). What a look at a page and an answer take is an assumption: `--page`,
`--further-class`, `--correction` and `--question`, in seconds. `--plot-seconds` draws it. At last
it prints how many classes `suggest_names` finds without their names, for tasks with a
`--vocabulary` of their width (npz of words `texts`, "a X", and their embeddings `text`), and for
models that embed any text. `--methods` or `--ways` without a value leaves that part out.
"""

import os
import warnings
from pathlib import Path

import joblib
import numpy as np
import pages
import pandas as pd
import tasks
from folder import strangers_of
from results import Results
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier, label_next, stranger_proba
from sksemobridge._evaluation import share_right
from sksemobridge._label_next import least_certain

MOST = 2000  # images of a folder
FIRST_SEED = 3000
LEVELS = (90, 95, 99)  # percent of the folder that is right
SHARES = (0, 1, 2, 4, 8)  # half labels a class
SHOWN = 16  # half labels a class in the plot
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
        said = share_right(self.p[rest], self.answers, has_random_shots=self.kind == "random")
        return {
            "error": f"{100 * (said.estimate - share):.3f}",
            "held": int(said.low <= share <= said.high),
        }

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
    """scikit-learn's logistic regression. `strategy` is random, margin, "from names", or a name of
    scikit-activeml.
    """

    def __init__(self, task, strategy, rng):
        self.X, self.strategy, self.rng = normalize(task.X), strategy, rng
        self.y = np.unique(task.y, return_inverse=True)[1]
        self.names = np.unique(task.y)
        self.model = None
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
        self.model = LogisticRegression(C=10, max_iter=1000, tol=1e-6).fit(X, y)
        if not self.model.n_iter_.all():
            raise RuntimeError(
                "LogisticRegression stopped before its first step: its tolerance is too large."
            )
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
            model = LogisticRegression(C=10, max_iter=1000, tol=1e-6)
            options["clf"] = SklearnClassifier(
                model, classes=np.unique(self.y), missing_label=-1, random_state=0
            )
        known = np.where(labelled, self.y, -1)
        return strategy.query(self.X, known, batch_size=n, **options)


def curve(task, method, seed, most_rounds):
    """Rows of labels and the share of the folder that is right, in percent."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(seed)
    classifier, _, strategy = method.partition(", ")
    if classifier == OURS:
        learner = Ours(task, strategy, rng)
    else:
        learner = Names(task) if classifier == "zero-shot" else Logistic(task, strategy, rng)
    labelled, n = np.zeros(len(task.y), dtype=bool), max(len(np.setdiff1d(task.y, [NONE])) // 2, 1)
    rows = []
    for number in range(most_rounds + 1):
        right, row = labelled.copy(), {"error": "", "held": ""}
        if not labelled.all():
            right[~labelled] = learner.learn(labelled) == task.y[~labelled]
            if method in (OURS, OURS_RANDOM):
                row = learner.estimate(labelled)
        rows.append(
            row | {"labels": labelled.sum(), "right": f"{100 * right.mean():.3f}", "classes": 2 * n}
        )
        if (number >= SHOWN and right.mean() >= LEVELS[-1] / 100) or labelled.all():
            break
        labelled[learner.choose(labelled, min(n, (~labelled).sum()))] = True
    return [
        row | {"model": task.model, "task": task.name, "method": method, "seed": seed}
        for row in rows
    ]


def folder(task, strangers=None, most=MOST):
    """At most `most` images of a task; with strangers `(n, D)`, half of them are such, and labelled
    `NONE`.
    """
    rng = np.random.default_rng(0)
    most = most if strangers is None else min(most // 2, len(strangers))
    rows = np.sort(rng.permutation(len(task.y))[:most])
    X, y = task.X[rows], task.y[rows]
    if strangers is not None:
        X = np.concatenate([X, strangers[rng.permutation(len(strangers))[: len(X)]]])
        y = np.concatenate([y, np.full(len(X) - len(y), NONE)])
    return tasks.Task(task.name, task.model, X, y, task.text_encoder, task.prompts)


def in_sets_of_pictures(frame, all_tasks):
    """The rows with the set of pictures, and its number of classes, in place of the task."""
    sets = {}
    for task in all_tasks:
        sets.setdefault(tuple(task.y), []).append(task.name)
    names = {}
    for y, members in sets.items():
        name = os.path.commonprefix(members).rstrip("_-, ") or members[0]
        models = f", {len(members)} models" if len(members) > 1 else ""
        names |= dict.fromkeys(members, f"{name}, {len(set(y))} classes{models}")
    return frame.assign(
        task_of_file=frame.task, task=frame.task.map(lambda task: names.get(task, task))
    )


def labels_until(of_curve, level):
    """Labels until so many percent are right, and whether that was reached; else all labels that
    were given.
    """
    reached = of_curve.labels[of_curve.right >= level]
    return (reached.min(), True) if len(reached) else (of_curve.labels.max(), False)


def report(frame):
    """Labels by task and method, means over the draws, and at last labels a class, means over the
    tasks.
    """
    needed = {}
    draws = frame.groupby(["task", "method", "task_of_file", "model", "seed"], sort=False)
    for (task, method, *_), of_curve in draws:
        needed.setdefault((task, method), []).append(
            [labels_until(of_curve, level) for level in LEVELS]
        )
    # (levels, labels and reached)
    means = {key: np.mean(values, axis=0) for key, values in needed.items()}
    n_classes = frame.groupby("task").classes.first()
    names = [
        name
        for name in frame.task.unique()
        if all((name, method) in means for method in set(frame.method))
    ]
    methods = [method for method in METHODS if method in set(frame.method)]

    def cells(values, digits):
        return [f"{'' if reached == 1 else '> '}{labels:.{digits}f}" for labels, reached in values]

    half = (2 * frame.labels / frame.classes).round(6)
    shares = frame.groupby(["method", half, "task"]).right.mean().groupby(level=[0, 1]).mean()
    after = [
        [method, *(f"{shares.get((method, number), np.nan):.1f}" for number in SHARES)]
        for method in METHODS
        if method in set(frame.method)
    ]
    rows = [
        [task, method, *cells(means[task, method], 0)]
        for task in frame.task.unique()
        for method in methods
        if (task, method) in means
    ]
    for method in methods if names else []:
        a_class = [means[task, method] / [n_classes[task], 1] for task in names]
        rows.append(["mean, labels a class", method, *cells(np.mean(a_class, axis=0), 1)])
    said = frame.assign(error=frame.error.abs(), held=100 * frame.held).groupby(["method", half])
    said = said[["error", "held"]].mean().dropna()
    of_estimate = [
        [method, name, *(f"{said[column].get((method, number), np.nan):.1f}" for number in SHARES)]
        for method in said.index.unique(0)
        for name, column in (("error", "error"), ("held, %", "held"))
    ]
    numbers = [f"{number / 2:g}" for number in SHARES]
    tables = [
        tasks.table(["task", "method", *(f"{level} %" for level in LEVELS)], rows, n_left=2),
        tasks.table(["% right after labels a class", *numbers], after),
        tasks.table(["estimate after labels a class", "", *numbers], of_estimate, n_left=2),
    ]
    return "\n\n".join(tables if of_estimate else tables[:2])


def draw_plot(frame, path):
    """The mean over the tasks of the share that is right, by labels a class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    grid = np.arange(SHOWN + 1) / 2
    figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for name in [name for name in METHODS if name in set(frame.method)]:
        curves = [
            np.mean(
                [
                    np.interp(grid, of_curve.labels / of_curve.classes, of_curve.right)
                    for _, of_curve in of_task.groupby(["model", "task_of_file", "seed"])
                ],
                axis=0,
            )
            for _, of_task in frame[frame.method == name].groupby("task")
        ]
        ours = name == OURS
        ax.plot(
            grid,
            np.mean(curves, axis=0),
            label=name,
            linewidth=2.5 if ours else 1.2,
            zorder=3 if ours else 2,
        )
    ax.set(
        xlabel="labels a class", ylabel="images of the folder that are right, %", ylim=(None, 100.5)
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], draws=2)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--results", type=Path, default=Path("clicks.csv"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--plot-seconds", type=Path)
    parser.add_argument("--vocabulary", nargs="*", default=[], metavar="FILE.npz")
    for name, value in pages.Costs()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    parser.add_argument("--ways", nargs="*", choices=pages.METHODS, default=pages.METHODS)
    parser.add_argument("--strangers", action="store_true")
    parser.add_argument(
        "--rounds", type=int, default=60, help="batches, after which a method is given up"
    )
    args = parser.parse_args(arguments)
    results = Results(
        args.results,
        ("model", "task", "method", "seed", "labels"),
        ("right", "classes", "error", "held"),
    )
    jobs = []
    all_tasks = tasks.load(args.tasks)
    for whole in all_tasks:
        task = folder(whole, strangers_of(whole, all_tasks) if args.strangers else None)
        if task.text_encoder is None:
            raise SystemExit(
                f"{task.name!r} has no texts. A folder starts from the names of its classes."
            )
        for method in args.methods:
            n_draws = args.draws if method.endswith(("random", "no names", "margin")) else 1
            for seed in range(FIRST_SEED, FIRST_SEED + n_draws):
                if (task.model, task.name, method, seed, 0) not in results:
                    jobs.append((task, method, seed, args.rounds))
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        calls = (joblib.delayed(curve)(*job) for job in jobs)
        for rows in joblib.Parallel(return_as="generator_unordered")(calls):
            for row in reversed(
                rows
            ):  # the row of no label comes last: an interrupted curve is measured again
                results.append(row)
    if results.rows:
        print_labels(results, all_tasks, args.plot)
    if args.strangers:
        return
    costs = pages.Costs(*(getattr(args, name) for name in pages.Costs._fields))
    print_seconds(all_tasks, args, costs)
    vocabularies = [dict(np.load(path)) for path in args.vocabulary]
    if table := pages.report_names([folder(task) for task in all_tasks], vocabularies):
        print(f"\n{table}")


def print_labels(results, all_tasks, plot):
    """The tables of labels, and the plot."""
    frame = pd.DataFrame(results.rows.values()).replace("", np.nan)
    frame = frame.astype(dict.fromkeys(("labels", "classes", "seed"), int))
    frame = frame.astype(dict.fromkeys(("right", "error", "held"), float))
    frame = frame.sort_values(["task", "method", "seed", "labels"])
    frame = in_sets_of_pictures(frame, all_tasks)
    print(report(frame))
    if plot:
        draw_plot(frame, plot)


def print_seconds(all_tasks, args, costs):
    """The table of seconds, and the plot."""
    # Other assumptions are another measurement.
    key = ("model", "task", "method", *costs._fields, "seconds")
    path = args.results.with_stem(f"{args.results.stem}_seconds")
    results, jobs = Results(path, key, ("right", "n")), []
    for whole in all_tasks:
        task = folder(whole, most=pages.MOST)
        for method in args.ways:
            if (task.model, task.name, method, *costs, "0") not in results:
                jobs.append((task, method, costs))
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        calls = (joblib.delayed(pages.seconds_of)(*job) for job in jobs)
        for rows in joblib.Parallel(return_as="generator_unordered")(calls):
            for row in reversed(rows):
                results.append(row | costs._asdict())
    if not results.rows:
        return
    frame = pd.DataFrame(results.rows.values())
    frame = frame.astype(dict.fromkeys((*costs._fields, "seconds", "right", "n"), float))
    frame = frame[(frame[list(costs._fields)] == costs).all(axis=1)]
    frame = frame.sort_values(["task", "method", "seconds"], kind="stable")
    print(f"\n{pages.report_seconds(frame)}")
    if args.plot_seconds:
        pages.draw_seconds(frame, args.plot_seconds)


if __name__ == "__main__":
    main()
