import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tsbuildProgram } from "../builders.ts";
import type { Scenario } from "../scenario.ts";

const block = [
  "FROM debian:12 AS stage$N",
  "# what it needs",
  "ARG VERSION=1.$N",
  'ENV PATH="/opt/$N/bin:$PATH" LANG=C.UTF-8',
  "RUN apt-get update \\",
  "  && apt-get install -y --no-install-recommends curl=${VERSION} \\",
  "  && rm -rf /var/lib/apt/lists/*",
  "COPY --chown=1000:1000 src$N package.json /app/",
  'HEALTHCHECK --interval=30s CMD ["curl", "-f", "http://localhost/"]',
  'CMD ["/app/run", "--port", "80"]',
].join("\n");

export const parseLarge: Scenario = {
  name: "parse-large",
  title: "parse of a Dockerfile of 10,000 lines, printed as JSON",
  goals: [{ against: "dockerfile-ast", ratio: 1 }],
  subjects(machine) {
    const file = join(machine.folder, "large.Dockerfile");
    writeFileSync(file, Array.from({ length: 1000 }, (_, at) => `${block.replaceAll("$N", String(at))}\n`).join(""));
    const peer = new URL("../programs/parse-with-dockerfile-ast.mjs", import.meta.url).pathname;
    return [
      {
        name: "tsbuild",
        timed: () => ({ argv: [process.execPath, tsbuildProgram, "parse", "--json", "-f", file, machine.folder] }),
      },
      { name: "dockerfile-ast", timed: () => ({ argv: [process.execPath, peer, file] }) },
    ];
  },
};
