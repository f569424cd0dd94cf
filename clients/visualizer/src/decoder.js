// Token rows to poses, with the decoder that the show exports (xdancer/tokenizer/export.py), in WebAssembly.
import * as ort from "onnxruntime-web";

const ROW = 30; // 5 parts of 6 tokens

ort.env.wasm.numThreads = 1; // more would need headers that let the page share memory, and gain nothing
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;

export class Decoder {
  #session;
  #state = null;
  #seen = 0;

  // How many rows a pose depends on, its own included.
  field;

  static async load(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${answer.status} ${url}`);
    const decoder = new Decoder();
    decoder.#session = await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()));
    const state = decoder.#session.inputMetadata.find((input) => input.name === "state");
    decoder.field = state.shape[0] + 1;
    return decoder;
  }

  // Whether the newest pose is the show's own: after a gap that takes `field` rows.
  get exact() {
    return this.#seen >= this.field;
  }

  gap() {
    this.#seen = 0;
  }

  // The next row (30 integers) to its pose, a Float32Array of 60 times x, y, confidence. `first`: it is frame 0's,
  // which counts as having stood there before.
  async push(row, first) {
    const tokens = Int32Array.from(row);
    const past = this.field - 1;
    if (first || !this.#state) {
      const rows = new Int32Array(past * ROW);
      for (let i = 0; i < past; i++) rows.set(tokens, i * ROW);
      this.#state = new ort.Tensor("int32", rows, [past, 5, 6]);
      this.#seen = first ? past : 0;
    }
    const made = await this.#session.run({ tokens: new ort.Tensor("int32", tokens, [1, 5, 6]), state: this.#state });
    this.#state = made.next_state;
    this.#seen++;
    return made.pose.data;
  }
}
