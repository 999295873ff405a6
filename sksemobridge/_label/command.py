"""The command `sksemobridge`, which labels the images in a folder without a program of the user."""

import argparse
import copy
import functools
import os
import platform
import sys
import traceback
import warnings
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import joblib

from .._utils.files import new_file
from .._utils.saving import trusted_types
from ..datasets._folder import list_files
from ..encoders import ModelLoadError
from ..encoders._source import KEPT
from .clicks import Clicks, digest_of
from .folder_job import MODEL, FolderLabels, cache_folder, model_names, read_job
from .folder_table import WRITERS, count_files, image_pipeline, label_files, write_table
from .report._page import report
from .sort_into import earlier_copies, sort_into
from .summary import summary
from .user_tables import UsageError, naming, say

SAVED = [".joblib", ".skops"]
FILES = {"--out": WRITERS, "--report": [".html"], "--save": SAVED, "--model-file": SAVED}
NEEDS = {".xlsx": ["pandas", "openpyxl"], ".skops": ["skops"], "--open": ["starlette", "uvicorn"]}
MINI = "Note: The model mini knows drawn icons only. Its labels of photographs mean nothing."
REPORT_AT = "https://github.com/sksemobridge/sksemobridge/issues"
EPILOG = """\
Exit status: 0 if every image has a label or belongs to none of the classes; 1 if images in PHOTOS
could not be read (printed with the reason, and in the table); 2 for wrong arguments; 3 if the
model cannot be loaded, or a file cannot be read or written; 4 for a fault of this program; 130 if
interrupted. No file is moved. Without --overwrite, no file is overwritten but those that the same
file of clicks belongs to."""
ALPHA = (
    "give no label to images with a p-value of at most this number: they look like none of the"
    " classes"
)
FLAGS = {
    "--open": (
        "open a page in the browser where you label images, while the classifier learns from each"
        " handful"
    ),
    "--overwrite": "overwrite the table and the page of an earlier run",
    "--each-by-itself": (
        "do not learn from the images in PHOTOS, so that a label does not depend on the others"
    ),
    "--no-cache": "do not keep embeddings for the next run",
}
OPTIONS = {
    "--shots": (
        "FOLDER",
        "labelled images, a sub-folder for each class; an empty one is known by its name",
    ),
    "--classes": ("NAMES", 'names of classes, such as "beach, port", or a .txt with one a line'),
    "--model-file": (
        "FILE",
        "classifier of an earlier --save (.joblib files of others can run any program)",
    ),
    "--report": ("FILE", "write a page that shows the labels, and lets you correct them (.html)"),
    "--labels": (
        "FILE",
        "labels that you give in the page (default with --open: OUT with .clicks.csv)",
    ),
    "--save": ("FILE", "save the classifier (.skops or .joblib)"),
    "--model": (
        "NAME",
        f"of open_clip, mini, transformers:NAME, timm:NAME; twice: both (default: {MODEL})",
    ),
    "--names": ("FILE", ".csv with label, name of the class, optional prompts"),
    "--corrections": ("FILE", ".csv with path and label; an empty label is none of the classes"),
    "--sort-into": ("FOLDER", "copy each image into a sub-folder with the name of its label"),
}
WITH_MODEL_FILE = ["--model-file", "--report", "--save", "--sort-into", "--overwrite", "--no-cache"]


def main(argv=None):
    """Run the command with these arguments, or with those of the process. Return the exit status,
    see `EPILOG`.
    """
    parser = _parser()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        # Several steps may give the same warning.
        note = functools.cache(lambda text: say(f"Note: {text}"))
        warnings.showwarning = lambda message, *_: note(
            getattr(message, "without_advice", str(message))
        )
        args = parser.parse_args(argv)
        try:
            _check(args)
            status, lines = _label(args)
            say("\n".join(lines))
            return status
        except UsageError as error:
            parser.exit(2, f"sksemobridge label: {error}\n")
        except ModelLoadError as error:
            say(str(error).partition("\n")[0] if error.is_download else str(error))
            if error.is_download:
                say(f"The first use of a model downloads it. {KEPT}")
                say(
                    "For a trial, use --model mini. It needs no download, but knows only drawn"
                    " icons."
                )
            return 3
        except OSError as error:
            say(f"sksemobridge label: {error}")
            return 3
        except KeyboardInterrupt:
            kept = (
                ""
                if args.no_cache
                else " Run the same command again: the embeddings up to here are kept."
            )
            say(f"Interrupted.{kept}")
            return 130
        except Exception:
            traceback.print_exc()
            say(
                "This is a fault of sksemobridge. Please report it with the lines above:"
                f" {REPORT_AT}"
            )
            return 4


class _Versions(argparse.Action):
    """Print the versions of this package, of Python and of the dependencies, one a line."""

    def __call__(self, parser, *_):
        dependencies = [
            line.partition(">=")[0] for line in requires("sksemobridge") if ";" not in line
        ]
        lines = [f"{name} {version(name)}" for name in ["sksemobridge", *sorted(dependencies)]]
        print(*lines, f"Python {platform.python_version()} on {platform.platform()}", sep="\n")
        parser.exit()


def _parser():
    parser = argparse.ArgumentParser(
        "sksemobridge", description="Few-shot image classification with CLIP."
    )
    versions = "print the versions that a report of a fault needs"
    parser.add_argument("--version", action=_Versions, nargs=0, help=versions)
    what = (
        "Label a folder of images from the names of the classes, from labelled images, or from"
        " both."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    label = commands.add_parser("label", help=what, description=what, epilog=EPILOG)
    label.add_argument("photos", metavar="PHOTOS", help="folder of images, with all sub-folders")
    label.add_argument("--out", metavar="FILE", required=True, help="table to write (.csv, .xlsx)")
    label.add_argument("--alpha", type=float, default=0.0, help=ALPHA)
    for option, help_text in FLAGS.items():
        label.add_argument(option, action="store_true", help=help_text)
    for option, (metavar, help_text) in OPTIONS.items():
        action = "append" if option == "--model" else "store"
        label.add_argument(option, metavar=metavar, action=action, help=help_text)
    return parser


def _value(args, option):
    return getattr(args, option[2:].replace("-", "_"))


def _check_file(args, option, path, kinds):
    """Refuse a file of another kind, or whose packages are missing, or a new file that cannot be
    written.
    """
    kind, folder = Path(path).suffix.lower(), Path(path).parent
    if kind not in kinds:
        raise UsageError(f"{option}: {path!r} does not end in {' or '.join(kinds)}")
    _check_packages(option, f"{kind} files need", kind)
    if option not in ("--model-file", "--labels") and not _may_replace(args, option, path):
        again = "" if option == "--save" else ", or --overwrite"
        raise UsageError(
            f"{option}: {path!r} exists, and nothing is overwritten; give another name{again}"
        )
    if not folder.is_dir():
        raise UsageError(f"{option}: there is no folder {str(folder)!r}")


def _check_packages(option, what, kind):
    missing = [name for name in NEEDS.get(kind, []) if find_spec(name) is None]
    if missing:
        install = f"{sys.executable} -m pip install {' '.join(missing)}"
        raise UsageError(f"{option}: {what} {' and '.join(missing)}: {install}")


def _may_replace(args, option, path):
    """Whether there is no such file, or one that may be overwritten."""
    wanted = args.overwrite and option in ("--out", "--report") and os.path.isfile(path)
    return (
        not os.path.lexists(path) or wanted or (args.clicks is not None and args.clicks.owns(path))
    )


def _check(args):
    """Refuse what would fail only after the work. Set what depends on other arguments."""
    if args.model_file is None and args.shots is None and args.classes is None:
        raise UsageError("give --shots, --classes, or --model-file")
    if not 0 <= args.alpha <= 1:
        raise UsageError(f"--alpha: {args.alpha:g} is not between 0 and 1")
    for option in (*OPTIONS, *FLAGS):
        if args.model_file is not None and option not in WITH_MODEL_FILE and _value(args, option):
            raise UsageError(
                f"{option} does not go with --model-file, whose classifier is fitted already"
            )
    if args.open:
        _check_packages("--open", 'the page needs the extra "live",', "--open")
        args.labels = args.labels or os.fspath(Path(args.out).with_suffix(".clicks.csv"))
    args.clicks = None
    if args.labels is not None:
        _check_file(args, "--labels", args.labels, [".csv"])
        # With --overwrite, the table would take the place of the clicks.
        if os.path.realpath(args.labels) == os.path.realpath(args.out):
            raise UsageError("--labels: --out is the same file; give another name")
        if not args.open and not os.path.exists(args.labels):
            raise UsageError(
                f"--labels: there is no file {args.labels!r}, and without --open none is begun"
            )
        args.clicks = Clicks(args.labels)
    for option, kinds in FILES.items():
        if (path := _value(args, option)) is not None:
            _check_file(args, option, path, kinds)
    if args.sort_into is not None:
        earlier_copies(args.photos, Path(args.sort_into))


def _label(args):
    """Label the folder, and return the exit status and lines for the person."""
    if args.model_file is not None:
        pipeline = _load(args)
        with naming("PHOTOS", ValueError):
            list_files(args.photos)
        pipeline[0].set_params(cache=cache_folder(args))
        return _write(
            args, None, FolderLabels(pipeline, *label_files(pipeline, args.photos, args.alpha))
        )
    if not args.open:
        job = read_job(args)
        return _write(args, job, job.fit(job.corrections | job.clicked, evaluate=True))
    args.clicks.begin()
    try:
        from .report._server import serve
        from .report._session import Session

        job = read_job(args)
        session = Session(job, args.clicks)

        def finish():
            return _write(args, job, job.fit(dict(session.said), evaluate=True), session.evidence())

        return serve(session, finish, f"Label {args.photos}", say)
    finally:
        args.clicks.end()


def _write(args, job, labels, evidence=None):
    """Write the files, and return the exit status and lines on them and on the labels."""
    lines = [] if job is None else summary(job, labels, evidence or {})
    if "mini" in model_names(labels.pipeline):
        lines.insert(0, MINI)
    counts, skipped = count_files(labels.rows)
    written = [f"Skipped {row['path']}: {row['problem']}." for row in skipped]
    page = functools.partial(report, args.report, args.photos, labels, lines)
    for option, note, write in (
        ("--report", "Page to look at", lambda path: path.write_text(page(), "utf-8")),
        ("--save", "Classifier", lambda path: _save(labels.pipeline, path)),
        ("--out", counts, lambda path: write_table(labels.rows, path)),
    ):
        if (path := _value(args, option)) is None:
            continue
        replace = os.path.lexists(path) and _may_replace(args, option, path)
        # Another program may make it meanwhile.
        with new_file(path, replace=replace) as unfinished:
            write(unfinished)
            if args.open:
                args.clicks.add(path, "", digest_of(unfinished.read_bytes()))
        written.append(f"{note}: {path}")
    if args.sort_into is not None:
        copied = sort_into(labels.rows, args.photos, Path(args.sort_into))
        written.append(f"{copied} images copied into {args.sort_into!r}.")
    return int(len(skipped) > 0), [*written, *lines]


def _save(pipeline, path):
    # On another machine, the folder for caches is another one.
    caches = [name for name in pipeline.get_params() if name.endswith("__cache")]
    pipeline = copy.deepcopy(pipeline).set_params(**dict.fromkeys(caches))
    if path.suffix.lower() == ".joblib":
        joblib.dump(pipeline, path)
    else:
        import skops.io

        skops.io.dump(pipeline, path)


def _load(args):
    """The pipeline of --model-file."""
    try:
        if Path(args.model_file).suffix.lower() == ".joblib":
            estimator = joblib.load(args.model_file)
        else:
            import skops.io

            estimator = skops.io.load(args.model_file, trusted=trusted_types())
        pipeline = image_pipeline(estimator)
    # Files that --save did not write raise errors of all kinds.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UsageError(f"--model-file: {args.model_file!r} cannot be used: {reason}") from error
    if args.alpha and not hasattr(pipeline[-1], "p_values"):
        raise UsageError(
            f"--alpha: the {type(pipeline[-1]).__name__} of --model-file has no p-values"
        )
    return pipeline
