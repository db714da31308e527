// Node 20 does not strip types: bundle each src/**/*.test.ts into a temporary folder, run them there, remove it.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const source = new URL("src", import.meta.url).pathname;
const tests = readdirSync(source, { recursive: true }).filter((name) => name.endsWith(".test.ts"));
const out = mkdtempSync(join(tmpdir(), "gaitkeeper-widget-"));
try {
  await build({
    entryPoints: tests.map((name) => join(source, name)),
    outdir: out,
    outbase: source,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const files = tests.map((name) => join(out, name.replace(/\.ts$/, ".mjs")));
  process.exitCode = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
