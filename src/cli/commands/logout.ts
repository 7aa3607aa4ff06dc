/** `tsbuild logout`. */
import type { Command } from "commander";
import { credentialSources } from "../../registry/access.ts";
import { eraseCredential } from "../../registry/credentials.ts";
import { credentialKeyOf } from "../../registry/endpoint.ts";
import { domainOfServer } from "../../registry/login.ts";
import type { CommandContext } from "../command.ts";
import { registryAccess } from "../registry-flags.ts";

export function define(command: Command): void {
  command.argument("[SERVER]").option("--authfile <FILE>", "the file to remove credentials from");
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<{ readonly authfile?: string }>();
  const domain = domainOfServer(command.args[0]);
  const key = credentialKeyOf(domain);
  const erased = await eraseCredential(domain, credentialSources(registryAccess(flags, context)));
  if (erased) context.stdout.write(`Removing login credentials for ${key}\n`);
  else context.stderr.write(`Not logged in to ${key}\n`);
  return 0;
}
