"""Speed and memory of prediction from embeddings, against scikit-learn's logistic regression.

    python benchmarks/head.py
    python benchmarks/head.py --projection vit_b16_text_projection.npz

It measures `predict_proba` of 100,000 made-up float32 embeddings, for 100 and 1,000 classes, in closed form with
`blend="auto"`. The projection is `text_projection (d, D)` of the file, and `atol=0.3` cuts it. Without a file it is a
random one of 512 x 512, of which 209 directions are kept, as of OpenAI's ViT-B/16. `W = I` is the classifier without
text. Times are the least of runs that take turns, so that other programs on the machine distort the ratios little.
"""

import argparse
import tracemalloc
import warnings
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from tasks import made_up
from timing import alternate

from sksemobridge import SeMoBridgeClassifier

WIDTH, RANK, ATOL = 512, 209, 0.3
SHOTS = 4
# Times that the package promises, in those of logistic regression: with a projection, by classes, and without text.
PROMISED, PROMISED_IDENTITY = {100: 4.0, 1000: 2.5}, 1.3


def random_projection(rng):
    left, right = (np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0] for _ in range(2))
    values = np.concatenate([np.linspace(2, 0.31, RANK), np.linspace(0.29, 0.05, WIDTH - RANK)])
    return (left * values) @ right


def fitted_models(projection, n_classes):
    """Both configurations and logistic regression, fitted on the same shots."""
    task = made_up(n_classes, SHOTS, projection.shape[1], projection)
    models = {
        "logistic regression": LogisticRegression(max_iter=3),
        "projection": SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, atol=ATOL),
        "W = I": SeMoBridgeClassifier(),
    }
    return {name: model.fit(task.X, task.y) for name, model in models.items()}


def extra_memory(model, X):
    """Peak memory of `predict_proba` in bytes, beyond its input and output."""
    tracemalloc.start()
    output = model.predict_proba(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - output.nbytes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--projection", help="npz file with text_projection (d, D)")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # of convergence: how well models fit does not matter here
    rng = np.random.default_rng(0)
    if args.projection:
        projection = np.load(args.projection)["text_projection"].astype(np.float64)
    else:
        projection = random_projection(rng)
    X = rng.normal(size=(args.rows, projection.shape[1])).astype(np.float32)
    for n_classes, promised in PROMISED.items():
        models = fitted_models(projection, n_classes)
        seconds = alternate(
            *(partial(model.predict_proba, X) for model in models.values()), repeats=args.repeats
        )
        seconds = dict(zip(models, seconds.min(axis=0)))
        print(f"\n{n_classes} classes, {X.shape[0]} x {X.shape[1]}, rank {models['projection'].rank_}")
        promises = {
            "projection": f" (promised: {promised:g})",
            "W = I": f" (promised: {PROMISED_IDENTITY:g})",
        }
        for name, model in models.items():
            ratio = seconds[name] / seconds["logistic regression"]
            print(
                f"  {name:20s} {seconds[name]:7.3f} s, {ratio:5.2f} times logistic regression"
                f"{promises.get(name, '')}; {extra_memory(model, X) / 1e6:6.1f} MB beyond input and output",
                flush=True,
            )


if __name__ == "__main__":
    main()
