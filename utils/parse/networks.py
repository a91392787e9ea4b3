"""The parser's network from a checkpoint, and the kinds of features that its sizes ask for."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import nets
from nets.han import NORM_PLACES
from utils.base.errors import InputError
from utils.features.kinds import CLAP_EMBEDDING, STREAMS, FeatureKind, kinds_of
from utils.llp.classes import T
from utils.llp.datasets import DataSet
from utils.train import checkpoint
from utils.train.networks import network_defaults
from utils.train.run_folder import ARGUMENTS, class_file, read_arguments, run_dataset

# stream -> its size among the network's
SIZES = {"audio": "input_a_dim", "visual": "input_v_dim", "visual_st": "input_st_dim"}


def load_network(
    path: Path, dataset: str | Path | None, classes: Path | None, nhead: int | None, norm_where: str | None
) -> tuple[nets.Parser, DataSet, dict[str, FeatureKind], dict]:
    """The network of a checkpoint in evaluation mode, its data set, the kinds of its features by stream, and what the
    outputs say of it: the file's SHA-256, and its settings, named like main.py's flags.

    Sizes come from the weights; data set, heads and norm placement from the files beside the checkpoint, else from what
    is given, else LLP and the published settings. Raises InputError if the checkpoint cannot be used, or what is
    given is not what it was trained with.
    """
    checkpoint.require(path)
    data = path.read_bytes()
    weights = checkpoint.load(path, data)
    try:
        sizes = checkpoint.describe_weights(weights if checkpoint.is_state_dict(weights) else {})
    except (KeyError, IndexError):
        raise InputError(f"{path}: {checkpoint.NO_WEIGHTS}") from None
    recorded = read_arguments(path.parent)
    found = run_dataset(path.parent, dataset, classes)
    kinds = {stream: _kind(path, stream, sizes, found) for stream in STREAMS}
    settings = sizes | {"num_classes": len(found.classes), **_recorded(path.parent, recorded, sizes)}
    given = {name: value for name, value in (("nhead", nhead), ("norm_where", norm_where)) if value}
    if "norm_where" in given and "norm_where" not in settings:
        raise InputError(f"{path}: holds weights of {sizes['model']}, for which --norm_where has no meaning")
    settings |= given
    try:
        net = nets.build(**settings)
    except ValueError as error:
        raise InputError(f"{path}: {error}; give --nhead") from error
    sources = {"num_classes": f"that of {class_file(path.parent, classes)} (--classes)"}
    checkpoint.load_weights(path, net, settings, sources, recorded, weights)
    model = {"sha256": hashlib.sha256(data).hexdigest(), **settings}
    return net.eval(), found, kinds, model


def _recorded(folder: Path, recorded: Mapping[str, str], sizes: Mapping[str, int | str]) -> dict[str, int | str]:
    """What a run's arguments say that its weights do not: heads, norm placement, exchanged streams. Else as published.

    Of these the network takes some, which are returned.
    """
    own = network_defaults(sizes["model"])
    heads = recorded.get("nhead", str(own["nhead"]))
    place = recorded.get("norm_where", NORM_PLACES[0]) if "norm_where" in own else NORM_PLACES[0]
    if not (heads.isdecimal() and 0 < int(heads[:10]) <= sizes["hidden_dim"]) or place not in NORM_PLACES:
        found = f"nhead is {heads!r:.50}, norm_where {place!r:.50}"
        expected = f"expected 1 to {sizes['hidden_dim']}, and {' or '.join(NORM_PLACES)}"
        raise InputError(f"{folder / ARGUMENTS}: {found}; {expected}")
    exchanged = recorded.get("published_slots") == "True"
    said = {"nhead": int(heads[:10]), "norm_where": place, "published_slots": exchanged}
    return {name: value for name, value in said.items() if name in own}


def _kind(path: Path, stream: str, sizes: Mapping[str, int | str], dataset: DataSet) -> FeatureKind:
    """The kind of feature that a stream of the network takes: the first of its size.

    CLAP's map is for networks of ten seconds; others take its embeddings of seconds.
    """
    kinds = kinds_of(stream)
    if dataset.seconds != T:
        kinds = [
            kind if kind.rows % T == 0 else kind._replace(rows=T, size=CLAP_EMBEDDING, pool=None) for kind in kinds
        ]
    size = sizes[SIZES[stream]]
    for kind in kinds:
        if kind.size == size:
            return kind
    expected = " or ".join(f"{kind.size} ({kind.name})" for kind in kinds)
    raise InputError(f"{path}: has {SIZES[stream]} {size}, expected {expected}: no feature tool makes such")
