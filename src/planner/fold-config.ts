/**
 * Instructions that only change the image's config and the build environment: folded into the stage's state, each with
 * the history text that BuildKit writes. Source: BuildKit, frontend/dockerfile/dockerfile2llb/convert.go.
 */
import { constants } from "node:os";
import { assertNever, type Where } from "../errors.ts";
import type { Healthcheck } from "../oci/image-config.ts";
import type { Command, HealthcheckInstruction, Instruction, Pair } from "../parser/ast.ts";
import { emptyName, emptyVolume, signalInvalid } from "./errors.ts";
import { expandWord, expandWords, type Locate } from "./expand-word.ts";
import { parseExposedPort } from "./expose-ports.ts";
import { goDuration, goList, goQuotedList } from "./go-format.ts";
import { defaultShell } from "./run-input.ts";
import { declareArgs, type GlobalScope } from "./scopes.ts";
import type { StageState } from "./stage-state.ts";

export type ConfigInstruction = Exclude<
  Instruction,
  { readonly kind: "run" | "copy" | "add" | "workdir" | "from" | "invalid" }
>;

export interface FoldContext {
  readonly global: GlobalScope;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly locate: Locate;
}

/** Applies one instruction and appends its history entry (ONBUILD has none). @throws {TsbuildError} */
export function foldConfig(state: StageState, instruction: ConfigInstruction, context: FoldContext): void {
  const text = fold(state, instruction, context);
  if (text !== undefined) state.history.push({ createdBy: text, step: undefined });
}

function fold(state: StageState, instruction: ConfigInstruction, context: FoldContext): string | undefined {
  const { locate } = context;
  const { variables } = state.environment;
  switch (instruction.kind) {
    case "arg":
      return declareArgs(instruction, state.environment, context, locate);
    case "env": {
      const pairs = expandPairs(instruction.pairs, state, locate);
      for (const [index, [name, value]] of pairs.entries()) {
        // BuildKit takes it, and no runtime starts a process with it.
        if (name === "") throw emptyName("ENV", locate(instruction.pairs[index]?.range ?? instruction.range));
        state.environment.set(name, value);
        state.config = { ...state.config, Env: withVariable(state.config.Env ?? [], name, value) };
      }
      return `ENV ${pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`;
    }
    case "label": {
      const pairs = expandPairs(instruction.pairs, state, locate);
      state.config = { ...state.config, Labels: { ...state.config.Labels, ...Object.fromEntries(pairs) } };
      return `LABEL ${pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`;
    }
    case "maintainer":
      state.author = instruction.name;
      return `MAINTAINER ${instruction.name}`;
    case "cmd": {
      const argv = argvOf(instruction.command, state);
      const { Cmd: _, ...config } = state.config;
      state.config = { ...config, ...(argv.length > 0 && { Cmd: argv }), ArgsEscaped: true };
      state.cmdSet = true;
      return `CMD ${goQuotedList(argv)}`;
    }
    case "entrypoint": {
      const argv = argvOf(instruction.command, state);
      const { Entrypoint: _, Cmd: cmd, ...config } = state.config;
      state.config = {
        ...config,
        ...(argv.length > 0 && { Entrypoint: argv }),
        // An inherited CMD was written for another entrypoint.
        ...(state.cmdSet && cmd !== undefined && { Cmd: cmd }),
      };
      return `ENTRYPOINT ${goQuotedList(argv)}`;
    }
    case "shell":
      state.config = { ...state.config, Shell: instruction.argv };
      return `SHELL ${goList(instruction.argv)}`;
    case "user": {
      const user = expandWord(instruction.user, variables, locate);
      const { User: _, ...config } = state.config;
      state.config = user === "" ? config : { ...config, User: user };
      return `USER ${user}`;
    }
    case "expose":
      return expose(state, instruction, context);
    case "volume": {
      const paths = instruction.paths.map((word) => {
        const path = expandWord(word, variables, locate);
        if (path === "") throw emptyVolume(locate(word.range));
        return path;
      });
      state.config = {
        ...state.config,
        Volumes: { ...state.config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) },
      };
      return `VOLUME ${goList(paths)}`;
    }
    case "stopsignal": {
      const signal = expandWord(instruction.signal, variables, locate);
      checkSignal(signal, locate(instruction.signal.range));
      state.config = { ...state.config, StopSignal: signal };
      return `STOPSIGNAL ${signal}`;
    }
    case "healthcheck": {
      const check = healthcheckOf(instruction);
      state.config = { ...state.config, Healthcheck: check };
      return `HEALTHCHECK ${formatHealthcheck(check)}`;
    }
    case "onbuild":
      state.config = { ...state.config, OnBuild: [...(state.config.OnBuild ?? []), instruction.trigger] };
      return undefined;
    default:
      return assertNever(instruction);
  }
}

/** All words see the environment before the instruction. */
function expandPairs(
  pairs: readonly Pair[],
  state: StageState,
  locate: Locate,
): readonly (readonly [string, string])[] {
  const { variables } = state.environment;
  return pairs.map(({ key, value }) => [expandWord(key, variables, locate), expandWord(value, variables, locate)]);
}

/** A known key keeps its place. */
function withVariable(env: readonly string[], name: string, value: string): readonly string[] {
  const at = env.findIndex((pair) => pair.startsWith(`${name}=`));
  return at < 0 ? [...env, `${name}=${value}`] : env.with(at, `${name}=${value}`);
}

function argvOf(command: Command, state: StageState): readonly string[] {
  return command.form === "exec" ? command.argv : [...(state.config.Shell ?? defaultShell), command.text];
}

function expose(
  state: StageState,
  instruction: Extract<ConfigInstruction, { readonly kind: "expose" }>,
  { locate }: FoldContext,
): string {
  // Sorted as bytes, and before expansion.
  const sorted = instruction.ports.toSorted((a, b) => Buffer.compare(Buffer.from(a.raw), Buffer.from(b.raw)));
  const keys: string[] = [];
  for (const word of sorted) {
    for (const text of expandWords(word, state.environment.variables, locate)) {
      const port = parseExposedPort(text, locate(word.range));
      keys.push(...port.keys);
    }
  }
  state.config = {
    ...state.config,
    ExposedPorts: { ...state.config.ExposedPorts, ...Object.fromEntries(keys.map((key) => [key, {}])) },
  };
  return `EXPOSE ${goList([...new Set(keys)])}`;
}

/** A non-zero integer, or a name of the kernel's with or without `SIG`. */
function checkSignal(text: string, where: Where): void {
  if (/^[-+]?[0-9]+$/.test(text)) {
    if (Number(text) === 0) throw signalInvalid(text, where);
    return;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RTM(?:IN(?:\+([0-9]{1,2}))?|AX(?:-([0-9]{1,2}))?)$/.exec(name);
  if (realTime !== null && Number(realTime[1] ?? realTime[2] ?? 0) <= 30) return;
  if (!Object.hasOwn(constants.signals, `SIG${name}`)) throw signalInvalid(text, where);
}

function healthcheckOf(instruction: HealthcheckInstruction): Healthcheck {
  const { command } = instruction;
  const test =
    command === undefined ? ["NONE"] : command.form === "exec" ? ["CMD", ...command.argv] : ["CMD-SHELL", command.text];
  return {
    Test: test,
    ...(instruction.interval && { Interval: instruction.interval }),
    ...(instruction.timeout && { Timeout: instruction.timeout }),
    ...(instruction.startPeriod && { StartPeriod: instruction.startPeriod }),
    ...(instruction.startInterval && { StartInterval: instruction.startInterval }),
    ...(instruction.retries && { Retries: instruction.retries }),
  };
}

/** Go's `%+v` of the struct. */
function formatHealthcheck(check: Healthcheck): string {
  return (
    `{Test:${goList(check.Test ?? [])} Interval:${goDuration(check.Interval ?? 0)} ` +
    `Timeout:${goDuration(check.Timeout ?? 0)} StartPeriod:${goDuration(check.StartPeriod ?? 0)} ` +
    `StartInterval:${goDuration(check.StartInterval ?? 0)} Retries:${check.Retries ?? 0}}`
  );
}
