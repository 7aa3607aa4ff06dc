/** A disk that is full: what is asked for fails in one line, and whoever wants to take something away can. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { needs } from "../support/needs.ts";
import { until, Yard } from "./containers-support.ts";

const test = needs("root", "busybox-static");
const fill = ["sh", "-c", "dd if=/dev/zero of=/big bs=4k 2>/dev/null; echo full; exit 3"] as const;
const noSpace = expect.stringContaining("no space left for the store");

/** A store on a file system of its own, a few megabytes larger than the image in it. */
class FullYard extends Yard {
  constructor() {
    super();
    mkdirSync(this.root, { recursive: true });
    mount(["-t", "tmpfs", "-o", "size=10m", "tmpfs", this.root]);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    spawnSync("umount", [this.root]);
    this[Symbol.dispose]();
  }
}

function mount(words: readonly string[]): void {
  const { status, stderr } = spawnSync("mount", words);
  if (status !== 0) throw new Error(stderr.toString());
}

let place: FullYard;
beforeAll(async () => {
  place = new FullYard();
  await place.importBase();
});
afterEach(async () => await place?.clear());
afterAll(async () => await place?.[Symbol.asyncDispose]());

describe("a container that fills the disk", () => {
  test("in the foreground goes on to its end, with a word about its log", async () => {
    const { code, stdout, stderr } = await place.t(["run", "--rm", "--network", "none", "b", ...fill]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "full\n" });
    expect(stderr).toBe("warning: the container's log has gaps: ENOSPC: no space left on device, write\n");
  });

  test("in the background tells how it ended, and can be removed", async () => {
    await place.out(["run", "-d", "--name", "filler", "--network", "none", "b", ...fill]);
    await until(async () => (await place.out(["ps", "-q"])) === "");
    expect(await place.out(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "filler"])).toBe("exited 3");
    expect(await place.t("commit filler image")).toMatchObject({ code: 1, stderr: noSpace });
    expect(await place.out("rm filler")).toBe("filler");
    expect(await place.out("system check")).toContain("0 faults");
  });
});

test("a store without a free byte still shows what there is, and gives it back", async () => {
  await place.out(["create", "--name", "idle", "b", "true"]);
  const file = `${place.root}/failed/filler`;
  // Until nothing fits: dd takes what is there.
  spawnSync("dd", ["if=/dev/zero", `of=${file}`, "bs=4k"]);
  expect(await place.t("run --rm b true")).toMatchObject({ code: 125, stderr: noSpace });
  expect(existsSync(`${place.root}/reserve`)).toBe(true);
  expect(await place.out(["ps", "-a", "--format", "{{.Names}}"])).toBe("idle");
  expect(await place.out("images -q")).toMatch(/^[0-9a-f]{12}$/);
  expect(await place.out("rm idle")).toBe("idle");
  spawnSync("rm", [file]);
  await place.out("images");
  expect(existsSync(`${place.root}/reserve`)).toBe(true);
});

test("a build whose step fills the disk leaves a store as it was", async () => {
  mkdirSync(`${place.folder}/context`);
  writeFileSync(`${place.folder}/context/Dockerfile`, "FROM b\nRUN dd if=/dev/zero of=/big bs=4k\n");
  const { code, stderr } = await place.t(["build", `${place.folder}/context`]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: noSpace });
  expect(await place.out("system check")).toContain("0 faults");
});

test("a result that does not fit where it is wanted is one line", async () => {
  const context = `${place.folder}/results`;
  mkdirSync(`${context}/out`, { recursive: true });
  writeFileSync(`${context}/Dockerfile`, "FROM scratch\nCOPY large /\n");
  writeFileSync(`${context}/large`, Buffer.alloc(2 << 20, 1));
  mount(["-t", "tmpfs", "-o", "size=1m", "tmpfs", `${context}/out`]);
  try {
    const { code, stderr } = await place.t(["build", "-o", `${context}/out`, context]);
    expect({ code, last: stderr.trimEnd().split("\n").at(-1) }).toEqual({
      code: 1,
      last: `error: cannot write the result to ${context}/out: no space left`,
    });
  } finally {
    spawnSync("umount", [`${context}/out`]);
  }
});
