/** Files over HTTP on loopback, with what a server says about them. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ServedFile {
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** Where a request for it is sent instead. */
  readonly location?: string;
}

export interface FileServer extends AsyncDisposable {
  readonly url: string;
  /** By path. A file with an ETag is answered by 304 to who knows it. */
  readonly files: Map<string, ServedFile>;
  /** `GET /a 200`, since it was last emptied. */
  readonly requests: string[];
}

export async function fileServer(): Promise<FileServer> {
  const files = new Map<string, ServedFile>();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = (request.url ?? "").replace(/\?.*$/, "");
    const file = files.get(path);
    const etag = file?.headers?.["etag"];
    const status =
      file === undefined
        ? 404
        : file.location !== undefined
          ? 302
          : etag !== undefined && request.headers["if-none-match"] === etag
            ? 304
            : 200;
    requests.push(`${request.method} ${request.url} ${status}`);
    response.writeHead(status, { ...file?.headers, ...(file?.location !== undefined && { location: file.location }) });
    response.end(status === 200 ? file?.body : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    // What `listen` on a port gives.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
