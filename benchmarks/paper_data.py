"""The data sets of the paper as its code lays them out: folders, split files, shots, prompts, augmented copies."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VARIANTS = ("ImageNetV2", "ImageNetSketch", "ImageNetA", "ImageNetR")
PARTS = ("train", "val", "test")
INPUT_SIZE = 224
# Decoded pictures that are held at once.
CHUNK = 512


@dataclass(frozen=True)
class Images:
    """Paths of images, and one label for each."""

    paths: list
    labels: np.ndarray

    def take(self, rows):
        return Images([self.paths[i] for i in rows], self.labels[rows])


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes
    ----------
    class_names : list of str
        By label.
    train : Images
        What shots are drawn from.
    val : Images or None
        The validation split; ImageNet has none.
    tests : dict of Images
        By name: its own test split, for ImageNet also those of its variants.
    """

    name: str
    class_names: list
    train: Images
    val: Images | None
    tests: dict


def read_protocol():
    """The paper's protocol, `paper_protocol.json`."""
    return json.loads((Path(__file__).parent / "paper_protocol.json").read_text(encoding="utf-8"))


def read_dataset(name, root, protocol):
    """Read the splits of a data set below `root`.

    Raises
    ------
    FileNotFoundError
        If a folder, a split file or an image that a split names is missing; says which.
    ValueError
        If a split file is not what it should be; says what is wrong with it.
    """
    entry = protocol["datasets"][name]
    folder = Path(root, entry["directory"])
    if entry["split"].endswith(".json"):
        dataset = _read_json(name, _existing(folder / entry["split"]), folder / entry["images"])
    elif entry["split"].startswith("images_variant"):
        dataset = _read_aircraft(name, folder, folder / entry["images"])
    else:
        return _read_imagenet(name, folder)
    for images in (dataset.train, dataset.val, *dataset.tests.values()):
        _check_images(name, images)
    return dataset


def _existing(path):
    if not path.exists():
        raise FileNotFoundError(
            f"There is no {str(path)!r}. Lay the data sets out as benchmarks/README.md says, or leave this one out "
            "with --datasets."
        )
    return path


def _check_images(name, images):
    missing = [path for path in images.paths if not Path(path).exists()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(images.paths)} images in a split of {name} are missing, the first is "
            f"{str(missing[0])!r}."
        )


def _read_json(name, path, image_folder):
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        rows = {
            part: [(str(file), int(label), str(text)) for file, label, text in splits[part]] for part in PARTS
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} is no split file: it must hold lists train, val and test of "
            f"[image path, label, class name] ({type(error).__name__}: {error})."
        ) from error
    names = {}
    for part in PARTS:
        for file, label, text in rows[part]:
            if names.setdefault(label, text) != text:
                raise ValueError(
                    f"{str(path)!r} calls label {label} both {names[label]!r} and {text!r} (at {file!r} in {part})."
                )
    return _from_rows(name, path, rows, names, image_folder)


def _read_aircraft(name, folder, image_folder):
    path = _existing(folder / "variants.txt")
    variants = path.read_text(encoding="utf-8").splitlines()
    label_of = {text.strip(): label for label, text in enumerate(variants) if text.strip()}
    rows = {}
    for part in PARTS:
        split = _existing(folder / f"images_variant_{part}.txt")
        rows[part] = []
        for line in split.read_text(encoding="utf-8").splitlines():
            image, _, variant = line.strip().partition(" ")
            if variant not in label_of:
                raise ValueError(
                    f"{str(split)!r} has the variant {variant!r}, which {path.name} does not list."
                )
            rows[part].append((f"{image}.jpg", label_of[variant], variant))
    names = {label: text for text, label in label_of.items()}
    return _from_rows(name, folder, rows, names, image_folder)


def _from_rows(name, source, rows, names, image_folder):
    """Rows of `(file, label, class name)` by part, and the class names by label."""
    trained = {label for _, label, _ in rows["train"]}
    if set(names) != trained or trained != set(range(len(trained))):
        raise ValueError(
            f"The split of {str(source)!r} must have training images of the labels 0, 1, ..., and of all labels in "
            f"val and test; it has labels {sorted(names)}, trained are {sorted(trained)}."
        )
    parts = {
        part: Images(
            [image_folder / file for file, _, _ in rows[part]], np.array([row[1] for row in rows[part]])
        )
        for part in PARTS
    }
    class_names = [names[label].replace("_", " ") for label in range(len(names))]
    return Dataset(name, class_names, parts["train"], parts["val"], {name: parts["test"]})


def _read_imagenet(name, folder):
    """ImageNet, whose validation images are the test images; labels are positions of the sorted folders."""
    lines = _existing(folder / "classnames.txt").read_text(encoding="utf-8").splitlines()
    texts = dict(line.strip().split(" ", 1) for line in lines if " " in line.strip())
    folders = _folders(folder / "images" / "train")
    unnamed = [wnid for wnid in folders if wnid not in texts]
    if unnamed:
        raise ValueError(f"{str(folder / 'classnames.txt')!r} has no name for {', '.join(unnamed[:5])}.")
    train, test = (_read_folders(folder / "images" / part, folders) for part in ("train", "val"))
    class_names = [texts[wnid].replace("_", " ") for wnid in folders]
    return Dataset(name, class_names, train, None, {name: test})


def read_variant(variant, root, protocol):
    """Images of a variant of ImageNet, with ImageNet's labels; errors are those of `read_dataset`."""
    entry = protocol["datasets"][variant]
    folders = _folders(Path(root, protocol["datasets"]["ImageNet"]["directory"], "images", "train"))
    if variant == "ImageNetV2":
        folders = [str(label) for label in range(len(folders))]
    return _read_folders(Path(root, entry["directory"], entry["images"]).parent, folders)


def _folders(path):
    return sorted(entry.name for entry in _existing(path).iterdir() if entry.is_dir())


def _read_folders(path, folders):
    """Images in the folders below `path`; the label is the position of the folder's name in `folders`."""
    label_of = {name: label for label, name in enumerate(folders)}
    paths, labels = [], []
    for name in _folders(path):
        if name not in label_of:
            raise ValueError(
                f"{str(path / name)!r} is not the folder of a class of ImageNet's training images."
            )
        files = sorted(file for file in (path / name).iterdir() if not file.name.startswith("."))
        paths += files
        labels += [label_of[name]] * len(files)
    return Images(paths, np.array(labels))


def draw_shots(images, k, seed):
    """Rows of `k` images of each class, as the paper's code draws them; of all where there are fewer.

    That is `random.sample`, label by label in the order of their first image, after `random.seed(seed)`. On
    ImageNet, where the paper's order is that of the file system, images are taken in the order of their names.
    """
    rows_of = defaultdict(list)
    for row, label in enumerate(images.labels.tolist()):
        rows_of[label].append(row)
    rng = random.Random(seed)
    return [row for rows in rows_of.values() for row in (rng.sample(rows, k) if len(rows) >= k else rows)]


def class_prompts(name, class_names, protocol, cupl=None):
    """Prompts of each label: the class template, the ensemble, and CuPL's sentences where given.

    Parameters
    ----------
    cupl : path or None
        Folder with `<directory of the data set>/cupl_full.json`, a mapping from class names to sentences.
    """
    entry = protocol["datasets"][name]
    templates = [] if name in protocol["class_template_not_used_for"] else [entry["template"]]
    if name not in protocol["ensemble_not_used_for"]:
        templates += protocol["ensemble_templates"]
    prompts = {
        label: [template.replace("{}", text) for template in templates]
        for label, text in enumerate(class_names)
    }
    if cupl is None:
        return prompts
    path = _existing(Path(cupl, entry["directory"], "cupl_full.json"))
    sentences = json.loads(path.read_text(encoding="utf-8"))
    sentences = {text.lower().replace("_", " "): found for text, found in sentences.items()}
    missing = [text for text in class_names if text.lower() not in sentences]
    if missing:
        raise ValueError(f"{str(path)!r} has no sentences for {', '.join(map(repr, missing[:5]))}.")
    return {label: prompts[label] + list(sentences[text.lower()]) for label, text in enumerate(class_names)}


def embed_shots(encoder, paths, name, k, protocol, seed):
    """Embeddings of shots and of their augmented copies, and which image each row is of.

    Returns
    -------
    X : ndarray of shape ((1 + copies) * n, D)
        The images themselves first.
    image : ndarray of shape ((1 + copies) * n,)
    """
    recipe = protocol["datasets"][name]["augmentation_by_shots"].get(str(k))
    parts = [encoder.transform(paths)]
    copies = 0 if recipe is None else recipe["copies"]
    if copies:
        pictures = _augmented(paths, recipe, protocol["color_jitter"], seed)
        while chunk := [picture for picture, _ in zip(pictures, range(CHUNK))]:
            parts.append(encoder.transform(chunk))
    return np.concatenate(parts), np.tile(np.arange(len(paths)), 1 + copies)


def _augmented(paths, recipe, jitter, seed):
    """One augmented picture of every path, `copies` times over."""
    import torch
    from PIL import Image
    from torchvision import transforms

    steps = {
        "random_resized_crop": lambda: transforms.RandomResizedCrop(
            INPUT_SIZE,
            scale=recipe["crop_scale"],
            ratio=(1.0, 1.0),
            interpolation=transforms.InterpolationMode.BICUBIC,
        ),
        "random_flip": transforms.RandomHorizontalFlip,
        "horizontal_flip": lambda: transforms.RandomHorizontalFlip(1.0),
        "color_jitter": lambda: transforms.ColorJitter(**jitter),
    }
    transform = transforms.Compose([steps[name]() for name in recipe["transforms"]])
    for number in range(len(paths) * recipe["copies"]):
        with Image.open(paths[number % len(paths)]) as picture, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * 1_000_003 + number)
            yield transform(picture.convert("RGB"))
