/**
 * An agent for keys that were read from files: it lists them and signs with them, and does nothing else.
 * Source: RFC 9987, "Secure Shell (SSH) Agent Protocol"; RFC 8332 for RSA with SHA-2.
 */
import { type KeyObject, sign } from "node:crypto";
import { WireReader, wireNumber, wireString, wireUint32 } from "./wire.ts";

export const agentMessages = {
  failure: 5,
  requestIdentities: 11,
  identitiesAnswer: 12,
  signRequest: 13,
  signResponse: 14,
} as const;

/** The whole answer without its length. */
export const agentFailure: Buffer = Buffer.from([agentMessages.failure]);

const RSA_SHA2_256 = 2;
const RSA_SHA2_512 = 4;

interface AgentKey {
  readonly key: KeyObject;
  /** The public key as the protocol names it. */
  readonly blob: Buffer;
}

/** Takes one message without its length, and returns its answer. */
export function keyAgent(keys: readonly KeyObject[]): (message: Buffer) => Buffer {
  const served = keys.map((key): AgentKey => ({ key, blob: publicBlob(key) }));
  return (message) => {
    try {
      return answer(served, message);
    } catch (error) {
      // A message that ends too early.
      if (error instanceof RangeError) return agentFailure;
      throw error;
    }
  };
}

function answer(keys: readonly AgentKey[], message: Buffer): Buffer {
  const request = new WireReader(message.subarray(1));
  if (message[0] === agentMessages.requestIdentities) {
    const identities = keys.flatMap(({ blob }) => [wireString(blob), wireString("")]);
    return Buffer.concat([Buffer.from([agentMessages.identitiesAnswer]), wireUint32(keys.length), ...identities]);
  }
  if (message[0] !== agentMessages.signRequest) return agentFailure;
  const blob = request.string();
  const data = request.string();
  const flags = request.uint32();
  const found = keys.find((key) => key.blob.equals(blob));
  if (found === undefined) return agentFailure;
  return Buffer.concat([Buffer.from([agentMessages.signResponse]), wireString(signature(found.key, data, flags))]);
}

const curves: Readonly<Record<string, { readonly name: string; readonly hash: string }>> = {
  "P-256": { name: "nistp256", hash: "sha256" },
  "P-384": { name: "nistp384", hash: "sha384" },
  "P-521": { name: "nistp521", hash: "sha512" },
};

function curveOf(crv: string | undefined): { readonly name: string; readonly hash: string } {
  const curve = curves[crv ?? ""];
  if (curve === undefined) throw new Error(`no curve of ours: ${crv}`);
  return curve;
}

/** Source: RFC 4253, section 6.6; RFC 5656, section 3.1; RFC 8709, section 4. */
function publicBlob(key: KeyObject): Buffer {
  // A private key's form holds the public one.
  const jwk = key.export({ format: "jwk" });
  const part = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64url");
  switch (jwk.kty) {
    case "OKP":
      return Buffer.concat([wireString("ssh-ed25519"), wireString(part(jwk.x))]);
    case "RSA":
      return Buffer.concat([wireString("ssh-rsa"), wireNumber(part(jwk.e)), wireNumber(part(jwk.n))]);
    default: {
      const { name } = curveOf(jwk.crv);
      const point = Buffer.concat([Buffer.from([4]), part(jwk.x), part(jwk.y)]);
      return Buffer.concat([wireString(`ecdsa-sha2-${name}`), wireString(name), wireString(point)]);
    }
  }
}

function signature(key: KeyObject, data: Buffer, flags: number): Buffer {
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return Buffer.concat([wireString("ssh-ed25519"), wireString(sign(null, data, key))]);
    case "rsa": {
      const [name, hash] =
        (flags & RSA_SHA2_512) !== 0
          ? ["rsa-sha2-512", "sha512"]
          : (flags & RSA_SHA2_256) !== 0
            ? ["rsa-sha2-256", "sha256"]
            : ["ssh-rsa", "sha1"];
      return Buffer.concat([wireString(name), wireString(sign(hash, data, key))]);
    }
    default: {
      const { name, hash } = curveOf(key.export({ format: "jwk" }).crv);
      const both = sign(hash, data, { key, dsaEncoding: "ieee-p1363" });
      const half = both.length / 2;
      const numbers = Buffer.concat([wireNumber(both.subarray(0, half)), wireNumber(both.subarray(half))]);
      return Buffer.concat([wireString(`ecdsa-sha2-${name}`), wireString(numbers)]);
    }
  }
}
