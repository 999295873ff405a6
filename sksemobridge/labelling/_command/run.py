"""A run of the command: from its options to the files that it writes."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from .._answers.answers_file import Answers
from .._messages import UsageError, print_message
from .._photos.folder_labels import FolderLabels
from .._photos.sort_into import earlier_copies
from .._photos.summary import summary, summary_of_saved
from .pipeline_of_options import pipeline_of_options
from .read_folder import files_to_label, keep_corrections, read_job
from .write_files import OUTPUTS, check_file, check_outputs, write_files


def run(options):
    """Label the folder by checked options, and return the exit status and lines for the person."""
    options = _with_table(options)
    for name in (*OUTPUTS, "answers", "embeddings", "model_file"):
        if (path := getattr(options, name)) is not None:
            check_file(name, path)
    answers = _answers(options)
    check_outputs(options, answers)
    if options.sort_into is not None:
        earlier_copies(options.photos, Path(options.sort_into))
    if options.open:
        with answers:
            return _serve(options, answers)
    job, annotations = _read(options, answers)
    if options.model_file is not None:
        labels = job.after_pictures(FolderLabels(job, annotations, job.pipeline, job.shots))
        lines = summary_of_saved(labels)
    else:
        labels = job.fit(annotations, evaluate=True)
        lines = summary(labels)
    with answers:
        keep_corrections(options, answers, job, annotations)
        return write_files(options, answers, labels, lines)


def _read(options, answers):
    return read_job(options, answers, partial(pipeline_of_options, options), progress=True)


def _serve(options, answers):
    """Serve the page until a person ends it."""
    from .._live.arrivals import Arrivals
    from .._live.server import serve
    from .._live.session import Session

    job, annotations = _read(options, answers)
    arrivals = Arrivals(
        lambda: files_to_label(options, answers), lambda job: _job_anew(options, answers, job)
    )
    annotations = keep_corrections(options, answers, job, annotations)
    session = Session(job, annotations, answers, arrivals)
    outputs = Outputs(options, answers)
    return serve(session, outputs.write, f"Label {options.photos}", print_message, outputs)


def _job_anew(options, answers, job):
    """The job with the pictures that are in the folder now. The list of corrections is not read
    again, since its labels may be answers by now.
    """
    parts = {"corrections": job.corrections, "progress": True}
    return read_job(options, answers, lambda paths: job.pipeline, **parts)[0]


class Outputs:
    """Outputs of a run with a page: outputs of the options, and outputs that a person asks for in
    the page.
    """

    def __init__(self, options, answers):
        self.options, self.answers = options, answers

    @property
    def further(self):
        """Outputs that a person may still ask for: values of options by name."""
        table = Path(self.options.out)
        folder = os.fspath(table.with_name(f"{table.stem}_sorted"))
        values = {"sort_into": folder, "sidecars": True}
        return {name: value for name, value in values.items() if not getattr(self.options, name)}

    def write(self, labels):
        """Write the files, and return the exit status and lines for the person."""
        return write_files(self.options, self.answers, labels, summary(labels))

    def paths(self):
        """Paths of the outputs by kind, see `finish.js`."""
        options = self.options
        return {
            "table": options.out,
            "report": options.report,
            "classifier": options.save,
            "folder": options.sort_into,
            "sidecars": options.photos if options.sidecars else None,
        }

    def add(self, name, write):
        """Add an output of `further`, and call `write`. After an error, the output is removed
        again.
        """
        before, value = self.options, self.further[name]
        if name == "sort_into":
            earlier_copies(before.photos, Path(value))
        self.options = replace(before, **{name: value})
        try:
            return write()
        except BaseException:
            self.options = before
            raise


def _with_table(options):
    """The options with a table to write: with a page, the default is a table outside of PHOTOS."""
    if options.out is not None:
        return options
    if not options.open:
        raise UsageError("--out: give the name of the table to write, such as labels.csv")
    photos, here = os.path.realpath(options.photos), os.path.realpath(".")
    if here == photos or photos in map(str, Path(here).parents):
        raise UsageError("--out: this folder is in PHOTOS; give a table elsewhere")
    print_message("The table will be labels.csv, in this folder.")
    return replace(options, out="labels.csv")


def _answers(options):
    """The file of answers: of `--answers`, or beside the table."""
    path = options.answers or os.fspath(Path(options.out).with_suffix(".answers.jsonl"))
    is_lacking = not (os.path.lexists(path) or options.open or options.corrections)
    if options.answers is not None and is_lacking:
        raise UsageError(f"--answers: there is no file {path!r}; the page (--open) begins one")
    return Answers(path)
