/**
 * From the typed words to an exit code: global flags, the command, its flags, its run. Prints errors, once. The world
 * comes in as a value; `main.ts` is the only file that touches `process`.
 */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { nearestWord } from "../nearest-word.ts";
import type { LostLayers } from "../store/lost-layers.ts";
import type { Store } from "../store/store.ts";
import type { CommandContext } from "./command.ts";
import { type CommandEntry, findCommand, firstWords, groupCommands } from "./command-table.ts";
import { configDir, defaultFlags, isDebug, runtimeName, storeRoot } from "./environment.ts";
import { exitCodeOf } from "./exit-code.ts";
import { type GlobalOptions, takeLeadingGlobals } from "./global-flags.ts";
import { unknownCommand } from "./usage-errors.ts";
import { versionLine } from "./version-info.ts";

/** What `main` has in hand. Streams are read only where they are used: making one costs a millisecond. */
export interface World {
  readonly stdin: () => NodeJS.ReadStream;
  readonly stdout: () => NodeJS.WriteStream;
  readonly stderr: () => NodeJS.WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly uid: number;
  readonly signal: AbortSignal;
  readonly interceptSignals: CommandContext["interceptSignals"];
  readonly setColor: (color: "always" | "never") => void;
}

type Invocation =
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly group: string | undefined }
  | {
      readonly kind: "command";
      readonly name: string;
      readonly entry: CommandEntry;
      readonly words: readonly string[];
      readonly globals: GlobalOptions;
    };

export async function runCommandLine(typed: readonly string[], world: World): Promise<number> {
  let entry: CommandEntry | undefined;
  let globals: GlobalOptions = { debug: false };
  try {
    const invocation = readInvocation([...defaultFlags(world.environment), ...typed], world.cwd);
    switch (invocation.kind) {
      case "version":
        world.stdout().write(`${versionLine()}\n`);
        return 0;
      case "help": {
        const help = await import("./help.ts");
        world.stdout().write(invocation.group === undefined ? help.mainHelp() : help.groupHelp(invocation.group));
        return 0;
      }
      case "command": {
        entry = invocation.entry;
        const parsed = await (await import("./parse-command.ts")).parseCommand(invocation);
        if (parsed.kind === "help") {
          world.stdout().write(parsed.text);
          return 0;
        }
        globals = parsed.globals;
        if (globals.color === "always" || globals.color === "never") world.setColor(globals.color);
        using stores = await storeOpener(entry, globals, world);
        return await parsed.module.run(parsed.command, commandContext(globals, world, stores.open));
      }
    }
  } catch (error) {
    if (world.signal.aborted) return 1; // `main` answers for the signal
    const { firstOf, renderError } = await import("./render/error.ts");
    const stream = world.stderr();
    stream.write(renderError(error, { debug: isDebug(globals, world.environment), stream }));
    return exitCodeOf(firstOf(error), entry ?? {});
  }
}

/** @throws {TsbuildError} `USAGE` */
function readInvocation(typed: readonly string[], cwd: string): Invocation {
  const { options: globals, rest } = takeLeadingGlobals(typed);
  const [first, second] = rest;
  if (first === undefined || first === "--help" || first === "-h" || (first === "help" && second === undefined)) {
    return { kind: "help", group: undefined };
  }
  if (first === "--version" || (first === "-v" && rest.length === 1)) return { kind: "version" };
  if (first === "help") return readInvocation([...rest.slice(1), "--help"], cwd);
  const build = findCommand("build", undefined);
  const asBuild = (): Invocation => {
    if (build.kind !== "command") throw unknownCommand(first, undefined);
    return { kind: "command", name: "build", entry: build.entry, words: rest, globals };
  };
  if (first.startsWith("-")) return asBuild();
  const found = findCommand(first, second);
  switch (found.kind) {
    case "command":
      return { kind: "command", name: found.name, entry: found.entry, words: rest.slice(found.words), globals };
    case "group":
      if (found.wrong === undefined || found.wrong.startsWith("-")) return { kind: "help", group: found.group };
      throw unknownCommand(
        `${found.group} ${found.wrong}`,
        nearestWord(found.wrong, groupCommands(found.group).keys()),
      );
    case "unknown":
      if (first === "." || /[/:]/.test(first) || isDirectory(resolve(cwd, first))) return asBuild();
      throw unknownCommand(first, nearestWord(first, firstWords()));
  }
}

function commandContext(globals: GlobalOptions, world: World, openStore: () => Store): CommandContext {
  return {
    get stdin() {
      return world.stdin();
    },
    get stdout() {
      return world.stdout();
    },
    get stderr() {
      return world.stderr();
    },
    environment: world.environment,
    cwd: world.cwd,
    debug: isDebug(globals, world.environment),
    runtime: runtimeName(globals, world.environment),
    root: storeRoot(globals, world.environment, world.cwd, world.uid),
    configDir: configDir(globals, world.environment, world.cwd),
    signal: world.signal,
    interceptSignals: world.interceptSignals,
    now: () => Date.now(),
    openStore,
  };
}

interface StoreOpener extends Disposable {
  readonly open: () => Store;
}

/** The store's module is loaded before the command runs, so that opening can be a plain call. */
async function storeOpener(entry: CommandEntry, globals: GlobalOptions, world: World): Promise<StoreOpener> {
  let store: Store | undefined;
  const openStore = entry.storeless === true ? undefined : (await import("../store/open-store.ts")).openStore;
  return {
    open: () => {
      // Not node:assert, which takes longer to load than the rest of this.
      if (openStore === undefined) throw new Error("a command without a store opened it");
      const root = storeRoot(globals, world.environment, world.cwd, world.uid);
      store ??= openStore(root, {
        onFullDisk: entry.onFullDisk,
        onLost: (lost) => world.stderr().write(`${lostSentence(lost)}\n`),
      });
      return store;
    },
    [Symbol.dispose]: () => store?.[Symbol.dispose](),
  };
}

function lostSentence({ layers, images }: LostLayers): string {
  const what = layers === 1 ? "a layer was" : `${layers} layers were`;
  const also = images.length === 0 ? "" : `, and with that ${images.join(", ")}: build or pull again`;
  return `warning: ${what} not on the disk yet when the machine stopped, and had to be removed${also}`;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
