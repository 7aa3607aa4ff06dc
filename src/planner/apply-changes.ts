/**
 * `--change` of import and commit: Dockerfile lines that only touch the image's config, read and folded exactly as a
 * build reads them. Load with `import()`: it needs the parser.
 */
import { TsbuildError, type Where } from "../errors.ts";
import type { ContainerConfig } from "../oci/image-config.ts";
import { hostPlatform } from "../oci/platform.ts";
import type { Instruction } from "../parser/ast.ts";
import { parse } from "../parser/parse.ts";
import { absolutePath } from "./clean-path.ts";
import { expandWord } from "./expand-word.ts";
import { type ConfigInstruction, foldConfig } from "./fold-config.ts";
import { StageEnvironment } from "./scopes.ts";
import type { StageState } from "./stage-state.ts";

const allowed: readonly Instruction["kind"][] = [
  "cmd",
  "entrypoint",
  "env",
  "expose",
  "healthcheck",
  "label",
  "onbuild",
  "stopsignal",
  "user",
  "volume",
  "workdir",
];

const flag: Where = { kind: "flag", flag: "--change" };

/** `config` with each change applied in turn. @throws {TsbuildError} `INSTRUCTION_INVALID` and what a build would throw */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  const state = stateOf(config);
  for (const change of changes) for (const instruction of instructionsOf(change)) apply(state, instruction);
  const { ArgsEscaped, ...changed } = state.config; // a builder's mark, not a user's
  return config.ArgsEscaped === undefined ? changed : { ...changed, ArgsEscaped: config.ArgsEscaped };
}

function apply(state: StageState, instruction: Instruction): void {
  if (instruction.kind !== "workdir") {
    const context = {
      global: { variables: new Map<string, string>(), names: new Set<string>() },
      buildArgs: new Map<string, string>(),
      locate: () => flag,
      warn: () => undefined,
    };
    foldConfig(state, instruction as ConfigInstruction, context); // the others are not allowed
    return;
  }
  const path = expandWord(instruction.path, state.environment.variables, () => flag);
  const current = state.config.WorkingDir || "/";
  const absolute = path.startsWith("/") ? path : absolutePath(path, current);
  state.config = { ...state.config, WorkingDir: path === "" ? current : absolute };
}

function instructionsOf(change: string): readonly Instruction[] {
  const head = "FROM scratch\n";
  const { dockerfile, diagnostics } = parse(`${head}${change}`, { file: "--change" });
  const wrong = diagnostics.find(({ severity }) => severity === "error");
  if (wrong !== undefined) throw invalid(change, wrong.message, wrong.hint);
  const instructions = dockerfile.instructions.slice(1);
  for (const { kind, keyword } of instructions)
    if (!allowed.includes(kind)) throw invalid(change, `${keyword.text.toUpperCase()} is not a valid change command`);
  return instructions;
}

function invalid(change: string, why: string, hint?: string): TsbuildError {
  return new TsbuildError({
    code: "INSTRUCTION_INVALID",
    what: `invalid change ${JSON.stringify(change)}: ${why}`,
    where: flag,
    hint,
  });
}

function stateOf(config: ContainerConfig): StageState {
  const environment = new StageEnvironment();
  for (const pair of config.Env ?? []) {
    const at = pair.indexOf("=");
    environment.set(at < 0 ? pair : pair.slice(0, at), at < 0 ? "" : pair.slice(at + 1));
  }
  const platform = hostPlatform();
  return {
    index: 0,
    name: undefined,
    platform,
    base: { kind: "scratch" },
    tree: { kind: "scratch" },
    environment,
    baseHistory: [],
    target: platform,
    inheritedTriggers: [],
    config,
    author: undefined,
    history: [],
    steps: [],
    cmdSet: false,
  };
}
