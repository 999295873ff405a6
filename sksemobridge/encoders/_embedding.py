"""Embedding of images or texts: threads read, and the model embeds each content once, in full
batches.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from ._cache import is_on_disk, open_cache
from ._file_index import FileIndex

# A `GridSearchCV` embeds hundreds of times, mostly cached images. A bar for a shorter time would
# only flicker.
_BAR_AFTER = 2  # seconds
# Number of files that are looked up at once. SQLite takes some hundred keys.
_AT_ONCE = 500
# Type of the numbers of a stored embedding, on any machine.
_NUMBER = np.dtype("<f4")


class Refusal(NamedTuple):
    """The reason why an item has no embedding. The error itself would keep the content in
    memory.
    """

    kind: type[Exception]
    reason: Any  # the argument of the error


class Source(NamedTuple):
    """An image or a text that was read."""

    digest: bytes  # digest of the content
    # gives the input of the model, which is not needed if the embedding is stored
    load: Callable[[], np.ndarray]
    # whether the digest depends on nothing else
    is_of_content: bool = True


def embed(encoding, items, *, cache, batch_size, bar_options, n_threads=1, ends_at=None):
    """Embeddings `(n, width)` of images or texts in float32, and a `Refusal` for each row without
    an embedding, which is NaN.

    `cache` is the parameter of the encoder. The first refusal by an error of the class `ends_at` is
    the last row. `bar_options` are options of tqdm. `n_threads` threads read.

    An `encoding` has a `width`, `digest()` of all that embeddings depend on besides the content,
    `name()`, which replaces the digest within this process, `path(item)`, the file that an item is
    or None, `read(item)`, which gives a `Source` in any thread, and `compute(inputs)`, which gives
    a tensor of embeddings of a tensor of inputs. Reading and loading may refuse an item by an error
    of the classes `refusals`.
    """
    from tqdm.auto import tqdm

    n = len(items)
    embeddings = np.full((n, encoding.width), np.nan, dtype=np.float32)
    rows_by_key = defaultdict(list)
    refusals, batch = {}, []

    # Reading all weights for the digest takes time, and only keys on disk need the digest.
    prefix = encoding.digest() if is_on_disk(cache) else encoding.name()
    with (
        open_cache(cache) as store,
        closing(FileIndex(store)) as files,
        tqdm(total=n, delay=_BAR_AFTER, **bar_options) as bar,
    ):
        to_read = _fill_kept(embeddings, encoding, items, prefix, store, files)
        bar.update(n - len(to_read))

        def prepare(place):
            """A `Refusal`, or the key of a source, its embedding if the store has one, and the
            input of the model if it is needed.
            """
            row, seen = place
            try:
                source = encoding.read(items[row])
                if seen is not None and source.is_of_content:
                    files.note(encoding.path(items[row]), seen, source.digest)
                key = _key(prefix, source.digest)
                kept = store.find([key]).get(key)
                # Threads see `rows_by_key` late, so a content may be loaded twice. No content is
                # missing: the row that registers a key saw the key unregistered.
                is_needed = kept is None and key not in rows_by_key
                return key, kept, source.load() if is_needed else None
            except encoding.refusals as error:
                return Refusal(type(error), error.args[0])

        with closing(_read_ahead(prepare, to_read, batch_size, n_threads)) as prepared:
            for (row, _), get in zip(to_read, prepared):
                if isinstance(found := get(), Refusal):
                    refusals[row] = found
                    if found.kind is ends_at:
                        break
                else:
                    key, kept, model_input = found
                    rows_by_key[key].append(row)
                    if kept is not None:
                        embeddings[row] = from_contents([kept], encoding.width)[0]
                    elif len(rows_by_key[key]) == 1:
                        batch.append((row, key, model_input))
                if batch and (len(batch) == batch_size or row == to_read[-1][0]):
                    _embed_batch(batch, embeddings, encoding, store)
                    batch = []
                bar.update()
    for first, *copies in rows_by_key.values():
        if copies:
            embeddings[copies] = embeddings[first]
    return embeddings, refusals


def _fill_kept(embeddings, encoding, items, prefix, store, files):
    """Fill in the embeddings of files that have not changed since they were embedded. Return the
    other rows, each with its `SeenFile` or None.
    """
    paths, to_read = [encoding.path(item) for item in items], []
    for start in range(0, len(items), _AT_ONCE):
        seen = [*enumerate(files.look_up(paths[start : start + _AT_ONCE]), start)]
        key_of = {
            row: _key(prefix, file.digest)
            for row, file in seen
            if file is not None and file.digest is not None
        }
        found = store.find([*{*key_of.values()}]) if key_of else {}
        rows = [row for row, key in key_of.items() if key in found]
        if rows:
            embeddings[rows] = from_contents([found[key_of[row]] for row in rows], encoding.width)
        to_read += [place for place in seen if key_of.get(place[0]) not in found]
    return to_read


def _key(prefix, digest):
    return hashlib.sha256(prefix + digest).digest()


def to_contents(embeddings):
    """Rows of float32 as stores keep them."""
    return [row.tobytes() for row in embeddings.astype(_NUMBER, copy=False)]


def from_contents(contents, width):
    """Rows `(n, width)` from stored contents."""
    return np.frombuffer(bytearray(b"".join(contents)), _NUMBER).reshape(-1, width)


def _read_ahead(prepare, places, n_ahead, n_threads):
    """Yield for each place a function that gives `prepare(place)`. Threads work on the next
    `n_ahead`.
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for place in places:
            waiting.append(pool.submit(prepare, place))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result
        while waiting:
            yield waiting.popleft().result
    finally:
        # After an error or an interrupt, reads that have not begun are dropped, and no thread
        # outlives the call.
        pool.shutdown(wait=True, cancel_futures=True)


def _embed_batch(batch, embeddings, encoding, store):
    import torch

    rows, keys, inputs = zip(*batch)
    computed = encoding.compute(torch.from_numpy(np.stack(inputs))).cpu().numpy()
    embeddings[list(rows)] = computed
    store.keep(dict(zip(keys, to_contents(computed))))
