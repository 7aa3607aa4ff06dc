/** Symbolic modes as chmod(1) reads them, without a umask. Source: POSIX, "chmod", extended description. */
import { invalidMode } from "./errors.ts";

export type ModeChange =
  | { readonly kind: "octal"; readonly mode: number }
  | { readonly kind: "symbolic"; readonly text: string };

const who = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 } as const;
const clause = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/;
const action = /([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)/g;

/**
 * `mode` (12 bits) after the change. `X` is x on folders and on what has an x bit already.
 * @throws {TsbuildError} `COPY_FAILED` when the text is no mode
 */
export function changeMode(change: ModeChange, mode: number, isFolder: boolean): number {
  if (change.kind === "octal") return change.mode;
  return change.text.split(",").reduce((before, text) => applyClause(change.text, text, before, isFolder), mode);
}

function applyClause(whole: string, text: string, before: number, isFolder: boolean): number {
  const match = clause.exec(text);
  if (match === null) throw invalidMode(whole);
  const [, whoText = "", actions = ""] = match;
  const mask = [...(whoText || "a")].reduce((bits, letter) => bits | who[letter as keyof typeof who], 0);
  let mode = before;
  for (const [, operator, permissions = ""] of actions.matchAll(action)) {
    const bits = permissionBits(permissions, mode, isFolder) & mask;
    // `t` is given to "all", though it belongs to nobody in particular.
    const sticky = permissions.includes("t") && (whoText === "" || whoText.includes("a")) ? 0o1000 : 0;
    if (operator === "+") mode |= bits | sticky;
    else if (operator === "-") mode &= ~(bits | sticky);
    else mode = (mode & ~clearedByEquals(mask, whoText, isFolder)) | bits | sticky;
  }
  return mode;
}

/** `=` keeps the set-id bits of folders unless it names them, as GNU chmod does. */
function clearedByEquals(mask: number, whoText: string, isFolder: boolean): number {
  const sticky = whoText === "" || whoText.includes("a") ? 0o1000 : 0;
  return ((mask & 0o6777) | sticky) & (isFolder ? 0o1777 : 0o7777);
}

function permissionBits(permissions: string, mode: number, isFolder: boolean): number {
  if (/^[ugo]$/.test(permissions)) {
    const shift = permissions === "u" ? 6 : permissions === "g" ? 3 : 0;
    return ((mode >> shift) & 0o7) * 0o111;
  }
  let bits = 0;
  for (const letter of permissions) {
    if (letter === "r") bits |= 0o444;
    else if (letter === "w") bits |= 0o222;
    else if (letter === "x" || (letter === "X" && (isFolder || (mode & 0o111) !== 0))) bits |= 0o111;
    else if (letter === "s") bits |= 0o6000;
  }
  return bits;
}
