"""What images without a label add: `with_unlabeled` against the same model without them.

    python benchmarks/unlabeled.py --tasks FOLDER
    python benchmarks/unlabeled.py --tasks FOLDER --pools

FOLDER holds npz files as `benchmarks/few_shot.py` takes them; those without class texts are left out. The queries of a
draw are the unlabelled images and what accuracy and log loss are of. Of each draw, a line gives the task, the shots of
a class (0: `ZeroShotClassifier`), and the differences that unlabelled images make, in points of accuracy and in log
loss:

- all: all queries;
- self-training: the control, `SelfTrainingClassifier` on `SeMoBridgeClassifier`, which is refitted with confident labels;
- 3 classes: 64 queries of three of the classes;
- no class: all queries and as many images of the other tasks;
- uneven: queries of a class `c` in proportion to `1 / (1 + c)`, and the differences are those of all queries.

`--pools` hands over 1, 2, 5, 10 and 50 of the queries instead, of two classes, ten, and all; 500 near copies of one query,
and of five; and 600 midpoints of queries of two classes. The differences are those of all queries. `--tasks` takes files
too, and `--draws`, `--shots` and `--sizes` make it shorter.

Tables give means over the tasks, the task with the least gain, and the draw with the least. `--first-seed` is the seed of
the first draw.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import tasks
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize
from sklearn.semi_supervised import SelfTrainingClassifier

from sksemobridge import SeMoBridgeClassifier, ZeroShotClassifier

SHOTS = (0, 1, 2, 4, 8)
WAYS = ("all", "self-training", "3 classes", "no class", "uneven")
SIZES, POOLS = ("2", "10", "all"), (1, 2, 5, 10, 50)
# Of near copies.
COSINE = 0.96


def fit(task, k, shots):
    """The classifier without unlabelled images."""
    if k == 0:
        return ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(None, task.y[shots])
    return SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(task.X[shots], task.y[shots])


def unlabeled_rows(way, task, queries, rng):
    """Rows of the task that are handed over without their labels."""
    classes, code = np.unique(task.y[queries], return_inverse=True)
    if way == "3 classes":
        some = np.flatnonzero(np.isin(code, rng.choice(len(classes), 3, replace=False)))
        return queries[rng.permutation(some)[:64]]
    if way == "uneven":
        return queries[rng.random(len(queries)) < 1 / (1 + rng.permutation(len(classes))[code])]
    return queries


def taught(way, model, task, shots, queries, strangers, rng):
    if way == "self-training":
        codes = np.concatenate([np.searchsorted(model.classes_, task.y[shots]), np.full(len(queries), -1)])
        base = SeMoBridgeClassifier(
            task.text_encoder, prompts=task.prompts, class_names=model.class_names_.tolist()
        )
        return SelfTrainingClassifier(base, threshold=0.9).fit(
            task.X[np.concatenate([shots, queries])], codes
        )
    X = task.X[unlabeled_rows(way, task, queries, rng)]
    if way == "no class":
        X = np.concatenate([X, strangers[rng.permutation(len(strangers))[: len(X)]]])
    return model.with_unlabeled(X)


def measure(model, X, codes):
    """Accuracy in percent, and log loss."""
    probability = model.predict_proba(X)
    return np.array(
        [
            100 * np.mean(probability.argmax(axis=1) == codes),
            log_loss(codes, probability, labels=np.arange(probability.shape[1])),
        ]
    )


def fitted_draw(task, k, seed):
    """The classifier of a draw, its rows of shots and queries, and `measure(model)`; None where the task is too small."""
    drawn = None if task is None else task.draw(max(k, 1), seed)
    if drawn is None:
        return None
    shots, queries = drawn
    model = fit(task, k, shots)
    codes = np.searchsorted(model.classes_, task.y[queries])
    return model, shots, queries, lambda model: measure(model, task.X[queries], codes)


def one_draw(task, k, seed, ways, strangers):
    """Differences of accuracy and log loss by way."""
    found, result = fitted_draw(task, k, seed), {}
    for way in ways if found is not None else ():
        if way != "self-training" or k > 0:
            model, shots, queries, measured = found
            after = taught(way, model, task, shots, queries, strangers, np.random.default_rng(seed))
            result[way] = measured(after) - measured(model)
    return result


def strange_pools(task, queries, rng):
    """Near copies of queries, which are in a random order, and midpoints of two classes, by name."""
    unit = normalize(task.X[queries])
    pools = {}
    for name, n in (("copies of one", 1), ("copies of five", 5)):
        copies = np.repeat(unit[:n], 500 // n, axis=0)
        noise = rng.normal(size=copies.shape) * np.sqrt((1 / COSINE - 1) / copies.shape[1])
        pools[name] = copies + noise
    first, second = (
        unit[task.y[queries] == name] for name in rng.choice(np.unique(task.y[queries]), 2, replace=False)
    )
    pools["midpoints"] = rng.choice(first, 600) + rng.choice(second, 600)
    return pools


def pools(task, k, seed, sizes):
    """Differences of accuracy and log loss by the number of classes and of images without a label."""
    result = {}
    for size in sizes:
        some = task if size == "all" else task.some_classes(int(size), max(k, 1), seed)
        found = fitted_draw(some, k, seed)
        if found is not None:
            model, _, queries, measured = found
            rng = np.random.default_rng(seed)
            before, order = measured(model), rng.permutation(queries)
            images = {f"{n} images": some.X[order[:n]] for n in POOLS} | strange_pools(some, order, rng)
            for name, X in images.items():
                result[f"{size} classes, {name}"] = measured(model.with_unlabeled(X)) - before
    return result


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", metavar="FOLDER", type=Path, nargs="+", required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--pools", action="store_true")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="of --pools")
    parser.add_argument("--draws", type=int, default=5, help="at most, of a task")
    parser.add_argument("--first-seed", type=int, default=tasks.FIRST_SEED)
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    all_tasks = [task for task in tasks.from_folder(*args.tasks) if task.text_encoder is not None]
    differences = {}
    for task in all_tasks:
        others = [other for other in all_tasks if other is not task and other.X.shape[1] == task.X.shape[1]]
        strangers = np.concatenate([other.X for other in others]) if others else None
        ways = args.ways if others else [way for way in args.ways if way != "no class"]
        for k in args.shots:
            for seed in np.array(task.seeds()[: args.draws]) - tasks.FIRST_SEED + args.first_seed:
                row = (
                    pools(task, k, seed, args.sizes)
                    if args.pools
                    else one_draw(task, k, seed, ways, strangers)
                )
                for way, difference in row.items():
                    differences.setdefault((way, k), {}).setdefault(task.name, []).append(difference)
    print(report(differences))


def report(differences):
    """Tables of the differences, which are those of draws by task, by way and shots."""
    lines = []
    ways = list(dict.fromkeys(way for way, _ in differences))
    for way, k in sorted(differences, key=lambda key: (ways.index(key[0]), key[1])):
        by_task = differences[way, k]
        if f"**{way}**" not in lines:
            lines += [
                "",
                f"**{way}**",
                "",
                "| shots | points | log loss | least gain | least draw | each task |",
            ]
            lines += ["| ---: | ---: | ---: | --- | ---: | --- |"]
        means = {name: np.mean(draws, axis=0) for name, draws in by_task.items()}
        points, loss = np.mean(list(means.values()), axis=0)
        least = min(means, key=lambda name: means[name][0])
        error = np.std([draw[0] for draw in by_task[least]], ddof=1) / np.sqrt(len(by_task[least]))
        worst = min(draw[0] for draws in by_task.values() for draw in draws)
        each = ", ".join(f"{name} {mean[0]:+.2f}" for name, mean in means.items())
        lines.append(
            f"| {k} | {points:+.2f} | {loss:+.3f} | {means[least][0]:+.2f} ± {error:.2f} ({least}) | {worst:+.2f} | {each} |"
        )
    return "\n".join(lines[1:])


if __name__ == "__main__":
    main()
