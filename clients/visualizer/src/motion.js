// What is on show at a moment: between frames at 30 a second the body moves on, so that 60 are drawn.

// The pose at `now` (s), a Float32Array of 60 times x, y, confidence; null before the first frame. Catmull-Rom through
// the four frames around it keeps the speed even; a joint that only one neighbour has stays where that has it.
export function poseAt(frames, now, out = new Float32Array(180)) {
  if (!frames.length) return null;
  let after = frames.findIndex((frame) => frame.due > now);
  if (after === 0) return frames[0].pose;
  if (after < 0) return frames[frames.length - 1].pose;
  const [a, b] = [frames[after - 1], frames[after]];
  const before = frames[after - 2] ?? a;
  const beyond = frames[after + 1] ?? b;
  const u = Math.min(1, Math.max(0, (now - a.due) / (b.due - a.due || 1)));
  for (let j = 0; j < 180; j += 3) {
    const [ca, cb] = [a.pose[j + 2], b.pose[j + 2]];
    out[j + 2] = ca + (cb - ca) * u;
    for (let k = j; k < j + 2; k++) {
      if (!ca || !cb) out[k] = ca ? a.pose[k] : b.pose[k];
      else {
        const p = before.pose[j + 2] ? before.pose[k] : a.pose[k];
        const q = beyond.pose[j + 2] ? beyond.pose[k] : b.pose[k];
        out[k] = spline(p, a.pose[k], b.pose[k], q, u);
      }
    }
  }
  return out;
}

function spline(p, a, b, q, u) {
  const [m, n] = [(b - p) / 2, (q - a) / 2];
  const v = u * u;
  return a + u * m + v * (3 * (b - a) - 2 * m - n) + u * v * (2 * (a - b) + m + n);
}

// The last beat that has been struck by `now`, as { age (s), strong, bpm }; null before the first.
export function beatAt(beats, now) {
  for (let i = beats.length - 1; i >= 0; i--) {
    if (beats[i].due <= now) return { age: now - beats[i].due, strong: beats[i].inBar === 0, bpm: beats[i].bpm };
  }
  return null;
}
