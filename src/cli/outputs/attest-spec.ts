/** `--attest`, `--provenance`, `--sbom` as values. Source: Docker docs, "Build attestations". */
import { TsbuildError } from "../../errors.ts";
import type { ProvenanceSettings } from "../../executor/provenance.ts";
import { nearestWord } from "../../nearest-word.ts";
import { csvFields } from "../csv-fields.ts";

export interface AttestSettings {
  readonly provenance: (ProvenanceSettings & { readonly inlineOnly: boolean }) | undefined;
  /** The scanner's image. */
  readonly sbom: { readonly generator: string } | undefined;
}

export interface AttestFlags {
  readonly attest?: readonly string[];
  /** True for the flag alone. */
  readonly provenance?: string | boolean;
  readonly sbom?: string | boolean;
}

const keysOf: Readonly<Record<string, readonly string[]>> = {
  provenance: ["mode", "version", "builder-id", "reproducible", "inline-only", "filename", "disabled"],
  sbom: ["generator", "disabled"],
};

/** @throws {TsbuildError} `USAGE`, `UNSUPPORTED` */
export function parseAttest({ attest = [], provenance, sbom }: AttestFlags): AttestSettings {
  const byType = new Map<string, ReadonlyMap<string, string>>();
  for (const text of attest) {
    const fields = fieldsOf("--attest", text);
    const type = fields.get("type");
    if (type === undefined) throw invalid("--attest", text, "type is missing", "type=provenance or type=sbom");
    byType.set(checkedType(type, text), fields);
  }
  if (provenance !== undefined) byType.set("provenance", shortForm("--provenance", provenance));
  if (sbom !== undefined) byType.set("sbom", shortForm("--sbom", sbom));
  for (const [type, fields] of byType) for (const key of fields.keys()) if (key !== "type") checkKey(type, key);
  return { provenance: provenanceOf(byType.get("provenance")), sbom: sbomOf(byType.get("sbom")) };
}

function checkedType(type: string, text: string): string {
  if (Object.hasOwn(keysOf, type)) return type;
  const near = nearestWord(type, Object.keys(keysOf));
  throw invalid("--attest", text, `unknown type ${type}`, near === undefined ? undefined : `did you mean ${near}?`);
}

function checkKey(type: string, key: string): void {
  const known = keysOf[type] ?? [];
  if (known.includes(key)) return;
  const near = nearestWord(key, known);
  throw invalid(
    `--${type}`,
    key,
    `unknown key`,
    near === undefined ? `its keys: ${known.join(", ")}` : `did you mean ${near}?`,
  );
}

/** `--provenance`, `--provenance=false`, `--provenance=mode=max`. */
function shortForm(flag: string, value: string | boolean): ReadonlyMap<string, string> {
  if (value === true || value === "") return new Map();
  if (value === false) return new Map([["disabled", "true"]]);
  const bool = boolOf(value);
  if (bool !== undefined) return new Map([["disabled", String(!bool)]]);
  if (!value.includes("=")) return new Map([[flag === "--sbom" ? "generator" : "mode", value]]);
  return fieldsOf(flag, value);
}

function fieldsOf(flag: string, text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const field of csvFields(text)) {
    const at = field.indexOf("=");
    if (at <= 0) throw invalid(flag, text, `${JSON.stringify(field)} is not key=value`);
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  return fields;
}

function provenanceOf(fields: ReadonlyMap<string, string> | undefined): AttestSettings["provenance"] {
  if (fields === undefined || isOn(fields, "disabled")) return undefined;
  const mode = fields.get("mode") ?? "min";
  if (mode !== "min" && mode !== "max") throw invalid("--provenance", mode, "mode must be min or max");
  const version = fields.get("version") ?? "v1";
  if (version !== "v1" && version !== "v0.2") throw invalid("--provenance", version, "version must be v1 or v0.2");
  return {
    mode,
    version,
    builderId: fields.get("builder-id") ?? "",
    reproducible: isOn(fields, "reproducible"),
    inlineOnly: isOn(fields, "inline-only"),
    filename: fields.get("filename") ?? "provenance.json",
  };
}

function sbomOf(fields: ReadonlyMap<string, string> | undefined): AttestSettings["sbom"] {
  if (fields === undefined || isOn(fields, "disabled")) return undefined;
  const generator = fields.get("generator");
  if (generator === undefined || generator === "")
    throw new TsbuildError({
      code: "USAGE",
      what: "an SBOM needs a scanner, and none is built in",
      hint: "name its image: --sbom=generator=docker/buildkit-syft-scanner",
    });
  return { generator };
}

function isOn(fields: ReadonlyMap<string, string>, key: string): boolean {
  const value = fields.get(key);
  if (value === undefined) return false;
  const bool = boolOf(value);
  if (bool === undefined) throw invalid("--attest", `${key}=${value}`, `${key} must be true or false`);
  return bool;
}

function boolOf(text: string): boolean | undefined {
  return /^(?:1|t|true)$/i.test(text) ? true : /^(?:0|f|false)$/i.test(text) ? false : undefined;
}

function invalid(flag: string, text: string, why: string, hint?: string): TsbuildError {
  return new TsbuildError({
    code: "USAGE",
    what: `invalid argument ${JSON.stringify(text)} for ${flag}: ${why}`,
    hint,
  });
}
