"""Servers that change, drip, lie or talk nonsense: no version is mixed, nothing is held up, no disk is filled."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from tests.mock_site import Site
from utils import download_features
from utils.base.errors import InputError
from utils.download import fetch, transfer

OLD, NEW, LONGER = (
    np.random.default_rng(seed).bytes(size) for seed, size in ((0, 300_000), (1, 300_000), (2, 400_000))
)
DATES = ("Mon, 02 Nov 2026 10:00:00 GMT", "Tue, 03 Nov 2026 10:00:00 GMT")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Site() as site:
        yield site


def stop_in_the_middle(site: Site, content: bytes = OLD, **page) -> None:
    """A fetch of /f that breaks off in the middle, after which the server answers no more."""
    site.add("/f", content, status=[200, 503], stop_after=[150_000], **page)
    with pytest.raises(InputError, match="cannot be fetched: HTTP status 503"):
        fetch.fetch_url(f"{site.url}/f", Path("f"))
    assert not Path("f").exists()


KINDS = {
    "tags": {},
    "weak tags": {"headers": {"ETag": 'W/"1"'}},
    "no tags": {"tagged": False},
    "tags and parts of any version": {"ignores_if_range": True},
    "dates": {"tagged": False, "headers": {"Last-Modified": DATES[0]}},
    "no parts": {"ranges": False},
}


@pytest.mark.parametrize("new", [NEW, LONGER, NEW[:100_000], b""], ids=["same size", "longer", "shorter", "empty"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_versions_are_never_one_file(site, kind, new):
    stop_in_the_middle(site, **KINDS[kind])
    page = site.add("/f", new, **KINDS[kind])
    if kind == "dates":
        page.headers = {"Last-Modified": DATES[1]}
    fetch.fetch_url(f"{site.url}/f", Path("f"))
    assert Path("f").read_bytes() == new
    assert sorted(p.name for p in Path().iterdir()) == ["f"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_version_goes_on_if_the_server_says_that_it_is_the_same(site, kind):
    stop_in_the_middle(site, **KINDS[kind])
    site.add("/f", OLD, **KINDS[kind])
    site.requests.clear()
    fetch.fetch_url(f"{site.url}/f", Path("f"))
    assert Path("f").read_bytes() == OLD
    known = kind in ("tags", "tags and parts of any version", "no parts", "dates")
    assert [r[2] for r in site.requests] == (["bytes=150000-"] if known else [""])


def test_a_version_that_is_published_during_a_fetch(site, monkeypatch):
    page = site.add("/f", OLD, stop_after=[150_000])
    wait = asyncio.sleep

    async def publish(seconds):
        page.content = NEW
        await wait(0)

    monkeypatch.setattr(transfer.asyncio, "sleep", publish)
    fetch.fetch_url(f"{site.url}/f", Path("f"))
    assert Path("f").read_bytes() == NEW


def test_bytes_whose_version_nothing_tells_are_not_used(site):
    site.add("/f", NEW)
    for name in ("f.part", "f_1b2c3d4.part", "f.0123456789ab.part"):
        Path(name).write_bytes(OLD[:1000])
    for about in ("", "[1", '["\\"x\\"", 300000, false]', "[]", '{"tag": 1}'):
        Path("f").unlink(missing_ok=True)
        Path("f.part").write_bytes(OLD[:1000])
        Path("f.part.json").write_text(about)
        assert fetch.fetch_url(f"{site.url}/f", Path("f")).read_bytes() == NEW
        assert sorted(p.name for p in Path().iterdir()) == ["f"]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"raw": b"SSH-2.0-OpenSSH_9.2\r\n"}, "disconnected"),
        ({"raw": b"no HTTP\r\n\r\n"}, "illegal status line"),
        ({"raw": b"\0" * 1000}, "illegal|disconnected"),
        ({"raw": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"}, "Content-Length"),
        ({"raw": b"HTTP/1.1 302 Found\r\nLocation: /f\r\nContent-Length: 0\r\n\r\n"}, "further addresses"),
        ({"raw": b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n"}, "ftp"),
        (
            {"headers": {"Content-Encoding": "gzip"}},
            r"sends the file encoded \(gzip\), though it was",
        ),
        ({"headers": {"Content-Encoding": "br, identity"}}, "encoded"),
    ],
)
def test_what_is_no_answer_is_one_line(site, page, message):
    site.add("/f", OLD, **page)
    with pytest.raises(InputError, match=f"^{site.url}/f: cannot be fetched: .*({message})"):
        fetch.fetch_url(f"{site.url}/f", Path("f"))
    assert not Path("f").exists()


def test_no_command_ends_with_a_traceback(site, command):
    for name in ("train", "val_pd", "test_pd", "dataset_full", "eval_audio", "eval_visual"):
        site.add(f"/AVVP_{name}.csv", b"", raw=b"no HTTP at all\r\n")
    result = command(download_features, "--parts", "csv", "--csv_url", f"{site.url}/{{name}}")
    assert result.status == 1 and "Traceback" not in result.err
    assert f"problem: {site.url}/AVVP_train.csv: cannot be fetched: " in result.err


@pytest.mark.parametrize("with_length", [True, False])
def test_no_answer_is_larger_than_it_may_be(site, with_length):
    site.add("/f", OLD, with_length=with_length)
    with pytest.raises(InputError, match="expected at most 200 kB" if with_length else "sends more than 200 kB"):
        fetch.fetch_url(f"{site.url}/f", Path("f"), limit=200_000)
    assert sum(p.stat().st_size for p in Path().iterdir()) <= 200_100
    fetch.fetch_url(f"{site.url}/f", Path("f"), limit=300_000)
    assert Path("f").read_bytes() == OLD


def test_a_list_has_a_limit_of_its_own(site, command, monkeypatch):
    monkeypatch.setattr(fetch, "CSV_LIMIT", 1000)
    for name in ("train", "val_pd", "test_pd", "dataset_full", "eval_audio", "eval_visual"):
        site.add(f"/AVVP_{name}.csv", bytes(2000))
    result = command(download_features, "--parts", "csv", "--csv_url", f"{site.url}/{{name}}")
    assert result.status == 1 and "the server states 2 kB; expected at most 1 kB" in result.err


@pytest.mark.parametrize("page", [{}, {"raw": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000}, {"with_length": False}])
def test_a_server_that_drips_ends_the_transfer(site, monkeypatch, page):
    monkeypatch.setattr(transfer, "WINDOW", 0.4)
    site.add("/f", OLD, delay=0.02, block=10, **page)
    start = time.monotonic()
    with pytest.raises(InputError, match="cannot be fetched: less than 1000 bytes a second came in 0 s; rerun"):
        fetch.fetch_url(f"{site.url}/f", Path("f"))
    assert time.monotonic() - start < 3


def test_a_server_that_is_only_slow_is_waited_for(site, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0.4)
    site.add("/f", OLD[:20_000], delay=0.1, block=2000)  # ten of them, over four windows
    assert fetch.fetch_url(f"{site.url}/f", Path("f")).read_bytes() == OLD[:20_000]
