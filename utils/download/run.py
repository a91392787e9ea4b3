"""One run of utils/download_features.py."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import existing_part, move, require_space, require_writable
from utils.download import check, fetch, release
from utils.download.archives import list_members, open_archive, unpack
from utils.download.published import fetch_model
from utils.download.release import ARCHIVES, BASE, CSVS, MODEL_FILES, SPLITS
from utils.features.kinds import folder_layouts
from utils.llp.annotations import REFERENCE_FILES, annotation_version
from utils.llp.datasets import DataSet
from utils.llp.events import read_events


@dataclass
class Download:
    """One run: what is wanted, where it is, and what failed."""

    parts: Sequence[str]  # as --parts names them
    data_dir: Path
    models_dir: Path
    archive_dir: Path
    dataset: DataSet  # whose classes the CSVs have
    annotations: str | None  # version of the audio annotations, one of REVISIONS; None: the existing one
    workers: int  # files that are unpacked or checked at a time
    problems: list[str] = field(default_factory=list)

    def __post_init__(self):
        wanted = {part for given in self.parts for part in (BASE if given == "feats" else [given])}
        self.wants_csvs, self.wants_models = "csv" in wanted, "models" in wanted
        published = {name for folders in ARCHIVES.values() for name in folders}
        layouts = folder_layouts(len(self.dataset.classes)).items()
        self.layouts = {name: layout for name, layout in layouts if name in published}
        self.folders = {name: layout for name, layout in self.layouts.items() if wanted.intersection(name.split("/"))}

    def fetch(self, csv_url: str, feats_url: str, keep_archives: bool) -> None:
        """Fetch what is missing. A part that cannot be fetched becomes a problem; the others are fetched anyway.

        csv_url: address of the CSVs, with {revision} and {name}; feats_url: of the base features.
        Raises InputError if a folder cannot be written to, a disk is too small, or no CSV lists the videos.
        """
        require_writable("--data_dir", self.data_dir, folder=True)
        require_writable("--model_save_dir", self.models_dir, folder=True)
        require_writable("--archive_dir", self.archive_dir, folder=True)
        has_any = any((self.data_dir / name).is_file() for name in SPLITS)
        if self.wants_csvs or not has_any:  # they list the videos
            for name in CSVS:
                self._attempt(self.fetch_csv, name, csv_url)
        if self.folders:
            videos = check.video_names(self.data_dir)
            missing = self._missing(videos)
            self.require_space(missing, len(videos), keep_archives)
            for archive in ARCHIVES:
                if any(missing[name] for name in self._folders_of(archive)):
                    self._attempt(self.fetch_archive, archive, videos, feats_url, keep_archives)
                elif self._folders_of(archive) and not keep_archives:
                    self._remove_archive(archive, "all its files are valid: removed")
        if self.wants_models:
            for name in MODEL_FILES:
                self._attempt(self.fetch_model, name)
        self._remove_empty(self.archive_dir)

    def _attempt(self, step: Callable[..., None], *arguments) -> None:
        try:
            step(*arguments)
        except InputError as error:
            self._note([str(error)])

    def _note(self, problems: list[str]) -> None:
        self.problems += problems
        for line in problems[: check.SHOWN]:
            print(f"problem: {line}", file=sys.stderr, flush=True)
        if len(problems) > check.SHOWN:
            print(f"problem: ... and {len(problems) - check.SHOWN} more of this kind", file=sys.stderr)

    def fetch_csv(self, name: str, csv_url: str) -> None:
        """One of LLP's CSVs, if it is missing, or if another version of the audio annotations is asked for.

        Raises InputError if it cannot be fetched, or is not the expected file.
        """
        version, target = self.annotations or "2024", self.data_dir / name
        may_be_another = self.annotations and name == REFERENCE_FILES["audio"]
        if target.is_file() and not (may_be_another and not self._version(target).startswith(version)):
            return
        revision = release.REVISIONS[version if name == REFERENCE_FILES["audio"] else "2024"]
        url = csv_url.replace("{revision}", revision).replace("{name}", name)
        fetched = self.archive_dir / name
        fetched.unlink(missing_ok=True)  # small, and perhaps of another version
        fetch.fetch_url(url, fetched, fetch.CSV_LIMIT)
        try:
            self._require_csv(fetched, version)
        except InputError as error:
            fetched.unlink()
            raise InputError(f"{url}: is not the expected {name}: {error}") from error
        move(fetched, target)
        print(f"{target}: fetched", flush=True)

    def _version(self, path: Path) -> str:
        """The version of a file of audio annotations. Raises InputError if it cannot be read."""
        return annotation_version(read_events(path, self.dataset), self.dataset.class_names)

    def _require_csv(self, path: Path, version: str) -> None:
        """Raises InputError if a file cannot be read as the CSV of its name, or is LLP's of another version."""
        if path.name != REFERENCE_FILES["audio"]:
            check.read_csv(path, self.dataset)
        elif "not LLP's" in (found := self._version(path)):
            print(f"note: {path.name} as fetched is {found}", file=sys.stderr)
        elif not found.startswith(version):
            raise InputError(f"{path}: {found}, expected the {version} version")

    def _folders_of(self, archive: str) -> list[str]:
        return [name for name in ARCHIVES[archive] if name in self.folders]

    def _missing(self, videos: list[tuple[str, ...]]) -> dict[str, int]:
        """By folder, how many of its files are missing or invalid."""
        return {report.what: report.expected - report.valid for report in self._check_folders(videos, deep=False)}

    def _check_folders(self, videos: list[tuple[str, ...]], deep: bool) -> list[check.Report]:
        folders = self.folders.items()
        return [check.check_folder(self.data_dir, name, videos, layout, deep, self.workers) for name, layout in folders]

    def require_space(self, missing: dict[str, int], videos: int, keep_archives: bool) -> None:
        """Raises InputError if a disk is too small for what is missing and for the largest archive of it, or all."""
        unpacked = sum(count * self.folders[name].file_size for name, count in missing.items())
        fetched = [0]
        for archive in ARCHIVES:
            if any(missing[n] for n in self._folders_of(archive)) and not self._archive(archive).is_file():
                # such numbers do not compress: an archive is as large as its contents
                size = videos * sum(self.layouts[name].file_size for name in ARCHIVES[archive] if name in self.layouts)
                fetched.append(max(0, size - fetch.bytes_fetched(self._archive(archive))))
        archived = sum(fetched) if keep_archives else max(fetched)
        disks = [existing_part(folder).stat().st_dev for folder in (self.data_dir, self.archive_dir)]
        if disks[0] == disks[1]:
            require_space(self.data_dir, unpacked + archived, "for the archives and what is in them")
        else:
            require_space(self.data_dir, unpacked, "for what is in the archives")
            require_space(self.archive_dir, archived, "for the archives")

    def _archive(self, archive: str) -> Path:
        return self.archive_dir / f"{archive}.zip"

    def fetch_archive(self, archive: str, videos: list[tuple[str, ...]], feats_url: str, keep_archives: bool) -> None:
        """Fetch one archive, unpack what is missing of the wanted folders, and remove it if all files are valid.

        Raises InputError if it cannot be fetched or opened.
        """
        path, was_there = self._archive(archive), self._archive(archive).is_file()
        if not was_there:
            print(f"{path}: fetching", flush=True)
        if archive == "feats":
            fetch.fetch_url(feats_url, path)
        else:
            fetch.fetch_from_hub(release.FEATURES_REPO, path.name, "dataset", path)
        folders = {name: self.folders[name] for name in self._folders_of(archive)}
        try:
            opened = open_archive(path)
            members = list_members(opened, archive, folders, [names[-1] for names in videos])
        except InputError as error:
            if was_there:
                raise InputError(f"{error}; remove it to fetch it again") from error
            path.unlink()  # else the next run would consider it fetched
            raise
        with opened:
            self._note(unpack(opened, members, self.data_dir, folders, self.workers))
        if keep_archives or any(self._missing(videos)[name] for name in folders):
            print(f"{path}: unpacked and kept; remove it to fetch it again", flush=True)
        else:
            self._remove_archive(archive, "unpacked and removed")

    def _remove_archive(self, archive: str, text: str) -> None:
        """Remove an archive, or what a killed run left of it."""
        path = self._archive(archive)
        if path.is_file():
            print(f"{path}: {text}", flush=True)
        for left in (path, *fetch.parts(path)):
            left.unlink(missing_ok=True)

    def fetch_model(self, name: str) -> None:
        """One trained model, if it is missing."""
        target = self.models_dir / name
        if target.exists():
            return
        fetch_model(name, target, self.archive_dir)

    @staticmethod
    def _remove_empty(folder: Path) -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def report(self, deep: bool) -> bool:
        """Check everything that is wanted, print the summary, and return whether all of it is valid.

        Raises InputError if no CSV lists the videos. deep: check every number.
        """
        reports = []
        if self.wants_csvs:
            reports.append(check.check_csvs(self.data_dir, self.dataset))
        if self.folders:
            reports += self._check_folders(check.video_names(self.data_dir), deep)
        if self.wants_models:
            reports.append(check.check_models(self.models_dir, deep))
        check.show(reports)
        with contextlib.suppress(InputError):  # missing or bad: the table says so
            print(f"Annotations: {self._version(self.data_dir / REFERENCE_FILES['audio'])}")
        return all(r.valid == r.expected for r in reports)
