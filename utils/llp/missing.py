"""What brings LLP's files and folders, as messages about missing ones say it."""

from pathlib import Path

FEATURES = "python utils/download_features.py --parts"
# the end of a path -> the command
COMMANDS = {
    "feats/vggish": f"{FEATURES} vggish",
    "feats/res152": f"{FEATURES} res152",
    "feats/r2plus1d_18": f"{FEATURES} r2plus1d_18",
    "CLIP/features": f"{FEATURES} CLIP",
    "CLIP/segment_pseudo_labels": f"{FEATURES} CLIP",
    "CLAP/features": f"{FEATURES} CLAP",
    "CLAP/segment_pseudo_labels": f"{FEATURES} CLAP",
    "raw_videos": "python utils/download_dataset.py",
}
CONVERTED = ("ave", "lfav", "unav")  # data sets that utils/convert_dataset.py writes to a folder of this name


def how_to_get(path: Path | str) -> str:
    """`; LLP's: COMMAND` for a path that is called like one of LLP's, or of a converted data set, else ''."""
    path = Path(path)
    if path.name.startswith("AVVP_") and path.suffix == ".csv":
        return f"; LLP's: {FEATURES} csv"
    if path.suffix == ".csv" and path.parent.name in CONVERTED:
        return f"; python utils/convert_dataset.py {path.parent.name} --source DIR makes it"
    found = [command for end, command in COMMANDS.items() if path.parts[-end.count("/") - 1 :] == tuple(end.split("/"))]
    return f"; LLP's: {found[0]}" if found else ""
