/**
 * Every command: its words, one line about it, and how its module is loaded. A module is loaded only when its command
 * is called, so that none pays for another's imports.
 */
import type { CommandModule } from "./command.ts";

export interface CommandEntry {
  /** For `--help`. */
  readonly summary: string;
  readonly section: Section;
  readonly load: () => Promise<CommandModule>;
  /** Words after the first that is no flag belong to somebody else: `run IMAGE COMMAND -x`. */
  readonly flagsEndAtFirstWord?: true;
  /** Docker's own exit code when tsbuild itself fails before the container's process runs. */
  readonly failureCode?: 125;
  /** Works without a store: it is neither loaded nor opened. */
  readonly storeless?: true;
  /** Must work on a full disk: it shows what takes the space, or gives some back. */
  readonly onFullDisk?: true;
}

export const sections = ["Build", "Containers", "Images", "Registries", "Cache", "System"] as const;
export type Section = (typeof sections)[number];

/** By the command's own words, in the order of `--help`. */
export const commands: ReadonlyMap<string, CommandEntry> = new Map<string, CommandEntry>([
  [
    "build",
    { summary: "build an image from a Dockerfile", section: "Build", load: () => import("./commands/build.ts") },
  ],
  [
    "parse",
    {
      summary: "what a Dockerfile says, and what is wrong with it",
      section: "Build",
      load: () => import("./commands/parse.ts"),
      storeless: true,
    },
  ],
  [
    "format",
    {
      summary: "write Dockerfiles in one style",
      section: "Build",
      load: () => import("./commands/format.ts"),
      storeless: true,
    },
  ],
  [
    "check",
    {
      summary: "mistakes in a Dockerfile, and how to mend them",
      section: "Build",
      load: () => import("./commands/check.ts"),
    },
  ],
  [
    "run",
    {
      summary: "run a command in a new container",
      section: "Containers",
      load: () => import("./commands/run.ts"),
      flagsEndAtFirstWord: true,
      failureCode: 125,
    },
  ],
  [
    "create",
    {
      summary: "make a container that does not run yet",
      section: "Containers",
      load: () => import("./commands/create.ts"),
      flagsEndAtFirstWord: true,
      failureCode: 125,
    },
  ],
  [
    "start",
    { summary: "run containers that were stopped", section: "Containers", load: () => import("./commands/start.ts") },
  ],
  [
    "stop",
    {
      summary: "end containers, gently first",
      section: "Containers",
      load: () => import("./commands/stop.ts"),
      onFullDisk: true,
    },
  ],
  ["restart", { summary: "stop, then start", section: "Containers", load: () => import("./commands/restart.ts") }],
  [
    "kill",
    {
      summary: "send a signal to containers",
      section: "Containers",
      load: () => import("./commands/kill.ts"),
      onFullDisk: true,
    },
  ],
  [
    "pause",
    { summary: "make containers stand still", section: "Containers", load: () => import("./commands/pause.ts") },
  ],
  [
    "unpause",
    { summary: "let paused containers go on", section: "Containers", load: () => import("./commands/unpause.ts") },
  ],
  [
    "wait",
    {
      summary: "wait until containers end, print their exit codes",
      section: "Containers",
      load: () => import("./commands/wait.ts"),
      onFullDisk: true,
    },
  ],
  [
    "ps",
    {
      summary: "the containers there are",
      section: "Containers",
      load: () => import("./commands/ps.ts"),
      onFullDisk: true,
    },
  ],
  [
    "logs",
    {
      summary: "what a container wrote",
      section: "Containers",
      load: () => import("./commands/logs.ts"),
      onFullDisk: true,
    },
  ],
  [
    "attach",
    {
      summary: "see a container's output, and type into it",
      section: "Containers",
      load: () => import("./commands/attach.ts"),
    },
  ],
  [
    "exec",
    {
      summary: "run a further command in a container",
      section: "Containers",
      load: () => import("./commands/exec.ts"),
      flagsEndAtFirstWord: true,
      failureCode: 125,
    },
  ],
  [
    "top",
    {
      summary: "the processes of a container",
      section: "Containers",
      load: () => import("./commands/top.ts"),
      flagsEndAtFirstWord: true,
    },
  ],
  [
    "cp",
    { summary: "copy files into or out of a container", section: "Containers", load: () => import("./commands/cp.ts") },
  ],
  [
    "diff",
    {
      summary: "what a container changed in its image's files",
      section: "Containers",
      load: () => import("./commands/diff.ts"),
    },
  ],
  [
    "commit",
    { summary: "make an image of a container", section: "Containers", load: () => import("./commands/commit.ts") },
  ],
  [
    "export",
    { summary: "a container's files as a tar", section: "Containers", load: () => import("./commands/export.ts") },
  ],
  [
    "rename",
    { summary: "give a container another name", section: "Containers", load: () => import("./commands/rename.ts") },
  ],
  [
    "rm",
    { summary: "remove containers", section: "Containers", load: () => import("./commands/rm.ts"), onFullDisk: true },
  ],
  [
    "plan",
    { summary: "what a build would do now, and why", section: "Build", load: () => import("./commands/plan.ts") },
  ],
  [
    "images",
    {
      summary: "the images there are",
      section: "Images",
      load: () => import("./commands/images.ts"),
      onFullDisk: true,
    },
  ],
  ["history", { summary: "how an image came to be", section: "Images", load: () => import("./commands/history.ts") }],
  ["tag", { summary: "a further name for an image", section: "Images", load: () => import("./commands/tag.ts") }],
  [
    "rmi",
    {
      summary: "remove names, and images with them",
      section: "Images",
      load: () => import("./commands/rmi.ts"),
      onFullDisk: true,
    },
  ],
  [
    "inspect",
    {
      summary: "all that is known about containers and images",
      section: "Images",
      load: () => import("./commands/inspect.ts"),
      onFullDisk: true,
    },
  ],
  [
    "save",
    { summary: "images into an archive or a folder", section: "Images", load: () => import("./commands/save.ts") },
  ],
  ["load", { summary: "images out of an archive", section: "Images", load: () => import("./commands/load.ts") }],
  [
    "import",
    { summary: "an image of a root file system's tar", section: "Images", load: () => import("./commands/import.ts") },
  ],
  ["pull", { summary: "an image from a registry", section: "Registries", load: () => import("./commands/pull.ts") }],
  ["push", { summary: "an image to a registry", section: "Registries", load: () => import("./commands/push.ts") }],
  [
    "login",
    {
      summary: "remember who you are to a registry",
      section: "Registries",
      load: () => import("./commands/login.ts"),
      storeless: true,
    },
  ],
  [
    "logout",
    {
      summary: "forget it again",
      section: "Registries",
      load: () => import("./commands/logout.ts"),
      storeless: true,
    },
  ],
  [
    "container prune",
    {
      summary: "remove stopped containers",
      section: "Containers",
      load: () => import("./commands/container/prune.ts"),
      onFullDisk: true,
    },
  ],
  [
    "image prune",
    {
      summary: "remove images nobody needs",
      section: "Images",
      load: () => import("./commands/image/prune.ts"),
      onFullDisk: true,
    },
  ],
  [
    "system check",
    {
      summary: "does the store hold what it says",
      section: "System",
      load: () => import("./commands/system/check.ts"),
      onFullDisk: true,
    },
  ],
  [
    "system df",
    {
      summary: "what takes how much of the disk",
      section: "System",
      load: () => import("./commands/system/df.ts"),
      onFullDisk: true,
    },
  ],
  [
    "system prune",
    {
      summary: "remove stopped containers, needless images and cache",
      section: "System",
      load: () => import("./commands/system/prune.ts"),
      onFullDisk: true,
    },
  ],
  [
    "info",
    {
      summary: "the store, this machine, and what it can do",
      section: "System",
      load: () => import("./commands/info.ts"),
    },
  ],
  [
    "cache ls",
    {
      summary: "steps that need not run again",
      section: "Cache",
      load: () => import("./commands/cache/ls.ts"),
      onFullDisk: true,
    },
  ],
  [
    "cache why",
    { summary: "why steps will run again", section: "Cache", load: () => import("./commands/cache/why.ts") },
  ],
  [
    "cache inspect",
    {
      summary: "a step's record, with all that was hashed",
      section: "Cache",
      load: () => import("./commands/cache/inspect.ts"),
    },
  ],
  [
    "cache du",
    {
      summary: "what the cache weighs",
      section: "Cache",
      load: () => import("./commands/cache/du.ts"),
      onFullDisk: true,
    },
  ],
  [
    "cache prune",
    {
      summary: "let records and their layers go",
      section: "Cache",
      load: () => import("./commands/cache/prune.ts"),
      onFullDisk: true,
    },
  ],
  [
    "version",
    {
      summary: "what this tsbuild is",
      section: "System",
      load: () => import("./commands/version.ts"),
      storeless: true,
    },
  ],
]);

/** Words of a group, and the command each stands for. Those whose command is not there do not exist. */
const groupMembers: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  container: same(
    "attach commit cp create diff exec export inspect kill logs ps pause port rename restart rm run start stats stop top",
    "unpause update wait",
    { ls: "ps", list: "ps", remove: "rm", prune: "container prune" },
  ),
  image: same("build history import inspect load pull push save search tag", {
    ls: "images",
    list: "images",
    images: "images",
    rm: "rmi",
    rmi: "rmi",
    remove: "rmi",
    prune: "image prune",
  }),
  builder: same("build", { prune: "cache prune", du: "cache du" }),
  buildx: same("build", { b: "build", prune: "cache prune", du: "cache du" }),
  system: same("info version", { check: "system check", df: "system df", prune: "system prune" }),
  cache: {
    ls: "cache ls",
    list: "cache ls",
    inspect: "cache inspect",
    why: "cache why",
    du: "cache du",
    prune: "cache prune",
  },
};

/** Further names of whole commands. */
const aliases: Readonly<Record<string, string>> = { bud: "build", prune: "system prune" };

export type Lookup =
  | { readonly kind: "command"; readonly name: string; readonly entry: CommandEntry; readonly words: number }
  | { readonly kind: "group"; readonly group: string; readonly wrong: string | undefined }
  | { readonly kind: "unknown" };

/** Finds the command that the leading words name. `words` of the result says how many of them it took. */
export function findCommand(first: string, second: string | undefined): Lookup {
  const members = Object.hasOwn(groupMembers, first) ? groupMembers[first] : undefined;
  if (members !== undefined) {
    const target = second !== undefined && Object.hasOwn(members, second) ? members[second] : undefined;
    const entry = target === undefined ? undefined : commands.get(target);
    if (entry === undefined || target === undefined) return { kind: "group", group: first, wrong: second };
    return { kind: "command", name: `${first} ${second}`, entry, words: 2 };
  }
  const name = (Object.hasOwn(aliases, first) && aliases[first]) || first;
  const entry = commands.get(name);
  return entry === undefined ? { kind: "unknown" } : { kind: "command", name: first, entry, words: 1 };
}

/** The words of a group that exist, each with what it does. */
export function groupCommands(group: string): ReadonlyMap<string, CommandEntry> {
  const members = Object.hasOwn(groupMembers, group) ? groupMembers[group] : undefined;
  const found = new Map<string, CommandEntry>();
  for (const [word, target] of Object.entries(members ?? {})) {
    const entry = commands.get(target);
    if (entry !== undefined) found.set(word, entry);
  }
  return found;
}

/** Groups that have at least one command. */
export function groups(): readonly string[] {
  return Object.keys(groupMembers).filter((group) => groupCommands(group).size > 0);
}

/** All words that may stand first. */
export function firstWords(): readonly string[] {
  const plain = [...commands.keys()].filter((name) => !name.includes(" "));
  const others = Object.entries(aliases).flatMap(([alias, target]) => (commands.has(target) ? [alias] : []));
  return [...plain, ...groups(), ...others];
}

function same(...parts: readonly (string | Readonly<Record<string, string>>)[]): Readonly<Record<string, string>> {
  const members: Record<string, string> = {};
  for (const part of parts) {
    if (typeof part === "string") for (const word of part.split(" ")) members[word] = word;
    else Object.assign(members, part);
  }
  return members;
}
