/** ExposeInvalidFormat and ExposeProtoCasing. */
import { whereOf } from "../../parser/position.ts";
import { expandWords } from "../../planner/expand-word.ts";
import { parseExposedPort } from "../../planner/expose-ports.ts";
import type { Check } from "../checked-file.ts";

export const expose: Check = ({ walked, dockerfile }, report) => {
  for (const { lines } of walked) {
    for (const { instruction, before, rangeOf } of lines) {
      if (instruction.kind !== "expose") continue;
      for (const word of instruction.ports) {
        const where = whereOf(dockerfile, word.range);
        let ports: readonly string[];
        try {
          ports = expandWords(word, before.variables, () => where).filter((port) => {
            const protocol = port.split("/")[1] ?? "";
            if (protocol !== protocol.toLowerCase())
              report(
                "ExposeProtoCasing",
                rangeOf(word.range),
                `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
              );
            return parseExposedPort(port, where).hasHost;
          });
        } catch {
          continue; // the planner rejects it
        }
        for (const port of ports)
          report(
            "ExposeInvalidFormat",
            rangeOf(word.range),
            `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
            "ports are published when the container is run",
          );
      }
    }
  }
};
