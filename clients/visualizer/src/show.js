// A running show over MQTT: frames with poses, decoded here, and beats, on this machine's clock.
import mqtt from "mqtt";
import { Decoder } from "./decoder.js";

const KEPT = 90; // frames: more than any show is ahead
const AHEAD_MOST = 3; // s: a frame due later than this is on a clock that is not ours
const AHEAD_SET = 0.15; // s: then, and where frames come too late, they are played this long after they came
const IN_TIME = 90; // frames in a row that come in time by the show's own clock, until that is taken for ours again
const RELOAD = 5000; // ms until a decoder that could not be had is asked for again

function refuse(topic, error) {
  console.warn(`${topic}: not a message of a show (${error.message})`);
}

export class Show {
  frames = []; // { index, due, pose, decoded }, oldest first; `due` in seconds of this page's clock
  beats = []; // { due, number, inBar, bpm }, oldest first
  meta = null;
  params = {};
  status = null; // online, offline
  connected = false;
  lost = 0;
  session = null;
  #decoder = null;
  #tokenizer = null;
  #loading = 0;
  #seq = {};
  #newest = -1;
  #newestRow = -1;
  #work = Promise.resolve();
  #shift = null; // s from the show's clock to ours
  #inTime = 0;

  // `poses` false follows the tokens alone.
  constructor(broker, show, { poses = true, username, password } = {}) {
    const root = `xdancer/v1/${show}`;
    const topics = ["meta", "params", "status", "beat", "tokens", ...(poses ? ["pose"] : [])];
    this.poses = poses;
    this.client = mqtt.connect(broker, { protocolVersion: 4, reconnectPeriod: 1000, keepalive: 10, timerVariant: "native", username, password });
    this.client.on("connect", () => {
      this.connected = true;
      this.client.subscribe(topics.map((topic) => `${root}/${topic}`));
    });
    this.client.on("close", () => (this.connected = false));
    this.client.on("error", () => {}); // it tries again; `connected` tells
    this.client.on("message", (topic, payload) => this.#take(topic.slice(root.length + 1), payload));
  }

  get decoding() {
    return Boolean(this.#decoder);
  }

  #take(topic, payload) {
    if (topic === "status") {
      this.status = payload.toString();
      return;
    }
    try {
      const body = JSON.parse(payload.toString());
      if (body.session !== this.session) this.#begin(body.session);
      if (topic in this.#seq) this.lost += Math.max(0, body.seq - this.#seq[topic] - 1);
      this.#seq[topic] = body.seq;
      if (topic === "meta") this.#learn(body);
      else if (topic === "params") this.params = body;
      else if (topic === "beat") this.#hear(body);
      // One after the other, although the decoder works asynchronously.
      else {
        const read = () => (topic === "tokens" ? this.#decode(body) : this.#trust(body));
        this.#work = this.#work.then(read).catch((error) => refuse(topic, error));
      }
    } catch (error) {
      refuse(topic, error);
    }
  }

  // A new run of the show counts everything anew.
  #begin(session) {
    this.session = session;
    this.#seq = {};
    this.#newest = this.#newestRow = -1;
    this.#shift = null;
    this.beats = [];
    this.frames = [];
  }

  #learn(meta) {
    this.meta = meta;
    if (meta.tokenizer.sha256 === this.#tokenizer) return;
    this.#tokenizer = meta.tokenizer.sha256;
    this.#decoder = null;
    this.#load(++this.#loading, meta.decoder_url);
  }

  async #load(attempt, url) {
    if (!url) return;
    try {
      const decoder = await Decoder.load(url);
      if (attempt === this.#loading) this.#decoder = decoder;
    } catch (error) {
      if (attempt !== this.#loading) return;
      console.warn(`The decoder cannot be had (${error.message}); poses come from the wire.`);
      setTimeout(() => attempt === this.#loading && this.#load(attempt, url), RELOAD);
    }
  }

  async #decode(body) {
    if (body.frame <= this.#newestRow || body.session !== this.session) return;
    const gap = body.frame !== this.#newestRow + 1;
    this.#newestRow = body.frame;
    const decoder = this.#decoder;
    if (!decoder) return;
    if (gap) decoder.gap();
    const pose = await decoder.push(body.tokens, body.frame === 0);
    // Until the decoder has seen all that it looks back on, the wire knows better.
    if (decoder.exact || !this.poses) this.#give(body, pose, true);
  }

  #trust(body) {
    if (body.frame > this.#newest) this.#give(body, Float32Array.from(body.pose.flat()), false);
  }

  #give(body, pose, decoded) {
    if (body.frame <= this.#newest || body.session !== this.session) return;
    this.#newest = body.frame;
    this.frames.push({ index: body.frame, due: this.#ours(body.due), pose, decoded });
    if (this.frames.length > KEPT) this.frames.shift();
  }

  #hear(body) {
    this.beats.push({ due: body.due + (this.#shift ?? 0), number: body.beat, inBar: body.beat_in_bar, bpm: body.bpm });
    if (this.beats.length > 16) this.beats.shift();
  }

  // Two machines' clocks agree, by and large; where they do not, what comes is shown soon after it came. Until it comes
  // in time again: a network that stood still for a moment is no other clock.
  #ours(due) {
    const now = Date.now() / 1000;
    const inTime = due > now && due < now + AHEAD_MOST;
    this.#inTime = inTime ? this.#inTime + 1 : 0;
    if (this.#shift && this.#inTime >= IN_TIME) {
      this.#shift = 0;
      this.frames = [];
    }
    if (this.#shift === null || due + this.#shift < now || due + this.#shift > now + AHEAD_MOST) {
      this.#shift = inTime ? 0 : now + AHEAD_SET - due;
    }
    return due + this.#shift;
  }
}
