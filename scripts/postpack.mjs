// After `npm pack`: package.json is again what it was.
import { existsSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
if (existsSync(`${root}package.json.unpacked`)) renameSync(`${root}package.json.unpacked`, `${root}package.json`);
