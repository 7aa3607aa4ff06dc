/** Why a command could not be executed, in docker's words. */

import { TsbuildError } from "../../errors.ts";
import { bytePath } from "../../kernel/byte-path.ts";
import type { LiveContainer } from "../../runtime/containers/container-folder.ts";
import { commandLine } from "../../runtime/containers/container-record.ts";
import { layeredView } from "../../store/layered-view.ts";
import type { Store } from "../../store/store.ts";

/** Other errors are returned as they are. */
export function explainStart(store: Store, { record, folder }: LiveContainer, error: unknown): unknown {
  const command = commandLine(record.process)[0] ?? "";
  const isFolder = (): boolean => {
    if (!command.startsWith("/")) return false;
    const view = layeredView([...store.layers.trees(record.image.layers), folder.upperdir]);
    return view.lookup(bytePath(command))?.type === "dir";
  };
  return explainExec(command, error, isFolder);
}

/** The same for `exec`, where nothing more is known than errno. */
export function explainExec(command: string, error: unknown, isFolder: () => boolean = () => false): unknown {
  if (!(error instanceof TsbuildError)) return error;
  const { code, hint } = error;
  if (code === "COMMAND_NOT_FOUND") {
    const why = command.includes("/") ? "no such file or directory" : "executable file not found in $PATH";
    return new TsbuildError({ code, what: `exec: ${JSON.stringify(command)}: ${why}`, hint, cause: error });
  }
  if (code === "COMMAND_NOT_EXECUTABLE" && error.message.includes("EACCES")) {
    const why = isFolder() ? "is a directory" : "permission denied";
    return new TsbuildError({ code, what: `exec: ${JSON.stringify(command)}: ${why}`, hint, cause: error });
  }
  return error;
}
