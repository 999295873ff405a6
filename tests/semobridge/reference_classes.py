"""The bridge, the arrays and the score of classes by docs/paper_method.md alone, as `reference`."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from ..model.reference_images import nrm


@dataclass
class Texts:
    """`T (C, D)` and `E (C, d)`, None without texts; those of classes without one are means."""

    W: np.ndarray  # `(d, D)`
    b: np.ndarray  # `(D,)`
    L: float = 1.0
    T: np.ndarray | None = None
    E: np.ndarray | None = None
    has_text: np.ndarray | None = None
    logit_scale: float = 100.0

    def take(self, classes):
        T, E, has_text = (
            None if p is None else p[classes] for p in (self.T, self.E, self.has_text)
        )
        return Texts(self.W, self.b, self.L, T, E, has_text, self.logit_scale)


def read_texts(t, W, b, logit_scale):
    """`Texts` of the embeddings `t_cj` of each class before the projection, or None for a class
    without a text.
    """
    named = [c for c in range(len(t)) if t[c] is not None]
    T, E = np.zeros((len(t), W.shape[1])), np.zeros((len(t), W.shape[0]))
    for c in named:
        T[c] = nrm(np.mean([nrm(row @ W + b) for row in t[c]], axis=0))
        E[c] = nrm(np.mean([nrm(row) for row in t[c]], axis=0))
    for c in set(range(len(t))) - set(named):
        T[c], E[c] = T[named].mean(axis=0), E[named].mean(axis=0)
    L = np.mean([np.linalg.norm(np.mean(t[c], axis=0)) for c in named])
    has_text = np.array([texts is not None for texts in t])
    return Texts(W, b, L, T, E, has_text, logit_scale)


def pseudo_inverse(W, atol):
    """`W+`, and the cutoff."""
    left, values, right = np.linalg.svd(W, full_matrices=False)
    values = values[values > 1e-12 * values[0]]
    if atol == "auto":
        share = np.mean(values > 0.3)
        atol = 0.3 if 0.25 <= share <= 0.95 else 0.7 * np.median(values)
    kept = [k for k in range(len(values)) if values[k] > atol]
    return sum(np.outer(right[k], left[:, k]) / values[k] for k in kept), atol


class Bridge:
    """`W+ (D, d)` in closed form or trained, with a bias of each class or none."""

    def __init__(self, inverse, texts, bias=None):
        self.inverse, self.bias = inverse, bias
        self.W, self.b, self.L = texts.W, texts.b, texts.L

    def e(self, x, c=None):
        bias = 0 if c is None or self.bias is None else self.bias[c]
        return nrm((x - self.b) @ self.inverse + bias)

    def joint(self, e):
        return self.L * e @ self.W + self.b

    def __call__(self, x):
        return nrm(self.joint(self.e(x)))


def slope(of, on):
    """The slope of least squares of rows on others. Both are taken minus their means."""
    of, on = of - of.mean(axis=0), on - on.mean(axis=0)
    return max(np.sum(of * on) / np.sum(on**2), 0.0) if np.sum(on**2) > 1e-12 else 0.0


def divergence(F, texts):
    if texts.T is None:
        return np.zeros(len(F))
    result = []
    for c in range(len(F)):
        p = np.exp(F[c] @ texts.T.T)
        result.append(np.log2((1 + 1e-6) / (p[c] / p.sum() + 1e-6)))
    return np.array(result)


def classes_of(bridge, X, y, w, n, texts):
    """`F`, `P`, `KL` and `stand_ins` of shots with the weights `w`, `n (C,)` images a class."""
    C = max(y) + 1
    F, G = np.zeros((C, X.shape[1])), np.zeros((C, texts.W.shape[0]))
    for i in range(len(X)):
        sigma = w[i] / w[y == y[i]].sum()
        F[y[i]] += sigma * X[i]
        if w[i] > 0:
            G[y[i]] += sigma * bridge.e(X[i], y[i])
    F, P, stand_ins = nrm(F), nrm(bridge.joint(G)), np.zeros((C, X.shape[1]))
    if texts.T is not None and not texts.has_text.all():
        s, k, deviations = 0.4, texts.has_text.sum(), F - F.mean(axis=0)
        if k > 1:
            known = texts.has_text
            found = slope(texts.T[known], ((n / (n + 0.9))[:, None] * deviations)[known])
            s = (10 * 0.4 + k * found) / (10 + k)
        for c in np.flatnonzero(~texts.has_text):
            stand_ins[c] = s * deviations[c]
    f, g = factors(X, y, w, n, F, texts.T is not None)
    KL = divergence(F, texts)
    return SimpleNamespace(
        bridge=bridge, F=F, P=P, KL=KL, texts=texts, stand_ins=stand_ins, f=f, g=g
    )


def factors(X, y, w, n, F, has_text):
    """`f_c`, and the factor of the deviation of each class, of unequal numbers of images."""
    C = len(n)
    if max(n) - min(n) < 1e-9:
        return np.ones(C), np.ones(C)
    R, harmonic = np.zeros(C), 1 / np.mean(1 / n)
    for c in range(C):
        rows, weight = X[y == c], w[y == c]
        R[c] = np.linalg.norm(weight @ rows) / (weight @ np.linalg.norm(rows, axis=1))
    rho = sum(n[c] * R[c] ** 2 - 1 for c in range(C)) / sum(n[c] - 1 for c in range(C))
    rho = min(max(rho, 0), 1)
    f = np.sqrt((rho + (1 - rho) / n) / (rho + (1 - rho) / harmonic))
    if has_text:
        return f, np.ones(C)
    V, rows = (1 - rho) / (rho + (1 - rho) / harmonic), f[:, None] * F
    B = sum(np.sum((row - rows.mean(axis=0)) ** 2) for row in rows) / (C - 1) - V / harmonic
    B = max(B, 0)
    return f, np.sqrt((B + V / harmonic) / (B + V / n))


def by_name(classes, T):
    """`P` and `F` of a class of which only the text is known."""
    known = classes.texts.T
    return [
        nrm(rows.mean(axis=0) + slope(rows, known) * (T - known.mean(axis=0)))
        for rows in (classes.P, classes.F)
    ]


def with_names(classes, texts, seen):
    """The classes of all `texts`, of which those `seen` have shots."""
    D = classes.F.shape[1]
    P, F, stand_ins = np.zeros((3, len(texts.T), D))
    P[seen], F[seen], stand_ins[seen] = classes.P, classes.F, classes.stand_ins
    f, g = np.ones((2, len(texts.T)))
    f[seen], g[seen] = classes.f, classes.g
    for c in set(range(len(texts.T))) - set(seen):
        P[c], F[c] = by_name(classes, texts.T[c])
    KL, bridge = divergence(F, texts) if classes.KL.any() else np.zeros(len(F)), classes.bridge
    return SimpleNamespace(
        bridge=bridge, F=F, P=P, KL=KL, texts=texts, stand_ins=stand_ins, f=f, g=g
    )


def cosines(classes, X):
    """`z1` (with texts), `z2` and `z3` of queries."""
    z = {} if classes.texts.T is None else {"z1": nrm(X) @ (classes.texts.T + classes.stand_ins).T}
    z["z2"] = nrm(X) @ classes.P.T
    z["z3"] = np.array([classes.bridge(x) for x in X]) @ classes.F.T
    return z


def comparable(classes, X):
    """The cosines as they count in the score, where numbers of images are unequal."""
    z = cosines(classes, X)
    for name in ("z2", "z3"):
        scaled = classes.f * z[name]
        mean = scaled.mean(axis=1, keepdims=True)
        z[name] = mean + classes.g * (scaled - mean)
    return z


def terms(z, KL, numbers):
    """The sharpness and the height of each term of the score."""
    alpha, beta, gamma, lambda1, lambda2, lambda3, smoothness = numbers
    w = np.exp(smoothness * KL)
    of_shots = [
        (beta, lambda2 * np.exp(-beta * (1 - z["z2"])) * w),
        (gamma, lambda3 * np.exp(-gamma * (1 - z["z3"])) * w),
    ]
    if "z1" not in z or alpha is None:
        return of_shots
    return [(alpha, lambda1 * np.exp(-alpha * (1 - z["z1"]))), *of_shots]


def score(z, KL, numbers):
    return sum(height for _, height in terms(z, KL, numbers))
