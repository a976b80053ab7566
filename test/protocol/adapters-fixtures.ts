import { createPrivateKey, webcrypto } from "node:crypto";
import type { LogLevel, Logger } from "../../core/ports.ts";
import type { Credentials } from "../../protocol/adapters/credentials.ts";
import {
  type Authority,
  ensureAuthority,
  ensureServerCertificate,
  issueAdminCertificate,
  issueNodeCertificate,
} from "../../protocol/adapters/pki.ts";
// After pki.ts, which brings the reflection that it needs.
import { X509CertificateGenerator } from "@peculiar/x509";

export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface RecordingLogger extends Logger {
  readonly records: LogRecord[];
}

export function recordingLogger(): RecordingLogger {
  const records: LogRecord[] = [];
  return {
    records,
    log(level, message, fields = {}) {
      records.push({ level, message, fields });
    },
  };
}

export interface Certificates {
  readonly authority: Authority;
  readonly server: Credentials;
  readonly node: Credentials;
  readonly admin: Credentials;
}

/** An authority in a directory with a server, the node `node-a` and an administrator. */
export async function certificates(pkiDir: string): Promise<Certificates> {
  const authority = await ensureAuthority(pkiDir);
  const [server, node, admin] = await Promise.all([
    ensureServerCertificate(pkiDir, []),
    issueNodeCertificate(authority, "node-a"),
    issueAdminCertificate(authority, "tester"),
  ]);
  return { authority, server, node, admin };
}

/** A promise and what settles it. */
export function promised<T = void>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** A certificate of node `node-a` that ended in 2001. */
export async function expiredNodeCertificate(authority: Authority): Promise<Credentials> {
  const keys = await webcrypto.subtle.generateKey(ecdsa, true, ["sign", "verify"]);
  const der = createPrivateKey(authority.key).export({ format: "der", type: "pkcs8" });
  const certificate = await X509CertificateGenerator.create({
    subject: [{ O: ["system:nodes"] }, { CN: ["system:node:node-a"] }],
    issuer: "CN=Tidemark CA",
    notBefore: new Date(0),
    notAfter: new Date(Date.UTC(2001, 0, 1)),
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey("pkcs8", der, ecdsa, false, ["sign"]),
    signingAlgorithm: ecdsa,
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    ca: authority.certificate,
    cert: certificate.toString("pem"),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}

const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
