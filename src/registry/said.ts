/** What a registry said when it refused, in its own code and message. Source: distribution-spec, "Error Codes". */
import { STATUS_CODES } from "node:http";
import { TsbuildError } from "../errors.ts";
import { printable, type RegistryAnswer, requestFailed } from "./errors.ts";

/** A refusal with its answer, for those who know better words for it than `requestFailed`. */
export class RefusedRequest extends TsbuildError {
  readonly answer: RegistryAnswer;
  constructor(doing: string, answer: RegistryAnswer) {
    const { code, message, hint } = requestFailed(doing, answer);
    super({ code, what: message, hint });
    this.answer = answer;
  }
}

/** `denied: requested access …` and `DENIED`, of `{"errors":[{"code","message"}]}`; else the status in words. */
export function saidIn(body: Uint8Array, status: number): { readonly said: string; readonly code: string } {
  // HEAD has no body; then these are the words that come with it otherwise.
  const plain = usualWords[status] ?? (STATUS_CODES[status] ?? `status ${status}`).toLowerCase();
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return { said: plain, code: "" };
  }
  const { errors, details, message } = (json ?? {}) as Record<string, unknown>;
  const first = Array.isArray(errors) ? (errors[0] as Record<string, unknown> | null | undefined) : undefined;
  const code = typeof first?.["code"] === "string" ? first["code"] : "";
  const told = [first?.["message"], details, message].find((each) => typeof each === "string" && each !== "");
  const words = code.toLowerCase().replaceAll("_", " ");
  if (words === "" && told === undefined) return { said: plain, code };
  return { said: printable([words, told].filter((part) => part !== "" && part !== undefined).join(": ")), code };
}

const usualWords: Readonly<Record<number, string>> = {
  401: "unauthorized: authentication required",
  403: "denied: requested access to the resource is denied",
};
