/** SecretsUsedInArgOrEnv goes by the name of a variable, SecretValueInArgOrEnv by what its value looks like. */
import type { Range, Word } from "../../parser/ast.ts";
import type { Check, Report } from "../checked-file.ts";
import { wordValue } from "../walk-stages.ts";

const secretParts: ReadonlySet<string> = new Set([
  "apikey",
  "auth",
  "credential",
  "credentials",
  "key",
  "password",
  "pword",
  "passwd",
  "secret",
  "token",
]);
const harmlessParts: ReadonlySet<string> = new Set(["public", "file", "version"]);

/** Tokens that say by their form what they are, and a URL with a password in it. */
const secretValues: readonly (readonly [string, RegExp])[] = [
  ["an AWS access key", /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ["a GitHub token", /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b/],
  ["a GitLab token", /\bglpat-[A-Za-z0-9_-]{20,}/],
  ["a Slack token", /\bxox[abprs]-[A-Za-z0-9-]{10,}/],
  ["a Google API key", /\bAIza[0-9A-Za-z_-]{35}/],
  ["an npm token", /\bnpm_[A-Za-z0-9]{36}\b/],
  ["a PyPI token", /\bpypi-[A-Za-z0-9_-]{50,}/],
  ["a Stripe key", /\b[sr]k_live_[A-Za-z0-9]{16,}/],
  ["an API key", /\bsk-[A-Za-z0-9_-]{32,}/],
  ["a JSON web token", /\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/],
  ["a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/],
  ["a URL with a password", /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@$]+:[^\s/@$]+@/i],
];

const hint = "give it to the RUN that needs it: RUN --mount=type=secret,id=NAME";

export const secrets: Check = ({ walked, dockerfile }, report) => {
  for (const { lines } of walked) {
    for (const { instruction, before, rangeOf } of lines) {
      if (instruction.kind === "env") {
        for (const pair of instruction.pairs) {
          const name = wordValue(pair.key, before.variables, dockerfile) ?? pair.key.raw;
          look({ instruction: "ENV", name, range: rangeOf(pair.range), value: pair.value }, report);
        }
      } else if (instruction.kind === "arg") {
        for (const { name, range, defaultValue } of instruction.args)
          look({ instruction: "ARG", name, range: rangeOf(range), value: defaultValue }, report);
      }
    }
  }
};

interface Setting {
  readonly instruction: "ARG" | "ENV";
  readonly name: string;
  readonly range: Range;
  readonly value: Word | undefined;
}

function look({ instruction, name, range, value }: Setting, report: Report): void {
  const parts = name.toLowerCase().split("_");
  if (parts.some((part) => secretParts.has(part)) && !parts.some((part) => harmlessParts.has(part))) {
    const message = `Do not use ARG or ENV instructions for sensitive data (${instruction} ${JSON.stringify(name)})`;
    report("SecretsUsedInArgOrEnv", range, message, hint);
    return;
  }
  const written = value?.parts.map((part) => (part.kind === "text" ? part.value : "$")).join("") ?? "";
  const looksLike = secretValues.find(([, pattern]) => pattern.test(written))?.[0];
  if (looksLike === undefined) return;
  report("SecretValueInArgOrEnv", range, `The value of ${instruction} ${name} looks like ${looksLike}`, hint);
}
