/**
 * `-o type=docker,context=NAME`: an archive straight into the engine that a docker context names. Sources: Docker docs,
 * "Docker contexts"; docker/cli, cli/context/store, for where they lie; Engine API, "Import images".
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { errnoOf, TsbuildError } from "../../errors.ts";
import type { CommandContext } from "../command.ts";

/** `write` writes a tar that `docker load` reads. @throws {TsbuildError} `INVALID_ARGUMENT`, `UNSUPPORTED`, `ENGINE_FAILED` */
export async function loadIntoEngine(
  name: string,
  context: Pick<CommandContext, "configDir" | "environment" | "signal">,
  write: (stream: Writable) => Promise<void>,
): Promise<void> {
  const { host, options } = findEngine(name, context);
  const load: RequestOptions = {
    ...options,
    method: "POST",
    path: "/images/load?quiet=1",
    headers: { "content-type": "application/x-tar", host: "docker" },
    signal: context.signal,
  };
  const request = "rejectUnauthorized" in options ? httpsRequest(load) : httpRequest(load);
  // Also when the engine answers before it has everything: then writing fails, and the answer says why.
  const answer = answerOf(request).catch((error: unknown) => error);
  try {
    await write(request);
    request.end();
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof Error && "syscall" in error)) {
      request.destroy();
      throw error;
    }
  }
  const answered = await answer;
  context.signal.throwIfAborted();
  if (answered instanceof Error) throw engineFailed(name, host, errnoOf(answered) ?? answered.message, answered);
  const refused = refusalIn(answered as Answer);
  if (refused !== undefined) throw engineFailed(name, host, refused, undefined);
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function answerOf(request: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
    });
  });
}

/** A stream of JSON objects, of which one may be an error; undefined: it went well. */
function refusalIn({ status, text }: Answer): string | undefined {
  for (const line of text.split(/\r?\n/).filter((each) => each.trim() !== "")) {
    try {
      const { error, message } = JSON.parse(line) as { readonly error?: unknown; readonly message?: unknown };
      if (typeof error === "string") return error;
      if (status >= 300 && typeof message === "string") return message;
    } catch {
      // Not JSON: the status says enough.
    }
  }
  return status >= 200 && status < 300 ? undefined : `it answered with status ${status}`;
}

interface Engine {
  /** As the context says it. */
  readonly host: string;
  readonly options: RequestOptions & { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
}

function findEngine(
  name: string,
  { configDir, environment }: Pick<CommandContext, "configDir" | "environment">,
): Engine {
  if (name === "default") {
    const host = environment["DOCKER_HOST"] || "unix:///var/run/docker.sock";
    const verify = environment["DOCKER_TLS_VERIFY"];
    return {
      host,
      options: optionsOf(host, verify ? (environment["DOCKER_CERT_PATH"] ?? configDir) : undefined, false),
    };
  }
  const id = createHash("sha256").update(name).digest("hex");
  const { host, skipVerify } = readContext(name, join(configDir, "contexts/meta", id, "meta.json"));
  const certificates = join(configDir, "contexts/tls", id, "docker");
  return { host, options: optionsOf(host, existsSync(certificates) ? certificates : undefined, skipVerify) };
}

function readContext(name: string, file: string): { readonly host: string; readonly skipVerify: boolean } {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TsbuildError({
      code: "INVALID_ARGUMENT",
      what: `there is no docker context ${name}`,
      hint: "docker context ls shows them; default is DOCKER_HOST, or the engine of this machine",
      cause,
    });
  }
  try {
    const { Host, SkipTLSVerify } = JSON.parse(text).Endpoints.docker;
    if (typeof Host === "string" && Host !== "") return { host: Host, skipVerify: SkipTLSVerify === true };
  } catch {
    // Said below.
  }
  throw new TsbuildError({
    code: "INVALID_CONFIG",
    what: `the docker context ${name} names no engine`,
    where: { kind: "path", path: file },
  });
}

function optionsOf(host: string, certificates: string | undefined, skipVerify: boolean): Engine["options"] {
  if (host.startsWith("unix://")) return { socketPath: host.slice("unix://".length) };
  const url = /^(?:tcp|https?):\/\/[^/]/.test(host) ? new URL(host.replace(/^tcp/, "http")) : undefined;
  if (url === undefined)
    throw new TsbuildError({
      code: "UNSUPPORTED",
      what: `an engine at ${host} cannot be asked`,
      hint: "pipe the archive: -o type=docker,dest=- into docker load",
    });
  const isSecure = certificates !== undefined || url.protocol === "https:";
  const part = (file: string): Buffer | undefined => {
    const path = certificates === undefined ? undefined : join(certificates, file);
    return path !== undefined && existsSync(path) ? readFileSync(path) : undefined;
  };
  const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(part);
  return {
    hostname: url.hostname,
    port: url.port || (isSecure ? 2376 : 2375),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(isSecure && { rejectUnauthorized: !skipVerify }),
  };
}

function engineFailed(name: string, host: string, why: string, cause: unknown): TsbuildError {
  return new TsbuildError({
    code: "ENGINE_FAILED",
    what: `the engine of the docker context ${name} at ${host}: ${why}`,
    cause,
  });
}
