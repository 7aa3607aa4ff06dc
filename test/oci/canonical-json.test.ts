import { expect, test } from "vitest";
import { canonicalJson, type Json } from "../../src/oci/canonical-json.ts";

test.for<{ readonly name: string; readonly value: Json; readonly text: string }>([
  { name: "keys are sorted", value: { b: 1, a: { d: 2, c: 3 } }, text: '{"a":{"c":3,"d":2},"b":1}' },
  { name: "undefined is absent", value: { a: undefined, b: null }, text: '{"b":null}' },
  { name: "lists of texts", value: ["b", 'a"\n', "\ud800"], text: '["b","a\\"\\n","\\ud800"]' },
  { name: "lists of other things", value: ["b", 1, { z: 1, a: [] }], text: '["b",1,{"a":[],"z":1}]' },
  { name: "an empty list", value: [], text: "[]" },
])("$name", ({ value, text }) => {
  expect(canonicalJson(value)).toBe(text);
});
