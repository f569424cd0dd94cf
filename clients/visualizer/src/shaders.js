// GLSL of the painter. Colours are linear light, alpha is premultiplied, until `finish` maps them to the screen.

export const QUAD = `#version 300 es
in vec2 corner;
uniform vec4 box; // left, bottom, right, top in clip space
out vec2 uv;
void main() {
  vec2 place = mix(box.xy, box.zw, corner);
  uv = 0.5 + 0.5 * place;
  gl_Position = vec4(place, 0.0, 1.0);
}`;

// One part of the body. Its shapes melt into each other: distances, surface and colour are blended by the
// exponential of how far each comes out (a smooth maximum), so that a shoulder has no seam.
export const MOST_SHAPES = 24;
export const BODY = `#version 300 es
precision highp float;
uniform vec4 a[${MOST_SHAPES}]; // x, y in px of the picture, depth, radius
uniform vec4 b[${MOST_SHAPES}];
uniform vec4 tint[${MOST_SHAPES}]; // colour, light
uniform int count;
uniform float sharp; // 1 / px
uniform vec2 size;
uniform float stature; // px
uniform float grows; // 1: the first shape grows out of another part, and has no edge of its own there
uniform vec2 chest;
uniform vec3 beat; // strength now, seconds since it was struck, 1 on the downbeat
in vec2 uv;
out vec4 colour;

void main() {
  vec2 p = vec2(uv.x, 1.0 - uv.y) * size;
  float coverage = 0.0, weights = 0.0, light = 0.0, top = -1e9;
  vec3 normal = vec3(0.0), hue = vec3(0.0);
  float outs[${MOST_SHAPES}];
  for (int i = 0; i < count; i++) {
    vec2 along = b[i].xy - a[i].xy;
    float t = clamp(dot(p - a[i].xy, along) / max(dot(along, along), 1e-4), 0.0, 1.0);
    vec2 away = p - a[i].xy - t * along;
    float r = mix(a[i].w, b[i].w, t);
    float d = length(away);
    float u = min(d / r, 1.0);
    float dome = sqrt(1.0 - u * u);
    outs[i] = mix(a[i].z, b[i].z, t) * 0.35 + r * dome - 1.6 * max(d - r, 0.0);
    coverage += exp(-sharp * clamp(d - r, -60.0 / sharp, 60.0 / sharp));
    top = max(top, outs[i]);
  }
  float inside = log(max(coverage, 1e-20)) / sharp;
  float alpha = smoothstep(-0.75, 0.75, inside);
  if (alpha <= 0.0) discard;
  for (int i = 0; i < count; i++) {
    vec2 along = b[i].xy - a[i].xy;
    float t = clamp(dot(p - a[i].xy, along) / max(dot(along, along), 1e-4), 0.0, 1.0);
    vec2 away = p - a[i].xy - t * along;
    float r = mix(a[i].w, b[i].w, t);
    float u = min(length(away) / r, 1.0);
    float w = exp(sharp * (outs[i] - top));
    normal += w * vec3(away / max(length(away), 1e-4) * u, sqrt(1.0 - u * u) + 0.02);
    hue += w * tint[i].rgb;
    light += w * tint[i].a;
    weights += w;
  }
  vec3 n = normalize(normal);
  hue /= weights;
  light /= weights;
  vec2 outward = normalize(b[0].xy - a[0].xy + vec2(1e-4));
  float grown = mix(1.0, smoothstep(-0.75, 0.45, dot(p - a[0].xy, outward) / a[0].w), grows);
  float edge = pow(1.0 - n.z, 2.6) * grown;
  float lamp = max(0.0, dot(n, normalize(vec3(-0.55, -0.75, 0.40))));
  float fill = max(0.0, dot(n, normalize(vec3(0.85, 0.15, 0.30))));
  float shine = pow(max(0.0, dot(n, normalize(vec3(-0.40, -0.60, 0.85)))), 30.0);
  float ring = (length(p - chest) / stature - 1.3 * beat.y) / 0.055;
  float wave = exp(-ring * ring) * exp(-3.0 * beat.y) * (0.6 + 0.5 * beat.z);
  vec3 pale = mix(hue, vec3(1.0), 0.5);
  vec3 lit = hue * (0.055 + 0.66 * lamp * lamp) + vec3(0.25, 0.45, 1.0) * 0.10 * fill * fill;
  lit += mix(hue, pale, 0.30) * edge * (0.62 + 0.55 * beat.x);
  lit += pale * shine * 0.5;
  lit += mix(hue, pale, 0.5) * wave * (0.16 + 0.75 * edge);
  alpha *= light * grown;
  colour = vec4(lit * alpha, alpha);
}`;

// What is left of the light of the last moments: it fades, grows a little from the chest and rises.
export const TRAIL = `#version 300 es
precision highp float;
uniform sampler2D before;
uniform sampler2D body;
uniform float keep;
uniform vec2 centre;
uniform float grow;
in vec2 uv;
out vec4 colour;
void main() {
  vec2 from = centre + (uv - centre) * (1.0 - grow) - vec2(0.0, grow * 0.25);
  vec4 old = texture(before, from) * keep;
  vec4 now = texture(body, uv);
  float bright = max(now.r, max(now.g, now.b));
  // The brighter of the two, so that a body that stands still does not burn in.
  colour = max(max(old - 0.0015, vec4(0.0)), vec4(now.rgb * bright, now.a) * 0.75);
}`;

export const BLUR = `#version 300 es
precision highp float;
uniform sampler2D source;
uniform vec2 reach; // uv of one step
in vec2 uv;
out vec4 colour;
void main() {
  vec4 sum = texture(source, uv) * 0.1964;
  sum += (texture(source, uv + reach * 1.411) + texture(source, uv - reach * 1.411)) * 0.2969;
  sum += (texture(source, uv + reach * 3.294) + texture(source, uv - reach * 3.294)) * 0.0945;
  sum += (texture(source, uv + reach * 5.176) + texture(source, uv - reach * 5.176)) * 0.0104;
  colour = sum;
}`;

export const FINISH = `#version 300 es
precision highp float;
uniform sampler2D body;
uniform sampler2D near;
uniform sampler2D far;
uniform sampler2D trail;
uniform vec2 size;
uniform vec2 chest; // px
uniform float stature;
uniform float floorLine; // px from the top; below it the floor mirrors
uniform vec3 beat;
uniform float stage; // 0: nothing but the body, with alpha
in vec2 uv;
out vec4 colour;

float grain(vec2 p) { return fract(sin(dot(p, vec2(12.9898, 78.233))) * 43758.5453); }
vec3 film(vec3 x) { return clamp((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0); }

void main() {
  vec2 p = vec2(uv.x, 1.0 - uv.y) * size;
  vec4 figure = texture(body, uv);
  vec3 glow = texture(near, uv).rgb * (0.22 + 0.16 * beat.x) + texture(far, uv).rgb * (0.34 + 0.40 * beat.x);
  vec4 wake = texture(trail, uv);
  vec3 behind = vec3(0.0);
  if (stage > 0.0) {
    float below = (p.y - floorLine) / stature;
    vec2 q = (p - vec2(chest.x, floorLine)) / stature;
    float halo = exp(-dot((p - chest) / stature, (p - chest) / stature) * 1.9);
    behind += vec3(0.0028, 0.0024, 0.0062) + vec3(0.0105, 0.0050, 0.0270) * halo * (0.7 + 0.9 * beat.x);
    float pool = exp(-(q.x * q.x * 1.6 + q.y * q.y * 26.0));
    behind += vec3(0.016, 0.009, 0.038) * pool * (0.7 + 1.3 * beat.x);
    float ring = (length(q * vec2(1.0, 4.2)) - 0.12 - 1.1 * beat.y) / 0.05;
    behind += vec3(0.050, 0.038, 0.120) * exp(-ring * ring) * exp(-2.8 * beat.y) * smoothstep(-0.26, -0.12, below);
    if (below > 0.0) {
      vec2 mirror = vec2(uv.x, 1.0 - (2.0 * floorLine - p.y) / size.y);
      float fade = exp(-5.0 * below) * 0.34;
      behind += (texture(near, mirror).rgb * 0.75 + texture(body, mirror).rgb * 0.25 * exp(-18.0 * below)) * fade;
    }
    vec2 rim = uv - 0.5;
    behind *= 1.0 - 0.9 * dot(rim, rim);
  }
  vec3 light = behind + wake.rgb * 0.55;
  light = light * (1.0 - figure.a) + figure.rgb + glow;
  vec3 shown = pow(film(light * 0.9), vec3(1.0 / 2.2));
  shown += (grain(p) - 0.5) / 160.0 * stage; // without it the dark stage has steps
  if (stage == 0.0) shown = max(shown - 0.025, 0.0); // the far end of the glow would lie over all that is beneath
  float alpha = stage > 0.0 ? 1.0 : clamp(max(figure.a, max(shown.r, max(shown.g, shown.b))), 0.0, 1.0);
  colour = vec4(min(shown, vec3(stage > 0.0 ? 1.0 : alpha)), alpha);
}`;
