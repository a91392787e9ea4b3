"""What pages share: their templates, JSON in a script, colours of classes."""

import base64
import colorsys
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LARGE = 1_000_000  # characters of a page's data


def fill(template: Path, values: Mapping[str, str]) -> str:
    """A template with each `@@NAME@@` replaced by the value of that name; a value may contain `@@`."""
    parts = template.read_text(encoding="utf-8").split("@@")  # text, name, text, name, ..., text
    parts[1::2] = [values[name] for name in parts[1::2]]
    return "".join(parts)


def script_json(value: object) -> str:
    """JSON that can stand in a <script> element: no text in it can end the element or begin another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII, so no U+2028 either
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def script_object(value: Mapping[str, object], name: str, items: Iterable[Sequence]) -> str:
    """`script_json` of `value` with one more list under `name`, joined from pieces of it, `items`.

    Beyond LARGE characters it is compressed with gzip, as base64 in a JSON text; templates/results.html reads both.
    """
    start, end = f"{script_json(value)[:-1]},{script_json(name)}:[", "]}"
    pieces = (script_json(part)[1:-1] for part in items if len(part))
    text = start + ",".join(pieces) + end
    if len(text) <= LARGE:
        return text
    return f'"{base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()}"'


# Okabe and Ito's eight (https://jfly.uni-koeln.de/color/) without black, which is the text's
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def class_colours(count: int) -> list[str]:
    """`#RRGGBB` of each of `count` classes; the seven colours repeat, so a class is also named wherever it is drawn."""
    return [OKABE_ITO[i % len(OKABE_ITO)] for i in range(count)]


def distinct_colours(count: int) -> list[str]:
    """`#RRGGBB` of `count` classes that may all be in sight: all differ; the first seven are Okabe and Ito's."""
    colours = list(OKABE_ITO[:count])
    turn = (3 - 5**0.5) / 2  # the golden angle: the hues of any number of colours are far from each other
    while len(colours) < count:
        i = len(colours)
        lightness, saturation = (0.42, 0.68, 0.55)[i % 3], (0.75, 0.45)[i % 2]
        channels = colorsys.hls_to_rgb(i * turn % 1, lightness, saturation)
        colour = "#" + "".join(f"{round(255 * channel):02X}" for channel in channels)
        colours.append(colour)
    return colours
