/** `build --secret`. Source: Docker docs, "docker buildx build", "--secret". */
import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { TsbuildError } from "../errors.ts";
import type { SecretSource } from "../planner/build-options.ts";
import type { CommandContext } from "./command.ts";
import { csvFields } from "./csv-fields.ts";

const maxSecretBytes = 500 * 1024;

/** Everything is looked at before anything runs. */
export function parseSecrets(values: readonly string[], context: CommandContext): ReadonlyMap<string, SecretSource> {
  const secrets = new Map<string, SecretSource>();
  for (const text of values) {
    const fields = new Map(csvFields(text).map(keyValueLowerCase));
    for (const key of fields.keys())
      if (!["id", "src", "source", "env", "type"].includes(key))
        throw invalidSecret(text, `unexpected key '${key}'`, "id=NAME[,src=FILE|,env=VARIABLE]");
    const type = fields.get("type");
    const file = fields.get("src") ?? fields.get("source");
    const id = fields.get("id") || (file === undefined ? fields.get("env") : basename(file));
    if (id === undefined || id === "") throw invalidSecret(text, "id is missing", "--secret id=NAME,src=FILE");
    if (type !== undefined && type !== "file" && type !== "env")
      throw invalidSecret(text, `unsupported type '${type}'`, "the types are file and env");
    const variable = fields.get("env") ?? (type === "env" ? (file ?? id) : undefined);
    secrets.set(id, secretSource(id, variable, file, type, context));
  }
  return secrets;
}

function secretSource(
  id: string,
  variable: string | undefined,
  file: string | undefined,
  type: string | undefined,
  context: CommandContext,
): SecretSource {
  const bare = variable === undefined && file === undefined && type === undefined;
  const named = variable ?? (bare && context.environment[id] !== undefined ? id : undefined);
  if (named !== undefined) {
    const value = context.environment[named];
    if (value === undefined) throw usage(`secret ${id}: the variable ${named} is not set`);
    if (Buffer.byteLength(value) > maxSecretBytes) throw usage(`secret ${id} is larger than 500 KiB`);
    return { kind: "environment", value };
  }
  const path = resolve(context.cwd, file ?? id);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile())
    throw usage(
      `secret ${id}: no such file: ${file ?? id}`,
      "--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE",
    );
  if (stat.size > maxSecretBytes) throw usage(`secret ${id} is larger than 500 KiB`);
  return { kind: "file", path };
}

function keyValueLowerCase(field: string): readonly [string, string | undefined] {
  const equals = field.indexOf("=");
  return equals < 0
    ? [field.toLowerCase(), undefined]
    : [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)];
}

function invalidSecret(text: string, why: string, hint: string): TsbuildError {
  return usage(`invalid argument ${JSON.stringify(text)} for --secret: ${why}`, hint);
}

function usage(what: string, hint?: string): TsbuildError {
  return new TsbuildError({ code: "USAGE", what, hint });
}
