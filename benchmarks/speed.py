"""Time and memory of fit, prediction, and of learning from a folder.

    python benchmarks/speed.py
    python benchmarks/speed.py --sizes 37x8 1000x16 --folders 10000x100 --results speed.csv
    python benchmarks/speed.py --threads
    python benchmarks/speed.py --training emoji tasks/*.npz --shots 4 16
    python benchmarks/speed.py --search

Embeddings are made up, in float32, of classes that overlap as real ones do: LogisticRegression is
right for 75 to 90 %. `fit` has text. Times are seconds of the processor on one thread, and medians.
What is compared takes turns. `LogisticRegression` is scikit-learn's on the same shots. "SeMoBridge"
is `SeMoBridgeClassifier` in closed form, with a text projection of which 414 of 512 directions are
kept. Memory is the peak that `tracemalloc` sees above the arrays that are given, and also in units
of these.
`--results` keeps the rows: those of the same sizes replace older ones.

The second table has folders of pictures and classes: `with_unlabeled` on all pictures, and
`label_next`, which does the same before it says what to ask. The classifier has names and one shot
of each class.

`--threads` prints times by the clock, also of the bundled model with 1, 4 and 16 images, on a quiet
machine and beside two busy programs. "one" limits all libraries to one thread, and "installed" does
not. `with_unlabeled` then takes 2,000 images.

`--training` times the solvers of the paper's method instead, on shots of real tasks (`emoji`,
`digits`, npz files as `tasks.py` reads them, or folders of these): made-up classes would show
another number of steps. `adamw` makes 50 of its 5,000 steps.

`--search` says how long a candidate of a search takes in closed form, relative to a fit that finds
nothing in memory: in a grid over `lambda2`, in one over all seven hyperparameters (both with the
scores), and of 1,000 candidates on as many validation images as shots (`X_val`).
"""

import argparse
import contextlib
import subprocess
import sys
import tracemalloc
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import tasks
from few_shot_methods import PEERS
from results import Results
from settings import in_words, setting
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits
from timing import alternate, cpu_timed

from sksemobridge import CLIPImageEncoder, FewShotClassifier, SeMoBridgeClassifier
from sksemobridge._semobridge import closed_form
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next

KEY = ("pictures", "classes", "shots", "what")
VALUES = ("seconds", "logistic_seconds", "peak_mb", "given_mb", "logistic_right", "logistic")
SIZES = ((10, 4), (37, 8), (100, 16), (1000, 4), (1000, 16))
FOLDERS = ((10_000, 100), (50_000, 100), (10_000, 1000))
N_POOL = 2000
LOGISTIC = "LogisticRegression"
OF_FOLDERS = ("with_unlabeled", "label_next")
SEVEN = ("alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3", "smoothness")
N_QUERIES = 10_000
N_IMAGES = (1, 4, 16)
N_BUSY = 2


def forget():
    """Forget all results that searches have in common."""
    closed_form._kept.clear()


def on_one_thread(function):
    def limited():
        with threadpool_limits(1):
            return function()

    return limited


@contextlib.contextmanager
def busy(n):
    """`n` other programs compute meanwhile."""
    program = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    others = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def peak(function):
    """Peak memory of a call in MB."""
    tracemalloc.start()
    function()
    n_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return n_bytes / 1e6


def parts_of(task):
    """Embeddings and labels of the shots, and those of the queries."""
    is_shot = task.part == "train"
    return task.X[is_shot], task.y[is_shot], task.X[~is_shot], task.y[~is_shot]


def stages(n_classes, shots, width):
    """What is timed, by name."""
    task = tasks.made_up(n_classes, shots, width, N_QUERIES)
    X, y, queries, _ = parts_of(task)
    classifier = FewShotClassifier(task.text_encoder, prompts=task.prompts)
    fitted = FewShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
    return {
        "fit": lambda: classifier.fit(X, y),
        "with_unlabeled": lambda: fitted.with_unlabeled(queries[:N_POOL]),
        "predict_proba": lambda: fitted.predict_proba(queries),
        "LogisticRegression": lambda: logistic(X, y),
    }


def logistic(X, y):
    """LogisticRegression with the setting that is best on all families of tasks."""
    return PEERS[LOGISTIC](None, None, **setting(LOGISTIC, None)).fit(X, y)


def on_processor(functions, repeats):
    """Median seconds of the processor of each function on one thread. They take turns."""
    limited = [*map(on_one_thread, functions)]
    seconds = [[cpu_timed(function)[0] for function in limited] for _ in range(repeats + 1)]
    return np.median(seconds[1:], axis=0)


def against(sizes, width, repeats):
    """The rows of each size: our seconds and those of LogisticRegression, and our memory."""
    for n_classes, shots in sizes:
        task = tasks.made_up(n_classes, shots, width, N_QUERIES)
        X, y, queries, of_queries = parts_of(task)
        model = logistic(X, y)
        with_text = FewShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
        bridge = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
        names = FewShotClassifier(class_names="ignore")
        fit_logistic = partial(logistic, X, y)
        # The rows have unit length already.
        ours, of_bridge, of_logistic = (
            partial(of.predict_proba, queries) for of in (with_text, bridge, model[-1])
        )
        calls = {
            "fit": (partial(with_text.fit, X, y), fit_logistic),
            "fit without names": (partial(names.fit, X, y), fit_logistic),
            "predict_proba": (ours, of_logistic),
            "predict_proba of SeMoBridge": (of_bridge, of_logistic),
        }
        right = 100 * model.score(queries, of_queries)
        for name, both in calls.items():
            given = X if name.startswith("fit") else queries
            figures = (*on_processor(both, repeats), peak(both[0]), given.nbytes / 1e6, right)
            row = {"pictures": len(given), "classes": n_classes, "shots": shots, "what": name}
            yield row | dict(zip(VALUES, figures)) | {"logistic": in_words(setting(LOGISTIC, None))}


def of_sizes(frame):
    """The first table."""
    rows = [
        [
            f"{row.classes:,} x {row.shots}",
            f"{row.logistic_right:.0f} %",
            row.what,
            f"{row.seconds:.3f} s",
            f"{row.seconds / row.logistic_seconds:.2f}",
            f"{row.peak_mb:.0f} MB",
            f"{row.peak_mb / row.given_mb:.0f}",
        ]
        for row in frame[frame.logistic_seconds.notna()].itertuples()
    ]
    header = ["classes x shots", "LogisticRegression is right", "what", "CPU time"]
    header += ["times LogisticRegression", "peak memory", "times X"]
    return tasks.table(header, rows, n_left=3)


def by_folder(folders, width, repeats):
    """The rows of each folder."""
    for n_pictures, n_classes in folders:
        task = tasks.made_up(n_classes, 1, width, n_pictures)
        X, y, pictures, _ = parts_of(task)
        fitted = FewShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
        calls = partial(fitted.with_unlabeled, pictures), partial(label_next, fitted, pictures)
        row = {"pictures": n_pictures, "classes": n_classes, "shots": 1}
        for name, seconds in zip(OF_FOLDERS, on_processor(calls, repeats)):
            yield row | dict.fromkeys(VALUES, "") | {"what": name, "seconds": seconds}


def of_folders(frame):
    """The second table."""
    rows = frame[frame.what.isin(OF_FOLDERS)].pivot(
        index=["pictures", "classes"], columns="what", values="seconds"
    )
    cells = [
        [
            f"{n:,} x {n_classes:,}",
            *(f"{value:.2f} s" for value in rows.loc[n, n_classes][[*OF_FOLDERS]]),
        ]
        for n, n_classes in rows.index
    ]
    return tasks.table(["pictures x classes", *OF_FOLDERS], cells)


def encoder_stages():
    encoder, images = CLIPImageEncoder("mini", "bundled"), load_emoji().images
    return {f"encoder, {n} images": lambda n=n: encoder.transform(images[:n]) for n in N_IMAGES}


def compared(title, of_title, repeats):
    """Rows of the table."""
    for name, stage in of_title.items():
        cells = []
        for n in (0, N_BUSY):
            with busy(n):
                seconds = alternate(on_one_thread(stage), stage, repeats=repeats)
            cells += [f"{value:.3f} s" for value in np.median(seconds, axis=0)]
            cells.append(f"{np.median(seconds[:, 1] / seconds[:, 0]):.2f}")
        yield [title, name, *cells, f"{peak(stage):.0f} MB"]


def by_size(sizes, width, repeats):
    for n_classes, shots in sizes:
        yield from compared(f"{n_classes:,} x {shots}", stages(n_classes, shots, width), repeats)
    yield from compared("bundled model", encoder_stages(), repeats)


def by_solver(names, shots):
    """Rows of the table of solvers, for tasks of the command line."""
    for task in tasks.load(names):
        for k in shots:
            if (drawn := task.draw(k, tasks.FIRST_SEED)) is None:
                continue
            X, y = task.X[drawn[0]], task.y[drawn[0]]
            queries, of_queries = task.X[drawn[1]], task.y[drawn[1]]
            for solver, max_iter in (("closed_form", None), ("lbfgs", None), ("adamw", 50)):
                model = SeMoBridgeClassifier(
                    task.text_encoder,
                    prompts=task.prompts,
                    solver=solver,
                    max_iter=max_iter,
                    device="cpu",
                )
                with threadpool_limits(1):
                    seconds, _ = cpu_timed(model.fit, X, y)
                right, loss = tasks.accuracy_and_log_loss(model, queries, of_queries)
                # AdamW is timed by some of its steps only.
                measured = ["", ""] if solver == "adamw" else [f"{right:.1f} %", f"{loss:.3f}"]
                steps = str(model.n_iter_)
                size = f"{len(model.classes_):,} x {k}"
                yield [task.name, size, solver, steps, f"{seconds:.2f} s", *measured]


def seconds_of_candidates(task, n_candidates):
    """Seconds of a fit that finds nothing in memory, and for a candidate of each kind of search."""
    X, y, queries, of_queries = parts_of(task)
    # A third of the shots is scored, so the folds are as large as those of the other searches.
    folds, X_val, y_val = 3, queries[: len(X)], of_queries[: len(X)]

    def bridge(**params):
        return SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, **params)

    def grid(**given):
        values = {"lambda2": np.geomspace(0.01, 1, n_candidates)}
        values |= {name: [value] for name, value in given.items()}
        return GridSearchCV(bridge(), values, cv=folds, refit=False, error_score="raise")

    found = bridge().fit(X, y)
    given = {name: getattr(found, f"{name}_") for name in SEVEN if name != "lambda2"}
    n_fits = folds * n_candidates
    rows = X[np.arange(len(X)) % folds > 0], y[np.arange(len(X)) % folds > 0]
    with threadpool_limits(1):
        forget()
        yield "a fit", cpu_timed(bridge().fit, *rows)[0]
        for what, search in (("lambda2", grid()), ("all seven", grid(**given))):
            forget()
            yield f"grid over {what}, each fit", cpu_timed(search.fit, X, y)[0] / n_fits
        model = bridge()
        fit = partial(model.fit, *rows, X_val=X_val, y_val=y_val)
        yield "X_val, each candidate", cpu_timed(fit)[0] / model.n_candidates


def by_search(sizes, width, repeats, n_candidates):
    """Rows of the table of searches."""
    for n_classes, shots in sizes:
        task = tasks.made_up(n_classes, shots, width, n_classes * shots)
        runs = [[*seconds_of_candidates(task, n_candidates)] for _ in range(repeats)]
        for k, (what, _) in enumerate(runs[0]):
            seconds = np.median([run[k][1] for run in runs])
            ratio = np.median([run[k][1] / run[0][1] for run in runs])
            yield [f"{n_classes:,} x {shots}", what, f"{1000 * seconds:.1f} ms", f"{ratio:.3f}"]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["x".join(map(str, size)) for size in SIZES], metavar="CxK"
    )
    parser.add_argument(
        "--folders",
        nargs="*",
        default=["x".join(map(str, size)) for size in FOLDERS],
        metavar="NxC",
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("speed.csv"))
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--training", nargs="+", metavar="TASK")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 4, 16])
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of convergence
    sizes = [tuple(map(int, size.split("x"))) for size in args.sizes]
    if args.training:
        header = ["task", "classes x shots", "solver", "steps", "fit", "right", "log loss"]
        print(tasks.table(header, by_solver(args.training, args.shots), n_left=3))
    elif args.search:
        header = ["classes x shots", "what", "CPU time", "times a fit"]
        rows = by_search(sizes, args.width, args.repeats, args.candidates)
        print(tasks.table(header, rows, n_left=2))
    elif args.threads:
        both = ["one", "installed", "ratio"]
        header = [
            "classes x shots",
            "what",
            *both,
            *(f"{cell}, busy" for cell in both),
            "peak memory",
        ]
        print(tasks.table(header, by_size(sizes, args.width, args.repeats), n_left=2))
    else:
        folders = [tuple(map(int, size.split("x"))) for size in args.folders]
        results = Results(args.results, KEY, VALUES)
        for part, of_part in ((against, sizes), (by_folder, folders)):
            rows = [*part(of_part, args.width, args.repeats)]
            keys = {tuple(str(row[column]) for column in KEY) for row in rows}
            results.forget(lambda row, keys=keys: tuple(row[column] for column in KEY) in keys)
            results.extend(rows)
        frame = results.frame()
        print(of_sizes(frame), of_folders(frame), sep="\n\n")


if __name__ == "__main__":
    main()
