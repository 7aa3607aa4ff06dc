import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type ArchiveCompression, decompressed, sniffCompression } from "../../src/oci/decompress.ts";

const plain = Buffer.concat([Buffer.from("hello ".repeat(50_000)), randomBytes(100_000)]);

const packers: Readonly<Record<ArchiveCompression, (bytes: Buffer) => Buffer>> = {
  none: (bytes) => bytes,
  gzip: (bytes) => gzipSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
  xz: (bytes) => execFileSync("xz", ["-c"], { input: bytes, maxBuffer: 1 << 28 }),
  bzip2: (bytes) => execFileSync("bzip2", ["-c"], { input: bytes, maxBuffer: 1 << 28 }),
};

function installed(kind: ArchiveCompression): boolean {
  try {
    packers[kind](Buffer.from("x"));
    return true;
  } catch {
    return false;
  }
}

async function unpack(bytes: Buffer, chunkSize = 10_000): Promise<Buffer> {
  const chunks = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize);
  };
  const parts: Buffer[] = [];
  for await (const part of await decompressed(Readable.from(chunks(), { objectMode: false }))) parts.push(part);
  return Buffer.concat(parts);
}

const kinds = Object.keys(packers) as ArchiveCompression[];

describe.for(kinds)("%s", (kind) => {
  test.skipIf(!installed(kind))("is recognised by its first bytes", () => {
    expect(sniffCompression(packers[kind](plain))).toBe(kind);
  });

  test.skipIf(!installed(kind))("comes back as it was", async () => {
    expect((await unpack(packers[kind](plain))).equals(plain)).toBe(true);
  });

  test.skipIf(!installed(kind))("comes back as it was when it arrives byte by byte", async () => {
    const little = Buffer.from("a few bytes");
    expect((await unpack(packers[kind](little), 1)).equals(little)).toBe(true);
  });
});

describe.for(kinds.filter((kind) => kind !== "none"))("%s", (kind) => {
  test.skipIf(!installed(kind))("two streams one after the other are one", async () => {
    const both = Buffer.concat([packers[kind](Buffer.from("a")), packers[kind](Buffer.from("b"))]);
    expect((await unpack(both)).toString()).toBe("ab");
  });

  test.skipIf(!installed(kind)).for([1000, 1 << 16, 1 << 20])(
    "five of them in chunks of %i bytes are one",
    async (size) => {
      const bytes = randomBytes(700_000);
      const cuts = [0, 10, 100_000, 131_072, 400_000, 700_000];
      const parts = cuts.slice(1).map((end, i) => packers[kind](bytes.subarray(cuts[i], end)));
      expect((await unpack(Buffer.concat(parts), size)).equals(bytes)).toBe(true);
    },
  );

  test.skipIf(!installed(kind))("cut short is an error that names it", async () => {
    const packed = packers[kind](plain);
    await expect(unpack(packed.subarray(0, packed.length >> 1))).rejects.toMatchObject({
      code: "ARCHIVE_INVALID",
      message: expect.stringContaining(kind),
    });
  });

  test.skipIf(!installed(kind))("damaged is an error that names it", async () => {
    const packed = Buffer.from(packers[kind](plain));
    packed.fill(0x55, packed.length >> 1, (packed.length >> 1) + 64);
    await expect(unpack(packed)).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
  });
});

test("nothing at all is not compressed", async () => {
  expect((await unpack(Buffer.alloc(0))).length).toBe(0);
});
