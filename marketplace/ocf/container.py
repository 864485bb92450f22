"""Reads and writes packages as folders and as zips, within bounds. A zip has a fixed order and fixed times.

The bytes of the files depend on the issuer's history alone. The bytes of the zip also depend on the release of zlib.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from marketplace.core.errors import Refusal

ARCHIVE_BYTES_MAX: Final = 32_000_000
FILES_MAX: Final = 200
BYTES_MAX: Final = 64_000_000
"""The most bytes of all files together, unpacked, whatever sizes a zip states."""
_CHUNK_BYTES: Final = 1_000_000
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)

Files = Mapping[str, bytes]


def render_zip(files: Files) -> bytes:
    """Return the files as a zip, sorted by name and with one fixed time, so that equal files make equal bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return target.getvalue()


def parse_zip(data: bytes) -> dict[str, bytes]:
    """Return the files of a zip by their names below the manifest's folder.

    Raises:
        Refusal: ``package_unreadable`` · ``package_too_large`` · ``path_unsafe``.
    """
    if len(data) > ARCHIVE_BYTES_MAX:
        raise _refuse_size(f"the zip has {len(data)} bytes; at most {ARCHIVE_BYTES_MAX} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpack(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise Refusal("package_unreadable", f"the package cannot be read as a zip: {error}") from error


def _unpack(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > FILES_MAX:
        raise _refuse_size(f"the zip has {len(entries)} files; at most {FILES_MAX} are read")
    files: dict[str, bytes] = {}
    left = BYTES_MAX
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise Refusal("path_unsafe", f"the zip holds {entry.filename!r}, which leads out of it")
        if entry.filename in files:
            raise Refusal("package_unreadable", f"the zip holds {entry.filename!r} twice")
        files[entry.filename] = _read(archive, entry, left)
        left -= len(files[entry.filename])
    return _strip_folder(files)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int) -> bytes:
    """Return one file; read no more than the size limit leaves, whatever size the header states."""
    chunks: list[bytes] = []
    with archive.open(entry) as source:
        while chunk := source.read(min(_CHUNK_BYTES, left + 1)):
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                raise _refuse_size(f"the files of the zip have more than {BYTES_MAX} bytes")
    return b"".join(chunks)


def _strip_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files by their names below the manifest's folder: a zipped folder puts its name before each."""
    files = {name: content for name, content in files.items() if not PurePosixPath(name).name.startswith("._")}
    manifests = [name for name in files if "manifest" in PurePosixPath(name).name.lower() and name.endswith(".json")]
    if not manifests:
        return files
    folder = PurePosixPath(min(manifests, key=lambda name: (len(PurePosixPath(name).parts), name))).parent
    return {
        str(PurePosixPath(name).relative_to(folder)): content
        for name, content in files.items()
        if PurePosixPath(name).is_relative_to(folder)
    }


def load_package(path: Path) -> dict[str, bytes]:
    """Return the files of a package in a folder or a zip.

    Raises:
        Refusal: As `parse_zip`; also where the file does not exist.
    """
    try:
        if path.is_dir():
            return _load_folder(path)
        if path.stat().st_size > ARCHIVE_BYTES_MAX:
            raise _refuse_size(f"{path} has {path.stat().st_size} bytes; at most {ARCHIVE_BYTES_MAX} are read")
        return parse_zip(path.read_bytes())
    except OSError as error:
        raise Refusal("package_unreadable", f"{path} cannot be read: {error.strerror}") from error


def _load_folder(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())[: FILES_MAX + 1]
    if len(paths) > FILES_MAX:
        raise _refuse_size(f"{folder} has more than {FILES_MAX} files")
    if sum(path.stat().st_size for path in paths) > BYTES_MAX:
        raise _refuse_size(f"the files of {folder} have more than {BYTES_MAX} bytes")
    return _strip_folder({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})


def write_package(path: Path, files: Files) -> None:
    """Write the files as a zip if `path` ends in ``.zip``, else into the folder `path`.

    An existing zip is replaced. A folder must be empty or not there.

    Raises:
        Refusal: ``folder_not_empty``.
    """
    if path.suffix == ".zip":
        path.write_bytes(render_zip(files))
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refusal("folder_not_empty", f"{path} is there already; name a new folder or a .zip")
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)


def compute_hash(files: Files) -> str:
    """Return the SHA-256 of the names and bytes of a package's files; a zip and a folder have the same."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{len(name.encode())}:{name}{len(files[name])}:".encode())
        digest.update(files[name])
    return digest.hexdigest()


def _refuse_size(message: str) -> Refusal:
    return Refusal("package_too_large", message, bytes_max=BYTES_MAX, files_max=FILES_MAX)
