"""The command `sksemobridge`, which labels the images in a folder without a program of the user."""

import argparse
import copy
import functools
import os
import platform
import sys
import tempfile
import traceback
import warnings
from contextlib import ExitStack
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import joblib

from .._utils.files import new_file
from .._utils.saving import trusted_types
from ..datasets._folder import list_files
from ..encoders import ModelLoadError
from ..encoders._source import KEPT
from .clicks import Clicks
from .folder_job import model_names, read_job
from .folder_table import WRITERS, count_files, image_pipeline, label_files, write_table
from .report import report
from .sort_into import earlier_copies, sort_into
from .summary import summary
from .user_tables import UsageError, naming

# Packages that some kinds of files need besides this one.
NEEDS = {".xlsx": ["pandas", "openpyxl"], ".skops": ["skops"], "--open": ["starlette", "uvicorn"]}
MINI = (
    "Note: The model mini knows drawn icons only. It is for a trial: its labels of photographs mean nothing."
)
# Accurate and fast on a CPU.
MODEL = "ViT-B-32-256"
REPORT_AT = "https://github.com/sksemobridge/sksemobridge/issues"
EPILOG = """\
Exit status: 0 if every image has a label or belongs to none of the classes; 1 if images in PHOTOS could not be read (printed
with the reason, and in the table); 2 for wrong arguments; 3 if the model cannot be loaded, or a file cannot be read or
written; 4 for a fault of this program; 130 if interrupted. No file is moved. Without --overwrite, no file is overwritten
but those that the same file of clicks belongs to."""


def main(argv=None):
    """Run the command with these arguments, or with those of the process. Return the exit status, see `EPILOG`."""
    parser = _parser()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        # Several steps may give the same warning.
        note = functools.cache(lambda text: say(f"Note: {text}"))
        warnings.showwarning = lambda message, *_: note(getattr(message, "without_advice", str(message)))
        args = parser.parse_args(argv)
        try:
            _check(args)
            return _label(args)
        except UsageError as error:
            parser.exit(2, f"sksemobridge label: {error}\n")
        except ModelLoadError as error:
            say(str(error).partition("\n")[0] if error.is_download else str(error))
            if error.is_download:
                say(f"The first use of a model downloads it. {KEPT}")
                say("For a trial, use --model mini. It needs no download, but knows only drawn icons.")
            return 3
        except OSError as error:
            say(f"sksemobridge label: {error}")
            return 3
        except KeyboardInterrupt:
            say("Interrupted.")
            if not args.no_cache:
                say("Run the same command again: the embeddings up to here are kept.")
            return 130
        except Exception:
            traceback.print_exc()
            say(f"This is a fault of sksemobridge. Please report it with the lines above: {REPORT_AT}")
            return 4


class _Versions(argparse.Action):
    """Print the versions of this package, of Python and of the dependencies, one a line."""

    def __call__(self, parser, *_):
        dependencies = [line.partition(">=")[0] for line in requires("sksemobridge") if ";" not in line]
        lines = [f"{name} {version(name)}" for name in ["sksemobridge", *sorted(dependencies)]]
        print(*lines, f"Python {platform.python_version()} on {platform.platform()}", sep="\n")
        parser.exit()


def _parser():
    parser = argparse.ArgumentParser("sksemobridge", description="Few-shot image classification with CLIP.")
    versions = "print the versions that a report of a fault needs"
    parser.add_argument("--version", action=_Versions, nargs=0, help=versions)
    label = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "label",
        help="label the images in a folder",
        description="Label a folder of images from the names of the classes, from labelled images, or from both.",
        epilog=EPILOG,
    )
    add = label.add_argument
    add("photos", metavar="PHOTOS", help="folder of images, with all sub-folders")
    empty = (
        "labelled images, one sub-folder for each class; an empty one is a class that is known by its name"
    )
    add("--shots", metavar="FOLDER", help=empty)
    add(
        "--classes",
        metavar="NAMES",
        help='names of classes, such as "beach, port", or a .txt with one a line',
    )
    saved = "use a classifier from an earlier --save (.joblib files of others can run any program)"
    add("--model-file", metavar="FILE", help=saved)
    add("--out", metavar="FILE", required=True, help=f"write the table to this file ({', '.join(WRITERS)})")
    page = "write a page that shows the labels, and lets you correct them (.html)"
    add("--report", metavar="FILE", help=page)
    live = "open a page in the browser where you label images, while the classifier learns from each handful"
    add("--open", action="store_true", help=live)
    clicked = "file with the labels that you give in the page (default with --open: OUT with .clicks.csv)"
    add("--labels", metavar="FILE", help=clicked)
    add("--overwrite", action="store_true", help="overwrite the table and the page of an earlier run")
    add("--save", metavar="FILE", help="save the classifier (.skops or .joblib)")
    several = (
        f"model of open_clip, or mini, transformers:NAME, timm:NAME; given twice, both (default: {MODEL})"
    )
    add("--model", action="append", metavar="NAME", help=several)
    add(
        "--pretrained",
        action="append",
        metavar="TAG",
        help="weights of each --model (default: the best known)",
    )
    add("--names", metavar="FILE", help=".csv with label, name of the class, optional prompts")
    removed = ".csv with path and label; an empty label is none of the classes"
    add("--corrections", metavar="FILE", help=removed)
    by_itself = "do not learn from the images in PHOTOS, so that a label does not depend on the others"
    add("--each-by-itself", action="store_true", help=by_itself)
    add("--no-cache", action="store_true", help="do not keep embeddings for the next run")
    add("--sort-into", metavar="FOLDER", help="copy each image into a sub-folder with the name of its label")
    none = "give no label to images with a p-value of at most this number: they look like none of the classes"
    add("--alpha", type=probability, default=0.0, help=none)
    return parser


def probability(text):
    """A number between 0 and 1. The error of argparse contains the name of this function."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


def _check_file(args, name, kinds):
    """Refuse a file of another kind, or whose packages are missing, or a new file that cannot be written."""
    option, path = f"--{name.replace('_', '-')}", getattr(args, name)
    if path is None:
        return
    kind, parent = Path(path).suffix.lower(), Path(path).absolute().parent
    if kind not in kinds:
        raise UsageError(f"{option}: {path!r} does not end in {' or '.join(kinds)}")
    _check_packages(option, f"{kind} files need", kind)
    if option == "--model-file":
        return
    if not _may_replace(args, name, path):
        again = "give another name" if name in ("save", "labels") else "give another name, or --overwrite"
        raise UsageError(f"{option}: {path!r} exists, and nothing is overwritten; {again}")
    if not parent.is_dir():
        raise UsageError(f"{option}: there is no folder {str(Path(path).parent)!r}")
    if not os.access(parent, os.W_OK):
        raise PermissionError(f"nothing may be written into the folder {str(parent)!r}")


def _check_packages(option, what, kind):
    missing = [name for name in NEEDS.get(kind, []) if find_spec(name) is None]
    if missing:
        install = f"{sys.executable} -m pip install {' '.join(missing)}"
        raise UsageError(f"{option}: {what} {' and '.join(missing)}: {install}")


def _may_replace(args, name, path):
    """Whether there is no such file, or one that may be overwritten."""
    if not os.path.lexists(path):
        return True
    wanted = args.overwrite and name in ("out", "report") and os.path.isfile(path)
    return wanted or name == "labels" or (args.clicks is not None and args.clicks.owns(path))


def _check(args):
    """Refuse what would fail only after the work. Set what depends on other arguments."""
    if args.model_file is None and args.shots is None and args.classes is None:
        raise UsageError("give --shots, --classes, or --model-file")
    if args.model_file is not None:
        for name in (
            *("shots", "classes", "names", "corrections", "labels", "open", "each_by_itself"),
            *("model", "pretrained"),
        ):
            if getattr(args, name):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} does not go with --model-file, whose classifier is fitted already"
                )
    if args.open:
        _check_packages("--open", 'the page needs the extra "live",', "--open")
        args.labels = args.labels or os.fspath(Path(args.out).with_suffix(".clicks.csv"))
    args.clicks = None
    _check_file(args, "labels", [".csv"])
    if args.labels is not None:
        if os.path.realpath(args.labels) == os.path.realpath(args.out):
            raise UsageError("--labels: --out is the same file; give another name")
        if not args.open and not os.path.exists(args.labels):
            raise UsageError(f"--labels: there is no file {args.labels!r}, and without --open none is begun")
        with naming("--labels", ValueError):
            args.clicks = Clicks(args.labels)
    _check_file(args, "out", WRITERS)
    _check_file(args, "report", [".html"])
    _check_file(args, "save", [".joblib", ".skops"])
    _check_file(args, "model_file", [".joblib", ".skops"])
    names = args.model or [MODEL]
    tags = args.pretrained or ["auto"] * len(names)
    if len(names) != len(tags):
        raise UsageError(f"--pretrained: give it once for each --model, which is {' and '.join(names)}")
    args.models = list(zip(names, tags))
    if args.sort_into is not None:
        if not args.sort_into:
            raise UsageError("--sort-into: the name of the folder is empty; '.' is the working folder")
        earlier_copies(args.photos, Path(args.sort_into))


def _label(args):
    cache = None if args.no_cache else cache_folder
    if args.model_file is not None:
        status, lines = _label_with_saved(args, cache)
    else:
        status, lines = _label_and_learn(args, cache)
    for line in lines:
        say(line)
    return status


def _label_with_saved(args, cache):
    pipeline = _load(args.model_file)
    if args.alpha and not hasattr(pipeline[-1], "p_values"):
        kind = type(pipeline[-1]).__name__
        raise UsageError(f"--alpha: the {kind} of --model-file has no p-values")
    with naming("PHOTOS", ValueError):
        list_files(args.photos)
    pipeline[0].set_params(cache=cache and cache())
    rows, embeddings = label_files(pipeline, args.photos, alpha=args.alpha)
    return _write(args, pipeline, rows, embeddings, None, [])


def _label_and_learn(args, cache):
    begun = args.clicks if args.open else None
    if begun is not None:
        with naming("--labels", ValueError):
            begun.begin()
    try:
        job, session = read_job(args, cache), None

        def finish(said):
            """Write what was learnt from labels by a person."""
            labels = job.fit(said, evaluate=True)
            lines = summary(job, labels, {} if session is None else session.evidence())
            return _write(args, labels.pipeline, labels.rows, job.embeddings, labels.shots, lines)

        if not args.open:
            return finish(job.clicked)
        from .report._server import serve
        from .report._session import Session

        session = Session(job, args.clicks, job.corrections)
        return serve(session, finish, f"Label {args.photos}", say)
    finally:
        if begun is not None:
            begun.end()


def _write(args, pipeline, rows, embeddings, shots, lines):
    """Write all files, or none, and return the exit status and lines on them. `lines` are on the labels."""

    def write_page(path):
        page = report(args.report, args.photos, pipeline[-1], rows, embeddings, shots, lines)
        path.write_text(page, encoding="utf-8")

    counts, skipped = count_files(rows)
    if "mini" in model_names(pipeline):
        lines = [MINI, *lines]
    written = [f"Skipped {row['path']}: {row['problem']}." for row in skipped]
    written.append(f"{counts}: {args.out}")
    # Else the same command would refuse to overwrite one of them.
    with ExitStack() as undo:
        for name, note, write in (
            ("save", "Classifier", lambda path: _save(pipeline, path)),
            ("report", "Page to look at", write_page),
            ("out", None, lambda path: write_table(rows, path)),
        ):
            path = getattr(args, name)
            if path is None:
                continue
            is_new = not os.path.lexists(path)
            # Another program may have made it meanwhile.
            with new_file(path, replace=not is_new and _may_replace(args, name, path)) as unfinished:
                write(unfinished)
                if args.open:
                    args.clicks.own(path, unfinished)
            if is_new:
                undo.callback(Path(path).unlink)
            if note:
                written.append(f"{note}: {path}")
        undo.pop_all()
    if args.sort_into is not None:
        copied = sort_into(rows, args.photos, Path(args.sort_into))
        written.append(f"{copied} images copied into {args.sort_into!r}.")
    return int(len(skipped) > 0), [*written, *lines]


def say(message):
    print(message, file=sys.stderr)


def cache_folder():
    """The folder that keeps embeddings between runs, in the user's folder for caches. None if it cannot be written."""
    try:
        # Where torch and Hugging Face keep their files, on every system.
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "sksemobridge", "embeddings")
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    # A RuntimeError means that there is no home folder.
    except (OSError, RuntimeError) as error:
        say(f"Note: Embeddings are not kept for the next run: {error}.")
        return None
    say(f"Embeddings are kept in {str(folder)!r}.")
    return folder


def _save(pipeline, path):
    # On another machine, the folder for caches is another one.
    caches = [name for name in pipeline.get_params() if name.endswith("__cache")]
    pipeline = copy.deepcopy(pipeline).set_params(**dict.fromkeys(caches))
    if path.suffix.lower() == ".joblib":
        joblib.dump(pipeline, path)
    else:
        import skops.io

        skops.io.dump(pipeline, path)


def _load(path):
    try:
        if Path(path).suffix.lower() == ".joblib":
            return image_pipeline(joblib.load(path))
        import skops.io

        return image_pipeline(skops.io.load(path, trusted=trusted_types()))
    # Files that --save did not write raise errors of all kinds.
    except Exception as error:
        raise UsageError(
            f"--model-file: {path!r} cannot be used: {str(error) or type(error).__name__}"
        ) from error
