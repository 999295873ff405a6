"""From images or texts to their embeddings: threads read, the model embeds each content once, in
full batches.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from ._cache import CacheSession
from ._file_index import FileIndex
from ._memory import MemoryPass

# A `GridSearchCV` embeds hundreds of times, mostly what is cached. A shorter bar would only
# flicker.
_BAR_AFTER = 2  # seconds


class Refusal(NamedTuple):
    """Why an item has no embedding. The error itself would keep in memory what was read."""

    kind: type[Exception]
    reason: Any  # the argument of the error


class Source(NamedTuple):
    """An image or a text that was read."""

    digest: bytes  # of its content
    # the input of the model, which is not needed if the embedding is known
    load: Callable[[], np.ndarray]
    # whether the digest depends on nothing else
    is_of_content: bool = True


def embed(tower, items, *, batch_size, cache, bar_options, n_threads=1, ends_at=None):
    """Embeddings `(n, width)` of images or texts in float32, and a `Refusal` for each row without
    one, which is NaN.

    `cache` is a folder, a `MemoryPass`, or None. The first refusal by an error of the class
    `ends_at` is the last row. `bar_options` are those of tqdm. `n_threads` read.

    A `tower` has a `width`, `digest()` of what embeddings depend on besides the content, `name()`,
    which stands for it within this process, `path(item)`, the file that an item is or None,
    `read(item)`, which gives a `Source` in any thread, and `compute(inputs)`, which gives a tensor
    of embeddings of a tensor of inputs. Reading and loading may refuse an item by an error of the
    classes `refusals`.
    """
    from tqdm.auto import tqdm

    n, is_memory = len(items), isinstance(cache, MemoryPass)
    embeddings = np.full((n, tower.width), np.nan, dtype=np.float32)
    rows_by_key = defaultdict(list)
    refusals, batch = {}, []

    with (
        closing(cache if is_memory else CacheSession(cache)) as session,
        closing(FileIndex(None if is_memory or cache is None else session)) as files,
        tqdm(total=n, delay=_BAR_AFTER, **bar_options) as bar,
    ):
        # Reading all weights for the digest takes time. Only keys on disk need it.
        prefix = tower.name() if is_memory or cache is None else tower.digest()

        def prepare(row):
            """A `Refusal`; or the key of a source, its embedding if the cache has it, and the input
            of the model if it is needed.
            """
            try:
                path = tower.path(items[row])
                seen = files.look_up(path)
                if seen is not None and seen.digest is not None:
                    key = hashlib.sha256(prefix + seen.digest).digest()
                    if (cached := session.get(key)) is not None:
                        return key, cached, None
                source = tower.read(items[row])
                if seen is not None and source.is_of_content:
                    files.note(path, seen, source.digest)
                key = hashlib.sha256(prefix + source.digest).digest()
                cached = session.get(key)
                # Threads see `rows_by_key` late, so a content may be loaded twice. It is never
                # missing: the row that registers a key saw it unregistered.
                is_needed = cached is None and key not in rows_by_key
                return key, cached, source.load() if is_needed else None
            except tower.refusals as error:
                return Refusal(type(error), error.args[0])

        with closing(_read_ahead(prepare, n, batch_size, n_threads)) as prepared:
            for row, get in enumerate(prepared):
                if isinstance(found := get(), Refusal):
                    refusals[row] = found
                    if found.kind is ends_at:
                        break
                else:
                    key, cached, model_input = found
                    rows_by_key[key].append(row)
                    if cached is not None:
                        embeddings[row] = cached
                    elif len(rows_by_key[key]) == 1:
                        batch.append((row, key, model_input))
                if batch and (len(batch) == batch_size or row == n - 1):
                    _embed_batch(batch, embeddings, tower, session)
                    batch = []
                bar.update()
    for first, *copies in rows_by_key.values():
        if copies:
            embeddings[copies] = embeddings[first]
    return embeddings, refusals


def _read_ahead(prepare, n, n_ahead, n_threads):
    """Yield for each of `n` rows a function that gives `prepare(row)`. Threads work on the next
    `n_ahead`.
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="sksemobridge-read")
    waiting = deque()
    try:
        for row in range(n):
            waiting.append(pool.submit(prepare, row))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result
        while waiting:
            yield waiting.popleft().result
    finally:
        # After an error or an interrupt, reads that have not begun are dropped, and no thread
        # outlives the call.
        pool.shutdown(wait=True, cancel_futures=True)


def _embed_batch(batch, embeddings, tower, session):
    import torch

    rows, keys, inputs = zip(*batch)
    computed = tower.compute(torch.from_numpy(np.stack(inputs))).cpu().numpy()
    embeddings[list(rows)] = computed
    session.put(keys, computed)
