"""The command `sksemobridge`: label the images of a folder without writing a program."""

import argparse
import copy
import os
import sys
import tempfile
import warnings
from contextlib import ExitStack
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import joblib
from sklearn.pipeline import Pipeline

from ._copies import is_of_copies, sort_into
from ._folder_table import NONE_OF_THESE, WRITERS, label_files, write_table
from ._report import report
from ._saving import trusted_types
from ._user_shots import learn, say
from ._utils.files import new_file
from ._utils.platforms import user_cache_folder
from .datasets._folder import existing_folder, is_image
from .encoders import CLIPImageEncoder, ModelLoadError

# What each kind of file needs beside this package.
TABLES = {kind: needs for kind, (needs, _) in WRITERS.items()}
MODELS = {".joblib": [], ".skops": ["skops"]}
PAGES: dict[str, list[str]] = {".html": []}
EPILOG = """\
Exit status: 0 if every image has a label or is of none of the classes, 1 if images were skipped (the table has them, with
the reason), 2 for wrong use, 3 if a model cannot be had or a file cannot be read or written, 130 if interrupted. Nothing
is moved, and nothing that exists is overwritten."""


def main(argv=None):
    """Run the command.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments; None reads those of the process.

    Returns
    -------
    int
        Exit status, see `EPILOG`. Wrong use leaves with `SystemExit(2)`.
    """
    parser, label = _parsers()
    args = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        said = set()
        warnings.showwarning = lambda message, *_: _say_once(f"Note: {message}", said)
        try:
            _check(args)
            return _label(args)
        # What the user can mend: arguments and folders.
        except (ValueError, FileNotFoundError, NotADirectoryError) as error:
            label.error(str(error))
        except ModelLoadError as error:
            say(
                f"{error}\nFor a trial, the small model in the package needs no download, but knows drawn icons only: "
                "--model mini"
            )
        except OSError as error:
            say(f"sksemobridge label: {error}")
        except KeyboardInterrupt:
            say("Interrupted.")
            return 130
    return 3


def _say_once(message, said):
    """Say what several steps may warn of."""
    if message not in said:
        said.add(message)
        say(message)


class UsageError(ValueError):
    """Arguments that do not fit together, or a package that they need."""


def _parsers():
    parser = argparse.ArgumentParser(
        prog="sksemobridge", description="Few-shot image classification with CLIP."
    )
    parser.add_argument("--version", action="version", version=version("sksemobridge"))
    label = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "label",
        help="label the images of a folder",
        description="Learn from a folder with one sub-folder of images per class, and label another folder.",
        epilog=EPILOG,
    )
    label.add_argument("photos", metavar="PHOTOS", help="folder of images, flat or nested")
    source = label.add_mutually_exclusive_group(required=True)
    source.add_argument("--shots", metavar="FOLDER", help="labelled images, one sub-folder per class")
    source.add_argument(
        "--model-file",
        metavar="FILE",
        help="use a classifier from an earlier --save; a .joblib of somebody else can run any program",
    )
    label.add_argument("--out", metavar="FILE", required=True, help=f"table to write: {', '.join(TABLES)}")
    label.add_argument(
        "--report", metavar="FILE", help="page to look at the labels, and to correct them: .html"
    )
    label.add_argument("--sep", choices=(",", ";", "tab"), metavar="MARK", help="of a .csv: , ; or tab")
    label.add_argument(
        "--decimal", choices=(".", ","), metavar="MARK", help="of a .csv: . or , (then --sep ';')"
    )
    label.add_argument(
        "--model", default="ViT-B-16", help="CLIP model of open_clip, with --shots (%(default)s)"
    )
    label.add_argument("--pretrained", help="its weights (openai; of mini, bundled)")
    label.add_argument(
        "--names", metavar="FILE", help="with --shots: .csv of folder, name of the class, and prompts if any"
    )
    label.add_argument(
        "--corrections", metavar="FILE", help="with --shots: .csv of path, label; no label takes a shot back"
    )
    label.add_argument("--no-cache", action="store_true", help="keep no embeddings for the next run")
    label.add_argument("--sort-into", metavar="FOLDER", help="copy each image into a sub-folder of its label")
    label.add_argument(
        "--min-probability",
        metavar="P",
        type=float,
        help="copy only images whose label has at least this one",
    )
    label.add_argument(
        "--alpha",
        metavar="ALPHA",
        type=float,
        default=0.0,
        help="give no label to images with a p-value of at most this one: none of the classes",
    )
    label.add_argument("--save", metavar="FILE", help="keep the classifier: .skops or .joblib")
    return parser, label


def _check(args):
    """Refuse arguments that would fail only after the work was done."""
    existing_folder(args.photos)
    files = (("--out", args.out, TABLES), ("--report", args.report, PAGES), ("--save", args.save, MODELS))
    for option, path, kinds in files:
        if path is not None:
            _require(option, path, kinds)
            if os.path.lexists(path):
                raise UsageError(f"{option}: {path!r} exists, and nothing is overwritten; give another name")
            parent = Path(path).absolute().parent
            if not parent.is_dir():
                raise UsageError(f"{option}: there is no folder {str(Path(path).parent)!r}")
            if not os.access(parent, os.W_OK):
                raise PermissionError(f"{option}: nothing may be written into the folder {str(parent)!r}")
    tables = {"--names": args.names, "--corrections": args.corrections}
    for option, path in {"--model-file": args.model_file, **tables}.items():
        if path is not None and not Path(path).is_file():
            raise UsageError(f"{option}: there is no file {path!r}")
    if args.model_file is not None:
        _require("--model-file", args.model_file, MODELS)
        for option, path in tables.items():
            if path is not None:
                raise UsageError(f"{option} is for --shots; a classifier of --model-file has learnt already")
    is_csv = Path(args.out).suffix.lower() == ".csv"
    if not is_csv and (args.sep or args.decimal):
        raise UsageError("--sep and --decimal are for a .csv in --out")
    args.pretrained = args.pretrained or ("bundled" if args.model == "mini" else "openai")
    args.decimal = args.decimal or "."
    args.sep = {None: ";" if args.decimal == "," else ",", "tab": "\t"}.get(args.sep, args.sep)
    if args.sep == args.decimal:
        raise UsageError("--sep and --decimal are both a comma")
    if args.min_probability is not None and args.sort_into is None:
        raise UsageError("--min-probability says what --sort-into copies; give both")
    for option, value in (("--min-probability", args.min_probability), ("--alpha", args.alpha)):
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"{option}: {value:g} is not between 0 and 1")
    if args.sort_into is not None:
        folder = Path(args.sort_into)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--sort-into: {args.sort_into!r} is a file, not a folder")
        if folder.resolve().is_relative_to(Path(args.photos).resolve()) and not is_of_copies(folder):
            raise UsageError(
                f"--sort-into: {args.sort_into!r} is in PHOTOS and holds other files, so that the copies would be "
                "labelled in the next run; give a new folder, or one elsewhere"
            )


def _require(option, path, kinds):
    kind = Path(path).suffix.lower()
    if kind not in kinds:
        raise UsageError(f"{option}: {path!r} does not end in {' or '.join(kinds)}")
    missing = [name for name in kinds[kind] if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{option}: {kind} files need {' and '.join(missing)}: {sys.executable} -m pip install {' '.join(missing)}"
        )


def _label(args):
    cache, shots, given = None if args.no_cache else cache_folder(), None, {}
    if args.model_file is None:
        model, tables = (args.model, args.pretrained), (args.names, args.corrections)
        shots = learn(args.shots, model, *tables, cache=cache, alpha=args.alpha)
        pipeline, given = shots.pipeline, shots.given
    else:
        pipeline = _load(args.model_file)
        pipeline[0].set_params(cache=cache)
    table, paths, embeddings = label_files(pipeline, args.photos, alpha=args.alpha, given=given)
    # All files or none: the same command would refuse to overwrite one of them.
    with ExitStack() as undo:
        if args.save is not None:
            _save(pipeline, args.save)
            undo.callback(Path(args.save).unlink)
        if args.report is not None:
            report(args.report, args.photos, pipeline, table, paths, embeddings, shots)
            undo.callback(Path(args.report).unlink)
        write_table(table, args.out, separator=args.sep, decimal=args.decimal)
        undo.pop_all()
    n_skipped = _say_counts(table, args.out)
    if args.save is not None:
        say(f"Classifier: {args.save}")
    if args.report is not None:
        say(f"Page to look at: {args.report}")
    if args.sort_into is not None:
        copied = sort_into(table, Path(args.sort_into), args.min_probability or 0.0)
        say(f"{copied} images copied into {args.sort_into!r}.")
    if shots is not None:
        say("\n".join(shots.summary(paths, embeddings)))
        n_skipped += shots.n_skipped
    return int(n_skipped > 0)


def _say_counts(table, out):
    """Say what became of the files, and return how many images could not be read."""
    n_none = n_skipped = n_others = 0
    for path, problem in zip(table["path"], table["problem"]):
        if problem == NONE_OF_THESE:
            n_none += 1
        elif problem and is_image(Path(path)):
            say(f"Skipped {path}: {problem}.")
            n_skipped += 1
        elif problem:
            n_others += 1
    counts = {
        "files labelled": table["problem"].count(""),
        "of none of the classes": n_none,
        "skipped": n_skipped,
        "no image": n_others,
    }
    say(f"{', '.join(f'{count} {what}' for what, count in counts.items() if count)}: {out}")
    return n_skipped


def cache_folder():
    """Where embeddings are kept between runs: the user's folder for caches. None where nothing can be written there."""
    try:
        folder = user_cache_folder() / "sksemobridge" / "embeddings"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    # The last where there is no home.
    except (OSError, RuntimeError) as error:
        say(f"Note: no embeddings are kept for the next run, since {error}.")
        return None
    say(f"Embeddings are kept in {str(folder)!r}.")
    return folder


def _save(pipeline, path):
    # Whoever loads it elsewhere has another folder for caches.
    pipeline = copy.deepcopy(pipeline)
    pipeline.set_params(clipimageencoder__cache=None, semobridgeclassifier__text_encoder__cache=None)
    with new_file(path) as unfinished:
        if unfinished.suffix.lower() == ".joblib":
            joblib.dump(pipeline, unfinished)
        else:
            import skops.io

            skops.io.dump(pipeline, unfinished)


def _load(path):
    try:
        if Path(path).suffix.lower() == ".joblib":
            pipeline = joblib.load(path)
        else:
            import skops.io

            pipeline = skops.io.load(path, trusted=trusted_types())
        is_ours = isinstance(pipeline, Pipeline) and isinstance(pipeline[0], CLIPImageEncoder)
    # What is no such file raises errors of all kinds.
    except Exception as error:
        raise UsageError(
            f"--model-file: {path!r} cannot be read: {str(error) or type(error).__name__}"
        ) from error
    if not is_ours:
        raise UsageError(f"--model-file: {path!r} holds a {type(pipeline).__name__}, not what --save keeps")
    return pipeline
