"""A run of the command: from its options to the files that it writes."""

import os
from dataclasses import replace
from pathlib import Path

import joblib

from ..._utils.saving import trusted_types
from ...datasets._folder import list_files
from ...encoders._file_index import forget_files
from .answers_file import Answers
from .folder_job import FolderLabels
from .folder_table import embed_folder, image_pipeline
from .messages import UsageError, naming, say
from .picture_bursts import find_bursts, groups_of
from .picture_index import real_paths
from .read_folder import (
    folder_job,
    folder_pipeline,
    keep_corrections,
    photo_files,
    pipeline_of_embeddings,
    read_given,
)
from .sort_into import earlier_copies
from .summary import burst_lines, how_taught, summary
from .write_files import check_file, check_outputs, write_files


def run(options):
    """Label the folder by checked options, and return the exit status and lines for the person."""
    options = _with_table(options)
    answers = _answers(options)
    check_outputs(options, answers)
    if options.sort_into is not None:
        earlier_copies(options.photos, Path(options.sort_into))
    if options.model_file is not None:
        pipeline = _load(options)
        with naming("PHOTOS", ValueError):
            files = list_files(options.photos)
        pipeline[0].set_params(cache=_cache(options, files))
        bursts = find_bursts(options.bursts, options.photos, files, progress=True)
        X, problems = embed_folder(pipeline, files, progress=True)
        real = real_paths(path for path in files if path not in problems)
        groups = groups_of(bursts, [*real.values()])
        labels = FolderLabels(pipeline, files, problems, X, options.alpha, groups=groups)
        if not options.each_by_itself:
            labels = labels.after_photos()
        with answers:
            lines = [*burst_lines(labels), how_taught(labels)]
            return write_files(options, answers, labels, lines)
    if not options.open:
        job, said = _job(options, answers)
        labels = job.fit(said, evaluate=True)
        with answers:
            keep_corrections(options, answers, job.given, said)
            return write_files(options, answers, labels, summary(job, labels, said.evidence()))
    with answers:
        from .._live.arrivals import Arrivals
        from .._live.server import serve
        from .._live.session import Session

        job, said = _job(options, answers)
        arrivals = Arrivals(
            lambda: photo_files(options, answers), lambda job: _job_anew(options, answers, job)
        )
        said = keep_corrections(options, answers, job.given, said)
        session = Session(job, said, answers, arrivals)

        outputs = Outputs(options, answers)
        return serve(session, outputs.write, f"Label {options.photos}", say, outputs)


class Outputs:
    """What a run with a page writes: what the options ask for, and what a person asks for then."""

    def __init__(self, options, answers):
        self.options, self.answers = options, answers

    @property
    def further(self):
        """What one may still ask for: values of options by their name."""
        table = Path(self.options.out)
        folder = os.fspath(table.with_name(f"{table.stem}_sorted"))
        values = {"sort_into": folder, "sidecars": True}
        return {name: value for name, value in values.items() if not getattr(self.options, name)}

    def write(self, job, labels, said):
        """The exit status, and lines for the person."""
        lines = summary(job, labels, said.evidence())
        return write_files(self.options, self.answers, labels, lines)

    def paths(self):
        """Paths of the files by what they are, see `finish.js`."""
        options = self.options
        return {
            "table": options.out,
            "report": options.report,
            "classifier": options.save,
            "folder": options.sort_into,
        }

    def add(self, name, write):
        """Ask for one of `further` too, and `write`. After an error it is not asked for."""
        before, value = self.options, self.further[name]
        if name == "sort_into":
            earlier_copies(before.photos, Path(value))
        self.options = replace(before, **{name: value})
        try:
            return write()
        except BaseException:
            self.options = before
            raise


def _job(options, answers):
    given, said = read_given(options, answers, progress=True)
    if options.embeddings is None:
        cache = _cache(options, [*given.files, *given.shot_paths])
        pipeline = folder_pipeline(options.model, cache, progress=True)
    else:
        check_file("embeddings", options.embeddings)
        pipeline = pipeline_of_embeddings(options)
    return folder_job(options, given, said, pipeline, progress=True), said


def _job_anew(options, answers, job):
    """The job with the pictures that are there now. Corrections were read already."""
    given, said = read_given(replace(options, corrections=None), answers, progress=True)
    given = replace(given, corrections=job.given.corrections)
    return folder_job(options, given, said, job.pipeline, progress=True)


def _with_table(options):
    """The options with a table to write: the page has one of its own, beside no picture."""
    if options.out is not None:
        return options
    if not options.open:
        raise UsageError("--out: give the name of the table to write, such as labels.csv")
    photos, here = os.path.realpath(options.photos), os.path.realpath(".")
    if here == photos or photos in map(str, Path(here).parents):
        raise UsageError("--out: this folder is in PHOTOS; give a table elsewhere")
    say("The table will be labels.csv, in this folder.")
    return replace(options, out="labels.csv")


def _cache(options, paths):
    """`cache_folder`, which with `--read-all` does not know these files."""
    cache = cache_folder(options)
    if options.read_all and cache != "memory":
        forget_files(cache, paths)
    return cache


def _answers(options):
    """The file of answers: of `--answers`, or beside the table."""
    path = options.answers or os.fspath(Path(options.out).with_suffix(".answers.jsonl"))
    if options.answers is not None:
        check_file("answers", path)
        if not (os.path.lexists(path) or options.open or options.corrections):
            raise UsageError(f"--answers: there is no file {path!r}; the page (--open) begins one")
    return Answers(path)


def cache_folder(options):
    """The folder that keeps embeddings between runs, in the user's folder for caches. "memory" if
    none is wanted, or if it cannot be made.
    """
    if options.no_cache:
        return "memory"
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "sksemobridge", "embeddings")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter if there is no home folder
        say(f"Note: Embeddings are not kept for the next run: {error}.")
        return "memory"
    say(f"Embeddings are kept in {str(folder)!r}.")
    return folder


def _load(options):
    """The pipeline of --model-file."""
    path = options.model_file
    check_file("model_file", path)
    try:
        if Path(path).suffix.lower() == ".joblib":
            estimator = joblib.load(path)
        else:
            import skops.io

            estimator = skops.io.load(path, trusted=trusted_types())
        pipeline = image_pipeline(estimator)
    # Files that --save did not write raise errors of all kinds.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UsageError(f"--model-file: {path!r} cannot be used: {reason}") from error
    if options.alpha and not hasattr(pipeline[-1], "p_values"):
        raise UsageError(
            f"--alpha: the {type(pipeline[-1]).__name__} of --model-file has no p-values"
        )
    return pipeline
