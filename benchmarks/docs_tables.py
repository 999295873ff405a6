"""Write the tables of README and docs that the programs of this folder measure.

    python benchmarks/docs_tables.py

Each table stands between two comments in its page, with a line below that names its file of rows in
`results`, the number of draws, and the commits of the code that measured them. `TABLES` says which
rows a table is made of. The program that measures them prints the same tables.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import bridge_rules
import classes_found
import clicks
import few_shot
import folder
import heuristics
import pages
import pandas as pd
import peer_settings
import projection
import robustness
import search
import several_labels
import speed
import validation_images
from click_methods import NAMELESS, RIVAL
from click_methods import OURS as OUR_CLICKS
from few_shot_methods import OURS, WITHOUT_TEXT, ZERO_SHOT
from tasks import shots_in_words, table

HERE = Path(__file__).parent
ROOT = HERE.parent
PHOTOGRAPHS = ("caltech101", "fashion")
IMAGENET = ("imagenet_0_151", "imagenet_151_269", "imagenet_269_400")
AERIAL = (
    "whurs19_clip_vit-b-32",
    "whurs19_remoteclip_vit-l-14",
    "whurs19_skyclip50_vit-b-32",
    "whurs19_skyclip50_vit-l-14",
)
FOLDERS = ("caltech101", "cifar10_vit_b32", "fashion", "whurs19_remoteclip_vit-l-14")
# Nine sets of pictures: those of whurs19 come through five models.
NINE = ("caltech101", "cifar10_vit_b32", "fashion", *IMAGENET, *AERIAL, "whurs19_clip_vit-l-14")
NINE = (*NINE, "emoji", "digits")
WITHOUT_TEXTS = ("dtd", "oxford_flowers")
FIVE = PHOTOGRAPHS + IMAGENET
IMAGES = ("among", "images")
OUR_ROWS = ("method", OUR_CLICKS)
# How a table calls the tasks whose files have long names.
TITLES = {
    "cifar10_vit_b32": "cifar10",
    "whurs19_clip_vit-b-32": "whurs19, CLIP B/32",
    "whurs19_clip_vit-l-14": "whurs19, CLIP L/14",
    "whurs19_remoteclip_vit-l-14": "whurs19, RemoteCLIP L/14",
    "whurs19_skyclip50_vit-b-32": "whurs19, SkyCLIP B/32",
    "whurs19_skyclip50_vit-l-14": "whurs19, SkyCLIP L/14",
}
IN_README = {
    OUR_CLICKS: "FewShotClassifier: names, the folder, `label_next`",
    RIVAL: "LogisticRegression around the texts, least margin",
    "TextCoord, margin": "TextCoord, least margin",
    "SeMoBridge, margin": "SeMoBridgeClassifier (closed form), least margin",
    "zero-shot, margin": "names alone, least margin",
    NAMELESS: "FewShotClassifier without names, `label_next`",
    "LogisticRegression, margin": "LogisticRegression without names, least margin",
}
CLICKED = {
    "caltech101": "objects (Caltech-101, CLIP ViT-B/32)",
    "cifar10_vit_b32": "small photographs (CIFAR-10)",
    "whurs19_remoteclip_vit-l-14": "satellite images (RemoteCLIP ViT-L/14)",
    "fashion": "products with similar names (T-shirt, shirt)",
}
SHOT = {
    "caltech101": "objects (Caltech-101)",
    "whurs19_clip_vit-b-32": "satellite images",
    "fashion": "products",
    "imagenet_269_400": "things and animals (a part of ImageNet)",
    "imagenet_151_269": "breeds of dogs and the like (another part)",
    "oxford_flowers": "flowers, without names",
    "dtd": "textures, without names",
}


# Tables that no program prints as they stand in a page: functions of the rows.


def means(frame, shots=(1, 2, 4, 8, 16)):
    frame = in_percent(frame[frame.shots.isin(shots)])
    return few_shot.means_by_shots(frame, "accuracy", 1)


def differences(frame):
    return few_shot.differences_by_shots(in_percent(frame), "accuracy", 1, OURS)


def in_percent(frame):
    return frame.assign(accuracy=100 * frame.accuracy)


def shots_by_task(frame):
    """Accuracy of names alone and with some shots, without names where there are none."""
    found = in_percent(frame).groupby(["task", "method", "shots"]).accuracy.mean()
    rows = []
    for task, kind in SHOT.items():
        ours = OURS if (task, OURS) in found else WITHOUT_TEXT
        keys = [(task, ZERO_SHOT, 1), *((task, ours, k) for k in (1, 4, 16))]
        cells = [f"{found[key]:.0f} %" if key in found else "" for key in keys]
        rows.append([kind, f"{frame.classes[frame.task == task].max()}", *cells])
    header = ["kind of images", "classes", "names alone", "1 shot of each class", "4", "16"]
    return table(header, rows)


def calibration(frame):
    """The expected calibration error by shots, in points: mean over the tasks, and the worst."""
    errors = 100 * frame.groupby(["method", "shots", "task"]).calibration_error.mean()
    shots, rows = sorted(frame.shots.unique()), []
    for title, method in (("with names", OURS), ("without names", WITHOUT_TEXT)):
        of_shots = [errors[method, k] for k in shots]
        rows.append([title, *(f"{of.mean():.1f} ({of.max():.1f})" for of in of_shots)])
    return table(["mean (worst) calibration error", *map(shots_in_words, shots)], rows)


def in_readme(frame):
    return clicks.ratios_table(frame, IN_README, levels=(95, 99))


def of_readme(made):
    """A table of the methods that README has."""
    return lambda frame: made(frame[frame.method.isin(IN_README)])


def clicks_by_task(frame):
    """What is right without a label, and the labels a class until more is, means over the draws."""
    start = frame[frame.labels == 0].groupby("task").right.mean()
    until = clicks.labels_until(frame.assign(task_of_file=frame.task))
    until = until.groupby(["task", "level"]).a_class.mean()
    rows = [
        [kind, f"{start[task]:.0f} %", *(f"{until[task, level]:.1f}" for level in (95, 99))]
        for task, kind in CLICKED.items()
    ]
    header = [
        "kind of images",
        "right without a label",
        "labels until 95 % are right",
        "until 99 %",
    ]
    return table(header, rows)


def estimates(frame):
    """How far estimates of the share that is right are off, and how often intervals hold it."""
    batches = frame[frame.batch.isin((1, 2, 4))].groupby("batch")
    error, held = batches.error.apply(lambda values: values.abs().mean()), batches.held
    rows = [
        ["mean error of the estimate, in points", *(f"{value:.1f}" for value in error)],
        [
            "intervals that hold the true share",
            *(f"{values.sum():.0f} of {len(values)}" for _, values in held),
        ],
    ]
    return table(["labels a class", *(f"{batch / 2:g}" for batch in error.index)], rows)


def wrong_labels(frame):
    """Labels that are trusted, and the default, by the kind of wrong labels."""
    found = frame.groupby(["row", "column", "task"])[["figure", "log_loss"]].mean()
    found = found.groupby(level=[0, 1]).mean()
    rows = []
    for k in (1, 4):
        for row, kind in (
            (f"{k}, 20% any", "any class"),
            (f"{k}, 20% alike", "a class that looks alike"),
            (f"{k}, 0%", "none is wrong"),
        ):
            both = [found.loc[row, column] for column in ("trusted", "default")]
            doubted = (row, "wrong are doubted")
            rows.append(
                [
                    str(k),
                    kind,
                    " → ".join(f"{of.figure:.1f}" for of in both),
                    " → ".join(f"{of.log_loss:.2f}" for of in both),
                    f"{found.figure[doubted]:.0f} %" if doubted in found.index else "",
                ]
            )
    header = ["shots of a class", "wrong labels are of", "accuracy", "log loss", "found"]
    return table(header, rows, n_left=2)


def rejected(frame):
    """The shares of images that small p-values reject."""
    found = frame.groupby("column").figure.mean()
    rows = [
        [
            f"{100 * alpha:g} %",
            *(f"{found[f'{what}, {alpha}']:.0f} %" for what in ("mean of classes", "images")),
        ]
        for alpha in (0.05, 0.2)
    ]
    return table(["threshold", "rejected, mean over the classes", "rejected of all images"], rows)


@dataclass(frozen=True)
class Table:
    """Where a table stands, and what it is made of.

    Attributes
    ----------
    page, mark : str
        The page, and the comment before the table.
    results : str
        The file of its rows.
    made : callable
        From these to Markdown.
    tasks : tuple of str
        The tasks of the rows, in the order of the table; all, if empty.
    where : tuple
        A column of the rows, and its value; all rows, if empty.
    titled : bool
        Whether tasks have the names of `TITLES`.
    """

    page: str
    mark: str
    results: str
    made: object
    tasks: tuple = ()
    where: tuple = ()
    titled: bool = False

    def rows(self):
        frame = rows_of(self.results)
        if self.where:
            column, value = self.where
            frame = frame[frame[column] == value]
        if self.tasks:
            parts = [frame[frame.task == task] for task in self.tasks]
            frame = pd.concat([part for part in parts if len(part)])
        return frame

    def markdown(self):
        """The table, and below it where its figures come from."""
        frame = self.rows()
        titled = frame.replace({"task": TITLES}) if self.titled else frame
        return f"{self.made(titled)}\n\n{source(frame, self.results)}"


@cache
def rows_of(results):
    return pd.read_csv(HERE / "results" / f"{results}.csv", low_memory=False)


def source(frame, results):
    """One line: the file of some rows, the number of draws of a task, and the commits."""
    draws = f": {counted_draws(frame)}" if "seed" in frame else ""
    commits = ", ".join(sorted(frame.commit.unique()))
    plural = "s" if frame.commit.nunique() > 1 else ""
    return f"*From `benchmarks/results/{results}.csv`{draws}; commit{plural} {commits}.*"


def counted_draws(frame):
    """The number of draws of a task; where methods differ, that of each."""
    by = ["method", "task"] if "method" in frame else ["task"]
    numbers = frame.groupby(by, sort=False).seed.nunique()
    if "method" not in frame:
        return in_draws(numbers)
    of_method = {name: in_draws(of) for name, of in numbers.groupby("method", sort=False)}
    most_common, _ = Counter(of_method.values()).most_common(1)[0]
    others = [f"{name}: {words}" for name, words in of_method.items() if words != most_common]
    return most_common + (f" ({'; '.join(others)})" if others else "")


def in_draws(numbers):
    least, most = numbers.min(), numbers.max()
    words = f"{most} draw{'s' if most > 1 else ''}"
    return f"{least} to {words}" if least < most else words


PAGE = "docs/benchmarks.md"
TABLES = (
    Table("README.md", "clicks", "clicks", in_readme, NINE),
    Table(PAGE, "settings", "peer_settings", peer_settings.choices),
    Table(PAGE, "clicks of others", "clicks", clicks.ratios_table, NINE),
    Table(PAGE, "clicks by task", "clicks", of_readme(clicks.labels_table), NINE, titled=True),
    Table(PAGE, "shares", "clicks", clicks.shares_table, NINE),
    Table(PAGE, "said shares", "clicks", of_readme(clicks.estimates_table), NINE),
    Table(PAGE, "strangers", "strangers", clicks.shares_table),
    Table(PAGE, "seconds", "pages", pages.report, (*FOLDERS, AERIAL[0]), titled=True),
    Table(PAGE, "names", "classes_found", classes_found.report, titled=True),
    Table(PAGE, "folder", "folder", folder.report, (), ("names", "yes"), titled=True),
    Table(PAGE, "folder without names", "folder", folder.report, (), ("names", "no"), titled=True),
    Table(PAGE, "five tasks", "few_shot", partial(means, shots=(1, 2, 4)), FIVE),
    Table(PAGE, "all methods", "few_shot", means, PHOTOGRAPHS),
    Table(PAGE, "differences", "few_shot", differences, PHOTOGRAPHS),
    Table(PAGE, "emoji", "few_shot", means, ("emoji",)),
    Table(PAGE, "remote sensing", "few_shot", means, AERIAL),
    Table(PAGE, "without texts", "few_shot", means, WITHOUT_TEXTS),
    Table(PAGE, "time", "speed", speed.of_sizes),
    Table(PAGE, "time of folders", "speed", speed.of_folders),
    Table("docs/models.md", "clicks by kind", "clicks", clicks_by_task, (*CLICKED,), OUR_ROWS),
    Table("docs/models.md", "shots by kind", "few_shot", shots_by_task, (*SHOT,)),
    Table("docs/evaluate.md", "calibration", "few_shot", calibration),
    Table("docs/evaluate.md", "estimates", "estimates", estimates),
    Table("docs/method.md", "terms", "robustness", robustness.report, FIVE, ("case", "terms")),
    Table("docs/method.md", "heuristics", "heuristics", heuristics.report, titled=True),
    Table("docs/paper.md", "projection", "projection", projection.report),
    Table("docs/paper_method.md", "validation", "validation_images", validation_images.report),
    Table("docs/paper.md", "not clean", "bridge_rules", bridge_rules.compared),
    Table("docs/paper_method.md", "rules", "bridge_rules", bridge_rules.gains),
    Table(
        "docs/several_labels_method.md", "several labels", "several_labels", several_labels.report
    ),
    Table("docs/several_labels_method.md", "F1", "several_labels", several_labels.report_f1),
    Table("docs/wrong_labels.md", "labels", "robustness", wrong_labels, (), ("case", "labels")),
    Table(
        "docs/growing.md", "occasions", "robustness", robustness.report, where=("case", "occasions")
    ),
    Table("docs/none_of_these.md", "uneven classes", "robustness", rejected, (), ("row", "8")),
    Table("docs/image_search.md", "search", "search", search.report, FIVE + WITHOUT_TEXTS, IMAGES),
    Table("docs/image_search.md", "search with mini", "search", search.report, ("emoji",), IMAGES),
)


# The code that each file of results measures, as paths below the root. The program that measures
# and prints is none: a new table needs no new rows.
LINEAR = (
    "sksemobridge/_base.py",
    "sksemobridge/_few_shot_classifier.py",
    "sksemobridge/_model",
    "sksemobridge/_shot_classifier.py",
    "sksemobridge/_texts",
    "sksemobridge/_zero_shot.py",
)
BRIDGE = ("sksemobridge/_semobridge", "sksemobridge/_semobridge_classifier.py")
PEER = ("benchmarks/few_shot_methods.py", "benchmarks/peers.py", "benchmarks/settings.py")
ASKED = ("benchmarks/click_methods.py", "sksemobridge/labelling/_label_next.py")
SHARE_RIGHT = "sksemobridge/labelling/_share_right.py"
STRANGERS = "sksemobridge/labelling/_strangers.py"
MEASURED = {
    "bridge_rules": (*LINEAR, *BRIDGE),
    "classes_found": ("sksemobridge/_texts", "sksemobridge/labelling/_suggest_names.py"),
    "clicks": (*LINEAR, *BRIDGE, *PEER, *ASKED, SHARE_RIGHT),
    "estimates": (*LINEAR, *ASKED, SHARE_RIGHT),
    "few_shot": (*LINEAR, *BRIDGE, *PEER),
    "folder": LINEAR,
    "heuristics": (*LINEAR, *ASKED),
    "pages": (*LINEAR, *ASKED, "sksemobridge/labelling/_review_next.py"),
    "peer_settings": PEER[:2],
    "projection": BRIDGE,
    "robustness": (*LINEAR, ASKED[1]),
    "search": ("sksemobridge/_search",),
    "several_labels": ("sksemobridge/_model", "sksemobridge/_multilabel_classifier.py"),
    "speed": (*LINEAR, *BRIDGE, ASKED[1]),
    "strangers": (*LINEAR, *PEER, *ASKED, STRANGERS),
    "validation_images": BRIDGE,
}


def with_table(text, mark, table):
    """The text of a page with the table between the comments of a mark in place of its own."""
    pattern = rf"(<!-- {mark} -->\n(?:(?!<!--|\|).*\n)*)(?:\|.*\n)+(?:\n\*From .*\*\n)?"
    text, found = re.subn(pattern, lambda match: match[1] + table + "\n", text)
    if found != 1:
        raise SystemExit(f"There are {found} tables after '<!-- {mark} -->'; one is needed.")
    return text


def made_pages():
    """The pages with their tables made anew, by name."""
    texts = {of.page: (ROOT / of.page).read_text(encoding="utf-8") for of in TABLES}
    for of in TABLES:
        texts[of.page] = with_table(texts[of.page], of.mark, of.markdown())
    return texts


def main():
    for page, text in made_pages().items():
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
