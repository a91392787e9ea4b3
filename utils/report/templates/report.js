"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const media = $("media"), board = $("board");
const MODALITIES = ["audio", "visual", "audio_visual"];
const SHORT = {audio: "heard", visual: "seen", audio_visual: "both"};
const LIKELIEST = 5;  // classes that are shown if none has an event
const CLOSEST = 2;  // seconds that are shown at the least
const n = data.edges.length - 1;
let threshold = data.threshold;
let time = 0;
let view = {start: 0, span: data.seconds};  // the seconds that are shown
let pinned = -1, hovered = -1;  // classes, -1: none
let sorting = {column: "onset", up: true};
let events = [];  // by onset, modality, class, as in events.csv

// ---- small things

function clock(seconds) {
  const tenths = Math.round(seconds * 10), whole = Math.floor(tenths / 10), rest = tenths % 10;
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map(x => String(x).padStart(2, "0"));
  return (whole >= 3600 ? Math.floor(whole / 3600) + ":" : "") + parts.join(":") + (rest ? "." + rest : "");
}
const label = c => data.classes[c].replaceAll("_", " ");
const percent = seconds => 100 * seconds / data.seconds + "%";
const inView = seconds => (seconds - view.start) / view.span;
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const lineColour = c => `color-mix(in srgb, ${data.colours[c]} 75%, var(--text))`;  // yellow alone is hard to see
const swatch = c => {
  const square = make("i", {});
  square.style.background = data.colours[c];
  return square;
};

// ---- decisions

const gateOf = kind => kind === "visual" ? data.visualGate ?? data.gate : data.gate;
const trackOf = kind => kind === "visual" ? data.seen : data.heard;
const isOn = (kind, c, t, level) => kind === "audio_visual" ? isOn("audio", c, t, level) && isOn("visual", c, t, level)
  : trackOf(kind)[t] && data[kind][c][t] >= level && gateOf(kind)[c][t] >= level;
const probability = (kind, c, t) => kind === "audio_visual" ? (data.audio[c][t] + data.visual[c][t]) / 2 : data[kind][c][t];
// the highest threshold at which a class has an event
const peaks = data.classes.map((_, c) => {
  let peak = 0;
  for (const kind of ["audio", "visual"])
    for (let t = 0; t < n; t++)
      if (trackOf(kind)[t]) peak = Math.max(peak, Math.min(data[kind][c][t], gateOf(kind)[c][t]));
  return peak / data.scale;
});
const likeliest = data.classes.map((_, c) => c).sort((a, b) => peaks[b] - peaks[a] || a - b);

function findEvents() {
  const level = threshold * data.scale - 1e-6, found = [];
  for (let c = 0; c < data.classes.length; c++) {
    if (peaks[c] < threshold - 1e-9) continue;
    for (const kind of MODALITIES)
      for (let t = 0, begin = -1, sum = 0; t <= n; t++) {
        const on = t < n && isOn(kind, c, t, level);
        if (on && begin < 0) { begin = t; sum = 0; }
        if (on) sum += probability(kind, c, t);
        if (!on && begin >= 0) {
          found.push({kind, c, onset: data.edges[begin], offset: data.edges[t], confidence: sum / (t - begin) / data.scale});
          begin = -1;
        }
      }
  }
  const rank = e => MODALITIES.indexOf(e.kind);
  return found.sort((a, b) => a.onset - b.onset || rank(a) - rank(b) || a.c - b.c);
}

// ---- time: the media, the cursor, what is shown

function seek(seconds) {
  time = Math.min(Math.max(seconds, 0), data.seconds);
  if (media.readyState > 0) media.currentTime = time;
  else media.addEventListener("loadedmetadata", () => { media.currentTime = time; }, {once: true});
  follow(time);
  reveal(time);
}
function follow(seconds) {
  time = Math.min(seconds, data.seconds);
  placeCursor();
  const at = events.filter(e => e.kind !== "audio_visual" && e.onset <= seconds && seconds < e.offset);
  const kinds = new Map();
  for (const e of at) kinds.set(e.c, [...(kinds.get(e.c) || []), SHORT[e.kind]].sort());
  const key = JSON.stringify([...kinds]);
  if (key === $("now").dataset.key) return;
  $("now").dataset.key = key;
  $("now").replaceChildren(...[...kinds].map(([c, how]) => {
    const chip = make("span", {textContent: `${label(c)} · ${how.join(", ")}`});
    chip.style.borderColor = data.colours[c];
    return chip;
  }));
  markRows();
}
function placeCursor() {
  $("cursor").style.left = 100 * inView(time) + "%";
}
function reveal(seconds) {  // while it plays, and after a jump
  if (seconds < view.start || seconds > view.start + view.span) show(seconds - view.span / 10, view.span);
}
function show(start, span) {
  span = Math.min(Math.max(span, Math.min(CLOSEST, data.seconds)), data.seconds);
  start = Math.min(Math.max(start, 0), data.seconds - span);
  const changed = start !== view.start || span !== view.span;
  view = {start, span};
  if (changed) request();
  return changed;
}
const zoom = (factor, at = view.start <= time && time <= view.start + view.span ? inView(time) : .5) =>
  show(view.start + at * view.span * (1 - factor), view.span * factor);
const pan = share => show(view.start + share * view.span, view.span);
function step(direction) {
  const onsets = [...new Set(events.map(e => e.onset))];
  const next = direction > 0 ? onsets.find(x => x > time + .01) : onsets.filter(x => x < time - .01).at(-1);
  if (next !== undefined) seek(next);
}

let requested = false;
function request() {
  if (requested) return;
  requested = true;
  requestAnimationFrame(() => { requested = false; drawView(); });
}

// ---- drawing what is shown

function drawView() {
  for (const lane of document.querySelectorAll(".lane")) {
    lane.style.left = -100 * view.start / view.span + "%";
    lane.style.width = 100 * data.seconds / view.span + "%";
  }
  $("window").style.left = percent(view.start);
  $("window").style.width = percent(view.span);
  drawAxis();
  if (data.sound) drawWave($("wave"), view.start, view.span);
  if (data.sound?.mel) drawMel();
  drawCurve();
  placeCursor();
}
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name);
function context(canvas) {  // of a canvas with a pixel of its own for each of the screen
  const ratio = devicePixelRatio, [width, height] = [canvas.clientWidth, canvas.clientHeight].map(x => Math.round(x * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const drawing = canvas.getContext("2d");
  drawing.clearRect(0, 0, width, height);
  return [drawing, width, height];
}
const bytes = text => Int8Array.from(atob(text), c => c.charCodeAt(0));
if (data.sound) {
  data.sound.low = bytes(data.sound.low);
  data.sound.high = bytes(data.sound.high);
}
function drawWave(canvas, start, span) {
  const [drawing, width, height] = context(canvas), {rate, low, high} = data.sound;
  drawing.fillStyle = colour("--wave");
  for (let x = 0; x < width; x++) {
    const first = Math.floor((start + x / width * span) * rate), end = Math.ceil((start + (x + 1) / width * span) * rate);
    let least = 127, most = -127;
    for (let i = first; i < Math.min(end, low.length); i++) {
      least = Math.min(least, low[i]);
      most = Math.max(most, high[i]);
    }
    if (most < least) continue;
    const top = height / 2 * (1 - most / 127), bottom = height / 2 * (1 - least / 127);
    drawing.fillRect(x, top, 1, Math.max(bottom - top, 1));
  }
}
function drawMel() {
  const [drawing, width, height] = context($("mel")), {rate, tiles, tileWidth} = data.sound;
  if (matchMedia("(prefers-color-scheme: light)").matches) drawing.filter = "invert(1)";
  for (const [i, tile] of tiles.entries()) {
    if (!tile.complete) continue;
    const left = (i * tileWidth / rate - view.start) / view.span * width, wide = tile.naturalWidth / rate / view.span * width;
    if (left < width && left + wide > 0) drawing.drawImage(tile, left, 0, wide, height);
  }
  drawing.filter = "none";
}
if (data.sound?.mel)
  data.sound.tiles = data.sound.mel.map(source => make("img", {onload: request, src: "data:image/png;base64," + source}));

function drawOverview() {
  if (data.sound) drawWave($("overview"), 0, data.seconds);
  const [drawing, width, height] = data.sound ? [$("overview").getContext("2d"), $("overview").width, $("overview").height]
    : context($("overview"));
  for (const e of events) {
    if (e.kind === "audio_visual") continue;
    drawing.fillStyle = data.colours[e.c];
    const left = e.onset / data.seconds * width, wide = Math.max((e.offset - e.onset) / data.seconds * width, 1);
    drawing.fillRect(left, e.kind === "audio" ? 0 : height * .82, wide, height * .18);
  }
}
function drawAxis() {
  const room = Math.max(2, Math.floor($("axis").clientWidth / 80));
  const steps = [.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400];
  const step = steps.find(s => view.span / s <= room) || 28800;
  const marks = [], end = view.start + view.span;
  for (let s = Math.ceil(view.start / step - 1e-9) * step; s <= end + 1e-6; s += step) {
    const mark = make("span", {textContent: clock(s)}), at = inView(s);
    mark.style.left = 100 * at + "%";
    mark.className = at < .02 ? "first" : at > .97 ? "last" : "";
    marks.push(mark);
  }
  $("axis").replaceChildren(...marks);
}

const height = p => 103 - 96 * p;  // of a probability in the curve, which is 110 high
function shownClass() {
  if (pinned >= 0) return pinned;
  if (hovered >= 0) return hovered;
  const rows = document.querySelector(".class");
  return rows ? Number(rows.dataset.c) : likeliest[0];
}
function curvePath(values, width) {  // steps; where several fall on three pixels, the highest of them
  const first = Math.max(segmentAt(view.start) - 1, 0), last = Math.min(segmentAt(view.start + view.span) + 1, n - 1);
  const group = Math.max(1, Math.floor(3 * (last - first + 1) / width));
  let path = "";
  for (let t = first; t <= last; t += group) {
    const end = Math.min(t + group, last + 1);
    let p = 0;
    for (let i = t; i < end; i++) p = Math.max(p, values[i]);
    const y = height(p / data.scale).toFixed(1), [a, b] = [t, end].map(i => (width * inView(data.edges[i])).toFixed(1));
    path += `${path ? "L" : "M"}${a} ${y}L${b} ${y}`;
  }
  return path;
}
function segmentAt(seconds) {
  let low = 0, high = n - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (data.edges[middle] <= seconds) low = middle; else high = middle - 1;
  }
  return low;
}
function drawCurve() {
  const svg = $("curve"), c = shownClass(), width = svg.clientWidth;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} 110`);
  const add = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    svg.append(element);
  };
  for (const p of [0, .5, 1]) add("line", {class: "grid", x1: 0, x2: width, y1: height(p), y2: height(p)});
  add("line", {x1: 0, x2: width, y1: height(threshold), y2: height(threshold)});
  const line = lineColour(c), styles = {gate: ["var(--quiet)", "1 5"], visual: [line, "8 5"], audio: [line, "none"]};
  for (const [key, [stroke, dash]] of Object.entries(styles))
    add("path", {d: curvePath(data[key][c], width), stroke, "stroke-dasharray": dash});
  svg.setAttribute("aria-label", `probability of ${label(c)} over time`);
  if (svg.dataset.c !== String(c) || svg.dataset.pinned !== String(pinned)) drawLegend(c);
  svg.dataset.c = c;
  svg.dataset.pinned = pinned;
}
function drawLegend(c) {
  const key = (text, stroke, dash) => make("span", {innerHTML:
    `<svg viewBox="0 0 26 8"><path d="M0 4H26" stroke="${stroke}" stroke-width="2" stroke-dasharray="${dash}"/></svg> `}, text);
  $("legend").replaceChildren(make("b", {textContent: label(c)}), key("heard", lineColour(c), "none"),
    key("seen", lineColour(c), "8 5"), key("anywhere in the window", "var(--quiet)", "1 5"),
    key("threshold", "var(--cursor)", "none"));
  if (pinned >= 0) $("legend").append(make("button", {type: "button", id: "unpin", textContent: "unpin", onclick: () => pin(-1)}));
  for (const row of document.querySelectorAll(".class")) {
    row.classList.toggle("shown", Number(row.dataset.c) === c);
    row.classList.toggle("pinned", Number(row.dataset.c) === pinned);
  }
}
function hover(c) {
  hovered = c;
  if (pinned < 0) drawCurve();
}
function pin(c) {
  const before = pinned;
  pinned = hovered = c;
  $("pick").value = c;
  const isShown = c => c < 0 || document.querySelector(`.class[data-c="${c}"]`) && events.some(e => e.c === c);
  if (isShown(c) && isShown(before)) drawCurve(); else redraw();
}

// ---- drawing the events, anew at each threshold

function redraw() {
  $("value").textContent = Number(threshold.toFixed(4)).toString();
  events = findEvents();
  $("count").textContent = events.length + (events.length === 1 ? " event" : " events") + " at this threshold";
  const rows = new Map();
  const row = c => rows.get(c) || rows.set(c, {audio: [], visual: [], audio_visual: []}).get(c);
  for (const e of events) row(e.c)[e.kind].push(e);
  const empty = !rows.size;
  if (empty) likeliest.slice(0, LIKELIEST).forEach(row);
  if (pinned >= 0) row(pinned);
  const sorted = [...rows].sort(([a], [b]) => empty ? peaks[b] - peaks[a] || a - b : a - b);
  $("classes").replaceChildren(...sorted.map(([c, kinds]) => drawClass(c, kinds)));
  if (empty) $("classes").prepend(make("p", {className: "none quiet", textContent:
    "No events at this threshold. The likeliest classes, and the highest threshold at which each has an event:"}));
  drawList();
  drawOverview();
  delete $("now").dataset.key;
  delete $("curve").dataset.c;
  drawView();
  follow(time);
}
function drawClass(c, kinds) {
  const title = "click to keep its curve in sight";
  const button = make("button", {type: "button", className: "name", title}, swatch(c), make("span", {textContent: label(c)}));
  if (!kinds.audio.length && !kinds.visual.length) button.append(make("small", {textContent: "peak " + peaks[c].toFixed(2)}));
  button.addEventListener("click", () => pin(pinned === c ? -1 : c));
  const names = make("div", {className: "kinds"}, ...["audio", "visual"].map(kind => make("span", {textContent: SHORT[kind]})));
  const track = (kind, draw) => make("div", {className: "track " + (SHORT[kind] === "both" ? "both" : kind)},
    make("div", {className: "lane"}, ...kinds[kind].map(draw)));
  const tracks = make("div", {}, track("audio", drawEvent), track("audio_visual", drawMark), track("visual", drawEvent));
  const row = make("div", {className: "row class"}, button, names, tracks);
  row.dataset.c = c;
  row.addEventListener("pointerenter", () => hover(c));
  row.addEventListener("focusin", () => hover(c));
  return row;
}
const said = e => `${label(e.c)}, ${SHORT[e.kind]}, ${clock(e.onset)} to ${clock(e.offset)}, ${e.confidence.toFixed(2)}`;
function place(element, e) {
  Object.assign(element.dataset, {onset: e.onset, offset: e.offset, kind: e.kind, c: e.c});
  element.style.left = percent(e.onset);
  element.style.width = percent(e.offset - e.onset);
  return element;
}
function drawEvent(e) {
  const button = place(make("button", {type: "button", className: "event", title: said(e), ariaLabel: said(e), tabIndex: -1}), e);
  const alpha = Math.round(100 * (.35 + .65 * e.confidence));
  button.style.backgroundColor = `color-mix(in srgb, ${data.colours[e.c]} ${alpha}%, transparent)`;
  return button;
}
const drawMark = e => place(make("span", {className: "mark", title: said(e)}), e);

// ---- the list

const COLUMNS = {onset: e => e.onset, offset: e => e.offset, event: e => label(e.c), modality: e => MODALITIES.indexOf(e.kind),
  confidence: e => e.confidence};
function drawList() {
  $("heads").replaceChildren(...Object.keys(COLUMNS).map(column => {
    const arrow = column === sorting.column ? (sorting.up ? " ▴" : " ▾") : "";
    const button = make("button", {type: "button", textContent: column + arrow, title: "sort by " + column});
    button.addEventListener("click", () => {
      sorting = {column, up: column === sorting.column ? !sorting.up : column !== "confidence"};
      drawList();
      $("heads").children[Object.keys(COLUMNS).indexOf(column)].firstChild.focus();
    });
    const head = make("th", {scope: "col"}, button);
    if (arrow) head.ariaSort = sorting.up ? "ascending" : "descending";
    return head;
  }));
  const value = COLUMNS[sorting.column], sign = sorting.up ? 1 : -1;
  const sorted = [...events].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return sign * (x < y ? -1 : x > y ? 1 : 0);
  });
  $("rows").replaceChildren(...sorted.map(e => {
    const cell = (...content) => make("td", {}, ...content);
    const row = make("tr", {}, cell(clock(e.onset)), cell(clock(e.offset)),
      cell(swatch(e.c), make("button", {type: "button", textContent: label(e.c)})), cell(SHORT[e.kind]), cell(e.confidence.toFixed(2)));
    Object.assign(row.dataset, {onset: e.onset, offset: e.offset, kind: e.kind, c: e.c});
    return row;
  }));
  if (!events.length) $("rows").append(make("tr", {}, make("td", {colSpan: 5, className: "quiet", textContent: "no events"})));
  markRows();
}
function markRows() {  // those of now, and the first of them in sight
  let first = null;
  for (const row of $("rows").children) {
    const isNow = row.dataset.onset <= time && time < row.dataset.offset;
    row.classList.toggle("current", isNow);
    first ??= isNow ? row : null;
  }
  if (!first || media.paused && $("list").matches(":hover")) return;
  const list = $("list"), top = first.offsetTop - 40;
  if (top < list.scrollTop || first.offsetTop + first.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top;
}

// ---- files of these events, as utils/parse/formats.py writes them

const decimal = x => Number.isInteger(x) ? x.toFixed(1) : String(x);
const quoted = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
const escaped = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const attribute = text => `"${escaped(text).replaceAll('"', "&quot;")}"`;
function stamp(seconds) {
  const all = Math.round(seconds * 1000), pad = (x, size = 2) => String(x).padStart(size, "0");
  return `${pad(Math.floor(all / 3600000))}:${pad(Math.floor(all / 60000) % 60)}:${pad(Math.floor(all / 1000) % 60)}.${pad(all % 1000, 3)}`;
}
const FILES = {
  "events.csv": () => "filename,modality,onset,offset,event_labels,confidence\n" + events.map(e => [quoted(data.filename), e.kind,
    decimal(e.onset), decimal(e.offset), quoted(data.classes[e.c]), decimal(Number(e.confidence.toFixed(4)))].join(",") + "\n").join(""),
  "events.vtt": () => {
    const times = [...new Set(events.flatMap(e => [e.onset, e.offset]))].sort((a, b) => a - b), cues = [];
    const how = {audio: "audio", visual: "visual", audio_visual: "audio and visual"};
    for (let i = 0; i + 1 < times.length; i++) {
      const shown = new Map();
      for (const e of events) if (e.onset <= times[i] && e.offset >= times[i + 1]) shown.set(e.c, how[e.kind]);
      const lines = [...shown].sort(([a], [b]) => a - b).map(([c, kind]) => `${escaped(data.classes[c])} (${kind})`);
      if (lines.length) cues.push([`${stamp(times[i])} --> ${stamp(times[i + 1])}`, ...lines, ""].join("\n"));
    }
    return ["WEBVTT", "", ...cues].join("\n");
  },
  "events.txt": () => events.map(e => `${e.onset.toFixed(6)}\t${e.offset.toFixed(6)}\t${e.kind}: ${data.classes[e.c]}\n`).join(""),
  "events.eaf": () => {
    const own = events.filter(e => e.kind !== "audio_visual"), tiers = new Map();
    const slots = own.flatMap((e, i) => [e.onset, e.offset].map((x, k) =>
      `<TIME_SLOT TIME_SLOT_ID="ts${2 * i + 1 + k}" TIME_VALUE="${Math.round(x * 1000)}"/>`));
    own.forEach((e, i) => {
      const tier = `${e.kind}: ${data.classes[e.c]}`;
      if (!tiers.has(tier)) tiers.set(tier, []);
      const place = `ANNOTATION_ID="a${i + 1}" TIME_SLOT_REF1="ts${2 * i + 1}" TIME_SLOT_REF2="ts${2 * i + 2}"`;
      tiers.get(tier).push(`<ANNOTATION><ALIGNABLE_ANNOTATION ${place}><ANNOTATION_VALUE>${escaped(data.classes[e.c])}` +
        "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>");
    });
    const blocks = [...tiers].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([tier, annotations]) =>
      [`<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID=${attribute(tier)}>`, ...annotations, "</TIER>"]);
    const [head, tail] = data.elan;
    return [head, "<TIME_ORDER>", ...slots, "</TIME_ORDER>", ...blocks, tail].join("\n");
  },
};
const PROGRAMS = {"events.csv": "CSV", "events.vtt": "VTT", "events.txt": "Audacity", "events.eaf": "ELAN"};
for (const [file, program] of Object.entries(PROGRAMS)) {
  const button = make("button", {type: "button", textContent: program, title: "save " + file});
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([FILES[file]()], {type: "text/plain"}));
    make("a", {href: address, download: file}).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  });
  $("exports").append(button);
}

// ---- what a user does

board.addEventListener("click", click => {
  const area = click.target.closest(".track, .curve, .axis, #wave, #mel");
  if (!area) return;
  const box = area.getBoundingClientRect();
  seek(view.start + view.span * (click.clientX - box.left) / box.width);
  const row = click.target.closest(".class");
  if (row) pin(Number(row.dataset.c));
});
$("rows").addEventListener("click", click => {
  const row = click.target.closest("tr[data-c]");
  if (!row) return;
  seek(Number(row.dataset.onset));
  pin(Number(row.dataset.c));
});
board.addEventListener("wheel", wheel => {
  const area = wheel.target.closest(".strip, .track, .curve, .axis, #wave, #mel");
  if (!area) return;
  const box = area.getBoundingClientRect(), at = Math.min(Math.max((wheel.clientX - box.left) / box.width, 0), 1);
  const unit = [1, 16, 400][wheel.deltaMode], isSideways = wheel.shiftKey || Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY);
  let changed = false;
  if (isSideways) changed = pan((wheel.deltaX || wheel.deltaY) * unit / box.width);
  else if (wheel.ctrlKey || wheel.metaKey || !area.matches(".track"))  // over the lanes the page scrolls
    changed = zoom(Math.exp(wheel.deltaY * unit / (wheel.ctrlKey ? 200 : 500)), area.matches(".strip") ? .5 : at);
  if (changed || wheel.ctrlKey) wheel.preventDefault();
}, {passive: false});
$("strip").addEventListener("pointerdown", down => {
  const strip = $("strip"), box = strip.getBoundingClientRect();
  const second = event => Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * data.seconds;
  const begin = second(down), before = view, isMove = down.target === $("window") && view.span < data.seconds;
  let moved = false;
  strip.setPointerCapture(down.pointerId);
  strip.onpointermove = move => {
    moved ||= Math.abs(move.clientX - down.clientX) > 3;
    if (!moved) return;
    const now = second(move);
    if (isMove) show(before.start + now - begin, before.span);
    else show(Math.min(begin, now), Math.abs(now - begin));
  };
  strip.onpointerup = strip.onpointercancel = () => {
    strip.onpointermove = strip.onpointerup = strip.onpointercancel = null;
    if (!moved) show(begin - view.span / 2, view.span);
  };
});
document.addEventListener("keydown", key => {
  if (key.ctrlKey || key.altKey || key.metaKey || key.target.closest("select")) return;
  const inSlider = key.target === $("threshold");
  const moves = {ArrowLeft: time - 1, ArrowRight: time + 1, Home: 0, End: data.seconds};
  const others = {"+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), "0": () => show(0, data.seconds),
    n: () => step(1), p: () => step(-1)};
  if (key.key === " ") {
    if (key.target.closest("button:not(.event):not(.list td button)")) return;
    if (media.paused) media.play().catch(() => {}); else media.pause();
  } else if (key.shiftKey && key.key.startsWith("Arrow") && !inSlider && key.key in moves) pan(key.key === "ArrowLeft" ? -.5 : .5);
  else if (key.key in moves && !inSlider) seek(moves[key.key]);
  else if (key.key in others) others[key.key]();
  else return;
  key.preventDefault();
}, true);
document.addEventListener("keyup", key => {  // a button would take the space for a click
  if (key.key === " " && key.target.closest(".event, .list td button")) key.preventDefault();
}, true);
media.addEventListener("timeupdate", () => follow(media.currentTime));
media.addEventListener("seeking", () => follow(media.currentTime));
media.addEventListener("error", () => { $("broken").hidden = false; });
(function frame() {
  if (!media.paused) {
    follow(media.currentTime);
    reveal(media.currentTime);
  }
  requestAnimationFrame(frame);
})();
const narrow = matchMedia("(max-width: 1150px)");
const placeList = () => narrow.matches ? board.after($("list")) : $("top").append($("list"));
narrow.addEventListener("change", placeList);
const whole = () => { drawOverview(); drawView(); };
addEventListener("resize", whole);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", whole);
$("threshold").addEventListener("input", () => { threshold = Number($("threshold").value); redraw(); });
$("pick").addEventListener("change", () => pin(Number($("pick").value)));
for (const [id, act] of Object.entries({previous: () => step(-1), next: () => step(1), in: () => zoom(.5), out: () => zoom(2),
  whole: () => show(0, data.seconds)})) $(id).addEventListener("click", act);

$("pick").append(make("option", {value: -1, textContent: "a class"}),
  ...likeliest.map(c => make("option", {value: c, textContent: `${label(c)} (peak ${peaks[c].toFixed(2)})`})));
for (const p of [0, .5, 1]) {
  const mark = make("span", {textContent: p});
  mark.style.top = 100 * height(p) / 110 + "%";
  $("scale").append(mark);
}
document.querySelector(".wave-row").hidden = !data.sound;
document.querySelector(".mel-row").hidden = !data.sound?.mel;
$("threshold").value = threshold;
placeList();
redraw();
