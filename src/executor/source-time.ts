/** When a source was made: what SOURCE_DATE_EPOCH means that names one. Source: BuildKit, docs/build-repro.md. */
import { TsbuildError } from "../errors.ts";
import type { BuildContexts } from "../planner/build-contexts.ts";
import { checkChecksum, verifyChecksum } from "../planner/download.ts";
import type { ResolveTime } from "../planner/source-date-epoch.ts";
import { TarReader } from "../store/tar-reader.ts";
import { holdsTar, readTar } from "./add-archive.ts";

export function timesIn(contexts: BuildContexts, signal: AbortSignal): ResolveTime {
  return async (source, where) => {
    if (source.kind === "git") return await contexts.commitTime(source.source, { where, signal });
    const { url, checksum } = source;
    const request = { url, checksum, where, signal };
    if (checksum !== undefined) checkChecksum(checksum, where);
    const file = await contexts.look(request);
    if (checksum !== undefined) verifyChecksum(checksum, file, url, where);
    return file.lastModifiedSeconds ?? (await newestInArchive((await contexts.fetch(request)).path, signal));
  };
}

/** Epoch seconds of the newest regular file; undefined when it is no archive that can be read. */
async function newestInArchive(path: string, signal: AbortSignal): Promise<number | undefined> {
  if (!(await holdsTar(path))) return undefined;
  let newest: bigint | undefined;
  const reader = new TarReader({
    begin({ type, mtimeNs }) {
      if (type === "file" && (newest === undefined || mtimeNs > newest)) newest = mtimeNs;
    },
    data: () => undefined,
    hole: () => undefined,
    end: () => undefined,
    skipped: () => undefined,
  });
  try {
    await readTar(path, reader, signal);
  } catch (error) {
    if (error instanceof TsbuildError && error.code === "ARCHIVE_INVALID") return undefined;
    throw error;
  }
  return newest === undefined ? undefined : Number(newest / 1_000_000_000n);
}
