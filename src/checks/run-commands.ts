/** What a RUN does, as far as its text tells: the simple commands of its shell form. */
import { basename } from "node:path";
import type { Dockerfile, RunInstruction } from "../parser/ast.ts";
import { type ShellCommand, type ShellWord, shellCommands } from "../parser/shell-commands.ts";
import { absolutePath } from "../planner/clean-path.ts";
import type { LineState } from "./checked-file.ts";
import { wordValue } from "./walk-stages.ts";

const shells: ReadonlySet<string> = new Set(["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"]);

/** Undefined when it is not known: another shell, another escape, a text that is not understood. */
export function runCommands(
  dockerfile: Dockerfile,
  { command }: RunInstruction,
  { shell }: LineState,
): readonly ShellCommand[] | undefined {
  if (command.form === "exec") {
    const words = command.argv.map((text): ShellWord => ({ text, literal: true, range: command.range }));
    const isShell = shells.has(basename(words[0]?.text ?? ""));
    return words.length === 0 || isShell ? undefined : [{ words, redirections: [], range: command.range }];
  }
  if (dockerfile.escape !== "\\" || (shell !== undefined && !shells.has(basename(shell[0] ?? "")))) return undefined;
  const [heredoc] = command.heredocs;
  const whole = heredoc !== undefined && command.text.replace(/\s/g, "") === heredoc.marker.replace(/\s/g, "");
  if (!whole) return shellCommands(dockerfile.text, command.range, "dockerfile");
  const [, interpreter] = /^\s*#!\s*(?:\S*\/env\s+)?(\S+)/.exec(heredoc.body) ?? [];
  if (interpreter !== undefined && !shells.has(basename(interpreter))) return undefined;
  return shellCommands(dockerfile.text, heredoc.bodyRange, "shell");
}

/** Words in front of a command that run it. */
const wrappers: ReadonlySet<string> = new Set(["sudo", "exec", "command", "env", "nice", "nohup"]);

/** The program and its arguments, literal ones only, without what runs it. */
export function argumentsOf({ words }: ShellCommand): readonly string[] {
  const texts = words.map(({ text, literal }) => (literal ? text : ""));
  let start = 0;
  while (wrappers.has(texts[start] ?? "")) {
    start++;
    while (/^(?:-|[A-Za-z_]\w*=)/.test(texts[start] ?? "")) start++;
  }
  return [basename(texts[start] ?? ""), ...texts.slice(start + 1)];
}

/** Folders that a mount covers, so that what is written there is in no layer. Absolute. */
export function mountedFolders(dockerfile: Dockerfile, run: RunInstruction, before: LineState): readonly string[] {
  return run.mounts.flatMap(({ type, target }) => {
    if (type === "secret" || type === "ssh") return [];
    const path = target === undefined ? before.workdir : wordValue(target, before.variables, dockerfile);
    return path === undefined ? [] : [absolutePath(path, before.workdir)];
  });
}

/** Whether `path` is one of the folders, or inside one. */
export const isBelow = (path: string, folders: readonly string[]): boolean =>
  folders.some((folder) => path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`));
