"""Images and near copies by docs/method.md alone, as `reference`."""

import numpy as np
from scipy.sparse.csgraph import connected_components


def relative(w, y):
    """Weights as shares of the largest one of each class."""
    return w / np.array([w[y == c].max() for c in y])


def nrm(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def chains(close):
    """The number of the chain of each item, by which items `(n, n)` are close."""
    return connected_components(np.array(close, dtype=float), directed=False)[1]


def images_of(X, y, weight, groups):
    """`u`, `y`, `w` of the images, the image of each row, the label of images with two, how much of
    an image each is, and the number of shots.
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
    first = np.unique(shot, return_index=True)[1]
    of_shot = relative(np.bincount(shot, weight), y[first])
    part = np.minimum(np.bincount(image[first], of_shot), 1)
    return u, np.array([c for c, _ in pairs]), w, image, two_labels, part, of_shot.sum()


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
