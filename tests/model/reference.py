"""The default model by docs/method.md alone: plain loops and refits, slow on purpose."""

from types import SimpleNamespace

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import entr, expit, logit, logsumexp, softmax


def nrm(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def chains(close):
    """The number of the chain of each item, by which items `(n, n)` are close."""
    return connected_components(np.array(close, dtype=float), directed=False)[1]


# Images


def images_of(X, y, weight, groups):
    """`u`, `y`, `w` of the images, the image of each row, the label of images with two, and the
    number of shots.
    """
    unit, n = nrm(X), len(y)
    same = [
        [
            y[i] == y[j] and np.linalg.norm(X[i] - X[j]) <= 1e-5 * np.linalg.norm(X[j])
            for j in range(n)
        ]
        for i in range(n)
    ]
    shot = chains(same)
    if groups is None:
        first = np.unique(shot, return_index=True)[1]
        copies = near_copies(unit[first], y[first])[shot]
    else:
        copies = chains(
            [[groups[i] == groups[j] or shot[i] == shot[j] for j in range(n)] for i in range(n)]
        )
    pairs = sorted({(y[i], copies[i]) for i in range(n)})
    image = np.array([pairs.index((y[i], copies[i])) for i in range(n)])
    u = np.array([np.average(unit[image == k], 0, weight[image == k]) for k in range(len(pairs))])
    w = np.array([weight[image == k].sum() for k in range(len(pairs))])
    labels_of = [len({c for c, group in pairs if group == pair[1]}) for pair in pairs]
    two_labels = np.array(labels_of) > 1
    return u, np.array([c for c, _ in pairs]), w, image, two_labels, shot.max() + 1


def near_copies(u, y):
    n, C = len(y), max(len(set(y.tolist())), 2)
    if u.shape[1] < 64 or n < 3:
        return np.arange(n)
    distance, room, closeness = 1 - u @ u.T, np.empty(n), np.full((n, n), np.inf)
    for i in range(n):
        others = y != y[i]
        if len(set(y.tolist())) == 1:
            nearest, mean = 2.0, np.delete(distance[i], i).mean()
        else:
            nearest, mean = distance[i, others].min(), distance[i, others].mean()
        room[i] = (1 - 1 / C) * min(nearest, mean * max(1 - mean, 0)) / 2
    for i in range(n):
        for j in range(n):
            if i != j and y[i] == y[j]:
                closeness[i, j] = max(distance[i, j] / max(min(room[i], room[j]), 1e-7), 1e-7)
    c = np.sort(np.minimum(closeness.min(axis=1), 1))
    part = np.arange(1, n + 1) / n
    gain = part * np.log(part / c)
    k = gain.argmax()
    return chains(closeness <= np.sqrt(c[k] * part[k])) if gain[k] > 0 else np.arange(n)


# Steps 2 to 5


def number(w, beta):
    return w.sum() * (w * beta).sum() / (w**2).sum() if len(w) else 0.0


def gaussian(u, y, w, beta, T, tau, words):
    """Steps 2 to 5, for all images and for each without it."""
    C, D = y.max() + 1, u.shape[1]
    rows = [np.flatnonzero(y == c) for c in range(C)]
    n = np.array([number(w[i], beta[i]) for i in rows])
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

    def scatter(out=None):
        """`f S`, `mu` and `r` without an image."""
        fS, mu, r_now = np.zeros((D, D)), np.empty((C, D)), r.copy()
        for c in range(C):
            stay = rows[c][rows[c] != out]
            n_c = number(w[stay], beta[stay])
            r_now[c] = np.average(u[stay], 0, (w * beta)[stay]) if len(stay) else m + mhat[c]
            mu[c] = mean(c, r_now[c], n_c)
            for i in stay:
                fS += n[c] * sigma[i] * np.outer(u[i] - r_now[c], u[i] - r_now[c])
            gap = r_now[c] - m - mu[c]
            fS += gamma[c] * n_c * np.outer(gap, gap)
        return fS, mu, r_now

    single = np.array([len(i) == 1 for i in rows])
    gamma = np.where(single, 1.0, tau)
    f = np.sum(n - 1 + gamma * kappa[1] / (n + kappa[1]))
    fS, mu, _ = scatter()
    variances = np.diag(fS) / f
    k = 0.0 if words is not None and single.all() else f / (f + 10)
    rho = np.sqrt(k * variances / variances.mean() + 1 - k)
    shrink = D / (f + D)
    ridge = shrink * np.mean(variances / rho**2)

    def inverse(fS):
        scaled = (1 - shrink) * fS / f / np.outer(rho, rho) + ridge * np.eye(D)
        return np.linalg.inv(scaled * np.outer(rho, rho))

    P = inverse(fS)
    a = np.mean([mu_c @ P @ mu_c / 2 for mu_c in mu])
    mean_width = np.mean(1 + 1 / (n + kappa[1]))

    def width(n_c):
        return (1 + 1 / (n_c + kappa[1])) / mean_width

    def held_out(i):
        """`z (C,)` and the `r_c` of its class, by a model without the image."""
        fS, mu, r_now = scatter(i)
        P = inverse(fS)
        z = [(u[i] - r_now.mean(axis=0)) @ P @ mu_c - mu_c @ P @ mu_c / 2 for mu_c in mu]
        return a + (np.array(z) - a) / width(n), r_now[y[i]]

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


def deviation(values):
    return np.std(values) if np.std(values) > 1e-9 * np.abs(values).max() else 1.0


def span(T):
    """An orthonormal basis of the centred texts, as columns."""
    _, lengths, right = np.linalg.svd(T - T.mean(axis=0), full_matrices=False)
    return right[lengths > 1e-5].T


# Steps 1 and 6


def regress(terms, y, omega, defaults, C, v=None, Q=None, sigma=0.0, width=0.35, wrong=0.0):
    """Scales, `b (C,)`, `A (C, D)`, the loss, and `log pi`. Without `v`, there is no `A`; without
    defaults of two terms, no `b`. The share `wrong` of the labels is any class.
    """
    K, D = len(terms), 0 if v is None or sigma == 0 else v.shape[1]
    B = 0 if width == 1 else C
    rows, root = np.arange(len(y)), None if D == 0 else sigma * np.linalg.cholesky(Q)
    totals = np.array([omega[y == c].sum() for c in range(C)])
    if not len(y):
        return defaults, np.zeros(C), None, 0.0, np.zeros(C)
    log_pi = np.log(np.maximum(totals, np.finfo(float).tiny) / totals.sum())

    def parts(x):
        b = x[K : K + B] if B else np.zeros(C)
        A = x[K + B :].reshape(C, D) @ root.T if D else None
        return defaults * np.exp(width * x[:K]), b, A

    def loss(x):
        """The loss and its gradient, where `A = x root'` has `|x|^2 = A' Q^-1 A / sigma^2`."""
        s, b, A = parts(x)
        logits = sum(s[k] * terms[k] for k in range(K)) + b + log_pi + (v @ A.T if D else 0)
        log_right = np.log(1 - wrong) + logits[rows, y] - logsumexp(logits, axis=1)
        log_label = np.logaddexp(log_right, np.log(wrong) + log_pi[y]) if wrong else log_right
        slopes = softmax(logits, axis=1) - np.eye(C)[y]
        slopes *= (omega * np.exp(log_right - log_label))[:, None]
        gradient = [width * s[k] * np.sum(slopes * terms[k]) for k in range(K)]
        gradient = np.concatenate(
            [gradient, slopes.sum(axis=0)[:B], (slopes.T @ v @ root).ravel() if D else []]
        )
        return x @ x / 2 - omega @ log_label, gradient + x

    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 10**5, "maxfun": 10**6, "maxcor": 50}
    best = minimize(loss, np.zeros(K + B + C * D), jac=True, method="L-BFGS-B", options=options)
    return *parts(best.x), best.fun, log_pi


def trust_in(u, y, omega, T, logit_scale):
    """Step 1: the scale of the cosines, and `tau`."""
    cosines, C = u @ T.T, len(T)
    default, wrong = np.array([logit_scale]), 0.1 * 10 / (10 + len(y))
    s, _, _, loss, log_pi = regress([cosines], y, omega, default, C, width=1, wrong=wrong)
    guessing = -omega @ log_pi[y]
    distinct = (len(np.unique(T.round(6), axis=0)) - 1) / (C - 1) if C > 1 else 1.0
    return s[0], distinct * expit(np.log(10) + 0.85 * guessing - loss)


class Reference:
    """Fitted to rows `X` with codes `y`; `texts (C, D)` may have more classes than the rows."""

    def __init__(
        self,
        X,
        y,
        texts=None,
        logit_scale=100.0,
        words=None,
        weight=None,
        groups=None,
        label_noise="auto",
        log_prior=0.0,
        last_is_nameless=False,
    ):
        weight = np.ones(len(y)) if weight is None else weight
        seen = np.unique(y)
        y = np.searchsorted(seen, y)
        self.u, self.y, self.w, image, two_labels, n_shots = images_of(X, y, weight, groups)
        self.H, self.alone = np.flatnonzero(~two_labels), np.bincount(self.y)[self.y] == 1
        self.C, self.texts, self.logit_scale, self.words = len(seen), texts, logit_scale, words
        self.T = None if texts is None else texts[seen]
        n_all = self.C if texts is None else len(texts)
        self.seen, self.unseen = seen, np.setdiff1d(np.arange(n_all), seen)
        self.last_is_nameless = last_is_nameless
        self.shots_a_class, self.log_prior = n_shots / n_all, log_prior
        self.right = np.ones(len(self.u))
        self.beta = self.right if label_noise == 0 else self.judge_labels(label_noise)
        self.label_proba = self.right[image]
        self.fit()
        held_out = np.full((len(self.u), n_all), np.nan)
        held_out[self.H[self.used]] = -np.inf
        held_out[np.ix_(self.H[self.used], seen)] = self.cross_fitted()
        self.held_out_proba = softmax(held_out + log_prior, axis=1)[image]

    def evidence(self, beta):
        """Steps 1 to 5, and the terms of the regression, if images count as `beta`."""
        u, y, H, w = self.u, self.y, self.H, self.w
        n = [number(w[y == c], beta[y == c]) for c in range(self.C)]
        omega = np.array([n[y[i]] * w[i] * beta[i] / (w * beta)[y == y[i]].sum() for i in H])
        tau, text_scale = 0.0, 0.0
        if self.T is not None:
            text_scale, tau = trust_in(u[H], y[H], omega, self.T, self.logit_scale)
        g = gaussian(u, y, w, beta, self.T, tau, self.words)
        z, r_own = map(np.array, zip(*[g.held_out(i) for i in H]))
        counts, C = np.maximum(g.n, 1), self.C
        n_mean, n_small = counts.mean(), 1 / np.mean(1 / counts)
        single = 0.072 if self.words is None else 0.056
        s_z = tau * 0.04 * np.sqrt(n_small / n_mean)
        s_z += (1 - tau) * max(single * np.sqrt(np.log(C)) / n_mean**2, 0.04)
        terms, defaults, used = [z], [s_z], ~self.alone[H]
        if self.T is not None:
            s_T = max(tau, 1e-300) * text_scale * (1 - beta.sum() / (len(beta) + 2) / 2)
            terms, defaults, used = [u[H] @ self.T.T, z], [s_T, s_z], np.full(len(H), True)
        informs = omega * np.where(self.alone[H], tau, 1.0)
        problem = [t[used] for t in terms], y[H][used], informs[used], np.array(defaults), C
        return g, tau, used, r_own, terms, problem

    def judge_labels(self, label_noise):
        """`right`, and the `beta` that they give."""
        u, y, H, C = self.u, self.y, self.H, self.C
        e = 0.1 if label_noise == "auto" else label_noise
        confirmed, elsewhere, tau_of_names = np.ones(len(u)), np.zeros(len(u)), 0.0

        def tells(x):
            return x * 10 / 11

        def after(held, judged):
            right = self.right.copy()
            for i, value in zip(held, judged):
                doubt, distance = 1 - value, 1 - u @ u[i]
                if doubt > 0.1:
                    distance[i] = 2
                    same = min([2.0, *distance[(y == y[i])]])
                    other = sorted([*distance[y != y[i]], 2.0, 2.0])[1]
                    doubt *= np.clip(5 * same / other - 3, 0, 1)
                right[i] = 1 - doubt
            total = sum(1 - right[i] for i in held)
            return right, (total + 0.5) / (len(held) + 10) if label_noise == "auto" else e

        if self.T is not None:
            ones = np.ones(len(u))
            n = [number(self.w[y == c], ones[y == c]) for c in range(C)]
            omega = np.array([n[y[i]] * self.w[i] / self.w[y == y[i]].sum() for i in H])
            _, tau = trust_in(u[H], y[H], omega, self.T, self.logit_scale)
            T = self.texts[np.append(self.seen, self.unseen)]
            p, judged = softmax(self.logit_scale * u @ T.T, axis=1), []
            R = [
                sum(np.log((1 - e) * len(T) * p[i, c] + e) for i in H if y[i] == c)
                for c in range(len(T))
            ]
            for i in H:
                others = [c for c in range(len(T)) if c != y[i]]
                confirmed[i] = sum(
                    p[i, c] / p[i, others].sum() * expit(logit(tells(tau)) + R[c]) for c in others
                )
                confirmed[i] **= 2
                g = expit(logit(tells(tau * confirmed[i])) + R[y[i]])
                own = (1 - e) * p[i, y[i]]
                judged.append(g * own / (own + e / len(T)) + (1 - g) * (1 - e))
            elsewhere, tau_of_names = p[:, C:].sum(axis=1), tau
            self.right, e = after(H, judged)
        for _ in range(5):
            _, tau, used, _, _, problem = self.evidence(self.right)
            held, (terms, codes, omega, _, _), before = H[used], problem, self.right
            if not len(held):
                break
            s, b, _, _, log_pi = regress(*problem)
            logits = sum(s[k] * terms[k] for k in range(len(terms))) + b
            p = softmax(logits + log_pi, axis=1)
            for i in range(len(held)):
                for c in range(C):
                    others = [
                        omega[j] * p[j, c] * (1 - p[j, c]) for j in range(len(held)) if j != i
                    ]
                    own = omega[i] * ((codes[i] == c) - p[i, c])
                    logits[i, c] -= own / (1 + sum(others))
            p = softmax(logits, axis=1) * (1 - tau_of_names * elsewhere[held])[:, None]
            judged = self.judge_by_others(p, held, confirmed, tau, e)
            self.right, e = after(held, judged)
            if max(abs(self.right - before)) < 0.1:
                break
        doubt = np.clip(e / 0.05 - 1, 0, 1) if label_noise == "auto" else 1.0
        return 1 - doubt * (1 - self.right)

    def judge_by_others(self, p, held, confirmed, tau, e):
        """The next `right` of the images `held`, with `p (k, C)`."""
        codes, right, C = self.y[held], self.right[held], self.C
        classes, q = np.unique(codes), np.zeros((C, C))
        for k in classes:
            for c in classes:
                q[k, c] = 0 if c == k else right[codes == k] @ p[codes == k, c]
            q[k] /= max(q[k].sum(), 1e-300)
        own = p[np.arange(len(held)), codes]
        size = max(len(held) / len(classes), 2)
        alpha = (1 - 2 * (1 - tau) / size) * (right @ own / right.sum()) ** (
            4 / (2 + tau * (size - 2))
        )
        result = []
        for i, c in enumerate(codes):
            n_others = np.sum(self.y == c) - 1
            by_name = 1 - tau * confirmed[held[i]] * 10 / 11
            unknown = by_name if n_others == 0 else (1 - tau) / 2 if n_others == 1 else 0
            p_label = (1 - unknown) * own[i] + unknown / C
            among = sum(p[i, k] * q[k, c] for k in classes)
            if_wrong = (1 - alpha * p[i, classes].sum()) / C + alpha * among
            result.append((1 - e) * p_label / ((1 - e) * p_label + e * if_wrong))
        return result

    def fit(self):
        """Steps 6 and 7, and the typicality of the held-out images."""
        g, tau, used, r_own, terms, problem = self.evidence(self.beta)
        u, H, C = self.u, self.H, self.C
        n_mean = max(g.n.mean(), 1)
        v = u[H[used]] - g.m
        Q = np.eye(u.shape[1]) / max(np.sum(v**2), 1e-28) * len(v)
        if g.V.any() and self.T is not None:
            within = max(
                np.mean(np.sum((v @ g.V) ** 2, axis=1)), 0.1 * np.mean(np.sum(v**2, axis=1))
            )
            Q += tau * (1 + 1 / n_mean) * g.V @ g.V.T / within
        sigma = np.sqrt(1 + (2 * tau - 1) / n_mean) if used.any() else 0.0
        self.problem, self.prior = problem, (v, Q, sigma)
        s, b, A, _, _ = regress(*problem, *self.prior)
        A = np.zeros((C, u.shape[1])) if A is None else A
        sharper = 1 + (1 - tau) / n_mean**2
        self.s, b, A = sharper * s, sharper * b, sharper * A
        self.g, self.tau, self.used = g, tau, used
        weights, constants = self.with_names(g.linear(g.mu, g.n), g.linear)
        offsets, corrections = np.zeros(len(weights)), np.zeros(weights.shape)
        offsets[self.seen], corrections[self.seen] = b - A @ g.m, A
        # The parts of the typicality, each as weights and constants, and for the held-out images.
        self.r = self.with_names((g.r, np.zeros(C)), lambda mu, n: (g.m + mu, n))[0]
        self.decision = self.s[-1] * weights, self.s[-1] * constants
        held = [self.s[-1] * terms[-1], u[H] @ nrm(g.r).T]
        for i, own in enumerate(r_own):
            held[1][i, self.y[H[i]]] = u[H[i]] @ nrm(own)
        if self.T is not None:
            self.decision = self.decision[0] + self.s[0] * self.texts, self.decision[1]
            held = [held[0] + self.s[0] * terms[0], held[1], terms[0]]
        self.units = [deviation(part.max(axis=1)) for part in held]
        self.scores = self.score(held, self.units).max(axis=1)
        self.correction = corrections, offsets
        self.coef = self.decision[0] + corrections
        self.intercept_without_prior = self.decision[1] + offsets
        self.intercept = self.intercept_without_prior + self.log_prior

    def with_names(self, linear, by_names):
        """Weights and constants of all classes, from those with shots; others have a name only."""
        if not len(self.unseen):
            return linear
        n_all, g = len(self.texts), self.g
        weights, constants = np.empty((n_all, self.u.shape[1])), np.empty(n_all)
        weights[self.seen], constants[self.seen] = linear
        predicted = g.slope * (self.texts[self.unseen] - self.T.mean(axis=0))
        weights[self.unseen], constants[self.unseen] = by_names(predicted, np.zeros(len(predicted)))
        return weights, constants

    def cross_fitted(self):
        """Decisions of the images in the regression, each by one without a tenth of them."""
        terms, codes, omega, defaults, C = self.problem
        v, Q, sigma = self.prior
        result = np.empty((len(codes), C))
        order = sorted(range(len(codes)), key=lambda i: (codes[i], v[i] @ self.g.m))
        for k in range(10):
            out = order[k::10]
            stay = [i for i in order if i not in out]
            s, b, A, _, _ = regress(
                [t[stay] for t in terms], codes[stay], omega[stay], defaults, C, v[stay], Q, sigma
            )
            logits = sum(s[j] * terms[j][out] for j in range(len(s))) + b
            result[out] = logits if A is None else logits + v[out] @ A.T
        return result

    def score(self, parts, units):
        factors = [1, 0.5, self.tau > 0] if self.T is not None else [1, 1]
        return sum(x / d * part for x, d, part in zip(factors, units, parts))

    def p_values(self, X):
        if not len(self.H):
            return np.ones(len(X))
        x = np.array(
            [self.w[i] / self.w[self.H][self.y[self.H] == self.y[i]].sum() for i in self.H]
        )
        x *= x.sum() / np.sum(x**2)

        def parts(u, decision, r):
            values = [u @ decision[0].T + decision[1], u @ nrm(r).T]
            return values if self.T is None else [*values, u @ self.texts.T]

        def p_value(scores, known):
            return np.array([(1 + x @ (known <= score)) / (1 + x.sum()) for score in scores])

        all_parts = parts(nrm(X), self.decision, self.r)
        result = p_value(self.score(all_parts, self.units)[:, self.seen].max(axis=1), self.scores)
        if len(self.unseen):
            predicted = self.g.slope * (self.texts - self.T.mean(axis=0))
            weights, constants = self.g.linear(predicted, np.zeros(len(predicted)))
            decision = self.s[0] * self.texts + self.s[1] * weights, self.s[1] * constants
            by_names = decision, self.g.m + predicted
            of_held = [part[:, self.seen] for part in parts(self.u[self.H], *by_names)]
            units = [deviation(part.max(axis=1)) for part in of_held]
            known = self.score(of_held, units).max(axis=1)
            scores = self.score(parts(nrm(X), *by_names), units)[:, self.unseen].max(axis=1)
            result = np.maximum(result, p_value(scores, known))
        return result

    def with_unlabeled(self, X, is_even):
        """`coef_` and `intercept_` (of all classes, without priors) after unlabelled images."""
        X = np.unique(X, axis=0)
        X = X[self.p_values(X) > 0.1 / np.sqrt(max(self.shots_a_class, 1))]
        decision = self.coef, self.intercept_without_prior
        if not len(X):
            return decision
        codes = self.seen[self.y]
        n = np.array([number(self.w[codes == c], self.beta[codes == c]) for c in codes])
        omega = n * self.w * self.beta
        omega /= np.array([(self.w * self.beta)[codes == c].sum() for c in codes])
        has_name = np.full(len(decision[1]), self.texts is not None)
        has_name[-1] &= not self.last_is_nameless
        known = self.texts, has_name, self.tau, self.u, codes, omega
        return learn(*decision, X, *known, is_even)


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


def learn(coef, intercept, X, T, has_name, tau, shots, codes, omega, is_even=True):
    """What images `X` without labels make of a linear model, given names and shots."""
    joined = near_copies(nrm(X), (nrm(X) @ coef.T + intercept).argmax(axis=1))
    u = nrm(np.array([nrm(X)[joined == k].mean(axis=0) for k in np.unique(joined)]))
    if np.mean(np.sum((u - u.mean(axis=0)) ** 2, axis=1)) < 0.06:
        u = nrm(u.mean(axis=0, keepdims=True))
    f, centre, n_mean = u @ coef.T + intercept, u.mean(axis=0), omega.sum() / len(intercept)
    (N, C), v, w = f.shape, u - centre, shots - centre

    def variance(z, mu):
        total = sum(z[i, c] * (v[i] - mu[c]) ** 2 for i in range(N) for c in range(C))
        total += sum(omega[j] * (w[j] - mu[codes[j]]) ** 2 for j in range(len(w)))
        var = total / (N + omega.sum())
        return np.maximum(var, 1e-3 * max(var.mean(), 0.01 / len(var)))

    def g(v, mu, var):
        return np.array([np.sum((mu_c * v - mu_c**2 / 2) / var) for mu_c in mu])

    # How far the images agree.
    z, agree = softmax(f, axis=1), 0
    sums, numbers = z.T @ v, z.sum(axis=0)
    mu = sums / np.maximum(numbers, 1e-3)[:, None]
    var = variance(z, mu)
    for i in range(N):
        best, without = f[i].argmax(), mu.copy()
        rest = max(numbers[best] - z[i, best], 1e-3)
        without[best] = (sums[best] - z[i, best] * v[i]) / rest
        values = g(v[i], without, var)
        agree += values[best] > max(np.delete(values, best), default=-np.inf)
    s = (0.04 * tau + 0.07 * (1 - tau)) * (agree / N) ** 2 / (1 + n_mean / 2)
    s *= N**2 / (N**2 + max(C, 40) ** 2)

    # Hard shots, and offsets.
    h, offsets = 1.0, np.zeros(C)
    if is_even and T is not None and tau > 0:
        if len(shots) and C > 1:
            margins = [np.diff(np.sort(part @ T.T, axis=1)[:, -2:])[:, 0] for part in (u, shots)]
            ratio = margins[0].mean() / np.average(margins[1], weights=omega)
            h = np.clip(ratio ** (N / (2 * N + 128)), 1, 4 / 3)
        p = softmax(h * f, axis=1)
        mean = p.mean(axis=0)
        KL = np.sum(mean * np.log(C * mean))
        chance = C / (2 * N) * (np.sum(p**2) / N - np.sum(mean**2))
        uneven = max(KL - chance, 0)
        believed = uneven**4 / (uneven**4 + 0.15**4)
        offsets = believed * np.log((C * mean + 0.4) / 1.4)
        offsets -= (1 - believed) * 1.5 / (1 + (KL / 0.3) ** 2) * np.log(C * mean)
        offsets *= tau * N**2 / (N**2 + max(2 * C, 40) ** 2)

    # Expectation maximisation.
    kappa, predicted = 10 * tau * (1 + n_mean / 2) * has_name, np.zeros(mu.shape)
    z = softmax(h * f + offsets, axis=1)
    if T is not None:
        numbers = z.sum(axis=0)
        means = z.T @ v / numbers[:, None]
        slope = slope_of(T, means - numbers @ means / numbers.sum(), numbers)
        predicted = slope * (T - T.mean(axis=0))
    for step in range(21):
        if step:
            z = softmax(h * f + offsets + s * np.array([g(row, mu, var) for row in v]), axis=1)
        for c in range(C):
            own = codes == c
            mu[c] = kappa[c] * predicted[c] + z[:, c] @ v + omega[own] @ w[own]
            mu[c] /= max(omega[own].sum(), 1e-3) + kappa[c] + z[:, c].sum()
        var = variance(z, mu)
    weights = h * coef + s * mu / var
    constants = h * intercept + offsets - s * np.sum((mu**2 / 2 + mu * centre) / var, axis=1)

    # The temperature.
    def entropy_above(log_factor):
        logits = np.exp(log_factor) * (u @ weights.T + constants)
        wanted = entr(softmax(h * f, axis=1)).sum(axis=1).mean()
        return entr(softmax(logits, axis=1)).sum(axis=1).mean() - wanted

    factor = 1.0
    if entropy_above(-2) * entropy_above(2) < 0:
        root = max(brentq(entropy_above, -2, 2), np.log(0.5))
        factor = np.exp(N / (N + 64) * root)
    return factor * weights, factor * constants
