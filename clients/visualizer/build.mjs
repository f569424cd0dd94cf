// `npm ci && npm run build` writes dist/: the page, its script, and the WebAssembly of onnxruntime, all served from there.
import { build } from "esbuild";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";

const runtime = "node_modules/onnxruntime-web/dist";
await mkdir("dist", { recursive: true });
await build({
  entryPoints: ["src/main.js"],
  outfile: "dist/visualizer.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  // The WebAssembly build with nothing for GPUs: the decoder is small.
  alias: { "onnxruntime-web": `./${runtime}/ort.wasm.min.mjs`, mqtt: "./node_modules/mqtt/dist/mqtt.esm.js" },
});
for (const page of ["index.html", "visualizer.css"]) await copyFile(`src/${page}`, `dist/${page}`);
for (const file of ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]) {
  await copyFile(`${runtime}/${file}`, `dist/${file}`);
}

// Whoever passes the bundle on passes on the notices of what is in it. mqtt's file has its dependencies in it already.
const notices = [];
for (const name of ["onnxruntime-web", "onnxruntime-common", "mqtt", ...(await dependencies("mqtt"))]) {
  const folder = `node_modules/${name}`;
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const { license, version } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
  const text = file ? (await readFile(`${folder}/${file}`, "utf8")).replace(/\r/g, "").trim() : license;
  notices.push(`${name} ${version}\n\n${text}\n`);
}
await writeFile("dist/licenses.txt", notices.join(`\n${"-".repeat(80)}\n\n`));

// The packages that a package needs, and theirs, by name.
async function dependencies(name, seen = new Set()) {
  const { dependencies: needed = {} } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
  for (const other of Object.keys(needed)) {
    if (seen.has(other) || other.startsWith("@types/")) continue;
    seen.add(other);
    await dependencies(other, seen);
  }
  return [...seen].sort();
}
