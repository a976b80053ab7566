/** Puts an export into a data directory, as a copy to read. */
import { rmSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { checkpointName, encodeIdentity, identityName } from "../core/checkpoint.ts";
import { TidemarkError } from "../core/errors.ts";
import { clusterLog, nodeOfLog } from "../core/event.ts";
import type { ExportHeader, ExportPart } from "../core/export-format.ts";
import { readExport } from "../core/export-read.ts";
import { LevelStore } from "../core/store/level.ts";
import { nodeDigest } from "../core/store/node-digest.ts";
import type { StoredSegment } from "../core/store-port.ts";
import { writeFileAtomically } from "../protocol/adapters/files.ts";
import { type ImportFile, importFileName, readImportFile } from "../protocol/adapters/import-file.ts";
import type { Context } from "./context.ts";
import { type Summary, pieces } from "./export-source.ts";
import { findPlaces } from "./places.ts";

const batchBytes = 1024 * 1024;

export interface Imported {
  readonly summary: Summary;
  /** `DATA/cloud` for the cluster log, `DATA/edge/NODE` for a node's, whichever side's replica it is. */
  readonly directory: string;
}

/**
 * @param file `-` is standard input
 * @throws LOG_MISMATCH, CONFLICT, CONFIGURATION, and what `readExport` does: then nothing was changed
 */
export async function importExport(
  context: Context,
  file: string,
  onProgress: (events: number) => void,
): Promise<Imported> {
  let copying: Copying | undefined;
  let summary: Summary | undefined;
  try {
    for await (const parts of readExport(pieces(context.world, file), nodeDigest)) {
      for (const part of parts) {
        if (part.kind === "header") copying = await Copying.begin(context, part.header);
        await copying?.take(part);
        if (part.kind === "end" && copying !== undefined) summary = { header: copying.header, end: part.end };
      }
      onProgress(copying?.events ?? 0);
    }
    if (copying === undefined || summary === undefined)
      throw new Error("an export without a header or an end");
    return { summary, directory: await copying.finish(summary) };
  } catch (error) {
    await copying?.abandon();
    throw error;
  }
}

/** A store under another name until it is whole. */
class Copying {
  readonly header: ExportHeader;
  events = 0;
  readonly #directory: string;
  readonly #temporary: string;
  readonly #keep: () => void;
  readonly #store: LevelStore;
  #waiting: StoredSegment[] = [];
  #waitingBytes = 0;

  static async begin(context: Context, header: ExportHeader): Promise<Copying> {
    const directory = await placeOf(context, header);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const copying = new Copying(context, header, directory);
    await copying.#store.open();
    return copying;
  }

  private constructor({ world }: Context, header: ExportHeader, directory: string) {
    this.header = header;
    this.#directory = directory;
    this.#temporary = join(directory, `.log-${process.pid}`);
    this.#keep = world.onExit(() => rmSync(this.#temporary, { recursive: true, force: true }));
    this.#store = new LevelStore(this.#temporary);
  }

  async take(part: ExportPart): Promise<void> {
    const { log } = this.header;
    if (part.kind === "state") {
      const name = checkpointName(log, this.header.from - 1);
      await this.#store.commit({ segments: [], values: new Map([[name, part.checkpoint]]) });
    } else if (part.kind === "segment") {
      const { segment, position, arrived } = part;
      const { origin, lo, count, bytes } = segment;
      this.#waiting.push({ log, origin, lo, count, position, arrived, segment: bytes });
      this.#waitingBytes += bytes.length;
      this.events += count;
      if (this.#waitingBytes >= batchBytes) await this.#flush();
    }
  }

  async finish({ header, end }: Summary): Promise<string> {
    await this.#flush();
    const before = header.from > 1 ? [{ from: 1, to: header.from - 1 }] : [];
    const identity = { live: header.live, removed: [...before, ...header.removed], moving: undefined };
    const values = new Map([[identityName(header.log), encodeIdentity(identity)]]);
    await this.#store.commit({ segments: [], values });
    await this.#store.close();
    const { log, side, from, redacts } = header;
    const origins = Object.keys(end.after);
    const note: ImportFile = { log, side, from, to: end.position, redacts, origins };
    await writeFileAtomically(join(this.#directory, importFileName), `${JSON.stringify(note)}\n`);
    await rename(this.#temporary, join(this.#directory, "log"));
    this.#keep();
    return this.#directory;
  }

  async abandon(): Promise<void> {
    await this.#store.close();
    await rm(this.#temporary, { recursive: true, force: true });
    this.#keep();
  }

  async #flush(): Promise<void> {
    const segments = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#store.commit({ segments });
  }
}

/** Where the log goes, if nothing is there. */
async function placeOf({ dataDir, node }: Context, header: ExportHeader): Promise<string> {
  const { log, before } = header;
  const name = nodeOfLog(log);
  if (node !== undefined && node !== name) {
    throw new TidemarkError(
      "LOG_MISMATCH",
      `the export is of the log of ${name ?? "the cluster"}, and not of ${node}: leave --node out, or name its own`,
      { data: { log, node } },
    );
  }
  const { cloud, nodes } = await findPlaces(dataDir);
  const directory = log === clusterLog ? cloud.directory : join(dataDir, "edge", name ?? "");
  const place = log === clusterLog ? cloud : nodes.find((other) => other.node === name);
  const imported = await readImportFile(directory);
  if (place?.hasLog !== true) return directory;
  if (imported === undefined) {
    throw new TidemarkError(
      "CONFIGURATION",
      `${directory} holds a log of its own, which is not touched: name an empty directory with --data-dir`,
      { data: { directory } },
    );
  }
  const origins = new Set([...Object.keys(before), header.live]);
  const isSame = imported.origins.some((origin) => origins.has(origin));
  throw new TidemarkError(
    isSame ? "CONFLICT" : "LOG_MISMATCH",
    isSame
      ? `${directory} holds a copy of this log already, positions ${imported.from} to ${imported.to}: name another directory with --data-dir, or remove that one`
      : `${directory} holds a copy of another log by the same name: name another directory with --data-dir`,
    { data: { directory } },
  );
}
