/** The launcher by itself: what it accepts, what it refuses, and that no program can make it stumble. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  at,
  builtin,
  builtinKinds,
  encodeProgram,
  label,
  type Op,
  opFlags,
  printProgram,
  REGISTER_COUNT,
  recordTypes,
  register,
  space,
  stringTable,
  syscall,
  text,
} from "../../src/runtime/launcher-program.ts";
import type { SyscallArch } from "../../src/runtime/syscall-table.ts";
import { buildLauncherOnce } from "../support/container.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const header = readFileSync(join(root, "native/ops.h"), "utf8");
const arch = process.arch as SyscallArch;
const r0 = register(0);

function valuesOf(prefix: string): Record<string, number> {
  const found = [...header.matchAll(new RegExp(`\\b${prefix}_([A-Z0-9_]+) = (\\d+)`, "g"))];
  return Object.fromEntries(
    found.map(([, name = "", value]) => [
      name.toLowerCase().replace(/_(.)/g, (_, c: string) => c.toUpperCase()),
      Number(value),
    ]),
  );
}

describe("native/ops.h and launcher-program.ts agree on", () => {
  test("operations", () => expect({ syscall: 1, ...builtinKinds }).toEqual(valuesOf("KIND")));
  test("flags", () => expect(opFlags).toEqual(valuesOf("FLAG")));
  test("records", () => expect(recordTypes).toEqual(valuesOf("RECORD")));
  test("the number of registers", () => expect(header).toContain(`#define REGISTER_COUNT ${REGISTER_COUNT}u`));
});

/** Runs a blob; the records it sent and how it ended. */
async function runBlob(
  blob: Buffer,
  command = [join(root, `dist/launcher-${process.arch}`)],
): Promise<{ code: number | null; records: readonly number[][]; stdout: string }> {
  const [file = "", ...args] = command;
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit", "pipe"] });
  const channel = child.stdio[3] as Duplex;
  const chunks: Buffer[] = [];
  let stdout = "";
  channel.on("data", (chunk: Buffer) => chunks.push(chunk));
  channel.on("error", () => channel.destroy());
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  channel.write(blob);
  channel.end();
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  const bytes = Buffer.concat(chunks);
  const records = Array.from({ length: bytes.length / 16 }, (_, index) => [
    bytes.readUInt32LE(index * 16),
    bytes.readInt32LE(index * 16 + 4),
    Number(bytes.readBigInt64LE(index * 16 + 8)),
  ]);
  return { code, records, stdout };
}

const run = (ops: readonly Op[]) => runBlob(encodeProgram(ops, arch).blob);
const refused = { code: 125, records: [[recordTypes.failed, 22, -1]] };

const foreign = process.arch === "arm64" ? ("x64" as const) : ("arm64" as const);
const emulator = foreign === "arm64" ? "qemu-aarch64" : "qemu-x86_64";
const canEmulate =
  existsSync(join(root, `dist/launcher-${foreign}`)) && spawnSync(emulator, ["--version"]).status === 0;

test.skipIf(!canEmulate)(`the ${foreign} launcher does the same (cross compiler, ${emulator})`, async () => {
  const program = [
    syscall("write", [1, text("hello\n"), 6], { into: r0, doing: "writing" }),
    builtin("report", [99, r0, -5]),
    syscall("chdir", [text("/no/such")], {
      tolerate: ["ENOENT"],
      jump: { when: "first", to: "far" },
      doing: "entering",
    }),
    builtin("exit", [1], { exitCode: 1 }),
    label("far"),
    builtin("cwdcheck", []),
    syscall("chdir", [text("/no/such")], { exitCode: 9, doing: "entering" }),
  ];
  const blob = encodeProgram(program, foreign).blob;
  const failure = [recordTypes.failed, 2, 5];
  expect(await runBlob(blob, [emulator, join(root, `dist/launcher-${foreign}`)])).toEqual({
    code: 9,
    records: [[99, 6, -5], failure],
    stdout: "hello\n",
  });
});

describe.skipIf(process.arch !== "x64" && process.arch !== "arm64")("the launcher", () => {
  let folder: string;
  beforeAll(() => {
    buildLauncherOnce();
    folder = mkdtempSync(join(tmpdir(), "tsbuild-test-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("calls, keeps results in registers and passes data by address", async () => {
    const name = text("hello\n");
    const result = await run([
      syscall("write", [1, name, 6], { into: r0, doing: "writing" }),
      builtin("report", [99, r0, -5]),
      builtin("exit", [0], { exitCode: 7 }),
    ]);
    expect(result).toEqual({ code: 7, records: [[99, 6, -5]], stdout: "hello\n" });
  });

  test("relocates tables of pointers: argv and envp", async () => {
    const program = [
      syscall(
        "execve",
        [text("/bin/sh"), stringTable(["sh", "-c", "echo $A $0", "zero"], "argv"), stringTable(["A=env"], "envp")],
        {
          doing: "executing",
        },
      ),
    ];
    expect(await run(program)).toMatchObject({ code: 0, stdout: "env zero\n" });
  });

  test("loads, stores and prints numbers in its data", async () => {
    const cell = space(8, "cell");
    const digits = space(24, "digits");
    const program = [
      builtin("store32", [at(cell, 4), -77]),
      builtin("load32", [at(cell, 4)], { into: r0 }),
      builtin("itoa", [digits, r0], { into: register(1) }),
      syscall("write", [1, digits, register(1)], { doing: "writing" }),
      builtin("itoa", [digits, -(2n ** 63n)], { into: register(1) }),
      syscall("write", [1, digits, register(1)], { doing: "writing" }),
      builtin("exit", [0], { exitCode: 0 }),
    ];
    expect(await run(program)).toMatchObject({ code: 0, stdout: "-77-9223372036854775808" });
  });

  test("a failure names its operation and errno, and ends with the operation's exit code", async () => {
    const program = [
      syscall("getpid", [], { doing: "starting" }),
      syscall("chdir", [text("/no/such")], { exitCode: 126, doing: "entering" }),
    ];
    expect(await run(program)).toMatchObject({ code: 126, records: [[recordTypes.failed, 2, 1]] });
  });

  test.for([
    { name: "a tolerated error goes on", fields: { tolerate: ["ENOENT"] }, reported: 1 },
    { name: "any error goes on when all are", fields: { tolerate: "all" }, reported: 1 },
    { name: "a jump on errors", fields: { tolerate: ["ENOENT"], jump: { when: "negative", to: "far" } }, reported: 2 },
    {
      name: "a jump on the first tolerated",
      fields: { tolerate: ["ENOENT", "EPERM"], jump: { when: "first", to: "far" } },
      reported: 2,
    },
    {
      name: "no jump on the second tolerated",
      fields: { tolerate: ["EPERM", "ENOENT"], jump: { when: "first", to: "far" } },
      reported: 1,
    },
    { name: "no jump on success", fields: { tolerate: "all", jump: { when: "positive", to: "far" } }, reported: 1 },
  ] as const)("$name", async ({ fields, reported }) => {
    const program = [
      syscall("chdir", [text("/no/such")], { ...fields, doing: "entering" }),
      builtin("report", [50, 1, 0]),
      builtin("exit", [0], { exitCode: 0 }),
      label("far"),
      builtin("report", [50, 2, 0]),
      builtin("exit", [0], { exitCode: 0 }),
    ];
    expect((await run(program)).records).toEqual([[50, reported, 0]]);
  });

  test("a program that just ends is a failure", async () => {
    expect(await run([syscall("getpid", [], { doing: "idling" })])).toMatchObject({
      code: 125,
      records: [[recordTypes.failed, 22, 1]],
    });
  });

  test.for([
    { name: "another magic", offset: 0, value: 0 },
    { name: "another version", offset: 4, value: 2 },
    { name: "more operations than there are", offset: 16, value: 1000 },
    { name: "operations that would wrap around", offset: 16, value: 0xffffffff },
    { name: "more relocations than there are", offset: 20, value: 0xffffffff },
    { name: "operations outside", offset: 24, value: 0xfffffff8 },
    { name: "operations not aligned", offset: 24, value: 49 },
    { name: "data outside", offset: 40, value: 0xfffffff8 },
    { name: "an unknown kind", offset: 48, value: 77 },
    { name: "a register that is not there", offset: 48, value: 0x00002001 },
    { name: "an argument of no kind", offset: 48, value: 0x0003ff01 },
    { name: "a jump outside", offset: 48 + 64, value: 9 },
  ])("$name is refused before anything runs", async ({ offset, value }) => {
    const { blob } = encodeProgram([builtin("report", [50, 1, 0]), builtin("exit", [0], { exitCode: 0 })], arch);
    blob.writeUInt32LE(value, offset);
    expect(await runBlob(blob)).toMatchObject(refused);
  });

  test("a length beyond the limit is refused, a program cut short ends silently", async () => {
    const { blob } = encodeProgram([builtin("exit", [0], { exitCode: 0 })], arch);
    expect(await runBlob(blob.subarray(0, blob.length - 8))).toMatchObject({ code: 125, records: [] });
    blob.writeUInt32LE(1, 12);
    expect(await runBlob(blob)).toMatchObject(refused);
  });

  test("the printed program has a line an operation, with labels, texts and sentences", () => {
    const program = [
      syscall("openat", [-100, text("/proc"), 0x80000], {
        into: r0,
        tolerate: ["ENOENT"],
        jump: { when: "negative", to: "end" },
        doing: "opening /proc",
      }),
      label("end"),
      builtin("exit", [0]),
    ];
    expect(printProgram(program)).toBe(
      '   0  r0 = openat(-100, "/proc", 0x80000) or ENOENT → end if negative  # opening /proc\nend:\n   1  EXIT(0)  # exit\n',
    );
  });

  test.skipIf(spawnSync("gcc", ["--version"]).status !== 0)(
    "mutated programs never crash it (gcc, ASan and UBSan)",
    () => {
      const fuzzer = join(folder, "fuzz");
      const flags = ["-std=gnu17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
      const built = spawnSync("gcc", [...flags, "-o", fuzzer, join(root, "test/native/launcher-fuzz.c")], {
        encoding: "utf8",
      });
      expect(built.stderr).toBe("");
      const seeds = join(folder, "program");
      writeFileSync(seeds, encodeProgram(everyKind(), arch).blob);
      const ran = spawnSync(fuzzer, [seeds, String(Date.now()), process.env["FUZZ_PROGRAMS"] ?? "100000"], {
        encoding: "utf8",
        env: { ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1" },
      });
      expect(ran.stderr).toBe("");
      expect(ran.status).toBe(0);
    },
  );
});

/** A bit of everything, for mutations to start from. */
function everyKind(): Op[] {
  const cell = space(24, "cell");
  return [
    ...Array.from({ length: 12 }, (_, index) =>
      syscall("openat", [-100, text(`/path${index}`), 0], {
        into: register(index),
        tolerate: ["ENOENT"],
        doing: "opening",
      }),
    ),
    builtin("load32", [cell], { into: r0 }),
    builtin("store32", [at(cell, 4), r0]),
    builtin("itoa", [cell, r0]),
    builtin("cwdcheck", [], { tolerate: "all" }),
    builtin("report", [1, 2, 3]),
    syscall("execve", [text("/x"), stringTable(["a", "b"], "argv"), stringTable([], "envp")], {
      tolerate: "all",
      jump: { when: "positive", to: "supervise" },
      doing: "executing",
    }),
    builtin("init", [r0]),
    label("supervise"),
    builtin("supervise", [r0, r0, r0, 1, -1]),
    builtin("exit", [1]),
  ];
}
