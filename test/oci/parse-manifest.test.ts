import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TsbuildError } from "../../src/errors.ts";
import { sha256 } from "../../src/oci/digest.ts";
import { availablePlatforms, selectPlatform } from "../../src/oci/image-index.ts";
import type { ImageIndex } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { parseImageConfig } from "../../src/oci/parse-image-config.ts";
import { parseManifestDocument } from "../../src/oci/parse-manifest.ts";
import { parsePlatform } from "../../src/oci/platform.ts";

const bytes = (value: unknown): Buffer => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const config = { mediaType: mediaTypes.ociConfig, digest: sha256("c"), size: 1 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] };
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };

describe("what a manifest document is", () => {
  test.for([
    { name: "its own media type says", document: manifest, sent: undefined, kind: "manifest" },
    {
      name: "the header says when it is silent",
      document: { ...index, mediaType: undefined },
      sent: mediaTypes.dockerList,
      kind: "index",
    },
    {
      name: "its shape says when all else is silent",
      document: { ...index, mediaType: undefined },
      sent: undefined,
      kind: "index",
    },
    {
      name: "a header of text/plain does not matter",
      document: manifest,
      sent: "text/plain; charset=utf-8",
      kind: "manifest",
    },
    { name: "null is absent", document: { ...manifest, annotations: null }, sent: undefined, kind: "manifest" },
  ])("$name", ({ document, sent, kind }) => {
    expect(parseManifestDocument(bytes(document), "x", sent).kind).toBe(kind);
  });

  test.for([
    { name: "index and manifest at once", document: { ...manifest, manifests: [] }, sent: undefined, says: "both" },
    { name: "another type than the header's", document: manifest, sent: mediaTypes.ociIndex, says: "sent as" },
    {
      name: "a type that is no image",
      document: { ...manifest, mediaType: "text/html" },
      sent: undefined,
      says: "no image",
    },
    { name: "schema 1", document: { schemaVersion: 1, fsLayers: [] }, sent: undefined, says: "schema 1" },
    { name: "no JSON", document: "<html>", sent: undefined, says: "not JSON" },
    { name: "a list", document: [], sent: undefined, says: "not a JSON object" },
    {
      name: "a digest that is none",
      document: { ...manifest, config: { ...config, digest: "sha256:../../x" } },
      sent: undefined,
      says: "config.digest",
    },
    {
      name: "a negative size",
      document: { ...manifest, config: { ...config, size: -1 } },
      sent: undefined,
      says: "config.size",
    },
    {
      name: "a size beyond integers",
      document: { ...manifest, config: { ...config, size: 1e300 } },
      sent: undefined,
      says: "config.size",
    },
  ])("$name is refused", ({ document, sent, says }) => {
    expect(() => parseManifestDocument(bytes(document), "x", sent)).toThrow(
      expect.objectContaining({ code: "INVALID_MANIFEST", message: expect.stringContaining(says) }),
    );
  });

  test("any bytes are read or refused, never a crash", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        for (const parse of [parseManifestDocument, parseImageConfig])
          try {
            parse(Buffer.from(text), "x");
          } catch (error) {
            expect(error).toBeInstanceOf(TsbuildError);
          }
      }),
    );
  });
});

test("a config may have null wherever Go writes it", () => {
  const parsed = parseImageConfig(
    bytes({
      architecture: "arm64",
      os: "linux",
      config: { Env: null, Cmd: "sh", Volumes: { "/v": {} }, Labels: null },
      history: null,
      rootfs: { type: "layers", diff_ids: null },
    }),
    "x",
  );
  expect(parsed).toEqual({
    architecture: "arm64",
    os: "linux",
    config: { Cmd: ["sh"], Volumes: { "/v": {} } },
    history: [],
    rootfs: { type: "layers", diff_ids: [] },
  });
});

describe("the image of an index for a platform", () => {
  const entries = ["linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "windows/amd64", "unknown/unknown"];
  const list: ImageIndex = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: entries.map((text) => {
      const [os = "", architecture = "", variant] = text.split("/");
      return {
        ...config,
        digest: sha256(text),
        platform: { os, architecture, ...(variant !== undefined && { variant }) },
      };
    }),
  };
  test.for([
    ["linux/amd64", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64"],
    ["linux/arm64", "linux/arm64/v8"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/v6", "linux/arm/v5"],
    ["linux/386", undefined],
    ["linux/s390x", undefined],
  ] as const)("%s takes %s", ([wanted, taken]) => {
    expect(selectPlatform(list, parsePlatform(wanted))?.digest).toBe(taken === undefined ? undefined : sha256(taken));
  });
  test("attestations are no platform", () => {
    expect(availablePlatforms(list)).not.toContain("unknown/unknown");
  });
});
