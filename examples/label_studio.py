"""
To and from Label Studio
========================

Label Studio exports and imports JSON. This example turns its labels into shots, and sends back
predictions with scores. People can then label the least certain images first (in Label Studio:
order tasks by prediction score). The images are files in one folder, which Label Studio serves as
"local storage".
"""

# sphinx_gallery_thumbnail_path = "generated/cards/label_studio.png"

import json
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from PIL import Image

from sksemobridge import make_few_shot_pipeline
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import predict_folder

# The names in the labelling interface: <Choices name="label" toName="image"> and <Image
# name="image" value="$image"/>.
CHOICES = "label"
IMAGE = "image"


def to_tasks(table, root):
    """Tasks with predictions, from a table of `predict_folder`. Images without a label become tasks
    without a prediction.
    """
    tasks = []
    for path, label, probability in zip(table["path"], table["label"], table["probability"]):
        address = f"/data/local-files/?d={quote(Path(path).relative_to(root).as_posix())}"
        task = {"data": {IMAGE: address}, "predictions": []}
        if isinstance(label, str):
            value = {"choices": [label]}
            result = {"from_name": CHOICES, "to_name": IMAGE, "type": "choices", "value": value}
            prediction = {"model_version": "sksemobridge", "score": probability, "result": [result]}
            task["predictions"].append(prediction)
        tasks.append(task)
    return tasks


def to_shots(tasks, root):
    """Paths and labels from an export of tasks ("JSON"). Only tasks with exactly one label by a
    person are used.
    """
    paths, labels = [], []
    for task in tasks:
        results = [
            result["value"]["choices"]
            for annotation in task.get("annotations", [])
            if not annotation.get("was_cancelled")
            for result in annotation["result"]
            if result["from_name"] == CHOICES
        ]
        # The last annotation counts. Several choices are not one class.
        if results and len(results[-1]) == 1:
            paths.append(str(Path(root, parse_qs(urlsplit(task["data"][IMAGE]).query)["d"][0])))
            labels.append(results[-1][0])
    return paths, labels


# %%
# A trial: tasks with the predictions of a classifier that knows two pictures of each class.
if __name__ == "__main__":
    emoji = load_emoji()
    names = ["bird", "clock", "fruit"]
    pictures = {name: emoji.images[emoji.target_names[emoji.target] == name] for name in names}
    for name in names:
        for i, picture in enumerate(pictures[name][2:8]):
            Path("media").mkdir(exist_ok=True)
            Image.fromarray(picture).save(f"media/{name} {i}.png")
    shots = [picture for name in names for picture in pictures[name][:2]]
    labels = [name for name in names for _ in range(2)]
    pipeline = make_few_shot_pipeline("mini", "bundled").fit(shots, labels)
    tasks = to_tasks(predict_folder(pipeline, "media", progress=False), "media")
    Path("tasks.json").write_text(json.dumps(tasks))
    print(len(tasks), "tasks to import, such as", tasks[0])

    # In the export, the labels by a person are annotations.
    for task in tasks[:9]:
        task["annotations"] = [
            {"result": prediction["result"]} for prediction in task["predictions"]
        ]
    paths, labels = to_shots(tasks, "media")
    pipeline.partial_fit(paths, labels)
    print(len(paths), "more shots, such as", paths[0], labels[0])
