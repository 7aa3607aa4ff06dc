/** The overlay of a container: paths too long for the kernel's options, many layers, and kernels before 6.7. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDriver } from "../../src/runtime/drivers/create-driver.ts";
import { rootOps } from "../../src/runtime/drivers/native/root.ts";
import {
  encodeProgram,
  type Op,
  printProgram,
  stringTable,
  syscall,
  text,
} from "../../src/runtime/launcher-program.ts";
import { buildLauncherOnce, canRunContainers, runOnce, type Sandbox, sandbox } from "../support/container.ts";

const arch = process.arch === "arm64" ? "arm64" : "x64";

function overlay(lowerdirs: readonly string[]) {
  return { kind: "overlay", lowerdirs, upperdir: "/u", workdir: "/w", volatile: true } as const;
}
const printed = (lowerdirs: readonly string[]): string =>
  printProgram(rootOps(overlay(lowerdirs), { stubTree: "/stub", mountDir: "/m" }, arch));

test("layers are given top first, each once, with the stub tree last", () => {
  const given = [...printed(["/a", "/b", "/a", "/c"]).matchAll(/"lowerdir\+", "([^"]*)"/g)].map((match) => match[1]);
  expect(given).toEqual(["/c", "/a", "/b", "/stub"]);
});

test("features that would make the upper directory no layer are off", () => {
  const text = printed(["/a"]);
  for (const [key, value] of [
    ["redirect_dir", "nofollow"],
    ["metacopy", "off"],
    ["index", "off"],
    ["xino", "off"],
    ["uuid", "null"],
  ]) {
    expect(text).toContain(`"${key}", "${value}"`);
  }
});

describe.skipIf(!canRunContainers)("on the kernel", () => {
  const driver = createDriver("native");
  let box: Sandbox;
  beforeAll(() => {
    buildLauncherOnce();
    box = sandbox();
  });
  afterAll(() => box[Symbol.dispose]());

  function layer(path: string, content: string): string {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "top"), content);
    writeFileSync(join(path, `only-${content}`), "");
    return path;
  }

  test("a layer at a path of more than 255 bytes, with commas and colons, is mounted", async () => {
    const deep = layer(join(box.folder, "x,y:z".repeat(20), "a".repeat(200)), "deep");
    expect((await runOnce(driver, box.request({ args: ["cat", "/top"], layers: [deep] }))).stdout).toBe("deep");
  });

  test("three hundred layers are mounted, the last on top", async () => {
    const layers = Array.from({ length: 300 }, (_, index) => layer(join(box.folder, `l${index}`), String(index)));
    const args = ["sh", "-c", "cat /top; ls -d /only-* | wc -l"];
    expect((await runOnce(driver, box.request({ args, layers }))).stdout).toBe("299300\n");
  });

  test("a kernel that does not know lowerdir+ gets one string of options", async () => {
    const request = box.request({ args: ["true"], layers: [layer(join(box.folder, "classic"), "classic")] });
    const { rootfs, upperdir } = request;
    const scratchDir = request.scratchDir();
    const paths = { stubTree: join(scratchDir, "stub"), mountDir: join(scratchDir, "root") };
    mkdirSync(paths.stubTree);
    mkdirSync(paths.mountDir);
    // To any kernel this is an option that it does not know.
    const older = rootOps(rootfs, paths, arch).map(
      (op): Op =>
        op.kind === "syscall" && op.name === "fsconfig"
          ? { ...op, args: op.args.map((arg) => (isLowerdir(arg) ? text("lowerdir++") : arg)) }
          : op,
    );
    const script = `cat ${paths.mountDir}/top; echo x > ${paths.mountDir}/new; grep ' ${paths.mountDir} ' /proc/self/mountinfo`;
    const program = [
      syscall("unshare", [0x20000], { doing: "unsharing" }),
      syscall("mount", [0, text("/"), 0, 0x4000 | (1 << 18), 0], { doing: "separating" }),
      ...older,
      syscall("execve", [text("/bin/busybox"), stringTable(["sh", "-c", script], "argv"), stringTable([], "envp")], {
        doing: "executing",
      }),
    ];
    const output = await runProgram(program);
    expect(output).toMatch(/^classic/);
    expect(output).toMatch(/lowerdir=[^,]*classic:[^,]*stub,upperdir=/);
    expect(readFileSync(join(upperdir, "new"), "utf8")).toBe("x\n");
  });
});

function isLowerdir(arg: unknown): boolean {
  return typeof arg === "object" && arg !== null && "value" in arg && arg.value === "lowerdir+";
}

async function runProgram(program: readonly Op[]): Promise<string> {
  const child = spawn(join(import.meta.dirname, `../../dist/launcher-${process.arch}`), [], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const channel = child.stdio[3] as Duplex;
  let output = "";
  channel.on("data", (chunk: Buffer) => {
    output += `failed: ${chunk.toString("hex")}`;
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      output += chunk;
    });
  }
  channel.write(encodeProgram(program, arch).blob);
  await new Promise((resolve) => child.on("close", resolve));
  return output;
}
