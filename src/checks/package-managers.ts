/** Package managers as a shell calls them: what a command does, and what it leaves behind. */

export interface PackageManager {
  readonly name: string;
  readonly programs: readonly string[];
  readonly installs: readonly string[];
  /** Refreshes the lists that stay. Absent: installing does. */
  readonly updates?: readonly string[];
  /** With this option nothing stays. */
  readonly withoutCache?: string;
  /** Subcommands that clean up. */
  readonly cleans: readonly string[];
  /** What stays, absolute. */
  readonly folders: readonly string[];
  /** How it is kept out of the layer. */
  readonly remedy: string;
}

export const packageManagers: readonly PackageManager[] = [
  {
    name: "apt-get",
    programs: ["apt-get", "apt", "aptitude"],
    installs: ["install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep"],
    updates: ["update"],
    cleans: [],
    folders: ["/var/lib/apt/lists"],
    remedy:
      "end the RUN with && rm -rf /var/lib/apt/lists/*, or keep them outside: --mount=type=cache,target=/var/lib/apt,sharing=locked",
  },
  {
    name: "apk",
    programs: ["apk"],
    installs: ["add", "upgrade"],
    withoutCache: "--no-cache",
    cleans: [],
    folders: ["/var/cache/apk", "/etc/apk/cache"],
    remedy: "write apk add --no-cache",
  },
  {
    name: "dnf",
    programs: ["dnf", "yum", "microdnf", "dnf5"],
    installs: ["install", "update", "upgrade", "groupinstall", "reinstall"],
    cleans: ["clean"],
    folders: ["/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5"],
    remedy:
      "end the RUN with && dnf clean all, or keep it outside: --mount=type=cache,target=/var/cache/dnf,sharing=locked",
  },
  {
    name: "zypper",
    programs: ["zypper"],
    installs: ["install", "in", "update", "up"],
    cleans: ["clean", "cc"],
    folders: ["/var/cache/zypp"],
    remedy: "end the RUN with && zypper clean --all",
  },
];

/** Options whose value is the next word. */
const takesValue: ReadonlySet<string> = new Set([
  "-o",
  "-c",
  "-t",
  "-x",
  "-p",
  "-X",
  "--setopt",
  "--repository",
  "--root",
]);

/** The first argument that is no option. */
export function subcommandOf(args: readonly string[]): string | undefined {
  for (let at = 1; at < args.length; at++) {
    const word = args[at] ?? "";
    if (takesValue.has(word)) at++;
    else if (!word.startsWith("-")) return word;
  }
  return undefined;
}

export const managerOf = (args: readonly string[]): PackageManager | undefined =>
  packageManagers.find(({ programs }) => programs.includes(args[0] ?? ""));

/** An installation of what a list in the context names, and that list. */
export interface Installation {
  /** `npm ci`. */
  readonly what: string;
  /** Which files it reads; undefined for packages that the command itself names. */
  readonly reads: string | undefined;
}

const installers: readonly {
  readonly programs: readonly string[];
  readonly subcommands: readonly string[];
  readonly reads: string;
}[] = [
  { programs: ["npm"], subcommands: ["ci", "install", "i"], reads: "package.json and package-lock.json" },
  { programs: ["pnpm"], subcommands: ["install", "i", "fetch"], reads: "package.json and pnpm-lock.yaml" },
  { programs: ["bun"], subcommands: ["install", "i"], reads: "package.json and bun.lock" },
  { programs: ["yarn"], subcommands: ["install"], reads: "package.json and yarn.lock" },
  { programs: ["bundle", "bundler"], subcommands: ["install"], reads: "Gemfile and Gemfile.lock" },
  { programs: ["composer"], subcommands: ["install"], reads: "composer.json and composer.lock" },
  { programs: ["poetry"], subcommands: ["install"], reads: "pyproject.toml and poetry.lock" },
  { programs: ["pipenv"], subcommands: ["install", "sync"], reads: "Pipfile and Pipfile.lock" },
  { programs: ["uv"], subcommands: ["sync"], reads: "pyproject.toml and uv.lock" },
  { programs: ["cargo"], subcommands: ["fetch"], reads: "Cargo.toml and Cargo.lock" },
];

/** Undefined for a command that installs nothing, or something that is in the context itself. */
export function installationOf(args: readonly string[]): Installation | undefined {
  const [program = ""] = args;
  const subcommand = subcommandOf(args);
  const manager = managerOf(args);
  if (manager !== undefined) {
    const installs = subcommand !== undefined && manager.installs.includes(subcommand);
    return installs ? { what: `${program} ${subcommand}`, reads: undefined } : undefined;
  }
  if (program === "yarn" && args.length === 1) return { what: "yarn", reads: "package.json and yarn.lock" };
  if (program === "go" && subcommand === "mod" && args.includes("download"))
    return { what: "go mod download", reads: "go.mod and go.sum" };
  const pip = pipArguments(args);
  if (pip !== undefined) {
    const list = pip.findIndex((word) => word === "-r" || word === "--requirement");
    const local = pip.some((word) => word === "." || word.startsWith("./") || word === "-e" || word === "--editable");
    return list < 0 || local ? undefined : { what: "pip install", reads: pip[list + 1] || "requirements.txt" };
  }
  const installer = installers.find(
    ({ programs, subcommands }) => programs.includes(program) && subcommands.includes(subcommand ?? ""),
  );
  return installer && { what: `${program} ${subcommand}`, reads: installer.reads };
}

/** What follows `pip install`. */
function pipArguments(args: readonly string[]): readonly string[] | undefined {
  const [program = "", ...rest] = args;
  const start = /^pip[0-9.]*$/.test(program)
    ? 0
    : /^python[0-9.]*$/.test(program) && rest[0] === "-m" && rest[1] === "pip"
      ? 2
      : program === "uv" && rest[0] === "pip"
        ? 1
        : undefined;
  return start !== undefined && rest[start] === "install" ? rest.slice(start + 1) : undefined;
}
