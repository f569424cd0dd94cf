// The control page: what the performer wants goes out by HTTP, what the show really does comes in by server-sent events.
//
// A control shows the wish, and beside it what the newest frame was danced with: until the beat or bar comes they differ.

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const SWITCHES = { blackout: "b", hold: "h", mirror: "m" };
const SEND_EVERY = 100; // ms: a slider under a finger moves far more often
const TRUST = 700; // ms after a touch in which the show does not move a control from under the finger
const SILENCE = 4000; // ms without an event after which the connection counts as lost
const RETRY = { first: 500, most: 8000 }; // ms

let state = null;
let heard = 0; // when the last event came
let source = null;
let retry = RETRY.first;
const touched = {}; // when each control was last used

// ---- out

async function send(path, options) {
  try {
    const answer = await fetch(path, options);
    if (answer.ok) {
      say("");
      return await answer.json();
    }
    const text = await answer.text();
    let why = text;
    try {
      why = JSON.parse(text).error || text;
    } catch {
      // plain words
    }
    say(`${why.slice(0, 200)} (${answer.status})`);
  } catch {
    say("The show cannot be reached; nothing was changed.");
  }
  return null;
}

const as = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
const moment = () => document.querySelector("input[name=apply]:checked").value;

let wishes = {};
let timer = 0;
let sending = false;
// A change goes out at once; what follows within SEND_EVERY goes with the next.
function wish(name, value) {
  touched[name] = performance.now();
  wishes[name] = value;
  if (!timer && !sending) flush();
}

async function flush() {
  timer = 0;
  if (sending || !Object.keys(wishes).length) return;
  const change = { ...wishes, apply: moment() };
  wishes = {};
  sending = true;
  const params = await send("api/params", as("PATCH", change));
  sending = false;
  if (params && state) show({ ...state, params });
  if (!params) for (const name of Object.keys(change)) touched[name] = 0; // back to what is
  timer = setTimeout(flush, SEND_EVERY);
}

async function recall(name) {
  const params = await send(`api/presets/${encodeURIComponent(name)}`, as("POST", {}));
  if (!params) return;
  for (const key of Object.keys(touched)) touched[key] = 0;
  if (state) show({ ...state, params });
}

let quiet = 0;
function say(text) {
  clearTimeout(quiet);
  $("said").hidden = !text;
  if ($("said").textContent !== text) $("said").textContent = text;
  if (text) quiet = setTimeout(say, 8000, "");
}

// ---- in

function connect() {
  source?.close();
  source = new EventSource("api/events");
  heard = performance.now();
  source.addEventListener("state", (event) => {
    arrived();
    show(JSON.parse(event.data));
  });
  source.addEventListener("presets", (event) => {
    arrived();
    showPresets(JSON.parse(event.data));
  });
  source.addEventListener("midi", (event) => {
    arrived();
    showMidi(JSON.parse(event.data));
  });
  source.addEventListener("error", () => lost());
}

function arrived() {
  heard = performance.now();
  retry = RETRY.first;
  document.body.classList.remove("away");
  if ($("connection").textContent) $("connection").textContent = "";
}

let waiting = 0;
function lost(said) {
  source?.close();
  source = null;
  if (waiting) return;
  document.body.classList.add("away");
  const why = navigator.onLine === false ? "This device is offline." : "The show cannot be reached.";
  $("connection").textContent = said ?? `${why} Trying again …`;
  waiting = setTimeout(again, retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 2, RETRY.most);
}

async function again() {
  let said;
  try {
    // A show that was started anew has another cookie: the address that opened this page, with its token, gets it.
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    waiting = 0;
    if (answer.ok) return connect();
    if (answer.status === 401) said = "A token is needed: open this page with ?token=…";
  } catch {
    waiting = 0;
  }
  lost(said);
}

// ---- what is

const later = (ms) => `${ms > 0 ? "+" : ""}${ms} ms`;
const SAYS = {
  energy: (value) => (value === null ? "by the music" : `${Math.round(100 * value)} %`),
  temperature: (value) => value.toFixed(2),
  style: (value) => value ?? "by the music",
  seed: String,
  trim_ms: later,
  renderer: (value) => (value === "diffusion" ? "person" : value),
  reference: (value) => value ?? "as configured",
  clock: (value) => (value === "auto" ? "automatic" : value),
  tempo: (value) => `${value} BPM`,
  tempo_scale: (value) => (value === 1 ? "as heard" : value > 1 ? `×${value}` : `÷${1 / value}`),
  tempo_from: (value) => (value === null ? "as heard" : `${value} to ${2 * value} BPM`),
  nudge_ms: later,
};
const SCALES = [0.25, 0.5, 1, 2, 4];
const NUDGE = 10; // ms
const WHEN = { frame: "in a moment", beat: "on the beat", bar: "on the bar" };

const ours = (name) => performance.now() - (touched[name] || -Infinity) < TRUST || name in wishes;
const set = (element, value) => {
  if (element.textContent !== value) element.textContent = value;
};
const attribute = (element, name, value) => {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
};

function show(fresh) {
  state = fresh;
  const { params, active, pending } = state;
  for (const name of Object.keys(SWITCHES)) {
    const button = $(name);
    attribute(button, "aria-pressed", ours(name) ? (wishes[name] ?? params[name]) : params[name]);
    button.classList.toggle("waiting", name in pending);
    attribute(button, "aria-description", name in pending ? `waits, ${WHEN[pending[name]]}` : active[name] ? "on" : "off");
  }
  for (const [name, says] of Object.entries(SAYS)) {
    const waits = name in pending;
    $(`${name}-now`).parentElement.classList.toggle("waits", waits);
    const now = says(active[name]);
    set($(`${name}-now`), waits ? `${now} → ${says(params[name])} ${WHEN[pending[name]]}` : now);
  }
  options($("style"), ["", ...(state.studio?.styles || [])], (name) => name || "By the music");
  if (!ours("energy")) $("energy").value = params.energy ?? 0.5;
  if (!ours("temperature")) $("temperature").value = params.temperature;
  if (!ours("style") && document.activeElement !== $("style")) $("style").value = params.style ?? "";
  if (!ours("seed") && document.activeElement !== $("seed")) $("seed").value = params.seed;
  $("trim").hidden = state.presentation !== "anticipate";
  if (!ours("trim_ms")) $("trim_ms").value = params.trim_ms;
  attribute($("flash"), "aria-pressed", ours("flash") ? (wishes.flash ?? params.flash) : params.flash);
  attribute($("trim_ms"), "aria-valuetext", SAYS.trim_ms(params.trim_ms));
  if (!ours("renderer")) $("renderer").value = params.renderer;
  if (!ours("clock")) $("clock").value = params.clock;
  if (!ours("tempo") && document.activeElement !== $("tempo-set")) $("tempo-set").value = params.tempo;
  if (!ours("tempo_from")) $("tempo_from").value = params.tempo_from ?? "";
  attribute($("energy-auto"), "aria-pressed", params.energy === null);
  attribute($("energy"), "aria-valuetext", SAYS.energy(params.energy));
  attribute($("temperature"), "aria-valuetext", SAYS.temperature(params.temperature));
  showUnavailable(state.unavailable || {});
  showStatus();
  showRecalled();
}

function options(select, values, text) {
  if (values.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(text(value), value)));
  select.value = values.includes(before) ? before : values[0];
}

function showUnavailable({ renderer = {}, reference = null, clock = {} }) {
  for (const option of $("clock").options) option.disabled = option.value in clock;
  const clocks = state.clock || {};
  const there = Object.entries(clocks.sources || {}).map(([name, how]) => `${name}: ${how}`);
  set($("clock-why"), [clocks.source && `now ${clocks.source}`, ...there, ...Object.values(clock)].filter(Boolean).join("; "));
  $("clock-why").hidden = !$("clock-why").textContent;
  for (const option of $("renderer").options) option.disabled = option.value in renderer;
  const why = Object.values(renderer).join("; ");
  $("renderer").disabled = [...$("renderer").options].filter((option) => !option.disabled).length < 2;
  const person = state.person || {};
  const painter = state.active?.renderer === "diffusion" && person.status !== "painting" ? `painter ${person.status}` : "";
  for (const [id, text] of [["renderer-why", why || painter], ["reference-why", reference || person.trouble || ""]]) {
    set($(id), text);
    $(id).hidden = !text;
  }
  $("reference").disabled = Boolean(reference);
}

function showStatus() {
  const tempo = state.tempo > 0 ? state.tempo.toFixed(1) : "–";
  set($("tempo").firstElementChild, tempo);
  const studio = state.studio?.status || "unknown";
  set($("studio"), `${state.source?.status === "playing" ? "" : `${state.source?.status || ""}, `}${studio}`);
  $("studio").classList.toggle("bad", studio !== "live");
  const level = Math.max(-60, Math.min(0, state.level ?? -60));
  $("level").firstElementChild.style.clipPath = `inset(0 ${(-100 * level) / 60}% 0 0)`;
  attribute($("level"), "aria-valuenow", Math.round(level));
  attribute($("level"), "aria-valuetext", level <= -60 ? "silent" : `${Math.round(level)} decibels`);
}

const tap = () => send("api/params", as("PATCH", { tap: true }));

function light() {
  const known = state && state.tempo > 0 && source;
  const bar = state?.beats_per_bar || 4;
  const dots = $("pulse").children;
  if (dots.length !== bar) $("pulse").replaceChildren(...Array.from({ length: bar }, () => document.createElement("i")));
  const beats = known ? state.beat_phase + ((performance.now() - heard) / 60000) * state.tempo : 0;
  const now = known ? (((state.beat_in_bar + Math.floor(beats)) % bar) + bar) % bar : -1;
  [...dots].forEach((dot, k) => dot.classList.toggle("on", k === now && ((beats % 1) + 1) % 1 < 0.5));
  requestAnimationFrame(light);
}

// ---- presets

let presets = [];
function showPresets({ presets: fresh, savable }) {
  presets = fresh;
  $("presets").replaceChildren(...presets.map(({ name, key }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.dataset.name = name;
    if (key) {
      const small = document.createElement("small");
      small.textContent = key;
      small.setAttribute("aria-hidden", "true");
      button.append(small);
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.addEventListener("click", () => recall(name));
    return button;
  }));
  $("no-presets").hidden = presets.length > 0;
  $("save").hidden = !savable;
  showRecalled();
}

// A preset is on when everything in it is so now.
function showRecalled() {
  if (!state) return;
  for (const button of $("presets").children) {
    const wanted = Object.entries(presets.find(({ name }) => name === button.dataset.name)?.params || {}).filter(([key]) => key !== "apply");
    const so = (values) => wanted.length > 0 && wanted.every(([key, value]) => values[key] === value);
    attribute(button, "aria-pressed", so(state.active));
    button.classList.toggle("waiting", so(state.params) && !so(state.active));
  }
}

// ---- MIDI

let midi = null;
function showMidi(fresh) {
  midi = fresh;
  $("midi").hidden = midi.status === "off";
  set($("midi-status"), midi.status + (midi.kept ? "" : ". What is learnt is forgotten when the show ends: midi.file would keep it."));
  options($("midi-target"), midi.targets, (target) => target);
  attribute($("midi-learn"), "aria-pressed", Boolean(midi.learning));
  set($("midi-learn"), midi.learning ? `Move a knob or press a pad for ${midi.learning} …` : "Learn, then move a knob");
  $("midi-map").replaceChildren(...Object.entries(midi.map).map(([control, target]) => {
    const item = document.createElement("li");
    const forget = document.createElement("button");
    item.textContent = `${control}: ${target}`;
    [forget.type, forget.textContent] = ["button", "Forget"];
    forget.setAttribute("aria-label", `Forget ${control}`);
    forget.addEventListener("click", () => send(`api/midi/map/${encodeURIComponent(control)}`, { method: "DELETE" }));
    item.append(forget);
    return item;
  }));
}

// ---- start

for (const [name, key] of Object.entries(SWITCHES)) {
  const button = $(name);
  button.setAttribute("aria-keyshortcuts", key);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    wish(name, on);
  });
}
for (const name of ["energy", "temperature", "trim_ms"]) $(name).addEventListener("input", (event) => wish(name, event.target.valueAsNumber));
$("energy-auto").addEventListener("click", () => wish("energy", state?.params.energy === null ? $("energy").valueAsNumber : null));
$("flash").addEventListener("click", () => wish("flash", !state?.params.flash));
$("style").addEventListener("change", (event) => wish("style", event.target.value || null));
$("renderer").addEventListener("change", (event) => wish("renderer", event.target.value));
$("clock").addEventListener("change", (event) => wish("clock", event.target.value));
$("tempo_from").addEventListener("change", (event) => wish("tempo_from", event.target.value ? Number(event.target.value) : null));
$("tempo-set").addEventListener("change", (event) => event.target.checkValidity() && event.target.value && wish("tempo", event.target.valueAsNumber));
// On the way down: a tap is when the finger lands, not when it leaves.
$("tap").addEventListener("pointerdown", () => tap());
$("tap").addEventListener("click", (event) => event.detail === 0 && tap()); // by the keyboard
const wished = (name) => wishes[name] ?? state?.params[name];
const scale = (steps) => state && wish("tempo_scale", SCALES[Math.max(0, Math.min(SCALES.length - 1, SCALES.indexOf(wished("tempo_scale")) + steps))]);
const nudge = (ms) => state && wish("nudge_ms", Math.max(-1000, Math.min(1000, wished("nudge_ms") + ms)));
$("double").addEventListener("click", () => scale(1));
$("halve").addEventListener("click", () => scale(-1));
$("earlier").addEventListener("click", () => nudge(-NUDGE));
$("later").addEventListener("click", () => nudge(NUDGE));
$("seed").addEventListener("change", (event) => event.target.checkValidity() && event.target.value && wish("seed", event.target.valueAsNumber));
$("seed-new").addEventListener("click", () => {
  $("seed").value = Math.floor(Math.random() * 1e6);
  wish("seed", $("seed").valueAsNumber);
});
$("reference").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  const kept = await send("api/reference", { method: "POST", headers: { "Content-Type": file.type }, body: file });
  if (kept) wish("reference", kept.reference);
});
$("save").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("save-name").value.trim();
  if (name && (await send(`api/presets/${encodeURIComponent(name)}`, { method: "PUT" }))) $("save-name").value = "";
});
$("watch").addEventListener("click", () => {
  const open = $("picture").hidden;
  const frame = document.createElement("iframe");
  [frame.src, frame.title, frame.tabIndex] = [`./?plain${query.has("token") ? `&token=${encodeURIComponent(query.get("token"))}` : ""}`, "The dancer", -1];
  $("picture").replaceChildren(...(open ? [frame] : []));
  $("picture").hidden = !open;
  $("watch").setAttribute("aria-expanded", String(open));
  $("watch").textContent = open ? "Hide the dancer" : "Show the dancer";
});
$("midi-learn").addEventListener("click", () => {
  if (midi?.learning) send("api/midi/learn", { method: "DELETE" });
  else send("api/midi/learn", as("POST", { target: $("midi-target").value }));
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches("select, input:not([type=range], [type=radio])")) return;
  const name = Object.keys(SWITCHES).find((other) => SWITCHES[other] === event.key.toLowerCase());
  if (name) $(name).click();
  if (event.key.toLowerCase() === "t") tap();
  if (/^[1-9]$/.test(event.key) && presets[event.key - 1]) recall(presets[event.key - 1].name);
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && !source && !waiting && connect());
addEventListener("online", () => !source && !waiting && connect());
setInterval(() => source && performance.now() - heard > SILENCE && lost(), 1000);

let lock = null;
async function keepAwake() {
  if (!("wakeLock" in navigator) || lock || document.visibilityState !== "visible") return;
  try {
    lock = await navigator.wakeLock.request("screen");
    lock.addEventListener("release", () => (lock = null));
  } catch {
    lock = null; // a battery saver may refuse
  }
}
document.addEventListener("visibilitychange", keepAwake);
keepAwake();

connect();
requestAnimationFrame(light);
