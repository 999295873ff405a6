"""The command `sksemobridge`, which labels the images in a folder without a program of the user."""

import argparse
import functools
import os
import platform
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import joblib

from ._folder_job import after_colon, read_job
from ._folder_table import (
    NONE_OF_THESE,
    WRITERS,
    counted,
    image_pipeline,
    label_files,
    was_read,
    write_table,
)
from ._report import report
from ._sort_into import earlier_copies, sort_into
from ._user_tables import UsageError, naming, puzzling_names
from ._utils.files import new_file
from ._utils.saving import trusted_types
from ._utils.validation import listed
from .datasets._folder import list_files
from .encoders import ModelLoadError

# Packages that some kinds of files need besides this one.
NEEDS = {".xlsx": ["pandas", "openpyxl"], ".skops": ["skops"]}
EPILOG = """\
Exit status: 0 if every image has a label or belongs to none of the classes; 1 if images or shots could not be read
(printed with the reason; the table lists the images); 2 for wrong arguments; 3 if the model cannot be loaded, or a file
cannot be read or written; 130 if interrupted. No file is moved, and no existing file is overwritten."""


def main(argv=None):
    """Run the command with these arguments, or with those of the process. Return the exit status, see `EPILOG`."""
    parser = _parser()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        # Several steps may give the same warning.
        note = functools.cache(lambda text: say(f"Note: {text}"))
        warnings.showwarning = lambda message, *_: note(str(message))
        try:
            args = parser.parse_args(argv)
            _check(args)
            return _label(args)
        except UsageError as error:
            parser.exit(2, f"sksemobridge label: {error}\n")
        except ModelLoadError as error:
            trial = "For a trial, use --model mini. It needs no download, but knows only drawn icons."
            say(f"{error}\n{trial}" if error.is_download else str(error))
            return 3
        except OSError as error:
            say(f"sksemobridge label: {error}")
            return 3
        except KeyboardInterrupt:
            say("Interrupted.")
            return 130


class _Versions(argparse.Action):
    """Print the versions of this package, of Python and of the dependencies, one a line."""

    def __call__(self, parser, *_):
        dependencies = [line.partition(">=")[0] for line in requires("sksemobridge") if ";" not in line]
        for name in ["sksemobridge", *sorted(dependencies)]:
            print(name, version(name))
        print("Python", platform.python_version(), "on", platform.platform())
        parser.exit()


def _parser():
    parser = argparse.ArgumentParser("sksemobridge", description="Few-shot image classification with CLIP.")
    versions = "print the versions that a report of a fault needs"
    parser.add_argument("--version", action=_Versions, nargs=0, help=versions)
    label = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "label",
        help="label the images in a folder",
        description="Learn from a folder with one sub-folder of images for each class, and label another folder.",
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
    add("--save", metavar="FILE", help="save the classifier (.skops or .joblib)")
    add("--model", default="ViT-B-16", help="with --shots: CLIP model of open_clip (default: %(default)s)")
    add("--pretrained", help="with --shots: weights of the model (default: openai; for mini: bundled)")
    add("--names", metavar="FILE", help="with --shots: .csv with folder, name of the class, optional prompts")
    removed = "with --shots: .csv with path and label; an empty label removes a shot"
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


def _check_file(option, path, kinds):
    """Refuse a file of another kind, or whose packages are missing, or a new file that cannot be written."""
    if path is None:
        return
    kind, parent = Path(path).suffix.lower(), Path(path).absolute().parent
    if kind not in kinds:
        raise UsageError(f"{option}: {path!r} does not end in {' or '.join(kinds)}")
    missing = [name for name in NEEDS.get(kind, []) if find_spec(name) is None]
    if missing:
        install = f"{sys.executable} -m pip install {' '.join(missing)}"
        raise UsageError(f"{option}: {kind} files need {' and '.join(missing)}: {install}")
    if option == "--model-file":
        return
    if os.path.lexists(path):
        raise UsageError(f"{option}: {path!r} exists, and nothing is overwritten; give another name")
    if not parent.is_dir():
        raise UsageError(f"{option}: there is no folder {str(Path(path).parent)!r}")
    if not os.access(parent, os.W_OK):
        raise PermissionError(f"nothing may be written into the folder {str(parent)!r}")


def _check(args):
    """Refuse what would fail only after the work. Set defaults that depend on other arguments."""
    _check_file("--out", args.out, WRITERS)
    _check_file("--report", args.report, [".html"])
    _check_file("--save", args.save, [".joblib", ".skops"])
    _check_file("--model-file", args.model_file, [".joblib", ".skops"])
    if args.model_file is None and args.shots is None and args.classes is None:
        raise UsageError("give --shots, --classes, or --model-file")
    if args.model_file is not None:
        for name in ("shots", "classes", "names", "corrections", "each_by_itself"):
            if getattr(args, name):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} does not go with --model-file, whose classifier is fitted already"
                )
    args.pretrained = args.pretrained or ("bundled" if args.model == "mini" else "openai")
    if args.sort_into is not None:
        if not args.sort_into:
            raise UsageError("--sort-into: the name of the folder is empty; '.' is the working folder")
        earlier_copies(args.photos, Path(args.sort_into))


def _label(args):
    cache = None if args.no_cache else cache_folder
    shots, text = None, []
    if args.model_file is None:
        model = args.model, args.pretrained
        job = read_job(
            args.photos,
            model,
            shots=args.shots,
            classes=args.classes,
            names=args.names,
            corrections=args.corrections,
            cache=cache,
            alpha=args.alpha,
            learns=not args.each_by_itself,
        )
        labels = job.fit(evaluate=True)
        pipeline, rows, embeddings, shots = labels.pipeline, labels.rows, job.embeddings, labels.shots
        text = _summary(job, labels, args.model)
    else:
        pipeline = _load(args.model_file)
        if args.alpha and not hasattr(pipeline[-1], "p_values"):
            kind = type(pipeline[-1]).__name__
            raise UsageError(f"--alpha needs a classifier with p-values; the {kind} of --model-file has none")
        with naming("PHOTOS", ValueError):
            list_files(args.photos)
        pipeline[0].set_params(cache=cache and cache())
        rows, embeddings = label_files(pipeline, args.photos, alpha=args.alpha)
    # All files are written, or none. Else the same command would refuse to overwrite one of them.
    with ExitStack() as undo:
        if args.save is not None:
            _save(pipeline, args.save)
            undo.callback(Path(args.save).unlink)
        if args.report is not None:
            report(args.report, args.photos, pipeline.classes_, rows, embeddings, shots, text)
            undo.callback(Path(args.report).unlink)
        write_table(rows, args.out)
        undo.pop_all()
    counts, skipped = counted(rows)
    for row in skipped:
        say(f"Skipped {row['path']}: {row['problem']}.")
    say(f"{counts}: {args.out}")
    if args.save is not None:
        say(f"Classifier: {args.save}")
    if args.report is not None:
        say(f"Page to look at: {args.report}")
    if args.sort_into is not None:
        copied = sort_into(rows, args.photos, Path(args.sort_into))
        say(f"{copied} images copied into {args.sort_into!r}.")
    for line in text:
        say(line)
    return int(len(skipped) > 0)


def _summary(job, labels, model):
    """Lines on how the labels came about."""
    shots, lines = labels.shots, []
    names = labels.classifier.class_names_
    if puzzling := puzzling_names([name for name in names if name is not None], model):
        known = f"Note: Names that the model may not know ({len(puzzling)}): {listed(puzzling)}."
        lines.append(f"{known} --names gives these classes other names, such as English ones.")
    how = f"The {labels.n_taught} images without a label taught the classifier too, so that a label depends on the others."
    lines.append(how if labels.n_taught else "Each image was labelled by itself.")
    if shots.evaluation is None:
        return [*lines, f"No shots: the names of {len(names)} classes alone."]
    if by_name := sorted({*labels.classifier.classes_} - {*shots.labels}):
        lines.append(f"Classes without shots, known by their names alone ({len(by_name)}): {listed(by_name)}")
    if 0 < job.alpha < 1 / (len(shots.labels) + 1):
        few = f"With {len(shots.labels)} shots, no p-value is as low as --alpha {job.alpha:g}."
        lines.append(f"Note: {few} So every image gets a label.")
    if labels.classifier.blend_["trust"] < 0.5:
        lines.append(
            "Note: The shots show that the names of the classes say little to the model. Try other --names."
        )
    lines += shots.summary().split("\n")
    if job.corrections:
        lines.append(_changed(replace(job, corrections={}).fit().rows, labels.rows, job.corrections))
    return lines


def _changed(before, after, corrections):
    """What the corrections change in the labels of other images."""
    others = [
        (old["label"], new["label"])
        for old, new in zip(before, after)
        if was_read(new) and os.path.realpath(new["path"]) not in corrections
    ]
    changes = Counter(pair for pair in others if pair[0] != pair[1])
    named = [
        f"{n} from {old or NONE_OF_THESE} to {new or NONE_OF_THESE}"
        for (old, new), n in changes.most_common()
    ]
    counts = f"{changes.total()} of {len(others)} other labels"
    return f"Changed by the corrections: {counts}{after_colon(named)}"


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
    pipeline.set_params(**dict.fromkeys(caches))
    with new_file(path) as unfinished:
        if unfinished.suffix.lower() == ".joblib":
            joblib.dump(pipeline, unfinished)
        else:
            import skops.io

            skops.io.dump(pipeline, unfinished)


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
