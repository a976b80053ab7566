/** Group commit and nothing else: what arrives while a commit runs becomes the next value, put with one sync. */
import { Level } from "level";
import type { AppendTarget } from "../subject.ts";
import { syntheticEvent } from "./events.ts";

export type Database = Level<Uint8Array, Uint8Array>;

export async function openDatabase(directory: string): Promise<Database> {
  const database: Database = new Level(directory, { keyEncoding: "view", valueEncoding: "view" });
  await database.open();
  return database;
}

export function keyOf(number: number): Uint8Array {
  const key = Buffer.allocUnsafe(8);
  key.writeBigUInt64BE(BigInt(number));
  return key;
}

/** Bytes before the events of a value: their number. */
export const headerLength = 4;

export function valueOf(events: readonly Uint8Array[]): Buffer {
  const header = Buffer.allocUnsafe(headerLength);
  header.writeUInt32BE(events.length);
  return Buffer.concat([header, ...events]);
}

/** Called with each value once it is synced; the next commit waits for what it returns. */
export type Committed = (value: Buffer) => Promise<void> | undefined;

export class GroupLog {
  readonly #database: Database;
  readonly #committed: Committed | undefined;
  #events: Uint8Array[] = [];
  #waiting: (() => void)[] = [];
  #values = 0;
  #busy = false;

  constructor(database: Database, committed?: Committed) {
    this.#database = database;
    this.#committed = committed;
  }

  append(event: Uint8Array, done: () => void): void {
    this.#events.push(event);
    this.#waiting.push(done);
    if (this.#busy) return;
    this.#busy = true;
    // All that is appended in this turn goes into one value.
    queueMicrotask(() => {
      this.#commit();
    });
  }

  // A commit that fails ends the process, as an unhandled rejection.
  async #commit(): Promise<void> {
    while (this.#events.length > 0) {
      const value = valueOf(this.#events);
      const waiting = this.#waiting;
      this.#events = [];
      this.#waiting = [];
      await this.#database
        .batch()
        .put(keyOf(++this.#values), value)
        .write({ sync: true });
      for (const done of waiting) done();
      const room = this.#committed?.(value);
      if (room !== undefined) await room;
    }
    this.#busy = false;
  }
}

/** Appends events that were encoded beforehand. */
export async function openRawLog(directory: string): Promise<AppendTarget> {
  const database = await openDatabase(`${directory}/log`);
  const log = new GroupLog(database);
  const events = Array.from({ length: 1024 }, (_, index) => syntheticEvent(index + 1));
  let next = 0;
  return {
    append: (done) => {
      log.append(events[next++ % events.length] as Uint8Array, done);
    },
    close: () => database.close(),
  };
}
