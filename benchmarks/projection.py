"""What the bridge is worth where the text projection `W` of the model is known.

    python benchmarks/projection.py TASK.npz PROJECTIONS.npz

`TASK.npz` has embeddings of images and texts, and `PROJECTIONS.npz` the `text_projection (d, D)` of
their model. Texts before it are its inverse times the texts, so that all bridges see the same texts
after it. A row of the identity has its accuracy. The others have the gain over it in points, on the
same shots and queries, ± the standard error over the draws: of `W` with singular values cut at 0.3,
and of a projection with the same singular values along random directions. Rows are added to
`--results`, so that an interrupted run goes on.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import tasks
from few_shot_methods import ATOL, CLOSED_FORM, TRAINED, semobridge
from results import Results
from tasks import FIRST_SEED, random_rotation, shots_in_words, table

from sksemobridge import PrecomputedTextEncoder

KEY = ("task", "shots", "seed", "solver", "texts", "bridge")
VALUES = ("accuracy",)
SOLVERS = {CLOSED_FORM: "closed_form", TRAINED: "lbfgs"}
TEXTS = {"yes": None, "no": "ignore"}
IDENTITY, CUT, RANDOM = "identity", f"cut at {ATOL}", "random directions"


def with_projection(task, projection):
    """The task with texts before a projection that give its own texts."""
    encoder = task.text_encoder
    before = encoder.transform(encoder.texts) @ np.linalg.inv(projection)
    encoder = PrecomputedTextEncoder(
        encoder.texts, before, projection, logit_scale=encoder.logit_scale
    )
    return replace(task, text_encoder=encoder)


def along_random_directions(projection, seed):
    """A projection with the same singular values."""
    u, values, _ = np.linalg.svd(projection)
    return u * values @ random_rotation(projection.shape[1], np.random.default_rng(seed))


def one_draw(task, projection, k, seed):
    """Rows of the accuracy of each solver and bridge, with and without the names."""
    shots, queries = task.draw(k, seed)
    bridges = {
        IDENTITY: task,
        CUT: with_projection(task, projection),
        RANDOM: with_projection(task, along_random_directions(projection, seed)),
    }
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, solver in SOLVERS.items():
            for texts, class_names in TEXTS.items():
                for bridge, of_bridge in bridges.items():
                    classifier = semobridge(
                        of_bridge, solver=solver, class_names=class_names, atol=ATOL
                    ).fit(task.X[shots], task.y[shots])
                    accuracy = 100 * classifier.score(task.X[queries], task.y[queries])
                    key = (task.name, k, seed, title, texts, bridge)
                    rows.append(dict(zip(KEY, key)) | {"accuracy": accuracy})
    return rows


def report(frame):
    """The table of rows of `one_draw`."""
    by_bridge = frame.pivot_table(
        "accuracy", ["solver", "texts", "shots", "seed"], "bridge", sort=False
    )
    shots, lines = sorted(frame.shots.unique()), []
    for (solver, texts), group in by_bridge.groupby(["solver", "texts"], sort=False):
        gains = group.sub(group[IDENTITY], axis=0).assign(**{IDENTITY: group[IDENTITY]})
        of_shots = gains.groupby("shots").agg(["mean", "sem"])
        for bridge in (IDENTITY, CUT, RANDOM):
            sign = "" if bridge == IDENTITY else "+"
            cells = (of_shots.loc[k, bridge] for k in shots)
            cells = (f"{cell['mean']:{sign}.1f} ± {cell['sem']:.1f}" for cell in cells)
            lines.append([solver, texts, bridge, *cells])
    return table(["solver", "texts", "bridge", *map(shots_in_words, shots)], lines, n_left=3)


def main(arguments=None):
    parser = tasks.parser(__doc__, (), (1, 2, 4, 8), draws=10, results="projection.csv")
    parser.add_argument("file", type=Path, help="npz file of a task with texts")
    parser.add_argument("projections", type=Path, help="npz file with its text_projection")
    args = parser.parse_args(arguments)
    task = tasks.from_npz(args.file)
    with np.load(args.projections) as data:
        projection = data["text_projection"].astype(np.float64)
    results = Results(args.results, KEY, VALUES)
    done = results.seen("shots", "seed")
    seeds = range(FIRST_SEED, FIRST_SEED + args.draws)
    jobs = [(task, projection, k, seed) for k in args.shots for seed in seeds]
    jobs = [job for job in jobs if (*map(str, job[2:]),) not in done]
    results.measure(one_draw, jobs, args.jobs)
    print(report(results.frame()))


if __name__ == "__main__":
    main()
