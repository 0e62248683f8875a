// Builds what users get: `npm install && npm run build`, or `node build.mjs FOLDER` to write elsewhere. The result is
// committed and goes into the wheel, so that nobody needs node to export or play.
import {build} from "esbuild";
import {fileURLToPath} from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
await build({
  absWorkingDir: here,
  entryPoints: ["src/page.js"],
  outdir: process.argv[2] ?? "built",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
