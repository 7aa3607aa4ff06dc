import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SeccompSpec } from "../../src/oci/runtime-spec.ts";
import { containerSpec, defaultCapabilities } from "../../src/runtime/container-spec.ts";
import { capabilities } from "../../src/runtime/linux-constants.ts";
import { compileSeccomp, seccompProgram } from "../../src/runtime/seccomp/compile-seccomp.ts";
import { defaultFilters } from "../../src/runtime/seccomp/default-filters.ts";
import { defaultSeccomp, parseSeccompProfile, seccompFromProfile } from "../../src/runtime/seccomp/profile.ts";
import { type SyscallArch, syscallTable } from "../../src/runtime/syscall-table.ts";
import { runFilter } from "../support/bpf-interpreter.ts";

const audit = { x64: 0xc000003e, ia32: 0x40000003, arm64: 0xc00000b7 } as const;
const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
const KILL_PROCESS = 0x80000000;
const EPERM = ERRNO | 1;
const ENOSYS = ERRNO | 38;
const kernel = "6.1.0";
const zeros = [0n, 0n, 0n, 0n, 0n, 0n];

const actionValues: Readonly<Record<string, number>> = {
  SCMP_ACT_ALLOW: ALLOW,
  SCMP_ACT_ERRNO: ERRNO,
  SCMP_ACT_KILL_PROCESS: KILL_PROCESS,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_TRAP: 0x00030000,
};

/** What the profile says, read straight off it. */
function evaluate(spec: SeccompSpec, arch: SyscallArch, number: number, args: readonly bigint[]): number {
  const value = (action: string, errnoRet: number | undefined): number =>
    action === "SCMP_ACT_ERRNO" ? ERRNO | (errnoRet ?? 1) : (actionValues[action] ?? -1);
  const table = syscallTable(arch);
  if (number > Math.max(...table.values())) return ENOSYS;
  for (const rule of spec.syscalls) {
    if (!rule.names.some((name) => table.get(name) === number)) continue;
    const conditions = rule.args ?? [];
    const indexes = new Set(conditions.map((condition) => condition.index));
    const holds =
      indexes.size === conditions.length
        ? conditions.every((condition) => compare(condition, args))
        : conditions.some((condition) => compare(condition, args));
    if (holds) return value(rule.action, rule.errnoRet);
  }
  return value(spec.defaultAction, spec.defaultErrnoRet);
}

function compare(
  condition: { index: number; value: number; valueTwo?: number; op: string },
  args: readonly bigint[],
): boolean {
  const arg = args[condition.index] ?? 0n;
  const value = BigInt(condition.value);
  switch (condition.op) {
    case "SCMP_CMP_EQ":
      return arg === value;
    case "SCMP_CMP_NE":
      return arg !== value;
    case "SCMP_CMP_LT":
      return arg < value;
    case "SCMP_CMP_LE":
      return arg <= value;
    case "SCMP_CMP_GT":
      return arg > value;
    case "SCMP_CMP_GE":
      return arg >= value;
    case "SCMP_CMP_MASKED_EQ":
      return (arg & value) === (BigInt(condition.valueTwo ?? 0) & value);
    default:
      throw new Error(condition.op);
  }
}

const conditionSets = [
  { name: "Docker's capabilities", capabilities: defaultCapabilities },
  { name: "all capabilities", capabilities },
  { name: "no capabilities", capabilities: [] },
];

describe.for(conditionSets)("the default profile with $name", ({ capabilities }) => {
  test.for([
    { machine: "x64", table: "x64" },
    { machine: "x64", table: "ia32" },
    { machine: "arm64", table: "arm64" },
  ] as const)("on $machine answers each call of $table as the profile says", ({ machine, table }) => {
    const spec = defaultSeccomp({ capabilities, arch: machine, kernel });
    const program = compileSeccomp(spec, machine);
    const wrong: string[] = [];
    for (let number = 0; number <= 1024; number += 1) {
      const { result } = runFilter(program, { arch: audit[table], number, args: zeros });
      if (result !== evaluate(spec, table, number, zeros)) wrong.push(`${number}: ${result.toString(16)}`);
    }
    expect(wrong).toEqual([]);
  });
});

const word = fc.oneof(
  fc.constantFrom(0n, 1n, 38n, 40n, 0x7e020000n, 0xffffffffn, 0x100000000n, 0x17e020000n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0xfffffff0n, max: 0x10000000fn }),
);

test("arguments around the borders of 32 bits decide as the default profile says", () => {
  const spec = defaultSeccomp({ capabilities: defaultCapabilities, arch: "x64", kernel });
  const program = compileSeccomp(spec, "x64");
  const numbers = ["clone", "socket", "personality", "read", "ptrace"].map(
    (name) => syscallTable("x64").get(name) ?? -1,
  );
  fc.assert(
    fc.property(fc.constantFrom(...numbers), fc.tuple(word, word, word, word, word, word), (number, args) => {
      expect(runFilter(program, { arch: audit.x64, number, args }).result).toBe(evaluate(spec, "x64", number, args));
    }),
    { numRuns: 2000 },
  );
});

const operators = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"].map((name) => `SCMP_CMP_${name}`);
const value = fc.oneof(
  fc.nat(8),
  fc.constantFrom(0xffffffff, 0x100000000, 0x100000001),
  fc.integer({ min: 0, max: 2 ** 53 - 1 }),
);
const profile: fc.Arbitrary<SeccompSpec> = fc.record({
  defaultAction: fc.constantFrom("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"),
  architectures: fc.constant(["SCMP_ARCH_X86_64"]),
  syscalls: fc.array(
    fc.record({
      names: fc.array(fc.constantFrom(...[...syscallTable("x64").keys()].slice(0, 12)), { minLength: 1, maxLength: 4 }),
      action: fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"),
      args: fc.array(fc.record({ index: fc.nat(5), value, valueTwo: value, op: fc.constantFrom(...operators) }), {
        maxLength: 4,
      }),
    }),
    { maxLength: 12 },
  ),
});

test("any profile's program decides as the profile does", () => {
  const near = fc.oneof(word, fc.bigInt({ min: 0n, max: 9n }));
  fc.assert(
    fc.property(
      profile,
      fc.array(fc.tuple(fc.nat(14), fc.tuple(near, near, near, near, near, near)), { minLength: 20, maxLength: 20 }),
      (spec, calls) => {
        const program = compileSeccomp(spec, "x64");
        for (const [number, args] of calls) {
          expect(runFilter(program, { arch: audit.x64, number, args }).result).toBe(
            evaluate(spec, "x64", number, args),
          );
        }
      },
    ),
    { numRuns: 300 },
  );
});

describe("by name, with Docker's capabilities", () => {
  const spec = defaultSeccomp({ capabilities: defaultCapabilities, arch: "x64", kernel });
  const program = compileSeccomp(spec, "x64");
  const answer = (name: string, args: readonly bigint[] = zeros): number =>
    runFilter(program, { arch: audit.x64, number: syscallTable("x64").get(name) ?? -1, args }).result;

  test.for([
    { call: "clone3", args: [], result: ENOSYS, why: "so that the C library falls back to clone" },
    { call: "clone", args: [0x00010f00n], result: ALLOW, why: "a thread" },
    { call: "clone", args: [0x10000000n], result: EPERM, why: "a user namespace" },
    { call: "socket", args: [2n], result: ALLOW, why: "AF_INET" },
    { call: "socket", args: [16n], result: ALLOW, why: "AF_NETLINK" },
    { call: "socket", args: [38n], result: EPERM, why: "AF_ALG" },
    { call: "socket", args: [40n], result: EPERM, why: "AF_VSOCK" },
    { call: "personality", args: [0xffffffffn], result: ALLOW, why: "asking" },
    { call: "personality", args: [0x40000n], result: EPERM, why: "ADDR_NO_RANDOMIZE" },
    { call: "ptrace", args: [], result: ALLOW, why: "safe from 4.8 on" },
    ...["mount", "unshare", "setns", "bpf", "fsopen", "keyctl", "add_key", "userfaultfd", "io_uring_setup"].map(
      (call) => ({
        call,
        args: [],
        result: EPERM,
        why: "not in the profile",
      }),
    ),
    ...["open_by_handle_at", "perf_event_open", "reboot", "init_module", "kexec_load"].map((call) => ({
      call,
      args: [],
      result: EPERM,
      why: "not in the profile",
    })),
    ...["chroot", "mknod", "capset", "close_range", "statx", "futex_wait", "fchmodat2"].map((call) => ({
      call,
      args: [],
      result: ALLOW,
      why: "in the profile",
    })),
  ])("$call ($why)", ({ call, args, result }) => {
    expect(answer(call, [...args, ...zeros].slice(0, 6))).toBe(result);
  });

  test("another architecture is the end, x32 is unknown", () => {
    expect(runFilter(program, { arch: 0x40000028, number: 1, args: zeros }).result).toBe(KILL_PROCESS);
    expect(runFilter(program, { arch: audit.x64, number: 0x40000001, args: zeros }).result).toBe(ENOSYS);
  });

  test("a call takes few instructions", () => {
    const steps = [...syscallTable("x64").values()].map(
      (number) => runFilter(program, { arch: audit.x64, number, args: zeros }).steps,
    );
    expect(Math.max(...steps)).toBeLessThanOrEqual(24);
    expect(program.length / 8).toBeLessThan(1000);
  });

  test("on arm64, where the other architecture has no table, its calls are unknown", () => {
    const arm = defaultSeccomp({ capabilities: defaultCapabilities, arch: "arm64", kernel });
    const result = runFilter(compileSeccomp(arm, "arm64"), { arch: 0x40000028, number: 1, args: zeros }).result;
    expect(result).toBe(ENOSYS);
  });
});

describe("profiles from files", () => {
  const from = { capabilities: ["CAP_SYS_ADMIN"], arch: "x64", kernel: "4.7.2" } as const;
  const rule = (more: object): unknown => ({ names: ["read"], action: "SCMP_ACT_ALLOW", ...more });
  test.for([
    { name: "held capability", more: { includes: { caps: ["CAP_SYS_ADMIN"] } }, counts: true },
    { name: "one of two capabilities", more: { includes: { caps: ["CAP_SYS_ADMIN", "CAP_BPF"] } }, counts: false },
    { name: "excluded capability", more: { excludes: { caps: ["CAP_SYS_ADMIN"] } }, counts: false },
    { name: "this architecture", more: { includes: { arches: ["amd64"] } }, counts: true },
    { name: "another architecture", more: { includes: { arches: ["s390x"] } }, counts: false },
    { name: "a newer kernel", more: { includes: { minKernel: "4.8" } }, counts: false },
    { name: "an older kernel", more: { includes: { minKernel: "3.10" } }, counts: true },
  ])("a rule for $name counts: $counts", ({ more, counts }) => {
    const text = JSON.stringify({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [rule(more)] });
    expect(seccompFromProfile(parseSeccompProfile(text, "p.json"), from).syscalls).toHaveLength(counts ? 1 : 0);
  });

  test.for([
    { name: "no JSON", text: "{" },
    { name: "no default action", text: '{"syscalls": []}' },
    {
      name: "an argument that does not exist",
      text: JSON.stringify({
        defaultAction: "x",
        syscalls: [rule({ args: [{ index: 6, value: 1, op: "SCMP_CMP_EQ" }] })],
      }),
    },
  ])("$name is refused, naming the file", ({ text }) => {
    expect(() => parseSeccompProfile(text, "p.json")).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", where: { kind: "path", path: "p.json" } }),
    );
  });

  test.for([
    { name: "action", spec: { defaultAction: "SCMP_ACT_HOPE" }, code: "INVALID_ARGUMENT" },
    { name: "agent", spec: { defaultAction: "SCMP_ACT_NOTIFY" }, code: "UNSUPPORTED" },
  ])("an unknown $name is refused", ({ spec, code }) => {
    const whole: SeccompSpec = { architectures: [], syscalls: [], ...spec };
    expect(() => compileSeccomp(whole, "x64")).toThrow(expect.objectContaining({ code }));
  });
});

test.for(["x64", "arm64"] as const)("the filter for %s made beforehand is the one the profile compiles to", (arch) => {
  const spec = defaultSeccomp({ capabilities: defaultCapabilities, arch, kernel: "5.12" });
  // Else: node scripts/update-seccomp.ts
  expect(defaultFilters[arch] === compileSeccomp(spec, arch).toString("base64")).toBe(true);
});

test.for([
  { name: "the default", options: {} },
  { name: "a capability more", options: { capAdd: ["SYS_ADMIN"] } },
  { name: "a capability less", options: { capDrop: ["CHOWN"] } },
])("a container with $name gets the filter of its own profile", ({ options }) => {
  const { seccomp } = containerSpec({
    args: ["x"],
    env: [],
    cwd: "/",
    user: { uid: 0, gid: 0, additionalGids: [] },
    network: "none",
    ...options,
  }).linux;
  if (seccomp === undefined) throw new Error("no filter");
  const arch = process.arch === "arm64" ? "arm64" : "x64";
  expect(seccompProgram(seccomp).equals(compileSeccomp(seccomp, arch))).toBe(true);
});
