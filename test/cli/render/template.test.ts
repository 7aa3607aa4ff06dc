import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileTemplate, unescapeFormat } from "../../../src/cli/render/template.ts";
import { caught } from "../../support/caught.ts";

const container = {
  ID: "abc",
  Name: "/x",
  Names: ["a", "b"],
  State: { Running: true, Status: "running", Pid: 42 },
  NetworkSettings: {
    Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }], "443/tcp": null },
    Networks: { front: { IPAddress: "10.0.0.2" }, back: { IPAddress: "10.0.1.2" } },
  },
  Config: { Labels: { "a.b": "label" }, Env: ["A=1", "B=<2>"], Cmd: ["sh", "-c"] },
  RepoTags: ["x:1", "y:2"],
  Mounts: [{ Type: "bind" }, { Type: "volume" }],
  Label: (key: unknown) => `label of ${key}`,
};

test.for([
  ["{{.ID}}", "abc"],
  ["id={{.ID}} name={{ .Name }}", "id=abc name=/x"],
  ["{{json .State}}", '{"Running":true,"Status":"running","Pid":42}'],
  ["{{.Config.Env | json}}", '["A=1","B=<2>"]'],
  ["{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "10.0.1.2 10.0.0.2 "],
  ['{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"],
  ['{{index .Config.Labels "a.b"}}', "label"],
  ['{{index .Config.Labels "nope"}}', ""],
  ["{{.Config.Labels.nope}}", "<no value>"],
  [
    "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}:{{with $c}}{{(index . 0).HostPort}}{{else}}-{{end}} {{end}}",
    "443/tcp:- 80/tcp:8080 ",
  ],
  ['{{join .RepoTags ","}}', "x:1,y:2"],
  ["{{if .State.Running}}up{{else}}down{{end}}", "up"],
  ["{{.Config.StopSignal}}{{range .Config.ExposedPorts}}x{{end}}{{json .Config.Shell}}", "null"],
  ["{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"],
  ["{{len .Mounts}}", "2"],
  ["{{upper .Name}}{{lower `ABC`}}{{title `two words`}}", "/XabcTwo Words"],
  ['{{.Label "k"}}', "label of k"],
  ['{{"k" | .Label}}', "label of k"],
  ["{{.Names}} {{.Config.Labels}} {{.State.Running}}", "[a b] map[a.b:label] true"],
  [
    '{{printf "%5s|%-5s|%05d|%.2f|%q|%v|%x|%%|%t" .ID .ID 42 3.14159 .ID .Names "hi" true}}',
    '  abc|abc  |00042|3.14|"abc"|[a b]|6869|%|true',
  ],
  ['{{printf "%s %d" .State.Pid .ID}}', "%!s(int=42) %!d(string=abc)"],
  ['{{printf "%d"}}{{printf "x" 1}}', "%!d(MISSING)x%!(EXTRA int=1)"],
  ["{{print 1 2}}{{print `a` 1}}{{println 1 `b`}}", "1 2a11 b\n"],
  [" {{- /* a comment */ -}} a {{- `b` -}}  c", "abc"],
  ["{{3 -}}  x", "3x"],
  ["{{$x := 1}}{{range .Names}}{{$x = .}}{{end}}{{$x}}", "b"],
  ["{{$x := 1}}{{range .Names}}{{$x := .}}{{$x}}{{end}}{{$x}}", "ab1"],
  ["{{with .State}}{{.Status}}{{$.ID}}{{end}}", "runningabc"],
  ["{{range $i, $v := .Names}}{{if $i}},{{end}}{{$v}}{{end}}", "a,b"],
  ["{{range .Nothing}}x{{else}}empty{{end}}", undefined],
  ["{{range .Mounts}}{{if eq .Type `volume`}}{{continue}}{{end}}{{.Type}}{{end}}", "bind"],
  ["{{range .Names}}{{if eq . `b`}}{{break}}{{end}}{{.}}{{end}}", "a"],
  ['{{define "t"}}<{{.}}>{{end}}{{template "t" .ID}}{{template "t" .Name}}', "<abc></x>"],
  ['{{block "t" .ID}}[{{.}}]{{end}}', "[abc]"],
  ["{{if and .State.Running (eq .ID `z` `abc`)}}y{{end}}", "y"],
  ["{{or .Config.Nothing1 `x`}}", undefined],
  ["{{and 0 (index .Names 9)}}", "0"],
  ["{{or `a` (index .Names 9)}}", "a"],
  ["{{not false}}{{ne 1 2}}{{lt 1 2}}{{le 2 2}}{{gt `b` `a`}}{{ge 1 2}}", "truetruetruetruetruefalse"],
  ["{{slice .ID 1 2}}{{slice .Names 1}}", "b[b]"],
  ["{{html `<a>`}}{{urlquery `a b&`}}{{js `it's`}}", "&lt;a&gt;a+b%26it\\'s"],
  ["{{split `a,b` `,`}}{{pad `x` 1 2}}|{{truncate `abcdef` 3}}", "[a b] x  |abc"],
  ["{{if false}}a{{else if .State.Running}}b{{else}}c{{end}}", "b"],
  ["{{with .Config.Labels.none}}a{{else with .ID}}{{.}}{{end}}", "abc"],
  ["{{0x10}} {{1_000}} {{'a'}} {{-3}} {{1.5}}", "16 1000 97 -3 1.5"],
  ['{{"tab\\tquote\\"\\u00e9"}}', 'tab\tquote"é'],
  ["no action at all }}", "no action at all }}"],
  ["", ""],
] as const)("%s", ([template, expected]) => {
  const apply = () => compileTemplate(template)(container);
  if (expected === undefined) expect(caught(apply).code).toBe("TEMPLATE_FAILED");
  else expect(apply()).toBe(expected);
});

describe("a template that does not parse says why", () => {
  test.for([
    ["{{", "unclosed action"],
    ["{{.ID", "unclosed action"],
    ["{{end}}", "unexpected {{end}}"],
    ["{{if .ID}}", "unexpected EOF"],
    ["{{range .ID}}{{else}}{{else}}{{end}}", "unexpected {{else}}"],
    ["{{nope .ID}}", 'function "nope" not defined'],
    ["{{$x}}", 'undefined variable "$x"'],
    ["{{if .A}}{{$x := 1}}{{end}}{{$x}}", 'undefined variable "$x"'],
    ["{{.ID | }}", "missing value for command"],
    ["{{}}", "missing value for command"],
    ["{{if}}x{{end}}", "missing value for if"],
    ["{{(.ID}}", "unclosed left paren"],
    ["{{.ID)}}", "unexpected ) in command"],
    ['{{"abc}}', "unterminated quoted string"],
    ["{{1 .ID}}", "can't give argument to non-function 1"],
    ["{{break}}", "{{break}} outside {{range}}"],
    ["{{.ID ! 3}}", 'unexpected "!" in command'],
  ] as const)("%s: %s", ([template, why]) => {
    expect(caught(() => compileTemplate(template))).toMatchObject({
      code: "TEMPLATE_INVALID",
      message: `template parsing error: template: :1: ${why}`,
    });
  });
});

describe("a template that fails says at which words", () => {
  test.for([
    ["{{.Nam}}", ".Nam", "can't evaluate field Nam in type object", "did you mean .Name?"],
    ["{{.State.Statsu}}", ".State.Statsu", "can't evaluate field Statsu in type State", "did you mean .Status?"],
    ["{{.ID.X}}", ".ID.X", "can't evaluate field X in type string", undefined],
    ["{{.State.Health.Status}}", ".State.Health.Status", 'nil data; no entry for key "Status"', undefined],
    ["{{index .Names 9}}", "index .Names 9", "error calling index: index out of range: 9", undefined],
    ["{{lt 1 `a`}}", "lt 1 `a`", "error calling lt: incompatible types for comparison", undefined],
    ["{{range .State.Running}}{{end}}", ".State.Running", "range can't iterate over true", undefined],
    ['{{template "t"}}', "t", 'template "t" not defined', undefined],
  ] as const)("%s", ([template, at, why, hint]) => {
    expect(caught(() => compileTemplate(template)(container))).toMatchObject({
      code: "TEMPLATE_FAILED",
      message: `template: :1: executing "" at <${at}>: ${why}`,
      hint,
    });
  });
});

test("text without braces comes out as it is", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }).filter((text) => !text.includes("{{")),
      (text) => {
        expect(compileTemplate(text)({})).toBe(text);
      },
    ),
  );
});

test("any string survives as a quoted literal", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(compileTemplate(`{{${JSON.stringify(text)}}}`)({})).toBe(text);
    }),
  );
});

test("json of any value reads back as that value", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = compileTemplate("{{json .V}}")({ V: value });
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test("whatever is typed, the answer is a text or one of two errors", () => {
  const pieces = [
    "{{",
    "}}",
    "{{- ",
    " -}}",
    ".ID",
    "if ",
    "end",
    "else",
    "range ",
    "|",
    "(",
    ")",
    "$x",
    ":=",
    '"',
    "`",
    " ",
    "1",
    "eq ",
    "x",
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
      try {
        expect(typeof compileTemplate(parts.join(""))(container)).toBe("string");
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^TEMPLATE_(INVALID|FAILED)$/) });
      }
    }),
    { numRuns: 500 },
  );
});

test("\\t and \\n of a shell become tab and newline", () => {
  expect(unescapeFormat("a\\tb\\nc")).toBe("a\tb\nc");
});
