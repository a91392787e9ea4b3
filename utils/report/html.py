"""What pages share: JSON in a script, colours of classes."""

import json


def script_json(value) -> str:
    """JSON that can stand in a <script> element: no text in it can end the element or begin another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII, so no U+2028 either
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


# Okabe and Ito's eight (https://jfly.uni-koeln.de/color/) without black, which is the text's
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def class_colours(count: int) -> list[str]:
    """`#RRGGBB` of each of `count` classes; the seven colours repeat, so a class is also named wherever it is drawn."""
    return [OKABE_ITO[i % len(OKABE_ITO)] for i in range(count)]
