/** Contexts as strangers have them: hostile archives, odd files, names of bytes, and names that mean several things. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { lacks, needs } from "../support/needs.ts";
import { type RawEntry, rawTar } from "../support/raw-tar.ts";
import { type BuiltImage, Workshop } from "./build-support.ts";

const it = needs("root", "busybox-static");

describe.skipIf(lacks("root", "busybox-static"))("a context", () => {
  let place: Workshop;
  let canary: string;
  let count = 0;

  beforeAll(async () => {
    place = new Workshop();
    await place.importBase();
    canary = join(place.folder, "canary");
    mkdirSync(canary);
    writeFileSync(join(canary, "file"), "untouched");
  });
  afterAll(() => {
    expect(readdirSync(canary)).toEqual(["file"]);
    expect(readFileSync(join(canary, "file"), "utf8")).toBe("untouched");
    place[Symbol.dispose]();
  });

  const dockerfile = { name: "Dockerfile", type: "0", content: "FROM scratch\nCOPY . /\n" };
  const send = (archive: Buffer, ...flags: readonly string[]) => {
    const idFile = join(place.folder, `sent${count++}.id`);
    return { idFile, result: place.tsbuild(["build", "--iidfile", idFile, ...flags, "-"], archive) };
  };
  const built = async (...entries: readonly RawEntry[]): Promise<BuiltImage> => {
    const { idFile, result } = send(rawTar([dockerfile, ...entries]));
    return place.image(await result, idFile);
  };
  const refused = async (...entries: readonly RawEntry[]): Promise<string> => {
    const { code, stderr } = await send(rawTar(entries)).result;
    expect(code).toBe(1);
    return stderr;
  };

  describe("as a tar", () => {
    it("has its root above all of its names", async () => {
      const image = await built(
        { name: "/etc/absolute", type: "0", content: "1" },
        { name: "../up", type: "0", content: "2" },
        { name: "a/../../b", type: "0", content: "3" },
        { name: "./././c", type: "0", content: "4" },
      );
      expect(image.layers).toEqual([["Dockerfile", "b", "c", "etc/", "etc/absolute", "up"]]);
    });

    it("is not written to through its links", async () => {
      for (const linkName of [canary, `../../../../../../../../..${canary}`]) {
        const said = await refused(
          dockerfile,
          { name: "out", type: "2", linkName },
          { name: "out/pwned", type: "0", content: "x" },
        );
        expect(said).toBe("error: cannot unpack standard input: /out is not a directory\n");
      }
      const image = await built(
        { name: ".", type: "2", linkName: canary },
        { name: "in", type: "2", linkName: "/sub" },
        { name: "sub", type: "5", mode: 0o755 },
        { name: "in/f", type: "0", content: "through the link" },
      );
      expect(image.read("/sub/f")).toBe("through the link");
    });

    it.for(["/etc/passwd", "../../../../etc/passwd", "no/such/file"])("cannot hard-link %s", async (linkName) => {
      const said = await refused(dockerfile, { name: "h", type: "1", linkName });
      expect(said).toContain(
        `error: cannot unpack standard input: h is a hard link to ${linkName}, which is not there\n`,
      );
    });

    it("keeps devices, pipes, owners and names of bytes; what comes last of one name counts", async () => {
      const image = await built(
        { name: "null", type: "3", major: 1, minor: 3, mode: 0o666, uid: 7, gid: 8 },
        { name: "pipe", type: "6", mode: 0o622 },
        { name: "caf\xe9", type: "0", content: "latin" },
        { name: "f", type: "0", content: "first" },
        { name: "f", type: "0", content: "last" },
      );
      expect(image.metadata("null")).toBe("666 7:8");
      expect(image.metadata("pipe")).toBe("622 0:0");
      expect(image.read("/f")).toBe("last");
      expect(image.layers[0]).toHaveLength(5);
    });

    it("has names that begin with .wh. as others, and only a layer does not take them", async () => {
      const text = "FROM b\nRUN --mount=target=/c ls -A /c; false\n";
      const said = await refused(
        { ...dockerfile, content: text },
        { name: ".wh.f", type: "0" },
        { name: "f", type: "0" },
      );
      expect(said).toMatch(/ \.wh\.f\n/);
      expect(said).toMatch(/ f\n/);
    });

    it.for([
      { name: "a pipe", entry: { type: "6" }, says: "Dockerfile is no regular file, not a Dockerfile" },
      { name: "an endless device", entry: { type: "3", major: 1, minor: 5 }, says: "Dockerfile is no regular file" },
      {
        name: "a link that leads out",
        entry: { type: "2", linkName: "/etc/hostname" },
        says: "leads out of the context",
      },
      { name: "a link to nothing", entry: { type: "2", linkName: "gone" }, says: "open Dockerfile: no such file" },
    ])("whose Dockerfile is $name is refused", async ({ entry, says }) => {
      expect(await refused({ name: "Dockerfile", ...entry })).toContain(says);
    });

    it("cut short is refused, at whatever place", async () => {
      const whole = rawTar([dockerfile, { name: "f", type: "0", content: "x".repeat(3000) }]);
      for (const length of [520, 1500, 2000, 4000]) {
        const { code, stderr } = await send(whole.subarray(0, length)).result;
        expect([code, stderr]).toEqual([1, expect.stringContaining("cannot unpack standard input")]);
      }
    });
  });

  describe("as a folder", () => {
    it("has pipes and links, and its names are bytes", async () => {
      const context = place.context({ f: "" });
      execFileSync("mkfifo", ["-m", "640", join(context, "pipe")]);
      symlinkSync(canary, join(context, "out"));
      writeFileSync(Buffer.concat([Buffer.from(`${context}/`), Buffer.from("caf\xe9", "latin1")]), "bytes");
      const { image } = await place.buildIn(context, "FROM scratch⏎COPY . /");
      expect(image.metadata("pipe")).toBe("640 0:0");
      expect(image.layers[0]).toContain(`out -> ${canary}`);
      expect(image.layers[0]).toHaveLength(4);
      const again = await place.buildIn(context, "FROM scratch⏎COPY . /");
      expect(again.stderr).toContain("all cached");
      expect((await place.buildIn(context, "FROM scratch⏎COPY out/file /")).stderr).toContain(
        "not found in the context",
      );
    });

    it("has no sockets, and who names one is told", async () => {
      const context = place.context({ f: "" });
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(join(context, "sock"), resolve));
      expect((await place.buildIn(context, "FROM scratch⏎COPY . /")).image.layers).toEqual([["f"]]);
      const { stderr } = await place.buildIn(context, "FROM scratch⏎COPY sock /");
      expect(stderr).toContain('hint: "sock" is a socket: leave it out');
      await new Promise((resolve) => server.close(resolve));
    });

    it("does not wait for an ignore file that is a pipe", async () => {
      const context = place.context({ f: "" });
      execFileSync("mkfifo", [join(context, ".dockerignore")]);
      const main = await place.buildIn(context, "FROM scratch⏎COPY f /");
      expect(main.stderr).toContain("cannot read .dockerignore: it is a pipe");
      const named = await place.build("FROM scratch⏎COPY --from=n f /", {}, ["--build-context", `n=${context}`]);
      expect(named.stderr).toContain(`cannot read ${context}/.dockerignore: it is a pipe`);
      rmSync(join(context, ".dockerignore"));
      symlinkSync("/dev/null", join(context, ".dockerignore"));
      expect((await place.buildIn(context, "FROM scratch⏎COPY f /")).code).toBe(0);
    });
  });

  describe("by name", () => {
    const at = (name: string, content: string): readonly string[] => [
      "--build-context",
      `${name}=${place.context({ who: content })}`,
    ];
    it.for([
      { text: "FROM b AS x⏎RUN echo stage >/who⏎FROM b⏎COPY --from=x who /", flags: ["x"], is: "x" },
      { text: "FROM b AS x⏎RUN echo stage >/who⏎FROM b⏎COPY --from=0 who /", flags: ["x"], is: "x" },
      { text: "FROM b AS y⏎RUN --mount=from=x,target=/m cp /m/who /who", flags: ["x"], is: "x" },
      { text: "FROM x AS y⏎FROM y⏎COPY --from=y who /", flags: ["x"], is: "x" },
      {
        text: "FROM b⏎COPY --from=alpine who /",
        flags: ["docker.io/library/alpine:latest"],
        is: "docker.io/library/alpine:latest",
      },
      { text: "FROM b⏎COPY --from=ALPINE who /", flags: ["Alpine"], is: "Alpine" },
      {
        text: "FROM b⏎COPY --from=x who /",
        flags: ["x", "x::linux/amd64", "x::linux/arm64"],
        is: `x::linux/${process.arch === "x64" ? "amd64" : process.arch}`,
      },
    ])("$text with $flags takes $is", async ({ text, flags, is }) => {
      const { image } = await place.build(
        text,
        {},
        flags.flatMap((name) => at(name, name)),
      );
      expect(image.read("/who")).toBe(is);
    });

    it("a stage of the name of a context is not built, whatever its base", async () => {
      const text = "FROM no.such.registry/image AS x⏎RUN false⏎FROM scratch⏎COPY --from=x who /";
      expect((await place.build(text, {}, at("x", "context"))).image.read("/who")).toBe("context");
    });

    it("scratch and context are never taken, and an image can be nothing", async () => {
      const { stderr } = await place.build("FROM b⏎COPY --from=scratch who /", {}, at("scratch", "x"));
      expect(stderr).toContain('"/who" not found in an empty tree');
      const empty = ["--build-context", "y=docker-image://scratch"];
      const { image } = await place.build("FROM y⏎COPY f /", { f: "alone" }, empty);
      expect(image.layers).toEqual([["f"]]);
    });
  });
});
