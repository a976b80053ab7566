/** The product's cloud process, as a child of the benchmarks. */
import { join } from "node:path";
import { type RunningCloud, startCloud } from "../../cloud/cloud-process.ts";
import { writeNodeFiles } from "../../protocol/adapters/credentials.ts";
import { stderrLogger } from "../../protocol/adapters/environment.ts";
import { ensureAuthority, issueNodeCertificate } from "../../protocol/adapters/pki.ts";
import { serve } from "../child.ts";
import { node } from "./names.ts";

let running: RunningCloud | undefined;

serve({
  async start(dataDir: string): Promise<RunningCloud["addresses"]> {
    const authority = await ensureAuthority(join(dataDir, "cloud", "pki"));
    await writeNodeFiles(join(dataDir, "edge", node, "pki"), await issueNodeCertificate(authority, node));
    running = await startCloud({
      dataDir,
      host: "127.0.0.1",
      linkPort: 0,
      apiPort: 0,
      advertiseAddresses: [],
      logger: stderrLogger({ level: "warn" }),
    });
    return running.addresses;
  },
});
