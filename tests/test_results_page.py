"""The page about a test run, in a real browser."""

import base64
import contextlib
import itertools
import json
import re
import zlib

import numpy as np
import pytest
import yaml

from tests.browser import emulate
from utils import make_report
from utils.llp.annotations import REFERENCE_FILES, read_predictions, read_reference, write_predictions
from utils.llp.classes import CLASS_NAMES, CLASSES
from utils.llp.datasets import LLP
from utils.llp.events import segments_to_events
from utils.llp.videos import read_split
from utils.make_lookalike import synthetic_events, synthetic_names
from utils.report import html

HOSTILE_NAME = "<img src=x onerror=window.hacked=1>_0_10"
HOSTILE_CLASS = "</script><script>window.hacked=2</script>"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """run_folder(count, names=(), class_names=LLP's) -> folder of a synthetic split, its reference, and two runs."""

    def make(count: int, names=(), class_names=CLASS_NAMES):
        folder = tmp_path_factory.mktemp("run")
        rng = np.random.default_rng(8)
        names = [*names, *synthetic_names(rng, count - len(names))]
        reference = np.stack([synthetic_events(rng)[0] for _ in names], axis=1)  # (2, N, C, T)
        (folder / "videos.csv").write_text("filename\n" + "".join(f"{name}\n" for name in names))
        for modality, segments in zip(REFERENCE_FILES, reference, strict=True):
            events = segments_to_events(segments, names, class_names)
            events.to_csv(folder / REFERENCE_FILES[modality], sep="\t", index=False)
        for run, noise in (("<b>first", 0.02), ("second", 0.01)):
            wrong = np.repeat(rng.random((*reference.shape[:-1], 5)) < noise, 2, axis=-1)  # two seconds at a time
            write_predictions(folder / run, names, *(reference ^ wrong), LLP.named(class_names))
        keys = ("epoch", "lr", "train_loss_all", "val_loss_all", "Seg-type")
        epochs = ((1, 1e-4, 2.0, 1.0, 10), (2, 1e-4, 1.0, None, 20), (3, 1e-4, 2 / 3, 1 / 3, 30))
        lines = [json.dumps(dict(zip(keys, values, strict=True))) + "\n" for values in epochs]
        (folder / "log.jsonl").write_text("".join(lines))
        rows = [{**CLASSES[0]._asdict(), "name": name} for name in class_names]
        (folder / "classes.yaml").write_text(yaml.safe_dump(rows))
        return folder

    return make


@pytest.fixture
def page(command):
    """page(folder, *flags) -> address of the page about the first run in a folder of `run_folder`."""

    def write(folder, *flags):
        scored = ("--pred_dir", folder / "<b>first", "--label_csv", folder / "videos.csv", "--gt_dir", folder)
        more = ("--log", folder / "log.jsonl", "--classes", folder / "classes.yaml", "--out", folder / "page.html")
        result = command(make_report, *scored, *more, *flags)
        assert result.status == 0, result.err
        return (folder / "page.html").as_uri()

    return write


def shown(driver) -> list[str]:
    """File names in the list, in its order."""
    return driver.execute_script("return [...document.querySelectorAll('#list strong')].map(x => x.textContent)")


def choose(driver, control: str, value: str) -> list[str]:
    """Set a control of the list as a user does, and return what is then shown."""
    node = driver.find_element("id", control)
    if node.tag_name == "select":
        node.find_element("css selector", f"option[value='{value}']").click()
    else:
        node.clear()
        node.send_keys(value)
    return shown(driver)


def test_sorting_and_filtering(run_folder, page, browser):
    folder = run_folder(40)
    driver = browser(1600, 1000)
    driver.get(page(folder))
    names = read_split(folder / "videos.csv", weak_labels=False).filenames
    reference = read_reference(folder, names)
    predictions = read_predictions(folder / "<b>first", names, folder / "videos.csv")
    run = make_report.ScoredRun.of("", "", predictions, reference)
    seg_type, event_a = run.scores[:, 3], run.scores[:, 5]

    order = shown(driver)
    assert sorted(order) == sorted(names)
    assert np.all(np.diff([seg_type[names.index(name)] for name in order]) > -1e-9)  # worst first
    assert choose(driver, "sort", "score,0,5") != order
    assert np.all(np.diff([event_a[names.index(name)] for name in shown(driver)]) > -1e-9)
    assert "Event-a" in driver.find_element("css selector", "#list .head").text
    driver.find_element("id", "direction").click()
    assert np.all(np.diff([event_a[names.index(name)] for name in shown(driver)]) < 1e-9)
    assert choose(driver, "sort", "name") == sorted(names, reverse=True)

    assert choose(driver, "text", names[3][:6].upper()) == [names[3]]
    assert "1 of 40 videos" in driver.find_element("id", "count").text
    choose(driver, "text", "")
    speech = CLASS_NAMES.index("Speech")
    refs, preds = (np.stack(x)[:, :, speech] for x in ((reference.audio, reference.visual), predictions[:2]))
    wanted = {"any": refs | preds, "true": refs, "missed": refs & ~preds, "false": preds & ~refs}
    choose(driver, "class", str(speech))
    for what, segments in wanted.items():
        expected = {name for name, found in zip(names, segments.any(axis=(0, 2)), strict=True) if found}
        assert set(choose(driver, "what", what)) == expected and 0 < len(expected) < 40
    right = (refs | preds).any(axis=(0, 2)) & (refs == preds).all(axis=(0, 2))
    assert set(choose(driver, "what", "right")) == {name for name, found in zip(names, right, strict=True) if found}
    assert driver.get_log("browser") == []


def test_timelines_are_those_of_the_files_and_drawn_when_in_view(run_folder, page, browser):
    folder = run_folder(60)
    driver = browser(1600, 900)
    driver.get(page(folder, "--compare", folder / "second"))
    drawn = "return document.querySelectorAll('#list .modality').length"
    assert 0 <= driver.execute_script(drawn) < 60
    driver.execute_script("document.querySelector('#list > li:last-child').scrollIntoView()")
    name = shown(driver)[-1]
    read = """
        const item = document.querySelector('#list > li:last-child');
        return [...item.querySelectorAll('.modality svg .event title')].map(x => x.textContent)"""
    said = driver.execute_async_script(
        f"const done = arguments[0]; const go = () => {{ const x = (() => {{{read}}})();"
        " x.length ? done(x) : setTimeout(go, 20) }; go()"
    )
    names = [name]
    reference = read_reference(folder, names)
    runs = [read_predictions(folder / run, names, "") for run in ("<b>first", "second")]
    expected = []
    for label, source in {"reference": reference, **dict(zip("AB", runs, strict=True))}.items():
        for segments in source[:2]:
            for row in segments_to_events(segments, names).itertuples():
                expected.append(f"{label}: {row.event_labels} {row.onset} to {row.offset} s")
    assert sorted(said) == sorted(expected) and len(expected) > 2
    header = [cell.text for cell in driver.find_elements("css selector", "#scores thead th")]
    assert header == ["Score", "A\n<b>first", "B\nsecond", "B − A", "p"]
    assert driver.get_log("browser") == []


def test_hostile_names_are_text(run_folder, page, browser):
    classes = (HOSTILE_CLASS, *CLASS_NAMES[1:])
    folder = run_folder(5, names=[HOSTILE_NAME], class_names=classes)
    driver = browser(1600, 1000)
    driver.get(page(folder))
    assert HOSTILE_NAME in shown(driver)
    assert HOSTILE_CLASS in driver.find_element("id", "classes").text.replace("\n", "")
    assert "<b>first" in driver.find_element("id", "runs").text
    assert driver.execute_script("return window.hacked") is None
    assert driver.execute_script("return document.querySelectorAll('img, b b, script').length") == 2  # its own two
    assert driver.get_log("browser") == []  # the policy's violations would be here, too


def test_everything_works_with_the_keyboard(run_folder, page, browser):
    driver = browser(1000, 800)
    driver.get(page(run_folder(12)))
    before = shown(driver)
    body, reached = driver.find_element("css selector", "body"), []
    body.send_keys("\ue004")  # Tab
    for _ in range(20):
        node = driver.switch_to.active_element
        reached.append(node.get_attribute("id"))
        if reached[-1] == "direction":
            node.send_keys("\ue007")  # Enter
            assert shown(driver) != before
        outline = driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", node)
        assert outline != "none", reached  # the focus is visible
        if reached[-1] == "what":
            break
        node.send_keys("\ue004")
    assert [x for x in reached if x][-6:] == ["class-order", "sort", "direction", "text", "class", "what"]


def test_fits_narrow_and_wide_windows_in_both_colour_schemes(run_folder, page, browser):
    folder = run_folder(12)
    driver = browser(360, 800)
    address = page(folder, "--compare", folder / "second")
    for width, dark in itertools.product((360, 1600), (False, True)):
        emulate(driver, width, 800, dark)
        driver.get(address)
        assert driver.execute_script("return innerWidth") == width
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        script = "const x = getComputedStyle(document.body); return [x.color, x.backgroundColor]"
        colours = driver.execute_script(script)
        text, ground = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
        assert (text > 600 and ground < 150) if dark else (text < 150 and ground > 600)
        assert len(driver.find_elements("css selector", "#curves figure")) == 3
    assert driver.get_log("browser") == []


def test_1200_videos_open_in_two_seconds(run_folder, page, browser, capsys):
    driver = browser(1600, 1000)
    address = page(run_folder(1200))
    driver.get("about:blank")
    driver.get(address + "#videos-part")  # timelines are drawn only when in view
    milliseconds = driver.execute_async_script("""
        const done = arguments[0], go = () => {
          const drawn = performance.getEntriesByName('list-drawn')[0];
          drawn ?
            done([performance.getEntriesByType('navigation')[0].loadEventEnd, drawn.startTime]) : setTimeout(go, 20);
        }; go();""")
    with capsys.disabled():
        print("\n1,200 videos: load event after {:.0f} ms, first timelines after {:.0f} ms".format(*milliseconds))
    assert max(milliseconds) < 2000
    assert driver.find_element("id", "count").text == "1,200 of 1,200 videos"
    assert driver.get_log("browser") == []


def test_a_long_list_is_packed_drawn_as_it_comes_into_view_and_whole_to_print(run_folder, page, browser, monkeypatch):
    folder = run_folder(2100, names=[HOSTILE_NAME])
    plain = browser(1000, 800)
    plain.get(page(folder))
    rows = "return JSON.stringify(JSON.parse(document.getElementById('data').textContent).videos)"
    wanted = [video[0] for video in json.loads(plain.execute_script(rows))]
    assert len(wanted) == 2100 and len(shown(plain)) == 500 and shown(plain) == wanted[:500]

    monkeypatch.setattr(html, "LARGE", 1000)
    driver = browser(1000, 800)
    address = page(folder)
    text = (folder / "page.html").read_text()
    assert HOSTILE_NAME not in text and len(text) < 250_000
    driver.get(address)
    wait = "const done = arguments[0], go = () => {} ? done() : setTimeout(go, 20); go();"
    driver.execute_async_script(wait.format("document.querySelector('#list strong')"))
    assert shown(driver) == wanted[:500]
    height = "return document.getElementById('list').clientHeight"
    before = driver.execute_script(height)
    driver.execute_script("document.querySelector('#list > li:last-child').scrollIntoView()")
    driver.execute_async_script(wait.format("document.querySelectorAll('#list strong').length > 1000"))
    assert shown(driver) == [*wanted[:500], *wanted[1500:]]  # the last part, and the one above it, which is near
    assert 0.5 < driver.execute_script(height) / before < 2
    assert choose(driver, "text", "<IMG SRC") == [HOSTILE_NAME]
    driver.execute_script("document.getElementById('text').value = ''")
    choose(driver, "class", "3")
    assert choose(driver, "class", "")[:500] == wanted[:500]
    driver.find_element("id", "direction").click()
    best = shown(driver)
    assert len(best) == 500 and not set(best) & set(wanted[:500])

    driver.execute_script("dispatchEvent(new Event('beforeprint'))")  # to print 2,100 takes half a minute
    drawn = "return document.querySelectorAll('#list .modality').length"
    assert sorted(shown(driver)) == sorted(wanted) and driver.execute_script(drawn) == 2 * 2100
    assert driver.execute_script("return document.querySelectorAll('#list .later').length") == 0
    assert driver.execute_script("return window.hacked") is None and driver.get_log("browser") == []


# What is cut off: text that leaves the window or the box that it is in, other than by its font's overhang.
CUT = """
const found = [];
for (const node of document.querySelectorAll(arguments[0])) {
  const box = node.getBoundingClientRect(), range = document.createRange();
  range.selectNodeContents(node);
  const text = range.getBoundingClientRect();
  const around = node.closest('.class, .modality, figure, td, th, .key, .head').getBoundingClientRect();
  if (!box.width || text.right > around.right + 1 || text.left < around.left - 1 || text.right > innerWidth
      || node.scrollWidth > node.clientWidth + 1) found.push(node.textContent);
}
return found;"""


@pytest.mark.parametrize("width", [1600, 1920, 390])
def test_no_label_is_cut_off(run_folder, page, browser, width):
    classes = ("Donaudampfschifffahrtsgesellschaftskapitän", "Playing_the_acoustic_guitar_outdoors", *CLASS_NAMES[2:])
    folder = run_folder(30, class_names=classes)
    driver = browser(width, 1000)
    driver.get(page(folder, "--compare", folder / "second"))
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    labels = ".class > div:first-child, .bar span, .modality .name, .lanes div, .key > span, .head strong"
    assert driver.execute_script(CUT, labels) == []
    assert len(driver.find_elements("css selector", ".class")) == 25
    bars = driver.find_elements("css selector", ".class:first-child .bar")
    assert len(bars) == 4 and all(bar.find_element("css selector", "svg").size["width"] > 40 for bar in bars)


def test_plots_of_intervals_have_numbers_and_stay_in_narrow_windows(run_folder, page, browser):
    folder = run_folder(30)
    driver = browser(1600, 1000)
    for flags, width, kind in (
        ((), 1600, "wide"),
        ((), 390, "narrow"),
        (("--compare", folder / "second"), 1600, "wide"),
        (("--compare", folder / "second"), 390, "narrow"),
        (("--compare", folder / "second"), 760, "narrow"),
    ):
        emulate(driver, width, 1000, False)
        driver.get(page(folder, *flags))
        plots = [x for x in driver.find_elements("css selector", f"#scores .{kind} svg") if x.is_displayed()]
        other = driver.find_elements("css selector", f"#scores .{'narrow' if kind == 'wide' else 'wide'} svg")
        assert len(plots) == 11 and not any(x.is_displayed() for x in other)
        assert [x.text for x in plots[0].find_elements("css selector", "text")] == ["0", "25", "50", "75", "100"]
        assert plots[1].size["width"] > 200
        # the axis is that of the plots below it: the number 75 stands over the fourth line
        found = plots[0].find_elements("css selector", "text")[3], plots[1].find_elements("css selector", "line")[3]
        number, line = (node.rect["x"] + node.rect["width"] / 2 for node in found)
        assert abs(number - line) < 2
        numbers = driver.find_element("id", "scores").rect
        assert numbers["x"] >= 0 and numbers["x"] + numbers["width"] <= width


def test_two_runs_have_a_key_and_curves_of_their_own(run_folder, page, browser):
    folder = run_folder(20)
    lines = (folder / "log.jsonl").read_text().splitlines()
    (folder / "other.jsonl").write_text("".join(line + "\n" for line in lines[:2]))
    named = ("--name", "VALOR", "--compare", folder / "second", "--compare_name", "<i>HAN")
    driver = browser(1600, 1000)
    driver.get(page(folder, *named, "--log", folder / "other.jsonl"))
    assert "A VALOR" in driver.title and "B <i>HAN" in driver.title
    keys = {part: driver.find_element("id", part).text for part in ("runs", "class-key", "key")}
    assert all("A VALOR" in text and "B <i>HAN" in text for text in keys.values()), keys
    assert [x.text for x in driver.find_elements("css selector", "#scores thead small")] == ["VALOR", "<i>HAN"]
    assert "Seg-type of B <i>HAN" in driver.find_element("id", "sort").text
    loss = driver.find_element("css selector", "#curves figure")
    assert [span.text for span in loss.find_elements("css selector", ".key span")] == [
        f"{run}, {kind} loss" for run in ("A VALOR", "B <i>HAN") for kind in ("train", "val")
    ]
    script = "return [...document.querySelectorAll('#curves title')].map(x => x.textContent)"
    said = driver.execute_script(script)
    assert {"A VALOR, train loss, epoch 3: 0.6667", "B <i>HAN, Val F, epoch 2: 20"} <= set(said)
    assert not any(", epoch 3:" in text for text in said if text.startswith("B"))
    assert len(said) == (3 + 2 + 3 + 3) + (2 + 1 + 2 + 2)  # the val loss of epoch 2 is not known
    assert driver.execute_script("return document.querySelectorAll('#caution:not([hidden])').length") == 0
    assert driver.get_log("browser") == []


def test_tooltips_have_few_digits(run_folder, page, browser):
    driver = browser(1000, 800)
    driver.get(page(run_folder(8)))
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    said = driver.execute_script(
        "return [...document.querySelectorAll('title, [aria-label]')].map("
        "x => x.getAttribute('aria-label') ?? x.textContent)"
    )
    numbers = [number for text in said for number in re.findall(r"\d+\.\d+", text)]
    assert "0.6667" in numbers and "0.3333" in numbers and max(map(len, numbers)) <= 7
    assert "mean little here: they come from 8 videos" in driver.find_element("id", "caution").text


def test_misses_and_false_alarms_are_marked(run_folder, page, browser):
    folder = run_folder(25)
    driver = browser(1000, 800)
    driver.get(page(folder))
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    script = """return [...document.querySelectorAll('#list > li')].map(item => [
        item.querySelector('strong').textContent, [...item.querySelectorAll('.modality')].map(part =>
          [...part.querySelectorAll('.mark')].map(mark => [
            mark.querySelector('title').textContent, mark.querySelector('text').textContent,
            mark.querySelector('line') !== null, mark.querySelector('rect').hasAttribute('stroke-dasharray')]))])"""
    names = read_split(folder / "videos.csv", weak_labels=False).filenames
    reference = read_reference(folder, names)
    predicted = read_predictions(folder / "<b>first", names, folder / "videos.csv")
    signs = {"missed": ["○", False, True], "false alarm": ["×", True, False]}
    found = dict(driver.execute_script(script))
    for n, name in enumerate(names):
        for m in (0, 1):
            expected = []
            for c, class_name in enumerate(CLASS_NAMES):
                true, said = reference[m][n, c], predicted[m][n, c]
                for kind, wrong in {"missed": true & ~said, "false alarm": said & ~true}.items():
                    seconds = [int(s) for s in np.flatnonzero(wrong)]
                    starts = [s for s in seconds if s - 1 not in seconds]
                    ends = [s + 1 for s in seconds if s + 1 not in seconds]
                    for on, off in zip(starts, ends, strict=True):
                        expected.append([f"prediction: {kind}, {class_name} {on} to {off} s", *signs[kind]])
            assert sorted(found[name][m]) == sorted(expected)
    assert sum(len(part) for parts in found.values() for part in parts) > 20
    assert [x.text for x in driver.find_elements("css selector", "#key > span")][2:] == ["○\nmissed", "×\nfalse alarm"]


def test_the_address_keeps_what_is_chosen(run_folder, page, browser):
    folder = run_folder(40)
    driver = browser(1200, 900)
    plain = page(folder, "--compare", folder / "second")
    driver.get(plain)
    assert driver.current_url == plain
    choose(driver, "sort", "difference,,5")
    choose(driver, "class", str(CLASS_NAMES.index("Speech")))
    choose(driver, "what", "missed")
    choose(driver, "class-order", "visual")
    driver.find_element("id", "direction").click()
    choose(driver, "text", "0")
    wanted, address = shown(driver), driver.current_url
    assert 1 < len(wanted) < 40
    chosen = "text=0&class=0&what=missed&sort=difference%2C%2C5&class-order=visual&order=descending"
    assert address == f"{plain}#{chosen}"
    order = "return [...document.querySelectorAll('.class > div:first-child')].map(x => x.textContent)"
    classes = driver.execute_script(order)

    other = browser(1200, 900)
    other.get(address)  # as one who was sent it
    assert shown(other) == wanted and other.execute_script(order) == classes
    assert other.find_element("id", "text").get_property("value") == "0"
    other.find_element("link text", "Videos").click()
    assert other.current_url == f"{plain}#videos-part&{chosen}" and shown(other) == wanted
    top = "return document.getElementById('videos-part').getBoundingClientRect().top"
    assert abs(other.execute_script(top)) < 5
    other.refresh()
    assert shown(other) == wanted and abs(other.execute_script(top)) < 5
    other.back()
    assert other.current_url == address and shown(other) == wanted
    other.execute_script("location.hash = '#class=999&sort=nonsense&what=right&order=x&<b>=1'")  # typed by hand
    other.execute_async_script("setTimeout(arguments[0], 100)")
    values = {name: other.find_element("id", name).get_property("value") for name in ("text", "class", "sort", "what")}
    assert values == {"text": "", "class": "", "sort": "score,0,3", "what": "right"}
    assert other.current_url == f"{plain}#what=right"
    assert driver.get_log("browser") == [] == other.get_log("browser")


def test_filters_that_no_video_fits_can_be_cleared(run_folder, page, browser):
    driver = browser(1000, 800)
    address = page(run_folder(12))
    driver.get(address)
    button, everything = driver.find_element("id", "clear"), shown(driver)
    assert not button.is_displayed()
    choose(driver, "sort", "name")
    assert not button.is_displayed()  # an order hides no video
    choose(driver, "what", "missed")
    assert choose(driver, "text", "no such video") == []
    assert driver.find_element("id", "count").text == "0 of 12 videos: none fits the filters"
    assert button.is_displayed() and button.text == "Clear the filters"
    button.click()
    assert sorted(everything) == shown(driver) and not button.is_displayed()
    assert driver.find_element("id", "count").text == "12 of 12 videos"
    assert driver.switch_to.active_element.get_attribute("id") == "text"
    assert driver.current_url == f"{address}#sort=name"


def rectangles_printed(driver) -> int:
    """Rectangles that the drawing instructions of a page's PDF have."""
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    count = 0
    for match in re.finditer(rb"stream\r?\n", pdf):
        with contextlib.suppress(zlib.error):  # not what is compressed
            count += len(re.findall(rb" re\n", zlib.decompressobj().decompress(pdf[match.end() :])))
    return count


def test_a_pdf_shows_videos_that_were_never_in_view(run_folder, page, browser):
    folder = run_folder(520)  # more than the list draws at first
    names = read_split(folder / "videos.csv", weak_labels=False).filenames
    sources = read_reference(folder, names), read_predictions(folder / "<b>first", names, "")
    events = sum(len(segments_to_events(segments, names)) for source in sources for segments in source[:2])
    driver = browser(1000, 800)
    driver.get(page(folder))
    assert len(shown(driver)) == 500
    whole = rectangles_printed(driver)
    driver.execute_script("document.querySelectorAll('#list .lines').forEach(x => x.replaceChildren())")
    assert whole - rectangles_printed(driver) >= events > 2000


def test_paper_is_white_and_complete_also_for_those_who_prefer_dark(run_folder, page, browser):
    driver = browser(1000, 800, dark=True)
    driver.get(page(run_folder(40)))
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [dark]})
    driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    assert driver.execute_script("return document.querySelectorAll('#list .modality').length") == 80
    colour = driver.execute_script("return getComputedStyle(document.body).color")
    assert sum(map(int, colour[4:-1].split(","))) < 150
    assert not driver.find_element("id", "controls").is_displayed()
