"""The blend that is estimated from the shots, against peers, its own defaults and an oracle.

    python benchmarks/fusion.py --embeddings cifar10_vit_b32.npz

Tasks: the given embeddings (`W` the identity), the bundled pictures and scikit-learn's digits through the
bundled model; `--node-modules` adds the style on which settings were chosen. Draws: `default_rng(seed)`, for
each class `permutation(flatnonzero(y == c))[:k]`. Settings were chosen on seeds 100 to 199 (`--first-seed
100`), on openmoji and digits; seeds 0 to 19 are reported.

Columns: accuracy; mean paired difference to zero-shot and its standard error, over draws; log loss; expected
calibration error (15 bins, all draws pooled); how far fitted weights move from their defaults (mean of
`|log(s / s0)|`).
"""

import argparse
import itertools
import warnings
from time import perf_counter

import embeddings
import numpy as np
from peers import GDA, TipAdapter
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from training import synthetic

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier, ZeroShotClassifier
from sksemobridge._method import blend
from sksemobridge._method.blend import fuse
from sksemobridge._utils.array_api import l2_normalize

# The oracle multiplies the weights of z2, z3 and z4 by each of these (a common factor changes no accuracy).
ORACLE_GRID = 2.0 ** np.arange(-6, 9, 2)


class Defaults:
    """Within the block no weight is estimated: the blend stays at its defaults."""

    def __enter__(self):
        self._strength = blend.PRIOR_STRENGTH
        blend.PRIOR_STRENGTH = 1e9

    def __exit__(self, *_):
        blend.PRIOR_STRENGTH = self._strength


def oracle(classifier, X, y):
    """The best accuracy on test labels that weights on the grid reach."""
    affinities = classifier.affinities(X)
    names = [name for name in affinities if name != "z1"]
    codes = np.searchsorted(classifier.classes_, y)
    best = 0.0
    for factors in itertools.product(ORACLE_GRID, repeat=len(names)):
        scales = dict(classifier.blend_)
        scales.update({name: scales[name] * factor for name, factor in zip(names, factors)})
        best = max(best, float((fuse(affinities, scales).argmax(axis=1) == codes).mean()))
    return best


def one_draw(task, k, seed, with_oracle):
    """`{method: (probabilities, movement or None)}` and the test labels' codes; the oracle gives an accuracy."""
    shots, queries = task.draw(k, seed)
    X, y, Q = task.X[shots], task.y[shots], task.X[queries]
    U, V = l2_normalize(X), l2_normalize(Q)
    classes = np.unique(task.y)
    codes = np.searchsorted(classes, task.y[queries])
    results = {}
    zero = ZeroShotClassifier(task.text_encoder, prompts=task.prompts).fit(X, y)
    texts, scale = zero.text_embeddings_, task.text_encoder.logit_scale_
    results["zero-shot"] = softmax(zero.decision_function(Q), axis=1), None
    means = l2_normalize(np.stack([U[y == c].mean(axis=0) for c in classes]))
    results["class means"] = softmax(scale * V @ means.T, axis=1), None
    for name, peer in (
        ("Tip-Adapter", TipAdapter(texts, scale)),
        ("GDA", GDA(texts, scale)),
    ):
        results[name] = softmax(peer.fit(U, y).decision_function(V), axis=1), None
    results["LogisticRegression"] = LogisticRegression(max_iter=2000).fit(U, y).predict_proba(V), None

    base = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
    with Defaults():
        defaults = base.fit(X, y)
        results["defaults alone"] = defaults.predict_proba(Q), None
        default_blend = dict(defaults.blend_)
    for name, params in (
        ("ours", {}),
        ("ours without z4", {"whiten": False}),
        ("trained", {"solver": "lbfgs"}),
        ("trained without z4", {"solver": "lbfgs", "whiten": False}),
    ):
        fitted = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, **params).fit(X, y)
        moved = [abs(np.log(s / default_blend[z])) for z, s in fitted.blend_.items() if z in default_blend]
        results[name] = fitted.predict_proba(Q), float(np.mean(moved))
        if name == "ours" and with_oracle:
            results["oracle"] = oracle(fitted, Q, task.y[queries])
    return results, codes


def report(task, shots, seeds, with_oracle):
    for k in shots:
        draws = [one_draw(task, k, seed, with_oracle) for seed in seeds]
        print(f"\n{task.name}, {k} shots a class, {len(seeds)} draws")
        print(
            f"  {'method':20s} {'accuracy':>9s} {'to zero-shot':>15s} {'log loss':>9s} {'ECE':>6s} {'moved':>6s}"
        )
        zero = np.array([100 * (d["zero-shot"][0].argmax(1) == codes).mean() for d, codes in draws])
        for name in draws[0][0]:
            if name == "oracle":
                accuracy = np.array([100 * d["oracle"] for d, _ in draws])
                rest = ""
            else:
                accuracy = np.array([100 * (d[name][0].argmax(1) == codes).mean() for d, codes in draws])
                loss = np.mean([log_loss(c, d[name][0], labels=range(d[name][0].shape[1])) for d, c in draws])
                confidence = np.concatenate([d[name][0].max(1) for d, _ in draws])
                right = np.concatenate([d[name][0].argmax(1) == codes for d, codes in draws])
                error = embeddings.expected_calibration_error(confidence, right)
                moved = (
                    "" if draws[0][0][name][1] is None else f"{np.mean([d[name][1] for d, _ in draws]):6.2f}"
                )
                rest = f"{loss:9.3f} {error:6.3f} {moved:>6s}"
            gain = accuracy - zero
            spread = gain.std(ddof=1) / np.sqrt(len(gain))
            print(
                f"  {name:20s} {accuracy.mean():8.2f}  {gain.mean():+7.2f} ± {spread:4.2f}  {rest}",
                flush=True,
            )


def cost():
    """Print the time of a closed-form fit with all of the blend, texts encoded already."""
    for n_classes in (100, 1000):
        problem = synthetic(n_classes, 16, 512)
        texts = [f"class {c}" for c in range(n_classes)]
        encoder = PrecomputedTextEncoder(texts, 10 * problem["eos_directions"], problem["projection"])
        classifier = SeMoBridgeClassifier(encoder, prompts={c: [text] for c, text in enumerate(texts)})
        seconds = []
        for _ in range(4):  # the first one warms up
            start = perf_counter()
            classifier.fit(problem["X"], problem["codes"])
            seconds.append(perf_counter() - start)
        print(
            f"fit in closed form, {n_classes} classes x 16 shots x 512: {np.median(seconds[1:]):.2f} s",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--embeddings", help="npz of image and text embeddings")
    parser.add_argument("--node-modules", help="adds the development style openmoji")
    parser.add_argument("--tasks", default="embeddings,emoji,digits,openmoji")
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--no-oracle", action="store_true")
    parser.add_argument("--cost", action="store_true", help="only measure the time of a fit")
    args = parser.parse_args()
    if args.cost:
        return cost()
    warnings.filterwarnings("ignore", category=UserWarning)
    shots = [int(k) for k in args.shots.split(",")]
    seeds = range(args.first_seed, args.first_seed + args.draws)
    wanted = args.tasks.split(",")
    if args.embeddings and "embeddings" in wanted:
        few = [k for k in shots if k <= 8]
        report(embeddings.from_npz(args.embeddings), few, seeds, not args.no_oracle)
    if "emoji" in wanted:
        report(embeddings.emoji(), shots, seeds, not args.no_oracle)
    if "digits" in wanted:
        report(embeddings.digits(), shots, seeds, not args.no_oracle)
    if args.node_modules and "openmoji" in wanted:
        report(embeddings.openmoji(args.node_modules), shots, seeds, not args.no_oracle)


if __name__ == "__main__":
    main()
