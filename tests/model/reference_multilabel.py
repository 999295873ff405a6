"""Several labels by docs/several_labels_method.md alone: plain loops, slow on purpose."""

import numpy as np
from scipy.special import expit

from .reference_images import nrm


class Reference:
    """`yes` and `no (n, K)` are the weights of answers of distinct images, and `texts` the unit
    texts of the tags, None for a tag without one.
    """

    def __init__(self, X, yes, no, texts, logit_scale, weight):
        factor = weight.sum() / np.sum(weight**2)
        yes, no = factor * yes, factor * no
        u = np.array([nrm(x) for x in X])
        self.m = np.average(u, axis=0, weights=weight)
        self.z, self.yes, self.no, self.weight = u - self.m, yes, no, weight
        known = [text for text in texts if text is not None]
        common = sum(known, np.zeros(X.shape[1])) / (len(known) + 1)
        self.d = [np.zeros(X.shape[1]) if text is None else text - common for text in texts]
        self.c = [
            np.log((yes[:, k].sum() + 0.5) / (no[:, k].sum() + 0.5)) for k in range(len(texts))
        ]
        self.a, self.C = self.search(logit_scale)
        tags = range(len(texts))
        fits = [self.fit(k, self.a, self.C) for k in tags]
        own = [self.c[k] + fits[k][0] for k in tags]
        answers = [(yes + no)[:, k].sum() for k in tags]
        self.offsets = list(own)
        for k in tags if sum(answers) else []:
            of_all = sum(n * value for n, value in zip(answers, own)) / sum(answers)
            part = (1 - answers[k] / max(answers)) * 10 / (answers[k] + 10)
            self.offsets[k] = (1 - part) * own[k] + part * of_all
        self.coef = np.array([self.a * self.d[k] + fits[k][1] for k in tags])
        self.intercept = np.array(self.offsets) - self.coef @ self.m
        self.thresholds = [
            best_f1(expit(self.held_out(k, self.a, self.C) + self.offsets[k] - own[k]), weight) / 2
            for k in tags
        ]

    def fit(self, k, a, C):
        """`b` and `v` of tag k."""
        prior = self.c[k] + a * self.z @ self.d[k]

        rows = np.column_stack([np.ones(len(prior)), self.z])
        precision = np.append(1 / 25, np.full(self.z.shape[1], 1 / C))
        known, x = (self.yes + self.no)[:, k], np.zeros(rows.shape[1])
        for _ in range(200):  # short steps of Newton's method
            p = expit(prior + rows @ x)
            gradient = rows.T @ (known * p - self.yes[:, k]) + precision * x
            hessian = np.diag(precision) + rows.T @ np.diag(known * p * (1 - p)) @ rows
            step = np.linalg.solve(hessian, gradient)
            length = np.abs(rows @ step).max()
            x = x - step / max(1, length)
            if length < 1e-13:
                break
        return x[0], x[1:]

    def held_out(self, k, a, C):
        """The logit of each image by one step of Newton's method without it."""
        b, v = self.fit(k, a, C)
        f = self.c[k] + a * self.z @ self.d[k] + b + self.z @ v
        rows = np.column_stack([np.ones(len(f)), self.z])
        curvature = (self.yes + self.no)[:, k] * expit(f) * (1 - expit(f))
        result = f.copy()
        for i in np.flatnonzero(curvature):
            others = np.delete(rows, i, axis=0)
            hessian = np.diag(np.append(1 / 25, np.full(self.z.shape[1], 1 / C)))
            hessian = hessian + others.T @ np.diag(np.delete(curvature, i)) @ others
            pull = self.yes[i, k] - (self.yes + self.no)[i, k] * expit(f[i])
            result[i] -= rows[i] @ np.linalg.solve(hessian, rows[i]) * pull
        return result

    def search(self, logit_scale):
        tags = [k for k in range(len(self.c)) if self.yes[:, k].any() and self.no[:, k].any()]

        def loss(steps):
            a, C = 0.8 * logit_scale * 2.0 ** steps[0], 100 * 3.0 ** steps[1]
            total = (np.log(2) * steps[0]) ** 2 / 2 + (np.log(3) * steps[1]) ** 2 / 2
            for k in tags:
                p = expit(self.held_out(k, a, C))
                total -= self.yes[:, k] @ np.log(p) + self.no[:, k] @ np.log(1 - p)
            return total

        at = (0, 0)
        while tags:
            x, y = at
            near = [at, (x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
            losses = [loss(steps) for steps in near]
            if losses[0] == min(losses):
                break
            at = near[int(np.argmin(losses))]
        return 0.8 * logit_scale * 2.0 ** at[0], 100 * 3.0 ** at[1]


def best_f1(p, weight):
    """The largest expected F1 of giving a tag to the most probable images."""
    order = sorted(range(len(p)), key=lambda i: -p[i])
    total = sum(weight[i] * p[i] for i in order)
    values = []
    for n in range(1, len(order) + 1):
        given = sum(weight[i] for i in order[:n])
        values.append(2 * sum(weight[i] * p[i] for i in order[:n]) / (given + total))
    return max(values)
