"""The command `sksemobridge`, which labels the images in a folder without a program of the user.

Heavy modules are imported after the arguments were read.
"""

import argparse
import functools
import platform
import traceback
import warnings
from importlib.metadata import requires, version

from .._messages import REPORT_AT, UsageError, escaped, forgiving_stderr, print_message
from .options import add_options, read_options

EPILOG = """\
Exit status: 0 if every image has a label or belongs to none of the classes; 1 if images in PHOTOS
could not be read (printed with the reason, and in the table); 2 for wrong arguments; 3 if the
model cannot be loaded, or a file cannot be read or written; 4 for a fault of this program; 130 if
interrupted. No file is moved. Without --overwrite, no file is overwritten but those that the same
answers belong to, and sidecars change in keywords of this command alone."""


def main(argv=None):
    """Run the command with these arguments, or with the arguments of the process. Return the exit
    status, see `EPILOG`.
    """
    parser = _parser()
    options = read_options(parser.parse_args(argv))
    try:
        options.check()
    except UsageError as error:
        _refuse(parser, error)
    from ...encoders import ModelLoadError
    from .run import run

    with forgiving_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        # Several steps may give the same warning.
        note = functools.cache(lambda text: print_message(f"Note: {text}"))
        warnings.showwarning = lambda message, *_: note(
            getattr(message, "without_advice", str(message))
        )
        try:
            status, lines = run(options)
            print_message("\n".join(lines))
            return status
        except UsageError as error:
            _refuse(parser, error)
        except ModelLoadError as error:
            trial = "For a trial, use --model mini, which knows only drawn icons."
            print_message(f"{error.without_advice} {trial}" if error.is_download else str(error))
            return 3
        except OSError as error:
            print_message(f"sksemobridge label: {error}")
            return 3
        except KeyboardInterrupt:
            kept = (
                ""
                if options.no_cache
                else " Run the same command again: the embeddings up to here are kept."
            )
            print_message(f"Interrupted.{kept}")
            return 130
        except Exception:
            traceback.print_exc()
            print_message(
                "This is a fault of sksemobridge. Please report it with the lines above:"
                f" {REPORT_AT}"
            )
            return 4


def _refuse(parser, error):
    parser.exit(2, f"sksemobridge label: {escaped(str(error))}\n")


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
    add_options(commands.add_parser("label", help=what, description=what, epilog=EPILOG))
    return parser
