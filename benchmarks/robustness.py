"""What happens where shots are not as they should be, one case at a time.

    python benchmarks/robustness.py CASE --tasks FILE.npz ... [--without-text]

Cases:

- copies: nine near copies beside each shot, at the cosines `--cosines`: each taken for an image
  (`groups` says so), as they come, and with `groups` of the copies. For `emoji` they are crops,
  mirrored and brighter pictures, and JPEG. "distinct" is the share of fits of distinct images that
  near copies change, which should be 0.
- labels: `--rates` of wrong labels, of any other class, or of the class that looks most alike: all
  trusted (`label_noise=0`), and the default. "doubted" are shots with `label_proba_` below one
  half.
- names: half of the classes have the name of another one: the default, the names alone, and
  without text.
- slip: three answers, of the images that `label_next` asks for first, and one of them is wrong: the
  model taught by the folder with two labels, with all three right, and with one wrong, beside the
  names alone.
- page: all 24 images of the first page of `review_next` are answered rightly: the model taught by
  the folder, beside the names alone.
- minorities: each class is the union of two kinds, with shots 13 to 3, and has the name of the
  first: the default, and all labels trusted. "smaller" is the accuracy on images of the smaller
  kind, and "doubted" the share of its shots that count less than half.
- uneven: half of the classes have one shot, the others sixteen; beside the names alone.
- answered: one, two and four classes have 24 right answers, of images that the names put there:
  the model taught by the folder, with one answer of each class, with all, and by names alone.
- nameless: a tenth of the classes (two at least) has no name, and all have shots, or these alone:
  accuracy of all, and on images of these classes ("nameless"), and the same with all names.
- few-classes: 2, 3, 5, 10 and all classes without text, beside LogisticRegression with its setting
  of `settings.py`.
- occasions: the shots of each class are random, or those nearest to one image, as if they were of
  one session, without and with `groups` that say so. "warned" is the share of fits of which
  `with_unlabeled` warns, with all other images of the classes and `--shares` of images of other
  tasks.
- strangers: half of the classes are known. Near strangers are images of the others, far strangers
  those of other tasks. Printed are areas under the ROC curve in percent, known images against
  strangers, and the share of known images with small `p_values`.
- p-values: how many images of the classes have small `p_values`, in percent: the mean over the
  classes, and the share of all images, where the classes come as often as in the task. "names":
  a quarter of the classes has shots, and images of the others are judged.
- terms: accuracy of some terms of `affinities` alone.

Figures are means over tasks and draws: accuracy in percent, and in brackets the log loss. Draws
have the seeds 3000, 3001, ... `--results` keeps them: rows of the case and the tasks replace older
ones.
"""

import io
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import tasks
from few_shot_methods import chosen
from results import Results
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next, review_next

KEY = ("case", "row", "task", "names", "seed", "column")
VALUES = ("figure", "log_loss")
FIRST_SEED = 3000
N_COPIES = 9  # beside each shot
MOST_FAR = 300  # far strangers
MOST_IN_FOLDER = 400  # images that are labelled by three answers
N_ANSWERS = 3
MANY = 16  # shots of the larger classes, where shots are uneven
ANSWERED = 24  # right answers to a class, where few classes have some
MAJOR = 13  # shots of the first kind of a class of two kinds
MINOR = 3  # shots of the second kind
TERMS = (
    ("text", "shots", "correction"),
    ("text", "shots"),
    ("text", "correction"),
    ("shots", "correction"),
)
TERMS += (("text",), ("shots",))


def classifier(task, **params):
    """An unfitted classifier, with the texts of the task where it has some."""
    text = {"class_names": "ignore"} if task.text_encoder is None else {"prompts": task.prompts}
    return FewShotClassifier(task.text_encoder, **text, **params)


def figures(model, task, queries, y=None):
    return tasks.accuracy_and_log_loss(
        model, task.X[queries], (task.y if y is None else y)[queries]
    )


# Near copies


def changed_pictures(picture):
    """Nine copies of a picture."""
    from PIL import Image, ImageEnhance, ImageOps

    image = Image.fromarray(picture).convert("RGB")
    size = np.array(image.size)

    def crop(start):
        return image.crop((*np.int_(start * size), *np.int_((start + 0.9) * size)))

    def compressed(quality):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    crops = [crop(start) for start in (0, 0.1, 0.05)]
    brighter = [ImageEnhance.Brightness(image).enhance(factor) for factor in (0.7, 1.3)]
    return [
        ImageOps.mirror(image),
        ImageOps.mirror(crops[2]),
        *crops,
        *brighter,
        compressed(50),
        compressed(20),
    ]


def with_copies(task, shots, cosine, rng):
    """Embeddings of the shots and of their copies, shape (n, 1 + N_COPIES, D)."""
    if task.name == "emoji":
        pictures = [copy for i in shots for copy in changed_pictures(load_emoji().images[i])]
        changed = CLIPImageEncoder("mini", "bundled", precision="fp32").transform(pictures)
        return np.concatenate(
            [task.X[shots, None], changed.reshape(len(shots), N_COPIES, -1)], axis=1
        )
    unit = np.repeat(normalize(task.X[shots])[:, None], 1 + N_COPIES, axis=1)
    return unit + rng.normal(size=unit.shape) * np.sqrt((1 / cosine - 1) / unit.shape[-1])


def copies(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None:
        return
    (shots, queries), rng = drawn, np.random.default_rng(seed)
    y, n = task.y[shots], len(shots)
    alone = classifier(task).fit(task.X[shots], y, groups=np.arange(n))
    as_they_come = classifier(task).fit(task.X[shots], y)
    differs = (
        np.abs(
            as_they_come.predict_proba(task.X[queries]) - alone.predict_proba(task.X[queries])
        ).max()
        > 1e-9
    )
    for cosine in args.cosines:
        X = with_copies(task, shots, cosine, rng).reshape(n * (1 + N_COPIES), -1)
        image = np.repeat(np.arange(n), 1 + N_COPIES)
        found = {"distinct": 100.0 * differs, "without copies": figures(alone, task, queries)}
        groups = {"taken for images": np.arange(len(X)), "as they come": None, "with groups": image}
        for name, of_rows in groups.items():
            found[name] = figures(classifier(task).fit(X, y[image], groups=of_rows), task, queries)
        yield f"{k}, cosine {cosine}", found


# Wrong labels


def wrong_labels(task, y, kind, rate, rng):
    """The labels `y (n,)` of shots, some of them wrong."""
    classes, codes = np.unique(y, return_inverse=True)
    another = (codes + rng.integers(1, len(classes), len(codes))) % len(classes)
    if kind == "alike":
        means = np.stack([normalize(task.X[task.y == c]).mean(axis=0) for c in classes])
        means = normalize(means - means.mean(axis=0))
        another = (means @ means.T - 2 * np.eye(len(classes))).argmax(axis=1)[codes]
    return classes[np.where(rng.random(len(codes)) < rate, another, codes)]


def labels(task, k, seed, args):
    drawn = task.draw(k, seed)
    for kind, rate in [("any", 0.0), *product(("any", "alike"), args.rates)]:
        if drawn is None:
            return
        shots, queries = drawn
        y = wrong_labels(task, task.y[shots], kind, rate, np.random.default_rng(seed))
        classes, is_wrong = np.unique(y), y != task.y[shots]
        if task.text_encoder is not None:
            classes = np.unique(task.y[shots])  # one that lost all its shots is known by its name
        queries = queries[np.isin(task.y[queries], classes)]
        found = {}
        for name, noise in (("trusted", 0.0), ("default", "auto")):
            model = classifier(task, label_noise=noise)
            model.partial_fit(task.X[shots], y, classes=classes)
            found[name] = figures(model, task, queries)
        doubted = model.label_proba_ < 0.5
        if is_wrong.any():
            found["wrong are doubted"] = 100 * doubted[is_wrong].mean()
        found["right are doubted"] = 100 * doubted[~is_wrong].mean()
        yield f"{k}, {rate:.0%} {kind if rate else ''}".rstrip(), found


def exchanged(classes, rng, share):
    """The sorted classes, of which a share has the names of each other."""
    moved, names = rng.permutation(len(classes))[: int(share * len(classes))], classes.copy()
    names[moved] = classes[np.roll(moved, 1)]
    return names


def names(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None or task.text_encoder is None:
        return
    shots, queries = drawn
    classes, codes = np.unique(task.y, return_inverse=True)
    name_of = exchanged(classes, np.random.default_rng(seed), 0.5)
    swapped = replace(task, y=name_of[codes])
    models = {
        "default": classifier(swapped).fit(swapped.X[shots], swapped.y[shots]),
        "names alone": tasks.zero_shot(swapped),
        "without text": classifier(task.without_text()).fit(swapped.X[shots], swapped.y[shots]),
    }
    yield str(k), {name: figures(model, swapped, queries) for name, model in models.items()}


def some_images(task, rng, most):
    """The task with `most` of its images, in their order."""
    rows = np.sort(rng.permutation(len(task.y))[:most])
    return replace(task, X=task.X[rows], y=task.y[rows])


def slip(task, k, seed, args):
    if task.text_encoder is None:
        return
    rng = np.random.default_rng(seed)
    task = some_images(task, rng, MOST_IN_FOLDER)
    names, queries = tasks.zero_shot(task), np.arange(len(task.y))
    found = {"names alone": figures(names.with_unlabeled(task.X), task, queries)}
    asked = label_next(names, task.X, N_ANSWERS)
    rest = np.setdiff1d(queries, asked)

    def taught(rows, labels):
        model = classifier(task).partial_fit(task.X[rows], labels, classes=names.classes_)
        return figures(model.with_unlabeled(task.X[rest]), task, rest)

    labels = task.y[asked].copy()
    found["without it"] = taught(asked[1:], labels[1:])
    found["all right"] = taught(asked, labels)
    labels[0] = rng.choice(np.setdiff1d(names.classes_, labels[:1]))
    found["one wrong"] = taught(asked, labels)
    yield f"{N_ANSWERS} answers", found


def page(task, k, seed, args):
    if task.text_encoder is None:
        return
    rng = np.random.default_rng(seed)
    task = some_images(task, rng, 2 * MOST_IN_FOLDER)
    names = tasks.zero_shot(task)
    taught = names.with_unlabeled(task.X)
    shown = review_next(taught, task.X)
    rest = np.setdiff1d(np.arange(len(task.y)), shown)
    model = classifier(task).partial_fit(task.X[shown], task.y[shown], classes=names.classes_)
    found = {"names alone": figures(taught, task, rest)}
    found["answered"] = figures(model.with_unlabeled(task.X[rest]), task, rest)
    yield "first page", found


def minorities(task, k, seed, args):
    rng, shots, queries = np.random.default_rng(seed), [], []
    y, smaller = task.y.astype(object), np.zeros(len(task.y), dtype=bool)
    names, counts = np.unique(task.y, return_counts=True)
    names = rng.permutation(names[counts >= MAJOR + tasks.SPARE])
    for major, minor in zip(names[::2], names[1::2]):
        y[task.y == minor], smaller[task.y == minor] = major, True
        for name, n in ((major, MAJOR), (minor, MINOR)):
            rows = rng.permutation(np.flatnonzero(task.y == name))
            shots.append(rows[:n])
            queries.append(rows[n:])
    if len(names) < 4:
        return
    shots, queries, found = np.concatenate(shots), np.concatenate(queries), {}
    labels, of_smaller = y[shots].astype(str), queries[smaller[queries]]
    for name, noise in (("trusted", 0.0), ("default", "auto")):
        model = classifier(task, label_noise=noise).fit(task.X[shots], labels)
        found[name] = figures(model, task, queries, y.astype(str))
        found[f"{name}, smaller"] = figures(model, task, of_smaller, y.astype(str))
    found["doubted"] = 100 * np.mean(model.label_proba_[smaller[shots]] < 0.5)
    yield f"{MAJOR} to {MINOR}", found


# Few and uneven shots


def draw_uneven(task, classes, counts, rng):
    """Rows of as many shots of each class as told, or as leave some, and rows of the queries."""
    shots, queries = [], []
    for name, n in zip(classes, counts):
        rows = rng.permutation(np.flatnonzero(task.y == name))
        n = min(n, len(rows) - tasks.SPARE)
        shots.append(rows[:n])
        queries.append(rows[n:])
    return np.concatenate(shots), np.concatenate(queries)


def one_or_many(n_classes):
    """Numbers of shots, of which half are large."""
    return np.where(np.arange(n_classes) < n_classes // 2, MANY, 1)


def uneven(task, k, seed, args):
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.unique(task.y))
    shots, queries = draw_uneven(task, classes, one_or_many(len(classes)), rng)
    found = {"shots": figures(classifier(task).fit(task.X[shots], task.y[shots]), task, queries)}
    if task.text_encoder is not None:
        found["names alone"] = figures(tasks.zero_shot(task), task, queries)
    yield f"1 and {MANY}", found


def answered(task, k, seed, args):
    if task.text_encoder is None:
        return
    rng = np.random.default_rng(seed)
    task = some_images(task, rng, 2 * MOST_IN_FOLDER)
    names = tasks.zero_shot(task)
    predicted = names.predict(task.X)
    right = [np.flatnonzero((predicted == c) & (task.y == c)) for c in names.classes_]
    # Some images are left.
    most = min(ANSWERED, len(task.y) // 5)
    classes = [rng.permutation(rows)[:most] for rows in right if len(rows) >= 4]
    order = rng.permutation(len(classes))
    for n_classes in (1, 2, 4):
        of_classes = [classes[i] for i in order[:n_classes]]
        rest = np.setdiff1d(np.arange(len(task.y)), np.concatenate(of_classes))
        found = {"names alone": figures(names.with_unlabeled(task.X), task, rest)}
        for what, most in (("1 a class", 1), ("all answers", ANSWERED)):
            shots = np.concatenate([rows[:most] for rows in of_classes])
            model = classifier(task)
            model.partial_fit(task.X[shots], task.y[shots], classes=names.classes_)
            found[what] = figures(model.with_unlabeled(task.X), task, rest)
        yield f"{n_classes} answered", found


def nameless(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None or task.text_encoder is None:
        return
    shots, queries = drawn
    names = np.unique(task.y[shots])
    some = np.random.default_rng(seed).permutation(names)[: max(2, len(names) // 10)]
    of_some = queries[np.isin(task.y[queries], some)]
    only, class_names = shots[np.isin(task.y[shots], some)], dict(zip(names, names))
    kinds = {"default": class_names | dict.fromkeys(some), "all names": class_names}
    for what, rows in ((f"{k}", shots), (f"only these, {k}", only)):
        found = {}
        for name, of_classes in kinds.items():
            model = classifier(task, class_names=of_classes)
            model.partial_fit(task.X[rows], task.y[rows], classes=names)
            found[name] = figures(model, task, queries)
            found[f"{name}, nameless"] = figures(model, task, of_some)
        yield what, found


def few_classes(task, k, seed, args):
    for size in (2, 3, 5, 10, "all"):
        some = task if size == "all" else task.some_classes(size, k, seed)
        drawn = None if some is None else some.draw(k, seed)
        if drawn is None:
            continue
        shots, queries = drawn
        models = {"without text": classifier(some.without_text())}
        models["LogisticRegression"] = chosen("LogisticRegression", task)
        yield (
            f"{size} x {k}",
            {
                name: figures(model.fit(some.X[shots], some.y[shots]), some, queries)
                for name, model in models.items()
            },
        )


# Images of no class


def of_one_occasion(task, shots, k, rng):
    """Rows of the `k` images of each class that are nearest to a random one."""
    unit, rows = normalize(task.X), []
    for name in np.unique(task.y[shots]):
        of_class = np.flatnonzero(task.y == name)
        similarity = unit[of_class] @ unit[rng.choice(of_class)]
        rows.append(of_class[np.argsort(-similarity, kind="stable")[:k]])
    return np.concatenate(rows)


def occasions(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None:
        return
    shots, rng = drawn[0], np.random.default_rng(seed)
    alike, strangers = of_one_occasion(task, shots, k, rng), args.strangers[task.name]
    known = np.flatnonzero(np.isin(task.y, np.unique(task.y[shots])))
    for kind, rows, groups in (
        ("random shots", shots, None),
        ("of one occasion", alike, None),
        ("the same, grouped", alike, task.y[alike]),
    ):
        model = classifier(task).fit(task.X[rows], task.y[rows], groups=groups)
        images = task.X[np.setdiff1d(known, rows)]
        for share in args.shares:
            n_strangers = int(share / (1 - share) * len(images))
            if n_strangers > len(strangers):
                continue
            folder = np.concatenate([images, rng.permutation(strangers)[:n_strangers]])
            with warnings.catch_warnings(record=True, action="always") as caught:
                model.with_unlabeled(folder)
            words = f"{kind}, {100 * share:.0f} % strangers"
            yield words, {tasks.shots_in_words(k): 100.0 * any("median" in str(w) for w in caught)}


def strangers(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None:
        return
    shots, queries = drawn
    classes = np.unique(task.y[shots])
    known = np.random.default_rng(seed).permutation(classes)[: (len(classes) + 1) // 2]
    shots, is_known = shots[np.isin(task.y[shots], known)], np.isin(task.y[queries], known)
    model = classifier(task).fit(task.X[shots], task.y[shots])
    images = {"near": task.X[queries[~is_known]]}
    if len(far := args.strangers[task.name]):
        images["far"] = far
    of_known, found = task.X[queries[is_known]], {}
    for kind, X in images.items():
        is_ours = np.arange(len(of_known) + len(X)) < len(of_known)
        both = np.concatenate([of_known, X])
        found[f"{kind}, score_samples"] = 100 * roc_auc_score(is_ours, model.score_samples(both))
        found[f"{kind}, largest probability"] = 100 * roc_auc_score(
            is_ours, model.predict_proba(both).max(axis=1)
        )
    p_values = model.p_values(of_known)
    yield (
        str(k),
        found
        | {f"p at most {alpha}": 100 * np.mean(p_values <= alpha) for alpha in (0.01, 0.05, 0.1)},
    )


def p_values(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None:
        return
    shots, queries = drawn
    names = np.unique(task.y[shots])
    known = np.random.default_rng(seed).permutation(names)[: (len(names) + 3) // 4]
    some = shots[np.isin(task.y[shots], known)]
    kinds = [(str(k), shots, queries)]
    if task.text_encoder is not None:
        kinds.append((f"names, {k}", some, queries[~np.isin(task.y[queries], known)]))
    for what, rows, judged in kinds:
        model = classifier(task).partial_fit(task.X[rows], task.y[rows], classes=names)
        found, p, y = {}, model.p_values(task.X[judged]), task.y[judged]
        for alpha in (0.05, 0.2):
            rejected = p <= alpha
            of_classes = [rejected[y == name].mean() for name in np.unique(y)]
            found[f"mean of classes, {alpha}"] = 100 * np.mean(of_classes)
            found[f"images, {alpha}"] = 100 * rejected.mean()
        yield what, found


def terms(task, k, seed, args):
    drawn = task.draw(k, seed)
    if drawn is None or task.text_encoder is None:
        return
    shots, queries = drawn
    model = classifier(task).fit(task.X[shots], task.y[shots])
    parts = model.affinities(task.X[queries])
    for some in TERMS:
        predicted = model.classes_[sum(parts[name] for name in some).argmax(axis=1)]
        yield (
            " + ".join(some),
            {tasks.shots_in_words(k): 100 * np.mean(predicted == task.y[queries])},
        )


CASES = {
    "copies": copies,
    "labels": labels,
    "names": names,
    "slip": slip,
    "page": page,
    "minorities": minorities,
    "uneven": uneven,
    "answered": answered,
    "nameless": nameless,
    "few-classes": few_classes,
    "occasions": occasions,
    "strangers": strangers,
    "p-values": p_values,
    "terms": terms,
}
# Cases that have their own numbers of shots.
OWN_SHOTS = ("slip", "page", "minorities", "uneven", "answered")


def one_draw(case, task, names, k, seed, args):
    """The rows of a case."""
    key = {"case": case, "task": task.name, "names": names, "seed": seed}
    with warnings.catch_warnings(action="ignore"):  # of wrong labels, and of names without text
        return [
            key | {"row": row, "column": column} | dict(zip(VALUES, np.append(value, np.nan)))
            for row, found in CASES[case](task, k, seed, args)
            for column, value in found.items()
        ]


def report(frame):
    """A table of the means over the draws of each task, and then over tasks."""
    by_task = frame.groupby(["row", "column", "task"], sort=False)[[*VALUES]].mean()
    means = by_task.groupby(level=[0, 1], sort=False).mean()

    def cell(row, column):
        if (row, column) not in means.index:
            return "-"
        figure, loss = means.loc[row, column]
        return f"{figure:.1f}" if np.isnan(loss) else f"{figure:.1f} ({loss:.3f})"

    columns = frame.column.unique()
    lines = [[row, *(cell(row, column) for column in columns)] for row in frame.row.unique()]
    return tasks.table(["", *columns], lines)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(1, 2, 4, 8), draws=3, results="robustness.csv")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--without-text", action="store_true")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0.1, 0.2, 0.4], help="of wrong labels"
    )
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[0, 0.05, 0.1], help="of strangers"
    )
    parser.add_argument("--cosines", type=float, nargs="+", default=[0.98, 0.95])
    args = parser.parse_args(arguments)
    all_tasks = tasks.load(args.tasks)
    if args.without_text:
        all_tasks = [task.without_text() for task in all_tasks]
    rng = np.random.default_rng(0)
    some = {task.name: task.X[rng.permutation(len(task.X))[:MOST_FAR]] for task in all_tasks}
    args.strangers = {
        task.name: np.concatenate(
            [
                task.X[:0],
                *(
                    X
                    for name, X in some.items()
                    if name != task.name and X.shape[1] == task.X.shape[1]
                ),
            ]
        )
        for task in all_tasks
    }
    names = "no" if args.without_text else "yes"
    here = {(args.case, task.name, names) for task in all_tasks}
    results = Results(args.results, KEY, VALUES)
    results.forget(lambda row: (row["case"], row["task"], row["names"]) in here)
    shots = [0] if args.case in OWN_SHOTS else args.shots
    jobs = [
        (args.case, task, names, k, FIRST_SEED + i, args)
        for k in shots
        for task in all_tasks
        for i in range(args.draws)
    ]
    results.measure(one_draw, jobs, args.jobs)
    frame = results.frame().astype({"row": str})
    print(report(frame[(frame.case == args.case) & (frame.names == names)]))


if __name__ == "__main__":
    main()
