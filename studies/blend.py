"""Constants of the estimated blend, chosen by leaving one task out.

    python studies/blend.py npz:cifar10_vit_b32.npz digits openmoji:NODE_MODULES --tasks FOLDER

Each constant is tried at half and twice its value and at its value, with all others as they are. A row gives the log loss
to zero-shot (without text, to a guess), the mean over tasks and numbers of shots, for each value; the value that is best
on average; and the values that are best when each task in turn is left out. The last lines compare, task by task, the
constants as they are with those that all other tasks would have chosen: a model that only fits its tasks would lose there.
Constants were chosen on seeds from 6000 on; figures are reported on others.
"""

import argparse
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from sklearn.metrics import log_loss

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks

from sksemobridge import SeMoBridgeClassifier, ZeroShotClassifier
from sksemobridge._method import blend, class_means

CONSTANTS = {
    class_means: ("KAPPA_OF_TEXTS", "KAPPA_OF_REST", "KAPPA_WORTH", "LEANING"),
    blend: (
        "WHITENED_SCALE",
        "WHITENED_SCALE_ALONE",
        "SHOT_SHARE",
        "STRENGTH",
        "STRENGTH_OF_WHITENED",
        "OFFSET",
        "CORRECTION",
        "CORRECTION_ALONE",
        "VARIANCE_WORTH",
        "TEMPER_WORTH",
    ),
}
FACTORS = (0.5, 1.0, 2.0)


def losses(all_tasks, shots, seeds):
    """Log loss of each task less that of zero-shot, or of a guess; the mean over numbers of shots and draws."""
    result = []
    for task in all_tasks:
        differences = []
        for k in shots:
            for seed in seeds:
                drawn = task.draw(k, seed)
                if drawn is None:
                    continue
                X, y, Q, truth = task.X[drawn[0]], task.y[drawn[0]], task.X[drawn[1]], task.y[drawn[1]]
                base = np.log(len(np.unique(y)))
                class_names = "ignore"
                if task.text_encoder is not None:
                    class_names = None
                    zero_shot = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
                    base = log_loss(truth, zero_shot.predict_proba(Q))
                ours = SeMoBridgeClassifier(
                    task.text_encoder, prompts=task.prompts, vocabulary=None, class_names=class_names
                )
                differences.append(log_loss(truth, ours.fit(X, y).predict_proba(Q)) - base)
        result.append(np.mean(differences))
    return np.array(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="as in benchmarks/few_shot.py")
    parser.add_argument("--tasks", help="folder of npz files")
    parser.add_argument("--shots", default="1,2,4,8")
    parser.add_argument("--first-seed", type=int, default=6000)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--constants", help="those to vary, default: all")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    all_tasks = [tasks.load(name) for name in args.names]
    if args.tasks:
        all_tasks += tasks.from_folder(args.tasks)
    shots = [int(k) for k in args.shots.split(",")]
    seeds = range(args.first_seed, args.first_seed + args.draws)
    now = losses(all_tasks, shots, seeds)
    left_out = np.zeros(len(all_tasks))
    print(
        f"{'constant':22s} {'value':>7s} {'half':>8s} {'as is':>8s} {'twice':>8s}  best  best without each task"
    )
    wanted = args.constants.split(",") if args.constants else sum(CONSTANTS.values(), ())
    for module, names in CONSTANTS.items():
        for name in [name for name in names if name in wanted]:
            value = getattr(module, name)
            table = []
            for factor in FACTORS:
                with mock.patch.object(module, name, factor * value):
                    table.append(now if factor == 1 else losses(all_tasks, shots, seeds))
            table = np.array(table)  # (factors, tasks)
            means = table.mean(axis=1)
            without = [int(np.delete(table, i, axis=1).mean(axis=1).argmin()) for i in range(len(all_tasks))]
            left_out += table[without, range(len(all_tasks))] - now
            chosen = " ".join(f"{FACTORS[i] * value:g}" for i in without)
            best = FACTORS[int(means.argmin())] * value
            print(
                f"{name:22s} {value:7g} {means[0]:8.4f} {means[1]:8.4f} {means[2]:8.4f}  {best:g}  {chosen}",
                flush=True,
            )
    print(
        "\nlog loss, as it is, and what it would add to choose each constant on all other tasks (mean of the constants)"
    )
    for task, loss, more in zip(all_tasks, now, left_out / len(wanted)):
        print(f"{task.name:22s} {loss:8.4f} {more:+8.4f}")


if __name__ == "__main__":
    main()
