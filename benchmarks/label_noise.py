"""Wrong labels among the shots: accuracy, log loss and calibration error with and without `label_noise`.

    python benchmarks/label_noise.py [FILE.npz ...] [--kinds swapped alike class] [--without-text]

Files are as `benchmarks/few_shot.py` takes them; without any, it is the bundled pictures (`emoji`). Draws are
`default_rng(2000 + s)`. Then labels are made wrong, of three kinds: each label, with the probability in the table, becomes
that of any other class (`swapped`) or of the class that looks most alike (`alike`); or all labels of one class, or of so many
classes, become those of one other class each (`class`). Printed are means over files: all labels trusted, and the default
`label_noise="auto"`; in percent, but for the log loss.

A second table tells how many of the wrong labels are found, and how many of those that are named are wrong: by
`label_proba_` below one half, and by cleanlab's `find_label_issues` on the held-out probabilities of the classifier that
trusts all labels.
"""

import argparse
import os
import warnings

import joblib
import numpy as np
import tasks
from sklearn.metrics import log_loss

from sksemobridge import SeMoBridgeClassifier

FIRST_SEED = 2000
ONE_CLASS = 1e-9  # of a class at least
RATES = {"swapped": (0.1, 0.2, 0.4), "alike": (0.1, 0.2, 0.4), "class": (ONE_CLASS, 0.1, 0.2, 0.4)}


def wrong_labels(task, y, kind, rate, rng):
    """The labels `y (n,)` of shots, some of them wrong."""
    classes, codes = np.unique(y, return_inverse=True)
    n = len(classes)
    another = (codes + rng.integers(1, n, len(codes))) % n
    wrong = rng.random(len(codes)) < rate
    if kind == "alike":
        u = task.X / np.linalg.norm(task.X, axis=1, keepdims=True)
        means = np.stack([u[task.y == c].mean(axis=0) for c in classes])
        means -= means.mean(axis=0)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        another = (means @ means.T - 2 * np.eye(n)).argmax(axis=1)[codes]
    if kind == "class":
        chosen = rng.permutation(n)[: max(round(rate * n), 1)]
        wrong = np.isin(codes, chosen)
        another = ((np.arange(n) + rng.integers(1, n, n)) % n)[codes]
    return classes[np.where(wrong, another, codes)]


def measure(name, shots, kind, rate, seed, with_text):
    """Accuracy, log loss and calibration error of both; and of both ways the wrong labels named, all named, and all wrong."""
    task = tasks.emoji() if name == "emoji" else tasks.from_npz(name)
    drawn = task.draw(shots, seed)
    if drawn is None or (with_text and task.text_encoder is None):
        return None
    chosen, queries = drawn
    true = task.y[chosen]
    classes = np.unique(true)
    y = wrong_labels(task, true, kind, rate, np.random.default_rng([FIRST_SEED, seed]))
    wrong = y != true
    if not with_text:
        classes = np.unique(y)  # without a name, a class that lost its shots is not known
        queries = queries[np.isin(task.y[queries], classes)]
    figures, named = [], []
    for noise in (0.0, "auto"):
        text = (
            {"text_encoder": task.text_encoder, "prompts": task.prompts}
            if with_text
            else {"class_names": "ignore"}
        )
        classifier = SeMoBridgeClassifier(label_noise=noise, store_held_out=True, **text)
        with warnings.catch_warnings(action="ignore"):  # of the labels that are wrong
            # Classes that lost all shots are known by name.
            classifier.partial_fit(task.X[chosen], y, classes=classes)
        p, truth = classifier.predict_proba(task.X[queries]), task.y[queries]
        right = classes[p.argmax(axis=1)] == truth
        error = tasks.expected_calibration_error(p.max(axis=1), right)
        figures += [100 * right.mean(), log_loss(truth, p, labels=classes), 100 * error]
        if noise == 0:
            named.append(issues(np.searchsorted(classes, y), classifier.held_out_proba_))
        else:
            named.append(classifier.label_proba_ < 0.5)
    return figures, [[(of_way & wrong).sum(), of_way.sum(), wrong.sum()] for of_way in named]


def issues(codes, held_out):
    """Whether cleanlab names each label; it asks for labels of all classes."""
    from cleanlab.filter import find_label_issues  # of the extra "examples"

    known = np.isfinite(held_out).all(axis=1)
    if not known.any():  # one shot of each class, without text
        return known
    seen, codes_seen = np.unique(codes[known], return_inverse=True)
    p = held_out[known][:, seen]
    named = np.zeros(len(codes), dtype=bool)
    named[known] = find_label_issues(
        codes_seen, p / p.sum(axis=1, keepdims=True), min_examples_per_class=0, n_jobs=1
    )
    return named


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE.npz")
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4, 16])
    parser.add_argument("--kinds", nargs="+", choices=list(RATES), default=list(RATES))
    parser.add_argument("--without-text", action="store_true")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args(arguments)
    names, found = args.files or ["emoji"], []
    cases = [
        (shots, kind, rate)
        for shots in args.shots
        for kind, rate in [("swapped", 0.0), *((kind, rate) for kind in args.kinds for rate in RATES[kind])]
    ]
    print("| shots | wrong | accuracy | auto | log loss | auto | calibration error | auto |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        for case in cases:
            runs = [
                (name, *case, FIRST_SEED + s, not args.without_text)
                for name in names
                for s in range(args.draws)
            ]
            rows = [
                row
                for row in joblib.Parallel()(joblib.delayed(measure)(*run) for run in runs)
                if row is not None
            ]
            if rows:
                a, b, c, d, e, f = np.mean([figures for figures, _ in rows], axis=0)
                shots, kind, rate = case
                share = "one" if rate == ONE_CLASS else f"{rate:.0%}"
                label = f"{shots} | {share} {kind if rate else ''}".rstrip()
                print(f"| {label} | {a:.1f} | {d:.1f} | {b:.3f} | {e:.3f} | {c:.1f} | {f:.1f} |", flush=True)
                found.append((label, np.sum([counts for _, counts in rows], axis=0)))
    print("\n| shots | wrong | named are wrong | cleanlab | wrong are named | cleanlab |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for label, (cleanlab, ours) in found:
        cells = [
            f"{100 * hits / max(of, 1):.0f} % of {of}"
            for hits, of in [(way[0], way[k]) for k in (1, 2) for way in (ours, cleanlab)]
        ]
        print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
