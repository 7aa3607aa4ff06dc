/** An agent of ours for a program on the host: git asks it when it fetches over ssh. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SshSource } from "../../planner/build-options.ts";
import { forwardAgent } from "./forward-agent.ts";

/** In a folder of its own, which only we may enter and which goes with it. */
export async function openAgent(source: SshSource): Promise<Disposable & { readonly path: string }> {
  // Not in the store: the name of a socket has at most 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-agent-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "agent");
    const agent = await forwardAgent(source, path, {
      mode: 0o600,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
    });
    return {
      path,
      [Symbol.dispose]() {
        agent[Symbol.dispose]();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
