/** Stores on file systems that cannot carry one. */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { expect } from "vitest";
import { needs } from "../support/needs.ts";
import { yard } from "./containers-support.ts";

const test = needs("root", "busybox-static");

test("on an overlay, as a container's own root is one, what is missing is said", async () => {
  await using place = await yard();
  const tar = `${place.folder}/b.tar`;
  await place.out(["save", "-o", tar, "b"]);
  const [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map((name) => `${place.folder}/${name}`);
  for (const folder of [lower, upper, work, merged]) mkdirSync(folder ?? "");
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  expect(spawnSync("mount", ["-t", "overlay", "overlay", "-o", options, merged ?? ""]).status).toBe(0);
  using _mounted = { [Symbol.dispose]: () => void spawnSync("umount", [merged ?? ""]) };
  await place.out(["--root", `${merged}/store`, "load", "-i", tar]);
  const { code, stderr } = await place.t([
    "--root",
    `${merged}/store`,
    "run",
    "--rm",
    "--network",
    "none",
    "b",
    "true",
  ]);
  expect(code).toBe(125);
  expect(stderr).toMatch(
    /^error: cannot start the container: mounting the overlay of 1 layers: .*\n {3}hint: the store lies on an overlay itself/,
  );
});
