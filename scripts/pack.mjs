// The pack: all modules of the sources in one file, each as a function that runs when the module is first imported. One
// file, because opening many took longer than a build that is cached; functions, because V8 then compiles (and keeps in
// its code cache) only the modules that a command needs. The format is a script whose value is an object:
//
//     ({ "src/errors.ts": function (module, exports, require, __filename, __dirname) { … }, … })
//
// `program.cjs` reads it. An import of Node or of koffi stays a `require`, made when the importing module runs. A module
// of ours has plain values as exports, set at its end; nothing here changes what it exports later.
import { relative, resolve } from "node:path";

/** Packages in files of their own (`vendor/<name>.js`): heavy, and needed by few commands. */
const rarelyUsed = ["chevrotain", "tar-stream", "unbzip2-stream", "undici", "xz-decompress", "zod"];
/** Packages among the sources. */
const oftenUsed = ["commander", "lru-cache", "p-queue"];

/** Texts of packs by their names: `cli`, `rooms` behind it, and one for each package that is rarely used. */
export async function makePacks(esbuild, { root, entries, options }) {
  const packages = (names) => Promise.all(names.map((name) => packageModule(esbuild, { name, options })));
  const own = await ownModules(esbuild, { root, entries, options });
  const modules = [...(await packages(oftenUsed)), ...own];
  const isOfCli = ([id]) => /^(?:vendor\/commander$|src\/(?:cli|oci)\/|src\/[^/]+$)/.test(id);
  const packs = new Map([
    ["cli", packText(modules.filter(isOfCli))],
    ["rooms", packText(modules.filter((module) => !isOfCli(module)))],
  ]);
  for (const [name, code] of await packages(rarelyUsed)) packs.set(name, packText([[name, code]]));
  return packs;
}

function packText(modules) {
  const functions = modules.map(
    ([id, code]) => `${JSON.stringify(id)}:function(module,exports,require,__filename,__dirname){${code}\n}`,
  );
  return `({${functions.join(",\n")}})\n`;
}

const idOfPackage = (name) => `vendor/${name}`;

async function packageModule(esbuild, { name, options }) {
  const { outputFiles } = await esbuild.build({
    ...options,
    entryPoints: [name],
    format: "cjs",
    write: false,
    plugins: [childProcessLater],
  });
  // A package whose default export is its main thing (p-queue) is that thing, as importers of CommonJS expect.
  const unwrapDefault = 'if(typeof module.exports.default==="function")module.exports=module.exports.default;';
  return [idOfPackage(name), `${outputFiles[0].text}${unwrapDefault}`];
}

/** commander starts other programs as subcommands, which nobody here asks it to: node:child_process takes a millisecond. */
const childProcessLater = {
  name: "child-process-later",
  setup(build) {
    build.onResolve({ filter: /^node:child_process$/ }, ({ path }) => ({ path, namespace: "later" }));
    build.onLoad({ filter: /./, namespace: "later" }, ({ path }) => ({
      contents: `exports.spawn = (...words) => module.require(${JSON.stringify(path)}).spawn(...words);`,
    }));
  },
};

/** Every module that the entries reach, by itself: what it imports becomes a `require` of that module's name. */
async function ownModules(esbuild, { root, entries, options }) {
  const files = await reachedFiles(esbuild, { root, entries, options });
  const { outputFiles } = await esbuild.build({
    ...options,
    entryPoints: files,
    outbase: root,
    outdir: root,
    format: "cjs",
    // `import()` becomes a promise of the same `require`.
    supported: { ...options.supported, "dynamic-import": false },
    write: false,
    plugins: [namesOfModules(root)],
  });
  return outputFiles.map(({ path, text }) => [relative(root, path).replace(/\.js$/, ".ts"), exportingValues(text)]);
}

/**
 * esbuild makes each export a function that is called, and that calls another one, at every use. At the end of the text
 * it names all exports for Node's sake, in a statement that is never run: that is run instead. It takes for granted that
 * exports have the names that they have inside.
 */
function exportingValues(text) {
  const code = text
    .replace(/\b__export\([\w$]+,\{(?:([\w$]+):\(\)=>\1,?)*\}\);/, "")
    .replace(/\bmodule\.exports=__toCommonJS\([\w$]+\);/, "")
    .replace(/\b0&&\(module\.exports=(\{[\w$,]*\})\);\s*$/, "Object.assign(exports,$1);");
  if (/\b(?:__export|__toCommonJS)\(|\b0&&\(module/.test(code)) {
    throw new Error(
      `an export with another name inside, or esbuild writes exports in another way: ${text.slice(-500)}`,
    );
  }
  return code;
}

async function reachedFiles(esbuild, { root, entries, options }) {
  const { metafile } = await esbuild.build({
    ...options,
    entryPoints: entries,
    outdir: root,
    packages: "external",
    format: "cjs",
    metafile: true,
    write: false,
  });
  return Object.keys(metafile.inputs).filter((path) => /^src\/.*\.ts$/.test(path));
}

function namesOfModules(root) {
  const packages = new Set([...oftenUsed, ...rarelyUsed]);
  return {
    name: "names-of-modules",
    setup(build) {
      build.onResolve({ filter: /./ }, ({ path, resolveDir, kind }) => {
        // JSON becomes part of the module that imports it.
        if (kind === "entry-point" || path.endsWith(".json")) return undefined;
        if (path.startsWith(".")) return { path: relative(root, resolve(resolveDir, path)), external: true };
        return { path: packages.has(path) ? idOfPackage(path) : path, external: true };
      });
    },
  };
}
