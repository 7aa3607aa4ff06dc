/** `--check`, `--call` and what goes with them: a build that only talks about its Dockerfile. */
import type { Command } from "commander";
import { TsbuildError } from "../errors.ts";
import { parseGoBoolean } from "../parser/directives.ts";

export type CallRequest =
  | { readonly kind: "check"; readonly format: CheckFormat; readonly ignoreStatus: boolean; readonly fix: boolean }
  | { readonly kind: "outline" | "targets"; readonly format: "text" | "json" };

export type CheckFormat = (typeof checkFormats)[number];

const checkFormats = ["text", "json", "sarif", "github"] as const;

export function defineCallFlags(command: Command): void {
  command
    .option("--check", "look for mistakes and build nothing; 1 when there are any")
    .option("--call <method>", "build, check, outline, targets; with ,format=… and ,ignorestatus=true");
  defineCheckFlags(command);
}

export function defineCheckFlags(command: Command): void {
  command
    .option("--format <format>", "of --check: text, json, sarif, github; of --call: text, json")
    .option("--fix", "with --check: rewrite in the Dockerfile what can be rewritten without changing what it means");
}

export interface CallFlags {
  readonly check?: boolean;
  readonly call?: string;
  readonly format?: string;
  readonly fix?: boolean;
}

/** Undefined: an ordinary build. @throws {TsbuildError} `USAGE` */
export function readCall({ check = false, call, format, fix = false }: CallFlags): CallRequest | undefined {
  const fields = fieldsOf(call ?? "build");
  const method = check ? "check" : fields.method;
  const wanted = format ?? fields.format;
  switch (method) {
    case "build":
      if (format !== undefined) throw usage("--format needs --check or --call");
      if (fix) throw usage("--fix needs --check");
      return undefined;
    case "check":
    case "lint":
      return { kind: "check", format: oneOf(wanted, checkFormats), ignoreStatus: fields.ignoreStatus, fix };
    case "outline":
    case "targets":
      if (fix) throw usage("--fix needs --check");
      return { kind: method, format: oneOf(wanted, ["text", "json"] as const) };
    default:
      throw usage(`--call knows build, check, outline and targets, not ${method}`);
  }
}

interface CallFields {
  readonly method: string;
  readonly format: string;
  readonly ignoreStatus: boolean;
}

/** `outline,format=json`. Source: docker buildx build, "--call". */
function fieldsOf(call: string): CallFields {
  let method: string | undefined;
  let format = "text";
  let ignoreStatus = false;
  for (const field of call.split(",")) {
    const equals = field.indexOf("=");
    const key = equals < 0 ? "" : field.slice(0, equals);
    const value = field.slice(equals + 1);
    if (key === "format") format = value;
    else if (key === "ignorestatus") {
      const given = parseGoBoolean(value);
      if (given === undefined) throw usage(`--call: ignorestatus is ${value}, but must be true or false`);
      ignoreStatus = given;
    } else if (key !== "" || method !== undefined) throw usage(`--call cannot read ${JSON.stringify(field)}`);
    else method = field;
  }
  return { method: method ?? "build", format, ignoreStatus };
}

function oneOf<Name extends string>(given: string, names: readonly Name[]): Name {
  const found = names.find((name) => name === given);
  if (found === undefined) throw usage(`--format is ${given}, but must be one of ${names.join(", ")}`);
  return found;
}

const usage = (what: string): TsbuildError => new TsbuildError({ code: "USAGE", what });
