/*
 * What `tsbuild` is before it is anything else: the file that Node is started with. scripts/build.mjs writes it to dist/
 * once for each program and puts the constants in. It reads a pack (every module of the sources as a function, see
 * pack.mjs), runs the program's first module, and keeps the code that V8 compiled for the next time. It must be read by
 * any Node there is, so that an old one can say what is wrong instead of stumbling over new syntax.
 */
"use strict";

if (Number.parseInt(process.versions.node, 10) < TSBUILD_NODE_MAJOR) {
  process.stderr.write(
    `tsbuild: needs Node ${TSBUILD_NODE_MAJOR} or newer, and this is ${process.version}: install a current one (npm install -g node@${TSBUILD_NODE_MAJOR}), or put it first on the PATH\n`,
  );
  process.exit(1);
}

const fs = require("node:fs");
const vm = require("node:vm");

/** Modules of Node that take a millisecond or more. */
const slow = /^node:(?:child_process|crypto|http|net|readline|sqlite|stream|tls|tty|worker_threads|zlib)\b/;
const packs = [];
const modules = new Map();
const cacheFolder = findCacheFolder();
const cacheKey = findCacheKey();
if (cacheFolder !== undefined) process.on("exit", () => packs.forEach(keepCode));
load(TSBUILD_ENTRY);

/** A module's exports; it runs when it is first asked for. */
function load(id) {
  const known = modules.get(id);
  if (known !== undefined) return known.exports;
  const pack = packOf(id);
  if (pack === undefined) return require(id);
  const module = { exports: {} };
  modules.set(id, module);
  pack.used.push(id);
  const requires = id.startsWith("src/") ? loadLate : load;
  pack.functions[id](module, module.exports, requires, __filename, __dirname);
  return module.exports;
}

/** For our own modules: a slow module of Node is read when they use something of it. */
function loadLate(id) {
  if (!slow.test(id)) return load(id);
  let real;
  const module = () => {
    real = real || require(id);
    return real;
  };
  return new Proxy(
    {},
    {
      get: (_, name) => module()[name],
      // By these an import() takes what there is.
      ownKeys: () => Object.keys(module()),
      getOwnPropertyDescriptor: (_, name) =>
        name in module() ? { value: module()[name], enumerable: true, configurable: true } : undefined,
    },
  );
}

function packOf(id) {
  if (!/^(?:src|vendor)\//.test(id)) return undefined;
  for (const name of id.startsWith("src/") ? ["cli", "rooms"] : ["cli", "rooms", id]) {
    const pack = packs.find((each) => each.name === name) || openPack(name);
    if (pack.functions[id] !== undefined) return pack;
  }
  throw new Error(`the bundle lacks ${id}`);
}

function openPack(name) {
  const file = `${__dirname}/${name}.js`;
  const kept = cacheFolder === undefined ? undefined : readKept(name);
  // The source is plain ASCII: the bundler escapes the rest.
  const script = new vm.Script(fs.readFileSync(file, "latin1"), { filename: file, cachedData: kept });
  const pack = {
    name,
    script,
    kept: script.cachedDataRejected === false ? kept : undefined,
    functions: script.runInThisContext(),
    used: [],
  };
  packs.push(pack);
  return pack;
}

function readKept(name) {
  try {
    return fs.readFileSync(keptFile(name));
  } catch {
    return undefined;
  }
}

/**
 * Behind V8's data stand the names of the modules that had run by then, and their length: a run that needed others keeps
 * its own code instead.
 */
function keepCode({ name, script, kept, used }) {
  if (kept !== undefined) {
    const end = kept.length - 4;
    const names = new Set(kept.toString("latin1", end - kept.readUInt32LE(end), end).split("\n"));
    if (used.every((id) => names.has(id))) return;
  }
  try {
    const names = Buffer.from(used.join("\n"), "latin1");
    const length = Buffer.alloc(4);
    length.writeUInt32LE(names.length, 0);
    const unfinished = `${keptFile(name)}.${process.pid}`;
    fs.mkdirSync(cacheFolder, { recursive: true });
    // On the disk before it has its name: V8 trusts most of what it reads.
    fs.writeFileSync(unfinished, Buffer.concat([script.createCachedData(), names, length]), { flush: true });
    fs.renameSync(unfinished, keptFile(name));
  } catch {
    // A disk that is full or read-only: the next start is as slow as this one.
  }
}

function keptFile(name) {
  return `${cacheFolder}/${cacheKey}-${name.replace("/", "-")}`;
}

/** Commands differ in what they need, so each has a file of its own. A program that is no command line has one. */
function findCacheKey() {
  return process.argv.slice(2).find((word) => TSBUILD_COMMANDS.includes(word)) || TSBUILD_DEFAULT_COMMAND;
}

/** Beside the program, or where the user's caches are. V8 looks at the length of a source only: the id is its digest. */
function findCacheFolder() {
  const environment = process.env;
  if (environment.NODE_DISABLE_COMPILE_CACHE) return undefined;
  const leaf = `${TSBUILD_PACK_ID}-${process.version}-${process.arch}`;
  if (environment.NODE_COMPILE_CACHE) return `${environment.NODE_COMPILE_CACHE}/tsbuild/${leaf}`;
  try {
    fs.accessSync(__dirname, fs.constants.W_OK);
    return `${__dirname}/.compiled/${leaf}`;
  } catch {
    const caches = environment.XDG_CACHE_HOME || (environment.HOME && `${environment.HOME}/.cache`);
    return caches ? `${caches}/tsbuild/${leaf}` : undefined;
  }
}
