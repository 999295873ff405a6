"""What validation images gain SeMoBridge, beside its estimates from the shots.

    python benchmarks/validation_images.py --tasks FILE.npz ...

Of the images that are no shots, validation images are drawn at random, at most two thirds of them;
the others are queries. Tasks without class texts are left out. A cell has the mean change over the
tasks, of the accuracy in points or of the log loss (negative is better), on the same shots and
queries, ± its standard error over the draws, and in brackets its range over the tasks, the worst
first. Rows are added to `--results`, so that an interrupted run goes on.
"""

import warnings

import numpy as np
import tasks
from few_shot_methods import CLOSED_FORM, TRAINED, semobridge
from results import Results
from tasks import accuracy_and_log_loss, shots_in_words, table

KEY = ("task", "shots", "seed", "solver", "images")
VALUES = ("accuracy", "log_loss")
SIZES = 50, 200
MOST_SHARE = 2 / 3
SOLVERS = {CLOSED_FORM: "closed_form", TRAINED: "lbfgs"}


def one_draw(task, k, seed):
    """Rows of the gain in points, and the change of the log loss, of each solver and number of
    validation images.
    """
    shots, rest = task.draw(k, seed)
    rest = np.random.default_rng(seed).permutation(rest)
    queries = rest[min(max(SIZES), int(MOST_SHARE * len(rest))) :]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, solver in SOLVERS.items():
            classifier = semobridge(task, solver=solver)
            classifier.fit(task.X[shots], task.y[shots])
            default = accuracy_and_log_loss(classifier, task.X[queries], task.y[queries])
            for size in SIZES:
                chosen = rest[: min(size, len(rest) - len(queries))]
                validation = {"X_val": task.X[chosen], "y_val": task.y[chosen]}
                classifier.fit(task.X[shots], task.y[shots], **validation)
                found = accuracy_and_log_loss(classifier, task.X[queries], task.y[queries])
                key = (task.name, k, seed, title, size)
                rows.append(dict(zip(KEY, key)) | dict(zip(VALUES, np.subtract(found, default))))
    return rows


def report(frame):
    """The table of rows of `one_draw`."""
    shots = sorted(frame.shots.unique())
    lines = []
    for (title, size), group in frame.groupby(["solver", "images"], sort=False):
        for value, ends, digits in (
            ("accuracy", ("min", "max"), 1),
            ("log_loss", ("max", "min"), 3),
        ):
            cells = []
            for k in shots:
                gains = group[group.shots == k].groupby("task")[value].agg(["mean", "sem"])
                error = np.sqrt(np.square(gains["sem"]).sum(skipna=False)) / len(gains)
                worst, best = (f"{gains['mean'].agg(end):+.{digits}f}" for end in ends)
                mean = f"{gains['mean'].mean():+.{digits}f} ± {error:.{digits}f}"
                cells.append(f"{mean} ({worst} to {best})")
            lines.append([title, str(size), value.replace("_", " "), *cells])
    header = ["solver", "validation images", "change of", *map(shots_in_words, shots)]
    return table(header, lines, n_left=1)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(1, 2, 4, 8), results="validation_images.csv")
    args = parser.parse_args(arguments)
    jobs = [
        (task, k, seed)
        for task in tasks.load(args.tasks)
        if task.text_encoder is not None
        for k in args.shots
        for seed in task.seeds(args.draws)
        if task.draw(k, seed) is not None
    ]
    results = Results(args.results, KEY, VALUES)
    done = results.seen("task", "shots", "seed")
    jobs = [job for job in jobs if (job[0].name, *map(str, job[1:])) not in done]
    results.measure(one_draw, jobs, args.jobs)
    print(report(results.frame()))


if __name__ == "__main__":
    main()
