"""The training of the bridge by docs/paper_method.md alone, as `reference`."""

import math
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import normalize


def loss_of(X, y, w, texts, lambda_it=0.5, lambda_c=0.1, lambda_b=0.1):
    """The loss as a function of `W+ (D, d)` and the biases `(C, d)` or None, as tensors."""
    W, b, x, w = (torch.tensor(part) for part in (texts.W, texts.b, X, w))
    T, E = (None if part is None else torch.tensor(part) for part in (texts.T, texts.E))
    C = max(y) + 1

    def nrm(v):
        return normalize(v, dim=-1)

    def cross_entropy(logits, codes):
        return torch.logsumexp(logits, dim=1) - logits[np.arange(len(codes)), codes]

    def means(values):
        """By weight in each class."""
        of_class = [np.flatnonzero(y == c) for c in range(C)]
        return torch.stack([w[rows] @ values[rows] / w[rows].sum() for rows in of_class])

    def loss(inverse, bias):
        e = nrm((x - b) @ inverse + (0 if bias is None else bias[y]))
        G = means(e)
        P, r = nrm(texts.L * G @ W + b), nrm(texts.L * e @ W + b)
        img = means(cross_entropy(texts.logit_scale * nrm(x) @ P.T, y)).mean()
        cons = means(cross_entropy(r @ P.T, y)).mean()
        value = lambda_it * img + lambda_c * cons
        if T is not None:
            txtp = cross_entropy(P @ T.T, np.arange(C)).mean()
            txte = cross_entropy(nrm(G) @ E.T, np.arange(C)).mean()
            value = value + (1 - lambda_it) * (txtp + txte) / 2
        if bias is not None:
            lengths = torch.linalg.vector_norm(bias, dim=1)
            value = value + lambda_b * ((lengths - lengths.mean()) ** 2).mean()
        return value

    return loss


def with_gradient(function, *parts):
    """The value and the gradients of a function of arrays."""
    tensors = [None if part is None else torch.tensor(part, requires_grad=True) for part in parts]
    value = function(*tensors)
    value.backward()
    return value.item(), [None if part is None else part.grad.numpy() for part in tensors]


def adamw(
    X,
    y,
    w,
    texts,
    start,
    judge=None,
    max_iter=5000,
    learning_rate=1.5e-4,
    weight_decay=0.01,
    class_bias=True,
    **loss,
):
    """Algorithm 2 of Loshchilov and Hutter, with the defaults of torch."""
    loss, curve = loss_of(X, y, w, texts, **loss), []
    biases = [np.zeros((max(y) + 1, len(texts.W)))] if class_bias else [None]
    parts, kept, best = [start.copy(), *biases], None, -np.inf
    moments = [[0 * part, 0 * part] for part in parts if part is not None]
    for k in range(max_iter):
        value, gradients = with_gradient(loss, *parts)
        curve.append(value)
        size = learning_rate * min(1, k / 500) if k else 1e-5
        for number, (first, second) in enumerate(moments):
            gradient = gradients[number]
            first[:] = 0.9 * first + 0.1 * gradient
            second[:] = 0.999 * second + 0.001 * gradient**2
            mean, square = first / (1 - 0.9 ** (k + 1)), second / (1 - 0.999 ** (k + 1))
            parts[number] = parts[number] * (1 - size * weight_decay)
            parts[number] = parts[number] - size * mean / (np.sqrt(square) + 1e-8)
        accuracy = np.inf if judge is None else judge(*parts)
        if judge is None or accuracy > best + 0.5:
            kept, best = list(parts), accuracy
    return SimpleNamespace(inverse=kept[0], bias=kept[1], curve=curve)


def directions(X, y, sigma, texts):
    """`D (D, k)`."""
    C, inputs = max(y) + 1, X - texts.b
    _, s, rows = np.linalg.svd(np.sqrt(sigma)[:, None] * inputs, full_matrices=False)
    kept = s > 1.2e-7 * s[0]
    s, rows = s[kept], rows[kept]
    columns = (rows / np.sqrt(s)[:, None]).T / np.sqrt(s.sum() / C)
    if len(s) <= C + 96:
        return columns
    means = [sum(sigma[i] * inputs[i] for i in np.flatnonzero(y == c)) for c in range(C)]
    span = np.array([*(np.array(means) @ columns), *np.eye(len(s))[:96]]).T
    return columns @ np.linalg.qr(span)[0]


def lbfgs(
    X, y, w, texts, start, kept=None, begin=None, tol=5e-5, max_iter=1000, class_bias=True, **loss
):
    """Without a part of the shots, or from the bridge of an earlier training on."""
    C, sigma = max(y) + 1, np.array([w[i] / w[y == y[i]].sum() for i in range(len(y))])
    length = np.sqrt(np.average(np.sum(((X - texts.b) @ start) ** 2, axis=1), weights=sigma))
    D = length * directions(X, y, sigma, texts)
    unit = length * (1.0 if texts.T is None else 0.25)
    (k, d), n_biases = (D.shape[1], len(texts.W)), C if class_bias else 0
    rows = np.arange(len(y)) if kept is None else np.flatnonzero(kept)
    of_bridge = loss_of(X[rows], y[rows], w[rows], texts, **loss)

    def parts(z):
        B, beta = z[: k * d].reshape(k, d), z[k * d :].reshape(n_biases, d)
        return start + D @ B, unit * beta if n_biases else None

    def function(z):
        value, (by_inverse, by_bias) = with_gradient(of_bridge, *parts(z))
        by_bias = np.zeros(0) if by_bias is None else unit * by_bias
        return value, np.concatenate([(D.T @ by_inverse).ravel(), by_bias.ravel()])

    z, curve = np.zeros((k + n_biases) * d) if begin is None else begin.z, []
    tol = tol if kept is None else 4 * tol
    value, gradient = function(z)
    curve, steps = [value], []
    for _ in range(max_iter):
        direction = direction_of(gradient, steps[-4:])
        found = shorten(function, z, value, direction, gradient @ direction)
        if found is None:
            break
        new, value, new_gradient = found
        curve.append(value)
        if len(curve) > 10 and curve[-11] - value <= 10 * tol * abs(value):
            z = new
            break
        if (new - z) @ (new_gradient - gradient) > 0:
            steps.append((new - z, new_gradient - gradient))
        z, gradient = new, new_gradient
    inverse, bias = parts(z)
    return SimpleNamespace(inverse=inverse, bias=bias, curve=curve, z=z)


def rounded(values, bits):
    """Numbers of so many bits."""
    result = np.zeros(np.shape(values))
    for place, value in np.ndenumerate(values):
        mantissa, exponent = math.frexp(value)
        result[place] = round(mantissa * 2**bits) / 2**bits * 2**exponent
    return result


def rounded_problem(X, y, w, texts, start):
    """What `lbfgs` minimises, and the length by which the biases are divided."""
    C, sigma = max(y) + 1, np.array([w[i] / w[y == y[i]].sum() for i in range(len(y))])
    length = 1.0 if texts.b.any() else np.sqrt(sum(sigma * np.sum(X**2, axis=1)) / C)
    return (rounded(X / length, 4), y, rounded(sigma, 16), texts, start), length


def direction_of(gradient, steps):
    """Algorithm 7.4 of Nocedal and Wright."""
    q, alphas = gradient.copy(), []
    for s, t in reversed(steps):
        alphas.append(s @ q / (s @ t))
        q -= alphas[-1] * t
    if steps:
        s, t = steps[-1]
        r = s @ t / (t @ t) * q
    else:
        r = q / np.linalg.norm(gradient)
    for (s, t), alpha in zip(steps, reversed(alphas)):
        r += s * (alpha - t @ r / (s @ t))
    return -r


def shorten(function, z, value, direction, slope):
    """The first step that is short enough, or None."""
    length = 1.0
    for _ in range(12):
        new = z + length * direction
        new_value, gradient = function(new)
        if new_value <= value + 1e-4 * length * slope:
            return new, new_value, gradient
        minimum = -slope * length**2 / (2 * (new_value - value - length * slope))
        length = min(max(minimum, 0.1 * length), 0.5 * length)
    return None
