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
from click_methods import METHODS, NONE, OURS, OURS_RANDOM, Logistic, Names, Ours
from folder import strangers_of
from results import Results

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
