/** A small server that misbehaves as told: each request goes to one function. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface TestServer extends AsyncDisposable {
  /** `127.0.0.1:43210` */
  readonly host: string;
  /** `GET /v2/`, in order; requests to find out about the scheme are left out. */
  readonly requests: readonly string[];
}

export type Answer = (request: IncomingMessage, response: ServerResponse, url: URL) => void;

export async function startServer(answer: Answer): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://x");
    if (url.pathname !== "/v2/") requests.push(`${request.method} ${url.pathname}`);
    answer(request, response, url);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    host: `127.0.0.1:${address.port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}
