// Builds what users get: `npm install && npm run build`, or `node build.mjs FOLDER` to write elsewhere. The result is
// committed and goes into the wheel, so that nobody needs node to export or play.
import {build} from "esbuild";
import {fileURLToPath} from "node:url";

const common = {
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  outdir: process.argv[2] ?? "built",
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};
// A classic script, because a page that was opened from the disk may load no modules.
await build({...common, entryPoints: ["src/page.js"], format: "iife"});
await build({...common, entryPoints: ["src/live.js", "src/live-worker.js"], format: "esm", external: ["./vision_bundle.mjs"]});
