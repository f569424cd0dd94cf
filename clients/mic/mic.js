// Sends this browser's sound to the show by WHIP (RFC 9725), and comes back by itself until stopped.
"use strict";

// Browsers take music for noise and for echo, and level it; none of it here.
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: { ideal: 2 } };

let stream = null; // what is sent, while it is
let session = null; // { peer, url }
let retry = RETRY.first;

async function begin(source) {
  stop();
  try {
    stream = await source();
    if (!stream.getAudioTracks().length) throw new Error("no sound was shared: tick “share audio” in the browser's dialogue");
  } catch (error) {
    stop();
    return say(`Nothing is being sent: ${error.message}`);
  }
  for (const track of stream.getVideoTracks()) track.enabled = false; // a tab is shared with its picture, which is not sent
  stream.getAudioTracks()[0].addEventListener("ended", () => (stop(), say("The sound has ended.")));
  retry = RETRY.first;
  measure(stream);
  listInputs();
  show();
  connect();
}

async function connect() {
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const mine = (session = { peer, url: null });
  say("Connecting …");
  peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
  peer.onconnectionstatechange = () => {
    if (session !== mine) return;
    if (peer.connectionState === "connected") {
      retry = RETRY.first;
      say("The show hears you.");
    }
    if (["failed", "closed"].includes(peer.connectionState)) lost(mine);
  };
  try {
    await peer.setLocalDescription(await peer.createOffer());
    await handshake(mine, "whip", () => session === mine);
  } catch (error) {
    if (session === mine) reconnect(`Not sent: ${error.message}.`);
  }
}

// Comes back, unless another page sends now: two would take over from each other for ever.
async function lost(mine) {
  const status = mine.url && (await fetch(mine.url, { headers: headers() }).then((answer) => answer.status, () => null));
  if (session !== mine) return;
  if (status !== 410) return reconnect("The connection was lost.");
  stop();
  say("Another sender has taken over.");
}

function reconnect(why) {
  leave(session);
  const none = (session = null);
  say(`${why} Trying again …`);
  setTimeout(() => stream && session === none && connect(), retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 2, RETRY.most);
}

function stop() {
  if (session) leave(session);
  session = null;
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  show();
  say("Nothing is being sent.");
}

// ---- what people see

function show() {
  $("stop").hidden = !stream;
  $("mic").hidden = $("tab").hidden = Boolean(stream);
}

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

function measure(of) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(of).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const tick = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const peak = Math.max(...samples.map(Math.abs), 1e-6);
    $("level").value = of === stream ? 20 * Math.log10(peak) : -60;
    if (of !== stream) {
      clearInterval(tick);
      context.close();
    }
  }, 80);
}

async function listInputs() {
  const chosen = $("inputs").value;
  const devices = await navigator.mediaDevices.enumerateDevices();
  const inputs = devices.filter((device) => device.kind === "audioinput" && device.label);
  $("inputs").replaceChildren(...[["", "the browser's choice"], ...inputs.map((d) => [d.deviceId, d.label])].map(([id, name]) => new Option(name, id)));
  $("inputs").value = chosen;
}

$("mic").addEventListener("click", () => begin(() => {
  const deviceId = $("inputs").value ? { exact: $("inputs").value } : undefined;
  return navigator.mediaDevices.getUserMedia({ audio: { ...PLAIN, deviceId } });
}));
$("tab").addEventListener("click", () => begin(() => navigator.mediaDevices.getDisplayMedia({ video: true, audio: { ...PLAIN, suppressLocalAudioPlayback: false }, systemAudio: "include" })));
$("stop").addEventListener("click", stop);
addEventListener("pagehide", () => session && leave(session));

if (navigator.mediaDevices) listInputs();
else say("This page must come from this machine or over https: browsers give sound to no others.");
