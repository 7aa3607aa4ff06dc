/** `tsbuild login`. */
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { credentialSources } from "../../registry/access.ts";
import { type Credential, findCredential, storeCredential } from "../../registry/credentials.ts";
import { domainOfServer, verifyLogin } from "../../registry/login.ts";
import type { CommandContext } from "../command.ts";
import { addRegistryFlags, type RegistryFlags, registryAccess } from "../registry-flags.ts";

interface Flags extends RegistryFlags {
  readonly username?: string;
  readonly password?: string;
  readonly passwordStdin?: boolean;
  readonly getLogin?: boolean;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] [SERVER]")
    .argument("[SERVER]")
    .option("-u, --username <NAME>")
    .option("-p, --password <PASSWORD>", "seen by everybody who can list processes; better: --password-stdin")
    .option("--password-stdin", "read the password from stdin")
    .option("-e, --email <EMAIL>", "taken and ignored")
    .option("--get-login", "print the user name that is stored, and nothing else");
  addRegistryFlags(command);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const flags = command.opts<Flags>();
  const { stdout, stderr, signal } = context;
  const domain = domainOfServer(command.args[0]);
  const access = registryAccess(flags, context);
  const sources = credentialSources(access);
  if (flags.getLogin === true) {
    const stored = await findCredential(domain, "", sources);
    if (stored === undefined) throw failed(`not logged in to ${domain}`);
    stdout.write(`${stored.username}\n`);
    return 0;
  }
  checkFlags(flags);
  if (flags.password !== undefined)
    stderr.write("warning: a password on the command line can be seen by others; use --password-stdin\n");
  if (flags.username === undefined && flags.password === undefined && (await loggedInAlready(domain))) return 0;
  const typed = await askCredential(flags, context);
  await verifyLogin(domain, typed, access, signal);
  const stored = await storeCredential(domain, typed, sources);
  if (stored.kind === "file") stderr.write(`warning: your credentials are stored unencrypted in ${stored.file}\n`);
  stdout.write("Login Succeeded\n");
  return 0;

  async function loggedInAlready(host: string): Promise<boolean> {
    const stored = await findCredential(host, "", sources);
    if (stored === undefined) return false;
    const name = stored.username === "" ? "" : ` [Username: ${stored.username}]`;
    stderr.write(`Authenticating with existing credentials...${name}\n`);
    try {
      await verifyLogin(host, stored, access, signal);
      stdout.write("Login Succeeded\n");
      return true;
    } catch (error) {
      if (!(error instanceof TsbuildError) || error.code !== "REGISTRY_DENIED" || context.stdin.isTTY !== true)
        throw error;
      stderr.write(`${error.message}\n`);
      return false;
    }
  }
}

function checkFlags({ username, password, passwordStdin }: Flags): void {
  if (passwordStdin !== true) return;
  if (password !== undefined) throw failed("conflicting options: cannot specify both --password and --password-stdin");
  if (username === undefined) throw failed("the --password-stdin option requires --username to be set");
}

function failed(what: string): TsbuildError {
  return new TsbuildError({ code: "INVALID_ARGUMENT", what });
}

type PasswordCredential = Extract<Credential, { kind: "password" }>;

async function askCredential(flags: Flags, context: CommandContext): Promise<PasswordCredential> {
  const { stdin } = context;
  if (flags.passwordStdin === true) {
    const chunks: Buffer[] = [];
    for await (const chunk of stdin) chunks.push(chunk as Buffer);
    const password = Buffer.concat(chunks)
      .toString("utf8")
      .replace(/\r?\n$/, "");
    return { kind: "password", username: flags.username ?? "", password, from: "stdin" };
  }
  const complete = flags.username !== undefined && flags.password !== undefined;
  if (!complete && stdin.isTTY !== true) throw failed("cannot perform an interactive login from a non-TTY device");
  const username = flags.username ?? (await askLine("Username: ", "shown", context)).trim();
  if (username === "") throw failed("username is empty");
  const password = flags.password ?? (await askLine("Password: ", "hidden", context));
  if (password === "") throw failed("password is empty");
  return { kind: "password", username, password, from: "the terminal" };
}

/** One line that is typed. Ctrl-C and Ctrl-D end the command; backspace and Ctrl-U correct what was typed. */
async function askLine(prompt: string, echo: "shown" | "hidden", context: CommandContext): Promise<string> {
  const { stdin, stderr, signal } = context;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let typed = "";
  const onData = (chunk: Buffer): void => {
    for (const key of chunk.toString("utf8")) {
      if (key === "\r" || key === "\n") resolve(typed);
      if (key === "\x03" || key === "\x04") reject(new TsbuildError({ code: "ABORTED", what: "login was ended" }));
      if (key < " " && key !== "\b" && key !== "\x15") return;
      typed = key === "\x15" ? "" : key === "\x7f" || key === "\b" ? [...typed].slice(0, -1).join("") : typed + key;
      if (echo === "shown") stderr.write(`\r\x1b[K${prompt}${typed}`);
    }
  };
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  stdin.setRawMode(true);
  stderr.write(prompt);
  stdin.on("data", onData).once("end", () => resolve(typed));
  stdin.resume();
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    stdin.off("data", onData);
    stdin.pause();
    stdin.setRawMode(false);
    stderr.write("\n");
  }
}
