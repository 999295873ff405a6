"""Which classes of a folder `suggest_names` finds, when their own names are no words.

    python benchmarks/classes_found.py --tasks FILE.npz ... --vocabulary WORDS.npz

A folder is the images of a task, at most 2,000. A vocabulary holds words `texts` ("a X") and their
joint embeddings `text`. A task takes the first of its width, without the names of its own classes;
pictures through the bundled model take the bundled words. A class is found if five of the first
eight images of a suggestion are of it. The columns have how many suggestions are looked at for each
class. `--results` keeps the rows: those of the tasks replace older ones.
"""

import warnings

import numpy as np
import tasks
from clicks import folder
from results import Results

from sksemobridge import PrecomputedTextEncoder
from sksemobridge._texts.words import bundled_words
from sksemobridge.labelling import suggest_names

KEY = ("model", "task", "per_class")
VALUES = ("found", "classes", "first")
N_SHOWN = 8  # images of a suggestion
N_ALIKE = 5  # of these, so many of one class show it
PER_CLASS = (1, 1.5, 2)  # suggestions for each class


def classes_found(task, vocabulary):
    """The rows of a task: how many classes the first suggestions show, and which these are."""
    other = tasks.other_words(vocabulary["texts"], np.unique(task.y))
    texts = [str(text) for text in vocabulary["texts"][other]]
    encoder = PrecomputedTextEncoder(texts, vocabulary["text"][other], np.eye(task.X.shape[1]))
    names, y = np.unique(task.y, return_inverse=True)
    with warnings.catch_warnings(action="ignore"):
        suggestions = suggest_names(
            task.X, encoder, vocabulary=texts, n_names=int(max(PER_CLASS) * len(names))
        )
    shown = []
    for suggestion in suggestions:
        counts = np.bincount(y[suggestion.rows[:N_SHOWN]])
        shown.append(counts.argmax() if counts.max() >= N_ALIKE else -1)
    row = {"model": task.model, "task": task.name, "classes": len(names)}
    row["first"] = ", ".join(suggestion.name for suggestion in suggestions[:6])
    return [
        row | {"per_class": float(k), "found": len({*shown[: int(k * len(names))]} - {-1})}
        for k in PER_CLASS
    ]


def vocabulary_of(task, vocabularies):
    """The words of a task; None where there are none."""
    if getattr(task.text_encoder, "open_vocabulary", False):
        texts = np.array(bundled_words())
        return {"texts": texts, "text": task.text_encoder.transform(texts)}
    width = task.X.shape[1]
    return next((words for words in vocabularies if words["text"].shape[1] == width), None)


def report(frame):
    rows = []
    for task, of_task in frame.groupby("task", sort=False):
        found = of_task.set_index("per_class")
        cells = [f"{found.found[k]} of {found.classes[k]}" for k in PER_CLASS]
        rows.append([task, *cells, found["first"].iloc[0]])
    return tasks.table(
        ["classes found", *(f"{k:g} a class" for k in PER_CLASS), "first suggestions"], rows
    )


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], results="classes_found.csv")
    parser.add_argument("--vocabulary", nargs="*", default=[], metavar="FILE.npz")
    args = parser.parse_args(arguments)
    vocabularies = [dict(np.load(path)) for path in args.vocabulary]
    all_tasks = [folder(task) for task in tasks.load(args.tasks)]
    results = Results(args.results, KEY, VALUES)
    results.forget(lambda row: row["task"] in {task.name for task in all_tasks})
    jobs = [
        (task, words)
        for task in all_tasks
        if (words := vocabulary_of(task, vocabularies)) is not None
    ]
    results.measure(classes_found, jobs, args.jobs)
    print(report(results.frame()))


if __name__ == "__main__":
    main()
