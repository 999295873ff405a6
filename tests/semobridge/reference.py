"""The bridge by docs/paper_method.md alone: plain loops and refits, slow on purpose."""

from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ..model.reference import Reference as LinearReference
from ..model.reference import regress
from .reference_classes import (
    Bridge,
    classes_of,
    comparable,
    cosines,
    pseudo_inverse,
    score,
    terms,
    with_names,
)
from .reference_held_out import Shots, hold_out
from .reference_training import adamw, lbfgs, rounded_problem

# The seven hyperparameters.
Numbers = namedtuple("Numbers", "alpha beta gamma lambda1 lambda2 lambda3 smoothness")
TRAINED = Numbers(6.0, 1.0, 1.5, 1.0, 0.25, 0.05, 0.01)
WITHOUT_TEXT = Numbers(None, 1.0, 1.0, None, 0.5, 0.5, 0.0)


def typical(images):
    """The mean cosines of images and their own class, and its mean divergence."""
    rows = range(len(images.y))

    def mean(values):
        own = [values[i, images.y[i]] for i in rows]
        return np.average(own, weights=images.omega)

    return {name: mean(z) for name, z in images.z.items()}, mean(images.KL)


def default_temperature(numbers, images, s):
    """`t_0`."""
    heights = terms(*typical(images), numbers)
    rise = sum(sharpness * height for sharpness, height in heights)
    return s * sum(height for _, height in heights) / rise


def fit_temperature(numbers, images, s, spread=0.7, wrong=0.0):
    """`f`, and the loss there. A share of the labels is any class."""
    scores = default_temperature(numbers, images, s) * np.log(score(images.z, images.KL, numbers))

    def loss(log_f):
        right = log_softmax(np.exp(log_f) * scores, axis=1)[np.arange(len(scores)), images.y]
        right = np.log((1 - wrong) * np.exp(right) + wrong / scores.shape[1])
        return -images.omega @ right + 0.5 * log_f**2 / spread**2

    found = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    return np.exp(found.x), found.fun


def given_or(given, numbers):
    """The numbers, but those that are given stay."""
    without = {name for name in ("alpha", "lambda1") if numbers.alpha is None}
    return numbers._replace(**{name: v for name, v in given.items() if name not in without})


def numbers_for(given, w, n, images, reach):
    """All hyperparameters for a ratio `w` of one shot, and `n` shots a class."""
    z, KL = typical(images)
    if "z1" not in z:
        return given_or(given, WITHOUT_TEXT)
    found = given_or(given, Numbers(1.0, 0.1, 16 / reach, 1.0, 0.0, 0.0, 0.0))
    smoothness = found.beta / (n * w) * 0.7 * n / (n + 6) * np.log(2)
    found = given_or(given, found._replace(smoothness=smoothness))
    alpha, beta, gamma, lambda1 = found[:4]
    r, w_c = alpha * lambda1 * np.exp(-alpha * (1 - z["z1"])), np.exp(found.smoothness * KL)
    if alpha * lambda1 == 0:
        r = w_c = 1.0
    lambda2 = lambda3 = 1.0
    if beta > 0:
        lambda2 = n * w * r / (beta * w_c * np.exp(-beta * (1 - z["z2"])))
    if gamma > 0:
        lambda3 = r / (n * gamma * w_c * np.exp(-gamma * (1 - reach)))
    return given_or(given, found._replace(lambda2=lambda2, lambda3=lambda3))


def wrong_share(given, out, s, label_noise):
    """The share of the labels that are taken to be wrong."""
    if out.is_single and "z1" not in out.z:
        return 0.0
    if label_noise != "auto":
        return label_noise
    numbers, e, C = numbers_for(given, 0.04, out.n, out, out.reach), 0.1, out.KL.shape[1]
    f, _ = fit_temperature(numbers, out, s, wrong=e)
    scores = f * default_temperature(numbers, out, s) * np.log(score(out.z, out.KL, numbers))
    p = np.exp(log_softmax(scores, axis=1))[np.arange(len(scores)), out.y]
    for _ in range(10):
        e = (sum(out.omega * (e / C) / ((1 - e) * p + e / C)) + 0.5) / (out.omega.sum() + 10)
    return e * min(max(e / 0.05 - 1, 0), 1)


def ratio(given, out, s, wrong=0.0, single=0.04):
    """`w`."""
    if "z1" not in out.z or {"lambda2", "smoothness"} <= {*given}:
        return 0.04
    if out.is_single:
        return single
    grid, losses = [-3.5 + k / 2 for k in range(17)], []
    for g in grid:
        numbers = numbers_for(given, 0.04 * np.exp(g), out.n, out, out.reach)
        losses.append(fit_temperature(numbers, out, s, wrong=wrong)[1] + 0.5 * (g / 1.4) ** 2)
    return 0.04 * np.exp(np.average(grid, weights=np.exp(min(losses) - np.array(losses))))


def judge_names(X, y, weight, groups, texts):
    """The ratio with one image of each class, and whether the names are no better than chance."""
    n_nameless = np.count_nonzero(~texts.has_text)
    rows = weight > 0
    groups = None if groups is None else groups[rows]
    of_shots = X[rows], y[rows], texts.T, texts.logit_scale, None, weight[rows], groups
    model = LinearReference(*of_shots, 0, n_nameless=n_nameless)
    _, trust = model.trust(np.ones(len(model.u)))
    named = texts.T[texts.has_text]
    distinct = float(len(texts.T) == 1)
    if len(named) > 1:
        distinct = (len(np.unique(named.round(6), axis=0)) - 1) / (len(named) - 1)
    scales, *_ = regress(*model.evidence(np.ones(len(model.u)))[-1])
    g = 0.0 if distinct == 0 else -np.log(scales[0] / texts.logit_scale)
    return 0.04 * np.exp(min(max(g, -3.5), 4.5)), trust < 0.5 * distinct


class Reference:
    """Fitted to rows `X` with codes `y` of the classes of `texts`, of which some may have no rows.
    `given` are hyperparameters that are not "auto", and `options` those of the training.
    """

    def __init__(
        self,
        X,
        y,
        texts,
        weight=None,
        groups=None,
        *,
        atol="auto",
        given=None,
        temperature="auto",
        label_noise="auto",
        solver="closed_form",
        validation=None,
        n_candidates=1000,
        random_state=0,
        most_cosines=2**19,
        **options,
    ):
        seen = np.unique(y)
        all_texts, texts, self.s = texts, texts.take(seen), texts.logit_scale
        weight = np.ones(len(y)) if weight is None else weight
        given, self.label_noise = {} if given is None else given, label_noise
        is_estimated = len(given) < len(Numbers._fields) or temperature == "auto"
        if solver != "closed_form" and texts.T is not None and is_estimated:
            n_nameless = np.count_nonzero(~all_texts.has_text)
            model = LinearReference(
                X, y, all_texts.T, self.s, None, weight, groups, label_noise, n_nameless=n_nameless
            )
            weight = weight * model.label_weight
        self.shots = Shots(X, np.searchsorted(seen, y), weight, groups)
        self.single, used = 0.04, texts
        if texts.T is not None and not {"alpha", "lambda1"} & {*given}:
            self.single, is_chance = judge_names(X, np.searchsorted(seen, y), weight, groups, texts)
            if is_chance:
                used = replace(texts, T=None, E=None, has_text=None)
        self.texts, self.given = used, given
        self.solver, self.options, self.most_cosines = solver, options, most_cosines
        self.inverse, self.atol = pseudo_inverse(texts.W, atol)
        self.closed = Bridge(self.inverse, texts)
        self.validation = None if validation is None else self.read(*validation, seen)
        if solver == "closed_form":
            classes = self.classes_of(self.closed)
            self.numbers, found = self.calibrate()
        else:
            self.numbers = self.trained_numbers()
            classes, found = self.train(temperature)
        if validation is not None:
            sigma = 1.0 if solver == "closed_form" else 1.5
            images, n = self.images(classes), self.shots.number()
            s = self.s
            if temperature == "auto":
                s *= found / default_temperature(self.numbers, images, s)
            self.numbers, found = search(
                self.numbers, n, self.given, images, s, sigma, n_candidates, random_state
            )
        self.temperature = found if temperature == "auto" else temperature or 1.0
        self.classes = classes
        classes.texts = texts
        if texts.T is not None and len(seen) < len(all_texts.T):
            self.classes = with_names(classes, all_texts, seen)

    def classes_of(self, bridge, part=None):
        """The classes of shots that have a part of their weights."""
        shots, part = self.shots, np.ones(len(self.shots.y)) if part is None else part
        w, n = part * shots.w, shots.numbers(part)
        classes = classes_of(bridge, shots.X, shots.y, w, n, self.texts)
        if bridge is not self.closed:
            classes.f **= 2
            classes.g[:] = 1
        return classes

    def cosines(self, X):
        return cosines(self.classes, X)

    def log_proba(self, X, log_prior=0.0):
        """The logarithm of the probabilities."""
        log_score = np.log(score(comparable(self.classes, X), self.classes.KL, self.numbers))
        return log_softmax(self.temperature * log_score + log_prior, axis=1)

    def ways(self):
        """The ways of the closed form to hold out shots, with their shares."""
        return hold_out(
            lambda part: self.classes_of(self.closed, part), self.shots, self.most_cosines
        )

    def calibrate(self):
        """The hyperparameters and the temperature of the closed form."""
        shares, found, temperatures = [], [], []
        for share, out in self.ways():
            wrong = wrong_share(self.given, out, self.s, self.label_noise)
            w = ratio(self.given, out, self.s, wrong, self.single)
            numbers = numbers_for(self.given, w, self.shots.number(), out, out.reach)
            of_folds = numbers_for(self.given, w, out.n, out, out.reach)
            f, _ = fit_temperature(of_folds, out, self.s, wrong=wrong)
            if out.is_single:
                f = np.sqrt(f) * (1 if "z1" in out.z else 0.3)
            shares.append(share)
            found.append(numbers)
            temperatures.append(f * default_temperature(numbers, out, self.s))
        return mean_numbers(shares, found), np.dot(shares, temperatures)

    def trained_numbers(self):
        if self.texts.T is None:
            return given_or(self.given, WITHOUT_TEXT)
        if "lambda3" in self.given:
            return given_or(self.given, TRAINED)
        n = self.shots.number()
        lambda3 = sum(
            share * max(0.05, 0.25 * n * ratio({}, out, self.s, single=self.single))
            for share, out in self.ways()
        )
        return given_or(self.given, TRAINED._replace(lambda3=lambda3))

    def train(self, temperature):
        """The classes of the trained bridge, and its temperature."""
        shots, options, left_out, first = self.shots, self.options, self.shots.first_fold(), None
        problem, length = (shots.X, shots.y, shots.w, self.texts, self.inverse), 1.0
        if self.solver == "lbfgs":
            problem, length = rounded_problem(*problem)
        is_asked = temperature == "auto"
        if left_out.any() and (is_asked or self.solver == "lbfgs"):
            of_lbfgs = {k: v for k, v in options.items() if k != "learning_rate"}
            first = lbfgs(*problem, kept=~left_out, **of_lbfgs)
        if self.solver == "lbfgs":
            trained = lbfgs(*problem, begin=first, **options)
        else:
            trained = adamw(*problem, judge=self.validation and self.judge(), **options)
        self.curve = trained.curve
        for each in (trained, first):
            if each is not None and each.bias is not None:
                each.bias = length * each.bias
        classes = self.classes_of(Bridge(trained.inverse, self.texts, trained.bias))
        if not is_asked:
            return classes, None
        seen = self.labelled(classes, np.arange(len(shots.y)))
        temperature = self.factor(shots.number()) * default_temperature(self.numbers, seen, self.s)
        if first is not None:
            kept = 1.0 * ~left_out
            others = self.classes_of(Bridge(first.inverse, self.texts, first.bias), kept)
            images, s = self.labelled(others, np.flatnonzero(left_out)), self.s
            s = self.factor(shots.number(kept)) * s
            temperature *= fit_temperature(self.numbers, images, s, spread=0.2)[0]
        return classes, temperature

    def factor(self, n):
        """The default temperature of a trained bridge, relative to that of CLIP."""
        return 0.22 * n**0.3 if self.texts.T is None else 0.84

    def labelled(self, classes, rows):
        """Cosines of shots to classes."""
        shots = self.shots
        rows = shots.sample(rows, self.most_cosines)
        return SimpleNamespace(
            z=comparable(classes, shots.X[rows]),
            y=shots.y[rows],
            omega=shots.omega(rows, np.ones(len(shots.eta))),
            KL=np.array([classes.KL] * len(rows)),
        )

    # Validation images

    def read(self, X, y, weight, seen):
        """The images with `omega_i`. One that is repeated is one image."""
        y, weight = np.searchsorted(seen, y), np.ones(len(y)) if weight is None else weight
        pooled = Shots(X, y, weight, None)
        omega = pooled.w * pooled.w.sum() / np.sum(pooled.w**2)
        return SimpleNamespace(X=pooled.X, y=pooled.y, omega=omega)

    def images(self, classes):
        """The validation images with their cosines."""
        X, y, omega = self.validation.X, self.validation.y, self.validation.omega
        KL = np.array([classes.KL] * len(y))
        return SimpleNamespace(z=comparable(classes, X), y=y, omega=omega, KL=KL)

    def judge(self):
        """A function of a bridge: the accuracy on the validation images."""

        def accuracy(inverse, bias):
            images = self.images(self.classes_of(Bridge(inverse, self.texts, bias)))
            return images.omega @ is_right(self.numbers, images)

        return accuracy


def search(auto, n, given, images, s, sigma=1.0, n_candidates=1000, random_state=0):
    """The hyperparameters by validation images, and their temperature."""
    names = [name for name in Numbers._fields if name not in given]
    if auto.alpha is None:
        names = [name for name in names if name not in ("alpha", "lambda1")]
    random, right, may_be_taken = np.random.RandomState(random_state), is_right(auto, images), []
    for _ in range(n_candidates if names else 0):
        g = [random.normal() for _ in names]
        changed = {name: getattr(auto, name) * np.exp(sigma * x) for name, x in zip(names, g)}
        candidate = auto._replace(**changed)
        change = images.omega * (is_right(candidate, images) - right)
        if change.sum() > 2 * np.sqrt(np.sum(change**2) + 0.5):
            may_be_taken.append((candidate, change.sum()))
    spread = 0.2 / np.sqrt(n)
    f, loss = fit_temperature(auto, images, s, spread=spread)
    most = max((lead for _, lead in may_be_taken), default=0.0)
    best = [candidate for candidate, lead in may_be_taken if lead > most - 0.5]
    if best:
        fits = [fit_temperature(candidate, images, s, spread=spread) for candidate in best]
        k = min(range(len(best)), key=lambda k: fits[k][1])
        if fits[k][1] <= loss:
            auto, f = best[k], fits[k][0]
    return auto, f * default_temperature(auto, images, s)


def is_right(numbers, images):
    return 1.0 * (score(images.z, images.KL, numbers).argmax(axis=1) == images.y)


def mean_numbers(shares, found):
    columns = zip(*found)
    return Numbers(*(None if None in values else np.dot(shares, values) for values in columns))
