// Before `npm pack`: builds everything, for every architecture, and takes out of package.json what only a working copy
// needs. The packages of Node itself among the optional dependencies are there so that scripts here find a current
// Node; in an installed tsbuild they would hide the user's own. `postpack.mjs` puts package.json back.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const saved = join(root, "package.json.unpacked");
if (existsSync(saved)) {
  process.stderr.write(
    "prepack: package.json.unpacked is there: an earlier pack was cut short; node scripts/postpack.mjs\n",
  );
  process.exit(1);
}
execFileSync(process.execPath, [join(root, "scripts/build.mjs"), "--all"], { stdio: ["ignore", "ignore", "inherit"] });
copyFileSync(join(root, "package.json"), saved);
const { devDependencies, optionalDependencies, scripts, allowScripts, ...shipped } = JSON.parse(
  readFileSync(saved, "utf8"),
);
writeFileSync(join(root, "package.json"), `${JSON.stringify(shipped, undefined, 2)}\n`);
