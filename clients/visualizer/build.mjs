// `npm ci && npm run build` writes dist/: the page, its script, and the WebAssembly of onnxruntime, all served from there.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

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
