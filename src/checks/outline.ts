/** `--call=outline`: what a target takes: build arguments with their values, secrets, ssh agents. */
import type { Dockerfile, Instruction, Range, Word } from "../parser/ast.ts";
import type { CheckedFile, WalkedLine } from "./checked-file.ts";
import { describe } from "./targets.ts";
import { variablesIn } from "./variables-in.ts";
import { wordValue } from "./walk-stages.ts";

export interface Outline {
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineNeed[];
  readonly ssh: readonly OutlineNeed[];
}

export interface OutlineArg {
  readonly name: string;
  readonly description: string | undefined;
  /** Undefined: it has none. */
  readonly value: string | undefined;
  readonly range: Range;
}

/** Of a secret or an agent, by its id. */
export interface OutlineNeed {
  readonly name: string;
  readonly required: boolean;
  readonly range: Range;
}

/** Of the last stage of `file.walked`, and all that it needs. */
export function outlineOf(file: CheckedFile): Outline {
  const target = file.walked.at(-1);
  const globals = globalArgs(file);
  const args = new Map<string, OutlineArg>();
  const secrets = new Map<string, OutlineNeed>();
  const ssh = new Map<string, OutlineNeed>();
  const use = (name: string): void => {
    const global = globals.get(name);
    if (global === undefined || args.has(name)) return;
    args.set(name, global.arg);
    for (const other of global.needs) use(other);
  };
  for (const stage of file.walked) {
    for (const word of [stage.source.from.image, stage.source.from.platform])
      if (word !== undefined) for (const { name } of variablesIn(word)) use(name);
    for (const line of stage.lines) {
      if (line.instruction.kind === "arg") stageArgs(file, line, line.instruction, args, use);
      if (line.instruction.kind === "run") mountNeeds(file.dockerfile, line, secrets, ssh);
    }
  }
  const byPlace = <Item extends { readonly range: Range }>(items: Iterable<Item>): readonly Item[] =>
    [...items].sort((a, b) => a.range.start - b.range.start);
  return {
    name: target?.source.name,
    description: target === undefined ? undefined : describe(target.source.from, target.source.name),
    args: byPlace(args.values()),
    secrets: byPlace(secrets.values()),
    ssh: byPlace(ssh.values()),
  };
}

interface GlobalArg {
  readonly arg: OutlineArg;
  /** Names its default uses. */
  readonly needs: readonly string[];
}

function globalArgs({ dockerfile, global }: CheckedFile): ReadonlyMap<string, GlobalArg> {
  const found = new Map<string, GlobalArg>();
  for (const instruction of dockerfile.instructions) {
    if (instruction.kind === "from") break;
    if (instruction.kind !== "arg") continue;
    for (const { name, defaultValue } of instruction.args) {
      const needs = defaultValue === undefined ? [] : variablesIn(defaultValue).map((variable) => variable.name);
      const arg = argOf(instruction, name, global.variables.get(name));
      found.set(name, { arg, needs: needs.filter((other) => other !== name) });
    }
  }
  return found;
}

function argOf(instruction: Instruction, name: string, value: string | undefined): OutlineArg {
  return { name, description: describe(instruction, name), value, range: instruction.range };
}

/** An ARG without a value of its own means the global one of its name, and nothing where that is the builder's. */
function stageArgs(
  file: CheckedFile,
  { before }: WalkedLine,
  instruction: Extract<Instruction, { kind: "arg" }>,
  args: Map<string, OutlineArg>,
  use: (name: string) => void,
): void {
  const { options, global, dockerfile } = file;
  for (const { name, defaultValue } of instruction.args) {
    const given = options.buildArgs.get(name);
    if (given === undefined && defaultValue === undefined && global.names.has(name)) {
      use(name);
      continue;
    }
    const value =
      given ?? (defaultValue === undefined ? undefined : wordValue(defaultValue, before.variables, dockerfile));
    if (!args.has(name)) args.set(name, argOf(instruction, name, value));
  }
}

function mountNeeds(
  dockerfile: Dockerfile,
  { instruction, before }: WalkedLine,
  secrets: Map<string, OutlineNeed>,
  ssh: Map<string, OutlineNeed>,
): void {
  if (instruction.kind !== "run") return;
  const text = (word: Word | undefined): string | undefined =>
    word === undefined ? undefined : wordValue(word, before.variables, dockerfile) || undefined;
  for (const mount of instruction.mounts) {
    if (mount.type !== "secret" && mount.type !== "ssh") continue;
    // Source: Dockerfile reference, "RUN --mount=type=secret": the id is the last part of the target.
    const name = text(mount.id) ?? (mount.type === "ssh" ? "default" : (text(mount.target)?.split("/").at(-1) ?? ""));
    const needs = mount.type === "ssh" ? ssh : secrets;
    const known = needs.get(name);
    const required = (known?.required ?? false) || (mount.required ?? false);
    needs.set(name, { name, required, range: known?.range ?? instruction.range });
  }
}
