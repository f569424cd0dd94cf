// The visualizer: a body of light that dances what a running show publishes over MQTT.
//
// ?broker=ws://HOST:PORT  the broker's WebSocket; without it, the one of the show that serves this page
// ?show=NAME              "main" unless the show has another name
// ?bg=transparent         only the body, for an OBS browser source or a layer
// ?poses=off              follow the tokens alone, 8 kbit/s
// ?info=on                the readout; key I
import { beatAt, poseAt } from "./motion.js";
import { Body } from "./body.js";
import { Painter } from "./painter.js";
import { Show } from "./show.js";

const query = new URLSearchParams(location.search);
const $ = (id) => document.getElementById(id);
const SILENT = 2; // s without a frame after which the page says so
const ENOUGH = 45; // frames a second; with fewer the picture is drawn smaller
const JUDGED = 2000; // ms over which that is judged
const IDLE = 2500; // ms without a movement after which the cursor hides

const transparent = query.get("bg") === "transparent";
const body = new Body();
let painter, show;
let drawn = []; // when, in ms, over the last JUDGED
let judged = 0; // when the speed was looked at last
let before = null; // the speed before the picture was last made smaller
let settled = false; // whether it stays as it is

async function here() {
  try {
    const answer = await fetch("show.json");
    if (answer.ok) return await answer.json();
  } catch {
    // Served by something else: the broker is then the default one of this machine.
  }
  return {};
}

async function begin() {
  const { broker, show: name } = await here();
  const host = location.hostname || "127.0.0.1";
  show = new Show(query.get("broker") || broker || `ws://${host}:9001`, query.get("show") || name || "main", {
    poses: query.get("poses") !== "off",
  });
  window.xdancer = { show, drawn: () => drawn.length, frozen: null };
  painter = new Painter($("stage"), transparent);
  requestAnimationFrame(tick);
}

function tick() {
  const now = window.xdancer.frozen ?? Date.now() / 1000;
  const pose = poseAt(show.frames, now);
  const beat = beatAt(show.beats, now);
  const dark = show.params.blackout || !pose;
  const age = beat ? Math.min(beat.age, 4) : 4;
  painter.draw(dark ? null : body.build(pose), { strength: Math.exp(-4.5 * age), age, strong: beat?.strong }, now);
  keepUp(performance.now());
  tell(now, beat);
  requestAnimationFrame(tick);
}

function keepUp(at) {
  drawn.push(at);
  while (drawn[0] < at - JUDGED) drawn.shift();
  if (at - judged < JUDGED) return;
  if (judged && !settled && document.visibilityState === "visible" && fps() < ENOUGH) {
    // Where a smaller picture is no faster, it is the screen that has so few frames.
    settled = before !== null && fps() < 1.1 * before;
    if (settled) painter.finer();
    else painter.coarser();
    before = fps();
  }
  judged = at;
}

const fps = () => Math.round((1000 * drawn.length) / JUDGED);

function tell(now, beat) {
  const last = show.frames[show.frames.length - 1];
  const quiet = !last || now - last.due > SILENT;
  let said = "";
  if (!show.connected) said = "The broker cannot be reached. Trying again …";
  else if (show.status === "offline") said = "The show is over.";
  else if (quiet) said = "Waiting for the show …";
  if (transparent) said = ""; // nothing but the dancer belongs on someone's stream
  if ($("status").textContent !== said) $("status").textContent = said;
  if ($("readout").hidden) return;
  $("readout").textContent = [
    `${fps()} fps, ${painter.width} x ${painter.height}`,
    `frame ${last?.index ?? "–"}, ${last?.decoded ? "decoded here" : "from the pose topic"}`,
    `${beat ? beat.bpm.toFixed(1) : "–"} BPM`,
    `${show.lost} messages lost`,
  ].join("\n");
}

let idle;
function awake() {
  document.body.classList.remove("idle");
  clearTimeout(idle);
  idle = setTimeout(() => document.body.classList.add("idle"), IDLE);
}

for (const event of ["pointermove", "keydown"]) addEventListener(event, awake);
addEventListener("keydown", ({ key }) => {
  if (key === "i") $("readout").hidden = !$("readout").hidden;
  if (key === "f") document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();
});
$("readout").hidden = query.get("info") !== "on";
awake();
begin().catch((error) => ($("status").textContent = error.message));
