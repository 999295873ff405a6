"""Learning from images without labels by docs/method.md alone, as `reference`."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, softmax

from .reference_gaussian import slope_of
from .reference_images import near_copies, nrm


def with_unlabeled(reference, X, is_even, groups=None):
    """`coef_` and `intercept_` (of all classes, without priors) after unlabelled images."""
    groups = np.arange(len(X)) if groups is None else groups
    limit = 0.1 / np.sqrt(max(reference.shots_a_class, 1))
    is_kept = reference.p_values(X) > limit
    X, groups = X[is_kept], groups[is_kept]
    decision = reference.coef, reference.intercept_without_prior
    if not len(X):
        return decision
    codes = reference.seen[reference.y]
    omega = reference.omega(reference.beta, reference.most)
    rest = reference.omega(reference.beta, np.inf) - omega
    has_name = reference.has_text & (reference.texts is not None)
    labelled = reference.texts, has_name, reference.tau, reference.u, codes, omega, rest
    return learn(*decision, X, *labelled, is_even, groups)


def fits_names(level):
    """Which images the names fit, by `log sum_c exp f_ic` of names alone."""
    N, (low, high), variance, part = len(level), np.quantile(level, [0.2, 0.8]), level.var(), 0.5

    def density(mean, variance):
        return np.exp(-((level - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    one = np.log(density(level.mean(), variance)).sum()
    for _ in range(2000):
        of_low, of_high = part * density(low, variance), (1 - part) * density(high, variance)
        z = of_low / (of_low + of_high)
        part, low, high = z.mean(), np.average(level, weights=z), np.average(level, weights=1 - z)
        variance = np.mean(z * (level - low) ** 2 + (1 - z) * (level - high) ** 2)
    two = np.log(of_low + of_high).sum()
    are_two = -2 * two + 4 * np.log(N) < -2 * one + 2 * np.log(N)
    return z < 0.5 if are_two and part <= 0.75 else np.full(N, True)


def learn(
    coef, intercept, X, T, has_name, tau, shots, codes, omega, rest, is_even=True, groups=None
):
    """What images `X` without labels make of a linear model, given names and shots."""
    groups = np.arange(len(X)) if groups is None else groups
    distinct = np.unique(X, axis=0)
    joined = near_copies(nrm(distinct), (nrm(distinct) @ coef.T + intercept).argmax(axis=1))
    u = nrm(np.array([nrm(distinct)[joined == k].mean(axis=0) for k in np.unique(joined)]))
    # The images of each group, where equal rows may be in several.
    image = [np.unique(joined).tolist().index(joined[(distinct == x).all(axis=1)][0]) for x in X]
    members = [{image[i] for i in np.flatnonzero(groups == group)} for group in groups]
    x = np.array([max(1 / len(of) for of in members if k in of) for k in range(len(u))])
    u, x = np.vstack([u, nrm(shots[rest > 0])]), np.append(x, rest[rest > 0])
    if np.mean(np.sum((u - u.mean(axis=0)) ** 2, axis=1)) < 0.06:
        u, x = nrm(u.mean(axis=0, keepdims=True)), np.ones(1)
    centre, n_mean = np.average(u, axis=0, weights=x), omega.sum() / len(intercept)
    f, v, w, N = u @ coef.T + intercept, u - centre, shots - centre, x.sum()
    C, images = len(intercept), range(len(u))

    def variance(z, mu):
        total = sum(z[i, c] * (v[i] - mu[c]) ** 2 for i in images for c in range(C))
        total += sum(omega[j] * (w[j] - mu[codes[j]]) ** 2 for j in range(len(w)))
        var = total / (N + omega.sum())
        return np.maximum(var, 1e-3 * max(var.mean(), 0.06 / len(var)))

    def g(v, mu, var):
        return np.array([np.sum((mu_c * v - mu_c**2 / 2) / var) for mu_c in mu])

    # How far the images agree.
    z, agree = x[:, None] * softmax(f, axis=1), 0
    sums, numbers = z.T @ v, z.sum(axis=0)
    mu = sums / np.maximum(numbers, 1e-3)[:, None]
    var = variance(z, mu)
    for i in images:
        best, without = f[i].argmax(), mu.copy()
        rest = max(numbers[best] - z[i, best], 1e-3)
        without[best] = (sums[best] - z[i, best] * v[i]) / rest
        values = g(v[i], without, var)
        agree += x[i] * (values[best] > max(np.delete(values, best), default=-np.inf))
    s = (0.04 * tau + 0.064 * (1 - tau)) * (agree / N) ** 2 / (1 + n_mean / 2)
    s *= N**2 / (N**2 + max(C, 40) ** 2)

    # Offsets.
    offsets = np.zeros(C)
    if is_even and T is not None:
        p = softmax(f, axis=1)
        mean = np.maximum(np.average(p, axis=0, weights=x), np.finfo(float).tiny)
        KL = np.sum(mean * np.log(C * mean))
        chance = C / (2 * N) * (x @ np.sum(p**2, axis=1) / N - np.sum(mean**2))
        uneven = max(KL - chance, 0)
        believed = uneven**4 / (uneven**4 + 0.15**4)
        offsets = believed * np.log((C * mean + 0.4) / 1.4)
        offsets -= (1 - believed) * 1.5 / (1 + (KL / 0.3) ** 2) * np.log(C * mean)
        offsets *= tau * N**2 / (N**2 + max(2 * C, 40) ** 2)

    # Expectation maximisation.
    kappa, predicted = 10 * tau * (1 + n_mean / 2) * has_name, np.zeros(mu.shape)
    z = x[:, None] * softmax(f + offsets, axis=1)
    if T is not None:
        numbers = z.sum(axis=0)
        slope = slope_of(T, z.T @ v / np.maximum(numbers, 1e-3)[:, None], numbers)
        predicted = slope * (T - T.mean(axis=0))
    for step in range(11):
        z_before = z
        if step:
            z = softmax(f + offsets + s * np.array([g(row, mu, var) for row in v]), axis=1)
            z *= x[:, None]
        for c in range(C):
            own = codes == c
            mu[c] = kappa[c] * predicted[c] + z[:, c] @ v + omega[own] @ w[own]
            mu[c] /= max(omega[own].sum(), 1e-3) + kappa[c] + z[:, c].sum()
        var = variance(z, mu)
        if step and np.mean(np.max(abs(z - z_before), axis=1)) < 1e-3:
            break
    weights = coef + s * mu / var
    constants = intercept + offsets - s * np.sum((mu**2 / 2 + mu * centre) / var, axis=1)

    # The temperature.
    def entropy_above(log_factor):
        logits = np.exp(log_factor) * (u @ weights.T + constants)
        before, after = (entr(softmax(part, axis=1)).sum(axis=1) for part in (f, logits))
        return np.average(after - before, weights=x)

    root, most = 0.0, np.log(2)
    if entropy_above(-most) > entropy_above(most):
        root = -most if entropy_above(-most) <= 0 else most
        if entropy_above(-most) > 0 > entropy_above(most):
            root = brentq(entropy_above, -most, most)
    factor = np.exp(N / (N + 40) * root)
    return factor * weights, factor * constants
