"""Parses a package strictly: every file against the manifest, every object against the shape of its type.

These are the first three levels of checks: objects, files, manifest. `checking` does references and life cycle.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from marketplace.ocf.container import Files
from marketplace.ocf.faults import list_faults
from marketplace.ocf.findings import Findings
from marketplace.ocf.objects import OBJECTS, Document, Item, Manifest
from marketplace.ocf.package import FILES
from marketplace.ocf.transactions import NAME, OLDER_NAME, TRANSACTIONS
from marketplace.ocf.values import File

_MANIFEST: Final = "OCF_MANIFEST_FILE"
_TYPES: Final[tuple[type[Item], ...]] = (*OBJECTS, *TRANSACTIONS)
_ITEM_TYPES: Final[Mapping[str, type[Item]]] = {str(kind.__struct_config__.tag): kind for kind in _TYPES}
_FILE_TYPES: Final[Mapping[str, str]] = {
    **{file_type: key for key, (_, file_type) in FILES.items()},
    "OCF_DOCUMENTS_FILE": "documents_files",
}
_ALLOWED: Final[Mapping[str, tuple[type[Item], ...]]] = {
    **{f"OCF_{tag}S_FILE": (kind,) for tag, kind in _ITEM_TYPES.items() if not tag.startswith("TX_")},
    "OCF_STOCK_CLASSES_FILE": (_ITEM_TYPES["STOCK_CLASS"],),
    "OCF_VESTING_TERMS_FILE": (_ITEM_TYPES["VESTING_TERMS"],),
    "OCF_TRANSACTIONS_FILE": TRANSACTIONS,
}
_NULL_ALLOWED: Final = "expiration_date"
DEPTH_MAX: Final = 40


class Located(NamedTuple):
    """An object and the file that it stands in."""

    file: str
    item: Item

    @property
    def label(self) -> str:
        """Kind and id, as findings name it."""
        return f"{self.item.__struct_config__.tag} {self.item.id}"


class Package(NamedTuple):
    """A parsed package: the manifest, and every object that has the shape of its type."""

    manifest: Manifest
    items: tuple[Located, ...]


def parse_package(files: Files, findings: Findings) -> Package | None:
    """Return the content of a package; faults are added to `findings`.

    Returns:
        None if there is not exactly one readable manifest.
    """
    documents = _parse_documents((name for name in files if "/" not in name), files, findings)
    manifests = [name for name, document in documents.items() if document.get("file_type") == _MANIFEST]
    if len(manifests) != 1:
        reason = f"the package has {len(manifests)} manifests, not one: {', '.join(manifests) or 'none'}"
        findings.add("problem", "", "", "manifest_missing" if not manifests else "manifest_repeated", reason)
        return None
    listing = documents.pop(manifests[0])
    manifest = _parse_manifest(manifests[0], listing, findings)
    below = {
        str(PurePosixPath(file.filepath)) for key in _FILE_TYPES.values() for file in _list_files(listing.get(key))
    }
    documents |= _parse_documents((name for name in below & files.keys() if "/" in name), files, findings)
    _check_listed(manifests[0], listing, files, documents, findings)
    items = [located for name, document in documents.items() for located in _parse_items(name, document, findings)]
    for located in items:
        if isinstance(located.item, Document):
            _check_document(located, located.item, files, findings)
    return None if manifest is None else Package(manifest, tuple(items))


def _parse_documents(names: Iterable[str], files: Files, findings: Findings) -> dict[str, dict[str, Any]]:
    documents = {}
    for name in sorted(names):
        document = _parse_json(name, files[name], findings) if name.endswith(".json") else None
        if document is not None:
            documents[name] = document
    return documents


def _check_document(located: Located, item: Document, files: Files, findings: Findings) -> None:
    """Check the file of a document that is part of the package."""
    if item.path is UNSET:
        return
    path = str(PurePosixPath(item.path))
    if path not in files:
        findings.add("problem", located.file, located.label, "file_missing", f"{item.path} is named and not there")
    elif (digest := hashlib.md5(files[path], usedforsecurity=False).hexdigest()) != item.md5.lower():
        reason = f"the md5 of {item.path} is {digest}, and the document says {item.md5}"
        findings.add("problem", located.file, located.label, "md5_differs", reason)


def _parse_json(name: str, content: bytes, findings: Findings) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(content)
        repeated = _list_repeated(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        findings.add("problem", name, "", "json_malformed", f"the file is no JSON: {error}")
        return None
    if not isinstance(document, dict):
        findings.add("problem", name, "", "json_malformed", "the file holds no JSON object")
        return None
    for member in repeated:
        findings.add("problem", name, "", "member_repeated", f"an object has the member {member!r} twice")
    return document


def _list_repeated(content: bytes) -> list[str]:
    """Return the members that occur twice in an object of a file; a JSON parser silently keeps one of them."""
    repeated: dict[str, None] = {}

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for member, _ in pairs:
            if member in seen:
                repeated[member] = None
            seen.add(member)

    json.loads(content, object_pairs_hook=look, parse_int=str, parse_float=str)
    return list(repeated)


def _parse_manifest(name: str, document: dict[str, Any], findings: Findings) -> Manifest | None:
    for path in _list_nulls(document):
        findings.add("problem", name, "", "null", f"{path} is null; leave the member out")
    version = document.get("ocf_version")
    faults = [
        f"the package is of version {version!r}; 1.2.0 is read" if fault.startswith("ocf_version:") else fault
        for fault in list_faults(document, Manifest)
    ]
    for fault in faults:
        findings.add("problem", name, "", "manifest_invalid", fault)
    return None if faults else msgspec.convert(document, Manifest)


def _check_listed(
    name: str, manifest: dict[str, Any], files: Files, documents: Mapping[str, dict[str, Any]], findings: Findings
) -> None:
    """Check the files that a manifest lists, even where the manifest has faults."""
    listed: set[str] = set()
    for key in _FILE_TYPES.values():
        for file in _list_files(manifest.get(key)):
            path = str(PurePosixPath(file.filepath))
            where = f"{key} {file.filepath}"
            if path in listed:
                findings.add("problem", name, where, "file_repeated", f"{file.filepath} is listed twice")
            listed.add(path)
            if path not in files:
                findings.add("problem", name, where, "file_missing", f"{file.filepath} is listed and not there")
                continue
            digest = hashlib.md5(files[path], usedforsecurity=False).hexdigest()
            if digest != file.md5.lower():
                reason = f"the md5 of {file.filepath} is {digest}, and the manifest says {file.md5}"
                findings.add("problem", name, where, "md5_differs", reason)
            actual = documents.get(path, {}).get("file_type")
            if path in documents and _FILE_TYPES.get(str(actual)) != key:
                reason = f"{file.filepath} has file_type {actual!r} and is listed under {key}"
                findings.add("problem", name, where, "file_type_differs", reason)
    for other in documents:
        if other not in listed:
            findings.add("problem", other, "", "file_unlisted", f"the manifest does not list {other}")


def _list_files(value: Any) -> Iterator[File]:
    for each in value if isinstance(value, list) else ():
        try:
            yield msgspec.convert(each, File)
        except msgspec.ValidationError:
            continue


def _parse_items(name: str, document: dict[str, Any], findings: Findings) -> Iterator[Located]:
    kind, items = document.get("file_type"), document.get("items")
    if not isinstance(kind, str) or kind not in _FILE_TYPES:
        findings.add("problem", name, "", "file_type_unknown", f"file_type {kind!r} is not one of OCF 1.2.0")
        return
    if not isinstance(items, list):
        findings.add("problem", name, "", "items_missing", "the file has no list of items")
        return
    for extra in sorted(document.keys() - {"file_type", "items"}):
        findings.add("problem", name, "", "member_unknown", f"the file has a member {extra!r}, which OCF does not know")
    for index, value in enumerate(items):
        item = _parse_item(name, index, value, findings)
        if item is None:
            continue
        located = Located(name, item)
        if not isinstance(item, _ALLOWED[str(kind)]):
            reason = f"a {item.__struct_config__.tag} does not belong into a file of type {kind}"
            findings.add("problem", name, located.label, "item_misplaced", reason)
        yield located


def _parse_item(name: str, index: int, value: Any, findings: Findings) -> Item | None:
    where = f"items[{index}]"
    if not isinstance(value, dict):
        findings.add("problem", name, where, "item_invalid", "the item is no JSON object")
        return None
    tag = str(value.get("object_type"))
    where = f"{tag} {value.get('id', where)}"
    nulls = [path for path in _list_nulls(value) if path != _NULL_ALLOWED]
    for path in nulls:
        findings.add(
            "problem", name, where, "null", f"{path} is null; give it a value, or leave it out where OCF lets you"
        )
    known = tag.replace(OLDER_NAME, NAME)
    if known not in _ITEM_TYPES:
        findings.add("problem", name, where, "object_type_unknown", f"object_type {tag!r} is not one of OCF 1.2.0")
        return None
    if nulls:
        value = {key: member for key, member in value.items() if member is not None or key == _NULL_ALLOWED}
    kind, named = _ITEM_TYPES[known], {**value, "object_type": known}
    faults = list(list_faults(named, kind))
    for fault in faults:
        findings.add("problem", name, where, "item_invalid", fault)
    return None if faults else msgspec.convert(named, kind)


def _list_nulls(value: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the paths of nulls in a value, to a depth of `DEPTH_MAX`."""
    if value is None:
        yield path
    if depth >= DEPTH_MAX:
        return
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _list_nulls(member, f"{path}/{key}" if path else str(key), depth + 1)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _list_nulls(member, f"{path}/{index}", depth + 1)
