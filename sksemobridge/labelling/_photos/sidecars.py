"""Labels in sidecars: `NAME.EXT.xmp` beside each picture, for `sksemobridge label --sidecars`.

Only the bytes of lists of keywords change, and all else in a sidecar stays as it is. A list of our
own names the keywords that this command wrote, so that a new label replaces an earlier one, and no
keyword of a person is touched.
"""

import os
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

from ..._utils.files import unfinished_folder
from ..._utils.validation import listed
from .folder_table import plain, was_read

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OWN = "https://github.com/sksemobridge/sksemobridge/xmp/1.0/"
# Lists of keywords by name: the usual prefix, the namespace, and the kind of list.
LISTS = {
    "TagsList": ("digiKam", "http://www.digikam.org/ns/1.0/", "Seq"),
    "hierarchicalSubject": ("lr", "http://ns.adobe.com/lightroom/1.0/", "Bag"),
    "subject": ("dc", "http://purl.org/dc/elements/1.1/", "Bag"),
}
EMPTY = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="sksemobridge">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="">
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
""".encode()
_START_TAG = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*(/?)>""")
_END_TAG = re.compile(rb"</[^>]*>")
# Bytes of the largest sidecar that is read. Sidecars of programs for raw pictures, with masks, have
# a few million bytes.
LARGEST_SIDECAR = 20_000_000
# Characters that XML cannot hold.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class NotMergedError(ValueError):
    """A sidecar to which nothing can be added."""


@dataclass(eq=False, slots=True)
class _Element:
    """An XML element: `name` with its namespace, places of its tags, and parts of its text."""

    name: str
    start: int
    inner: int
    is_empty: bool
    attributes: dict[str, str]
    inner_end: int = 0
    end: int = 0
    parts: list[str] = field(default_factory=list)
    children: list["_Element"] = field(default_factory=list)


def keywords(label):
    """The keywords of a label by list. `animal|cat` and `animal/cat` are paths of keywords."""
    label = "" if label is None else _ILLEGAL.sub("?", plain(str(label)))
    path = [part.strip() for part in re.split(r"[|/]", label) if part.strip()]
    one = [path] if path else []
    return {
        "TagsList": ["/".join(parts) for parts in one],
        "hierarchicalSubject": ["|".join(parts) for parts in one],
        "subject": [*dict.fromkeys(path)],
    }


def merged(content, wanted):
    """The content of a sidecar with the `wanted` keywords of each list, and without other keywords
    that this command wrote.
    """
    rdf = _parse(content)
    if any(wanted.values()) and not any(map(_takes_lists, rdf.children)):
        content = _with_place(content, rdf)
        rdf = _parse(content)
    edits = [edit for name, values in wanted.items() for edit in _edits(content, rdf, name, values)]
    parts, place = [], 0
    for start, end, new in sorted(edits):
        parts += content[place:start], new
        place = end
    return b"".join([*parts, content[place:]])


def _takes_lists(element):
    return element.name == f"{RDF} Description" and not element.is_empty


def _with_place(content, rdf):
    """The content with an `rdf:Description` that can hold lists."""
    for description in rdf.children:
        if description.name == f"{RDF} Description":  # <rdf:Description ... />
            name = re.match(rb"<([^\s/>]+)", content[description.start :])[1]
            before = content[: description.inner].removesuffix(b"/>")
            return before + b">\n  </%b>" % name + content[description.inner :]
    if rdf.is_empty:
        raise NotMergedError("its rdf:RDF is empty")
    r, place = _prefix(content, rdf), _before_spaces(content, rdf.inner_end)
    new = b'\n  <%bDescription %babout="">\n  </%bDescription>' % (r, r, r)
    return content[:place] + new + content[place:]


def _parse(content):
    """The element `rdf:RDF` of a sidecar."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    root = _Element("", 0, 0, False, {})
    stack, found = [root], []

    def start(name, attributes):
        begins = parser.CurrentByteIndex
        tag = _START_TAG.match(content, begins)
        if tag is None:
            raise NotMergedError("it is not in UTF-8")
        element = _Element(name, begins, tag.end(), bool(tag[1]), attributes)
        stack[-1].children.append(element)
        stack.append(element)
        if name == f"{RDF} RDF":
            found.append(element)

    def end(_):
        element = stack.pop()
        if element.is_empty:
            element.inner_end = element.end = element.inner
        else:
            element.inner_end = parser.CurrentByteIndex
            element.end = _END_TAG.match(content, element.inner_end).end()

    def text(part):
        stack[-1].parts.append(part)

    def declaration(version, encoding, standalone):
        if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
            raise NotMergedError(f"it is in {encoding}, not in UTF-8")

    def doctype(*_):
        raise NotMergedError("it has a document type, which no sidecar has")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.XmlDeclHandler = text, declaration
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotMergedError(f"it is no XML: {error}") from error
    if len(found) != 1:
        raise NotMergedError("it is no XMP: it has no rdf:RDF, or several")
    return found[0]


def _edits(content, rdf, name, wanted):
    """Parts of the content to replace, so that a list has these keywords: `(start, end, new)`."""
    prefix, space, kind = LISTS[name]
    given, items = _list(rdf, space, name)
    own_name = f"written{name[0].upper()}{name[1:]}"
    mark, marks = _list(rdf, OWN, own_name)
    values, own = (["".join(item.parts).strip() for item in part] for part in (items, marks))
    known, marked = {*values}, {*own}
    # A keyword that was there before belongs to a person.
    ours = [value for value in wanted if value in marked or value not in known]
    if ours == own and marked <= known:
        return
    # All keywords of this command are written anew, in the order of the new label.
    if known <= marked and (items or ours):
        yield _replaced(content, rdf, given, (prefix, space, name, kind), ours)
    elif items:
        place = items[-1]
        lead = content[_before_spaces(content, place.start) : place.start]
        for item, value in zip(items, values):
            if value in marked:
                yield _before_spaces(content, item.start), item.end, b""
        if ours:
            yield place.end, place.end, b"".join(lead + _item(content, rdf, one) for one in ours)
    if ours != own:
        yield _replaced(content, rdf, mark, ("sksemobridge", OWN, own_name, "Bag"), ours)


def _list(rdf, space, name):
    """The property of this name, or None, and the items of its list."""
    full = f"{space} {name}"
    for description in rdf.children:
        if description.name != f"{RDF} Description":
            continue
        if full in description.attributes:
            raise NotMergedError(f"its {name} is no list")
        for element in description.children:
            if element.name == full:
                kinds = {f"{RDF} {kind}" for kind in ("Bag", "Seq", "Alt")}
                if len(element.children) != 1 or element.children[0].name not in kinds:
                    raise NotMergedError(f"its {name} is no list")
                return element, element.children[0].children
    return None, []


def _replaced(content, rdf, given, what, values):
    """The edit that replaces a property, or adds a missing one, with a list of these values.
    Without values, the property is removed.
    """
    prefix, space, name, kind = what
    r = _prefix(content, rdf)
    text = b""
    if values:
        items = b"".join(b"\n     " + _item(content, rdf, value) for value in values)
        tag, kind = f"{prefix}:{name}".encode(), kind.encode()
        text = b'\n   <%b xmlns:%b="%b">' % (tag, prefix.encode(), space.encode())
        text += b"\n    <%b%b>%b\n    </%b%b>\n   </%b>" % (r, kind, items, r, kind, tag)
    if given is not None:
        return _before_spaces(content, given.start), given.end, text
    description = next(filter(_takes_lists, rdf.children))
    place = _before_spaces(content, description.inner_end)
    return place, place, text


def _before_spaces(content, place):
    """The start of the spaces before a place."""
    while content[place - 1 : place].isspace():
        place -= 1
    return place


def _prefix(content, rdf):
    """The prefix of RDF in this sidecar, such as `rdf:`."""
    tag = re.match(rb"<([^\s/>]*)RDF", content[rdf.start : rdf.inner])
    return tag[1]


def _item(content, rdf, value):
    r = _prefix(content, rdf)
    return b"<%bli>%b</%bli>" % (r, escape(value).encode(), r)


def write_sidecars(rows):
    """Write the labels of pictures, rows of the table, into their sidecars. Return lines that count
    the sidecars.
    """
    by_folder, done, refused = defaultdict(list), Counter(), []
    for row in rows:
        if was_read(row):
            by_folder[os.path.dirname(row["path"])].append(row)
    for folder, own in by_folder.items():
        changed, kinds = {}, {}
        for row in own:
            path = Path(f"{row['path']}.xmp")
            try:
                before, after = _read(path, keywords(row["label"]))
            except (NotMergedError, OSError) as error:
                refused.append(f"{path} ({error})")
                continue
            if after != before:
                changed[path] = after
                kinds[path] = "new" if before is None else "changed"
            elif after is not None:
                done["same"] += 1
        problems = _write(folder, changed) if changed else {}
        refused += [f"{path} ({problem})" for path, problem in problems.items()]
        done.update(kind for path, kind in kinds.items() if path not in problems)
    lines = [
        f"Sidecars: {done['new']} new, {done['changed']} changed, {done['same']} as they were."
    ]
    if refused:
        lines.append(f"Sidecars left as they are ({len(refused)}): {listed(refused)}")
    return lines


def _read(path, wanted):
    """The content of a sidecar before and after. Both are None if no sidecar is there or needed."""
    if not os.path.lexists(path):
        return None, merged(EMPTY, wanted) if any(wanted.values()) else None
    if path.is_symlink() or not path.is_file():
        raise NotMergedError("it is no regular file")
    if path.stat().st_size > LARGEST_SIDECAR:
        raise NotMergedError(f"it has more than {LARGEST_SIDECAR // 10**6} MB")
    before = path.read_bytes()
    after = merged(before, wanted)
    # The new content must read back as these keywords.
    if merged(after, wanted) != after:
        raise NotMergedError("its lists cannot be told apart")
    return before, after


def _write(folder, contents):
    """Write files of a folder, each completely or not at all. Return the problems of files that
    were not written, by path.
    """
    problems, left = {}, {**contents}
    try:
        with unfinished_folder(Path(folder or ".").absolute()) as place:
            for path, content in contents.items():
                try:
                    _write_file(path, content, place / "sidecar")
                except OSError as error:
                    problems[path] = error.strerror
                del left[path]
    # The folder takes no files, or does not let unfinished files be deleted.
    except OSError as error:
        problems |= dict.fromkeys(left, error.strerror)
    return problems


def _write_file(path, content, unfinished):
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        shutil.copymode(path, unfinished)
    os.replace(unfinished, path)
