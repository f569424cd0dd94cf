// The viewer: one WHEP session, shown in one to three places, that comes back by itself.
//
// ?layout=single|trio|mirror  how often the dancer stands on the wall
// ?fit=contain|cover          show all of the picture, or fill its place
// ?plain                      the picture alone, for other pages to hold
// ?bg=COLOUR|transparent|fill what is beside it; "fill" (the default off the single layout) takes the picture's colours
"use strict";

const videos = [...document.querySelectorAll("video")];
const dancer = $("dancer");
const LAYOUTS = ["single", "trio", "mirror"];
const STALL = 4000; // ms without a frame after which a connected session counts as lost
const SETTING_UP = 15000; // ms that setting one up may take
const NTP_EPOCH = Date.UTC(1970, 0) - Date.UTC(1900, 0); // ms from NTP's year zero to Unix's
const REPORT = 3000; // ms between reports of the delivery
const IDLE = 2500; // ms without a movement after which the cursor hides

let session = null; // { peer, url }
let retry = RETRY.first;
let lastFrame = performance.now();
let state = {};
let ahead = 0; // ms by which the show's clock is ahead of this page's
let clockOffset = null; // ms from this page's clock to the frame on screen, for the beat lights

// ---- layout

let layout = LAYOUTS.includes(query.get("layout")) ? query.get("layout") : "single";

function applyLayout() {
  const stage = $("stage");
  const bg = query.get("bg") || (layout === "single" && !query.has("fit") ? "" : "fill");
  document.body.classList.toggle("plain", query.has("plain"));
  stage.className = layout + (bg === "fill" ? " filled" : "");
  document.documentElement.style.setProperty("--fit", query.get("fit") === "cover" ? "cover" : "contain");
  document.documentElement.style.setProperty("--bg", bg && bg !== "fill" && CSS.supports("color", bg) ? bg : "#000");
  $("layout").textContent = `Layout: ${layout}`;
}

function nextLayout() {
  layout = LAYOUTS[(LAYOUTS.indexOf(layout) + 1) % LAYOUTS.length];
  applyLayout();
}

function paintBackdrop() {
  if (!$("stage").classList.contains("filled") || !dancer.videoWidth) return;
  const canvas = $("backdrop");
  const brush = canvas.getContext("2d");
  brush.globalAlpha = 0.15; // slowly, so that the wall glows and does not flicker
  brush.drawImage(dancer, 0, 0, canvas.width, canvas.height);
}

// ---- connection

async function connect() {
  const peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });
  session = { peer, url: null };
  lastFrame = performance.now();
  const mine = session;
  const stream = new MediaStream();
  for (const kind of ["video", "audio"]) {
    const { receiver } = peer.addTransceiver(kind, { direction: "recvonly" });
    stream.addTrack(receiver.track);
    // Browsers leave up to 30 ms between sound and picture alone. Sound waits about 10 ms longer in its buffer than
    // asked for, half of a packet of 20 ms; so the picture is asked to wait that much longer.
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = kind === "video" ? 70 : 60;
  }
  for (const video of videos) video.srcObject = stream;
  peer.onconnectionstatechange = () => {
    if (peer.connectionState === "connected") lastFrame = performance.now();
    if (["failed", "closed"].includes(peer.connectionState) && session === mine) reconnect("The connection was lost.");
  };
  try {
    const offer = await peer.createOffer();
    // Opus is played in mono unless the offer asks for both ears (RFC 7587, section 6.1).
    offer.sdp = offer.sdp.replace(/(a=fmtp:\d+ [^\r\n]*useinbandfec=1)/, "$1;stereo=1");
    await peer.setLocalDescription(offer);
    if (!(await handshake(mine, "whep", () => session === mine))) return;
    lastFrame = performance.now();
    ask(); // it may be another show by now
    await play();
  } catch (error) {
    if (session === mine) reconnect(error.status === 401 ? "A token is needed." : "The show cannot be reached.");
  }
}

function reconnect(why) {
  if (!session) return;
  leave(session);
  session = null;
  say(`${why} Trying again …`);
  setTimeout(connect, retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 2, RETRY.most);
}

async function play() {
  await Promise.all(videos.map((video) => video.play().catch(() => {})));
  offerSound();
}

function sawFrame() {
  lastFrame = performance.now();
  retry = RETRY.first;
  if (session) say("");
  paintBackdrop();
}

function watchFrames() {
  if (!("requestVideoFrameCallback" in dancer)) return dancer.addEventListener("timeupdate", sawFrame);
  const onFrame = () => {
    sawFrame();
    dancer.requestVideoFrameCallback(onFrame);
  };
  dancer.requestVideoFrameCallback(onFrame);
}

// ---- sound

function offerSound() {
  const silent = state.presentation === "anticipate"; // the room hears it
  $("sound").hidden = silent || !dancer.muted;
  $("mute").hidden = silent;
  $("mute").setAttribute("aria-pressed", String(!dancer.muted));
}

async function setSound(on) {
  dancer.muted = !on;
  try {
    await dancer.play();
  } catch {
    dancer.muted = true; // the browser wants a click first
    await dancer.play().catch(() => {});
  }
  offerSound();
}

// ---- screen

let lock = null;
async function keepAwake() {
  if (!("wakeLock" in navigator) || lock || document.visibilityState !== "visible") return;
  try {
    lock = await navigator.wakeLock.request("screen");
    lock.addEventListener("release", () => (lock = null));
  } catch {
    lock = null; // a battery saver may refuse; the show goes on
  }
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => {});
}

let idleTimer = 0;
function moved() {
  document.body.classList.remove("idle");
  clearTimeout(idleTimer);
  idleTimer = setTimeout(() => document.body.classList.add("idle"), IDLE);
}

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

// ---- readout

function toggleInfo() {
  const shown = document.body.classList.toggle("info");
  $("readout").hidden = !shown;
  $("info").setAttribute("aria-pressed", String(shown));
}

let counted = null;
async function measure() {
  if (!session) return;
  const fresh = { at: performance.now() };
  for (const report of (await session.peer.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "video") {
      Object.assign(fresh, { frames: report.framesDecoded, bytes: report.bytesReceived, lost: report.packetsLost,
        buffered: report.jitterBufferDelay, emitted: report.jitterBufferEmittedCount });
    }
    if (report.type === "candidate-pair" && report.nominated) fresh.trip = report.currentRoundTripTime;
  }
  const before = counted;
  counted = fresh;
  if (!before || before.frames === undefined || fresh.frames === undefined) return;
  const seconds = (fresh.at - before.at) / 1000;
  const waited = (1000 * (fresh.buffered - before.buffered)) / Math.max(fresh.emitted - before.emitted, 1);
  const local = waited + 500 * (fresh.trip || 0);
  rows({
    tempo: state.tempo ? `${state.tempo.toFixed(1)} BPM, ${Math.round(100 * state.confidence)} % sure` : "listening",
    pictures: `${((fresh.frames - before.frames) / seconds).toFixed(1)} fps, ${dancer.videoWidth} x ${dancer.videoHeight}`,
    latency: `${Math.round((state.delay_ms || 0) + local)} ms (show ${state.delay_ms || 0}, network and buffer ${Math.round(local)})`,
    bitrate: `${((8 * (fresh.bytes - before.bytes)) / seconds / 1e6).toFixed(2)} Mbit/s, ${fresh.lost} lost`,
    source: state.source ? `${state.source.name}: ${state.source.status}` : "",
    level: state.level === undefined ? "" : `${state.level.toFixed(0)} dBFS`,
  });
}

// Where the room hears the music itself, the show must know how long a picture takes from there to this screen.
async function reportDelivery() {
  if (!session || state.presentation !== "anticipate" || session.peer.connectionState !== "connected") return;
  for (const report of (await session.peer.getStats()).values()) {
    if (report.type !== "inbound-rtp" || report.kind !== "video" || !report.jitterBufferEmittedCount) continue;
    const buffered = (1000 * report.jitterBufferDelay) / report.jitterBufferEmittedCount;
    const left = report.estimatedPlayoutTimestamp && report.estimatedPlayoutTimestamp - NTP_EPOCH;
    const ms = left ? Date.now() + ahead - left : buffered; // by the sender's clock, or what is known without it
    const body = JSON.stringify({ ms });
    fetch("api/delivery", { method: "POST", headers: headers({ "Content-Type": "application/json" }), body }).catch(() => {});
  }
}

function rows(values) {
  $("readout").replaceChildren(...Object.entries(values).flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [name, value];
    return [term, text];
  }));
}

async function ask() {
  try {
    const asked = Date.now();
    const answer = await fetch("api/state", { headers: headers() });
    if (answer.ok) {
      state = await answer.json();
      clockOffset = performance.now();
      ahead = 1000 * state.now - (asked + Date.now()) / 2;
      offerSound();
    }
  } catch {
    state = { presentation: state.presentation }; // the next one may come through, and how the show is heard stays
  }
}

function light() {
  const dots = $("pulse").children;
  const known = state.tempo > 0 && clockOffset !== null;
  const beats = known ? state.beat_phase + ((performance.now() - clockOffset - (state.delay_ms || 0)) / 60000) * state.tempo : 0;
  const now = known ? ((state.beat_in_bar + Math.floor(beats)) % 4 + 4) % 4 : -1;
  [...dots].forEach((dot, k) => dot.classList.toggle("on", k === now && ((beats % 1) + 1) % 1 < 0.45));
}

// ---- start

const KEYS = { f: fullScreen, m: () => setSound(dancer.muted), i: toggleInfo, l: nextLayout };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  KEYS[event.key.toLowerCase()]?.();
  if (/^[1-9]$/.test(event.key)) fetch(`api/presets/${event.key}`, { method: "POST", headers: headers() }).catch(() => {});
});
addEventListener("dblclick", (event) => event.target.closest("button") || fullScreen());
for (const name of ["pointermove", "pointerdown", "keydown"]) addEventListener(name, moved);
addEventListener("pagehide", () => session && leave(session));
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", keepAwake);
document.addEventListener("fullscreenchange", keepAwake);
$("sound").addEventListener("click", () => setSound(true));
$("mute").addEventListener("click", KEYS.m);
$("full").addEventListener("click", fullScreen);
$("layout").addEventListener("click", nextLayout);
$("info").addEventListener("click", toggleInfo);

setInterval(() => {
  if (!session || document.visibilityState !== "visible") return;
  const patience = session.peer.connectionState === "connected" ? STALL : SETTING_UP;
  if (performance.now() - lastFrame > patience) reconnect("The show stands still.");
}, 1000);
setInterval(() => document.body.classList.contains("info") && ask().then(measure), 1000);
setInterval(() => document.body.classList.contains("info") && light(), 40);
setInterval(() => state.presentation === "anticipate" && ask().then(reportDelivery), REPORT);

$("full").hidden = !document.fullscreenEnabled; // phones that have none for pages
applyLayout();
moved();
keepAwake();
watchFrames();
ask();
connect();
