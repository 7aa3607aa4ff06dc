/** What `--check` and `--call` ask for. Source: docker buildx build, "--call". */
import { TsbuildError } from "../errors.ts";
import { parseGoBoolean } from "../parser/directives.ts";
import type { CallFlags } from "./call-flags.ts";

export type CallRequest =
  | {
      readonly kind: "check";
      readonly format: CheckFormat;
      readonly ignoreStatus: boolean;
      readonly fix: boolean;
      readonly errorsOnly: boolean;
    }
  | { readonly kind: "outline" | "targets"; readonly format: "text" | "json" };

export type CheckFormat = (typeof checkFormats)[number];

const checkFormats = ["text", "json", "sarif", "gha"] as const;

/** Undefined: an ordinary build. @throws {TsbuildError} `USAGE` */
export function readCall({ check = false, call, format, fix = false, severity }: CallFlags): CallRequest | undefined {
  const fields = fieldsOf(call ?? "build");
  const method = check ? "check" : fields.method;
  const wanted = format ?? fields.format;
  switch (method) {
    case "build":
      if (format !== undefined) throw usage("--format needs --check or --call");
      if (fix) throw usage("--fix needs --check");
      if (severity !== undefined) throw usage("--severity needs --check");
      return undefined;
    case "check":
    case "lint":
      return {
        kind: "check",
        format: oneOf("--format", wanted, checkFormats),
        ignoreStatus: fields.ignoreStatus,
        fix,
        errorsOnly: oneOf("--severity", severity ?? "warning", ["warning", "error"] as const) === "error",
      };
    case "outline":
    case "targets":
      if (fix || severity !== undefined) throw usage(`${fix ? "--fix" : "--severity"} needs --check`);
      return { kind: method, format: oneOf("--format", wanted, ["text", "json"] as const) };
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

function oneOf<Name extends string>(flag: string, given: string, names: readonly Name[]): Name {
  const found = names.find((name) => name === given);
  if (found === undefined) throw usage(`${flag} is ${given}, but must be one of ${names.join(", ")}`);
  return found;
}

const usage = (what: string): TsbuildError => new TsbuildError({ code: "USAGE", what });
