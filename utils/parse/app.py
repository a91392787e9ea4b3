"""The page of utils/app.py: videos are dropped into it, parsed one after another, and shown as report.html shows them.

Gradio serves it; this is the only module that imports it.
"""

import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from utils.base.errors import InputError, is_out_of_memory, one_line
from utils.parse.events import likeliest
from utils.parse.outputs import write_outputs
from utils.parse.parser import VideoParser
from utils.parse.results import Results

TITLE = "Events of videos"
INTRODUCTION = f"""# {TITLE}

Drop videos or sound files below: each is parsed, one after another, into what is heard and what is seen, and when."""
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")  # none is fetched
PAGES = {"body_background_fill": "#fbfbfa", "body_background_fill_dark": "#17181a"}  # as report.html's
STYLE = """
.gradio-container { width: 100%; max-width: 1900px !important; margin: 0 auto !important; }
#working { min-height: 64px; }
#messages ul { margin: 0; padding-left: 1.2em; max-height: 20vh; overflow-y: auto; }
#messages li { overflow-wrap: anywhere; }
#messages .failed { font-weight: 600; }
#results { max-height: 30vh; overflow-y: auto; }
#report p { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 0 0 8px; }
#report a { text-decoration: underline; overflow-wrap: anywhere; }
#report iframe { display: block; width: 100%; height: 94vh; min-height: 560px; border: 1px solid #8888;
  border-radius: 6px; }
@media (max-width: 700px) {
  #working .progress-text { top: 40px; }  /* else the bar covers it */
  #report iframe { width: calc(100vw - 8px); margin-left: calc(50% - 50vw + 4px); }
}
"""


class Stopped(Exception):
    """The app ends while a video is parsed."""


class App:
    """The page, and what it does.

    Args:
        video_parser: loaded once, for all videos.
        results: where they are written to and shown from.
        hop, threshold, spectrogram: as of utils/parse_video.py.
    """

    def __init__(self, video_parser: VideoParser, results: Results, hop: int, threshold: float, spectrogram: bool):
        self.video_parser, self.results = video_parser, results
        self.hop, self.threshold, self.spectrogram = hop, threshold, spectrogram
        self.stopping, self.busy = threading.Event(), threading.Lock()

    def parse(self, upload: Path, place: str, progress: gr.Progress) -> tuple[str, str]:
        """Parse an uploaded file; the name of its result, empty if there is none, and a line of HTML about it.

        place: of the file among those that were dropped, in words.
        """
        title = upload.name + place

        def windows(starts: Sequence[int], name: str) -> Iterable[int]:
            for i, start in enumerate(starts):
                if self.stopping.is_set():
                    raise Stopped
                progress((i, len(starts)), desc=title, unit="windows")
                yield start
            progress((len(starts), len(starts)), desc=f"{title}, writing its files", unit="windows")

        path = upload
        try:
            progress(0, desc=f"{title}, reading the file")
            with self.results.new(upload) as path:
                video = self.video_parser.parse(path, self.hop, progress=windows, spectrogram=self.spectrogram)
                folder = path.parents[1]
                events = write_outputs(folder, video, self.threshold, self.video_parser.model, embed=False)
        except Exception as error:  # noqa: BLE001  it costs this video only
            return "", f'<li class="failed">failed: {escape(reason(error, path))}</li>'
        if len(events):
            found = f"{len(events)} event{'s' if len(events) > 1 else ''}"
        else:
            classes = ", ".join(f"{name} {peak:.2f}" for name, peak in likeliest(video))
            found = f"none reaches the threshold {self.threshold}; the likeliest: {classes}"
        said = "; ".join([found, *(f"note: {note}" for note in video.notes)])
        return folder.name, f"<li>{escape(folder.name)}: {escape(said)}</li>"

    def parse_all(self, uploads: Sequence[str], lines: Sequence[str], progress: gr.Progress) -> Iterator[tuple]:
        """Parse what was dropped, in order. Yields after each the lines about all, as a list and as HTML, and the
        update of the list of results: it shows the first of those that were dropped, the others join the list."""
        first = ""
        for i, upload in enumerate(uploads):
            place = f" ({i + 1} of {len(uploads)})" if len(uploads) > 1 else ""
            with self.busy:  # until all that belongs to the video is freed
                if self.stopping.is_set():
                    return
                name, line = self.parse(Path(upload), place, progress)
            lines = [line, *lines]
            chosen = {} if first or not name else {"value": name}
            first = first or name
            yield lines, f'<ul role="status">{"".join(lines)}</ul>', self.listed(**chosen)

    def listed(self, **chosen: str) -> dict:
        """The list of results, as an update; value: the name of the one to show."""
        names = self.results.names()
        return gr.update(choices=names, visible=bool(names), **chosen)

    def show(self, name: str | None) -> str:
        """A result, as HTML: links to its files, and its page."""
        files = self.results.files(name or "")
        if not files:
            return ""
        page, *others = [(path.name, escape(f"gradio_api/file={quote(str(path))}")) for path in files]
        links = "".join(f'<a href="{address}" download>{escape(file)}</a>' for file, address in [page, *others])
        title = escape(f"Report of {name}")
        own = f'<a href="{page[1]}" target="_blank"><b>{escape(name)} in a tab of its own</b></a>'
        return (
            f'<p>{own}<span>Files:</span>{links}</p><iframe title="{title}" src="{page[1]}" allowfullscreen></iframe>'
        )

    def build(self) -> gr.Blocks:
        """The page."""

        def parse_all(uploads: list[str] | None, lines: list[str], progress=gr.Progress()):  # noqa: B008
            yield from self.parse_all(uploads or [], lines, progress)

        def look():
            names = self.results.names()
            return self.listed(value=names[0] if names else None)

        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
            gr.Markdown(INTRODUCTION)
            files = gr.File(label="Videos", file_count="multiple", height=170, elem_id="drop")
            taken = gr.File(file_count="multiple", visible=False)
            working = gr.HTML(elem_id="working")
            messages, lines = gr.HTML(elem_id="messages"), gr.State([])
            results = gr.Radio([], label="Results, newest first", visible=False, elem_id="results")
            report = gr.HTML(elem_id="report")
            # taken at once, so that the next ones can be dropped; by a component, since the browser sends its value
            # with each batch, while a gr.State would hold the latest batch when an earlier one's turn comes
            several = {"trigger_mode": "multiple"}
            batch = files.upload(lambda uploads: (uploads, None), files, [taken, files], queue=False, **several)
            shown = [lines, messages, results]
            batch.then(parse_all, [taken, lines], shown, show_progress_on=working, concurrency_limit=1, **several)
            results.change(self.show, results, report, show_progress="hidden")
            page.load(look, None, results, show_progress="hidden")
        return page

    def serve(self, host: str, port: int) -> None:
        """Show the page until KeyboardInterrupt or the like. Raises InputError if the port was taken meanwhile."""
        page = self.build()
        theme = gr.themes.Default(font=FONTS, font_mono=("monospace",)).set(**PAGES)
        looks = {"theme": theme, "css": STYLE, "footer_links": [], "run_history": False}
        nothing_else = {
            "share": False,
            "ssr_mode": False,
            "mcp_server": False,
            "enable_monitoring": False,
            "pwa": False,
        }
        where = {"server_name": host, "server_port": port, "allowed_paths": [str(self.results.folder)]}
        try:
            page.launch(quiet=True, prevent_thread_lock=True, inbrowser=False, **where, **looks, **nothing_else)
        except OSError as error:
            raise InputError(f"--port {port}: {error}") from error
        print(f"{page.local_url} is the page; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would leave half of a result
            self.stopping.set()
            if self.busy.locked():
                print("ending after the window that is being parsed", file=sys.stderr, flush=True)
            with self.busy:
                pass


def reason(error: Exception, path: Path) -> str:
    """What is said of a video that could not be parsed, in a line; a mistake of ours is on the terminal, too."""
    if isinstance(error, Stopped):
        return f"{path.name}: the app was ended"
    if isinstance(error, (InputError, OSError)):
        return one_line(error, path).replace(str(path), path.name)
    if is_out_of_memory(error):
        return f"{path.name}: too little memory"
    traceback.print_exception(error, file=sys.stderr)
    return f"{path.name}: {type(error).__name__}: {error}; the terminal says more"
