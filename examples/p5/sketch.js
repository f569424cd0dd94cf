// A dancer of ribbons: every hand and foot draws a line of where it has been; the beat makes it wide. See index.html.
const TIPS = { 4: "#ff5a78", 7: "#3fa0ff", 10: "#ff9a5a", 13: "#7a6bff" }; // right and left wrist, right and left ankle
const KEPT = 40; // places a ribbon is long

let pose = null; // 60 times [x, y, confidence], on a canvas of 512 x 896
let ribbons = Object.fromEntries(Object.keys(TIPS).map((joint) => [joint, []]));
let beats = []; // Unix times in ms at which beats are on show

const broker = new URLSearchParams(location.search).get("broker") || "ws://127.0.0.1:9001";
const client = mqtt.connect(broker, { protocolVersion: 4 });
client.on("connect", () => client.subscribe(["xdancer/v1/main/pose", "xdancer/v1/main/beat"]));
client.on("message", (topic, payload) => {
  const body = JSON.parse(payload.toString());
  // Both are told ahead of time: `due` says when the wall shows them.
  setTimeout(() => {
    if (topic.endsWith("beat")) beats.push(Date.now());
    else pose = body.pose;
  }, body.due * 1000 - Date.now());
});

function setup() {
  createCanvas(windowWidth, windowHeight);
}

function windowResized() {
  resizeCanvas(windowWidth, windowHeight);
}

function draw() {
  background(6, 5, 14);
  if (!pose) return;
  const scaled = height / 896;
  translate((width - 512 * scaled) / 2, 0);
  scale(scaled);
  const pulse = exp(-(Date.now() - (beats[beats.length - 1] ?? 0)) / 180);
  noFill();
  for (const [joint, colour] of Object.entries(TIPS)) {
    const [x, y, confidence] = pose[joint];
    const ribbon = ribbons[joint];
    if (confidence > 0.1) ribbon.push([x, y]);
    if (ribbon.length > KEPT) ribbon.shift();
    for (let i = 1; i < ribbon.length; i++) {
      const ink = color(colour);
      ink.setAlpha((255 * i) / ribbon.length);
      stroke(ink);
      strokeWeight(((4 + 14 * pulse) * i) / ribbon.length);
      line(...ribbon[i - 1], ...ribbon[i]);
    }
  }
  noStroke();
  fill(255);
  for (const [x, y, confidence] of pose) if (confidence > 0.1) circle(x, y, 3 + 5 * pulse);
}
