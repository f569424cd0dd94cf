// The trim: how far the picture is off the room's sound, found by tapping along, first with the music, then with flashes
// in the picture. A person taps a little early or late, but equally so with both, and the difference is the picture's.
"use strict";

const TAPS = 16;
const FIRST = 4; // taps to get into the beat, not counted
const trim = { round: null, taps: [] }; // round: "hear", "see" or null; taps: phases of the beat, 0..1
const hint = (text) => { document.getElementById("trim").textContent = text; };

function circularMean(phases) {
  const angle = (f) => phases.reduce((sum, phase) => sum + f(2 * Math.PI * phase), 0);
  return Math.atan2(angle(Math.sin), angle(Math.cos)) / (2 * Math.PI);
}

// How much later than `hear` the taps of `see` came, in ms, within half a beat. Phases of beats of `tempo` a minute.
function offBy(hear, see, tempo) {
  const beats = circularMean(see.slice(FIRST)) - circularMean(hear.slice(FIRST));
  return ((beats - Math.round(beats)) * 60000) / tempo;
}

async function change(params) {
  const answer = await fetch("api/params", {
    method: "PATCH", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(params),
  });
  return answer.ok ? answer.json() : Promise.reject(new Error((await answer.json()).error));
}

function nextRound(round, text) {
  trim.round = round;
  trim.taps = [];
  hint(text);
}

async function toggleTrim() {
  if (trim.round) return stopTrim("");
  await ask();
  if (state.presentation !== "anticipate") return stopTrim("The trim is for shows that anticipate: presentation=anticipate.");
  if (!(state.tempo > 0)) return stopTrim("No beat is heard yet: play some music first.");
  nextRound("hear", `Close your eyes and tap the space bar with the music, ${TAPS} times.`);
}

async function stopTrim(text) {
  const flashing = trim.round === "see";
  trim.round = null;
  hint(text);
  if (flashing) await change({ flash: false }).catch(() => {});
}

async function tap() {
  if (!trim.round || !(state.tempo > 0)) return;
  document.activeElement?.blur(); // or the tap would press the button that was clicked last, too
  trim.taps.push(((state.beat_phase + ((performance.now() - clockOffset) / 60000) * state.tempo) % 1 + 1) % 1);
  if (trim.taps.length < TAPS) return hint(`${TAPS - trim.taps.length} more`);
  if (trim.round === "hear") {
    trim.heard = trim.taps;
    await change({ flash: true });
    return nextRound("see", `Now look, and tap the space bar with the flashes, ${TAPS} times.`);
  }
  const off = offBy(trim.heard, trim.taps, state.tempo);
  const now = Math.max(-500, Math.min(500, Math.round(state.params.trim_ms - off)));
  await stopTrim("");
  await change({ trim_ms: now });
  hint(`The picture came ${Math.abs(Math.round(off))} ms too ${off > 0 ? "late" : "early"}; the trim is now ${now} ms.`);
}

KEYS.t = toggleTrim;
KEYS[" "] = tap;
setInterval(() => trim.round && ask(), 1000);
