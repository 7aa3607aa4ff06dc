/** RUN. Source: Dockerfile reference, "RUN". */
import { nearestWord } from "../../nearest-word.ts";
import type { RunInstruction } from "../ast.ts";
import { badFlagValue, oneOf } from "../diagnostics.ts";
import { type CommandArguments, commandOf } from "./command.ts";
import { parseDevice } from "./device.ts";
import { shellHeredoc } from "./heredoc.ts";
import type { Built, Line } from "./line.ts";
import { parseMount } from "./mount.ts";
import { warnOfDash, warnOfOption } from "./taken-as-text.ts";

const networks = ["default", "none", "host"] as const;
const securities = ["sandbox", "insecure"] as const;

export function buildRun(line: Line, args: CommandArguments): Built {
  const heredocs = line.heredocs.map((raw) => shellHeredoc(line, raw));
  if (args.text !== undefined) {
    warnOfDash(line, args.text, "part of the command");
    warnOfOption(line, args.text);
  }
  const network = choice(line, "--network", networks);
  const security = choice(line, "--security", securities);
  const mounts = (line.flags.get("--mount") ?? []).flatMap((use) => {
    const mount = use.value === undefined ? undefined : parseMount(line, use.value, use.range);
    return mount === undefined ? [] : [mount];
  });
  const devices = (line.flags.get("--device") ?? []).flatMap((use) => {
    const device = use.value === undefined ? undefined : parseDevice(line, use.value, use.range);
    return device === undefined ? [] : [device];
  });
  return {
    kind: "run",
    ...line.node,
    command: commandOf(line, args, heredocs),
    mounts,
    ...(network === undefined ? {} : { network }),
    ...(security === undefined ? {} : { security }),
    devices,
  } satisfies RunInstruction;
}

function choice<Value extends string>(line: Line, flag: string, values: readonly Value[]): Value | undefined {
  const use = line.flags.get(flag)?.[0];
  const text = use?.value?.text;
  if (use === undefined || text === undefined || text === "") return undefined;
  const value = values.find((candidate) => candidate === text);
  if (value === undefined) line.report(badFlagValue(flag, text, oneOf(values), use.range, nearestWord(text, values)));
  return value;
}
