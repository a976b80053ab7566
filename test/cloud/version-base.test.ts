/** No `resourceVersion` is given out twice, whatever becomes of what they are counted from. */
import { join } from "node:path";
import t, { type Test } from "tap";
import { deviceModelKind } from "../../cloud/api/device-kinds.ts";
import { watch } from "../../cloud/api/watch.ts";
import { Cloud } from "../../cloud/cloud.ts";
import { restoredVersions } from "../../cloud/version-base.ts";
import { identityName } from "../../core/checkpoint.ts";
import { pack } from "../../core/codec.ts";
import { clusterLog } from "../../core/event.ts";
import { LevelStore } from "../../core/store/level.ts";
import { isFailure } from "../../protocol/rest/status.ts";
import { raw } from "../core/store-raw.ts";
import { clock, countingRandom, environment, model, timers } from "./fixtures.ts";

const key = "m!version-base";
const macKey = new Uint8Array(32);

/** A cloud on a disk, as often as it is opened. */
class Machine {
  readonly directory: string;
  nowMs = clock.now();
  lines: string[] = [];
  /** Goes on, so that no name is minted twice. */
  readonly #random = countingRandom();
  #objects = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  async run<T>(work: (cloud: Cloud) => Promise<T>): Promise<T> {
    this.lines = [];
    const store = new LevelStore(this.directory);
    await store.open();
    const log = (level: string, _: string, fields: { code?: unknown; value?: unknown } = {}): void => {
      if (fields.value !== undefined) this.lines.push(`${level} ${String(fields.code)}`);
    };
    const world = {
      ...environment(),
      random: this.#random,
      clock: { ...clock, now: (): number => this.nowMs },
      logger: { log },
    };
    const cloud = await Cloud.open({ environment: world, store, macKey, product: "test" });
    try {
      return await work(cloud);
    } finally {
      await cloud.close();
      await store.close();
    }
  }

  /** Writes some objects. @returns the version after them */
  write(count: number): Promise<number> {
    return this.run(async ({ resources }) => {
      for (let nth = 0; nth < count; nth += 1) {
        this.#objects += 1;
        await resources.create(deviceModelKind, "default", model([], `model-${this.#objects}`));
      }
      return resources.version;
    });
  }

  version(): Promise<number> {
    return this.run(async ({ resources }) => resources.version);
  }

  /** Whether a watch that has seen all up to that version is told to list anew. */
  isExpired(version: number): Promise<boolean> {
    return this.run(async ({ resources }) => {
      const gone = new AbortController();
      gone.abort();
      const options = { kind: deviceModelKind, namespace: undefined, selected: () => true, timers };
      return isFailure(watch(resources, { ...options, version, gone: gone.signal, timeoutMs: undefined }));
    });
  }
}

function machineOf(t: Test): Machine {
  return new Machine(join(t.testdir(), "log"));
}

async function restored(machine: Machine): Promise<void> {
  const store = new LevelStore(machine.directory);
  await store.open();
  await store.commit({ segments: [], values: restoredVersions(machine.nowMs) });
  await store.close();
}

t.test("a new cloud counts from 0, and goes on from where it was", async (t) => {
  const machine = machineOf(t);
  t.equal(await machine.version(), 0);
  t.equal(await machine.write(3), 3);
  t.equal(await machine.write(1), 4);
  t.notOk(await machine.isExpired(2));
  t.same(machine.lines, []);
});

for (const [what, damage, line] of [
  [
    "damaged",
    (directory: string) => raw(directory, (database) => database.put(key, pack("?"))),
    "error SEGMENT_CORRUPT",
  ],
  [
    "lost without a word",
    (directory: string) => raw(directory, (database) => database.del(key)),
    "warn SEGMENT_CORRUPT",
  ],
] as const) {
  t.test(
    `after a restore, with the base ${what}, versions go on above all that were given out`,
    async (t) => {
      const machine = machineOf(t);
      await machine.write(3);
      await restored(machine);
      const given = await machine.write(3);
      t.ok(given > machine.nowMs * 1000);
      await damage(machine.directory);
      const after = await machine.version();
      t.ok(after > given, `${after} after ${given}`);
      t.same(machine.lines, [line]);
      for (const version of [given, given - 3, 3]) t.ok(await machine.isExpired(version), `${version}`);
      t.same(machine.lines, [], "it was written again");
      t.equal(await machine.write(1), after + 1);
      t.notOk(await machine.isExpired(after));
    },
  );

  t.test(`of a cloud that was never restored too, with the base ${what}`, async (t) => {
    const machine = machineOf(t);
    const given = await machine.write(3);
    await damage(machine.directory);
    t.ok((await machine.version()) > given);
    t.ok(await machine.isExpired(given));
  });
}

t.test("where the clock was put back since the restore, the newest event knows the time", async (t) => {
  const machine = machineOf(t);
  await restored(machine);
  machine.nowMs += 60_000;
  const given = await machine.write(3);
  await raw(machine.directory, (database) => database.del(key));
  machine.nowMs -= 3_600_000;
  t.ok((await machine.version()) > given);
});

t.test("where the log goes on under another name, though its sequences begin anew", async (t) => {
  const machine = machineOf(t);
  await restored(machine);
  const given = await machine.write(5);
  await raw(machine.directory, (database) => database.del(`m!${identityName(clusterLog)}`));
  t.ok((await machine.write(2)) > given);
  t.ok(await machine.isExpired(given));
});
