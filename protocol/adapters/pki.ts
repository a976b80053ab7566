import "./reflect-metadata.ts";
import { createPrivateKey, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { TidemarkError } from "../../core/errors.ts";
import { type Credentials, belongsTo, isIssuedBy, readCertificate } from "./credentials.ts";
import { ensurePrivateDirectory, readTextIfPresent, writeFileAtomically } from "./files.ts";
import {
  admissionPrefix,
  adminOrganization,
  checkNodeName,
  nodeNamePrefix,
  nodeOrganization,
} from "./identity.ts";

/** The cloud's certificate authority: its certificate and its private key, PEM. */
export interface Authority {
  readonly certificate: string;
  readonly key: string;
}

const dayMs = 86_400_000;

/** Every certificate begins in 1970: that is where a board without a clock battery boots. */
const notBefore = new Date(0);

/**
 * The authority ends in 2100, or 20 years from now where that is later. Nothing is gained by ending it earlier, since only
 * our own nodes trust it and replacing it means visiting them all; and a cloud first started with a wrong clock must not
 * make one that is over before it is used.
 */
const authorityNotAfterMin = Date.UTC(2100, 0, 1);
const authorityDays = 20 * 365;

/** A clock before this is not set yet; what is issued then is counted from here. */
const plausibleNow = Date.UTC(2026, 0, 1);

const nodeDays = 365;
const adminDays = 365;
const serverDays = 5 * 365;
/** A server certificate with less than this left is replaced. */
const serverDaysLeftMin = 90;

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

type KeyPair = webcrypto.CryptoKeyPair;

/**
 * The authority of a directory: read, or made and written (`ca.key`, then `ca.crt`) at first use.
 * @throws TidemarkError CONFIGURATION when the files do not belong together
 */
export async function ensureAuthority(pkiDir: string, now: number = Date.now()): Promise<Authority> {
  await ensurePrivateDirectory(pkiDir);
  const certificate = await readTextIfPresent(join(pkiDir, "ca.crt"));
  // Without a certificate no one has trusted the key yet: the directory is new, or making it was cut short.
  if (certificate === undefined) return makeAuthority(pkiDir, now);
  const key = await readTextIfPresent(join(pkiDir, "ca.key"));
  const parsed = readCertificate(certificate);
  if (key === undefined || parsed === undefined || !belongsTo(parsed, key)) {
    throw new TidemarkError(
      "CONFIGURATION",
      `ca.crt and ca.key in ${pkiDir} do not belong together: restore both from a backup, or remove both for a new ` +
        "authority, after which every node needs a new certificate",
      { data: { directory: pkiDir } },
    );
  }
  return { certificate, key };
}

async function makeAuthority(pkiDir: string, now: number): Promise<Authority> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ["Tidemark CA"] }],
    notBefore,
    notAfter: new Date(Math.max(authorityNotAfterMin, now + authorityDays * dayMs)),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const authority = { certificate: certificate.toString("pem"), key: await privatePem(keys) };
  await writeFileAtomically(join(pkiDir, "ca.key"), authority.key);
  await writeFileAtomically(join(pkiDir, "ca.crt"), authority.certificate);
  return authority;
}

/**
 * The server's credentials of a directory, made anew (`server.key`, `server.crt`) when they do not cover the names, end
 * soon, or are not of the directory's authority. `names` are DNS names and IP addresses at which the cloud is reached;
 * this machine's own and loopback are always among them.
 * @throws TidemarkError CONFIGURATION for a name that is neither
 */
export async function ensureServerCertificate(
  pkiDir: string,
  names: readonly string[],
  now: number = Date.now(),
): Promise<Credentials> {
  const authority = await ensureAuthority(pkiDir, now);
  const wanted = serverNames(names);
  const [cert, key] = await Promise.all([
    readTextIfPresent(join(pkiDir, "server.crt")),
    readTextIfPresent(join(pkiDir, "server.key")),
  ]);
  const present =
    cert !== undefined && key !== undefined ? { ca: authority.certificate, cert, key } : undefined;
  if (present && isUsable(present, now, serverDaysLeftMin) && covers(present.cert, wanted)) return present;

  const issued = await issue(authority, {
    subject: [{ CN: ["tidemark-cloud"] }],
    notAfter: endAfter(serverDays, now),
    usage: x509.ExtendedKeyUsage.serverAuth,
    names: wanted,
  });
  await writeFileAtomically(join(pkiDir, "server.key"), issued.key);
  await writeFileAtomically(join(pkiDir, "server.crt"), issued.cert);
  return issued;
}

/**
 * A certificate by which a node proves its name to the cloud, for a year.
 * @param admission see `PeerIdentity`
 * @throws TidemarkError INVALID for a bad name
 */
export function issueNodeCertificate(
  authority: Authority,
  node: string,
  now: number = Date.now(),
  admission = 1,
): Promise<Credentials> {
  checkNodeName(node);
  const unit = admission === 1 ? [] : [{ OU: [`${admissionPrefix}${admission}`] }];
  return issue(authority, {
    subject: [{ O: [nodeOrganization] }, ...unit, { CN: [`${nodeNamePrefix}${node}`] }],
    notAfter: endAfter(nodeDays, now),
    usage: x509.ExtendedKeyUsage.clientAuth,
  });
}

/** A certificate that may do everything at the cloud's API, for a year. */
export function issueAdminCertificate(
  authority: Authority,
  name: string,
  now: number = Date.now(),
): Promise<Credentials> {
  return issue(authority, {
    subject: [{ O: [adminOrganization] }, { CN: [name] }],
    notAfter: endAfter(adminDays, now),
    usage: x509.ExtendedKeyUsage.clientAuth,
  });
}

/** Whether credentials belong together and have more than `daysLeft` to go. */
export function isUsable(credentials: Credentials, now: number, daysLeft: number): boolean {
  const certificate = readCertificate(credentials.cert);
  return (
    certificate !== undefined &&
    Date.parse(certificate.validTo) - daysLeft * dayMs > now &&
    belongsTo(certificate, credentials.key) &&
    isIssuedBy(certificate, credentials.ca)
  );
}

interface Request {
  readonly subject: x509.JsonName;
  readonly notAfter: Date;
  readonly usage: string;
  readonly names?: readonly string[];
}

async function issue(authority: Authority, request: Request): Promise<Credentials> {
  const keys = await generateKeys();
  const ca = new x509.X509Certificate(authority.certificate);
  const names = request.names?.map((name): x509.JsonGeneralName => ({
    type: isIP(name) ? "ip" : "dns",
    value: name,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    subject: request.subject,
    issuer: ca.subjectName,
    notBefore,
    notAfter: request.notAfter,
    publicKey: keys.publicKey,
    signingKey: await signingKey(authority),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([request.usage]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
      ...(names ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { ca: authority.certificate, cert: certificate.toString("pem"), key: await privatePem(keys) };
}

function endAfter(days: number, now: number): Date {
  return new Date(Math.max(now, plausibleNow) + days * dayMs);
}

function generateKeys(): Promise<KeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function privatePem(keys: KeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    .export({ format: "pem", type: "pkcs8" })
    .toString();
}

function signingKey(authority: Authority): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(authority.key).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
}

const dnsName = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

function serverNames(advertised: readonly string[]): readonly string[] {
  for (const name of advertised) {
    if (isIP(name) !== 0 || dnsName.test(name)) continue;
    throw new TidemarkError(
      "CONFIGURATION",
      `${JSON.stringify(name)} is neither a DNS name nor an IP address: the advertised address is only the host, without ` +
        "scheme or port",
      { data: { name } },
    );
  }
  const own = hostname();
  return [...new Set(["localhost", "127.0.0.1", "::1", ...(dnsName.test(own) ? [own] : []), ...advertised])];
}

function covers(pem: string, names: readonly string[]): boolean {
  const certificate = readCertificate(pem);
  return names.every((name) => {
    const match = isIP(name)
      ? certificate?.checkIP(name)
      : certificate?.checkHost(name, { subject: "never" });
    return match !== undefined;
  });
}
