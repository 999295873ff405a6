"""The default model by docs/method.md alone: plain loops and refits, slow on purpose."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from .reference_gaussian import gaussian, number, others
from .reference_images import images_of, nrm


def regress(
    terms,
    y,
    omega,
    defaults,
    C,
    v=None,
    Q=None,
    sigma=0.0,
    width=0.35,
    has_offsets=True,
    wrong=0.0,
):
    """Scales, `b (C,)`, `A (C, D)`, the loss, and `log pi`. Without `v`, there is no `A`; without
    `has_offsets`, no `b`. The share `wrong` of the labels is any class.
    """
    K, D = len(terms), 0 if v is None or sigma == 0 else v.shape[1]
    B = C if has_offsets else 0
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
        log_proba = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        log_right = np.log(1 - wrong) + log_proba[rows, y]
        log_label = np.logaddexp(log_right, np.log(wrong) + log_pi[y]) if wrong else log_right
        slopes = np.exp(log_proba) - np.eye(C)[y]
        slopes *= (omega * np.exp(log_right - log_label))[:, None]
        gradient = [width * s[k] * np.sum(slopes * terms[k]) for k in range(K)]
        gradient = np.concatenate(
            [gradient, slopes.sum(axis=0)[:B], (slopes.T @ v @ root).ravel() if D else []]
        )
        return x @ x / 2 - omega @ log_label, gradient + x

    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 10**5, "maxfun": 10**6, "maxcor": 50}
    best = minimize(loss, np.zeros(K + B + C * D), jac=True, method="L-BFGS-B", options=options)
    return *parts(best.x), best.fun, log_pi


def trust_in(u, y, omega, T, logit_scale, n):
    """Step 1, by `n` images of classes with texts `T`: the scale of the cosines, and the trust in
    texts that all differ.
    """
    cosines, C = u @ T.T, len(T)
    default, wrong = np.array([logit_scale]), 1 / (2 * n + 2)
    s, _, _, loss, log_pi = regress(
        [cosines], y, omega, default, C, width=1, has_offsets=False, wrong=wrong
    )
    guessing = -omega @ log_pi[y] if len(y) else 0.0
    return s[0], expit(np.log(10) + 0.85 * guessing - loss)


def deviation(part, x):
    values = part.max(axis=1)
    deviation = np.sqrt(np.average((values - np.average(values, weights=x)) ** 2, weights=x))
    return deviation if deviation > 1e-6 * np.abs(part).max() else 1.0


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
        n_nameless=0,
    ):
        weight = np.ones(len(y)) if weight is None else weight
        seen = np.unique(y)
        y = np.searchsorted(seen, y)
        images = images_of(X, y, weight, groups)
        self.u, self.y, self.w, image, two_labels, self.x, n_shots = images
        self.H, self.alone = np.flatnonzero(~two_labels), np.bincount(self.y)[self.y] == 1
        self.others = others(self.x, self.y)
        self.C, self.texts, self.logit_scale, self.words = len(seen), texts, logit_scale, words
        self.T = None if texts is None else texts[seen]
        n_all = self.C if texts is None else len(texts)
        self.seen, self.unseen = seen, np.setdiff1d(np.arange(n_all), seen)
        self.has_text = np.arange(n_all) < n_all - n_nameless
        self.most = np.inf if len(seen) == n_all else 2 * n_all / (n_all - len(seen))
        self.named = self.has_text[seen]
        self.shots_a_class, self.log_prior = n_shots / n_all, log_prior
        self.right = np.ones(len(self.u))
        self.beta = self.right if label_noise == 0 else self.judge_labels(label_noise)
        self.label_proba, self.label_weight = self.right[image], self.beta[image]
        self.fit()
        held_out = np.full((len(self.u), n_all), np.nan)
        held_out[self.H[self.used]] = -np.inf
        held_out[np.ix_(self.H[self.used], seen)] = self.cross_fitted()
        self.held_out_proba = softmax(held_out + log_prior, axis=1)[image]

    def omega(self, beta, most):
        """`omega_i` of all images, if they count as `beta`."""
        y, w = self.y, self.w
        n = [min(number(w[y == c], beta[y == c]), most) for c in range(self.C)]
        return np.array(
            [n[y[i]] * w[i] * beta[i] / (w * beta)[y == y[i]].sum() for i in range(len(y))]
        )

    def trust(self, beta):
        """Step 1: the scale of the cosines, and `tau`."""
        T, H = self.texts[self.has_text], [i for i in self.H if self.named[self.y[i]]]
        distinct = float(len(self.texts) == 1)
        if len(T) > 1:
            distinct = (len(np.unique(T.round(6), axis=0)) - 1) / (len(T) - 1)
        codes = np.cumsum(self.named)[self.y[H]] - 1
        omega, predicted = self.omega(beta, self.most)[H], (self.u[H] @ T.T).argmax(axis=1)
        alike = np.array([omega[predicted == c].sum() for c in predicted])
        omega = omega * np.minimum(1, self.most / alike)
        images = self.u[H], codes, omega, self.T[self.named], self.logit_scale
        s, tau = trust_in(*images, self.x[H].sum())
        return s, distinct * tau

    def evidence(self, beta):
        """Steps 1 to 5, and the terms of the regression, if images count as `beta`."""
        u, y, H, w = self.u, self.y, self.H, self.w
        omega = self.omega(beta, self.most)[H]
        tau, text_scale = 0.0, 0.0
        if self.T is not None:
            text_scale, tau = self.trust(beta)
        g = gaussian(u, y, w, self.x, beta, self.T, tau, self.words, self.most)
        z, r_own, of_own = map(np.array, zip(*[g.held_out(i) for i in H]))
        counts, C = np.maximum(g.n, 1), self.C
        n_mean, n_small = counts.mean(), 1 / np.mean(1 / counts)
        told = 0.0 if self.T is None else tau * self.has_text.mean()
        s_z = told * 0.04 * np.sqrt(n_small / n_mean)
        s_z += (1 - told) * max(0.064 * np.sqrt(np.log(C)) / n_mean**2, 0.04)
        terms, defaults, used = [z], [s_z], ~self.alone[H]
        if self.T is not None:
            s_T = max(tau, 1e-300) * text_scale * (1 - beta @ self.x / (self.x.sum() + 2) / 2)
            cosines = u[H] @ self.T.T
            for c in np.flatnonzero(~self.named):
                cosines[:, c] += u[H] @ g.stand_in(c, g.r[c], g.n[c])
                for k in np.flatnonzero(y[H] == c):
                    cosines[k, c] = u[H[k]] @ (self.T[c] + of_own[k])
            terms, defaults, used = [cosines, z], [s_T, s_z], np.full(len(H), True)
        informs = omega * (g.alone[H] * tau + 1 - g.alone[H])
        problem = [t[used] for t in terms], y[H][used], informs[used], np.array(defaults), C
        return g, tau, used, r_own, terms, problem

    def judge_labels(self, label_noise):
        """`right`, and the `beta` that they give."""
        u, y, H, C = self.u, self.y, self.H, self.C
        e = 0.1 if label_noise == "auto" else label_noise
        # Of the only image of a class without a text, nothing is known.
        named = self.named if self.texts is not None else np.zeros(C, dtype=bool)
        judges = np.where(named[y], 1, np.minimum(self.others, 1))
        confirmed, elsewhere, tau_of_names = np.ones(len(u)), np.zeros(len(u)), 0.0

        def tells(x):
            return x * 10 / 11

        def after(held, judged):
            right = self.right.copy()
            for i, value in zip(held, judged):
                distance = np.minimum(np.maximum(1 - u @ u[i], 1.5e-8) / self.x, 2)
                distance[i] = 2
                same = min(distance[y == y[i]])
                other = sorted([*distance[y != y[i]], 2.0, 2.0])[1]
                right[i] = 1 if value < 0.5 and same < 0.7 * other else value
                right[i] = 1 - judges[i] * (1 - right[i])
            total, n = sum(self.x[i] * (1 - right[i]) for i in held), sum((self.x * judges)[held])
            return right, (total + 0.5) / (n + 10) if label_noise == "auto" else e

        if self.T is not None:
            _, tau = self.trust(np.ones(len(u)))
            H = H[self.named[y[H]]]
            T = self.texts[np.append(self.seen, self.unseen)]
            p, judged = softmax(self.logit_scale * u @ T.T, axis=1), []
            R = [
                sum(self.x[i] * np.log((1 - e) * len(T) * p[i, c] + e) for i in H if y[i] == c)
                for c in range(len(T))
            ]
            for i in H:
                others = [c for c in range(len(T)) if c != y[i]]
                confirmed[i] = sum(
                    p[i, c] / p[i, others].sum() * expit(logit(tells(tau)) + R[c]) for c in others
                )
                g = expit(logit(tells(tau * confirmed[i])) + R[y[i]])
                own = (1 - e) * p[i, y[i]]
                judged.append(g * own / (own + e / len(T)) + (1 - g) * (1 - e))
            elsewhere[H], tau_of_names = p[H, C:].sum(axis=1), tau
            self.right, e = after(H, judged)
        for _ in range(10):
            _, tau, used, _, _, problem = self.evidence(self.right)
            held, (terms, codes, omega, _, _), before = self.H[used], problem, self.right
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
            judged = self.judge_by_others(p, held, confirmed, tau, e, named, self.x * judges)
            self.right, e = after(held, judged)
            if max(self.x * abs(self.right - before)) < 0.1:
                break
        doubt = np.clip(e / 0.05 - 1, 0, 1) if label_noise == "auto" else 1.0
        return 1 - doubt * (1 - self.right)

    def judge_by_others(self, p, held, confirmed, tau, e, named, x):
        """The next `right` of the images `held`, with `p (k, C)`, which count as `x`."""
        x = x[held]
        codes, right, C = self.y[held], self.right[held], self.C
        classes, q = np.unique(codes), np.zeros((C, C))
        h = {c: x[codes == c].max() for c in classes}
        for k in classes:
            for c in classes:
                q[k, c] = 0 if c == k else h[c] * ((x * right)[codes == k] @ p[codes == k, c])
            q[k] /= max(q[k].sum(), 1e-300)
        own = p[np.arange(len(held)), codes]
        size = max(x.sum() / max(sum(h.values()), 1e-300), 2)
        alpha = (1 - 2 * (1 - tau) / size) * ((x * right) @ own / max(x @ right, 1e-300)) ** (
            4 / (2 + tau * (size - 2))
        )
        result = []
        for i, c in enumerate(codes):
            n_others, tau_c = self.others[held[i]], tau * named[c]
            by_name = 1 - tau_c * confirmed[held[i]] * 10 / 11
            unknown = np.interp(n_others, [0, 1, 2], [by_name, (1 - tau_c) / 2, 0])
            p_label = (1 - unknown) * own[i] + unknown / C
            among = sum(h[k] * p[i, k] * q[k, c] for k in classes)
            known = sum(h[k] * p[i, k] for k in classes)
            if_wrong = (1 - alpha * known) / C + alpha * among
            result.append((1 - e) * p_label / ((1 - e) * p_label + e * if_wrong))
        return result

    def fit(self):
        """Steps 6 and 7, and the typicality of the held-out images."""
        g, tau, used, r_own, terms, problem = self.evidence(self.beta)
        u, H, C = self.u, self.H, self.C
        n_mean = max(g.n.mean(), 1)
        v = u[H[used]] - g.m
        x = self.x[H[used]] * (1 if self.T is not None else 1 - g.alone[H[used]])
        length = max(x @ np.sum(v**2, axis=1), 1e-28) / max(x.sum(), 1e-14)
        Q = np.eye(u.shape[1]) / length
        if g.V.any() and self.T is not None:
            within = max(x @ np.sum((v @ g.V) ** 2, axis=1) / x.sum(), 0.1 * length)
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
        if self.T is not None:
            self.spoken = self.texts.copy()
            for c in np.flatnonzero(~self.named):
                self.spoken[self.seen[c]] += g.stand_in(c, g.r[c], g.n[c])
        held = [self.s[-1] * terms[-1], u[H] @ nrm(g.r).T]
        for i, own in enumerate(r_own):
            held[1][i, self.y[H[i]]] = u[H[i]] @ nrm(own)
        if self.T is not None:
            self.decision = self.decision[0] + self.s[0] * self.spoken, self.decision[1]
            held = [held[0] + self.s[0] * terms[0], held[1], terms[0]]
        self.units = [deviation(part, self.x[H]) for part in held]
        self.scores = self.score(held, self.units).max(axis=1)
        self.correction = corrections, offsets
        n, only_names = self.g.n.sum(), len(self.unseen) / len(weights)
        only_names *= self.named.mean()
        # The decision has less of the shots' term, and `blend_` says so.
        less = self.s[-1] * 2 * only_names / (n + 2 * only_names)
        self.blend, self.coef = self.s.copy(), self.decision[0] - less * weights + corrections
        self.blend[-1] -= less
        self.intercept_without_prior = self.decision[1] - less * constants + offsets
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

    def shares(self, H):
        """The `x_i` of p-values."""
        x = np.array([self.w[i] / self.w[H][self.y[H] == self.y[i]].sum() for i in H])
        return x * x.sum() / np.sum(x**2)

    def p_values(self, X):
        if not len(self.H):
            return np.ones(len(X))

        def parts(u, decision, r, texts):
            values = [u @ decision[0].T + decision[1], u @ nrm(r).T]
            return values if self.T is None else [*values, u @ texts.T]

        def p_value(scores, known, x):
            return np.array([(1 + x @ (known <= score)) / (1 + x.sum()) for score in scores])

        all_parts = parts(nrm(X), self.decision, self.r, None if self.T is None else self.spoken)
        scores = self.score(all_parts, self.units)[:, self.seen].max(axis=1)
        result = p_value(scores, self.scores, self.shares(self.H))
        if len(self.unseen):
            predicted = self.g.slope * (self.texts - self.T.mean(axis=0))
            weights, constants = self.g.linear(predicted, np.zeros(len(predicted)))
            decision = self.s[0] * self.texts + self.s[1] * weights, self.s[1] * constants
            by_names = decision, self.g.m + predicted, self.texts
            H = self.H[self.named[self.y[self.H]]]
            if not len(H):
                return np.ones(len(X))
            of_held = [part[:, self.seen] for part in parts(self.u[H], *by_names)]
            units = [deviation(part, self.x[H]) for part in of_held]
            known = self.score(of_held, units).max(axis=1)
            scores = self.score(parts(nrm(X), *by_names), units)[:, self.unseen].max(axis=1)
            result = np.maximum(result, p_value(scores, known, self.shares(H)))
        return result
