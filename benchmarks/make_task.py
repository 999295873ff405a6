"""Make the file of a task: embed images and class texts with a model of open_clip.

    python benchmarks/make_task.py my_pictures --model ViT-B-16 --pretrained openai \\
        --template "a photo of a {}."
    python benchmarks/make_task.py DATA --data-set OxfordPets --model ViT-B-16 \\
        --pretrained openai --cupl TEXTS

The first takes a folder with one sub-folder for each class, whose name is the name of the class.
The second takes one of the paper's eleven data sets from DATA, in the layout of CoOp
(`benchmarks/README.md` lists it), with its splits and prompts: the template of the data set and
seven general ones; with `--cupl`, CuPL's sentences besides
(`TEXTS/<folder of the data set>/cupl_full.json`). `--data-set all` makes the files of all eleven.
ImageNetV2 and ImageNetSketch have test images only, for `few_shot.py --test-task`. `--most` limits
the images of each class and part but "test", for ImageNet.

Embeddings are kept in `--cache`, so that an interrupted run goes on. `tasks.py` describes the file.
"""

import argparse
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, NoProjectionError, ZeroShotClassifier
from sksemobridge.datasets import load_image_folder

PARTS = ("train", "val", "test")
# Folder, folder of the images in it, and template. The split is `split_zhou_NAME.json`, but for
# two.
DATA_SETS = {
    "OxfordPets": ("oxford_pets", "images", "a photo of a {}, a type of pet."),
    "OxfordFlowers": ("oxford_flowers", "jpg", "a photo of a {}, a type of flower."),
    "FGVCAircraft": ("fgvc_aircraft", "images", "a photo of a {}, a type of aircraft."),
    "DescribableTextures": ("dtd", "images", "{} texture."),
    "EuroSAT": ("eurosat", "2750", "a centered satellite photo of {}."),
    "StanfordCars": ("stanford_cars", "", "a photo of a {}."),
    "Food101": ("food-101", "images", "a photo of {}, a type of food."),
    "SUN397": ("sun397", "SUN397", "a photo of a {}."),
    "Caltech101": ("caltech-101", "101_ObjectCategories", "a photo of a {}."),
    "UCF101": ("ucf101", "UCF-101-midframes", "a photo of a person doing {}."),
    "ImageNet": ("imagenet", "images", None),
}
# Test images of the classes of ImageNet.
TEST_SETS = {
    "ImageNetV2": ("imagenetv2", "imagenetv2-matched-frequency-format-val", None),
    "ImageNetSketch": ("imagenet-sketch", "images", None),
}
ENSEMBLE = ("itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}.")
ENSEMBLE += ("a {} in a video game.", "art of the {}.", "a photo of the small {}.")
# The paper uses the template of these alone.
WITHOUT_ENSEMBLE = ("DescribableTextures", "EuroSAT", "OxfordFlowers")


def existing(path):
    if not path.exists():
        raise SystemExit(
            f"There is no {str(path)!r}. benchmarks/README.md shows where files must lie."
        )
    return path


def read_split_json(folder, image_folder, name):
    """Rows of `(path, label, part)`, and the texts of the classes."""
    path = existing(folder / f"split_zhou_{name}.json")
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (image_folder / str(file), int(label), str(text), part)
            for part in PARTS
            for file, label, text in splits[part]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{str(path)!r} must hold lists train, val and test of [image, label, class name]"
            f" ({error!r})."
        ) from error
    texts = {label: text for _, label, text, _ in rows}
    if sorted(texts) != list(range(len(texts))) or any(
        texts[label] != text for _, label, text, _ in rows
    ):
        raise SystemExit(f"{str(path)!r} must give the labels 0, 1, ..., each of one class name.")
    return [(file, label, part) for file, label, _, part in rows], [
        texts[label] for label in sorted(texts)
    ]


def read_aircraft(folder, image_folder):
    lines = existing(folder / "variants.txt").read_text(encoding="utf-8").splitlines()
    texts = [line.strip() for line in lines if line.strip()]
    rows = []
    for part in PARTS:
        path = existing(folder / f"images_variant_{part}.txt")
        for line in path.read_text(encoding="utf-8").splitlines():
            image, _, text = line.strip().partition(" ")
            if text not in texts:
                raise SystemExit(
                    f"{str(path)!r} has the variant {text!r}, which variants.txt does not list."
                )
            rows.append((image_folder / f"{image}.jpg", texts.index(text), part))
    return rows, texts


def read_class_names(folder):
    """The text of each folder of ImageNet."""
    lines = existing(folder / "classnames.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.strip().split(" ", 1) for line in lines if " " in line.strip())


def read_test_set(folder, image_folder):
    """Images of ImageNet's classes, in folders with their names or with their places in the sorted
    list of these.
    """
    text_of = read_class_names(folder)
    labels = {name: label for label, name in enumerate(sorted(text_of))}
    labels |= {str(label): label for label in range(len(text_of))}
    below = [path for path in existing(image_folder).iterdir() if path.is_dir()]
    if unknown := [path.name for path in below if path.name not in labels]:
        raise SystemExit(f"{str(image_folder)!r} has the folders {', '.join(unknown[:5])}.")
    rows = [
        (path, labels[of_class.name], "test")
        for of_class in sorted(below)
        for path in sorted(of_class.iterdir())
        if not path.name.startswith(".")
    ]
    return rows, [text_of[name] for name in sorted(text_of)]


def read_imagenet(folder, image_folder):
    """Its validation images are the test images. Labels are the places of the sorted folders."""
    text_of = read_class_names(folder)
    folders = sorted(
        path.name for path in existing(image_folder / "train").iterdir() if path.is_dir()
    )
    if unnamed := [name for name in folders if name not in text_of]:
        raise SystemExit(
            f"{str(folder / 'classnames.txt')!r} has no name for {', '.join(unnamed[:5])}."
        )
    rows = [
        (path, label, part)
        for source, part in (("train", "train"), ("val", "test"))
        for label, name in enumerate(folders)
        for path in sorted(existing(image_folder / source / name).iterdir())
        if not path.name.startswith(".")
    ]
    return rows, [text_of[name] for name in folders]


def read_data_set(name, root):
    """Paths, labels and parts of the images of a data set, and the texts of its classes."""
    folder, images, _ = (DATA_SETS | TEST_SETS)[name]
    folder = existing(Path(root, folder))
    readers = {"FGVCAircraft": read_aircraft, "ImageNet": read_imagenet}
    readers |= dict.fromkeys(TEST_SETS, read_test_set)
    read = readers.get(name, lambda *folders: read_split_json(*folders, name))
    rows, texts = read(folder, folder / images)
    missing = [path for path, _, _ in rows if not path.exists()]
    if missing:
        raise SystemExit(
            f"{len(missing)} of {len(rows)} images of {name} are missing, first"
            f" {str(missing[0])!r}."
        )
    paths, labels, parts = zip(*rows)
    return np.array(list(map(str, paths)), dtype=object), np.array(labels), np.array(parts), texts


def limit(labels, parts, most):
    """Rows of at most so many images of each class and part; all of "test"."""
    shuffled, counts, kept = np.random.default_rng(0).permutation(len(labels)), Counter(), []
    for row in shuffled:
        counts[labels[row], parts[row]] += 1
        if parts[row] == "test" or counts[labels[row], parts[row]] <= most:
            kept.append(row)
    return np.sort(kept)


def prompts_of(texts, templates, cupl):
    """A list of prompts for each class; `cupl` is a file of sentences, or None."""
    sentences = {}
    if cupl is not None:
        found = json.loads(existing(cupl).read_text(encoding="utf-8"))
        sentences = {text.lower().replace("_", " "): list(lines) for text, lines in found.items()}
        if missing := [text for text in texts if text.lower() not in sentences]:
            raise SystemExit(
                f"{str(cupl)!r} has no sentences for {', '.join(map(repr, missing[:5]))}."
            )
    return [
        [template.replace("{}", text) for template in templates] + sentences.get(text.lower(), [])
        for text in texts
    ]


def text_side(encoder, names, prompts):
    """What the file holds of the texts; without a text projection, the joint embeddings alone."""
    flat = [prompt for of_class in prompts for prompt in of_class]
    model = ZeroShotClassifier(encoder, prompts=dict(zip(names, prompts))).fit(None, names)
    result = {
        "text": model.text_embeddings_[np.searchsorted(model.classes_, names)],
        "logit_scale": encoder.logit_scale_,
    }
    try:
        projection, bias = encoder.projection_, encoder.projection_bias_
    except NoProjectionError:
        return result
    of_class = np.repeat(np.arange(len(names)), list(map(len, prompts)))
    sides = {
        "prompts": np.array(flat),
        "prompt_class": of_class,
        "eos": encoder.encode(flat),
        "projection": projection,
    }
    with suppress(NoProjectionError):
        sides["image_projection"] = encoder.image_projection_
    return result | sides if bias is None else result


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-set", choices=[*DATA_SETS, *TEST_SETS, "all"])
    parser.add_argument("--model", default="ViT-B-16", help="as open_clip names it")
    parser.add_argument("--pretrained", default="openai")
    parser.add_argument(
        "--template", nargs="+", help="prompts with {} for the class name; by default seven"
    )
    parser.add_argument("--cupl", type=Path, metavar="TEXTS")
    parser.add_argument("--most", type=int, help="images of each class and part")
    parser.add_argument("--output", type=Path, help="NAME_MODEL.npz by default")
    parser.add_argument("--cache", default="embeddings", help="folder that keeps embeddings")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int)
    args = parser.parse_args(arguments)
    if args.data_set == "all" and args.output:
        parser.error("--output is for one file, and --data-set all makes eleven")
    for data_set in DATA_SETS if args.data_set == "all" else [args.data_set]:
        make(args, data_set)


def make(args, data_set):
    """Write the file of a data set, or of a folder if it is None."""
    templates, cupl = args.template or ENSEMBLE, None
    if data_set:
        folder, _, template = (DATA_SETS | TEST_SETS)[data_set]
        paths, labels, parts, texts = read_data_set(data_set, args.folder)
        own = () if template is None else (template,)
        templates = args.template or own + (() if data_set in WITHOUT_ENSEMBLE else ENSEMBLE)
        # The test sets have the sentences of ImageNet.
        folder = "imagenet" if data_set in TEST_SETS else folder
        cupl = args.cupl and args.cupl / folder / "cupl_full.json"
        extra = {"dataset": data_set}
    else:
        data = load_image_folder(args.folder)
        paths, labels, texts = data.paths, data.target, list(data.target_names)
        parts, extra = np.full(len(paths), "train"), {"dataset": args.folder.resolve().name}
    if args.most is not None:
        kept = limit(labels, parts, args.most)
        paths, labels, parts = paths[kept], labels[kept], parts[kept]
    if data_set:
        extra["part"] = parts
    texts = [str(text).replace("_", " ") for text in texts]
    # Two classes of one name, as in ImageNet, have labels of their own.
    names = [
        text if texts.count(text) == 1 else f"{text} ({label})" for label, text in enumerate(texts)
    ]
    prompts = prompts_of(texts, templates, cupl)
    model = {
        "model_name": args.model,
        "pretrained": args.pretrained,
        "device": args.device,
        "cache": args.cache,
    }
    images = CLIPImageEncoder(
        **model, precision="fp32", n_jobs=args.n_jobs, progress=True
    ).transform(paths)
    sides = text_side(CLIPTextEncoder(**model), np.array(names), prompts)
    output = args.output or Path(f"{extra['dataset']}_{args.model.replace('/', '-')}.npz")
    model_name = f"{args.model} {args.pretrained}"
    np.savez(
        output, images=images, labels=labels, class_names=names, model=model_name, **extra, **sides
    )
    print(
        f"{output}: {len(images):,} images of {len(names)} classes, {images.shape[1]} numbers each"
    )


if __name__ == "__main__":
    main()
