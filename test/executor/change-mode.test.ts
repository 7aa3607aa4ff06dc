import { expect, test } from "vitest";
import { changeMode } from "../../src/executor/change-mode.ts";

test.for([
  ["u+x", 0o644, false, 0o744],
  ["+x", 0o644, false, 0o755],
  ["a+X", 0o644, false, 0o644],
  ["a+X", 0o744, false, 0o755],
  ["a+X", 0o644, true, 0o755],
  ["go=u", 0o750, false, 0o777],
  ["go=", 0o777, false, 0o700],
  ["=rw", 0o4755, false, 0o666],
  ["u=rwx,g=rx,o=", 0o000, false, 0o750],
  ["u+s", 0o755, false, 0o4755],
  ["g+s", 0o755, true, 0o2755],
  ["g=rx", 0o2755, true, 0o2755],
  ["+t", 0o777, true, 0o1777],
  ["u+r-w", 0o200, false, 0o400],
  ["o-rwx", 0o777, false, 0o770],
] as const)("%s of %o (folder: %s) is %o", ([text, mode, isFolder, expected]) => {
  expect(changeMode({ kind: "symbolic", text }, mode, isFolder).toString(8)).toBe(expected.toString(8));
});

test.for(["u", "x+u", "u+y", "", "u+x,", "+ug"])("%j is no mode, and the error shows how to write one", (text) => {
  expect(() => changeMode({ kind: "symbolic", text }, 0o644, false)).toThrow(
    expect.objectContaining({ code: "COPY_FAILED", hint: expect.stringContaining("u+x") }),
  );
});
