import { expect, test } from "vitest";
import { imageConfig, withTimes } from "../../src/executor/commit-image.ts";
import type { HistoryEntry } from "../../src/oci/image-config.ts";
import type { StepId } from "../../src/planner/build-graph.ts";

/** `a1`: entry a with time 1; `b`: entry b without. */
const entries = (text: string): readonly HistoryEntry[] =>
  text
    .split(" ")
    .filter((word) => word !== "")
    .map((word) => ({
      created_by: word.charAt(0),
      ...(word.length > 1 && { created: word.slice(1) }),
      ...(word.charAt(0) === word.charAt(0).toLowerCase() && { empty_layer: true }),
    }));
const printed = (history: readonly HistoryEntry[]): string =>
  history.map(({ created_by, created }) => `${created_by}${created ?? ""}`).join(" ");

// Upper case: a layer. Lower case: config only.
test.for([
  { name: "nothing", before: "", after: "" },
  { name: "entries above the first layer take its time", before: "e l A5", after: "e5 l5 A5" },
  { name: "COPY, ENV, COPY: ENV has the second one's time", before: "A1 e B2", after: "A1 e2 B2" },
  { name: "later ones take the nearest layer's above", before: "A1 e B2 f C3 g", after: "A1 e2 B2 f2 C3 g3" },
  { name: "no layer below: the last time above", before: "A1 B2 e f", after: "A1 B2 e2 f2" },
  { name: "no layer at all: none", before: "e f", after: "e f" },
  { name: "a base without times stays in front", before: "x e A4 f", after: "x4 e4 A4 f4" },
])("times: $name", ({ before, after }) => {
  expect(printed(withTimes(entries(before)))).toBe(after);
});

test("a base with fewer history entries than layers is filled up, so that ours describe our own", () => {
  const config = imageConfig(
    {
      template: {
        architecture: "amd64",
        os: "linux",
        config: {},
        baseHistory: [],
        history: [{ createdBy: "RUN x # buildkit", step: "0.0" as StepId }],
      },
      baseLayers: 1,
      createdBy: () => "2026-01-01T00:00:00Z",
    },
    [],
  );
  expect(config.history.map((entry) => entry.created_by)).toEqual([undefined, "RUN x # buildkit"]);
  expect(config.created).toBe("2026-01-01T00:00:00Z");
});
