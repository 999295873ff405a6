"""Steps 2 to 5 of docs/method.md by the page alone, as `reference`."""

from types import SimpleNamespace

import numpy as np


def number(w, beta):
    return w.sum() * (w * beta).sum() / (w**2).sum() if len(w) else 0.0


def others(x, y):
    """How many other images there are of the class of each image."""
    return np.array([x[y == y[i]].sum() - x[i] for i in range(len(y))])


def gaussian(u, y, w, x, beta, T, tau, words, most):
    """Steps 2 to 5, for all images and for each without it."""
    C, D = y.max() + 1, u.shape[1]
    rows = [np.flatnonzero(y == c) for c in range(C)]
    n = np.array([number(w[i], beta[i]) for i in rows])
    kept = np.minimum(1, most / n)
    n = n * kept
    alone = 1 - np.minimum(others(x, y), 1)
    sigma = w * beta / np.array([(w * beta)[y == c].sum() for c in y])
    r = np.array([sigma[i] @ u[i] for i in rows])
    m, slope, mhat, V, guess = r.mean(axis=0), 0.0, np.zeros((C, D)), np.zeros((D, 0)), (4.0, 4.0)
    if T is not None:
        slope = tau * (n.sum() * slope_of(T, r - m, np.ones(C)) + 3.5) / (n.sum() + 10)
        mhat, V, guess = slope * (T - T.mean(axis=0)), span(T), (2**tau * 4 ** (1 - tau), 4.0)
    elif words is not None:
        V, guess = words, (2.0, 12.0)
    inside, harmonic = V @ V.T, 1 / np.mean(1 / np.maximum(n, 1))
    kappa = []
    for part, kappa_0 in zip((inside, np.eye(D) - inside), guess):
        W = sum(n[y[i]] * sigma[i] * np.sum((part @ (u[i] - r[y[i]])) ** 2) for i in range(len(u)))
        B = sum(np.sum((part @ (r[c] - m - mhat[c])) ** 2) for c in range(C)) / max(C - 1, 1)
        noise = W + 10 * B * kappa_0 / (1 + kappa_0 / harmonic)
        noise /= np.sum(np.maximum(n, 1) - 1) + 10
        deviation = max(B - noise / harmonic, noise / (10 * kappa_0))
        kappa.append(1.5 * (noise / deviation if noise > 1e-20 else kappa_0))

    def mean(c, r_c, n_c):
        """`mu_c`."""
        off = r_c - m - mhat[c]
        along = inside @ off
        return mhat[c] + n_c / (n_c + kappa[0]) * along + n_c / (n_c + kappa[1]) * (off - along)

    def stand_in(c, r_c, n_c):
        """What is added to the mean text of a class without a text."""
        off = r_c - m - mhat[c]
        along, factors = inside @ off, n_c / (n_c + np.array(kappa) / 1.5)
        return factors[0] * along + factors[1] * (off - along)

    def scatter(out=None):
        """`f S`, `mu`, `r` and `n` without an image."""
        fS, mu, r_now, n_now = np.zeros((D, D)), np.empty((C, D)), r.copy(), n.copy()
        for c in range(C):
            stay = rows[c][rows[c] != out]
            if len(stay) < len(rows[c]):
                n_now[c] = kept[c] * (1 - alone[out]) * number(w[stay], beta[stay])
            n_c = n_now[c]
            r_now[c] = np.average(u[stay], 0, (w * beta)[stay]) if len(stay) else m + mhat[c]
            for i in stay:
                fS += n[c] * sigma[i] * np.outer(u[i] - r_now[c], u[i] - r_now[c])
            if len(stay) < len(rows[c]):
                r_now[c] += alone[out] * (m + mhat[c] - r_now[c])
            mu[c] = mean(c, r_now[c], n_c)
            gap = r_now[c] - m - mu[c]
            fS += gamma[c] * n_c * np.outer(gap, gap)
        return fS, mu, r_now, n_now

    single = np.array([alone[i].max() for i in rows])
    gamma = single + (1 - single) * tau
    f = np.sum(np.maximum(n, 1) - 1 + gamma * kappa[1] / (n + kappa[1]))
    fS, mu, _, _ = scatter()
    variances = np.diag(fS) / f
    k = f / (f + 10) * (1 if words is None else 1 - single.min())
    rho = np.sqrt(k * variances / variances.mean() + 1 - k)
    shrink = D / (f + D)
    ridge = shrink * max(np.sum(variances / rho**2), 0.06) / D

    def inverse(fS):
        scaled = (1 - shrink) * fS / f / np.outer(rho, rho) + ridge * np.eye(D)
        return np.linalg.inv(scaled * np.outer(rho, rho))

    P = inverse(fS)
    a = np.mean([mu_c @ P @ mu_c / 2 for mu_c in mu])
    mean_width = np.mean(1 + 1 / (n + kappa[1]))

    def width(n_c):
        return (1 + 1 / (n_c + kappa[1])) / mean_width

    def held_out(i):
        """`z (C,)`, and `r_c` and the stand-in of its class, by a model without the image."""
        fS, mu, r_now, n_now = scatter(i)
        P = inverse(fS)
        z = [(u[i] - r_now.mean(axis=0)) @ P @ mu_c - mu_c @ P @ mu_c / 2 for mu_c in mu]
        own = stand_in(y[i], r_now[y[i]], n_now[y[i]])
        return a + (np.array(z) - a) / width(n), r_now[y[i]], own

    def linear(mu, n):
        """Weights and constants of `z`."""
        constants = [
            a - (mu_c @ P @ mu_c / 2 + m @ P @ mu_c + a) / width(n_c) for mu_c, n_c in zip(mu, n)
        ]
        return np.array([P @ mu_c / width(n_c) for mu_c, n_c in zip(mu, n)]), np.array(constants)

    return SimpleNamespace(**locals())


def slope_of(T, means, weight):
    centred = T - T.mean(axis=0)
    squares = weight @ np.sum(centred**2, axis=1)
    return max(weight @ np.sum(centred * means, axis=1) / squares, 0) if squares > 1e-9 else 0.0


def span(T):
    """An orthonormal basis of the centred texts, as columns."""
    _, lengths, right = np.linalg.svd(T - T.mean(axis=0), full_matrices=False)
    return right[lengths > 1e-5].T
