// Builds dist/ and its manifest. `--check` also refuses a script that outgrew its budget.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET = 5120; // gzipped bytes of the script a login page loads

const here = new URL(".", import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(`${here}package.json`, "utf8"));

const outputs = {
  "gaitkeeper.js": { entry: "src/script.ts", format: "iife" },
  "gaitkeeper.mjs": { entry: "src/index.ts", format: "esm" },
};

const files = {};
for (const [name, { entry, format }] of Object.entries(outputs)) {
  await build({
    entryPoints: [here + entry],
    outfile: `${here}dist/${name}`,
    format,
    bundle: true,
    minify: true,
    mangleProps: /^_/, // internal names; what goes over the wire never starts with an underscore
    target: "es2020",
    charset: "utf8",
    legalComments: "none",
  });
  const bytes = readFileSync(`${here}dist/${name}`);
  files[name] = {
    bytes: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
    integrity: `sha384-${createHash("sha384").update(bytes).digest("base64")}`,
  };
  console.log(`${name}: ${files[name].bytes} bytes, ${files[name].gzip} gzipped`);
}
writeFileSync(`${here}dist/manifest.json`, `${JSON.stringify({ version, files }, null, 2)}\n`);

if (process.argv.includes("--check") && files["gaitkeeper.js"].gzip > BUDGET) {
  console.error(`gaitkeeper.js is over its budget of ${BUDGET} gzipped bytes`);
  process.exit(1);
}
