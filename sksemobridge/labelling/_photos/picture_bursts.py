"""Bursts of pictures: pictures that one camera took one after the other, or that a table groups."""

import math
import os
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL.ExifTags import IFD, Base
from tqdm.contrib.concurrent import thread_map

from ..._utils.validation import listed, plural, warn_caller
from ...datasets import is_image
from ...encoders._heads import read_exif
from .._messages import UsageError
from .embeddings_file import after_name
from .picture_index import real_paths
from .user_tables import TABLES, read_rows, with_formulas

BURST_COLUMNS = ("path", "burst")


def find_bursts(given, photos, paths, *, progress=False):
    """The bursts of the pictures at `paths`: a dict from real path to burst, without pictures that
    are a burst by themselves. None if no bursts are wanted.

    `given` are seconds, or the path of a table. Paths of a table are relative to `photos`.
    """
    if given is None:
        return None
    given = str(given)
    if Path(given).suffix.lower() in TABLES:
        bursts = _by_table(given, photos, paths)
    else:
        bursts = _by_time(_as_seconds(given), paths, progress)
    size = Counter(bursts.values())
    return {real: burst for real, burst in bursts.items() if size[burst] > 1}


def groups_of(bursts, real):
    """The number of the burst of each picture, by real paths. None if no bursts are wanted."""
    if bursts is None:
        return None
    numbers = {}
    # A picture without a burst is a burst by itself.
    keys = (bursts.get(path, (path,)) for path in real)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)


def count_bursts(groups):
    """The numbers of bursts and pictures, as text. `groups` are the bursts of all pictures."""
    n_bursts, n = len({*groups}), len(groups)
    return f"{n_bursts:,} {plural(n_bursts, 'burst')}, {n:,} {plural(n, 'picture')}"


def _as_seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(
            f"--bursts: {text!r} is neither a number of seconds, such as 5, nor a table (.csv) with"
            " path and burst"
        )
    return seconds


def _by_time(seconds, paths, progress):
    """Bursts by time. A burst ends if the next picture of the same camera and folder was taken more
    than `seconds` later.
    """
    found = thread_map(_taken, paths, desc="times of images", chunksize=100, disable=not progress)
    by_camera, without = defaultdict(list), []
    for path, taken in zip(paths, found):
        if taken is not None:
            camera, time = taken
            by_camera[os.path.dirname(path), camera].append((time, path))
        elif is_image(path):
            without.append(path)
    dated = [path for pictures in by_camera.values() for _, path in pictures]
    bursts, burst, real_of = {}, 0, real_paths(dated)
    for pictures in by_camera.values():
        before = -math.inf
        for time, path in sorted(pictures):
            if time - before > seconds:
                burst += 1
            bursts[real_of[path]] = burst
            before = time
    if without:
        warn_caller(
            f"--bursts: Pictures without a time (Exif DateTimeOriginal), each a burst by itself"
            f" ({len(without)} of {len(bursts) + len(without)}): {listed(without)}."
        )
    return bursts


def _taken(path):
    """The camera of a picture, and the time at which it was taken, in seconds. None if the picture
    has no time.
    """
    if not os.path.isfile(path):  # reading a pipe would wait for a writer
        return None
    try:
        exif = read_exif(path)
        details = exif.get_ifd(IFD.Exif)
        when = datetime.strptime(_text(details.get(Base.DateTimeOriginal)), "%Y:%m:%d %H:%M:%S")
    # Damaged metadata raise errors of all kinds.
    except Exception:
        return None
    offset = _offset(_text(details.get(Base.OffsetTimeOriginal)))
    digits = _text(details.get(Base.SubsecTimeOriginal))
    time = (when - datetime(1970, 1, 1)).total_seconds() - (offset or 0)
    time += float(f"0.{digits}") if digits.isdecimal() and digits.isascii() else 0
    # Times with and without an offset cannot be compared, and count as of two cameras.
    facts = exif.get(Base.Make), exif.get(Base.Model), details.get(Base.BodySerialNumber)
    return (*map(_text, facts), offset is None), time


def _offset(text):
    """Seconds from UTC, or None."""
    try:
        return datetime.strptime(text, "%z").utcoffset().total_seconds()
    except ValueError:
        return None


def _text(value):
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "" if value is None else str(value).strip("\0 ")


def _by_table(table, photos, paths):
    """Bursts of a table with the columns path and burst. An empty burst is a picture by itself."""
    rows = read_rows("--bursts", table)
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if missing := [name for name in BURST_COLUMNS if name not in header]:
        raise UsageError(
            f"--bursts: {table!r} has no column {' and no column '.join(map(repr, missing))} in its"
            " first line; name the columns path and burst"
        )
    pictures, bursts, gone = {*real_paths(paths).values()}, {}, []
    for row in rows[1:]:
        row = [*map(with_formulas, row), *[""] * len(header)]
        name, burst = (row[header.index(column)].strip() for column in BURST_COLUMNS)
        real = _real(name, photos, pictures)
        if real is None:
            gone.append(name)
        elif bursts.setdefault(real, burst) != burst:
            raise UsageError(
                f"--bursts: {table!r} has {name!r} in two bursts, {bursts[real]!r} and {burst!r};"
                " delete one of the lines"
            )
    if not bursts:
        raise UsageError(
            f"--bursts: {table!r} names no image in PHOTOS; its paths are relative to PHOTOS, or"
            f" absolute{f' (such as {gone[0]!r})' if gone else ''}"
        )
    if gone:
        warn_caller(
            f"--bursts: Passed over, not there ({len(gone)}): {listed(gone)}. Relative paths start"
            f" from PHOTOS, {os.path.abspath(photos)!r}."
        )
    return {real: burst for real, burst in bursts.items() if burst}


def _real(name, photos, pictures):
    """The real path of a name in a table: in PHOTOS, from the current folder, or in PHOTOS before
    it was moved. None if the name leads to no picture.
    """
    if "\0" in name:  # no path has a null byte
        return None
    places = [os.path.join(photos, name), name]
    if os.path.isabs(name) and (below := after_name(Path(name), photos)) is not None:
        places.append(os.path.join(photos, below))
    return next((real for real in map(os.path.realpath, places) if real in pictures), None)
