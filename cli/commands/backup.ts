import type { Command } from "commander";
import { TidemarkError } from "../../core/errors.ts";
import { rfc3339 } from "../../core/time.ts";
import { type Act, example } from "../act.ts";
import { type Context, absolute, printJson, printText } from "../context.ts";
import { Progress } from "../progress.ts";
import { type SideOptions, sideOption } from "../side.ts";
import { facts } from "../table.ts";

interface BackupOptions extends SideOptions {
  readonly output?: string;
}

export function addBackup(program: Command, act: Act): void {
  program
    .command("backup")
    .summary("copy a cloud or a node into one file")
    .description(
      "Copy all that a cloud or a node keeps (its logs, its certificates and its keys) into one file, as it is at one moment, while it runs or when it is stopped. Without --node or --side: the cloud, where there is one. The file holds private keys: keep it as safe as the data directory.",
    )
    .option("-o, --output <file>", "where to write it")
    .addOption(sideOption())
    .addHelpText(
      "after",
      example(
        "npx tidemark backup -o cloud.backup",
        "npx tidemark backup --node edge-node-1 -o edge-node-1.backup",
      ),
    )
    .action(act(backup));
  program
    .command("restore")
    .argument("<file>", "a backup")
    .summary("put a backup into a data directory")
    .description(
      "Put a backup into the data directory, for a stopped cloud or node. What happened since it was made comes back from the other side at the next connection. Never run a restored copy beside the original.",
    )
    .option("--force", "move what is there already to DATA/before-restore, instead of refusing")
    .addHelpText("after", example("npx tidemark restore cloud.backup --data-dir /var/lib/tidemark"))
    .action(act(restoreFile));
}

async function backup(context: Context, { output, side }: BackupOptions): Promise<void> {
  if (output === undefined) throw new TidemarkError("USAGE", "say where to write the backup: -o FILE");
  const [{ openBackup }, { writeBackupFile }] = await Promise.all([
    import("../backup-bytes.ts"),
    import("../backup-file.ts"),
  ]);
  const file = absolute(context.world, output);
  const source = await openBackup(context, side);
  const progress = new Progress({
    output: context.world.stderr,
    label: "Writing",
    unit: "bytes",
    paint: context.paintError,
  });
  try {
    const { manifest, rows, sizeBytes } = await writeBackupFile(file, source.bytes, (bytes) =>
      progress.update(bytes),
    ).finally(() => progress.end());
    const { side, node = null } = manifest;
    const time = rfc3339(manifest.time);
    if (context.json) {
      await printJson(context, { file, side, node, time, sizeBytes, rows });
      return;
    }
    const title = context.paint("bold", `Backup of ${node === null ? "the cloud" : `the node ${node}`}`);
    await printText(
      context,
      `${title}, as it was at ${time}\n` +
        facts([["file", file] as const, ["bytes", String(sizeBytes)] as const], context) +
        "\nIt holds private keys: keep it as safe as the data directory.\n",
    );
  } finally {
    await source.close();
  }
}

async function restoreFile(
  context: Context,
  { force = false }: { readonly force?: boolean },
  name: string,
): Promise<void> {
  const { restore } = await import("../restore.ts");
  const progress = new Progress({
    output: context.world.stderr,
    label: "Restoring",
    unit: "rows",
    paint: context.paintError,
  });
  const { node, dataDir, world } = context;
  const { manifest, directory, setAside, rows } = await restore({
    file: absolute(world, name),
    dataDir,
    node,
    force,
    nowMs: world.now(),
    onProgress: (count) => progress.update(count),
  }).finally(() => progress.end());
  const time = rfc3339(manifest.time);
  if (context.json) {
    const whose = { side: manifest.side, node: manifest.node ?? null };
    await printJson(context, { directory, ...whose, time, rows, setAside: setAside ?? null });
    return;
  }
  const of = manifest.node === undefined ? "The cloud" : `The node ${manifest.node}`;
  const start = manifest.node === undefined ? "cloud" : `edge --node ${manifest.node}`;
  await printText(
    context,
    `${context.paint("bold", of)} as it was at ${time} is in ${directory}\n` +
      (setAside === undefined ? "" : `What was there before is in ${setAside}\n`) +
      `\nStart it, and what happened since comes back from the other side:\n  npx tidemark ${start}\n` +
      (manifest.node === undefined ? "What was declared since is to be declared again.\n" : ""),
  );
}
