"""Unpacking the published archives: only files that belong in the data folder, and again after an interruption."""

import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, atomic_path, naming, require_space, size_text
from utils.base.npy import MAX_HEADER, Layout, read_npy_header
from utils.features.folder import map_files

WEB_PAGE = (
    "is a web page, not an archive; Google Drive shows one instead of a file that many people have downloaded lately: "
    "try again in a day, or save the file with a browser under this name"
)
READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError, ValueError)
Members = Mapping[PurePosixPath, zipfile.ZipInfo]  # files of an archive by where they belong, below data/


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip file. Raises InputError, which says what it is instead, if it is not a valid one."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, struct.error) as error:
        with open(path, "rb") as file:
            start = file.read(1024).lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html")):
            raise InputError(f"{path}: {WEB_PAGE}") from error
        what = "a truncated or damaged zip file" if start.startswith(b"pk\x03\x04") else "not a zip file"
        raise InputError(f"{path}: is {what} ({error})") from error


def list_members(archive: zipfile.ZipFile, top: str, folders: Mapping[str, Layout], ids: Collection[str]) -> Members:
    """The `<id>.npy` files of an archive that belong in `folders` of data/, each once; all others are ignored.

    top: folder in the archive that belongs in data/, at any depth; ids: of the videos that are wanted.
    Raises InputError if a name leads out of a folder or is a link, so that it cannot be trusted, or if nothing belongs.
    """
    members, wanted = {}, set(ids)
    for info in archive.infolist():
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if ".." in parts or info.filename.startswith(("/", "\\")) or (parts and ":" in parts[0]):
            raise InputError(f"{archive.filename}: holds {info.filename!r}, which leads out of data/; nothing unpacked")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{archive.filename}: holds {info.filename!r}, a link; nothing unpacked")
        if top in parts and not info.is_dir():
            target = PurePosixPath(*parts[parts.index(top) :])
            if target.suffix == ".npy" and target.stem in wanted and str(target.parent) in folders:
                members.setdefault(target, info)
    if not members:
        raise InputError(f"{archive.filename}: holds no files of these videos for {', '.join(folders)}")
    return members


def unpack(
    archive: zipfile.ZipFile, members: Members, data_dir: Path, folders: Mapping[str, Layout], workers: int
) -> list[str]:
    """Unpack, atomically, the files that are missing or invalid; members: as `list_members` lists them.

    Returns a line for each file of the archive that is bad and was not unpacked.
    Raises InputError if the disk is too small.
    """
    members = {t: info for t, info in members.items() if not is_valid(data_dir / t, folders[str(t.parent)])}
    require_space(data_dir, sum(info.file_size for info in members.values()), f"to unpack {archive.filename}")
    for folder in {target.parent for target in members}:
        (data_dir / folder).mkdir(parents=True, exist_ok=True)
        for leftover in (data_dir / folder).glob(f"*{TMP_SUFFIX}"):
            leftover.unlink()

    def write(place: PurePosixPath) -> str:
        """Write a file; returns what is wrong with it, or ''."""
        info, target, layout = members[place], data_dir / place, folders[str(place.parent)]
        try:
            content = _read_member(archive, info, layout)
            with naming(target), atomic_path(target, sync=False) as tmp:
                tmp.write_bytes(content)
                layout.require(tmp)
        except (InputError, IsADirectoryError) as error:
            reason = re.sub(rf"^{re.escape(str(target))}\.\w+\.tmp: ", "", str(error))
            return f"{archive.filename}: {info.filename} not unpacked: {reason}"
        return ""

    name = Path(archive.filename).name
    problems = [p for p in map_files(write, members, workers, name, leave=True, delay=0, mininterval=0.5) if p]
    os.sync()
    return problems


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, layout: Layout) -> bytes:
    """The content of a file in an archive. Raises InputError if it cannot be read or is too large."""
    if info.file_size > layout.file_size + MAX_HEADER:
        raise InputError(f"{size_text(info.file_size)}, expected {layout}")
    try:
        return archive.read(info)
    except READ_ERRORS as error:
        raise InputError(str(error) or type(error).__name__) from error


def is_valid(path: Path, layout: Layout) -> bool:
    """Whether a `.npy` file exists, is complete, and has the right shape and dtype."""
    try:
        return layout.fits(*read_npy_header(path))
    except (OSError, InputError):
        return False
