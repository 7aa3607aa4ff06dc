/** The files of a result alone: into a folder, or as one tar. */
import type { FolderExport } from "../../executor/export-folder.ts";
import type { ExportedTree } from "../../executor/exported-tree.ts";
import type { FinishedTarget } from "../../executor/finished-target.ts";
import { standardOutput, tarFile } from "../containers/tar-output.ts";
import { replaceFile } from "../replace-file.ts";
import { refusal } from "./archive-output.ts";
import type { Attestor } from "./attestor.ts";
import type { OutputPlace } from "./finish-build.ts";
import type { FilesOutput } from "./output-spec.ts";
import { platformFolder } from "./platform-folder.ts";

export async function toFiles(
  targets: readonly FinishedTarget[],
  output: FilesOutput,
  { store, context, attest }: OutputPlace,
): Promise<void> {
  const split = output.platformSplit ?? targets.length > 1;
  const treeOf = (target: FinishedTarget): ExportedTree => ({
    trees: store.layers.trees(target.chain.filter((layer, at) => target.chain.lastIndexOf(layer) === at)),
    mtime: target.sourceDateEpoch,
    checkAbort: () => context.signal.throwIfAborted(),
  });
  if (output.kind === "local") {
    const { dest } = output;
    if (dest === undefined) throw new Error("a folder needs a name");
    for (const [at, target] of targets.entries()) {
      const { trees, mtime } = treeOf(target);
      const folder = split ? `${dest}/${platformFolder(target.platform)}` : dest;
      const removesOthers = output.mode === "delete" && (split || at === 0);
      const weight = target.chain.reduce((sum, layer) => sum + store.layers.get(layer).sizeBytes, 0);
      await toFolder({ trees, mtime, folder, removesOthers }, weight, context.signal);
    }
    for (const target of targets)
      for (const { name, content } of await filesAbout(target, treeOf(target), output, attest))
        replaceFile(`${split ? `${dest}/${platformFolder(target.platform)}` : dest}/${name}`, content);
    return;
  }
  const { addToTar, endTar, exportToTar } = await import("../../executor/export-tar.ts");
  using file = output.dest === undefined ? undefined : tarFile(output.dest);
  const write = file?.output ?? standardOutput(context, refusal);
  for (const target of targets) {
    const prefix = split ? platformFolder(target.platform) : undefined;
    await exportToTar({ ...treeOf(target), prefix }, write);
    const mtime = target.sourceDateEpoch ?? Math.floor(context.now() / 1000);
    for (const { name, content } of await filesAbout(target, treeOf(target), output, attest))
      await addToTar(prefix === undefined ? name : `${prefix}/${name}`, Buffer.from(content), mtime, write);
  }
  await endTar(write);
  file?.complete();
}

/** Up to here writing takes less time than starting a thread for it. */
const inlineBytes = 2 << 20;

async function toFolder(options: FolderExport, weight: number, signal: AbortSignal): Promise<void> {
  if (weight > inlineBytes) {
    const { exportToFolderInThread } = await import("../../executor/export-folder-thread.ts");
    await exportToFolderInThread(options, signal);
    return;
  }
  const { exportToFolder } = await import("../../executor/export-folder.ts");
  exportToFolder(options, { checkAbort: () => signal.throwIfAborted(), onStaged: () => undefined });
}

/** Statements that lie beside the files, about the files. */
async function filesAbout(
  target: FinishedTarget,
  tree: ExportedTree,
  { attestationPrefix }: FilesOutput,
  attest: Attestor | undefined,
): Promise<readonly { readonly name: string; readonly content: string }[]> {
  if (attest === undefined) return [];
  const [{ printFileStatement }, { fileDigests }] = await Promise.all([
    import("../../executor/attestation-manifest.ts"),
    import("../../executor/exported-tree.ts"),
  ]);
  const all = [...(await attest.scans(target)), ...(await attest.provenance(target, undefined))];
  const statements = all.filter(({ filename }) => filename !== undefined);
  if (statements.length === 0) return [];
  const files = fileDigests(tree);
  return statements.map((statement) => ({
    name: `${attestationPrefix}${statement.filename}`,
    content: printFileStatement(statement, files).toString(),
  }));
}
