"""Shots that are held out by docs/paper_method.md alone, as `reference`."""

from types import SimpleNamespace

import numpy as np

from ..model.reference_images import chains, nrm, relative
from .reference_classes import by_name, comparable


class Shots:
    """Rows in the order of class and content. Equal ones are one shot, and copies one image."""

    def __init__(self, X, y, w, groups):
        rows = [i for i in range(len(y)) if w[i] > 0]
        found = {}
        for i in sorted(rows, key=lambda i: (y[i], X[i].tobytes())):
            found.setdefault((y[i], X[i].tobytes()), []).append(i)
        first = [rows[0] for rows in found.values()]
        self.X, self.y = X[first].astype(float), y[first]
        self.w = np.array([w[rows].sum() for rows in found.values()])
        group = np.arange(len(first))
        if groups is not None:
            groups = [set(groups[rows].tolist()) for rows in found.values()]
            group = chains([[bool(a & b) for b in groups] for a in groups])
        pairs = sorted(set(zip(self.y, group)))
        self.image = np.array([pairs.index(pair) for pair in zip(self.y, group)])
        self.y_of_image = np.array([c for c, _ in pairs])
        self.eta = self.of_images(relative(self.w, self.y), 1)

    def of_images(self, values, most=np.inf):
        """The sum over the shots of each image."""
        sums = [values[self.image == i].sum() for i in range(self.image.max() + 1)]
        return np.minimum(sums, most)

    def numbers(self, part=None):
        """`n_c`, of shots that keep a part of their weights."""
        w = self.of_images(self.w if part is None else part * self.w)
        w = [w[self.y_of_image == c] for c in range(self.y.max() + 1)]
        return np.array([each.sum() ** 2 / np.sum(each**2) for each in w])

    def number(self, part=None):
        return 1 / np.mean(1 / self.numbers(part))

    def omega(self, rows, tested):
        """`omega_i` of shots, of whose images a part is tested."""
        sigma = np.array([self.w[i] / self.w[self.y == self.y[i]].sum() for i in rows])
        omega, some = sigma * tested[self.image[rows]], np.unique(self.image[rows])
        return omega / omega.sum() * (tested * self.eta)[some].sum()

    def sample(self, rows, most):
        """So many of the rows that there are at most these cosines."""
        m = max(most // (self.y.max() + 1), 1)
        if len(rows) <= m:
            return rows
        return rows[[int(np.floor(k * (len(rows) - 1) / (m - 1))) for k in range(m)]]

    def folds(self, is_by_weight):
        """The fold of each image, -1 for none, and the part of it that stays."""
        unit, eta, y = nrm(self.X), self.eta, self.y_of_image
        images = range(len(eta))
        u = np.array(
            [np.average(unit[self.image == i], 0, self.w[self.image == i]) for i in images]
        )
        C = y.max() + 1
        mean = np.mean([np.average(u[y == c], 0, eta[y == c]) for c in range(C)], axis=0)
        k = min(max(np.sum(y == c) for c in range(C)), 8)
        fold, rho = np.full(len(eta), -1), np.zeros(len(eta))
        for c in range(C):
            of_class = [i for i in images if y[i] == c]
            of_class.sort(key=lambda i: (-round(eta[i], 9) if is_by_weight else 0, u[i] @ mean))
            for place, i in enumerate(of_class):
                if len(of_class) > 1:
                    fold[i] = place % k
        for i in images:
            others = [j for j in images if y[j] == y[i] and fold[j] != fold[i]]
            rho[i] = max(1 - eta[others].sum(), 0)
        return fold, rho

    def first_fold(self):
        """Whether each shot is left out of another trained bridge."""
        fold, rho = self.folds(self.eta.min() < 0.75)
        return ((fold == 0) & (rho <= 0.5))[self.image]


def hold_out(classes_of, shots, most=2**19):
    """The ways with their shares. `classes_of(part)` are those of a part of the weights."""
    N = max(shots.eta[shots.y_of_image == c].sum() for c in range(shots.y.max() + 1))
    q, v = np.clip(2 - N, 0, 1), np.clip(2 * shots.eta.min() - 1, 0, 1)
    shares = q, (1 - q) * v, (1 - q) * (1 - v)
    ways = [
        lambda: compare_with_names(classes_of, shots, most),
        lambda: leave_out(classes_of, shots, most, False),
        lambda: leave_out(classes_of, shots, most, True),
    ]
    return [(share, way()) for share, way in zip(shares, ways) if share > 0]


def compare_with_names(classes_of, shots, most):
    rows = shots.sample(np.arange(len(shots.y)), most)
    classes, codes = classes_of(np.ones(len(shots.y))), shots.y[rows]
    X, texts, reach = shots.X[rows], classes.texts, []
    z = comparable(classes, X)
    for k in range(len(rows)):
        P, F = nrm(classes.P.mean(axis=0)), nrm(classes.F.mean(axis=0))
        if texts.T is not None:
            P, F = by_name(classes, texts.T[codes[k]])
            z["z1"][k, codes[k]] = nrm(X[k]) @ texts.T[codes[k]]
        z["z2"][k, codes[k]], z["z3"][k, codes[k]] = nrm(X[k]) @ P, classes.bridge(X[k]) @ F
        reach.append(nrm(X[k]) @ classes.bridge(X[k]))
    omega = shots.omega(rows, np.ones(len(shots.eta)))
    return SimpleNamespace(
        z=z,
        y=codes,
        omega=omega,
        KL=np.array([classes.KL] * len(rows)),
        n=shots.number(),
        reach=np.average(reach, weights=omega),
        is_single=True,
    )


def leave_out(classes_of, shots, most, is_by_weight):
    fold, rho = shots.folds(is_by_weight)
    fold_of_shot, rho_of_shot = fold[shots.image], rho[shots.image]
    rows = shots.sample(np.flatnonzero(fold_of_shot >= 0), most)
    omega, result = shots.omega(rows, 1 - rho), []
    for i in rows:
        is_out = fold_of_shot == fold_of_shot[i]
        part = np.where(is_out, rho_of_shot, 1.0)
        x, c, classes = shots.X[i : i + 1], shots.y[i], classes_of(part)
        z, KL = comparable(classes, x), classes.KL.copy()
        if part[i] > 0:
            without = classes_of(np.where(is_out, 0.0, 1.0))
            KL[c], own = without.KL[c], comparable(without, x)
            for name in z:
                z[name][0, c] = own[name][0, c]
        result.append((z, KL, shots.number(part), nrm(x[0]) @ classes.bridge(x[0])))
    z, KL, n, reach = zip(*result)
    return SimpleNamespace(
        z={name: np.array([each[name][0] for each in z]) for name in z[0]},
        y=shots.y[rows],
        omega=omega,
        KL=np.array(KL),
        n=np.average(n, weights=omega),
        reach=np.average(reach, weights=omega),
        is_single=False,
    )
