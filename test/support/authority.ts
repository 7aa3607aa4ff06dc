/** A certificate authority of a test's own, and certificates by it for servers on loopback. Needs openssl. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Authority {
  /** The authority's certificate, for who trusts it. */
  readonly file: string;
  /** For 127.0.0.1 and localhost. */
  readonly server: { readonly cert: string; readonly key: string };
}

/** Its files are in `folder`. */
export function makeAuthority(folder: string): Authority {
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority");
  openssl("req", ...key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost");
  writeFileSync(join(folder, "names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
  openssl("x509", "-req", "-in", "server.csr", ...by, "-days", "2", "-extfile", "names", "-out", "server.pem");
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  return { file: join(folder, "ca.pem"), server: { cert: read("server.pem"), key: read("server.key") } };
}
