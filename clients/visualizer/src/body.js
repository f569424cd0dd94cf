// From a pose to a body: tapered limbs, a filled torso, a head and hands, with a depth that the pose lets one guess.
//
// Joints as in the show's `meta`: 0 nose, 1 neck, 2-4 right arm, 5-7 left arm, 8-10 right leg, 11-13 left leg,
// 14-17 eyes and ears, 18-38 left hand, 39-59 right hand. Girths are shares of the stature.

const SEEN = 0.05;
const USUAL = 680; // canvas px
// Bones as shares of stature (Drillis & Contini 1966): foreshortening only ever shortens, so the longest tells.
const BONES = [[8, 9, 0.245], [9, 10, 0.246], [11, 12, 0.245], [12, 13, 0.246], [2, 8, 0.288], [5, 11, 0.288],
  [2, 3, 0.186], [5, 6, 0.186]];

export const WARM = [1.0, 0.24, 0.36];
export const COOL = [0.1, 0.56, 1.0];
const CORE = [0.5, 0.26, 1.0];
const FACE = [0.86, 0.5, 1.0];
const mixed = (a, b, t) => a.map((value, i) => value + (b[i] - value) * t);

export class Body {
  #stature = USUAL;
  #facing = 1; // 1 towards us, -1 away
  #aside = 0; // -1 to 1: looks to the left or right of the picture

  // The parts of a pose, back to front: { shapes, soft, grows } where a shape is { a: [x, y, z], b, ra, rb, colour, light },
  // `soft` how far shapes of a part melt into each other, in canvas px, and `grows` whether the first one grows out of
  // another part; and where the body stands.
  build(pose) {
    const seen = (j) => pose[3 * j + 2] > SEEN;
    const at = (j) => [pose[3 * j], pose[3 * j + 1], 0];
    const trust = (...js) => Math.min(...js.map((j) => ease(pose[3 * j + 2])));
    this.#measure(at, seen);
    const S = this.#stature;
    const depth = this.#depths(at, seen, pose);
    const p = (j) => [pose[3 * j], pose[3 * j + 1], depth[j] ?? 0];
    const parts = [this.#torso(p, seen, trust, S)];
    for (const [side, hip, sign, colour] of [["right", 8, -1, WARM], ["left", 11, 1, COOL]]) {
      parts.push(this.#leg(p, seen, trust, S, hip, sign * this.#facing, mixed(colour, CORE, 0.25)));
      const shoulder = side === "right" ? 2 : 5;
      parts.push(...this.#arm(p, seen, trust, S, shoulder, side === "right" ? 39 : 18, colour));
    }
    const drawn = parts.filter((part) => part.shapes.length);
    drawn.sort((a, b) => a.z - b.z);
    const middle = seen(1) ? at(1) : [256, 300, 0];
    const feet = [10, 13].filter(seen).map((j) => at(j)[1] + 0.045 * S);
    return { parts: drawn, stature: S, chest: [middle[0], middle[1] + 0.12 * S], floor: feet.length ? Math.max(...feet) : null };
  }

  #measure(at, seen) {
    const found = BONES.filter(([a, b]) => seen(a) && seen(b)).map(([a, b, share]) => flat(at(a), at(b)) / share);
    if (found.length) this.#stature += 0.05 * (Math.min(1000, Math.max(300, Math.max(...found))) - this.#stature);
  }

  // Guessed: a bone that looks short points towards us or away, knees and hands rather forwards.
  #depths(at, seen, pose) {
    const S = this.#stature;
    if (seen(2) && seen(5)) {
      const span = (at(5)[0] - at(2)[0]) / (0.2 * S); // our left is the dancer's right, seen from the front
      const face = pose[2] - 0.5; // and a nose is seen from the front only
      const target = Math.max(-1, Math.min(1, 2 * span + 0.3 * face));
      this.#facing += 0.15 * (target - this.#facing);
    }
    if (seen(0) && seen(1)) this.#aside += 0.2 * (Math.max(-1, Math.min(1, (at(0)[0] - at(1)[0]) / (0.07 * S))) - this.#aside);
    const front = this.#facing;
    const side = Math.sqrt(Math.max(0, 1 - Math.min(1, Math.abs(front)))) * 0.09 * S * Math.sign(this.#aside || 1);
    const depth = { 2: -side, 5: side, 8: -0.7 * side, 11: 0.7 * side };
    const along = (a, b, share, forward) => {
      if (!seen(a) || !seen(b)) return;
      const whole = share * S;
      const short = Math.sqrt(Math.max(0, whole * whole - flat(at(a), at(b)) ** 2));
      depth[b] = (depth[a] ?? 0) + forward * front * short;
    };
    for (const [s, e, w] of [[2, 3, 4], [5, 6, 7]]) {
      along(s, e, 0.175, 0.35);
      along(e, w, 0.15, 0.9);
    }
    for (const [h, k, f] of [[8, 9, 10], [11, 12, 13]]) {
      along(h, k, 0.235, 0.8);
      along(k, f, 0.235, -0.5);
    }
    return depth;
  }

  #torso(p, seen, trust, S) {
    const shapes = [];
    const add = (a, b, ra, rb, colour, light) => shapes.push({ a, b, ra: ra * S, rb: rb * S, colour, light });
    const [rs, ls] = [p(2), p(5)];
    const known = seen(2) && seen(5);
    const neck = seen(1) ? p(1) : known ? between(rs, ls, 0.5) : null;
    if (known && seen(8) && seen(11)) {
      const [rh, lh] = [p(8), p(11)];
      const light = trust(2, 5, 8, 11);
      const hips = between(rh, lh, 0.5);
      const waist = between(neck, hips, 0.66);
      const chest = between(neck, hips, 0.3);
      for (const [s, h, colour] of [[rs, rh, WARM], [ls, lh, COOL]]) {
        const hue = mixed(CORE, colour, 0.42);
        const pit = between(between(s, neck, 0.3), chest, 0.32);
        const flank = between(between(s, h, 0.62), waist, 0.42);
        add(between(s, neck, 0.04), pit, 0.03, 0.044, hue, light);
        add(pit, flank, 0.044, 0.028, hue, light);
        add(flank, between(h, hips, 0.05), 0.028, 0.044, hue, light);
        add(between(neck, s, 0.2), between(s, neck, 0.08), 0.022, 0.027, hue, light);
      }
      add(chest, waist, 0.05, 0.04, CORE, light);
      add(waist, hips, 0.04, 0.046, CORE, light);
    }
    if (neck) this.#head(p, seen, trust, S, neck, add);
    return { shapes, soft: 0.011 * S, z: 0 };
  }

  #head(p, seen, trust, S, neck, add) {
    const ears = [16, 17].filter(seen).map(p);
    const eyes = [14, 15].filter(seen).map(p);
    const nose = seen(0) ? p(0) : null;
    const points = ears.length === 2 ? ears : [...ears, ...eyes, ...(nose ? [nose] : [])];
    if (!points.length) return;
    const heart = points.reduce((sum, q) => [sum[0] + q[0] / points.length, sum[1] + q[1] / points.length, 0], [0, 0, 0]);
    const up = unit(neck, heart);
    const move = (q, k) => [q[0] + up[0] * k * S, q[1] + up[1] * k * S, q[2]];
    const light = trust(1) * Math.max(...[0, 14, 15, 16, 17].map((j) => (seen(j) ? trust(j) : 0)));
    add(move(neck, -0.012), move(heart, -0.045), 0.025, 0.022, mixed(CORE, FACE, 0.4), light);
    const chin = nose ? between(move(heart, -0.045), nose, 0.3) : move(heart, -0.042);
    add(chin, move(heart, 0.02), 0.024, 0.035, FACE, light);
    add(move(heart, -0.006), move(heart, 0.026), 0.033, 0.038, FACE, light);
    if (nose) add(between(heart, nose, 0.45), between(heart, nose, 0.64), 0.021, 0.0125, FACE, light * trust(0));
  }

  #leg(p, seen, trust, S, hip, outward, colour) {
    const [h, k, f] = [hip, hip + 1, hip + 2];
    const shapes = [];
    const add = (a, b, ra, rb, light) => shapes.push({ a, b, ra: ra * S, rb: rb * S, colour, light });
    if (seen(h) && seen(k)) {
      const light = trust(h, k);
      const [a, b] = [p(h), p(k)];
      add(a, between(a, b, 0.4), 0.05, 0.049, light);
      add(between(a, b, 0.4), b, 0.048, 0.03, light);
    }
    if (seen(k) && seen(f)) {
      const light = trust(k, f);
      const [a, b] = [p(k), p(f)];
      add(a, between(a, b, 0.32), 0.029, 0.033, light);
      add(between(a, b, 0.32), b, 0.033, 0.0165, light);
      const along = unit(a, b);
      const aside = this.#aside * 0.9 + outward * 0.32 * (1 - Math.abs(this.#aside));
      const toe = [b[0] + (aside * 0.07 + along[0] * 0.03) * S, b[1] + Math.max(0.012, along[1] * 0.036) * S, b[2]];
      add(b, [b[0] + along[0] * 0.016 * S, b[1] + along[1] * 0.016 * S, b[2]], 0.018, 0.019, light);
      add([b[0] + along[0] * 0.014 * S, b[1] + along[1] * 0.014 * S, b[2]], toe, 0.018, 0.0125, light);
    }
    return { shapes, grows: seen(h), soft: 0.007 * S, z: (seen(k) ? p(k)[2] : 0) * 0.5 + (seen(h) ? p(h)[2] : 0) - 0.02 * S };
  }

  #arm(p, seen, trust, S, shoulder, hand, colour) {
    const [s, e, w] = [shoulder, shoulder + 1, shoulder + 2];
    const shapes = [];
    const add = (a, b, ra, rb, light) => shapes.push({ a, b, ra: ra * S, rb: rb * S, colour, light });
    if (seen(s) && seen(e)) {
      const light = trust(s, e);
      const [a, b] = [p(s), p(e)];
      add(a, between(a, b, 0.35), 0.034, 0.03, light);
      add(between(a, b, 0.35), b, 0.03, 0.0215, light);
    }
    if (seen(e) && seen(w)) {
      const light = trust(e, w);
      const [a, b] = [p(e), p(w)];
      add(a, between(a, b, 0.3), 0.0215, 0.0245, light);
      add(between(a, b, 0.3), b, 0.0245, 0.0135, light);
    }
    const mean = [e, w].filter(seen).map((j) => p(j)[2]);
    const z = mean.reduce((sum, value) => sum + value / mean.length, 0) + 0.03 * S * this.#facing;
    return [{ shapes, grows: seen(s), soft: 0.006 * S, z }, this.#hand(p, seen, trust, S, hand, w, colour, z)];
  }

  #hand(p, seen, trust, S, first, wrist, colour, z) {
    const shapes = [];
    const hue = mixed(colour, [1, 1, 1], 0.18);
    const from = seen(first) ? first : seen(wrist) ? wrist : -1;
    if (from < 0) return { shapes, soft: 1, z };
    const scale = S * 0.001;
    for (let finger = 0; finger < 5; finger++) {
      for (let k = 0; k < 4; k++) {
        const b = first + 1 + 4 * finger + k;
        const a = k ? b - 1 : from;
        if (!seen(a) || !seen(b)) continue;
        const [ra, rb] = k ? [8.0 - 0.9 * k, 7.4 - 0.9 * k] : [finger ? 11.5 : 11, finger ? 10 : 9];
        shapes.push({ a: p(a), b: p(b), ra: ra * scale, rb: rb * scale, colour: hue, light: trust(a, b) });
      }
    }
    return { shapes, grows: seen(wrist), soft: 0.0022 * S, z: z + 1 };
  }
}

const flat = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const between = (a, b, t) => [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
// A joint hardly seen fades; one that is rather sure is drawn as a whole.
const ease = (c) => Math.min(1, Math.max(0, (c - SEEN) / 0.35));

function unit(a, b) {
  const length = flat(a, b) || 1;
  return [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
}
