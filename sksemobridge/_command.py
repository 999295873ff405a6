"""The command `sksemobridge`: label the images of a folder without writing a program."""

import argparse
import copy
import csv
import filecmp
import itertools
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import joblib
from sklearn.pipeline import Pipeline

from ._folder_table import COLUMNS, NONE_OF_THESE, embed_readable, predict_folder
from ._pipeline import make_semobridge_pipeline
from ._saving import trusted_types
from ._utils.platforms import folder_names, user_cache_folder
from .datasets import load_image_folder
from .datasets._folder import list_files
from .encoders import CLIPImageEncoder, ModelLoadError

# What each kind of file needs beside this package.
TABLES = {".csv": [], ".parquet": ["pandas", "pyarrow"]}
MODELS = {".joblib": [], ".skops": ["skops"]}
EPILOG = """\
Exit status: 0 if every file has a label or is of none of the classes, 1 if files were skipped (the table has them, with
the reason), 2 for wrong use. Nothing is moved, and nothing that exists is overwritten."""


def main(argv=None):
    """Run the command.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments; None reads those of the process.

    Returns
    -------
    int
        Exit status: 0, or 1 if files were skipped. Wrong use leaves with `SystemExit(2)`.
    """
    parser, label = _parsers()
    args = parser.parse_args(argv)
    try:
        _check(args)
        return _label(args)
    # What the user can mend: arguments, folders, models.
    except (UsageError, OSError, ModelLoadError, ValueError) as error:
        label.error(str(error))


class UsageError(Exception):
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
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    label.add_argument("photos", metavar="PHOTOS", help="folder of images, flat or nested")
    source = label.add_mutually_exclusive_group(required=True)
    source.add_argument("--shots", metavar="FOLDER", help="labelled images, one sub-folder per class")
    source.add_argument("--model-file", metavar="FILE", help="use a classifier from an earlier --save")
    label.add_argument("--out", metavar="FILE", required=True, help="table to write: .csv or .parquet")
    label.add_argument(
        "--model", default="ViT-B-16", help="CLIP model of open_clip, with --shots (%(default)s)"
    )
    label.add_argument("--pretrained", default="openai", help="its weights (%(default)s)")
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
    list_files(args.photos)
    for option, path, kinds in (("--out", args.out, TABLES), ("--save", args.save, MODELS)):
        if path is not None:
            _require(option, path, kinds)
            if Path(path).exists():
                raise UsageError(f"{option}: {path!r} exists, and nothing is overwritten; give another name")
            if not Path(path).absolute().parent.is_dir():
                raise UsageError(f"{option}: there is no folder {str(Path(path).parent)!r}")
    if args.model_file is not None:
        _require("--model-file", args.model_file, MODELS)
    if args.min_probability is not None and args.sort_into is None:
        raise UsageError("--min-probability says what --sort-into copies; give both")
    for option, value in (("--min-probability", args.min_probability), ("--alpha", args.alpha)):
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"{option}: {value:g} is not between 0 and 1")
    if args.sort_into is not None and Path(args.sort_into).exists() and not Path(args.sort_into).is_dir():
        raise UsageError(f"--sort-into: {args.sort_into!r} is a file, not a folder")


def _require(option, path, kinds):
    kind = Path(path).suffix.lower()
    if kind not in kinds:
        raise UsageError(f"{option}: {path!r} ends neither in {' nor in '.join(kinds)}")
    missing = [name for name in kinds[kind] if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{option}: {kind} files need {' and '.join(missing)}: pip install {' '.join(missing)}"
        )


def _label(args):
    cache = cache_folder()
    _say(f"Embeddings are kept in {str(cache)!r}.")
    if args.model_file is None:
        pipeline, skipped = _fit(args, cache)
    else:
        pipeline, skipped = _load(args.model_file), 0
        pipeline[0].set_params(cache=cache)
    if args.save is not None:
        _save(pipeline, args.save)
    table = predict_folder(pipeline, args.photos, alpha=args.alpha)
    _write(table, args.out)
    n_none = list(table["problem"]).count(NONE_OF_THESE)
    problems = [problem for problem in table["problem"] if problem not in ("", NONE_OF_THESE)]
    for path, problem in zip(table["path"], table["problem"]):
        if problem in problems:
            _say(f"Skipped {path}: {problem}.")
    of_none = f", {n_none} of none of the classes" if n_none else ""
    n_labelled = len(table["path"]) - len(problems) - n_none
    _say(f"{n_labelled} files labelled{of_none}, {len(problems)} skipped: {args.out}")
    if args.sort_into is not None:
        copied = _sort_into(table, Path(args.sort_into), args.min_probability or 0.0)
        _say(f"{copied} images copied into {args.sort_into!r}.")
    return int(bool(problems) or bool(skipped))


def cache_folder():
    """Where embeddings are kept between runs: the user's folder for caches."""
    folder = user_cache_folder() / "sksemobridge" / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fit(args, cache):
    """A pipeline fitted on the shots that can be read, and how many cannot."""
    shots = load_image_folder(args.shots)
    if len(shots.target_names) == 1 and not args.alpha:
        raise UsageError(
            f"--shots: {args.shots!r} has one sub-folder, and all images would be labelled "
            f"{shots.target_names[0]!r}. Give the folder whose sub-folders are the classes, or --alpha to turn away "
            "what is not of this one"
        )
    pipeline = make_semobridge_pipeline(args.model, args.pretrained, encoder_params={"cache": cache})
    embeddings, problems = embed_readable(pipeline[0], list(shots.paths), progress=True)
    for path, problem in problems.items():
        _say(f"Skipped the shot {path}: {problem}.")
    readable = [path not in problems for path in shots.paths]
    labels = shots.target_names[shots.target][readable]
    lost = sorted(set(shots.target_names.tolist()) - set(labels.tolist()))
    if lost:
        raise UsageError(f"--shots: no image of these classes can be read: {', '.join(lost)}")
    if 0 < args.alpha < 1 / (len(labels) + 1):
        _say(
            f"With {len(labels)} shots no p-value is as low as --alpha {args.alpha:g}: no image is turned away."
        )
    pipeline[-1].fit(embeddings, labels)
    return pipeline, len(problems)


def _save(pipeline, path):
    # Whoever loads it elsewhere has another folder for caches.
    pipeline = copy.deepcopy(pipeline)
    pipeline.set_params(clipimageencoder__cache=None, semobridgeclassifier__text_encoder__cache=None)
    if Path(path).suffix.lower() == ".joblib":
        joblib.dump(pipeline, path)
    else:
        import skops.io

        skops.io.dump(pipeline, path)
    _say(f"Classifier: {path}")


def _load(path):
    if not Path(path).is_file():
        raise UsageError(f"--model-file: there is no file {path!r}")
    try:
        pipeline = _read(path)
    # What is no such file raises errors of all kinds.
    except Exception as error:
        raise UsageError(
            f"--model-file: {path!r} cannot be read: {str(error) or type(error).__name__}"
        ) from error
    if not isinstance(pipeline, Pipeline) or not isinstance(pipeline[0], CLIPImageEncoder):
        raise UsageError(f"--model-file: {path!r} holds a {type(pipeline).__name__}, not what --save keeps")
    return pipeline


def _read(path):
    if Path(path).suffix.lower() == ".joblib":
        return joblib.load(path)
    import skops.io

    return skops.io.load(path, trusted=trusted_types())


def _write(table, path):
    if Path(path).suffix.lower() == ".parquet":
        shown = [name.encode(errors="backslashreplace").decode() for name in table["path"]]
        table.assign(path=shown).to_parquet(path, index=False)
        return
    # Names of files in another encoding are no text.
    with open(path, "x", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in zip(*(table[name] for name in COLUMNS)):
            writer.writerow(["" if value is None or value != value else value for value in row])


def _sort_into(table, folder, min_probability):
    """Copy images into a sub-folder for each label, and return how many were copied."""
    labels = {label for label, problem in zip(table["label"], table["problem"]) if not problem}
    copied, names = 0, folder_names(sorted(labels, key=str))
    for path, label, probability, problem in zip(
        *map(table.get, ("path", "label", "probability", "problem"))
    ):
        if problem or probability < min_probability:
            continue
        target = _free_name(Path(path), folder / names[label])
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
            copied += 1
    return copied


def _free_name(path, folder):
    """Where to copy a file so that none is overwritten; None if it is there already."""
    for number in itertools.count(1):
        target = folder / (path.name if number == 1 else f"{path.stem}-{number}{path.suffix}")
        if not target.exists():
            return target
        if filecmp.cmp(path, target, shallow=False):
            return None


def _say(message):
    print(message, file=sys.stderr)
