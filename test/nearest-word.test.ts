import { expect, test } from "vitest";
import { nearestWord } from "../src/nearest-word.ts";

const words = ["build", "builds", "images", "rm", "rmi", "run", "inspect", "shell"];

test.for([
  ["biuld", "build"],
  ["BUILD", "build"],
  ["imges", "images"],
  ["insp", "inspect"],
  ["rn", "rm"],
  ["ru", "run"],
  ["b", undefined],
  ["hello", undefined],
  ["frobnicate", undefined],
  ["", undefined],
] as const)("%s means %s", ([typed, meant]) => {
  expect(nearestWord(typed, words)).toBe(meant);
});
