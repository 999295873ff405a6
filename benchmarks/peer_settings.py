"""Choose the fixed setting of each peer: the best one on the tasks of other families.

    python benchmarks/peer_settings.py --tasks FILE.npz ...

Measures the settings of `settings.py`, adds the rows to `--results`, where `few_shot.py` reads
them, and prints which setting is best in the mean of all families but one. Rows that are there are
not computed again.
"""

import itertools
import sys
import warnings

import numpy as np
import tasks
from few_shot_methods import PEERS, methods_for
from results import Results
from settings import GRIDS, MEASURED, best_setting, families, in_words
from tasks import shots_in_words

KEY = ("task", "method", "setting", "shots", "seed")
VALUES = ("accuracy",)


def candidates(method):
    """Parameters of each setting."""
    grid = GRIDS[method]
    return [dict(zip(grid, values)) for values in itertools.product(*grid.values())]


def measure(task, k, seed, results):
    """Add the missing rows of one draw."""
    if (draw := task.draw(k, seed)) is None:
        return
    shots, queries = draw
    X, y, texts = task.X[shots], task.y[shots], None
    if task.text_encoder is not None:
        texts = tasks.zero_shot(task, np.unique(y)).text_embeddings_
    for method in (name for name in GRIDS if name in methods_for(task, k)):
        for params in candidates(method):
            key = (task.name, method, in_words(params), k, seed)
            if key not in results:
                fitted = PEERS[method](task, texts, **params).fit(X, y)
                right = (fitted.predict(task.X[queries]) == task.y[queries]).mean()
                results.extend([dict(zip((*KEY, *VALUES), (*key, right)))])


def accuracies(measured):
    """Markdown: mean accuracy of each setting by family."""
    family = measured.task.map(families())
    names = sorted(set(family))
    of_family = 100 * measured.groupby(["method", "setting", family], sort=False).accuracy.mean()
    rows = [
        [
            *key,
            *(
                f"{of_family[(*key, name)]:.1f}" if (*key, name) in of_family else "-"
                for name in names
            ),
        ]
        for key in dict.fromkeys(zip(measured.method, measured.setting))
    ]
    return tasks.table(["method", "setting", *names], rows, n_left=2)


def choices(measured):
    """Markdown: the setting that is best without each family, and in the mean of all."""
    names = sorted(set(measured.task.map(families())))
    rows = [
        [method, *(best_setting(measured, method, name) for name in (*names, None))]
        for method in GRIDS
        if method in set(measured.method)
    ]
    return tasks.table(["method", *(f"without {name}" for name in names), "all"], rows)


def main(arguments=None):
    parser = tasks.parser(__doc__, shots=(1, 4, 16), draws=2, results=MEASURED)
    args = parser.parse_args(arguments)
    results = Results(args.results, KEY, VALUES)
    all_tasks = tasks.load(args.tasks)
    if unknown := [task.name for task in all_tasks if task.name not in families()]:
        raise SystemExit(f"data.csv has no family of {', '.join(unknown)}. Add a row for each.")
    jobs = [
        (number, task, k, seed)
        for task in all_tasks
        for k in args.shots
        for number, seed in enumerate(task.seeds(args.draws))
    ]
    for number, task, k, seed in sorted(jobs, key=lambda job: job[0]):
        print(f"{task.name}, {shots_in_words(k)}, draw {number + 1}", file=sys.stderr)
        with warnings.catch_warnings():
            # Classes with one shot, searches that stop early: known.
            warnings.simplefilter("ignore")
            measure(task, k, seed, results)
    measured = results.frame()
    print(accuracies(measured), choices(measured), sep="\n\n")


if __name__ == "__main__":
    main()
