/** The image `b` that cases are built on: busybox with a few users, the same archive for both builders. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxTree } from "../test/support/busybox-rootfs.ts";
import { rawTar } from "../test/support/raw-tar.ts";

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Its time: 2019-01-01 00:00:00 UTC. */
const created = 1_546_300_800;

/**
 * Writes an archive that `docker load` and `tsbuild load` take, and returns its path. It has what a RUN makes in a root
 * file system that lacks it (proc, sys, dev, etc/hosts, etc/resolv.conf), so that layers hold the steps' own doing.
 */
export function makeBase(folder: string): string {
  const root = join(folder, "base");
  busyboxTree(root);
  for (const name of ["dev", "proc", "sys", "home", "home/bob", "mnt"]) mkdirSync(join(root, name));
  for (const name of ["hosts", "resolv.conf"]) writeFileSync(join(root, "etc", name), "");
  writeFileSync(
    join(root, "etc/passwd"),
    [
      "root:x:0:0:root:/root:/bin/sh",
      "bob:x:1000:1000:Bob:/home/bob:/bin/sh",
      "www-data:x:33:33:www-data:/var/www:/bin/false",
      "",
    ].join("\n"),
  );
  writeFileSync(join(root, "etc/group"), "root:x:0:\nstaff:x:50:bob\nbob:x:1000:\nwww-data:x:33:\n");
  const layer = join(folder, "base.tar");
  const flags = ["--sort=name", "--numeric-owner", "--owner=0", "--group=0", `--mtime=@${created}`];
  execFileSync("tar", [...flags, "-cf", layer, "-C", root, "."]);
  const bytes = readFileSync(layer);
  const config = JSON.stringify({
    architecture: architectures[process.arch] ?? process.arch,
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      Cmd: ["/bin/sh"],
    },
    created: new Date(created * 1000).toISOString(),
    history: [{ created: new Date(created * 1000).toISOString(), created_by: "busybox with users" }],
    os: "linux",
    rootfs: { type: "layers", diff_ids: [`sha256:${createHash("sha256").update(bytes).digest("hex")}`] },
  });
  const name = `${createHash("sha256").update(config).digest("hex")}.json`;
  const manifest = JSON.stringify([{ Config: name, RepoTags: ["b:latest"], Layers: ["layer.tar"] }]);
  const archive = join(folder, "b.tar");
  const part = (path: string, content: Buffer): { name: string; type: string; content: string } => ({
    name: path,
    type: "0",
    content: content.toString("latin1"),
  });
  writeFileSync(
    archive,
    rawTar([part(name, Buffer.from(config)), part("layer.tar", bytes), part("manifest.json", Buffer.from(manifest))]),
  );
  return archive;
}
