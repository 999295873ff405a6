"""Random damage: pictures, caches, labels. Nothing may crash, shift a row, give a wrong row, start or fetch anything.

    python benchmarks/fuzz.py

- pictures: files of every kind that Pillow writes, with bytes changed, cut out, moved, or of two files in one. In lists,
  tuples, arrays and series they go through the bundled model among sound pictures, whose rows must stay what and where they are; a changed picture gives a
  row of NaN, or the row that it gives alone.
- files: sparse files of up to 64 GB, folders, pipes, links that lead nowhere and files of the system among sound pictures,
  by an encoder that four threads share. Each gives a row of NaN, and no other row moves.
- writers: processes that fill one cache and are killed at a random time. What they said was written is found, and all
  that is found is what was written.
- caches: 30 random bytes in the file of a cache. What is found is what was written, and the cache can be emptied.
- fits: labels of many kinds and containers. Sound ones are learnt and predicted as they are; with a missing, masked
  or foreign label among them, fit says so.
- shots: few classes with few shots, some of them near copies, of any length and weight, with text or without, some in
  two calls, and pools of no to many images without a label. In four threads at once. All is finite, rows are where they were in
  any order, two calls are as one, and a shot is taken for its class where classes are far apart.
- folders: links in circles, links to files and folders, names in other scripts. Each file is listed once.

An audit hook of Python reports each program that is started and each connection that is made.
"""

import argparse
import io
import os
import signal
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import ThreadpoolController

from sksemobridge import CLIPImageEncoder, EmbeddingCache, PrecomputedTextEncoder, SeMoBridgeClassifier
from sksemobridge.datasets._folder import list_files
from sksemobridge.encoders._cache import CacheSession

STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "socket.connect")
started = []


def watch():
    """Note all programs that Python starts and all connections that it makes from now on."""
    # Older versions of threadpoolctl ask ldconfig once where libraries are.
    ThreadpoolController()
    sys.addaudithook(lambda event, args: started.append((event, args)) if event in STARTS else None)


def files_of_every_kind(rng):
    """Sound files, by kind."""
    pixels = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.init()
    files = {}
    for kind in sorted(Image.SAVE):
        for image in (
            Image.fromarray(pixels),
            Image.fromarray(pixels[..., 0]),
            Image.fromarray(pixels[..., 0] > 99),
        ):
            buffer = io.BytesIO()
            try:
                image.save(buffer, kind)
            except Exception:  # a kind that cannot hold such pixels, or that this Pillow was built without
                continue
            files[f"{kind} {image.mode}"] = buffer.getvalue()
    return files


def change(content, other, rng):
    """The content of a file with random damage."""
    content = bytearray(content)
    reach = len(content) if rng.random() < 0.5 else min(64, len(content))
    way = rng.integers(5)
    start = int(rng.integers(reach))
    if way == 0:
        for position in rng.integers(0, reach, rng.integers(1, 20)):
            content[position] = rng.integers(256)
    elif way == 1:
        del content[start:]
    elif way == 2:
        del content[start : start + int(rng.integers(1, 50))]
    elif way == 3:
        content[start:start] = rng.bytes(int(rng.integers(1, 50)))
    else:
        content[start:] = other[int(rng.integers(len(other))) :]
    return bytes(content)


def as_objects(items):
    """A NumPy array of the items as they are."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@mock.patch.object(Image, "MAX_IMAGE_PIXELS", 2_000_000)
def fuzz_pictures(n, rng, batch=50):
    """Changed files among sound pictures; returns counts of what they gave, and of what went wrong."""
    files = list(files_of_every_kind(rng).values())
    encoder = CLIPImageEncoder("mini", "bundled", on_error="nan", precision="fp32")
    sound = rng.integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    expected = encoder.transform(sound)
    counts = dict.fromkeys(("read", "refused", "shifted or wrong rows", "crashes"), 0)
    for start in range(0, n, batch):
        changed = [change(*rng.choice(np.array(files, dtype=object), 2), rng) for _ in range(batch)]
        is_sound = rng.permutation(np.arange(batch + len(sound)) < len(sound))
        rest, good = iter(changed), iter(sound)
        X = [next(good) if whole else next(rest) for whole in is_sound]
        try:
            got = encoder.transform((list, tuple, pd.Series, as_objects)[start // batch % 4](X))
        except Exception as error:
            counts["crashes"] += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            continue
        read = np.isfinite(got[~is_sound]).all(axis=1)
        counts["read"] += int(read.sum())
        counts["refused"] += int(np.isnan(got[~is_sound]).all(axis=1).sum())
        one = int(rng.integers(batch))
        alone = encoder.transform([changed[one]])[0]
        wrong = ~np.isclose(got[is_sound], expected, atol=1e-4).all(axis=1)
        wrong_one = not np.allclose(got[~is_sound][one], alone, atol=1e-4, equal_nan=True)
        counts["shifted or wrong rows"] += int(wrong.sum()) + int(wrong_one)
    return counts


def write_strange_file(path, rng):
    """A file among photographs that is none, of a random kind; returns its path."""
    heads = (
        b"",
        b"\0\0\0\x20ftypisom",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"RIFF\0\0\0\0WEBPVP8 ",
    )
    kind = ("sparse", "folder", "pipe", "no target", "circle", "system")[rng.integers(6)]
    if kind == "sparse":
        with open(path, "wb") as file:
            file.write(heads[rng.integers(len(heads))])
            # Files of Windows are not sparse.
            file.truncate(int(2 ** rng.uniform(0, 36 if os.name == "posix" else 20)))
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    elif kind == "system" and os.path.exists("/proc/kmsg"):
        path.symlink_to(("/proc/kmsg", "/proc/self/mem", "/dev/zero", "/proc/self/pagemap")[rng.integers(4)])
    else:
        path.symlink_to(path if kind == "circle" else path.with_suffix(".gone"))
    return str(path)


def fuzz_files(n, rng, directory, n_threads=4, batch=5):
    """Files that are large, endless or no files, among sound pictures, by an encoder that threads share."""
    directory.mkdir()
    counts = dict.fromkeys(("refused", "shifted or wrong rows", "crashes"), 0)
    encoder = CLIPImageEncoder("mini", "bundled", on_error="nan", precision="fp32", n_jobs=2)
    sound = list(rng.integers(0, 256, (3, 40, 40, 3), dtype=np.uint8))
    expected = encoder.transform(sound)
    lists = []
    for start in range(0, n, batch):
        strange = [write_strange_file(directory / f"{start + i}.jpg", rng) for i in range(batch)]
        lists.append([sound[0], *strange[:2], sound[1], *strange[2:], sound[2]])
    with ThreadPoolExecutor(n_threads) as threads:
        calls = [threads.submit(encoder.fit_transform, X) for X in lists]
    for call in calls:
        if call.exception() is not None:
            counts["crashes"] += 1
            print(f"{type(call.exception()).__name__}: {call.exception()}", file=sys.stderr)
            continue
        refused = np.isnan(call.result()).all(axis=1)
        counts["refused"] += int(refused.sum())
        is_right = np.isclose(call.result()[[0, 3, -1]], expected, atol=1e-4).all(axis=1)
        counts["shifted or wrong rows"] += int((~is_right).sum()) + batch - int(refused.sum())
    return counts


def batch_of(seed, number, n=20, width=256):
    """Keys and embeddings that both a writer and the check of its work know."""
    rng = np.random.default_rng([seed, number])
    return [rng.bytes(32) for _ in range(n)], rng.normal(size=(n, width)).astype(np.float32)


def write_until_killed(directory, seed, said):
    number = 0
    with CacheSession(directory) as cache:
        while True:
            cache.put(*batch_of(seed, number))
            os.write(said, b".")
            number += 1


def compare(directory, batches):
    """How many embeddings of the batches are found, and how many of these are wrong."""
    found = wrong = 0
    with CacheSession(directory) as cache:
        for keys, values in batches:
            for key, value in zip(keys, values):
                got = cache.get(key)
                found += got is not None
                wrong += got is not None and not np.array_equal(got, value)
    return found, wrong


def fuzz_writers(n, rng, directory):
    """Processes that are killed while they fill one cache."""
    counts = dict.fromkeys(("embeddings written", "lost", "wrong rows"), 0)
    for seed in range(n):
        hear, said = os.pipe()
        child = os.fork()
        if not child:
            write_until_killed(directory, seed, said)
        os.close(said)
        os.read(hear, 1)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(hear, "rb") as rest:
            n_batches = 1 + len(rest.read())
        found, wrong = compare(directory, [batch_of(seed, number) for number in range(n_batches)])
        counts["embeddings written"] += 20 * n_batches
        counts["lost"] += 20 * n_batches - found
        counts["wrong rows"] += wrong
    return counts


def fuzz_caches(n, rng, directory):
    """Random bytes in the file of a cache."""
    counts = dict.fromkeys(("embeddings", "found", "wrong rows", "crashes"), 0)
    batches = [batch_of(0, number, width=32) for number in range(20)]
    for number in range(n):
        folder = directory / str(number)
        with CacheSession(folder) as cache:
            for batch in batches:
                cache.put(*batch)
        path = folder / "embeddings.sqlite3"
        content = bytearray(path.read_bytes())
        for position in rng.integers(0, len(content) if number % 2 else 4096, 30):
            content[position] = rng.integers(256)
        path.write_bytes(content)
        try:
            found, wrong = compare(folder, batches)
            EmbeddingCache(folder).clear()
            with CacheSession(folder) as cache:
                cache.put(*batches[0])
            if compare(folder, batches) != (20, 0):
                raise RuntimeError("an emptied cache keeps nothing")
        except Exception as error:
            counts["crashes"] += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            continue
        counts["embeddings"] += 20 * len(batches)
        counts["found"] += found
        counts["wrong rows"] += wrong
    return counts


LABELS = {
    "text": ["ant", "bee", "cat", "dog"],
    "int": [3, -1, 2**60, 2**60 + 1],
    "float": [0.0, 1.0, 2.0, -5.0],
    "bool": [False, True],
    "strange text": ["", " ", "nan", "None"],
}
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "series": pd.Series,
    "category": lambda y: pd.Series(y, dtype="category"),
    "column": lambda y: np.array(y)[:, None],
    "masked": np.ma.array,
}
FOREIGN = {"None": None, "NaN": np.nan, "NA": pd.NA, "bytes": b"ant", "list": ["ant"], "object": object()}


def fuzz_fits(n, rng):
    """Labels of many kinds, sound and not."""
    counts = dict.fromkeys(("learnt", "refused", "wrong", "crashes"), 0)
    for _ in range(n):
        labels = LABELS[rng.choice(list(LABELS))]
        y = [labels[code] for code in rng.permutation(np.arange(12) % len(labels))]
        # Far apart and close to its own: what was learnt predicts what it was given.
        X = 10 * np.eye(8)[[labels.index(label) for label in y]] + rng.normal(scale=0.1, size=(12, 8))
        name = rng.choice(list(CONTAINERS))
        is_sound = rng.random() < 0.5
        given = CONTAINERS[name](y)
        if not is_sound and name == "masked":
            given[int(rng.integers(12))] = np.ma.masked
        elif not is_sound:
            given = as_objects(y)
            given[int(rng.integers(12))] = FOREIGN[rng.choice(list(FOREIGN))]
            given = list(given)
        try:
            classifier = SeMoBridgeClassifier().fit(X, given)
            right = classifier.classes_.tolist() == sorted(set(y)) and classifier.predict(X).tolist() == y
            counts["learnt" if right and is_sound else "wrong"] += 1
        except (TypeError, ValueError) as error:
            counts["refused" if not is_sound else "crashes"] += 1
            if is_sound:
                print(f"{type(error).__name__}: {error} ({name} of {y})", file=sys.stderr)
    return counts


def one_fit(seed):
    """What is wrong with a fit of few shots, or None."""
    rng = np.random.default_rng(seed)
    n_classes, width = int(rng.integers(1, 5)), int(rng.choice([3, 64, 128]))
    counts = rng.integers(1, 4, n_classes)
    codes = np.repeat(np.arange(n_classes), counts)
    means = 1 + rng.normal(size=(n_classes, width))
    # Not about 1e-5, up to which rows are one shot: which chains of rows are, then depends on the calls.
    noise = 10 ** rng.choice([rng.uniform(-9, -6.5), rng.uniform(-4, -1)])
    X = means[codes] + noise * rng.normal(size=(len(codes), width))
    times = rng.integers(1, 12)  # near copies, or the same
    X, codes = np.repeat(X, times, axis=0), np.repeat(codes, times)
    X += rng.choice([0.0, 1e-7, 1e-3, 1e-2]) * rng.normal(size=X.shape)
    X *= 10 ** rng.uniform(-8, 8)
    weight = None if rng.random() < 0.5 else 10 ** rng.uniform(-3, 3, len(codes))
    params = {"label_noise": rng.choice([0.0, 0.2]), "store_held_out": bool(rng.random() < 0.5)}
    if rng.random() < 0.5:
        names = [f"class {c}" for c in range(n_classes)]
        text = PrecomputedTextEncoder(names, means + rng.normal(size=means.shape), np.eye(width))
        params |= {"text_encoder": text, "prompts": {c: [name] for c, name in enumerate(names)}}
    whole = SeMoBridgeClassifier(**params).fit(X, codes, sample_weight=weight)
    order = rng.permutation(len(codes))
    parts = SeMoBridgeClassifier(**params)
    for rows in np.array_split(order, 2) if len(order) > 1 else [order]:
        parts.partial_fit(X[rows], codes[rows], sample_weight=None if weight is None else weight[rows])
    p = whole.predict_proba(X)
    if not np.allclose(parts.predict_proba(X), p, atol=1e-4):
        return "two calls are not as one"
    if width > 3 and n_classes > 1 and not (whole.predict(X) == codes).mean() > 0.9:
        return "shots are not learnt"
    pool = X[rng.integers(0, len(X), rng.choice([1, 2, 5, 200]))]
    if rng.random() < 0.2:  # between two images
        pool = X[rng.integers(0, len(X), 3000)] + X[rng.integers(0, len(X), 3000)]
    pool = pool * (1 + rng.choice([0.0, 1e-3, 1.0]) * rng.normal(size=pool.shape))
    taught = whole.with_unlabeled(pool).predict_proba(X)
    if width > 3 and n_classes > 1 and not (taught.argmax(axis=1) == codes).mean() > 0.9:
        return "unlabelled images mix up the classes"
    finite = all(np.isfinite(part).all() for part in (p, taught, whole.score_samples(X), whole.p_values(X)))
    return None if finite else "not finite"


def fuzz_shots(n, rng, n_threads=4):
    """Few shots of few classes, near copies among them, in threads."""
    counts = dict.fromkeys(("fits", "wrong", "crashes"), 0)
    with ThreadPoolExecutor(n_threads) as threads:
        calls = {seed: threads.submit(one_fit, seed) for seed in rng.integers(0, 2**32, n).tolist()}
    for seed, call in calls.items():
        counts["fits"] += 1
        error = call.exception()
        if error is not None or call.result() is not None:
            counts["crashes" if error is not None else "wrong"] += 1
            print(
                f"one_fit({seed}): {error!r}" if error else f"one_fit({seed}): {call.result()}",
                file=sys.stderr,
            )
    return counts


def fuzz_folders(n, rng, directory):
    """Folders with links, some of them in circles."""
    counts = dict.fromkeys(("files", "wrong", "crashes"), 0)
    for number in range(n):
        root = directory / str(number)
        folders = [root]
        root.mkdir(parents=True)
        for i in range(int(rng.integers(1, 6))):
            folders.append(
                folders[rng.integers(len(folders))]
                / rng.choice(["a", "\u00fc \u4e2d", "'b\"", "=c"])
                / str(i)
            )
            folders[-1].mkdir(parents=True)
        files = [folders[rng.integers(len(folders))] / f"{i}.jpg" for i in range(int(rng.integers(1, 9)))]
        for file in files:
            file.touch()
        for i in range(int(rng.integers(0, 6))):
            target = folders[rng.integers(len(folders))]
            (folders[rng.integers(len(folders))] / f"link {i}").symlink_to(target, target_is_directory=True)
        try:
            found = list_files(root)
        except Exception as error:
            counts["crashes"] += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            continue
        counts["files"] += len(files)
        counts["wrong"] += int(sorted(map(os.path.realpath, found)) != sorted(map(os.path.realpath, files)))
    return counts


def run(pictures, files, writers, caches, fits, shots, folders, seed=0):
    """Counts of all parts, by part."""
    watch()
    rng = np.random.default_rng(seed)
    results = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(os, "fork"):
            results["writers"] = fuzz_writers(writers, rng, Path(folder, "killed"))
        results["caches"] = fuzz_caches(caches, rng, Path(folder))
        results["fits"] = fuzz_fits(fits, rng)
        results["shots"] = fuzz_shots(shots, rng)
        if os.name == "posix":  # links need rights on Windows
            results["folders"] = fuzz_folders(folders, rng, Path(folder, "links"))
        results["pictures"] = fuzz_pictures(pictures, rng)
        results["files"] = fuzz_files(files, rng, Path(folder, "files"))
    results["started"] = {"programs and connections": len(started)}
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=100)
    parser.add_argument("--caches", type=int, default=500)
    parser.add_argument("--fits", type=int, default=2000)
    parser.add_argument("--shots", type=int, default=2000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    for part, counts in run(**vars(parser.parse_args())).items():
        print(f"{part}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


if __name__ == "__main__":
    main()
