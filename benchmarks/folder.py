"""What a folder teaches: `with_unlabeled` on the images that are to be labelled, against the same
model without it.

    python benchmarks/folder.py --tasks FILE.npz ... [--without-text]

Pools, of at most 2,000 images that are no shots:

- all: any images;
- missing: images of a third of the classes;
- tail: of a class of rank `r`, drawn at random, a share of `.8 ** r` (`.95 ** r` from 40 classes
  on);
- two: as many images as two of each class;
- strangers: half are images of another task of the same model and width, which shares no name of a
  class. Files do not always say which model they are of (`model`); then name files of one model
  only.

Names alone have 0 shots. A row has, over the tasks: the mean accuracy without the folder, the mean
gain in points, the task with the least gain, the change of the log loss, and the mean absolute
difference of mean probability and accuracy, without the folder and with it. Strangers count in the
pool only. Draws have the seeds 3000, 3001, ... `--results` keeps them: rows of the tasks replace
older ones.
"""

import re
import warnings
from itertools import product

import numpy as np
import tasks
from results import Results
from sklearn.metrics import log_loss

from sksemobridge import FewShotClassifier

MOST = 2000  # images of a pool
FIRST_SEED = 3000
KEY = ("names", "shots", "pool", "task", "seed")
FIGURES = ("accuracy", "log_loss", "overconfidence")
VALUES = (*FIGURES, *(f"{name}_taught" for name in FIGURES))
KINDS = ("all", "missing", "tail", "two", "strangers")


def fit(task, shots):
    """The classifier that knows the names, where there are some, and the shots."""
    if len(shots) == 0:
        return tasks.zero_shot(task)
    if task.text_encoder is None:
        return FewShotClassifier(class_names="ignore").fit(task.X[shots], task.y[shots])
    model = FewShotClassifier(task.text_encoder, prompts=task.prompts)
    return model.partial_fit(task.X[shots], task.y[shots], classes=np.unique(task.y))


def draw_shots(task, k, rng):
    """Rows of `k` shots of each class, of small classes all but one."""
    rows = [rng.permutation(np.flatnonzero(task.y == name)) for name in np.unique(task.y)]
    return np.concatenate([of_class[: min(k, len(of_class) - 1)] for of_class in rows])


def pool(kind, task, shots, rng):
    """Rows of the images of a pool."""
    rows = rng.permutation(np.setdiff1d(np.arange(len(task.y)), shots))
    classes, codes = np.unique(task.y[rows], return_inverse=True)
    n_classes = len(classes)
    if kind == "missing":
        rows = rows[np.isin(codes, rng.permutation(n_classes)[: max(n_classes // 3, 2)])]
    if kind == "tail":
        share = (0.8 if n_classes < 40 else 0.95) ** rng.permutation(n_classes)
        place = np.zeros(len(rows))  # of each image among those of its class
        for code in range(n_classes):
            of_class = np.flatnonzero(codes == code)
            place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
        rows = rows[place < share[codes]]
    return rows[: {"two": 2 * n_classes, "strangers": MOST // 2}.get(kind, MOST)]


def figures(model, X, y):
    """Accuracy in percent, log loss, and mean probability minus accuracy in points."""
    p = model.predict_proba(X)
    accuracy = 100 * np.mean(model.classes_[p.argmax(axis=1)] == y)
    return np.array(
        [accuracy, log_loss(y, p, labels=model.classes_), 100 * p.max(axis=1).mean() - accuracy]
    )


def one_draw(task, strangers, k, seed, kinds):
    """The rows of a draw of the shots: figures without the folder, and with it, for each pool."""
    warnings.simplefilter("ignore")
    rng, found = np.random.default_rng([seed, k]), []
    shots = draw_shots(task, k, rng) if k else np.zeros(0, dtype=int)
    model = fit(task, shots)
    key = {"names": "no" if task.text_encoder is None else "yes", "shots": k}
    key |= {"task": task.name, "seed": seed}
    for kind in kinds:
        rows = pool(kind, task, shots, rng)
        images = [task.X[rows]]
        if kind == "strangers":
            if not len(strangers):
                continue
            images.append(strangers[rng.permutation(len(strangers))[: len(rows)]])
        taught = model.with_unlabeled(np.concatenate(images))
        values = [
            value for of in (model, taught) for value in figures(of, task.X[rows], task.y[rows])
        ]
        found.append(key | {"pool": kind} | dict(zip(VALUES, values)))
    return found


def words(task):
    return {re.sub(r"^\d+ ", "", str(name).lower().replace("_", " ")) for name in np.unique(task.y)}


def strangers_of(task, all_tasks):
    """Images of the first other task, after this one, of its model and without a class of its."""
    place = [other is task for other in all_tasks].index(True)
    for other in all_tasks[place + 1 :] + all_tasks[:place]:
        alike = (other.model, other.X.shape[1]) == (task.model, task.X.shape[1])
        if alike and not words(other) & words(task):
            return other.X
    return task.X[:0]


def report(frame):
    """A table of the means over the draws of each task, and then over tasks."""
    rows, by_task = [], frame.groupby(["shots", "pool", "task"])[[*VALUES]].mean()
    for k, kind in product(sorted(frame.shots.unique()), KINDS):
        if (k, kind) not in by_task.index:
            continue
        means = by_task.loc[(k, kind)]
        gains = means.accuracy_taught - means.accuracy
        losses = means.log_loss_taught - means.log_loss
        without, with_it = means[["overconfidence", "overconfidence_taught"]].abs().mean()
        rows.append(
            [
                str(k),
                kind,
                str(len(means)),
                f"{means.accuracy.mean():.1f}",
                f"{gains.mean():+.2f}",
                f"{gains.min():+.1f} ({gains.idxmin()})",
                f"{losses.mean():+.3f}",
                f"{without:.1f} / {with_it:.1f}",
            ]
        )
    header = ["shots", "pool", "tasks", "without", "gain", "least gain", "log loss", "calibration"]
    return tasks.table(header, rows, n_left=2)


def main(arguments=None):
    parser = tasks.parser(
        __doc__, ["emoji", "digits"], shots=(0, 1, 2, 4), draws=2, results="folder.csv"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--without-text", action="store_true")
    args = parser.parse_args(arguments)
    all_tasks = tasks.load(args.tasks)
    far = {id(task): strangers_of(task, all_tasks) for task in all_tasks}
    jobs = []
    for task in all_tasks:
        used = task.without_text() if args.without_text else task
        shots = args.shots if used.text_encoder is not None else [k for k in args.shots if k]
        jobs += [
            (used, far[id(task)], k, FIRST_SEED + i, args.kinds)
            for k in shots
            for i in range(args.draws)
        ]
    names = "no" if args.without_text else "yes"
    here = {(names, task.name) for task in all_tasks}
    results = Results(args.results, KEY, VALUES)
    results.forget(lambda row: (row["names"], row["task"]) in here)
    results.measure(one_draw, jobs, args.jobs)
    frame = results.frame()
    print(report(frame[frame.names == names]))


if __name__ == "__main__":
    main()
