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
- LogisticRegression (with its setting of `settings.py`, unit embeddings), random or margin: asks
  for random images, or for those with the least difference of the two largest probabilities;
- LogisticRegression with the strategies TypiClust, CoreSet, Badge and ProbCover of scikit-activeml.

The first batch of logistic regression is random, but for TypiClust, CoreSet, ProbCover and the one
from names. Tasks with the same labels in the same order are one set of pictures through several
models: their mean counts once. The first table has the labels until 90, 95 and 99 % of the folder
are right, means over `--draws` of the random choices (of scikit-activeml's, one), and at last
labels a class, means over the tasks. ">" is before a number if a task did not reach the level in
`--rounds` batches. The second table and the plot have the share that is right, means over the
tasks. With `--strangers`, half of the folder are images of another task, which are none of the
classes (`folder.py` says which). For logistic regression they are a class. Rows are added to
`--results`, so that an interrupted run goes on.
"""

import os
import warnings
from pathlib import Path
from zlib import crc32

import numpy as np
import tasks
from click_methods import METHODS, NONE, OURS, OURS_RANDOM, Logistic, Names, Ours
from folder import strangers_of
from results import Results

KEY = ("model", "task", "method", "seed", "labels")
# Tasks of one number of pictures have the same labels in the same order.
VALUES = ("batch", "right", "classes", "pictures", "error", "held")
MOST = 2000  # images of a folder
FIRST_SEED = 3000
LEVELS = (90, 95, 99)  # percent of the folder that is right
SHARES = (0, 1, 2, 4, 8)  # half labels a class
SHOWN = 16  # half labels a class in the plot


def curve(task, method, seed, most_rounds):
    """Rows of labels and the share of the folder that is right, in percent."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(seed)
    classifier, _, strategy = method.partition(", ")
    if classifier == OURS:
        learner = Ours(task, strategy, rng)
    else:
        learner = Names(task) if classifier == "zero-shot" else Logistic(task, strategy, rng)
    n_classes = len(np.setdiff1d(task.y, [NONE]))
    labelled, n, rows = np.zeros(len(task.y), dtype=bool), max(n_classes // 2, 1), []
    for number in range(most_rounds + 1):
        right, row = labelled.copy(), {"error": "", "held": ""}
        if not labelled.all():
            right[~labelled] = learner.learn(labelled) == task.y[~labelled]
            # Before the first answers, the package says nothing.
            if method in (OURS, OURS_RANDOM) and labelled.any():
                row = learner.estimate(labelled)
        rows.append(row | {"labels": labelled.sum(), "batch": number, "right": 100 * right.mean()})
        if (number >= SHOWN and right.mean() >= LEVELS[-1] / 100) or labelled.all():
            break
        labelled[learner.choose(labelled, min(n, (~labelled).sum()))] = True
    of_curve = {"model": task.model, "task": task.name, "method": method, "seed": seed}
    of_curve |= {"classes": n_classes, "pictures": crc32("\n".join(task.y).encode())}
    return [row | of_curve for row in rows]


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


def in_sets_of_pictures(frame):
    """The rows with the set of pictures, and its number of classes, in place of the task."""
    titles = {}
    for _, rows in frame.groupby("pictures", sort=False):
        members = [*rows.task.unique()]
        name = os.path.commonprefix(members).rstrip("_-, ") or members[0]
        models = f", {len(members)} models" if len(members) > 1 else ""
        titles |= dict.fromkeys(members, f"{name}, {rows.classes.iloc[0]} classes{models}")
    return frame.assign(task_of_file=frame.task, task=frame.task.map(titles))


def labels_until(of_curve, level):
    """Labels until so many percent are right, and whether that was reached; else all labels that
    were given.
    """
    reached = of_curve.labels[of_curve.right >= level]
    return (reached.min(), True) if len(reached) else (of_curve.labels.max(), False)


def labels_by_method(frame):
    """Labels until each level by task and method, means over the draws, with the share of the draws
    that reached it: `{(task, method): (levels, 2)}`.
    """
    needed = {}
    draws = frame.groupby(["task", "method", "task_of_file", "model", "seed"], sort=False)
    for (task, method, *_), of_curve in draws:
        of_curve = of_curve.sort_values("labels")
        needed.setdefault((task, method), []).append(
            [labels_until(of_curve, level) for level in LEVELS]
        )
    return {key: np.mean(values, axis=0) for key, values in needed.items()}


def in_order(frame):
    return [method for method in METHODS if method in set(frame.method)]


def cells(values, digits):
    return [f"{'' if reached == 1 else '> '}{labels:.{digits}f}" for labels, reached in values]


def labels_table(frame):
    """Labels by task and method, and at last labels a class, means over the tasks."""
    frame = in_sets_of_pictures(frame)
    means = labels_by_method(frame)
    rows = [
        [task, method, *cells(means[task, method], 0)]
        for task in frame.task.unique()
        for method in in_order(frame)
        if (task, method) in means
    ]
    rows += [["mean, labels a class", *row] for row in labels_a_class(frame, means)]
    return tasks.table(["task", "method", *in_percent()], rows, n_left=2)


def labels_a_class(frame, means):
    """Rows of labels a class, means over the tasks that all methods have."""
    n_classes = frame.groupby("task").classes.first()
    methods = in_order(frame)
    names = [name for name in n_classes.index if all((name, method) in means for method in methods)]
    return [
        [
            method,
            *cells(np.mean([means[task, method] / [n_classes[task], 1] for task in names], 0), 1),
        ]
        for method in (methods if names else [])
    ]


def means_table(frame, titles):
    """Labels a class, means over the tasks, with the title of each method."""
    frame = in_sets_of_pictures(frame)
    rows = {method: values for method, *values in labels_a_class(frame, labels_by_method(frame))}
    lines = [[title, *rows[method]] for method, title in titles.items()]
    return tasks.table(["method", *in_percent(" right")], lines)


def in_percent(what=""):
    first, *others = LEVELS
    return [f"{first} %{what}", *(f"{level} %" for level in others)]


def shares_table(frame):
    """The share of the folder that is right by labels a class, means over the tasks."""
    frame = in_sets_of_pictures(frame)
    shares = frame.groupby(["method", "batch", "task"]).right.mean().groupby(level=[0, 1]).mean()
    rows = [
        [method, *(f"{shares.get((method, number), np.nan):.1f}" for number in SHARES)]
        for method in in_order(frame)
    ]
    return tasks.table(["% right after labels a class", *labels_in_words()], rows)


def estimates_table(frame):
    """How well the share that is right is estimated; None where nothing estimates it."""
    said = frame.assign(error=frame.error.abs(), held=100 * frame.held)
    said = said.groupby(["method", "batch"])[["error", "held"]].mean().dropna()
    numbers = SHARES[1:]
    rows = [
        [method, name, *(f"{said[column].get((method, number), np.nan):.1f}" for number in numbers)]
        for method in said.index.unique(0)
        for name, column in (("error", "error"), ("held, %", "held"))
    ]
    header = ["estimate after labels a class", "", *labels_in_words(numbers)]
    return tasks.table(header, rows, n_left=2) if rows else None


def labels_in_words(numbers=SHARES):
    return [f"{number / 2:g}" for number in numbers]


def report(frame):
    return "\n\n".join(
        filter(None, (labels_table(frame), shares_table(frame), estimates_table(frame)))
    )


def draw_plot(frame, path):
    """The mean over the tasks of the share that is right, by labels a class."""
    frame = in_sets_of_pictures(frame).sort_values("labels")
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
    parser = tasks.parser(__doc__, ["emoji"], draws=2, results="clicks.csv")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--strangers", action="store_true")
    parser.add_argument(
        "--rounds", type=int, default=60, help="batches, after which a method is given up"
    )
    args = parser.parse_args(arguments)
    results = Results(args.results, KEY, VALUES)
    done, jobs = results.seen("model", "task", "method", "seed"), []
    all_tasks = tasks.load(args.tasks)
    for whole in all_tasks:
        strangers = strangers_of(whole, all_tasks) if args.strangers else None
        if strangers is not None and not len(strangers):
            raise SystemExit(
                f"{whole.name!r} has no strangers: name another file of its model and width."
            )
        task = folder(whole, strangers)
        if task.text_encoder is None:
            raise SystemExit(
                f"{task.name!r} has no texts. A folder starts from the names of its classes."
            )
        for method in args.methods:
            n_draws = args.draws if method.endswith(("random", "no names", "margin")) else 1
            jobs += [
                (task, method, seed, args.rounds)
                for seed in range(FIRST_SEED, FIRST_SEED + n_draws)
                if (task.model, task.name, method, str(seed)) not in done
            ]
    results.measure(curve, jobs, args.jobs)
    print(report(results.frame()))
    if args.plot:
        draw_plot(results.frame(), args.plot)


if __name__ == "__main__":
    main()
