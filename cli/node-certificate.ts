import { join } from "node:path";
import { hasCode } from "../core/errors.ts";
import { readAdmission } from "../protocol/adapters/admissions.ts";
import { readNodeFiles, writeNodeFiles } from "../protocol/adapters/credentials.ts";
import { type Authority, ensureAuthority, isUsable, issueNodeCertificate } from "../protocol/adapters/pki.ts";

export function nodePkiDirectory(dataDir: string, node: string): string {
  return join(dataDir, "edge", node, "pki");
}

/** The authority of the cloud of this data directory; made, when the cloud has not run yet. */
export function cloudAuthority(dataDir: string): Promise<Authority> {
  return ensureAuthority(cloudPkiDirectory(dataDir));
}

function cloudPkiDirectory(dataDir: string): string {
  return join(dataDir, "cloud", "pki");
}

/** Issues a node's certificate anew, and puts it where `edge` finds it. @returns when it ends, ms since the epoch */
export async function issueToNode(authority: Authority, dataDir: string, node: string): Promise<number> {
  const directory = nodePkiDirectory(dataDir, node);
  const admission = await readAdmission(cloudPkiDirectory(dataDir), node);
  await writeNodeFiles(directory, await issueNodeCertificate(authority, node, Date.now(), admission));
  return (await readNodeFiles(directory, node)).notAfter;
}

const daysLeftMin = 30;

/** Issues a node's certificate unless it has one of this authority that lasts. */
export async function ensureNodeCertificate(
  authority: Authority,
  dataDir: string,
  node: string,
): Promise<void> {
  try {
    const present = await readNodeFiles(nodePkiDirectory(dataDir, node), node);
    if (present.ca === authority.certificate && isUsable(present, Date.now(), daysLeftMin)) return;
  } catch (error) {
    const isReplaceable = ["CERTIFICATE_MISSING", "CERTIFICATE_REFUSED", "NODE_MISMATCH"] as const;
    if (!isReplaceable.some((code) => hasCode(error, code))) throw error;
  }
  await issueToNode(authority, dataDir, node);
}
