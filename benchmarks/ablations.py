"""What the terms of SeMoBridge's score and the losses of its training are worth, with few shots.

    python benchmarks/ablations.py --tasks FILE.npz ...

Each row leaves out one part. On tasks with validation images the hyperparameters are chosen on
these, as in the paper, and elsewhere estimated from the shots. Tasks without class texts are left
out. The draws are those of `few_shot.py`. Accuracies are means over the tasks in percent, and
differences to the whole method are paired, ± their standard error over the draws.
"""

import warnings

import joblib
import numpy as np
import pandas as pd
import tasks
from few_shot_methods import CLOSED_FORM, TRAINED, semobridge, tuned
from tasks import shots_in_words, table

PARTS = {
    "without the texts (z1)": {"lambda1": 0.0},
    "without the bridged shots (z2)": {"lambda2": 0.0},
    "without the bridged query (z3)": {"lambda3": 0.0},
    "without the weights of the classes": {"smoothness": 0.0},
}
LOSSES = {
    "without the loss of the images": {"lambda_it": 0.0},
    "without the losses of the texts": {"lambda_it": 1.0},
    "without the consistency": {"lambda_c": 0.0},
    "without the bias of each class": {"class_bias": False},
    "without the loss of the bias": {"lambda_b": 0.0},
}


def ablations():
    """Parameters by solver, and by what is left out."""
    for title, solver, parts in (
        (CLOSED_FORM, "closed_form", PARTS),
        (TRAINED, "lbfgs", PARTS | LOSSES),
    ):
        for name, params in ({"": {}} | parts).items():
            yield (title, name), {"solver": solver} | params


def one_draw(task, k, seed):
    """A row of the accuracy in percent of each ablation."""
    shots, queries = task.draw(k, seed)
    has_validation = task.part is not None and (task.part == "val").any()
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for (title, part), params in ablations():
            classifier = (tuned if has_validation else semobridge)(task, **params)
            classifier.fit(task.X[shots], task.y[shots])
            right = classifier.predict(task.X[queries]) == task.y[queries]
            rows.append((task.name, k, seed, title, part, 100 * right.mean()))
    return rows


def report(rows):
    """The table of rows of `one_draw`."""
    frame = pd.DataFrame(rows, columns=["task", "shots", "seed", "title", "part", "value"])
    whole = frame[frame.part == ""].set_index(["task", "shots", "seed", "title"]).value
    keys = pd.MultiIndex.from_frame(frame[["task", "shots", "seed", "title"]])
    frame.loc[frame.part != "", "value"] -= whole.reindex(keys).to_numpy()[frame.part != ""]
    groups = frame.groupby(["title", "part", "shots", "task"], sort=False).value
    of_tasks = groups.agg(["mean", "sem"]).reset_index()
    lines, shots = [], sorted(frame.shots.unique())
    for (title, part), group in of_tasks.groupby(["title", "part"], sort=False):
        cells = []
        for k in shots:
            chosen = group[group.shots == k]
            error = np.sqrt(np.square(chosen["sem"]).sum(skipna=False)) / len(chosen)
            cells.append(f"{chosen['mean'].mean():{'+' if part else ''}.1f} ± {error:.1f}")
        lines.append([part or title, *cells])
    return table(["accuracy in percent", *map(shots_in_words, shots)], lines)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(1, 2, 4, 8), draws=3)
    args = parser.parse_args(arguments)
    jobs = [
        (task, k, seed)
        for task in tasks.load(args.tasks)
        if task.text_encoder is not None
        for k in args.shots
        for seed in task.seeds(args.draws)
        if task.draw(k, seed) is not None
    ]
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        found = joblib.Parallel()(joblib.delayed(one_draw)(*job) for job in jobs)
    print(report([row for rows in found for row in rows]))


if __name__ == "__main__":
    main()
