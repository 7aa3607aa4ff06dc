import { chmodSync, chownSync, renameSync, type Stats, writeFileSync } from "node:fs";

/** The whole new content or the old one, whenever the machine stops. `like`: whose owner and mode the file keeps. */
export function replaceFile(file: string, content: string, like?: Stats): void {
  const staged = `${file}.${process.pid}.tmp`;
  writeFileSync(staged, content, { flush: like !== undefined });
  if (like !== undefined) {
    chownSync(staged, like.uid, like.gid);
    // After the owner: chown(2) clears set-user-ID and set-group-ID.
    chmodSync(staged, like.mode & 0o7777);
  }
  renameSync(staged, file);
}
