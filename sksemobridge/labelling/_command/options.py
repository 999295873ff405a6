"""Options of a run. Each option is declared once, with its help and the options that it excludes.

The command makes its parser from `LabelOptions`, and all modules of the command read their options
from it. This module imports nothing heavy, so that `--help` answers at once.
"""

import argparse
import os
from dataclasses import MISSING, Field, dataclass, field, fields
from os import PathLike
from typing import Any

from .._messages import UsageError
from .._photos.needed_packages import check_packages
from .._photos.user_tables import TABLES

# The default model is accurate and fast on a CPU.
MODEL = "ViT-B-32-256"
CLASSIFIERS = (".joblib", ".skops")


def _option(text: str, metavar: str = "", default: Any = None, **how: Any) -> Any:
    """A field of `LabelOptions`: its help, and the name of its value in the help.

    `how` are `endings` of the file, and `excludes`, the names of options that do not go with this
    one.
    """
    return field(default=default, metadata={"help": text, "metavar": metavar, **how})


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Options of a run. The method `check` validates them."""

    photos: str = _option("folder of images, with all sub-folders", "PHOTOS", MISSING)
    out: str | None = _option(
        "table to write (.csv, .xlsx; with --open by default labels.csv here)",
        "FILE",
        endings=TABLES,
    )
    shots: str | None = _option(
        "labelled images, a sub-folder for each class; of an empty one, only the name is used",
        "FOLDER",
    )
    classes: str | tuple[str, ...] | None = _option(
        'names of classes, such as "beach, port", or a .txt with one a line', "NAMES"
    )
    open: bool = _option(
        "open a page in the browser where you label images, while the classifier learns from each"
        " handful",
        default=False,
    )
    answers: str | None = _option(
        "your answers in the page (default: OUT with .answers.jsonl)",
        "FILE",
        endings=(".jsonl",),
    )
    corrections: str | None = _option(
        "list (.csv, .xlsx) with path and label, where an empty label is none of the classes; or a"
        " corrected table of this command",
        "FILE",
    )
    model: tuple[str, ...] = _option(
        f"of open_clip, mini, transformers:NAME, timm:NAME; twice: both (default: {MODEL})",
        "NAME",
        default=(),
    )
    embeddings: str | None = _option(
        "embeddings of the images by a model of your own (.npz with paths, images, and perhaps"
        " names, texts, words, word_texts)",
        "FILE",
        endings=(".npz",),
        excludes=("names",),
        why="a file of embeddings has texts of its own",
    )
    bursts: float | str | PathLike[str] | None = _option(
        "one label for images that show the same: of one camera and folder, each at most so many"
        " SECONDS after the one before; or those of a table (.csv) with path and burst",
        "SECONDS|FILE",
    )
    names: str | None = _option(".csv with folder or class, its name, optional prompts", "FILE")
    alpha: float = _option(
        "give no label to images with a p-value of at most this number: they look like none of the"
        " classes. Of images of the classes this is about the share, in the mean over the classes",
        "ALPHA",
        default=0.0,
    )
    each_by_itself: bool = _option(
        "do not learn from the images in PHOTOS, so that a label does not depend on the others",
        default=False,
    )
    report: str | None = _option(
        "write a page that shows the labels, and lets you correct them (.html)",
        "FILE",
        endings=(".html",),
    )
    sort_into: str | None = _option(
        "copy each image into a sub-folder with the name of its label", "FOLDER"
    )
    sidecars: bool = _option(
        "write each label into NAME.EXT.xmp beside its image, where digiKam, darktable and Immich"
        " read it; all else in such a file stays, and no image is changed",
        default=False,
    )
    save: str | None = _option(
        "save the classifier (.skops or .joblib)", "FILE", endings=CLASSIFIERS
    )
    model_file: str | None = _option(
        "classifier of an earlier --save, which learns from PHOTOS too (.joblib files of others can"
        " run any program)",
        "FILE",
        endings=CLASSIFIERS,
        excludes=(
            "shots",
            "classes",
            "open",
            "corrections",
            "model",
            "names",
        ),
        why="its classifier is fitted already",
    )
    overwrite: bool = _option("overwrite the table and the page of an earlier run", default=False)
    no_cache: bool = _option("do not keep embeddings for the next run", default=False)
    read_all: bool = _option(
        "read every image again, not only those whose size, times or place have changed",
        default=False,
    )

    def check(self) -> None:
        """Raise a `UsageError` for values that do not fit each other, or need a missing package or
        folder.
        """
        # With `--open`, a person names the classes in the page.
        given = (self.model_file, self.shots, self.classes, self.embeddings)
        if not self.open and all(value is None for value in given):
            raise UsageError("give --shots, --classes, or --model-file; or --open to find names")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"--alpha: {self.alpha:g} is not between 0 and 1")
        for option in self.given():
            for name in option.metadata.get("excludes", ()):
                if getattr(self, name):
                    why = f"{flag(name)} does not go with {flag(option.name)}"
                    raise UsageError(f"{why}: {option.metadata['why']}")
        if self.embeddings is not None and len(self.model) > 1:
            raise UsageError("--model: with --embeddings give one model, that made them")
        if self.open:
            check_packages("--open", 'the page needs the extra "live",', "--open")
        if not os.path.lexists(self.photos):
            raise UsageError(f"PHOTOS: There is no folder {self.photos!r}; check the path.")

    def given(self) -> list[Field[Any]]:
        """The options that were given."""
        return [option for option in fields(self) if getattr(self, option.name)]


def flag(name: str) -> str:
    """The flag of an option on the command line."""
    return f"--{name.replace('_', '-')}"


class _Once(argparse.Action):
    """Store a value, and refuse a second one, which would replace the first without a word."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not self.default:
            raise argparse.ArgumentError(self, "it is given twice; give it once")
        setattr(namespace, self.dest, values)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Make a parser read `LabelOptions`."""
    for option in fields(LabelOptions):
        help_text, metavar = option.metadata["help"], option.metadata["metavar"] or None
        if option.default is MISSING:
            parser.add_argument(option.name, metavar=metavar, help=help_text)
        elif option.default is False:
            parser.add_argument(flag(option.name), action="store_true", help=help_text)
        else:
            is_list = option.default == ()
            parser.add_argument(
                flag(option.name),
                metavar=metavar,
                action="append" if is_list else _Once,
                default=None if is_list else option.default,
                type=float if isinstance(option.default, float) else str,
                help=help_text,
            )


def read_options(args: argparse.Namespace) -> LabelOptions:
    """The options that a parser has read."""
    values = {name: value for name, value in vars(args).items() if value is not None}
    return LabelOptions(**values | {"model": tuple(values.get("model", ()))})
