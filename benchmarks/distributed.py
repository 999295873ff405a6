"""Throughput and memory of the actors of `embed_dataset`, on a cluster of this machine.

    python benchmarks/distributed.py
    python benchmarks/distributed.py --only throughput --model ViT-B-32 --images 1024 --rounds 1
    python benchmarks/distributed.py --only sizes

It needs the extra `ray` and no network. The pictures are the bundled ones; each file differs a little. An actor and
`transform` alone take turns on one core (`--core`). They are timed from the first batch to the last, without the loading
of the model and the start of Ray. Other programs on that core distort wall times. They do not distort the times of the
processor, nor the share of its time that an actor spends in `transform`, which is the same code in both. `ViT-B-32` has
random weights.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from encoding import report, write_copies, write_photos, write_random_model
from timing import cpu_timed, peak_memory, timed

from sksemobridge import CLIPImageEncoder
from sksemobridge.datasets import load_emoji
from sksemobridge.distributed import embed_dataset

BATCH_SIZE = 1024
N_LISTED = 200_000


class NotingEncoder(CLIPImageEncoder):
    """Encoder that stays on one core and writes down the time, the processor's time and the memory of each batch."""

    def __init__(
        self,
        model_name,
        pretrained=None,
        *,
        core=0,
        notes=None,
        on_error="raise",
        progress=False,
        output="numpy",
    ):
        super().__init__(model_name, pretrained, on_error=on_error, progress=progress, output=output)
        self.core = core
        self.notes = notes

    def transform(self, X):
        if not X:
            os.sched_setaffinity(0, {self.core})
            return super().transform(X)
        start = [perf_counter(), process_time()]
        embeddings = super().transform(X)
        line = {"n": len(X), "start": start, "end": [perf_counter(), process_time()], "memory": own_memory()}
        with open(self.notes, "a") as file:
            file.write(json.dumps(line) + "\n")
        return embeddings


def own_memory():
    """Memory of this process in MB, without the shared memory of Ray's object store."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1e3 for line in file if line.startswith("RssAnon"))


def rates(notes):
    """Images a second, by the clock and by the processor, and the share of time in `transform`."""
    lines = [json.loads(line) for line in notes.read_text().splitlines()]
    spent = np.subtract(lines[-1]["end"], lines[0]["start"])
    inside = sum(line["end"][0] - line["start"][0] for line in lines)
    return sum(line["n"] for line in lines) / spent, inside / spent[0]


def write_pictures(folder, n):
    from PIL import Image

    originals = []
    (folder / "originals").mkdir()
    for i, pixels in enumerate(load_emoji().images):
        originals.append(folder / "originals" / f"{i}.png")
        Image.fromarray(pixels).save(originals[-1])
    return write_copies(originals, folder / "pictures", n)


def start_ray():
    import ray
    import torch

    # Ray runs its workers with low priority, which costs them where other programs want the same core.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (as Ray spells it)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # One thread, as in the actors, where Ray sets it by their number of CPUs.
    torch.set_num_threads(1)
    ray.init(
        "local",
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False


def run_job(encoder, pictures, output):
    """Embed pictures with one actor."""
    shutil.rmtree(output, ignore_errors=True)
    encoder.notes.unlink(missing_ok=True)
    return embed_dataset(pictures, output, encoder, concurrency=1, num_gpus=0, batch_size=BATCH_SIZE)


def run_alone(encoder, paths):
    """Embed pictures with `transform` in this process, in batches of the same size."""
    encoder.notes.unlink(missing_ok=True)
    everywhere = os.sched_getaffinity(0)
    encoder.transform([])
    for start in range(0, len(paths), BATCH_SIZE):
        encoder.transform(paths[start : start + BATCH_SIZE])
    os.sched_setaffinity(0, everywhere)


def throughput(encoder, folder, n, rounds):
    paths = write_pictures(folder, n)
    ratios, shares = [], []
    for turn in range(rounds):
        run_alone(encoder, paths)
        alone, _ = rates(encoder.notes)
        run_job(encoder, folder / "pictures", folder / "out")
        actor, share = rates(encoder.notes)
        ratios.append(actor / alone)
        shares.append(share)
        report(f"round {turn + 1}: `transform` alone, images / s of one core", f"{alone[0]:.0f}")
        report(f"round {turn + 1}: one actor, images / s of one core", f"{actor[0]:.0f}")
    wall, processor = np.median(ratios, axis=0)
    report(f"one actor / alone, {n} images, by time", f"{wall:.3f}", ">= 0.9")
    report(f"one actor / alone, {n} images, by the processor's time", f"{processor:.3f}", ">= 0.9")
    report("share of its time that an actor spends in `transform`", f"{np.median(shares):.3f}", ">= 0.9")


def memory(encoder, folder, counts):
    peaks = []
    for n in counts:
        part = folder / str(n)
        part.mkdir()
        write_pictures(part, n)
        seconds, done = timed(run_job, encoder, part / "pictures", part / "out")
        peaks.append(max(json.loads(line)["memory"] for line in encoder.notes.read_text().splitlines()))
        size = sum(file.stat().st_size for file in (part / "out").glob("*.parquet"))
        report(f"{n} images: rows written, each once", done.n_new, str(n))
        report(f"{n} images: seconds of the whole job, one actor", f"{seconds:.0f}")
        report(f"{n} images: bytes on disk for each row", f"{size / n:.0f}")
        report(f"{n} images: memory of the actor at its highest, MB", f"{peaks[-1]:.0f}")
    report(f"memory at {counts[-1]} images / at {counts[0]}", f"{peaks[-1] / peaks[0]:.3f}", "<= 1.05")


# What grows with the number of images


def reading_rate(folder):
    """Photographs of 500 x 375 pixels that one core reads, decodes and scales to 224 pixels in a second; bytes of one."""
    from PIL import Image

    from sksemobridge.encoders._pictures import decode, fetch

    paths = write_photos(folder / "photos", 200, np.random.default_rng(0))

    def read_all():
        for path in paths:
            decode(fetch(path), shortest_side=224).resize((299, 224), Image.Resampling.BICUBIC)

    size = sum(os.path.getsize(path) for path in paths) / len(paths)
    return len(paths) / cpu_timed(read_all)[0], size


def key_rate():
    """Keys that one core digests in a second."""
    import pyarrow as pa

    from sksemobridge.distributed._digests import digest_rows

    table = pa.table({"path": [f"/data/photos/{i:012d}.jpg" for i in range(100_000)]})
    return len(table) / cpu_timed(digest_rows, table, ["path"])[0]


def listing_memory(folder):
    """Peak memory for each file of a folder while it is listed, in bytes."""
    (folder / "many").mkdir()
    for i in range(N_LISTED):
        (folder / "many" / f"{i:012d}.jpg").touch()
    n_bytes, _ = peak_memory(list_files, folder / "many", warm_up=(folder / "many" / "000000000000.jpg",))
    return n_bytes / N_LISTED


def list_files(path):
    from sksemobridge.distributed._sources import open_source

    open_source(path, None, None).digests()


def sizes(folder, gpu_rate, width):
    """Print the arithmetic of a large job: figures for 10^6, 10^8 and 10^9 images."""
    per_path = listing_memory(folder)
    per_core, image_bytes = reading_rate(folder)
    keys_per_core = key_rate()
    report("photographs of 500 x 375 that one core reads, images / s", f"{per_core:.0f}")
    report("bytes of one of them", f"{image_bytes:.0f}")
    report("bytes of memory for each path in a folder", f"{per_path:.0f}")
    report("keys that one core digests, keys / s", f"{keys_per_core:.0f}")
    counts = (10**6, 10**8, 10**9)
    print(f"\n| | {' | '.join(f'10^{len(str(n)) - 1}' for n in counts)} |\n| --- | ---: | ---: | ---: |")

    def row(name, value):
        print(f"| {name} | {' | '.join(f'{value(n):,.{1 if value(n) < 100 else 0}f}' for n in counts)} |")

    row("hours of one GPU", lambda n: n / gpu_rate / 3600)
    row("GPUs to be done in 24 hours", lambda n: max(1, np.ceil(n / gpu_rate / 3600 / 24)))
    row("cores that read for them", lambda n: max(1, n / gpu_rate / 3600 / 24) * gpu_rate / per_core)
    row("images in, TB", lambda n: n * image_bytes / 1e12)
    row("from storage, Gbit/s", lambda n: max(1, n / gpu_rate / 3600 / 24) * gpu_rate * image_bytes * 8 / 1e9)
    row("requests/s, one file for each image", lambda n: max(1, n / gpu_rate / 3600 / 24) * gpu_rate)
    row("float32 vectors out, GB", lambda n: n * width * 4 / 1e9)
    row("float16 vectors out, GB", lambda n: n * width * 2 / 1e9)
    row("Parquet files of 4096 rows", lambda n: np.ceil(n / 4096))
    row("keys in the driver, GB", lambda n: n * 16 * 4 / 1e9)
    row("paths in the driver, GB", lambda n: n * per_path / 1e9)
    row("core hours to digest keys, three times", lambda n: 3 * n / keys_per_core / 3600)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=["throughput", "memory", "sizes"])
    parser.add_argument("--model", default="mini", choices=["mini", "ViT-B-32"])
    parser.add_argument("--images", type=int, default=8192, help="for throughput")
    parser.add_argument("--rounds", type=int, default=5, help="for throughput, of which the median counts")
    parser.add_argument("--counts", type=int, nargs=2, default=[10_000, 40_000], help="for memory")
    parser.add_argument("--core", type=int, default=0, help="to which the actor and `transform` keep")
    parser.add_argument("--gpu-rate", type=float, default=1500, help="images a second of one GPU, for sizes")
    parser.add_argument("--width", type=int, default=512, help="of embeddings, for sizes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.only in (None, "sizes"):
            sizes(folder, arguments.gpu_rate, arguments.width)
        if arguments.only == "sizes":
            return
        start_ray()
        names = {"model_name": "mini", "pretrained": "bundled"}
        if arguments.model != "mini":
            names = {"model_name": write_random_model(folder / "model")}
        encoder = NotingEncoder(**names, core=arguments.core, notes=folder / "notes.jsonl")
        if arguments.only != "memory":
            (folder / "throughput").mkdir()
            throughput(encoder, folder / "throughput", arguments.images, arguments.rounds)
        if arguments.only != "throughput":
            memory(encoder, folder, arguments.counts)


if __name__ == "__main__":
    main()
