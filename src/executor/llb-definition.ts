/**
 * The steps of a target in the shape of BuildKit's low-level build definition, so that what reads its provenance reads
 * ours: sources first met first, each step behind what it needs, and the result as the last.
 * Source: BuildKit, solver/pb/ops.proto; docs/attestations/slsa-definitions.md, "buildConfig".
 */
import { assertNever } from "../errors.ts";
import { canonicalReference, parseReference } from "../oci/reference.ts";
import type { CopyInput, RunInput, RunMount, Step, StepId, StepInput, TreeRef } from "../planner/build-graph.ts";
import type { BuildOptions } from "../planner/build-options.ts";
import { shownUrl } from "../planner/download.ts";
import { gitContext, gitSourceUri } from "../planner/git-url.ts";

export interface LlbStep {
  /** `step3`. */
  readonly id: string;
  readonly op: unknown;
  /** `step0:0`: the first output of another. */
  readonly inputs?: readonly string[];
}

export interface LlbDefinition {
  readonly steps: readonly LlbStep[];
  /** Of those that stand in the Dockerfile. */
  readonly ids: ReadonlyMap<StepId, string>;
  /** Of what the lowest layers come from; undefined for scratch. */
  readonly idOf: (tree: TreeRef) => string | undefined;
}

export function llbDefinition(
  steps: readonly Step[],
  result: TreeRef,
  { namedContexts }: Pick<BuildOptions, "namedContexts">,
): LlbDefinition {
  const made: LlbStep[] = [];
  const ids = new Map<StepId, string>();
  const sources = new Map<string, string>();
  const push = (op: unknown, inputs: readonly string[] = []): string => {
    const id = `step${made.length}`;
    made.push({ id, op, ...(inputs.length > 0 && { inputs }) });
    return id;
  };
  const source = (identifier: string, attrs?: Readonly<Record<string, string>>): string => {
    const known = sources.get(identifier);
    if (known !== undefined) return known;
    const id = push({ Op: { source: { identifier, ...(attrs !== undefined && { attrs }) } } });
    sources.set(identifier, id);
    return id;
  };
  const identifierOf = (tree: TreeRef): string | undefined => {
    if (tree.kind === "image") {
      const { name, manifestDigest } = tree.image;
      const reference = canonicalReference(parseReference(name));
      return `docker-image://${reference}${manifestDigest === undefined ? "" : `@${manifestDigest}`}`;
    }
    if (tree.kind !== "context") return undefined;
    const named = tree.name === undefined ? undefined : namedContexts.get(tree.name);
    const git = named?.kind === "git" ? gitContext(named.url, undefined) : undefined;
    if (git !== undefined) return `git://${gitSourceUri(git)}`;
    return named?.kind === "url" ? shownUrl(named.url) : `local://${tree.name ?? "context"}`;
  };
  const idOf = (tree: TreeRef): string | undefined => {
    if (tree.kind === "step") return ids.get(tree.step);
    const identifier = identifierOf(tree);
    return identifier === undefined ? undefined : source(identifier);
  };
  for (const step of steps) ids.set(step.id, push(...operation(step, { idOf, source })));
  const last = idOf(result);
  push({ Op: null }, last === undefined ? [] : [`${last}:0`]);
  return { steps: made, ids, idOf };
}

interface Sources {
  readonly idOf: (tree: TreeRef) => string | undefined;
  readonly source: (identifier: string, attrs?: Readonly<Record<string, string>>) => string;
}

function operation(step: Step, sources: Sources): readonly [op: unknown, inputs: readonly string[]] {
  const inputs: string[] = [];
  /** −1 for nothing. */
  const input = (id: string | undefined): number => {
    if (id === undefined) return -1;
    const at = inputs.indexOf(`${id}:0`);
    return at < 0 ? inputs.push(`${id}:0`) - 1 : at;
  };
  const base = input(sources.idOf(step.parent));
  const { os: OS, architecture: Architecture, variant } = step.platform;
  const platform = { Architecture, OS, ...(variant !== undefined && { Variant: variant }) };
  return [{ Op: opOf(step.input, base, { ...sources, input }), platform }, inputs];
}

interface OpContext extends Sources {
  readonly input: (id: string | undefined) => number;
}

function opOf(input: StepInput, base: number, context: OpContext): unknown {
  switch (input.kind) {
    case "run":
      return { exec: execOp(input, base, context) };
    case "copy":
      return { file: { actions: copyActions(input, base, context) } };
    case "workdir": {
      const timestamp = input.sourceDateEpoch === undefined ? -1 : input.sourceDateEpoch * 1e9;
      const mkdir = { path: input.path, mode: 0o755, makeParents: true, timestamp };
      return { file: { actions: [{ input: base, secondaryInput: -1, output: 0, Action: { mkdir } }] } };
    }
    default:
      return assertNever(input);
  }
}

const networks = { default: 0, host: 1, none: 2 } as const;

function execOp(input: RunInput, base: number, context: OpContext): unknown {
  const { argv, env, cwd, user, hostname, network, security } = input;
  return {
    meta: {
      args: argv,
      env,
      cwd,
      ...(user !== "" && { user }),
      ...(hostname !== "" && { hostname }),
      ...(input.ulimits.length > 0 && {
        ulimit: input.ulimits.map(({ name: Name, soft: Soft, hard: Hard }) => ({ Name, Soft, Hard })),
      }),
      ...(input.cgroupParent !== undefined && { cgroupParent: input.cgroupParent }),
    },
    mounts: [{ input: base, dest: "/", output: 0 }, ...input.mounts.flatMap((mount) => execMount(mount, context))],
    network: networks[network],
    security: security === "insecure" ? 1 : 0,
    ...secretVariables(input),
    ...(input.devices.length > 0 && {
      cdiDevices: input.devices.map(({ name, required }) => ({ name, optional: !required })),
    }),
  };
}

function secretVariables({ mounts }: RunInput): { readonly secretenv?: readonly unknown[] } {
  const secretenv = mounts.flatMap((mount) =>
    mount.type === "secret" && mount.env !== undefined
      ? { ID: mount.id, name: mount.env, ...(!mount.required && { optional: true }) }
      : [],
  );
  return secretenv.length === 0 ? {} : { secretenv };
}

const sharings = { shared: 0, private: 1, locked: 2 } as const;

/** The numbers are those of `MountType`. */
function execMount(mount: RunMount, { idOf, input }: OpContext): readonly unknown[] {
  const none = { input: -1, output: -1 };
  switch (mount.type) {
    case "bind": {
      const { source: selector, target: dest, readonly } = mount;
      return [{ input: input(idOf(mount.from)), selector, dest, output: -1, readonly }];
    }
    case "cache": {
      const cacheOpt = { ID: mount.id, sharing: sharings[mount.sharing] };
      const { source: selector, target: dest, readonly } = mount;
      return [{ input: input(idOf(mount.from)), selector, dest, output: -1, readonly, mountType: 3, cacheOpt }];
    }
    case "tmpfs":
      return [{ ...none, dest: mount.target, mountType: 4, TmpfsOpt: { size: mount.sizeBytes ?? 0 } }];
    case "secret": {
      if (mount.target === undefined) return [];
      const { id: ID, uid, gid, mode, required } = mount;
      return [{ ...none, dest: mount.target, mountType: 1, secretOpt: { ID, uid, gid, mode, optional: !required } }];
    }
    case "ssh": {
      const { id: ID, uid, gid, mode, required } = mount;
      return [{ ...none, dest: mount.target, mountType: 2, SSHOpt: { ID, uid, gid, mode, optional: !required } }];
    }
    default:
      return assertNever(mount);
  }
}

/** Each action stands on the one before; the last is the step's output. */
function copyActions(input: CopyInput, base: number, context: OpContext): readonly unknown[] {
  const { destination, chown, chmod, exclude, link, sources } = input;
  const mode = chmod?.kind === "octal" ? chmod.mode : -1;
  const common = {
    dest: destination,
    ...(chown !== undefined && { owner: chown }),
    mode,
    ...(chmod?.kind === "symbolic" && { modeStr: chmod.text }),
    timestamp: -1,
  };
  const copied = sources.map((source): readonly [secondaryInput: number, Action: unknown] => {
    if (source.kind === "heredoc") {
      const { dest: path, ...rest } = common;
      const data = Buffer.from(source.content).toString("base64");
      return [-1, { mkfile: { ...rest, path: `${path}${path.endsWith("/") ? source.name : ""}`, data } }];
    }
    const copy = {
      src: source.kind === "path" ? source.path : "/",
      ...common,
      followSymlink: true,
      dirCopyContents: true,
      createDestPath: true,
      allowWildcard: true,
      allowEmptyWildcard: true,
      attemptUnpackDockerCompatibility: input.instruction === "ADD" && input.unpack !== false && source.kind === "path",
      ...(exclude.length > 0 && { excludePatterns: exclude }),
    };
    return [context.input(originOf(source, input, context)), { copy }];
  });
  return copied.map(([secondaryInput, Action], at) => ({
    input: at > 0 ? at - 1 : link ? -1 : base,
    secondaryInput,
    output: at === copied.length - 1 ? 0 : -1,
    Action,
  }));
}

function originOf(
  source: Exclude<CopyInput["sources"][number], { readonly kind: "heredoc" }>,
  { from, checksum }: CopyInput,
  { idOf, source: add }: OpContext,
): string | undefined {
  if (source.kind === "path") return idOf(from);
  if (source.kind === "git") return add(`git://${gitSourceUri(source.source)}`);
  return add(shownUrl(source.url), checksum === undefined ? undefined : { "http.checksum": checksum });
}
