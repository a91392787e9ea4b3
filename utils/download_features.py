"""Everything that training and testing on LLP need, from where it is published, and whether it is all there.

    python utils/download_features.py                    # all: about 11 GB to fetch, as much when it is unpacked
    python utils/download_features.py --parts csv r2plus1d_18 CLIP CLAP models      # what VALOR++ alone needs
    python utils/download_features.py --check            # only look: names, sizes, shapes; with --deep every number

Fetches LLP's CSVs, the base features, CLIP's and CLAP's features and pseudo labels, and the trained models, unpacks
them in data/ and models/, and checks that every video of the CSVs has its files. What is there is kept; a stop in the
middle costs nothing: give the command again. An archive that was saved by hand as data/archives/feats.zip (CLIP.zip,
CLAP.zip) is used instead of fetching it.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # python utils/x.py puts utils/ first on the path: imports start at the repository instead
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils import cli

if __name__ == "__main__":
    cli.quiet_interrupts()

from utils import archives, data_check, llp, published, transfer
from utils.cli import InputError
from utils.files import locked, move

BASE = tuple(name.removeprefix("feats/") for name in published.FEATURES if name.startswith("feats/"))
PARTS = ("csv", "feats", *BASE, "CLIP", "CLAP", "models")


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = cli.ArgumentParser(
        prog="download_features.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what")
    what.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART", default=PARTS,
                      help=f"some of {', '.join(PARTS)}; feats is {', '.join(BASE)} (default: all)")  # fmt: skip
    what.add_argument("--annotations", choices=sorted(published.REVISIONS),
                      help="version of LLP's audio annotations; the paper's numbers used 2020's. Replaces the other "
                      "one (default: what is there, else 2024)")  # fmt: skip
    cli.add_classes_flag(what)
    where = parser.add_argument_group("where")
    where.add_argument("--data_dir", type=Path, default="./data", help="folder of the data (default: %(default)s)")
    where.add_argument("--model_save_dir", type=Path, default="./models", help="of the models (default: %(default)s)")
    where.add_argument("--archive_dir", type=Path, metavar="DIR", help="of the archives (default: DATA_DIR/archives)")
    where.add_argument("--keep_archives", action="store_true", help="do not remove archives that are unpacked")
    where.add_argument("--csv_url", default=published.CSV_URL, metavar="URL",
                       help="address of the CSVs, with {revision} and {name} (default: LLP's repository)")  # fmt: skip
    where.add_argument("--feats_url", default=published.FEATS_URL, metavar="URL",
                       help="of the base features (default: Google Drive); HF_ENDPOINT in the environment says "
                       "where the rest is")  # fmt: skip
    check = parser.add_argument_group("checks")
    check.add_argument("--check", action="store_true", help="fetch nothing, only check what is there")
    check.add_argument("--deep", action="store_true", help="read every file, for NaN and damage")
    parser.add_argument("--workers", type=cli.positive_int, default=min(8, os.cpu_count() or 1),
                        help="files that are unpacked or checked at a time (default here: %(default)s)")  # fmt: skip
    return parser


class Download:
    """One run: what is wanted, and what went wrong on the way. Flags are those of `get_args_parser`."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.data_dir, self.models_dir = args.data_dir, args.model_save_dir
        self.archive_dir = args.archive_dir or args.data_dir / "archives"
        self.class_names = llp.class_names(llp.read_classes(args.classes))
        wanted = {part for given in args.parts for part in (BASE if given == "feats" else [given])}
        self.wants_csvs, self.wants_models = "csv" in wanted, "models" in wanted
        self.folders = {
            name: layout
            for name, layout in published.folders(len(self.class_names)).items()
            if wanted.intersection(name.split("/"))
        }
        self.problems = []

    def fetch(self) -> None:
        """Get what is missing. A part that cannot be had becomes a problem, and the others are still got."""
        for flag, path in (("--data_dir", self.data_dir), ("--model_save_dir", self.models_dir)):
            cli.require_writable(flag, path, folder=True)
        cli.require_writable("--archive_dir", self.archive_dir, folder=True)
        has_any = any((self.data_dir / name).is_file() for name in published.SPLITS)
        if self.wants_csvs or not has_any:  # they say which videos there are
            for name in published.CSVS:
                self._attempt(lambda name=name: self.fetch_csv(name))
        if self.folders:
            ids = data_check.video_ids(self.data_dir)
            missing = self._missing(ids)
            self.require_space(missing, len(ids))
            for archive in published.ARCHIVES:
                if any(missing[name] for name in self._folders_of(archive)):
                    self._attempt(lambda archive=archive: self.fetch_archive(archive, ids))
        if self.wants_models:
            for name in published.MODEL_FILES:
                self._attempt(lambda name=name: self.fetch_model(name))
        self._remove_empty(self.archive_dir)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except InputError as error:
            self._note([str(error)])

    def _note(self, problems: list[str]) -> None:
        self.problems += problems
        for line in problems[: data_check.SHOWN]:
            print(f"problem: {line}", file=sys.stderr, flush=True)
        if len(problems) > data_check.SHOWN:
            print(f"problem: ... and {len(problems) - data_check.SHOWN} more of this kind", file=sys.stderr)

    # ------------------------------------------------------------------------------------------------- CSV files

    def fetch_csv(self, name: str) -> None:
        """One of LLP's CSVs, if it is not there, or is the audio annotations and another version is asked for."""
        version, target = self.args.annotations or "2024", self.data_dir / name
        if target.is_file() and not (name == llp.TRUTH_FILES["audio"] and self._is_other_version(target)):
            return
        revision = published.REVISIONS[version if name == llp.TRUTH_FILES["audio"] else "2024"]
        url = self.args.csv_url.replace("{revision}", revision).replace("{name}", name)
        fetched = self.archive_dir / name
        fetched.unlink(missing_ok=True)  # small, and perhaps of another version
        transfer.fetch_url(url, fetched)
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
        found = llp.annotation_version(llp.read_events(path, self.class_names), self.class_names)
        return not found.startswith(self.args.annotations)

    def _require_csv(self, path: Path, version: str) -> None:
        """InputError where a file does not read as the CSV of its name, or is LLP's of another version."""
        if path.name in published.SPLITS:
            llp.read_split(path, self.class_names)
            return
        events = llp.read_events(path, self.class_names)
        if path.name == llp.TRUTH_FILES["audio"]:
            found = llp.annotation_version(events, self.class_names)
            if "not LLP's" in found:
                print(f"note: {path.name} as fetched is {found}", file=sys.stderr)
            elif not found.startswith(version):
                raise InputError(f"{path}: {found}, expected the {version} version")

    # -------------------------------------------------------------------------------------------------- features

    def _folders_of(self, archive: published.Archive) -> list[str]:
        return [name for name in self.folders if name.split("/")[0] == archive.top]

    def _missing(self, ids: list[str]) -> dict[str, int]:
        """By folder, how many of its files are not there or not sound."""
        reports = (
            data_check.check_folder(self.data_dir, name, ids, layout, deep=False, workers=self.args.workers)
            for name, layout in self.folders.items()
        )
        return {report.what: report.expected - report.sound for report in reports}

    def require_space(self, missing: dict[str, int], videos: int) -> None:
        """InputError where a disk cannot take what is missing, or at one time the largest archive of it."""
        unpacked = sum(count * self.folders[name].file_size for name, count in missing.items())
        fetched = [0]
        for archive in published.ARCHIVES:
            if any(missing[n] for n in self._folders_of(archive)) and not self._archive(archive).is_file():
                layouts = published.folders(len(self.class_names)).items()
                # such numbers do not compress: an archive is as large as what is in it
                size = videos * sum(lay.file_size for n, lay in layouts if n.split("/")[0] == archive.top)
                fetched.append(max(0, size - transfer.bytes_there(self._archive(archive))))
        archived = sum(fetched) if self.args.keep_archives else max(fetched)
        disks = [cli.existing_part(folder).stat().st_dev for folder in (self.data_dir, self.archive_dir)]
        if disks[0] == disks[1]:
            archives.require_space(self.data_dir, unpacked + archived, "for the archives and what is in them")
        else:
            archives.require_space(self.data_dir, unpacked, "for what is in the archives")
            archives.require_space(self.archive_dir, archived, "for the archives")

    def _archive(self, archive: published.Archive) -> Path:
        return self.archive_dir / archive.name

    def fetch_archive(self, archive: published.Archive, ids: list[str]) -> None:
        """Fetch one archive, unpack what is missing of the folders wanted, and remove it if all is sound then."""
        path, was_there = self._archive(archive), self._archive(archive).is_file()
        if not was_there:
            print(f"{path}: fetching", flush=True)
        if archive.top == "feats":
            transfer.fetch_url(self.args.feats_url, path)
        else:
            transfer.fetch_from_hub(published.FEATURES_REPO, archive.name, "dataset", path)
        folders = {name: self.folders[name] for name in self._folders_of(archive)}
        try:
            opened = archives.open_archive(path)
            members = archives.list_members(opened, archive.top, folders, ids)
        except InputError as error:
            if was_there:
                raise InputError(f"{error}; remove it, to have it fetched") from error
            path.unlink()  # else the next run would take it for fetched
            raise
        with opened:
            self._note(archives.unpack(opened, members, self.data_dir, folders, self.args.workers))
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
        fetched = transfer.fetch_from_hub(published.MODELS_REPO, name, "model", self.archive_dir / name)
        try:
            data_check.check_weights(fetched)
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
            reports.append(data_check.check_csvs(self.data_dir, self.class_names))
        if self.folders:
            ids = data_check.video_ids(self.data_dir)
            reports += [
                data_check.check_folder(self.data_dir, name, ids, layout, self.args.deep, self.args.workers)
                for name, layout in self.folders.items()
            ]
        if self.wants_models:
            reports.append(data_check.check_models(self.models_dir, self.args.deep))
        data_check.show(reports)
        with contextlib.suppress(InputError):  # not there or bad: the table says so
            events = llp.read_events(self.data_dir / llp.TRUTH_FILES["audio"], self.class_names)
            print(f"Annotations: {llp.annotation_version(events, self.class_names)}")
        return all(r.sound == r.expected for r in reports)


def main(args: argparse.Namespace) -> int:
    """Fetch and check, or only check; the exit status is 1 where something is missing, wrong or could not be had."""
    download = Download(args)
    if not args.check:
        with contextlib.ExitStack() as stack:
            for folder in sorted({download.data_dir, download.archive_dir, download.models_dir}):
                busy = f"{folder}: another process is downloading to it"
                stack.enter_context(locked(f"download {folder.resolve()}", busy))
            download.fetch()
    sound = download.report()
    if download.problems:
        print(f"on the way {len(download.problems)} went wrong, named above; give the command again to go on")
    return 0 if sound and not download.problems else cli.EXIT_SOME_FAILED


if __name__ == "__main__":
    cli.run(main, get_args_parser())
