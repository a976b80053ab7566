import { stringify } from "yaml";
import { type AdminAccess, readKubeconfig } from "./admin-access.ts";
import { writeFileAtomically } from "./files.ts";
import { type Authority, isUsable, issueAdminCertificate } from "./pki.ts";

export interface AdminKubeconfigOptions {
  readonly authority: Authority;
  /** Where it is written. */
  readonly file: string;
  /** The API's URL. */
  readonly server: string;
  readonly now?: number;
}

/** An administrator's certificate with less than this left is replaced at the next start. */
const daysLeftMin = 30;

/**
 * Writes the kubeconfig by which `kubectl` and our own commands act as administrator. One that already says the same, with
 * a certificate that lasts, is left as it is.
 */
export async function adminKubeconfig(options: AdminKubeconfigOptions): Promise<AdminAccess> {
  const { authority, file, server, now = Date.now() } = options;
  const present = await readKubeconfig(file).catch(() => undefined);
  const kept =
    present?.credentials.ca === authority.certificate && isUsable(present.credentials, now, daysLeftMin)
      ? present
      : undefined;
  if (kept?.server === server) return kept;
  const credentials = kept?.credentials ?? (await issueAdminCertificate(authority, "tidemark-admin", now));
  await writeFileAtomically(file, kubeconfigText({ server, credentials }));
  return { server, credentials };
}

function kubeconfigText({ server, credentials }: AdminAccess): string {
  const base64 = (pem: string): string => Buffer.from(pem).toString("base64");
  return stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        { name: "tidemark", cluster: { server, "certificate-authority-data": base64(credentials.ca) } },
      ],
      users: [
        {
          name: "tidemark-admin",
          user: {
            "client-certificate-data": base64(credentials.cert),
            "client-key-data": base64(credentials.key),
          },
        },
      ],
      contexts: [{ name: "tidemark", context: { cluster: "tidemark", user: "tidemark-admin" } }],
      "current-context": "tidemark",
    },
    { lineWidth: 0 },
  );
}
