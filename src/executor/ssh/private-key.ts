/**
 * Private keys as files hold them: OpenSSH's own format, and PEM (PKCS#1, SEC 1, PKCS#8).
 * Source: OpenSSH, PROTOCOL.key.
 */
import { createPrivateKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { privateKeyEncrypted, privateKeyInvalid } from "../errors.ts";
import { WireReader } from "./wire.ts";

const opensshLines = /^-----BEGIN OPENSSH PRIVATE KEY-----\s*$([^-]*)^-----END OPENSSH PRIVATE KEY-----\s*$/m;
const opensshMagic = "openssh-key-v1\0";

/**
 * `file` is for messages. The kinds are RSA, ECDSA on the three NIST curves, and Ed25519.
 * @throws {TsbuildError} `INVALID_ARGUMENT` for an encrypted key, another kind of key, and what is no key
 */
export function parsePrivateKey(text: string, file: string): KeyObject {
  const key = opensshLines.test(text) ? parseOpenssh(text, file) : parsePem(text, file);
  const kind = key.asymmetricKeyType ?? "unknown";
  if (kind === "rsa" || kind === "ed25519") return key;
  const curve = key.asymmetricKeyDetails?.namedCurve ?? "";
  if (kind === "ec" && ["prime256v1", "secp384r1", "secp521r1"].includes(curve)) return key;
  throw privateKeyInvalid(file, `keys of the kind ${kind === "ec" ? curve : kind} are not supported`);
}

function parsePem(text: string, file: string): KeyObject {
  // Source: RFC 1421, section 4.6.1.1; RFC 7468, section 11.
  if (/^(?:Proc-Type: 4,ENCRYPTED|-----BEGIN ENCRYPTED PRIVATE KEY-----)\s*$/m.test(text))
    throw privateKeyEncrypted(file);
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw privateKeyInvalid(file, "it is no private key", error);
  }
}

function parseOpenssh(text: string, file: string): KeyObject {
  const bytes = Buffer.from(opensshLines.exec(text)?.[1] ?? "", "base64");
  const broken = (cause?: unknown) => privateKeyInvalid(file, "the key is damaged", cause);
  if (bytes.toString("latin1", 0, opensshMagic.length) !== opensshMagic) throw broken();
  let jwk: JsonWebKey | string;
  try {
    const outer = new WireReader(bytes.subarray(opensshMagic.length));
    const cipher = outer.text();
    outer.text(); // the key derivation, and its options
    outer.string();
    const count = outer.uint32();
    if (cipher !== "none") throw privateKeyEncrypted(file);
    if (count !== 1) throw broken();
    outer.string(); // the public key once more
    jwk = privateJwk(new WireReader(outer.string()));
  } catch (error) {
    throw error instanceof RangeError ? broken(error) : error;
  }
  if (typeof jwk === "string") throw privateKeyInvalid(file, `keys of the kind ${jwk} are not supported`);
  try {
    return createPrivateKey({ key: jwk, format: "jwk" });
  } catch (error) {
    throw broken(error);
  }
}

const curves: Readonly<Record<string, { readonly crv: string; readonly bytes: number }>> = {
  nistp256: { crv: "P-256", bytes: 32 },
  nistp384: { crv: "P-384", bytes: 48 },
  nistp521: { crv: "P-521", bytes: 66 },
};

/** The name of the kind where it is not one of ours. */
function privateJwk(key: WireReader): JsonWebKey | string {
  const checks = [key.uint32(), key.uint32()];
  if (checks[0] !== checks[1]) throw new RangeError("the check numbers differ");
  const kind = key.text();
  if (kind === "ssh-ed25519") {
    const x = key.string();
    return { kty: "OKP", crv: "Ed25519", x: base64(x), d: base64(key.string().subarray(0, 32)) };
  }
  if (kind === "ssh-rsa") {
    const [n, e, d, qi, p, q] = [key.string(), key.string(), key.string(), key.string(), key.string(), key.string()];
    const reduced = (prime: Buffer): string => base64(bytesOf(numberOf(d) % (numberOf(prime) - 1n)));
    const own = { n: base64(n), e: base64(e), d: base64(d), p: base64(p), q: base64(q) };
    return { kty: "RSA", ...own, dp: reduced(p), dq: reduced(q), qi: base64(qi) };
  }
  const curve = kind.startsWith("ecdsa-sha2-") ? curves[key.text()] : undefined;
  if (curve === undefined) return kind;
  // 4, then x and y: a point that is not compressed.
  const point = key.string();
  if (point.length !== 1 + 2 * curve.bytes || point[0] !== 4) throw new RangeError("no point of its curve");
  const d = withoutSign(key.string());
  if (d.length > curve.bytes) throw new RangeError("a number that is too long");
  return {
    kty: "EC",
    crv: curve.crv,
    x: base64(point.subarray(1, 1 + curve.bytes)),
    y: base64(point.subarray(1 + curve.bytes)),
    d: Buffer.concat([Buffer.alloc(curve.bytes - d.length), d]).toString("base64url"),
  };
}

function base64(number: Buffer): string {
  return withoutSign(number).toString("base64url");
}

function withoutSign(number: Buffer): Buffer {
  return number.length > 1 && number[0] === 0 ? number.subarray(1) : number;
}

function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString("hex") || "0"}`);
}

function bytesOf(number: bigint): Buffer {
  const hex = number.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
}
