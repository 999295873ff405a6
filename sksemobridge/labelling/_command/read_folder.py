"""Reading of the options of a user into a `FolderJob`: pictures, classes, shots, and labels by a
person.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone

from ..._utils.validation import comparable, listed, warn_caller
from ...datasets import list_files, load_image_folder
from ...datasets._folder import COPIES_MARK
from .._answers.answers_file import digest_of
from .._answers.class_names import refuse_names
from .._answers.event_kinds import ANSWERS, classes_in
from .._answers.events import PictureEvent
from .._answers.history import fold
from .._messages import UsageError, naming
from .._photos.class_texts import class_has_text
from .._photos.corrections import is_own_table, read_corrections
from .._photos.embeddings_file import read_embeddings, require_pictures
from .._photos.folder_job import FolderJob
from .._photos.folder_pipeline import model_names, with_classifier
from .._photos.folder_table import embed_folder, embed_readable, plain
from .._photos.given_classes import class_of_text, read_classes, read_names
from .._photos.labelled_images import LabelledImages
from .._photos.picture_bursts import find_bursts
from .._photos.picture_index import Pictures, real_paths

# Number of labels that a class without text needs until nine of ten images are right, in the mean
# of four folders (`python benchmarks/clicks.py`).
LABELS_WITHOUT_TEXT = 3


def files_to_label(options, answers=None):
    """The files in PHOTOS, without files that this command wrote."""
    with naming("PHOTOS", ValueError):
        files = list_files(options.photos)
    # Files that an earlier run wrote are left out.
    outputs = (options.out, options.report, options.save, answers and answers.path)
    written = {os.path.realpath(path) for path in outputs if path}
    return [path for path, real in real_paths(files).items() if real not in written]


def read_job(options, answers, make_pipeline, *, corrections=None, progress=False):
    """Read a `FolderJob` and `Annotations` from options and from `Answers`.

    Mistakes of a user raise a `UsageError` before `make_pipeline(paths)` gives the pipeline that
    embeds these files. `corrections` are the corrections of an earlier job with these options, if
    there is one.
    """
    files = files_to_label(options, answers)
    if options.embeddings is not None:
        require_pictures(options.embeddings, options.photos, files)
    paths, labels, names = ([], [], []) if options.shots is None else _read_shots(options.shots)
    classes = _one_spelling([*names, *_given_names(options)])
    labels = [class_of_text(label, classes) for label in labels]
    if corrections is None:
        given = options.corrections
        corrections = {} if given is None else read_corrections(given, classes, options.out)
    folders = {"photos": options.photos, "shots": options.shots}
    pictures = Pictures(folders, {"photos": files, "shots": paths})
    annotations = read_annotations(answers, pictures, classes, corrections)
    # A classifier of an earlier run has its classes, and learns no other classes.
    is_saved = options.model_file is not None
    if not is_saved:
        if new := {*annotations.names.current}.difference(classes):
            warn_caller(f"New classes by your answers or corrections: {listed(sorted(new))}")
        _check_classes(options, annotations, paths, classes)
    named = None if options.names is None else read_names(options.names, annotations.names)
    elsewhere = {
        path: label for real, (path, label) in corrections.items() if real not in pictures.place
    }
    in_bursts = [*files, *paths, *elsewhere]
    bursts = find_bursts(options.bursts, options.photos, in_bursts, progress=progress)
    pipeline = make_pipeline([*files, *paths])
    if named is not None:
        # The pipeline may belong to a job that learns meanwhile, so it is not changed.
        pipeline = with_classifier(pipeline, clone(pipeline[-1]).set_params(**named))
    elsewhere = {path: label for path, label in elsewhere.items() if label}
    paths, labels = [*paths, *elsewhere], [*labels, *elsewhere.values()]
    shots = _embed_shots(pipeline[0], paths, labels, progress=progress)
    if not is_saved:
        _check_texts(options, annotations, pipeline, [] if shots is None else shots.labels)
    embeddings, problems = embed_folder(pipeline, files, progress=progress)
    if not is_saved:
        # A saved classifier may know the columns of a data frame by their names.
        embeddings = np.asarray(embeddings)
    return FolderJob(
        pipeline,
        files,
        problems,
        embeddings,
        pictures,
        LabelledImages.none(embeddings) if shots is None else shots,
        classes=classes,
        corrections=corrections,
        bursts=bursts,
        alpha=options.alpha,
        learns_from_pictures=not options.each_by_itself,
    ), annotations


def _given_names(options):
    if options.classes is not None:
        return read_classes(options.classes)
    if options.embeddings is not None and options.model_file is None:
        return read_embeddings(options.embeddings, options.photos).names
    return []


def read_annotations(answers, pictures, classes, corrections):
    """`Annotations` by a file of answers, and by a list of corrections."""
    events = [] if answers is None else answers.events
    for note in () if answers is None else answers.notes():
        warn_caller(note)
    for event in events:
        # Somebody may have changed the file by hand.
        refuse_names(f'--answers: {os.fspath(answers.path)!r}, "id": {event.id}', classes_in(event))
    find = pictures.finder(events)
    answered = [event for event in events if event.kind in ANSWERS]
    gone = {picture.path for event in answered for picture in event.pictures if not find(picture)}
    if answered and not any(find(picture) for event in answered for picture in event.pictures):
        name = os.fspath(answers.path)
        what = f"{name!r} has labels of images, and none of them is in PHOTOS"
        raise UsageError(f"--answers: {what}; give another name for --out, or for --answers")
    if gone:
        what = "Passed over, not there or changed since they were answered"
        warn_caller(f"{what} ({len(gone)}): {listed(sorted(gone))}.")
    annotations = fold(events, find, classes, corrections)
    for name in classes:
        if (current := annotations.names.current_name(name)) != name:
            became = (
                "was dropped"
                if current is None
                else f"is {current!r} since it was renamed or joined"
            )
            warn_caller(f"The class {name!r} {became}; undo that in the page to have it back.")
    return annotations


def keep_corrections(options, answers, job, annotations):
    """Keep corrections of a table of this command as answers: the table may be overwritten. Return
    the `Annotations` after them.
    """
    if options.corrections is None or not is_own_table(options.corrections):
        return annotations
    pictures, answered = job.pictures, []
    for real, answer in annotations.answers.items():
        if not answer.event and real in pictures.place:
            root, path = pictures.place[real]
            digest = digest_of(Path(real).read_bytes())
            answered.append(PictureEvent(path, root, *digest, label=answer.label, taught=True))
    if answered:
        answers.append("say", pictures=tuple(answered))
    return job.annotations_of(answers.events)


def _one_spelling(names):
    """Sorted names of classes. Spellings of one name are one class."""
    classes = {}
    for name in names:
        first = classes.setdefault(comparable(name), name)
        if first != name:
            warn_caller(f"{name!r} and {first!r} are one class, {first!r}.")
    return sorted(classes.values())


def _check_classes(options, annotations, paths, classes):
    known = annotations.names.current
    if len(known) == 1 and not options.alpha and not options.open:
        option = "--classes" if options.shots is None else "--shots"
        raise UsageError(
            f"{option}: there is one class, {known[0]!r}; give more, or --alpha for the rest"
        )
    if not known and not classes and not options.open:
        raise UsageError(
            f"--embeddings: {options.embeddings!r} has no names of classes; give --classes or"
            " --shots, or --open to find names"
        )
    if not known and not options.open:
        raise UsageError("all classes were dropped; give others, or --open to have them back")
    has_labels = any(answer.label for answer in annotations.answers.values())
    if options.alpha and not (options.open or paths or has_labels):
        raise UsageError(
            "--alpha: names alone give no p-values; these need --shots or --corrections"
        )


def _embed_shots(encoder, paths, labels, *, progress):
    """`LabelledImages` of the readable shots. None without paths, where the width is not known."""
    if not paths:
        return None
    embeddings, problems = embed_readable(encoder, paths, progress=progress)
    embeddings = np.asarray(embeddings)
    for path, problem in problems.items():
        warn_caller(f"Skipped the shot {path}: {problem}.")
    is_read = np.array([path not in problems for path in paths], dtype=bool)
    paths, labels = (np.array(part, dtype=object)[is_read] for part in (paths, labels))
    real_of = real_paths(paths)
    return LabelledImages(paths, labels, embeddings, [real_of[path] for path in paths])


def _check_texts(options, annotations, pipeline, labels):
    """Refuse, or name in a warning, classes that have neither a text nor one of the `labels` of
    shots.
    """
    labelled = {*map(annotations.current_name, labels), *annotations.labels().values()}
    known, encoder = {*annotations.names.current}, pipeline[-1].text_encoder
    missing = sorted(
        name for name in known - labelled if not class_has_text(encoder, annotations, name)
    )
    rest = sorted(known.difference(missing))
    if missing and len(rest) == 1 and not options.alpha and not options.open:
        raise UsageError(
            f"--embeddings: {options.embeddings!r} has no text of {listed(missing)}, which leaves"
            f" one class, {rest[0]!r}; give --shots or texts of more classes, or --open"
        )
    if missing and options.embeddings is not None:
        warn_caller(
            f"Classes without a text in {options.embeddings!r} ({len(missing)}): {listed(missing)}."
            f" They are known from their first label on, and well after about"
            f" {LABELS_WITHOUT_TEXT} labels each."
        )
    elif missing and not options.open:
        models = " and ".join(model_names(pipeline[0])) or type(pipeline[0]).__name__
        raise UsageError(f"--model: {models} cannot read names; give --shots of {listed(missing)}")
    if len(missing) == len(known) and not labelled and not options.open:
        raise UsageError(
            f"--embeddings: {options.embeddings!r} has no text of any class, and there are no"
            " labels; give --shots, names with texts in the file, or --open"
        )


def _read_shots(folder):
    """Paths and labels of the images in a folder with one sub-folder for each class, and all names
    of sub-folders.
    """
    with naming("--shots"), warnings.catch_warnings():
        # Empty sub-folders are classes here.
        warnings.filterwarnings("ignore", ".*sub-folders without images")
        try:
            found = load_image_folder(folder)
        except ValueError:  # no sub-folder has images
            found = None
    folders = [
        path.name
        for path in Path(folder).iterdir()
        if path.is_dir() and path.name[0] != "." and not (path / COPIES_MARK).exists()
    ]
    if not folders:
        raise UsageError(f"--shots: {folder!r} has no sub-folders, one for each class")
    if unreadable := [name for name in folders if plain(name) != name]:
        raise UsageError(
            f"--shots: the name of the folder {unreadable[0]!r} is not UTF-8; give it another"
        )
    refuse_names("--shots", folders)
    if found is None:
        return [], [], folders
    return found.paths.tolist(), found.target_names[found.target].tolist(), folders
