"""Speed and memory of prediction from embeddings, against scikit-learn's logistic regression on the same arrays.

    python benchmarks/head.py

`predict_proba` of 100,000 made-up float32 embeddings of width 512, for 100 and 1,000 classes. The two take turns in one
process, so that other programs on the machine distort the ratio little; it is that of the least times. Memory is the peak
beyond input and output. Where onnxruntime is installed, the largest difference of the probabilities of `to_onnx` is printed.
"""

import argparse
import tempfile
import tracemalloc
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from timing import alternate

from sksemobridge import SeMoBridgeClassifier, to_onnx

# Times that the package promises, in those of logistic regression, by the number of classes.
PROMISED = {100: 1.25, 1000: 1.1}
WIDTH, SHOTS = 512, 4


def extra_memory(model, X):
    """Peak memory of `predict_proba` in bytes, beyond its input and output."""
    tracemalloc.start()
    output = model.predict_proba(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - output.nbytes


def onnx_difference(classifier, X):
    """The largest difference of a probability; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "classifier.onnx"))
        to_onnx(classifier, path)
        session = onnxruntime.InferenceSession(path)
        (there,) = session.run(["probabilities"], {"embeddings": X})
    return float(np.abs(there - classifier.predict_proba(X)).max())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=list(PROMISED))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")  # of convergence: how well models fit does not matter here
    rng = np.random.default_rng(0)
    X = rng.normal(size=(args.rows, WIDTH)).astype(np.float32)
    for n_classes in args.classes:
        y = np.repeat(np.arange(n_classes), SHOTS)
        shots = rng.normal(size=(n_classes, WIDTH))[y] + rng.normal(size=(len(y), WIDTH))
        models = [SeMoBridgeClassifier(), LogisticRegression(max_iter=3)]
        ours, theirs = (model.fit(shots.astype(np.float32), y) for model in models)
        seconds = alternate(
            *(partial(model.predict_proba, X) for model in (ours, theirs)), repeats=args.repeats
        ).min(axis=0)
        promised = f" (promised: {PROMISED[n_classes]})" if n_classes in PROMISED else ""
        print(
            f"{n_classes} classes, {args.rows} x {WIDTH}: {seconds[0]:.3f} s, {seconds[0] / seconds[1]:.2f} times logistic "
            f"regression{promised}; {extra_memory(ours, X) / 1e6:.1f} MB, logistic regression "
            f"{extra_memory(theirs, X) / 1e6:.1f} MB"
        )
        difference = onnx_difference(ours, X[:1000])
        if difference is not None:
            print(f"  largest difference of a probability in onnxruntime: {difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
