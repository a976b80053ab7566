// Before anything reads a certificate: on Node 20 `X509Certificate` loaded first breaks `node:tls` in that process.
import "node:tls";
import { X509Certificate, createPrivateKey, hkdfSync } from "node:crypto";
import { join } from "node:path";
import { TidemarkError } from "../../core/errors.ts";
import { ensurePrivateDirectory, readTextIfPresent, writeFileAtomically } from "./files.ts";
import { checkNodeName, identityOfSubject } from "./identity.ts";

/** What one end of mutual TLS needs, PEM: whom it trusts, what it shows, and its key. */
export interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface NodeCredentials extends Credentials {
  /** The node that the certificate is for. */
  readonly node: string;
  /** When it ends, ms since the epoch. */
  readonly notAfter: number;
}

const nodeFiles = { ca: "ca.crt", cert: "node.crt", key: "node.key" } as const;

/** Puts a node's credentials where `readNodeFiles` finds them: `ca.crt`, `node.key`, `node.crt`, in that order. */
export async function writeNodeFiles(directory: string, credentials: Credentials): Promise<void> {
  await ensurePrivateDirectory(directory);
  await writeFileAtomically(join(directory, nodeFiles.ca), credentials.ca);
  await writeFileAtomically(join(directory, nodeFiles.key), credentials.key);
  await writeFileAtomically(join(directory, nodeFiles.cert), credentials.cert);
}

/**
 * A node's credentials. @throws TidemarkError CERTIFICATE_MISSING when a file is, CERTIFICATE_REFUSED when they do not
 * belong together, NODE_MISMATCH when they are another node's.
 */
export async function readNodeFiles(directory: string, node: string): Promise<NodeCredentials> {
  checkNodeName(node);
  const remedy = `have the cloud issue it: tidemark cert issue --node ${node}`;
  const read = (name: string): Promise<string | undefined> => readTextIfPresent(join(directory, name));
  const [ca, cert, key] = await Promise.all([read(nodeFiles.ca), read(nodeFiles.cert), read(nodeFiles.key)]);
  if (ca === undefined || cert === undefined || key === undefined) {
    const found = { ca, cert, key };
    const missing = (["ca", "cert", "key"] as const)
      .filter((part) => found[part] === undefined)
      .map((part) => nodeFiles[part]);
    throw new TidemarkError(
      "CERTIFICATE_MISSING",
      `this node has no ${missing.join(", no ")} in ${directory}; it works offline until then: ${remedy}`,
      { data: { node, directory, missing } },
    );
  }
  const certificate = readCertificate(cert);
  if (certificate === undefined || !belongsTo(certificate, key) || !isIssuedBy(certificate, ca)) {
    throw new TidemarkError(
      "CERTIFICATE_REFUSED",
      `node.crt, node.key and ca.crt in ${directory} do not belong together; ${remedy}`,
      { data: { node, directory } },
    );
  }
  const identity = identityOfSubject(certificate.toLegacyObject().subject);
  if (identity?.kind !== "node" || identity.node !== node) {
    const whose = identity?.kind === "node" ? `node ${identity.node}` : "no node";
    throw new TidemarkError(
      "NODE_MISMATCH",
      `node.crt in ${directory} is for ${whose}, not for ${node}; ${remedy}`,
      {
        data: { node, directory },
      },
    );
  }
  return { ca, cert, key, node, notAfter: Date.parse(certificate.validTo) };
}

/** A parsed certificate, or undefined when the PEM is none. */
export function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** Whether the key is that of the certificate. */
export function belongsTo(certificate: X509Certificate, key: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/** Whether the authority's certificate (PEM) signed this one. */
export function isIssuedBy(certificate: X509Certificate, ca: string): boolean {
  const authority = readCertificate(ca);
  return (
    authority !== undefined && certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
  );
}

/**
 * 32 bytes for one purpose, from a private key (PEM), by HKDF-SHA256: the same for as long as the key is, and telling
 * nothing about it or about another purpose.
 */
export function deriveKey(pem: string, purpose: string): Uint8Array {
  // The scalar itself, so that another encoding of the same key gives the same bytes.
  const { d: scalar } = createPrivateKey(pem).export({ format: "jwk" });
  if (scalar === undefined)
    throw new TidemarkError("CONFIGURATION", "the key to derive from is not a private EC key");
  const secret = Buffer.from(scalar, "base64url");
  return new Uint8Array(hkdfSync("sha256", secret, "tidemark", purpose, 32));
}
