"""A file of embeddings that a user made with a model of his own (`--embeddings`).

The file takes the place of a model, with rows of images by path, and texts of classes and words.
Neither a model nor torch is loaded.
"""

import os
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize

from ..._texts.prompts import ENSEMBLE_TEMPLATES
from ..._utils.validation import comparable, listed, warn_caller
from ...encoders import CLIPTextEncoder, ImageEncoder, PrecomputedTextEncoder
from .._answers.class_names import refuse_control, refuse_names, words_of
from .._messages import UsageError, naming
from .._suggest_names import without_article

# Arrays that are read from a file.
ARRAYS = ("paths", "images", "names", "texts", "words", "word_texts", "logit_scale")
# Two models count as the same if their embeddings of the same texts have at least this mean cosine.
# Other templates of prompts alone change the cosine by about 0.1.
SAME_MODEL = 0.99
# Templates that a user may have put names in. A model embeds other names in the best template.
TEMPLATES = (*ENSEMBLE_TEMPLATES, "{}", "a {}", "a photo of a {}", "a photo of a {}.")


@dataclass(frozen=True, eq=False)
class EmbeddingsFile:
    """The checked content of a file.

    `row_below` has the row in `images (n, D)` of each path relative to PHOTOS, and `row_at` the row
    of each absolute path. `texts` are names of classes first, then words, with unit embeddings
    `text_rows (T, D)`; the first `n_names` are the names.
    """

    path: str
    row_below: dict[str, int]
    row_at: dict[str, int]
    images: np.ndarray
    texts: list[str]
    text_rows: np.ndarray
    n_names: int
    logit_scale: float

    @property
    def names(self):
        """Names of classes."""
        return self.texts[: self.n_names]


@dataclass(repr=False, eq=False)
class EmbeddingsOfFile(ImageEncoder):
    """Transformer from paths of images to the rows of a file of embeddings.

    Parameters
    ----------
    file : str
        The file, see `read_embeddings`.
    photos : str
        The folder to which paths in the file are relative.
    """

    _parameter_constraints = {"file": [str], "photos": [str]}

    file: str
    photos: str

    on_error = "raise"

    def _embed_rows(self, images, ends_at_problem=False):
        content = read_embeddings(self.file, self.photos)
        found = [_row_of(content, self.photos, path) for path in images]
        rows = np.array([-1 if row is None else row for row in found], dtype=int)
        embeddings = content.images[rows]
        embeddings[rows < 0] = np.nan
        problems = {}
        for number, row in enumerate(found):
            if row is None:
                problems[number] = f"{content.path!r} has no embedding of it"
            elif not np.isfinite(embeddings[number]).all():
                problems[number] = f"its embedding in {content.path!r} is not finite"
                embeddings[number] = np.nan
            elif not embeddings[number].any():
                problems[number] = f"its embedding in {content.path!r} has nothing but zeros"
                embeddings[number] = np.nan
        return embeddings, problems

    @property
    def _n_features_out(self):
        return read_embeddings(self.file, self.photos).images.shape[1]


@dataclass(repr=False, eq=False, kw_only=True)
class TextsOfFile(PrecomputedTextEncoder):
    """The texts of a file of embeddings. Other names have no text, or are embedded by `model`.

    Parameters
    ----------
    model : text encoder or None, default=None
        Embeds names that are not in the file, in `template`.
    template : str, default="{}"
        Prompt in which `{}` stands for the name.
    """

    model: Any = None
    template: str = "{}"

    _parameter_constraints = PrecomputedTextEncoder._parameter_constraints | {
        "model": "no_validation",
        "template": [str],
    }

    def name_of(self, label):
        """The name of the text of a class, for any spelling of its label. None without a text."""
        found = {comparable(text): text for text in reversed(self.texts)}.get(comparable(label))
        if found is None and self.model is None:
            return None
        return words_of(label if found is None else found)

    def _embed(self, texts, project):
        if self.model is None:
            return super()._embed(texts, project)
        known = {*map(words_of, self.texts)}
        rows = [
            super(TextsOfFile, self)._embed([text], project)[0]
            if words_of(text) in known
            else normalize(self.model.transform([self.template.replace("{}", text)]))[0]
            for text in texts
        ]
        return np.array(rows)


def without_file(classifier):
    """The classifier with the texts of the file in a `PrecomputedTextEncoder`, for saving."""
    texts = classifier.text_encoder
    if isinstance(texts, TextsOfFile):
        usual = {"projection": None, "logit_scale": texts.logit_scale}
        classifier.set_params(text_encoder=PrecomputedTextEncoder(texts.texts, texts.eos, **usual))
    return classifier


def text_encoder_of(content, model=None):
    """The encoder of the texts of an `EmbeddingsFile`, or None if the file has no texts.

    `model` is the name of a model that embeds other names. The same model must have made the texts
    of the file.
    """
    if not content.texts:
        if model is not None:
            raise UsageError(
                f"--model: {content.path!r} has no texts, so nothing shows that {model} made its"
                " embeddings; leave --model out, or add names and texts"
            )
        return None
    texts = dict(zip(content.texts, content.text_rows))
    encoder = TextsOfFile.from_joint(texts, logit_scale=content.logit_scale)
    if model is None:
        return encoder
    own = CLIPTextEncoder(model, "auto")
    names = content.names or content.texts
    expected = content.text_rows[: len(names)]
    cosines = {}
    for template in TEMPLATES:
        rows = normalize(own.transform([template.replace("{}", words_of(name)) for name in names]))
        if rows.shape[1] != expected.shape[1]:
            raise UsageError(
                f"--model: {model} gives rows of {rows.shape[1]} numbers, and {content.path!r} has"
                f" {expected.shape[1]}; give the model that made them, or leave --model out"
            )
        cosines[template] = float(np.mean(np.sum(rows * expected, axis=1)))
    best = max(cosines, key=cosines.__getitem__)
    if cosines[best] < SAME_MODEL:
        raise UsageError(
            f"--model: the texts of {model} have a mean cosine of {cosines[best]:.3f} to those of"
            f" {content.path!r}, below {SAME_MODEL}, so another model made them; leave --model out"
        )
    return encoder.set_params(model=own, template=best)


def read_embeddings(path, photos):
    """Read a file of embeddings: an `EmbeddingsFile`.

    The file is one of `numpy.savez` with `paths (n,)`, relative to PHOTOS or absolute, and
    `images (n, D)`. The file may also have `names (C,)` and `texts (C, D)` of classes, `words (W,)`
    and `word_texts (W, D)`, and `logit_scale`. A `UsageError` names the part that does not fit.
    """
    with naming("--embeddings"):
        status = os.stat(path)
    try:
        return _read(os.path.abspath(path), path, os.path.abspath(photos), status.st_mtime_ns)
    except (UsageError, OSError):
        raise
    # A file that is damaged, or does not fit into memory, raises errors of all kinds.
    except Exception as error:
        raise UsageError(
            f"--embeddings: {path!r} cannot be read as arrays of text and of numbers that"
            f" numpy.savez wrote: {error}"
        ) from error


@lru_cache(1)
def _read(full, path, photos, changed):
    if not zipfile.is_zipfile(full):
        raise ValueError("it is no archive (numpy.save writes one array, and no archive)")
    with np.load(full, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ARRAYS if name in file.files}
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray):
            raise ValueError(f"{name!r} is no array")
    for name in ("paths", "images"):
        if name not in arrays:
            raise UsageError(
                f"--embeddings: {path!r} has no {name!r}; it needs paths (n,) and images (n, D)"
            )
    paths = _strings(path, arrays, "paths")
    images = _rows(path, arrays, "images", len(paths))
    names, texts = _texts(path, arrays, "names", "texts", images.shape[1])
    words, word_texts = _texts(path, arrays, "words", "word_texts", images.shape[1])
    scale = np.asarray(arrays.get("logit_scale", 100.0))
    if scale.size != 1 or scale.dtype.kind not in "iuf" or not 0 < float(scale.item()) < np.inf:
        raise UsageError(f"--embeddings: logit_scale in {path!r} is no number above zero")
    # Words are whole texts, such as "a cat". Names of classes come first.
    known = {*map(comparable, names)}
    kept = {}
    for row, word in enumerate(map(without_article, words)):
        if comparable(word) not in known:
            kept.setdefault(comparable(word), row)
    rows = [*kept.values()]
    texts = np.concatenate([texts, word_texts[rows]])
    row_below, row_at = _places(path, paths, photos)
    return EmbeddingsFile(
        path,
        row_below,
        row_at,
        images,
        [*names, *(without_article(words[row]) for row in rows)],
        normalize(texts.astype(np.float64)) if len(texts) else texts,
        len(names),
        float(scale.item()),
    )


def require_pictures(path, photos, files):
    """Refuse a file of embeddings that has none of the `files` in PHOTOS."""
    content = read_embeddings(path, photos)
    if any(_row_of(content, photos, file) is not None for file in files):
        return
    why = f"its paths must be in PHOTOS, {photos!r}"
    if content.row_below:
        name = next(iter(content.row_below))
        places = [".", *Path(os.path.abspath(photos)).parents, Path(os.path.abspath(path)).parent]
        found = [place for place in places if os.path.lexists(Path(place, name))]
        are = f"are relative to {os.path.abspath(found[0])!r}, and " if found else ""
        why = (
            f"its paths, such as {name!r}, {are}must be relative to PHOTOS, {photos!r}, or absolute"
        )
    raise UsageError(f"--embeddings: {path!r} has no embedding of any file in PHOTOS: {why}")


def _row_of(content, photos, path):
    """The row of a picture, or None."""
    with_links = os.path.abspath(os.fspath(path))
    for place in (with_links, os.path.realpath(with_links)):
        if (row := content.row_at.get(place)) is not None:
            return row
    return content.row_below.get(_below(with_links, os.path.abspath(photos)))


def _strings(path, arrays, name):
    values = arrays.get(name, np.array([], dtype=str))
    is_text = values.dtype.kind == "U" and values.dtype.itemsize > 0
    if values.ndim != 1 or (len(values) and not is_text):
        raise UsageError(
            f"--embeddings: {name} in {path!r} is no array of text (n,); save"
            f" np.array({name}, dtype=str)"
        )
    return values.tolist()


def _rows(path, arrays, name, n):
    values = arrays.get(name, np.zeros((0, 0)))
    is_empty = values.size == 0 and n > 0
    if values.dtype.kind not in "fiu" or values.ndim != 2 or len(values) != n or is_empty:
        raise UsageError(
            f"--embeddings: {name} in {path!r} has the shape {values.shape} and the type"
            f" {values.dtype}, and must have {n} rows of real numbers, one for each text or path"
        )
    return values.astype(np.float64 if values.dtype == np.float64 else np.float32)


def _texts(path, arrays, name, of_texts, width):
    names = _strings(path, arrays, name)
    refuse = refuse_names if name == "names" else refuse_control
    refuse(f"--embeddings: {name} in {path!r}", names)
    if not names and of_texts not in arrays:
        return [], np.zeros((0, width))
    if not names:
        raise UsageError(
            f"--embeddings: {path!r} has {of_texts!r} without {name!r}; names go with texts, and"
            " words with word_texts"
        )
    texts = _rows(path, arrays, of_texts, len(names))
    if texts.shape[1] != width:
        raise UsageError(
            f"--embeddings: {of_texts} in {path!r} has rows of {texts.shape[1]} numbers, and images"
            f" of {width}; embed both with one model"
        )
    if not np.isfinite(texts).all():
        bad = [text for text, row in zip(names, texts) if not np.isfinite(row).all()]
        raise UsageError(
            f"--embeddings: {of_texts} in {path!r} are not finite for {listed(map(repr, bad), 3)}"
        )
    if not texts.any(axis=1).all():
        bad = [text for text, row in zip(names, texts) if not row.any()]
        raise UsageError(
            f"--embeddings: {of_texts} in {path!r} have nothing but zeros for"
            f" {listed(map(repr, bad), 3)}; embed these texts, or leave them out"
        )
    if name == "names" and len({*map(comparable, names)}) < len(names):
        twice = _doubles([*map(comparable, names)])
        raise UsageError(
            f"--embeddings: {path!r} has names of one class twice: {listed(twice, 3)}; keep one"
        )
    return names, texts


def _doubles(values):
    seen = set()
    return sorted({repr(value) for value in values if value in seen or seen.add(value)})


def _places(path, paths, photos):
    """The row of each relative path, and of each absolute path."""
    row_below, row_at, twice, moved = {}, {}, [], 0
    for row, name in enumerate(paths):
        if os.path.isabs(name):
            place = os.path.abspath(name)
            known = row_at.setdefault(place, row)
            below = _below(place, photos)
            if below is None and not os.path.lexists(place):
                below = after_name(PurePath(place), photos)
                moved += below is not None
        else:
            below, known = PurePath(os.path.normpath(name)).as_posix(), row
        if below is not None:
            known = min(known, row_below.setdefault(below, row))
        if known != row:
            twice.append(repr(name))
    if twice:
        raise UsageError(
            f"--embeddings: {path!r} has these images twice: {listed(twice, 3)}; keep one row each"
        )
    if moved:
        warn_caller(
            f"--embeddings: {moved} absolute paths in {path!r} are not there; what follows the"
            f" name of the folder, {Path(photos).name!r}, is taken for the path in it."
        )
    return row_below, row_at


def _below(place, photos):
    """An absolute path relative to PHOTOS, with "/", or None if the path is not in PHOTOS."""
    with_links = PurePath(place)
    return with_links.relative_to(photos).as_posix() if with_links.is_relative_to(photos) else None


def after_name(place, photos):
    """The part of a path after the name of PHOTOS, if possible one that leads to a file."""
    parts, name = place.parts, Path(photos).name
    ends = [PurePath(*parts[i + 1 :]) for i, part in enumerate(parts[:-1]) if part == name]
    there = [end for end in ends if os.path.lexists(Path(photos, end))]
    return next((end.as_posix() for end in [*there, *ends]), None)
