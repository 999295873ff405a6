"""Wrong labels among the shots: accuracy, log loss and calibration error with and without `label_noise`.

    python benchmarks/label_noise.py FILE.npz ...

Files are as `benchmarks/few_shot.py` takes them. Draws are `default_rng(2000 + s)`; each label is then swapped for that of
another class with the probability in the first column. Printed are means over files with class texts: the classifier as
it comes, and with `label_noise="auto"`; in percent, but for the log loss.
"""

import argparse
import os

import joblib
import numpy as np
import tasks
from sklearn.metrics import log_loss

from sksemobridge import SeMoBridgeClassifier

FIRST_SEED, RATES = 2000, (0.0, 0.1, 0.2, 0.4)


def measure(path, shots, rate, seed):
    """Accuracy, log loss and calibration error of both, and the share of planted errors among as many doubtful labels."""
    task = tasks.from_npz(path, spare=2)
    drawn = task.draw(shots, seed)
    if drawn is None or task.text_encoder is None:
        return None
    chosen, queries = drawn
    rng, y = np.random.default_rng([FIRST_SEED, seed]), task.y[chosen].copy()
    classes, codes = np.unique(y, return_inverse=True)
    wrong = rng.random(len(y)) < rate
    y[wrong] = classes[(codes[wrong] + rng.integers(1, len(classes), wrong.sum())) % len(classes)]
    figures = []
    for noise in (0.0, "auto"):
        classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, label_noise=noise)
        # Classes that lost all shots are known by name.
        classifier.partial_fit(task.X[chosen], y, classes=classes)
        p, truth = classifier.predict_proba(task.X[queries]), task.y[queries]
        right = classes[p.argmax(axis=1)] == truth
        error = tasks.expected_calibration_error(p.max(axis=1), right)
        figures += [100 * right.mean(), log_loss(truth, p, labels=classes), 100 * error]
    doubtful = np.argsort(classifier.label_proba_)[: wrong.sum()]
    return [*figures, 100 * wrong[doubtful].mean() if wrong.any() else np.nan]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", metavar="FILE.npz")
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4, 16])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args(arguments)
    print("| shots | wrong | accuracy | auto | log loss | auto | calibration error | auto | errors found |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        for shots in args.shots:
            for rate in RATES:
                runs = [(path, shots, rate, FIRST_SEED + s) for path in args.files for s in range(args.draws)]
                rows = joblib.Parallel()(joblib.delayed(measure)(*run) for run in runs)
                rows = [row for row in rows if row is not None]
                if rows:
                    a, b, c, d, e, f, found = np.mean(rows, axis=0)
                    print(
                        f"| {shots} | {rate:.0%} | {a:.1f} | {d:.1f} | {b:.3f} | {e:.3f} | {c:.1f} | {f:.1f} | {found:.0f} |"
                    )


if __name__ == "__main__":
    main()
