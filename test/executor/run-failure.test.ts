import { expect, test } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { failureCauses, startHint } from "../../src/executor/run-failure.ts";

const usage = { maxRssBytes: 0, userMs: 0, systemMs: 0 };

test.for([
  { code: 1, argv: ["/bin/sh", "-c", "x"], says: [] },
  { code: 127, argv: ["/bin/sh", "-c", "x"], says: ["127 is a shell's word for: command not found"] },
  { code: 126, argv: ["/bin/sh", "-c", "x"], says: ["126 is a shell's word for: found, but not executable"] },
  { code: 139, argv: ["/bin/sh", "-c", "x"], says: ["139 is a shell's word for: ended by SIGSEGV"] },
  { code: 139, argv: ["x"], says: [] },
  { code: 137, signal: 9, argv: ["x"], says: ["ended by SIGKILL"] },
  { code: 137, signal: 9, oomKilled: true, argv: ["x"], says: ["killed: out of memory (limit 20 MiB)"] },
  { code: 137, oomKilled: true, argv: ["sh", "-c", "x"], says: ["killed: out of memory (limit 20 MiB)"] },
])("exit code $code of $argv: $says", ({ code, signal, oomKilled = false, argv, says }) => {
  const status = { code, signal, oomKilled, usage };
  expect(failureCauses(status, { argv, network: "default" }, 20 * 1024 * 1024, "/")).toEqual(says);
});

test.for([
  {
    name: "no shell at all",
    argv: ["/bin/sh", "-c", "x"],
    files: [],
    hint: /the image has no shell.*RUN \["\/program"/,
  },
  { name: "another shell", argv: ["/bin/bash", "-c", "x"], files: ["/bin/sh"], hint: /SHELL \["\/bin\/sh", "-c"\]/ },
  { name: "a program that is not there", argv: ["/nope"], files: ["/bin/sh"], hint: undefined },
])("a command that is not found, $name", ({ argv, files, hint }) => {
  const error = new TsbuildError({ code: "COMMAND_NOT_FOUND", what: "not found" });
  const said = startHint(argv, error, (path) => (files as readonly string[]).includes(path));
  if (hint === undefined) expect(said).toBeUndefined();
  else expect(said).toMatch(hint);
});

test("a command that may not be executed is made so", () => {
  const error = new TsbuildError({ code: "COMMAND_NOT_EXECUTABLE", what: "/x: permission denied (EACCES)" });
  expect(startHint(["/x"], error, () => true)).toBe("make it executable: COPY --chmod=755, or RUN chmod +x /x");
});

test("what the error itself proposes comes first", () => {
  const error = new TsbuildError({ code: "COMMAND_NOT_FOUND", what: "not found", hint: "do that" });
  expect(startHint(["/bin/sh", "-c", "x"], error, () => false)).toBe("do that");
});
