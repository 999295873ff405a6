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
pool only. Draws have the seeds 3000, 3001.
"""

import re
import warnings
from itertools import product

import joblib
import numpy as np
import tasks
from sklearn.metrics import log_loss

from sksemobridge import FewShotClassifier

MOST = 2000  # images of a pool
FIRST_SEED = 3000
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
    """`(kind, figures without the folder, figures with it)` of a draw of the shots."""
    warnings.simplefilter("ignore")
    rng, found = np.random.default_rng([seed, k]), []
    shots = draw_shots(task, k, rng) if k else np.zeros(0, dtype=int)
    model = fit(task, shots)
    for kind in kinds:
        rows = pool(kind, task, shots, rng)
        images = [task.X[rows]]
        if kind == "strangers":
            if not len(strangers):
                continue
            images.append(strangers[rng.permutation(len(strangers))[: len(rows)]])
        taught = model.with_unlabeled(np.concatenate(images))
        found.append((kind, *(figures(of, task.X[rows], task.y[rows]) for of in (model, taught))))
    return k, task.name, found


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


def report(found, kinds, shots):
    rows = []
    for k, kind in product(shots, kinds):
        by_task = {}
        for _, name, of_draw in (row for row in found if row[0] == k):
            for before, after in ((a, b) for which, a, b in of_draw if which == kind):
                by_task.setdefault(name, []).append((before, after))
        if not by_task:
            continue
        means = {name: np.mean(pairs, axis=0) for name, pairs in by_task.items()}
        before, after = np.mean(list(means.values()), axis=0)
        gains = {name: b[0] - a[0] for name, (a, b) in means.items()}
        least = min(gains, key=gains.get)
        without, with_it = np.mean([np.abs(pair[:, 2]) for pair in means.values()], axis=0)
        rows.append(
            [str(k), kind, str(len(means)), f"{before[0]:.1f}", f"{after[0] - before[0]:+.2f}"]
            + [
                f"{gains[least]:+.1f} ({least})",
                f"{after[1] - before[1]:+.3f}",
                f"{without:.1f} / {with_it:.1f}",
            ]
        )
    header = ["shots", "pool", "tasks", "without", "gain", "least gain", "log loss", "calibration"]
    return tasks.table(header, rows, n_left=2)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji", "digits"], shots=(0, 1, 2, 4), draws=2)
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
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        found = joblib.Parallel()(joblib.delayed(one_draw)(*job) for job in jobs)
    print(report(found, args.kinds, args.shots))


if __name__ == "__main__":
    main()
