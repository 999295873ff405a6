"""Near copies without `groups`: distinct images that are taken for copies, and what copies cost.

    python benchmarks/near_copies.py [FILE.npz ...]

Files are as `benchmarks/few_shot.py` takes them; the bundled pictures (`emoji`) come first. The first line counts draws
of distinct images, with 1 to 100 shots of 2, 3, 5, 10 and all classes, and those in which any were taken for copies. Images
that are the same in the file count as one.

The table has, by task and shots of a class, the accuracy of the shots alone, and the differences with `--copies` beside
each, or beside a `--share` of them: each copy taken for an image, as it comes, and with `groups`. In parentheses are those of the log loss. Copies of the
bundled pictures are crops, mirrored and brighter pictures, and files of JPEG; of embeddings they are noise, so that cosines
among them are about `--cosine`.
"""

import argparse
import io
import warnings

import numpy as np
import tasks
from PIL import Image, ImageEnhance, ImageOps
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, SeMoBridgeClassifier
from sksemobridge._model.near_copies import near_copies
from sksemobridge.datasets import load_emoji

CLASSES, SHOTS = (2, 3, 5, 10, 10**6), (1, 2, 4, 8, 16, 50, 100)
# Distances up to which two images of a file are the same.
SAME = 1e-3


def pictures_changed(picture):
    """Nine copies of a picture."""
    image = Image.fromarray(picture).convert("RGB")
    size = np.array(image.size)

    def crop(x, y):
        return image.crop((*np.int_(np.array([x, y]) * size), *np.int_(np.array([x + 0.9, y + 0.9]) * size)))

    def compressed(quality):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    crops = [crop(0, 0), crop(0.1, 0.1), crop(0.05, 0.05)]
    brighter = [ImageEnhance.Brightness(image).enhance(factor) for factor in (0.7, 1.3)]
    mirrored = [ImageOps.mirror(image), ImageOps.mirror(crops[2])]
    return [*mirrored, *crops, *brighter, compressed(50), compressed(20)]


def false_alarms(task, draws):
    """Number of draws of distinct images, and of those with images that are taken for copies."""
    unit, n, wrong = normalize(task.X), 0, 0
    names = np.unique(task.y)
    for size in CLASSES:
        for k in SHOTS:
            for seed in range(draws):
                rng = np.random.default_rng([seed, min(size, 10), k])
                chosen = rng.permutation(names)[:size]
                rows = [rng.permutation(np.flatnonzero(task.y == name))[:k] for name in chosen]
                codes = np.repeat(np.arange(len(rows)), list(map(len, rows)))
                u = unit[np.concatenate(rows)]
                same = np.triu(u @ u.T > 1 - SAME, 1).any(axis=0)
                u, codes = u[~same], codes[~same]
                n, wrong = n + 1, wrong + int(len(set(near_copies(u, codes, len(rows)).tolist())) < len(u))
                if size > len(names) and draws > 2 and seed:
                    break
    return n, wrong


def cost(task, k, seed, copies, share):
    """Accuracy and log loss of the shots alone, and differences with copies: distinct, as they come, with groups."""
    shots, queries = task.draw(k, seed)
    rng = np.random.default_rng(seed)
    X = copies(shots, rng)
    image = np.repeat(np.arange(len(shots)), X.shape[1])
    is_used = ((rng.random(len(shots)) < share)[:, None] | (np.arange(X.shape[1]) == 0)).ravel()
    X, image = X.reshape(len(image), -1)[is_used], image[is_used]
    y = task.y[shots][image]
    text = {"class_names": "ignore"} if task.text_encoder is None else {"prompts": task.prompts}
    results = []
    for rows, labels, groups in (
        (task.X[shots], task.y[shots], np.arange(len(shots))),
        (X, y, np.arange(len(X))),
        (X, y, None),
        (X, y, image),
    ):
        classifier = SeMoBridgeClassifier(task.text_encoder, **text).fit(rows, labels, groups=groups)
        results.append(tasks.accuracy_and_log_loss(classifier, task.X[queries], task.y[queries]))
    return np.array(results)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE.npz")
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--cosine", type=float, default=0.96)
    parser.add_argument("--copies", type=int, default=9)
    parser.add_argument("--share", type=float, default=1.0)
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    emoji = tasks.emoji()
    encoder, pictures = CLIPImageEncoder("mini", "bundled", precision="fp32"), load_emoji().images

    def of_pictures(shots, rng):
        changed = encoder.transform(
            [one for i in shots for one in pictures_changed(pictures[i])[: args.copies]]
        )
        return np.concatenate([emoji.X[shots, None], changed.reshape(len(shots), args.copies, -1)], axis=1)

    all_tasks = [(emoji, of_pictures)]
    for task in tasks.load(args.files):

        def of_noise(shots, rng, task=task):
            unit = np.repeat(normalize(task.X[shots])[:, None], 1 + args.copies, axis=1)
            return unit + rng.normal(size=unit.shape) * np.sqrt((1 / args.cosine - 1) / unit.shape[-1])

        all_tasks.append((task, of_noise))
    n, wrong = np.sum([false_alarms(task, args.draws) for task, _ in all_tasks], axis=0)
    print(f"Of {n} draws of distinct images, {wrong} with images that are taken for copies.\n")
    print("| task | shots | alone | copies taken for images | as it comes | with `groups` |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for task, copies in all_tasks:
        for k in args.shots:
            if task.draw(k, tasks.FIRST_SEED) is None:
                continue
            seeds = range(tasks.FIRST_SEED, tasks.FIRST_SEED + args.draws)
            alone, *others = np.mean([cost(task, k, seed, copies, args.share) for seed in seeds], axis=0)
            cells = [f"{points - alone[0]:+.1f} ({loss - alone[1]:+.2f})" for points, loss in others]
            print(
                f"| {task.name} | {k} | {alone[0]:.1f} ({alone[1]:.2f}) | {' | '.join(cells)} |", flush=True
            )


if __name__ == "__main__":
    main()
