// What the pages share that speak WebRTC with the show: its token, and the handshake of WHEP and WHIP.
"use strict";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const headers = (more = {}) => (query.has("token") ? { Authorization: `Bearer ${query.get("token")}`, ...more } : more);
const RETRY = { first: 500, most: 8000 }; // ms

// Sends the offer of a session { peer, url } to `path` and takes the answer. False where the session was `wanted` no
// longer when it came; throws what the show says against it, with its `status`.
async function handshake(session, path, wanted) {
  await gathered(session.peer);
  const answer = await fetch(path, {
    method: "POST",
    headers: headers({ "Content-Type": "application/sdp" }),
    body: session.peer.localDescription.sdp,
  });
  if (answer.status !== 201) {
    const said = (await answer.text()).trim() || `status ${answer.status}`;
    throw Object.assign(new Error(said), { status: answer.status });
  }
  session.url = new URL(answer.headers.get("Location"), location.href);
  if (!wanted()) {
    leave(session);
    return false;
  }
  await session.peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  return true;
}

function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") return resolve();
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    setTimeout(resolve, 1000);
  });
}

function leave(session) {
  session.peer.onconnectionstatechange = null;
  session.peer.close();
  if (session.url) fetch(session.url, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => {});
}
