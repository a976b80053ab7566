import type { TLSSocket } from "node:tls";
import { TidemarkError } from "../../core/errors.ts";

/**
 * Who a certificate speaks for. Written into the subject as Kubernetes does: the organisation says the group, the common
 * name the member. This file only reads, so that the edge needs nothing that makes certificates.
 */
export type PeerIdentity =
  | {
      readonly kind: "node";
      readonly node: string;
      /** Which of a node's admissions the certificate is of: 1 for the first; one more each time it was removed. */
      readonly admission: number;
    }
  | { readonly kind: "admin"; readonly name: string };

export const nodeOrganization: string = "system:nodes";
export const nodeNamePrefix: string = "system:node:";
/** As a certificate's unit, of any admission but the first: `admission:2`. */
export const admissionPrefix: string = "admission:";
export const adminOrganization: string = "system:masters";

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const subdomain = new RegExp(`^${label}(?:\\.${label})*$`);

/** Whether a name may be a node's: a DNS-1123 subdomain, so it is safe in a path and in a certificate. */
export function isNodeName(name: string): boolean {
  return name.length <= 253 && subdomain.test(name);
}

/** @throws TidemarkError INVALID */
export function checkNodeName(name: string): void {
  if (isNodeName(name)) return;
  throw new TidemarkError(
    "INVALID",
    `${JSON.stringify(name)} can't be a node's name: use lower-case letters, digits, "-" and ".", beginning and ending ` +
      "with a letter or a digit, at most 63 characters between dots and 253 in all",
    { data: { node: name } },
  );
}

/** The identity in a verified subject, or undefined when it is neither a node's nor an administrator's. */
export function identityOfSubject(subject: {
  readonly O?: unknown;
  readonly OU?: unknown;
  readonly CN?: unknown;
}): PeerIdentity | undefined {
  // A repeated attribute is read as a list, and is refused: which of them would count?
  const { O: organization, OU: unit, CN: name } = subject;
  if (typeof organization !== "string" || typeof name !== "string") return undefined;
  if (organization === adminOrganization) return { kind: "admin", name };
  if (organization !== nodeOrganization || !name.startsWith(nodeNamePrefix)) return undefined;
  const node = name.slice(nodeNamePrefix.length);
  const admission = unit === undefined ? 1 : admissionOf(unit);
  return isNodeName(node) && admission !== undefined ? { kind: "node", node, admission } : undefined;
}

function admissionOf(unit: unknown): number | undefined {
  const digits = typeof unit === "string" ? /^admission:([1-9][0-9]{0,8})$/.exec(unit)?.[1] : undefined;
  return digits === undefined ? undefined : Number(digits);
}

/** Who is at the other end: only from a certificate that was verified against our authority. */
export function peerIdentity(socket: TLSSocket): PeerIdentity | undefined {
  if (!socket.authorized) return undefined;
  const certificate = socket.getPeerCertificate();
  // With no certificate at all, Node answers an empty object.
  return certificate.subject ? identityOfSubject(certificate.subject) : undefined;
}
