"""One run of utils/download_features.py."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import existing_part, move, require_space, require_writable
from utils.download import check, fetch
from utils.download.archives import list_members, open_archive, unpack
from utils.download.release import (
    ARCHIVES,
    BASE,
    CSVS,
    FEATURES_REPO,
    MODEL_FILES,
    MODELS_REPO,
    REVISIONS,
    SPLITS,
    Archive,
)
from utils.features.kinds import folder_layouts
from utils.llp.annotations import REFERENCE_FILES, annotation_version
from utils.llp.classes import read_class_names
from utils.llp.events import read_events
from utils.llp.videos import read_split


class Download:
    """One run: what is wanted, and what went wrong on the way. Flags are those of `get_args_parser`."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.data_dir, self.models_dir = args.data_dir, args.model_save_dir
        self.archive_dir = args.archive_dir or args.data_dir / "archives"
        self.class_names = read_class_names(args.classes)
        wanted = {part for given in args.parts for part in (BASE if given == "feats" else [given])}
        self.wants_csvs, self.wants_models = "csv" in wanted, "models" in wanted
        self.folders = {
            name: layout
            for name, layout in folder_layouts(len(self.class_names)).items()
            if wanted.intersection(name.split("/"))
        }
        self.problems = []

    def fetch(self) -> None:
        """Get what is missing. A part that cannot be had becomes a problem, and the others are still got."""
        for flag, path in (("--data_dir", self.data_dir), ("--model_save_dir", self.models_dir)):
            require_writable(flag, path, folder=True)
        require_writable("--archive_dir", self.archive_dir, folder=True)
        has_any = any((self.data_dir / name).is_file() for name in SPLITS)
        if self.wants_csvs or not has_any:  # they say which videos there are
            for name in CSVS:
                self._attempt(lambda name=name: self.fetch_csv(name))
        if self.folders:
            ids = check.video_ids(self.data_dir)
            missing = self._missing(ids)
            self.require_space(missing, len(ids))
            for archive in ARCHIVES:
                if any(missing[name] for name in self._folders_of(archive)):
                    self._attempt(lambda archive=archive: self.fetch_archive(archive, ids))
        if self.wants_models:
            for name in MODEL_FILES:
                self._attempt(lambda name=name: self.fetch_model(name))
        self._remove_empty(self.archive_dir)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except InputError as error:
            self._note([str(error)])

    def _note(self, problems: list[str]) -> None:
        self.problems += problems
        for line in problems[: check.SHOWN]:
            print(f"problem: {line}", file=sys.stderr, flush=True)
        if len(problems) > check.SHOWN:
            print(f"problem: ... and {len(problems) - check.SHOWN} more of this kind", file=sys.stderr)

    # ------------------------------------------------------------------------------------------------- CSV files

    def fetch_csv(self, name: str) -> None:
        """One of LLP's CSVs, if it is not there, or is the audio annotations and another version is asked for."""
        version, target = self.args.annotations or "2024", self.data_dir / name
        if target.is_file() and not (name == REFERENCE_FILES["audio"] and self._is_other_version(target)):
            return
        revision = REVISIONS[version if name == REFERENCE_FILES["audio"] else "2024"]
        url = self.args.csv_url.replace("{revision}", revision).replace("{name}", name)
        fetched = self.archive_dir / name
        fetched.unlink(missing_ok=True)  # small, and perhaps of another version
        fetch.fetch_url(url, fetched)
        try:
            self._require_csv(fetched, version)
        except InputError as error:
            fetched.unlink()
            raise InputError(f"{url}: is not the {name} that was expected: {error}") from error
        move(fetched, target)
        print(f"{target}: fetched", flush=True)

    def _is_other_version(self, path: Path) -> bool:
        """Whether the audio annotations that are there are not those that --annotations names."""
        if not self.args.annotations:
            return False
        found = annotation_version(read_events(path, self.class_names), self.class_names)
        return not found.startswith(self.args.annotations)

    def _require_csv(self, path: Path, version: str) -> None:
        """InputError where a file does not read as the CSV of its name, or is LLP's of another version."""
        if path.name in SPLITS:
            read_split(path, self.class_names)
            return
        events = read_events(path, self.class_names)
        if path.name == REFERENCE_FILES["audio"]:
            found = annotation_version(events, self.class_names)
            if "not LLP's" in found:
                print(f"note: {path.name} as fetched is {found}", file=sys.stderr)
            elif not found.startswith(version):
                raise InputError(f"{path}: {found}, expected the {version} version")

    # -------------------------------------------------------------------------------------------------- features

    def _folders_of(self, archive: Archive) -> list[str]:
        return [name for name in self.folders if name.split("/")[0] == archive.top]

    def _missing(self, ids: list[str]) -> dict[str, int]:
        """By folder, how many of its files are not there or not sound."""
        reports = (
            check.check_folder(self.data_dir, name, ids, layout, deep=False, workers=self.args.workers)
            for name, layout in self.folders.items()
        )
        return {report.what: report.expected - report.sound for report in reports}

    def require_space(self, missing: dict[str, int], videos: int) -> None:
        """InputError where a disk cannot take what is missing, or at one time the largest archive of it."""
        unpacked = sum(count * self.folders[name].file_size for name, count in missing.items())
        fetched = [0]
        for archive in ARCHIVES:
            if any(missing[n] for n in self._folders_of(archive)) and not self._archive(archive).is_file():
                layouts = folder_layouts(len(self.class_names)).items()
                # such numbers do not compress: an archive is as large as what is in it
                size = videos * sum(lay.file_size for n, lay in layouts if n.split("/")[0] == archive.top)
                fetched.append(max(0, size - fetch.bytes_there(self._archive(archive))))
        archived = sum(fetched) if self.args.keep_archives else max(fetched)
        disks = [existing_part(folder).stat().st_dev for folder in (self.data_dir, self.archive_dir)]
        if disks[0] == disks[1]:
            require_space(self.data_dir, unpacked + archived, "for the archives and what is in them")
        else:
            require_space(self.data_dir, unpacked, "for what is in the archives")
            require_space(self.archive_dir, archived, "for the archives")

    def _archive(self, archive: Archive) -> Path:
        return self.archive_dir / archive.name

    def fetch_archive(self, archive: Archive, ids: list[str]) -> None:
        """Fetch one archive, unpack what is missing of the folders wanted, and remove it if all is sound then."""
        path, was_there = self._archive(archive), self._archive(archive).is_file()
        if not was_there:
            print(f"{path}: fetching", flush=True)
        if archive.top == "feats":
            fetch.fetch_url(self.args.feats_url, path)
        else:
            fetch.fetch_from_hub(FEATURES_REPO, archive.name, "dataset", path)
        folders = {name: self.folders[name] for name in self._folders_of(archive)}
        try:
            opened = open_archive(path)
            members = list_members(opened, archive.top, folders, ids)
        except InputError as error:
            if was_there:
                raise InputError(f"{error}; remove it, to have it fetched") from error
            path.unlink()  # else the next run would take it for fetched
            raise
        with opened:
            self._note(unpack(opened, members, self.data_dir, folders, self.args.workers))
        if self.args.keep_archives or any(self._missing(ids)[name] for name in folders):
            print(f"{path}: unpacked and kept; remove it, to have it fetched again", flush=True)
        else:
            path.unlink()
            print(f"{path}: unpacked and removed", flush=True)

    # ---------------------------------------------------------------------------------------------------- models

    def fetch_model(self, name: str) -> None:
        """One trained model, unless there is one."""
        target = self.models_dir / name
        if target.exists():
            return
        fetched = fetch.fetch_from_hub(MODELS_REPO, name, "model", self.archive_dir / name)
        try:
            check.check_weights(fetched)
        except InputError:
            fetched.unlink()
            raise
        move(fetched, target)
        self._remove_empty(fetched.parent)
        print(f"{target}: fetched", flush=True)

    @staticmethod
    def _remove_empty(folder: Path) -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    # ---------------------------------------------------------------------------------------------------- report

    def report(self) -> bool:
        """Check everything that is wanted, print the summary, and return whether all is sound."""
        reports = []
        if self.wants_csvs:
            reports.append(check.check_csvs(self.data_dir, self.class_names))
        if self.folders:
            ids = check.video_ids(self.data_dir)
            reports += [
                check.check_folder(self.data_dir, name, ids, layout, self.args.deep, self.args.workers)
                for name, layout in self.folders.items()
            ]
        if self.wants_models:
            reports.append(check.check_models(self.models_dir, self.args.deep))
        check.show(reports)
        with contextlib.suppress(InputError):  # not there or bad: the table says so
            events = read_events(self.data_dir / REFERENCE_FILES["audio"], self.class_names)
            print(f"Annotations: {annotation_version(events, self.class_names)}")
        return all(r.sound == r.expected for r in reports)
