import { join } from "node:path";
import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import { rfc3339 } from "../../core/time.ts";
import { type Act, example } from "../act.ts";
import { type Context, printJson, printText } from "../context.ts";
import { facts } from "../table.ts";

export function addCert(program: Command, act: Act): void {
  const cert = program
    .command("cert")
    .summary("issue a node's certificate")
    .description("Certificates, by which the cloud knows its nodes.")
    .addHelpText("after", example("npx tidemark cert issue --node edge-node-2"));
  cert
    .command("issue")
    .description(
      "Issue the certificate of the node --node NAME, by the authority of this data directory's cloud.",
    )
    .addHelpText("after", example("npx tidemark cert issue --node edge-node-2"))
    .action(act(issue));
}

async function issue(context: Context): Promise<void> {
  const { node, dataDir } = context;
  if (node === undefined) throw new TidemarkError("USAGE", "say for which node: --node NAME");
  const { checkNodeName } = await import("../../protocol/adapters/identity.ts");
  checkNodeName(node);
  const { cloudAuthority, issueToNode, nodePkiDirectory } = await import("../node-certificate.ts");
  const notAfter = rfc3339(await issueToNode(await cloudAuthority(dataDir), dataDir, node));
  const directory = nodePkiDirectory(dataDir, node);
  const files = ["ca.crt", "node.crt", "node.key"].map((name) => join(directory, name));
  if (context.json) {
    await printJson(context, { node, directory, files, notAfter });
    return;
  }
  const pairs = files.map(
    (file, index) => [["authority", "certificate", "private key"][index] ?? "", file] as const,
  );
  await printText(
    context,
    `${context.paint("bold", `Certificate of ${node}`)}, until ${notAfter}\n` +
      facts(pairs, context) +
      `\nOn this machine, start the node:\n  npx tidemark edge --node ${node}\n` +
      "For another machine, copy the three files into the same place of its data directory, the private key over a\n" +
      `safe way, and start it there:\n  npx tidemark edge --node ${node} --cloud wss://THIS-MACHINE:10000\n`,
  );
}
