import { expect, test } from "vitest";
import { diffIdOf, sha256 } from "../../src/oci/digest.ts";
import type { ImageConfig } from "../../src/oci/image-config.ts";
import { imageConfigJson, timestampOfMs } from "../../src/oci/image-config-json.ts";

const text = (config: ImageConfig): string => Buffer.from(imageConfigJson(config)).toString();

const bare: ImageConfig = {
  architecture: "amd64",
  config: {},
  history: [],
  os: "linux",
  rootfs: { type: "layers", diff_ids: [] },
};

test("an image with nothing in it has nulls where Go has nil", () => {
  expect(text(bare)).toBe(
    '{"architecture":"amd64","config":{},"created":null,"history":null,"os":"linux","rootfs":{"type":"layers","diff_ids":null}}',
  );
});

test("all fields stand in BuildKit's order, maps sorted by bytes, zeros and empties left out", () => {
  const config: ImageConfig = {
    ...bare,
    author: "a <b@c>",
    variant: "v7",
    created: "2026-01-02T03:04:05Z",
    config: {
      Shell: ["/bin/sh", "-c"],
      OnBuild: ["RUN x"],
      Labels: { b: "", a: "\u{1F600}", "\uFFFD": "1", "\u{1F600}": "2" },
      Healthcheck: { Test: ["NONE"], Retries: 0, Interval: 1_000_000_000 },
      ArgsEscaped: true,
      StopSignal: "9",
      WorkingDir: "/w",
      Volumes: { "/v": {} },
      Cmd: [],
      Entrypoint: ["e"],
      Env: ["A=&"],
      ExposedPorts: { "80/tcp": {}, "443/udp": {} },
      User: "u",
    },
    history: [{ empty_layer: true, comment: "c", created_by: "x", created: "2026-01-02T03:04:05Z" }],
    rootfs: { type: "layers", diff_ids: [diffIdOf(sha256("x"))] },
  };
  expect(text(config)).toBe(
    '{"architecture":"amd64","author":"a \\u003cb@c\\u003e","config":{"User":"u","ExposedPorts":{"443/udp":{},"80/tcp":{}},' +
      '"Env":["A=\\u0026"],"Entrypoint":["e"],"Volumes":{"/v":{}},"WorkingDir":"/w",' +
      '"Labels":{"a":"\u{1F600}","b":"","\uFFFD":"1","\u{1F600}":"2"},"StopSignal":"9","ArgsEscaped":true,' +
      '"Healthcheck":{"Test":["NONE"],"Interval":1000000000},"OnBuild":["RUN x"],"Shell":["/bin/sh","-c"]},' +
      '"created":"2026-01-02T03:04:05Z","history":[{"created":"2026-01-02T03:04:05Z","created_by":"x","comment":"c","empty_layer":true}],' +
      `"os":"linux","rootfs":{"type":"layers","diff_ids":["${sha256("x")}"]},"variant":"v7"}`,
  );
});

test.for([
  { name: "line separators", input: "a\u2028b\u2029", output: '"a\\u2028b\\u2029"' },
  { name: "control characters", input: '\u0001\n\t"\\', output: '"\\u0001\\n\\t\\"\\\\"' },
  { name: "a lone surrogate", input: "x\ud800", output: '"x\ufffd"' },
  { name: "other non-ASCII text", input: "é\u007f", output: '"é\u007f"' },
])("$name are written as Go writes them", ({ input, output }) => {
  expect(text({ ...bare, config: { User: input } })).toContain(`"User":${output}`);
});

test.for([
  [0, "1970-01-01T00:00:00Z"],
  [1_000_000_000_120, "2001-09-09T01:46:40.12Z"],
  [1_000_000_000_123, "2001-09-09T01:46:40.123Z"],
  [1_000_000_010_000, "2001-09-09T01:46:50Z"],
] as const)("%d ms since the epoch is %s", ([ms, expected]) => {
  expect(timestampOfMs(ms)).toBe(expected);
});
