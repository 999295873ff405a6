"""The files of a run: the table, the page, the classifier, copies of the images, and sidecars."""

import copy
import functools
import os
from dataclasses import fields
from pathlib import Path

import joblib

from ..._utils.files import new_file
from ..._utils.validation import plural
from .._messages import UsageError
from .._photos.corrections import is_own_table
from .._photos.embeddings_file import EmbeddingsOfFile, without_file
from .._photos.folder_table import count_files, write_table
from .._photos.labelled_images import remember_none
from .._photos.needed_packages import check_packages
from .._photos.report._page import is_own_page, report
from .._photos.sidecars import write_sidecars
from .._photos.sort_into import sort_into, sub_folders
from .options import LabelOptions, flag

MINI = "Note: The model mini knows drawn icons only. Its labels of photographs mean nothing."
# Options that name a file to write.
OUTPUTS = ("out", "report", "save")
# Outputs that --overwrite replaces, and how a file of an earlier run is known without its answers.
OVERWRITTEN = {"out": is_own_table, "report": is_own_page}


def check_file(name, path):
    """Refuse a file of an unknown kind, of a kind whose packages are missing, or in a missing
    folder.
    """
    option = {option.name: option for option in fields(LabelOptions)}[name]
    kind, kinds = Path(path).suffix.lower(), option.metadata["endings"]
    if kind not in kinds:
        raise UsageError(f"{flag(name)}: {path!r} does not end in {' or '.join(kinds)}")
    check_packages(flag(name), f"{kind} files need", kind)
    if not (folder := Path(path).parent).is_dir():
        raise UsageError(f"{flag(name)}: there is no folder {str(folder)!r}")


def check_outputs(options, answers):
    """Refuse files that could not be written after the work."""
    for name in OUTPUTS:
        if (path := getattr(options, name)) is None:
            continue
        is_to_go = name in OVERWRITTEN and options.overwrite
        if is_to_go and answers.is_changed(path):
            _refuse_changed(options, name)
        if not _may_replace(options, answers, name):
            again = ", or --overwrite" if name in OVERWRITTEN else ""
            why = f"exists, and nothing is overwritten; give another name{again}"
            if is_to_go:
                why = "is not of an earlier run, and stays as it is; give another name"
            raise UsageError(f"{flag(name)}: {path!r} {why}")


def _refuse_changed(options, name):
    """Refuse to overwrite a changed file, except a table whose corrections are used."""
    path, corrections = getattr(options, name), options.corrections
    if corrections is not None and os.path.realpath(corrections) == os.path.realpath(path):
        return
    what = f"{path!r} was changed since this command wrote it; give another name"
    remedy = f", or to use the corrections: --corrections {path} --overwrite" * (name == "out")
    raise UsageError(f"{flag(name)}: {what}{remedy}")


def _may_replace(options, answers, name):
    """Whether the file may be written: it does not exist, or it is of an earlier run, and
    `--overwrite` is given or the same answers belong to it.
    """
    path = getattr(options, name)
    if not os.path.lexists(path):
        return True
    is_own = OVERWRITTEN.get(name)
    if options.overwrite and is_own is not None and os.path.isfile(path) and is_own(path):
        return True
    return (options.open or options.answers is not None) and answers.owns(path)


def write_files(options, answers, labels, lines):
    """Write the files. Return the exit status, and lines on the files, followed by `lines` on the
    labels.

    `answers` must be begun. The digest of each file is appended to them before the file replaces an
    earlier one.
    """
    if "mini" in labels.job.model_names:
        lines = [MINI, *lines]
    if options.sort_into is not None:
        # A label without a folder is refused before any file is written.
        sub_folders(labels.rows)
    counts, skipped = count_files(labels.rows)
    written = [f"Skipped {row['path']}: {row['problem']}." for row in skipped]
    page = functools.partial(report, options.report, options.photos, labels, lines)
    for name, note, write in (
        ("report", "Page to look at", lambda path: path.write_text(page(), "utf-8")),
        ("save", "Classifier", lambda path: _save(labels, path)),
        ("out", counts, lambda path: write_table(labels.rows, path)),
    ):
        if (path := getattr(options, name)) is None:
            continue
        replace = os.path.lexists(path) and _may_replace(options, answers, name)
        # Another program may create the file meanwhile.
        with new_file(path, replace=replace) as unfinished:
            write(unfinished)
            is_noted = answers.append_written(path, unfinished.read_bytes())
        written.append(f"{note}: {path}")
    if options.sort_into is not None:
        copied = sort_into(labels.rows, options.photos, Path(options.sort_into))
        written.append(f"{copied} {plural(copied, 'image')} copied into {options.sort_into!r}.")
    if options.sidecars:
        written += write_sidecars(labels.rows)
    if not is_noted:
        changed = f"{os.fspath(answers.path)!r} was changed by another program while this ran"
        go_on = f"--corrections {options.out} --overwrite"
        written.append(
            f"{changed}, and may lack some answers. The table has them all: to go on with them, run"
            f" the same command with {go_on}"
        )
        return 3, [*written, *lines]
    return int(len(skipped) > 0), [*written, *lines]


def _save(labels, path):
    pipeline = labels.pipeline
    # The folder for caches differs between machines, and only the command shows progress bars.
    usual = {"cache": "memory", "progress": False}
    names = [(name, name.rpartition("__")[2]) for name in pipeline.get_params()]
    pipeline = copy.deepcopy(pipeline).set_params(
        **{name: usual[last] for name, last in names if last in usual}
    )
    examples, weight = labels.job.examples_of_none(labels.annotations)
    if len(weight):
        remember_none(pipeline[-1], examples, weight)
    # An encoder with the embeddings of a file knows these images alone, so it is not saved.
    is_of_file = isinstance(pipeline[0], EmbeddingsOfFile)
    saved = without_file(pipeline[-1]) if is_of_file else pipeline
    if path.suffix.lower() == ".joblib":
        joblib.dump(saved, path)
    else:
        import skops.io

        skops.io.dump(saved, path)
