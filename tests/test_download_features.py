"""From nothing to the published data, against a local site with the faults of real ones."""

import hashlib
import io
import json
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from nets import MMIL_Net
from tests.conftest import ROOT
from tests.mock_site import Page, Site, publish, site_flags, zip_of
from utils import download_features
from utils.base.errors import InputError
from utils.base.files import size_text
from utils.download import check, fetch
from utils.download.archives import list_members, open_archive, unpack
from utils.download.release import CSVS, MODEL_FILES, MODELS_REPO, REVISIONS
from utils.features.kinds import KINDS, folder_layouts
from utils.llp.videos import video_id

CLIP_PAGE = "/datasets/NTUBarista/valor_features/resolve/main/CLIP.zip"
SIZES = {"hidden_dim": 16, "nhead": 2, "ff_dim": 32}


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """The three published models' names, with small random networks."""
    folder = tmp_path_factory.mktemp("models")
    for name in MODEL_FILES:
        size = 768 if "++" in name else None
        torch.manual_seed(0)
        net = MMIL_Net(**SIZES, **({"input_a_dim": size, "input_v_dim": size} if size else {}))
        (folder / name).parent.mkdir()
        torch.save(net.state_dict(), folder / name)
    return folder


@pytest.fixture(scope="session")
def pages(lookalike, models):
    """What a site with everything answers, by path."""
    with Site() as site:
        publish(site, lookalike, models)
    return site.pages


@pytest.fixture
def site(pages, tmp_path, monkeypatch):
    """A site with everything, for a test in an empty folder; `site.flags` fetch from it."""
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with Site() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        site.pages = {path: Page(page.content, headers=page.headers) for path, page in pages.items()}
        site.flags = site_flags(site)
        yield site


@pytest.fixture
def fetched(command, site):
    """Run the tool against the site."""
    return lambda *flags: command(download_features, *site.flags, "--workers", "2", *flags)


def row(result, what: str) -> list[int]:
    """wanted, valid, missing, wrong of one row of the summary."""
    line = next(line for line in result.out.splitlines() if line.startswith(f"| {what} "))
    return [int(cell) for cell in line.split("|")[3:7]]


def same_files(first: Path, second: Path) -> bool:
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*.*") if p.is_file()) for f in (first, second)]
    return names[0] == names[1] and all((first / n).read_bytes() == (second / n).read_bytes() for n in names[0])


def test_from_nothing_to_a_test_table(fetched, command, site, lookalike, models):
    result = fetched()
    assert result.status == 0, result.err
    assert same_files(Path("data"), lookalike) and same_files(Path("models"), models)
    assert row(result, "feats/res152") == [40, 40, 0, 0] and row(result, "models") == [3, 3, 0, 0]
    assert row(result, "CSV files") == [6, 6, 0, 0]

    sizes = [x for name, value in SIZES.items() for x in (f"--{name}", value)]
    sizes += ["--audio_dir", "data/CLAP/features", "--video_dir", "data/CLIP/features", "--gpu", "-1"]
    tested = command(main, "--mode", "test", "--model_name", "model_VALOR++", "--num_workers", "0", *sizes)
    assert tested.status == 0 and "Evaluation result:" in tested.out

    site.requests.clear()
    again = fetched()
    assert again.status == 0 and site.requests == []


def test_parts_are_selectable(fetched, site):
    result = fetched("--parts", "r2plus1d_18", "models")
    assert result.status == 0
    assert sorted(p.name for p in Path("data").iterdir() if p.is_dir()) == ["feats"]
    assert [p.name for p in Path("data/feats").iterdir()] == ["r2plus1d_18"]
    assert Path("data/AVVP_train.csv").is_file()  # the CSVs say which files there must be
    assert not any(path.endswith(".zip") and "CL" in path for _, path, _ in site.requests)
    assert "feats/res152" not in result.out and "CSV files" not in result.out


def test_own_lists_and_files_stay(fetched, lookalike):
    Path("data/CLIP/features").mkdir(parents=True)
    lines = (lookalike / "AVVP_train.csv").read_text().splitlines(keepends=True)
    Path("data/AVVP_train.csv").write_text("".join(lines[:3]))
    ids = [video_id(line.split("\t")[0]) for line in lines[1:3]]
    mine = np.full((10, 768), 0.5, np.float32)
    np.save(f"data/CLIP/features/{ids[0]}.npy", mine)
    result = fetched("--parts", "CLIP")
    assert result.status == 0 and row(result, "CLIP/features") == [2, 2, 0, 0]
    assert Path("data/AVVP_train.csv").read_text() == "".join(lines[:3])
    assert [p.name for p in Path("data").glob("*.csv")] == ["AVVP_train.csv"]
    assert (np.load(f"data/CLIP/features/{ids[0]}.npy") == mine).all()
    assert (np.load(f"data/CLIP/features/{ids[1]}.npy") != mine).any()


def test_an_archive_saved_by_hand_is_used(fetched, site, lookalike):
    Path("data/archives").mkdir(parents=True)
    Path("data/archives/feats.zip").write_bytes(zip_of(lookalike, "feats"))
    result = fetched("--parts", "csv", "feats", "--keep_archives")
    assert result.status == 0 and Path("data/archives/feats.zip").is_file()
    assert "/feats.zip" not in [path for _, path, _ in site.requests]


def test_both_annotation_versions(fetched, site, llp_dir, gt_dir):
    for version, revision in REVISIONS.items():
        for name in CSVS:
            folder = gt_dir(version) if "eval" in name else llp_dir
            site.add(f"/llp/{revision}/{name}", (folder / name).read_bytes())
    assert "Annotations: 2024 version" in fetched("--parts", "csv").out
    result = fetched("--parts", "csv", "--annotations", "2020")
    assert result.status == 0 and "Annotations: 2020 version" in result.out
    assert "Annotations: 2020 version" in fetched("--parts", "csv").out  # kept if no version is asked for
    site.pages["/llp/HEAD/AVVP_eval_audio.csv"] = site.pages["/llp/0b28c1a/AVVP_eval_audio.csv"]
    result = fetched("--parts", "csv", "--annotations", "2024")
    assert result.status == 1 and "2020 version of LLP's audio annotations" in result.err
    assert "Annotations: 2020 version" in result.out


def asked_from(site: Site, path: str) -> list[str]:
    return [where for method, page, where in site.requests if page == path and method == "GET"]


def test_a_server_that_stops_in_the_middle_is_asked_for_the_rest(fetched, site, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)  # instead of 10 MB, more than these files have
    sizes = {path: len(site.pages[path].content) for path in ("/feats.zip", CLIP_PAGE)}
    for path, size in sizes.items():
        site.pages[path].stop_after += [size // 3]
    assert fetched("--parts", "csv", "feats", "CLIP").status == 0
    for path, size in sizes.items():
        first, second = asked_from(site, path)
        begin = int(second.removeprefix("bytes=").removesuffix("-"))
        assert first == "" and size // 3 - 2**19 <= begin <= size // 3  # they keep whole blocks


def leave_part(site, path: str, name: str, received: bytes) -> None:
    """What a killed run leaves of a page in data/archives: bytes, and the version that they are of."""
    content = site.pages[path].content
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    Path("data/archives").mkdir(parents=True, exist_ok=True)
    Path(f"data/archives/{name}.part").write_bytes(received)
    Path(f"data/archives/{name}.part.json").write_text(json.dumps([tag, len(content), False]))


def test_what_a_killed_run_left_is_used(fetched, site):
    contents = {path: site.pages[path].content for path in ("/feats.zip", CLIP_PAGE)}
    halves = {path: content[: len(content) // 2] for path, content in contents.items()}
    for path, half in halves.items():
        leave_part(site, path, Path(path).name, half)
    Path("data/archives/CLIP.zip.anotherone.part").write_bytes(b"of an older version")
    assert fetched("--parts", "csv", "feats", "CLIP").status == 0
    for path, half in halves.items():
        assert asked_from(site, path)[-1] == f"bytes={len(half)}-"
    assert not Path("data/archives").exists()


def test_archives_that_a_killed_run_left_are_removed(fetched, site, lookalike):
    """As after kill -9 when all was unpacked, or while a file was fetched that is there by now."""
    assert fetched("--parts", "csv", "CLIP", "CLAP", "--keep_archives").status == 0
    leave_part(site, "/feats.zip", "feats.zip", b"not wanted in this run")
    leave_part(site, CLIP_PAGE, "CLIP.zip", site.pages[CLIP_PAGE].content[:1000])
    site.requests.clear()
    assert fetched("--parts", "csv", "CLIP", "CLAP", "--keep_archives").status == 0
    assert Path("data/archives/CLAP.zip").is_file() and Path("data/archives/CLIP.zip").is_file()
    result = fetched("--parts", "csv", "CLIP")
    assert result.status == 0 and "data/archives/CLIP.zip: all its files are valid: removed" in result.out
    left = sorted(p.name for p in Path("data/archives").iterdir())
    assert left == ["CLAP.zip", "feats.zip.part", "feats.zip.part.json"] and site.requests == []


def test_a_server_that_cannot_go_on_in_the_middle(fetched, site, lookalike):
    for path in ("/feats.zip", CLIP_PAGE):
        leave_part(site, path, Path(path).name, bytes(1000))
        site.pages[path].ranges = False
    assert fetched("--parts", "csv", "feats", "CLIP").status == 0
    assert same_files(Path("data/feats"), lookalike / "feats")


def test_damage_in_transit_is_noticed_by_the_hubs_checksum(fetched, site):
    page = site.pages[CLIP_PAGE]
    good, page.content = page.content, page.content[:-100] + bytes(100)
    result = fetched("--parts", "csv", "CLIP")
    assert result.status == 1 and "checksum mismatch: the file differs from the one on the hub" in result.err
    page.content = good
    assert fetched("--parts", "csv", "CLIP").status == 0


@pytest.mark.parametrize(("status", "path"), [(404, "/feats.zip"), (403, "/feats.zip"), (429, "/feats.zip")])
def test_a_part_that_cannot_be_had_does_not_keep_from_the_others(fetched, site, status, path):
    site.pages[path].status = [status]
    result = fetched("--parts", "csv", "vggish", "CLIP")
    assert result.status == 1
    assert f"{site.url}/feats.zip: cannot be fetched: HTTP status {status}" in result.err
    assert row(result, "feats/vggish") == [40, 0, 40, 0] and row(result, "CLIP/features") == [40, 40, 0, 0]
    assert fetched("--parts", "csv", "vggish", "CLIP").status == 0


def test_a_hub_that_has_nothing_or_cannot_be_reached(fetched, site, monkeypatch):
    del site.pages[CLIP_PAGE]
    result = fetched("--parts", "csv", "CLIP")
    assert result.status == 1 and f"{site.url}{CLIP_PAGE}: cannot be fetched: HTTP status 404" in result.err
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = fetched("--parts", "csv", "CLIP")
    assert result.status == 1 and f"http://127.0.0.1:9{CLIP_PAGE}: cannot be fetched: " in result.err
    assert "Traceback" not in result.err


PAGE = {"Content-Type": "text/html; charset=utf-8"}
QUOTA = '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>'
CONFIRM = """<form id="download-form" action="{url}/of%20drive" method="get">
<input type="hidden" name="id" value="1"><input type="hidden" name="confirm" value="t"></form>"""


def test_what_google_drive_says_is_passed_on(fetched, site, monkeypatch):
    monkeypatch.setattr(fetch, "DRIVE", f"{site.url}/uc")
    site.add("/uc?id=1", QUOTA.encode(), headers=PAGE)
    flags = ("--parts", "csv", "vggish", "--feats_url", f"{site.url}/uc?id=1")
    result = fetched(*flags)
    assert result.status == 1 and "Too many users have viewed" in result.err
    assert "save it with a browser as data/archives/feats.zip" in result.err
    # the page on which it asks whether a large file is wanted
    site.add("/uc?id=1", CONFIRM.format(url=site.url).replace("\n", "").encode(), headers=PAGE)
    site.pages["/of drive?id=1&confirm=t"] = site.pages["/feats.zip"]
    assert fetched(*flags).status == 0
    shutil.rmtree("data/feats")
    attachment = {"Content-Disposition": 'attachment; filename="feats.zip"'}
    site.add("/uc?id=1", site.pages["/feats.zip"].content, headers=attachment)  # a small one comes at once
    assert fetched(*flags).status == 0


def zip_with(*entries) -> bytes:
    """A zip file of (name or ZipInfo, bytes)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


GOOD = npy(np.zeros((10, 128), np.float32))


def link(name: str, target: str):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_with(("feats/vggish/a.npy", GOOD), ("../evil.npy", GOOD)), "'../evil.npy', which leads out of data/"),
        (zip_with(("feats/vggish/../../../evil.npy", GOOD)), "which leads out of data/"),
        (zip_with(("/tmp/feats/vggish/evil.npy", GOOD)), "which leads out of data/"),
        (zip_with(("..\\feats\\vggish\\evil.npy", GOOD)), "which leads out of data/"),
        (zip_with(("C:\\feats\\vggish\\evil.npy", GOOD)), "which leads out of data/"),
        (zip_with(link("feats/vggish", "/etc")), "'feats/vggish', a link"),
        (zip_with(("readme.txt", b"none")), "holds no files of these videos for feats/vggish"),
        (zip_with(("feats/vggish/a.npy", GOOD))[:150], "a truncated or damaged zip file"),
        (b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>", "is a web page, not an archive"),
        (b"\x1f\x8b what gzip writes", "not a zip file"),
        (b"", "not a zip file"),
    ],
)
def test_archives_that_cannot_be_used(fetched, site, content, message):
    before = sorted(Path.cwd().parent.rglob("*evil*"))
    site.add("/feats.zip", content)
    result = fetched("--parts", "csv", "vggish")
    assert result.status == 1 and message in result.err and "Traceback" not in result.err
    assert row(result, "feats/vggish") == [40, 0, 40, 0]
    assert sorted(Path.cwd().parent.rglob("*evil*")) == before and not list(Path("data").rglob("*.npy"))


def test_after_a_web_page_the_next_run_asks_again(fetched, site, lookalike):
    good = site.pages["/feats.zip"].content
    site.add("/feats.zip", b"<html>quota</html>")
    assert fetched("--parts", "csv", "vggish").status == 1
    site.add("/feats.zip", good)
    assert fetched("--parts", "csv", "vggish").status == 0


def test_an_archive_with_folders_above_and_other_files(fetched, site, lookalike):
    names = [path.name for path in (lookalike / "feats/vggish").iterdir()]
    entries = [(f"release/data/feats/vggish/{name}", GOOD) for name in names]
    entries += [("__MACOSX/feats/vggish/._x.npy", b"x"), ("release/data/feats/vggish/.DS_Store", b"x")]
    site.add("/feats.zip", zip_with(*entries, ("feats/new/x.npy", GOOD)))
    assert fetched("--parts", "csv", "vggish").status == 0
    assert sorted(p.name for p in Path("data").rglob("*.npy") if not p.name.startswith(".")) == sorted(names)
    assert not list(Path("data").rglob(".DS_Store")) and not Path("data/feats/new").exists()


def test_wrong_shapes_and_damage_inside_an_archive(fetched, site, lookalike):
    names = sorted(path.name for path in (lookalike / "feats/vggish").iterdir())
    files = {name: GOOD for name in names[2:]} | {names[0]: npy(np.zeros(3)), names[1]: GOOD}
    content = zip_with(*((f"feats/vggish/{name}", data) for name, data in files.items()))
    at = content.rindex(b"\x93NUMPY") + len(GOOD) - 1  # the last byte of the last member
    site.add("/feats.zip", content[:at] + b"\1" + content[at + 1 :])
    result = fetched("--parts", "csv", "vggish")
    assert result.status == 1 and row(result, "feats/vggish") == [40, 38, 2, 0]
    assert f"{names[1]} not unpacked: Bad CRC-32" in result.err
    assert f"{names[0]} not unpacked: holds (3,) float64, expected (10, 128) float32" in result.err
    assert "data/archives/feats.zip: unpacked and kept; remove it to fetch it again" in result.out


def test_only_whole_files_of_these_videos_replace_what_is_missing(fetched, site, lookalike):
    """A pickle, a bomb, files of other videos, one in three places, and another version of a file that is valid."""
    names = sorted(path.name for path in (lookalike / "feats/vggish").iterdir())
    kept = np.full((10, 128), 7, np.float32)
    Path("data/feats/vggish").mkdir(parents=True)
    np.save(Path("data/feats/vggish", names[0]), kept)
    Path("data/feats/vggish", names[1]).mkdir()
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    files = dict.fromkeys(names, GOOD) | {names[2]: pickled.getvalue(), names[3]: GOOD + bytes(10**6)}
    entries = [(f"{above}feats/vggish/{name}", data) for above in ("", "o/", "p/") for name, data in files.items()]
    entries += [("feats/vggish/of_another.npy", GOOD), ("__MACOSX/feats/vggish/._a.npy", b"x")]
    site.add("/feats.zip", zip_with(*entries))
    result = fetched("--parts", "csv", "vggish", "--workers", "8")
    assert result.status == 1 and row(result, "feats/vggish") == [40, 37, 2, 1]
    assert f"{names[2]} not unpacked: holds pickled Python objects" in result.err
    assert f"{names[3]} not unpacked: 1 MB, expected (10, 128) float32" in result.err
    assert f"{names[1]} not unpacked: " in result.err and "Is a directory" in result.err
    assert (np.load(Path("data/feats/vggish", names[0])) == kept).all()
    assert {p.name for p in Path("data/feats/vggish").iterdir()} == set(names) - {names[2], names[3]}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_any_damaged_byte_costs_at_most_a_line(fetched, site, lookalike, method):
    """Every byte of an archive's tables and of two members, one at a time."""
    names = sorted(path.name for path in (lookalike / "feats/vggish").iterdir())[:2]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(f"feats/vggish/{name}", GOOD)
    content, ids = buffer.getvalue(), [name.removesuffix(".npy") for name in names]
    layouts = {"feats/vggish": KINDS["vggish"].layout}
    path = Path("broken.zip")
    for place in range(len(content)):
        for other in (content[place] ^ 0x55, 0xFF):
            path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
            try:
                with open_archive(path) as archive:
                    members = list_members(archive, "feats", layouts, ids)
                    problems = unpack(archive, members, Path("data"), layouts, 1)
            except InputError:
                continue
            there = [p for p in Path("data").rglob("*.npy")]
            assert len(there) + len(problems) == len(members)
            assert all(p.read_bytes() == GOOD and p.stem in ids for p in there)
            shutil.rmtree("data")


def test_a_model_that_is_none_is_not_kept(fetched, site):
    page = site.pages[f"/{MODELS_REPO}/resolve/main/{MODEL_FILES[0]}"]
    good, page.content = page.content, b"<html>moved</html>"
    page.headers = {"ETag": '"not-a-checksum"', "X-Linked-Size": str(len(page.content))}
    result = fetched("--parts", "csv", "models")
    assert result.status == 1 and row(result, "models") == [3, 2, 1, 0]
    assert "checkpoint_best.pt: not a PyTorch checkpoint" in result.err
    page.content, page.headers = good, {"ETag": '"not-a-checksum"', "X-Linked-Size": str(len(good))}
    assert fetched("--parts", "csv", "models").status == 0


def test_an_address_that_does_not_answer(command, site):
    """Every file is named, at once, and not as an error of this machine's disk."""
    where = ("--csv_url", "http://127.0.0.1:9/{revision}/{name}", "--feats_url", "http://127.0.0.1:9/x")
    result = command(download_features, *where, "--parts", "csv")
    assert result.status == 1 and row(result, "CSV files") == [6, 0, 6, 0]
    assert "/AVVP_train.csv: cannot be fetched: [Errno 111] Connection refused" in result.err
    assert "3 more of this kind" not in result.err and result.err.count("Connection refused") == 6


def test_disk_space_is_looked_at_before_anything_large_is_fetched(fetched, site, monkeypatch):
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=30_000_000))
    result = fetched()
    unpacked = sum(40 * layout.file_size for layout in folder_layouts().values())
    largest = 40 * (655_360 + 20_480 + 5_120 + 3 * 128)  # the base features
    needed = f"data: {(unpacked + largest) / 1e6:.0f} MB needed for the archives and what is in them"
    assert result.status == 2 and f"{needed}, 30 MB free" in result.error
    assert [path for _, path, _ in site.requests if path.endswith((".zip", ".pt"))] == []
    assert fetched("--parts", "CLIP").status == 0


def test_what_has_been_fetched_needs_no_room_again(fetched, site, monkeypatch):
    leave_part(site, "/feats.zip", "feats.zip", site.pages["/feats.zip"].content[:-1000])
    unpacked = 40 * KINDS["vggish"].layout.file_size
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=unpacked + 8_000_000))
    assert fetched("--parts", "csv", "vggish").status == 0


def test_archives_on_another_disk(fetched, site, monkeypatch, tmp_path):
    """Each disk has to take its own part only."""
    other = Path("/dev/shm") / f"valor-test-{tmp_path.parent.name}-{tmp_path.name}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm, a second disk")
    real = shutil.disk_usage
    free = {"data": 1_000_000, "archives": 40_000_000}
    of_path = lambda path: real(path)._replace(free=free["archives" if "shm" in str(path) else "data"])
    monkeypatch.setattr(shutil, "disk_usage", of_path)
    try:
        assert fetched("--parts", "csv", "vggish", "--archive_dir", other).status == 0
        shutil.rmtree("data/feats")
        free["archives"] = 1_000_000
        result = fetched("--parts", "csv", "vggish", "--archive_dir", other)
        assert result.status == 2 and "needed for the archives, 1 MB free" in result.error
    finally:
        shutil.rmtree(other, ignore_errors=True)


def test_a_disk_that_is_full_in_the_middle(fetched, site):
    """A limit on the size of files stands for it: writes fail in the same way."""
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[1:]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))\n"
        "from utils import download_features as d; from utils.base import command\n"
        "command.run(d.main, d.get_args_parser())"
    )
    argv = [ROOT, *site.flags, "--parts", "csv", "feats"]
    result = subprocess.run([sys.executable, "-c", script, *argv], check=False, capture_output=True, text=True)
    assert result.returncode == 2 and "data/archives/feats.zip: File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert fetched("--parts", "csv", "feats").status == 0
    assert asked_from(site, "/feats.zip")[-1] == "bytes=2000000-"


def run_check(command, *flags):
    return command(download_features, "--check", "--model_save_dir", "none", "--workers", "2", *flags)


def test_check_names_what_is_missing_and_what_is_wrong(workspace, command):
    folder = workspace / "data/CLAP/features"
    names = sorted(path.name for path in folder.iterdir())
    for name in names[:4]:
        (folder / name).unlink()
    data = (folder / names[5]).read_bytes()
    wrong = (npy(np.zeros((64, 512), np.float32)), data[:-1], b"not numbers")
    for name, content in zip(names[4:7], wrong, strict=True):
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    parts = ("--parts", "csv", "feats", "CLIP", "CLAP")
    result = run_check(command, *parts)
    assert result.status == 1 and row(result, "CLAP/features") == [40, 33, 4, 3]
    assert row(result, "CLIP/features") == [40, 40, 0, 0]
    assert f"CLAP/features: 4 missing: {', '.join(names[:3])}, ..." in result.out
    assert f"{names[4]}: holds (64, 512) float32, expected (64, 768) float32" in result.out
    assert f"{names[5]}: truncated, {len(data) - 1} of {len(data)} bytes" in result.out
    assert f"{names[6]}: not a .npy file" in result.out


@pytest.mark.parametrize("folder", ["CLIP/large", "feats/wav2vec", "BEATs/features"])
def test_check_asks_for_no_kind_that_is_not_published(workspace, command, monkeypatch, folder):
    monkeypatch.setitem(KINDS, "new", KINDS["CLIP"]._replace(name="new", folder=folder))
    result = run_check(command, "--parts", "csv", "feats", "CLIP", "CLAP")
    assert result.status == 0 and folder not in result.out and row(result, "CLIP/features") == [40, 40, 0, 0]


def test_deep_reads_every_number(workspace, command):
    audio, labels = workspace / "data/feats/vggish", workspace / "data/CLIP/segment_pseudo_labels"
    name = min(path.name for path in audio.iterdir())
    for folder, array in ((audio, np.full((10, 128), np.nan, np.float32)), (labels, np.full((10, 25), 2))):
        (folder / name).unlink()
        np.save(folder / name, array)
    parts = ("--parts", "csv", "vggish", "CLIP")
    assert run_check(command, *parts).status == 0
    result = run_check(command, *parts, "--deep")
    assert result.status == 1
    assert row(result, "feats/vggish") == row(result, "CLIP/segment_pseudo_labels") == [40, 39, 0, 1]
    assert f"{name}: holds NaN or infinite values" in result.out and "holds values other than 0 and 1" in result.out


def test_check_of_models(models, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    first, second, third = (folder / name for name in MODEL_FILES)
    assert check.check_models(folder, deep=True).valid == 3
    first.write_bytes(first.read_bytes()[:-1000])
    weights = torch.load(second)
    torch.save(weights | {"fc_prob.bias": torch.full((25,), torch.nan)}, second)
    torch.save({"fc.weight": torch.zeros(3)}, third)
    quick, deep = (check.check_models(folder, deep) for deep in (False, True))
    assert (quick.valid, deep.valid) == (2, 0)
    text = "\n".join(deep.wrong)
    for part in ("not a PyTorch checkpoint, or damaged", "fc_prob.bias holds NaN", "does not fit any network"):
        assert part in text
    third.unlink()
    assert check.check_models(folder, deep=False).missing == ["model_VALOR++/checkpoint_best.pt"]


def test_check_changes_and_fetches_nothing(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_check(command)
    assert result.status == 2 and "data: holds none of AVVP_train.csv" in result.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--parts", "clip"), "invalid choice: 'clip'"),
        (("--data_dir", "file"), "--data_dir file: is a file, expected a folder"),
        (("--archive_dir", "file/x"), "--archive_dir file/x"),
        (("--annotations", "2023"), "invalid choice: '2023'"),
        (("--classes", "none.yaml"), "none.yaml: no such file"),
    ],
)
def test_bad_flags(command, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    result = command(download_features, *flags)
    assert result.status == 2 and message in result.error


def test_two_at_a_time_on_one_folder(fetched, monkeypatch):
    from utils.base.files import locked

    with locked(f"download {Path('data').resolve()}", "busy"):
        result = fetched("--parts", "csv")
    assert result.status == 2 and "another process is downloading to it" in result.error
    with locked(f"download {Path('elsewhere').resolve()}", "busy"):
        result = fetched("--parts", "csv", "--archive_dir", "elsewhere")
    assert result.status == 2 and "elsewhere: another process is downloading to it" in result.error


def test_sizes_in_words():
    texts = [size_text(size) for size in (999, 1000, 2_350_000, 11_200_000_000)]
    assert texts == ["999 bytes", "1 kB", "2 MB", "11.2 GB"]
