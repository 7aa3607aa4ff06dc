// The JSON form.
import { expect, test } from "vitest";
import { nodeOf, parseText, rejected } from "./parsed.ts";

test.for([
  [`RUN ["a","b c"]`, ["a", "b c"]],
  [`RUN [ "a" , "b" ] `, ["a", "b"]],
  [`RUN []`, []],
  [`RUN ["a\\n\\"\\\\\\/\\u00e9\\ud83d\\ude00"]`, [`a\n"\\/é😀`]],
  [`RUN ["\\ud83d", "\\ude00x"]`, ["\ufffd", "\ufffdx"]],
  [`RUN ["[", "]", ",", "a]"]`, ["[", "]", ",", "a]"]],
  [`RUN --network=none ["a"]`, ["a"]],
  [`RUN -- ["a"]`, ["a"]],
  [`CMD ["a"]`, ["a"]],
  [`ENTRYPOINT\t["a"]`, ["a"]],
  [`HEALTHCHECK CMD ["a","$b"]`, ["a", "$b"]],
  [`RUN ["a", \\\n  "b"]`, ["a", "b"]],
] as const)("%s is the JSON form", ([line, argv]) => {
  expect(rejected(line)).toEqual([]);
  expect(nodeOf(line)).toMatchObject({ command: { form: "exec", argv } });
});

test.for([
  `RUN ['a']`,
  `RUN ["a",]`,
  `CMD ["a"] # c`,
  `CMD ["a"]]`,
  `ENTRYPOINT ["a" "b"]`,
  `RUN [ -f x ] && y`,
  `RUN ["a\\x"]`,
  `RUN ["a`,
  `RUN [01]`,
  `RUN {"a":1}`,
  `RUN "a"`,
  `HEALTHCHECK CMD ['a']`,
])("%s is silently the shell form", (line) => {
  expect(rejected(line)).toEqual([]);
  expect(nodeOf(line)).toMatchObject({ command: { form: "shell", text: line.slice(line.search(/[[{"]/)) } });
});

test.for([
  ["RUN [1]", "json-not-strings: 1"],
  [`CMD ["a", null]`, "json-not-strings: null"],
  [`ENTRYPOINT ["a", ["b", 1]]`, `json-not-strings: ["b", 1]`],
  [`SHELL [true]`, "json-not-strings: true"],
  [`COPY ["a", -1.5e3]`, "json-not-strings: -1.5e3"],
  [`VOLUME [{"a]": [1, "}"]}]`, `json-not-strings: {"a]": [1, "}"]}`],
  [`HEALTHCHECK CMD [1]`, "json-not-strings: 1"],
] as const)("%s is rejected", ([line, problem]) => {
  expect(rejected(line)).toContain(problem);
});

test("arrays nested without end are an error and no defect", () => {
  expect(rejected(`RUN ${"[".repeat(20_000)}${"]".repeat(20_000)}`)).toEqual([
    expect.stringMatching(/^json-not-strings/),
  ]);
});

test("elements of COPY, ADD and VOLUME go through the rules of words", () => {
  expect(nodeOf(`COPY ["$a b","c\\\\d", "/x y/"]`)).toMatchObject({
    sources: [
      { parts: [{ kind: "variable", name: "a" }, { value: " b" }] },
      { parts: [{ value: "c" }, { value: "d", quoted: true }] },
    ],
    destination: { parts: [{ value: "/x y/" }] },
  });
  expect(rejected(`COPY ["it's","/d/"]`)).toEqual([`unclosed-quote: 's`]);
  expect(rejected(`VOLUME ["\${"]`)).toEqual(["bad-substitution: ${"]);
});

test("VOLUME of what is no JSON is words", () => {
  expect(nodeOf("VOLUME ['/a']")).toMatchObject({ paths: [{ raw: "['/a']" }] });
});

test("a decoded element still knows its place", () => {
  const text = `FROM a\nCOPY ["\\u0061$x", "/d"]`;
  const copy = parseText(text).dockerfile.instructions[1];
  const part = copy?.kind === "copy" ? copy.sources[0]?.parts[1] : undefined;
  expect(part?.kind === "variable" && text.slice(part.range.start, part.range.end)).toBe("$x");
});
