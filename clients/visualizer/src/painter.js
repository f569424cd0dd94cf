// Draws a body in WebGL 2: its parts back to front, their trail, their glow, and the stage around them.
import { BLUR, BODY, FINISH, MOST_SHAPES, QUAD, TRAIL } from "./shaders.js";

const CANVAS = [512, 896];
const MARGIN = -0.02; // of the height, above and below the figure's canvas, whose rim nobody dances on
const TRAIL_KEPT = 0.28; // s in which the trail falls to 1/e
const SIDE = 1440; // px: a taller picture is drawn at this height and scaled up
const LEAST = 360; // px: and a slow machine draws fewer, but never fewer than these

export class Painter {
  #trails;
  #current = 0;
  #floor = null; // where the dancer stands: share of the height, sinking at once and rising slowly, for jumps are short
  #last = null;

  // Throws where the browser has no WebGL 2. `transparent` leaves the stage out.
  constructor(canvas, transparent) {
    const gl = canvas.getContext("webgl2", { alpha: true, premultipliedAlpha: true, antialias: false });
    if (!gl) throw new Error("This browser has no WebGL 2.");
    canvas.addEventListener("webglcontextlost", () => location.reload()); // a GPU that was reset, a laptop that slept
    this.gl = gl;
    this.canvas = canvas;
    this.stage = transparent ? 0 : 1;
    this.side = SIDE;
    this.half = gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float");
    gl.getExtension("OES_texture_float_linear");
    this.programs = Object.fromEntries(
      Object.entries({ body: BODY, trail: TRAIL, blur: BLUR, finish: FINISH }).map(([name, code]) => [name, program(gl, code)]),
    );
    const corners = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, corners);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    this.resize();
  }

  resize() {
    const { gl, canvas } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, this.side / (canvas.clientHeight || SIDE));
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(64, Math.round(side * ratio)));
    if (width === this.width && height === this.height) return;
    Object.assign(canvas, { width, height });
    Object.assign(this, { width, height });
    for (const old of [this.body, this.near, this.nearer, this.far, this.farther, ...(this.#trails ?? [])]) {
      if (old) gl.deleteTexture(old.texture), gl.deleteFramebuffer(old.frame);
    }
    const made = (share) => this.#target(Math.ceil(width / share), Math.ceil(height / share));
    this.body = made(1);
    [this.near, this.nearer] = [made(4), made(4)];
    [this.far, this.farther] = [made(16), made(16)];
    this.#trails = [made(2), made(2)];
    this.scale = (height * (1 - 2 * MARGIN)) / CANVAS[1];
    this.offset = [(width - CANVAS[0] * this.scale) / 2, height * MARGIN];
  }

  // Draw a smaller picture from now on: the machine does not keep up. The page still fills the wall.
  coarser() {
    this.finest = Math.min(this.side, this.height);
    this.side = Math.max(LEAST, 0.75 * this.finest);
  }

  // Take the last step back.
  finer() {
    this.side = this.finest;
  }

  // `figure` is what Body.build gives, or null: then only the stage is drawn. `beat` is { strength, age, strong }, `now` s.
  draw(figure, beat, now) {
    this.resize();
    const { gl } = this;
    const passed = Math.min(0.1, this.#last === null ? 0 : now - this.#last);
    this.#last = now;
    const stature = (figure?.stature ?? 680) * this.scale;
    const chest = this.#place(figure?.chest ?? [256, 330]);
    if (figure?.floor) {
      const line = this.#place([0, figure.floor])[1] / this.height;
      this.#floor = this.#floor === null ? line : this.#floor + (line - this.#floor) * (line > this.#floor ? 0.25 : 0.01);
    }
    const floorLine = this.height * (this.#floor ?? 0.93);
    const common = { size: [this.width, this.height], chest, stature: [stature], beat: [beat.strength, beat.age, beat.strong ? 1 : 0] };

    this.#into(this.body);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const part of figure?.parts ?? []) this.#part(part, common);
    gl.disable(gl.BLEND);

    const [old, fresh] = [this.#trails[this.#current], this.#trails[1 - this.#current]];
    this.#current = 1 - this.#current;
    this.#pass(fresh, "trail", {
      before: old, body: this.body, keep: [Math.exp(-passed / TRAIL_KEPT)],
      centre: [chest[0] / this.width, 1 - chest[1] / this.height], grow: [passed * (0.12 + 0.25 * beat.strength)],
    });
    this.#blurred(this.body, this.near, this.nearer);
    this.#blurred(this.near, this.far, this.farther);
    this.#blurred(this.far, this.far, this.farther);
    this.#pass(null, "finish", {
      ...common, body: this.body, near: this.near, far: this.far, trail: fresh, floorLine: [floorLine], stage: [this.stage],
    });
  }

  #place([x, y]) {
    return [x * this.scale + this.offset[0], y * this.scale + this.offset[1]];
  }

  #part({ shapes, soft, grows }, common) {
    for (let first = 0; first < shapes.length; first += MOST_SHAPES) {
      const some = shapes.slice(first, first + MOST_SHAPES);
      const end = (point, radius) => [...this.#place(point), point[2] * this.scale, radius * this.scale];
      const a = some.map((shape) => end(shape.a, shape.ra));
      const b = some.map((shape) => end(shape.b, shape.rb));
      const spread = 2 * soft * this.scale + 2;
      const ends = [...a, ...b];
      const box = [0, 1].map((k) => [
        Math.min(...ends.map((e) => e[k] - e[3])) - spread, Math.max(...ends.map((e) => e[k] + e[3])) + spread,
      ]);
      this.#run("body", {
        ...common, a: a.flat(), b: b.flat(), tint: some.flatMap((shape) => [...shape.colour, shape.light]),
        grows: [grows && !first ? 1 : 0], count: some.length, sharp: [1 / Math.max(0.7, soft * this.scale)],
      }, [
        (2 * box[0][0]) / this.width - 1, 1 - (2 * box[1][1]) / this.height,
        (2 * box[0][1]) / this.width - 1, 1 - (2 * box[1][0]) / this.height,
      ]);
    }
  }

  #blurred(source, target, between) {
    this.#pass(between, "blur", { source, reach: [1 / target.width, 0] });
    this.#pass(target, "blur", { source: between, reach: [0, 1 / target.height] });
  }

  #pass(target, name, values) {
    this.#into(target);
    this.#run(name, values, [-1, -1, 1, 1]);
  }

  #into(target) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target?.frame ?? null);
    gl.viewport(0, 0, target?.width ?? this.width, target?.height ?? this.height);
  }

  #run(name, values, box) {
    const { gl } = this;
    const { handle, uniforms } = this.programs[name];
    gl.useProgram(handle);
    let unit = 0;
    for (const [key, value] of Object.entries({ ...values, box })) {
      const uniform = uniforms[key];
      if (!uniform) continue;
      if (value.texture) {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(gl.TEXTURE_2D, value.texture);
        gl.uniform1i(uniform.at, unit++);
      } else if (uniform.type === gl.INT) gl.uniform1i(uniform.at, value);
      else if (uniform.type === gl.FLOAT) gl.uniform1fv(uniform.at, value);
      else if (uniform.type === gl.FLOAT_VEC2) gl.uniform2fv(uniform.at, value);
      else if (uniform.type === gl.FLOAT_VEC3) gl.uniform3fv(uniform.at, value);
      else gl.uniform4fv(uniform.at, value);
    }
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  #target(width, height) {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    if (this.half) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, width, height, 0, gl.RGBA, gl.HALF_FLOAT, null);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.LINEAR);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    return { texture, frame, width, height };
  }
}

function program(gl, code) {
  const handle = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, QUAD], [gl.FRAGMENT_SHADER, code]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(handle, shader);
  }
  gl.bindAttribLocation(handle, 0, "corner");
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(handle));
  const uniforms = {};
  for (let i = 0; i < gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS); i++) {
    const { name, type } = gl.getActiveUniform(handle, i);
    uniforms[name.replace("[0]", "")] = { at: gl.getUniformLocation(handle, name), type };
  }
  return { handle, uniforms };
}
