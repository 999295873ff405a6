"""Speed of the image encoder.

    python benchmarks/encoding.py
    python benchmarks/encoding.py --device cuda --n-jobs -1
    python benchmarks/encoding.py --only models
    python benchmarks/encoding.py --only operations
    python benchmarks/encoding.py --only pieces
    python benchmarks/encoding.py --only known

It needs no network: large models are those of open_clip with random weights, and the pictures are
crops of scikit-learn's photographs. Rates are images a second. Other programs on the machine
distort times; ratios are of runs that take turns.
"""

import argparse
import json
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from timing import alternate, cpu_timed, timed
from torch.utils.flop_counter import FlopCounterMode

from sksemobridge import FewShotClassifier, ZeroShotClassifier
from sksemobridge._utils.files import SETTLED_NS
from sksemobridge.datasets import load_emoji, load_vocabulary
from sksemobridge.encoders import CLIPImageEncoder, CLIPTextEncoder, clear_model_cache

MODEL = "ViT-B-32"
BATCH_SIZE = 64
N_PHOTOS = 500
N_LARGE = 32
# Whose size and speed are compared, and on how many pictures.
MODELS = ["RN50", "ViT-B-32", "ViT-B-32-256", "ViT-B-16", "ViT-B-16-SigLIP", "ViT-L-14"]
N_OF_MODELS = 16
# Files that are embedded once more.
N_KNOWN = 2000
# Whose operations are counted besides.
COUNTED = [
    *MODELS,
    "MobileCLIP2-S0",
    "ViT-B-16-SigLIP2-256",
    "ViT-L-16-SigLIP2-256",
    "PE-Core-L-14-336",
    "ViT-H-14-worldwide",
]


def report(name, value, wanted=""):
    print(f"{name:<74}{value:>14}{'   wanted: ' + wanted if wanted else ''}", flush=True)


# Pictures and models


def crop(rng, photos, size):
    width, height = size
    photo = photos[rng.integers(len(photos))]
    top = rng.integers(photo.shape[0] - height + 1)
    left = rng.integers(photo.shape[1] - width + 1)
    return photo[top : top + height, left : left + width]


def write_photos(folder, n, rng, size=(500, 375), enlarge_to=None, grain=0):
    """Write JPEG files of quality 90 with crops of photographs, and return their paths."""
    photos = load_sample_images().images
    folder.mkdir(exist_ok=True)
    paths = [str(folder / f"{i:05d}.jpg") for i in range(n)]
    for path in paths:
        image = Image.fromarray(crop(rng, photos, size))
        if enlarge_to:
            image = image.resize(enlarge_to, Image.Resampling.BICUBIC)
        if grain:
            noise = rng.normal(0, grain, (image.height, image.width, 1)).astype(np.int16)
            image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
        image.save(path, quality=90)
    return paths


def write_random_model(folder, architecture=MODEL, text_layers=1):
    """Write a folder with a model of open_clip with random weights; None keeps the layers of the
    text encoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = open_clip.get_model_config(architecture)
    if text_layers:
        config["text_cfg"]["layers"] = text_layers
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    )
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return f"local-dir:{folder}"


# Speed


def usual_loop(loaded, paths):
    """Open, preprocess and embed images one by one in fp32, as open_clip's documentation shows."""
    preprocess = image_transform_v2(
        PreprocessCfg(**loaded.model.visual.preprocess_cfg), is_train=False
    )
    rows = []
    with torch.no_grad():
        for path in paths:
            pixels = preprocess(Image.open(path))[None].to(loaded.device)
            rows.append(loaded.model.encode_image(pixels)[0].float().cpu().numpy())
    return np.stack(rows)


def bare_forward(loaded, batches, precision):
    """Run the model alone, on tensors that are on its device."""
    for batch in batches:
        embeddings = loaded.embed_inputs(batch, precision)
    embeddings.cpu()


def cosine(a, b):
    return float(
        ((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()
    )


def throughput(name, paths, device, n_jobs, rounds):
    """Compare `transform` with the bare forward pass, run by run."""
    encoder = CLIPImageEncoder(name, device=device, n_jobs=n_jobs, batch_size=BATCH_SIZE)
    loaded = encoder._model()
    precision = loaded.image_precision("auto")
    sizes = [len(paths[start : start + BATCH_SIZE]) for start in range(0, len(paths), BATCH_SIZE)]
    batches = [torch.randn(size, 3, *loaded.image_size, device=loaded.device) for size in sizes]
    bare, ours = alternate(
        lambda: bare_forward(loaded, batches, precision),
        lambda: encoder.transform(paths),
        repeats=rounds,
    ).T
    loop, rows = timed(usual_loop, loaded, paths[:100])
    report(
        f"{MODEL} {precision} on {loaded.device}, bare forward pass",
        f"{len(paths) / min(bare):.1f} / s",
    )
    report(f"transform of {len(paths)} JPEG of 500 x 375", f"{len(paths) / min(ours):.1f} / s")
    report("the usual loop in fp32, one by one", f"{100 / loop:.1f} / s")
    share = np.median(bare / ours)
    report(f"transform / bare forward pass, median of {rounds}", f"{share:.1%}", ">= 85 %")
    report(
        "smallest cosine to the usual loop",
        f"{cosine(encoder.transform(paths[:100]), rows):.5f}",
        "0.999",
    )


def large_photos(name, kind, paths, device):
    encoder = CLIPImageEncoder(name, device=device, n_jobs=-1, batch_size=BATCH_SIZE)
    loaded = encoder._model()
    encoder.transform(paths[:2])
    loop, rows = timed(usual_loop, loaded, paths)
    ours, embeddings = timed(encoder.transform, paths)
    megabytes = np.mean([os.path.getsize(path) for path in paths]) / 1e6
    title = f"4000 x 3000 JPEG, {kind}, {megabytes:.1f} MB"
    report(f"{title}: the usual loop in fp32", f"{len(paths) / loop:.2f} / s")
    report(f"{title}: transform", f"{len(paths) / ours:.2f} / s")
    report(f"{title}: transform / usual loop", f"{loop / ours:.1f} x", ">= 5 x")
    report(f"{title}: smallest cosine", f"{cosine(embeddings, rows):.5f}", "0.999")


def precisions(device):
    """Report what bf16 and the automatic choice change on the bundled pictures."""
    emoji = load_emoji()
    y = emoji.target_names[emoji.target]
    text_encoder = CLIPTextEncoder("mini", "bundled")
    first = np.concatenate([np.flatnonzero(y == name)[:4] for name in emoji.target_names])

    def embed_and_predict(precision):
        encoder = CLIPImageEncoder("mini", "bundled", device=device, precision=precision)
        embeddings = encoder.transform(emoji.images)
        zero_shot = ZeroShotClassifier(text_encoder).fit(embeddings, y).predict(embeddings)
        few_shot = (
            FewShotClassifier(text_encoder).fit(embeddings[first], y[first]).predict(embeddings)
        )
        return embeddings, zero_shot, few_shot

    wanted = embed_and_predict("fp32")
    for precision in ("auto", "bf16"):
        got = embed_and_predict(precision)
        report(
            f"emoji through mini, {precision} against fp32: smallest cosine",
            f"{cosine(got[0], wanted[0]):.5f}",
            ">= 0.999",
        )
        for kind, ours, theirs in zip(("zero-shot", "4-shot"), got[1:], wanted[1:]):
            title = f"emoji through mini, {precision} against fp32: changed {kind} predictions"
            report(
                title, f"{np.sum(ours != theirs)} / {len(y)}", "0" if precision == "auto" else ""
            )


def compare_models(folder, paths, device):
    """Print a table of models: their size, and how fast one core embeds images and the words of the
    bridge.
    """
    torch.set_num_threads(1)
    large = write_photos(
        folder.parent / "large", 8, np.random.default_rng(0), (400, 300), (4000, 3000), grain=6
    )
    small_model = CLIPImageEncoder("mini", "bundled", device="cpu")
    small_model.transform(large[:1])
    seconds = cpu_timed(small_model.transform, large)[0] / len(large)
    report("reading 1,000 JPEG of 4000 x 3000, seconds of one core", f"{1000 * seconds:.0f}")
    words = [f"a {word}" for word in load_vocabulary()]
    print(
        "| model | parameters, M | float32, MB | width | first image, s | images / s, fp32 | bf16 |"
        " words, s |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for architecture in MODELS:
        name = write_random_model(folder / architecture, architecture, text_layers=None)
        encoder = CLIPImageEncoder(name, device=device, precision="fp32", batch_size=N_OF_MODELS)
        first = cpu_timed(encoder.transform, paths[:1])[0]
        fp32 = cpu_timed(encoder.transform, paths[1 : 1 + N_OF_MODELS])[0]
        encoder.set_params(precision="bf16").transform(paths[:1])
        bf16 = cpu_timed(encoder.transform, paths[1 : 1 + N_OF_MODELS])[0]
        model = encoder._model().model
        parameters = sum(values.numel() for values in model.parameters())
        has_tokenizer = (
            "hf_tokenizer_name" not in open_clip.get_model_config(architecture)["text_cfg"]
        )
        for_words = "-"
        if has_tokenizer:
            for_words = f"{cpu_timed(CLIPTextEncoder(name, device=device).transform, words)[0]:.0f}"
        width = encoder.get_feature_names_out().size
        print(
            f"| {architecture} | {parameters / 1e6:.0f} | {4 * parameters / 1e6:,.0f} | {width:,} |"
            f" {first:.1f} | {N_OF_MODELS / fp32:.1f} | {N_OF_MODELS / bf16:.1f} | {for_words} |",
            flush=True,
        )
        clear_model_cache()
        shutil.rmtree(folder / architecture)


def count_operations():
    """Print the size of models, and the floating-point operations that 1,000 images take: seconds
    are proportional.
    """
    print("| model | parameters, M | TFLOP for 1,000 images |")
    print("| --- | ---: | ---: |")
    for name in COUNTED:
        model = open_clip.create_model(name, load_weights=False, device="meta").eval()
        size = model.visual.image_size
        pixels = torch.empty(
            1, 3, *(size if isinstance(size, tuple) else (size, size)), device="meta"
        )
        with FlopCounterMode(display=False) as counter:
            model.encode_image(pixels)
        parameters = sum(values.numel() for values in model.parameters())
        print(
            f"| {name} | {parameters / 1e6:.0f} | {counter.get_total_flops() / 1e9:.1f} |",
            flush=True,
        )


def pieces(name, repeats=5):
    """Report what one core takes for an image, by the number of images that it embeds at once."""
    torch.set_num_threads(1)
    loaded = CLIPImageEncoder(name, device="cpu")._model()
    precision = loaded.image_precision("auto")
    batch = torch.randn(BATCH_SIZE, 3, *loaded.image_size)
    for size in (2, 4, 8, 16, 32, 64):
        split = batch.split(size)
        bare_forward(loaded, split, precision)
        best = min(cpu_timed(bare_forward, loaded, split, precision)[0] for _ in range(repeats))
        report(
            f"{MODEL} {precision}, {size} images at once, ms of CPU an image",
            f"{1000 * best / BATCH_SIZE:.1f}",
        )


def known_pictures(paths, folder, repeats=5):
    """Report what one core takes for a file whose embedding is known already."""
    torch.set_num_threads(1)
    # Files that changed just now would be read again.
    time.sleep(SETTLED_NS / 1e9)
    reading = min(cpu_timed(read_all, paths)[0] for _ in range(repeats))
    report("reading a file, us of CPU", f"{1e6 * reading / len(paths):.0f}")
    for name, cache in (("in memory", "memory"), ("on disk", folder)):
        encoder = CLIPImageEncoder("mini", "bundled", device="cpu", cache=cache)
        encoder.transform(paths)
        best = min(cpu_timed(encoder.transform, paths)[0] for _ in range(repeats))
        report(f"a picture that is known {name}, us of CPU", f"{1e6 * best / len(paths):.0f}")


def read_all(paths):
    for path in paths:
        Path(path).read_bytes()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--only", choices=["speed", "models", "operations", "pieces", "known"], default="speed"
    )
    args = parser.parse_args()
    # open_clip tells that the weights are random, which is meant.
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if args.only == "pieces":
            pieces(write_random_model(folder / "model"))
        if args.only == "known":
            known_pictures(write_photos(folder / "photos", N_KNOWN, rng), folder / "cache")
        if args.only == "operations":
            count_operations()
        if args.only == "models":
            compare_models(
                folder / "models",
                write_photos(folder / "photos", 1 + N_OF_MODELS, rng),
                args.device,
            )
        if args.only == "speed":
            name = write_random_model(folder / "model")
            photos = write_photos(folder / "photos", N_PHOTOS, rng)
            throughput(name, photos, args.device, args.n_jobs, args.rounds)
            for kind, grain in (("smooth", 0), ("grainy", 6)):
                large = write_photos(folder / kind, N_LARGE, rng, (400, 300), (4000, 3000), grain)
                large_photos(name, kind, large, args.device)
            precisions(args.device)


if __name__ == "__main__":
    main()
