"""What validation images gain SeMoBridge, beside its estimates from the shots.

    python benchmarks/validation_images.py --tasks FILE.npz ...

Of the images that are no shots, validation images are drawn at random, at most two thirds of them;
the others are queries. Tasks without class texts are left out. A cell has the mean gain over the
tasks in points of accuracy, on the same shots and queries, ± its standard error over the draws, and
in brackets the task that gains least. Rows are added to `--results`, so that an interrupted run
goes on.
"""

import warnings

import numpy as np
import tasks
from few_shot_methods import CLOSED_FORM, TRAINED, semobridge
from results import Results
from tasks import shots_in_words, table

KEY = ("task", "shots", "seed", "solver", "images")
VALUES = ("gain",)
SIZES = 50, 200
MOST_SHARE = 2 / 3
SOLVERS = {CLOSED_FORM: "closed_form", TRAINED: "lbfgs"}


def one_draw(task, k, seed):
    """Rows of the gain in points of each solver and number of validation images."""
    shots, rest = task.draw(k, seed)
    rest = np.random.default_rng(seed).permutation(rest)
    queries = rest[min(max(SIZES), int(MOST_SHARE * len(rest))) :]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, solver in SOLVERS.items():
            classifier = semobridge(task, solver=solver)
            default = classifier.fit(task.X[shots], task.y[shots]).score(
                task.X[queries], task.y[queries]
            )
            for size in SIZES:
                chosen = rest[: min(size, len(rest) - len(queries))]
                validation = {"X_val": task.X[chosen], "y_val": task.y[chosen]}
                classifier.fit(task.X[shots], task.y[shots], **validation)
                gain = classifier.score(task.X[queries], task.y[queries]) - default
                key = (task.name, k, seed, title, size)
                rows.append(dict(zip(KEY, key)) | {"gain": 100 * gain})
    return rows


def report(frame):
    """The table of rows of `one_draw`."""
    shots = sorted(frame.shots.unique())
    lines = []
    for (title, size), group in frame.groupby(["solver", "images"], sort=False):
        cells = []
        for k in shots:
            gains = group[group.shots == k].groupby("task").gain.agg(["mean", "sem"])
            error = np.sqrt(np.square(gains["sem"]).sum(skipna=False)) / len(gains)
            mean, least = gains["mean"].mean(), gains["mean"].min()
            cells.append(f"{mean:+.1f} ± {error:.1f} ({least:+.1f})")
        lines.append([title, str(size), *cells])
    return table(["solver", "validation images", *map(shots_in_words, shots)], lines)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(1, 4, 8), results="validation_images.csv")
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
