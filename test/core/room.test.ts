import * as fc from "fast-check";
import t from "tap";
import { TidemarkError, hasCode } from "../../core/errors.ts";
import type { Draft, EventClass } from "../../core/event.ts";
import type { Reserve } from "../../core/ports.ts";
import { type RoomLevel, levelOf, softBytes } from "../../core/pressure.ts";
import { Room } from "../../core/room.ts";
import { Site, World, applied, reported, said } from "./log-site.ts";

const mebi = 1024 * 1024;
const gibi = 1024 * mebi;

class FakeReserve implements Reserve {
  readonly sizeBytes: number = 32 * mebi;
  isThere = true;
  /** How often it was written. */
  writes = 0;
  /** What writing fails with. */
  failure: Error | undefined;

  async isKept(): Promise<boolean> {
    return this.isThere;
  }

  async keep(): Promise<void> {
    this.writes += 1;
    if (this.failure !== undefined) throw this.failure;
    this.isThere = true;
  }

  async stop(): Promise<void> {}

  async giveUp(): Promise<boolean> {
    const wasThere = this.isThere;
    this.isThere = false;
    return wasThere;
  }
}

/** A disk of 100 GiB, and a store on it; both are what a test says they are. */
class Place {
  readonly world = new World();
  readonly reserve = new FakeReserve();
  usedBytes: number | Error = 0;
  freeBytes: number | Error = 50 * gibi;
  /** How often it was measured. */
  looks = 0;

  open(limitBytes?: number): Promise<Room> {
    const { environment } = this.world;
    return Room.open({
      environment,
      limitBytes,
      reserve: this.reserve,
      store: {
        sizeBytes: async () => {
          this.looks += 1;
          return known(this.usedBytes);
        },
      },
      disk: { space: async () => ({ freeBytes: known(this.freeBytes), totalBytes: 100 * gibi }) },
    });
  }

  /** The pressure when so much is used, or free. */
  async pressure(room: Room, change: { usedBytes?: number; freeBytes?: number }): Promise<number> {
    Object.assign(this, change);
    await room.measure();
    return room.pressure;
  }

  get messages(): string[] {
    return this.world.lines.map(({ level, message }) => `${level}: ${message}`);
  }
}

function known(bytes: number | Error): number {
  if (typeof bytes !== "number") throw bytes;
  return bytes;
}

function draft(kind: EventClass, deletes = false): Draft {
  return { type: "test.said", class: kind, key: "tests/test", body: null, deletes };
}

function refused(room: Room): EventClass[] {
  const classes: EventClass[] = ["resource", "twin", "telemetry", "message", "audit"];
  return classes.filter((kind) => room.refusal([draft("audit"), draft(kind)]) !== undefined);
}

t.test("the pressure follows what the log takes of its limit", async (t) => {
  const place = new Place();
  const room = await place.open(gibi);
  t.equal(room.pressure, 0);
  t.equal(await place.pressure(room, { usedBytes: 0.79 * gibi }), 0);
  t.equal(await place.pressure(room, { usedBytes: 0.8 * gibi }), 1);
  t.equal(await place.pressure(room, { usedBytes: 0.9 * gibi }), 2);
  t.equal(await place.pressure(room, { usedBytes: gibi - 1 }), 2);
  t.notOk(room.isFull);
  t.equal(await place.pressure(room, { usedBytes: gibi }), 3);
  t.ok(room.isFull);
  t.equal(await place.pressure(room, { usedBytes: 100 * gibi }), 3);
  t.equal(await place.pressure(room, { usedBytes: 0 }), 0);
});

t.test("and what is free on the disk, without a limit too", async (t) => {
  const place = new Place();
  const room = await place.open();
  const soft = softBytes({ freeBytes: 0, totalBytes: 100 * gibi });
  t.equal(await place.pressure(room, { usedBytes: 40 * gibi, freeBytes: soft * 3 + 1 }), 0);
  t.equal(await place.pressure(room, { freeBytes: soft * 3 }), 1);
  t.equal(await place.pressure(room, { freeBytes: soft * 2 }), 2);
  t.equal(await place.pressure(room, { freeBytes: soft }), 3);
  t.equal(await place.pressure(room, { freeBytes: gibi }), 0);
});

t.test("it does not change to and fro around a limit", async (t) => {
  const place = new Place();
  const room = await place.open(gibi);
  let changes = 0;
  room.onChange(() => (changes += 1));
  for (const share of [1, 0.99, 1.01, 0.98, 1, 0.975]) {
    t.equal(await place.pressure(room, { usedBytes: share * gibi }), 3);
  }
  t.equal(changes, 1);
  const soft = softBytes({ freeBytes: 0, totalBytes: 100 * gibi });
  for (const share of [1, 1.1, 1, 1.24]) {
    t.equal(await place.pressure(room, { usedBytes: 0, freeBytes: share * soft }), 3);
  }
  t.equal(changes, 1);
  place.freeBytes = 50 * gibi;
  t.equal(await place.pressure(room, { usedBytes: 0.99 * gibi }), 3, "it still stands");
  t.equal(await place.pressure(room, { usedBytes: 0.96 * gibi }), 2);
  t.equal(await place.pressure(room, { usedBytes: 0.99 * gibi }), 2);
  t.equal(changes, 2);
});

t.test("more used, or less free, never lowers the level", async () => {
  const level = fc.constantFrom<RoomLevel>(0, 1, 2, 3, 4);
  const size = fc.integer({ min: 0, max: 4 * gibi });
  fc.assert(
    fc.property(level, fc.tuple(size, size), fc.tuple(size, size), (current, [used, more], [free, less]) => {
      const at = (usedBytes: number, freeBytes: number): RoomLevel =>
        levelOf({ usedBytes, space: { freeBytes, totalBytes: 4 * gibi } }, gibi, current);
      const found = at(used, free);
      // What was found stands when nothing changed.
      const again = levelOf(
        { usedBytes: used, space: { freeBytes: free, totalBytes: 4 * gibi } },
        gibi,
        found,
      );
      return at(used + more, Math.max(0, free - less)) >= found && again === found;
    }),
  );
});

t.test(
  "what no longer fits is refused by class: resources and messages first, what is audited never",
  async (t) => {
    const place = new Place();
    const room = await place.open(gibi);
    await place.pressure(room, { usedBytes: 0.99 * gibi });
    t.same(refused(room), []);
    await place.pressure(room, { usedBytes: gibi });
    t.same(refused(room), ["resource", "message"]);
    t.equal(room.refusal([draft("resource", true)]), undefined, "a delete goes in, as it makes room");
    await place.pressure(room, { usedBytes: 1.2 * gibi });
    t.same(refused(room), ["resource", "twin", "telemetry", "message"]);
    t.match(room.refusal([draft("resource", true)]), { code: "LOG_FULL" });
    await place.pressure(room, { usedBytes: 0.5 * gibi });
    t.same(refused(room), []);
    const soft = softBytes({ freeBytes: 0, totalBytes: 100 * gibi });
    await place.pressure(room, { freeBytes: soft });
    t.same(refused(room), ["resource", "message"]);
    await place.pressure(room, { freeBytes: soft / 2 });
    t.same(refused(room), ["resource", "twin", "telemetry", "message"]);
  },
);

t.test("a refusal says what to do", async (t) => {
  const place = new Place();
  const room = await place.open(gibi);
  t.equal(room.problem, undefined);
  await place.pressure(room, { usedBytes: 1.05 * gibi });
  t.match(room.problem, {
    code: "LOG_FULL",
    message: /at its limit \(1\.05 GiB of 1 GiB\): raise --log-limit, or let the link come back/,
    data: { limitBytes: gibi, usedBytes: 1.05 * gibi, pressure: 3 },
  });
  await place.pressure(room, { usedBytes: 0, freeBytes: 20 * mebi });
  t.match(room.problem, { code: "LOG_FULL", message: /its disk has 20 MiB left; make room there/ });
});

t.test(
  "it is measured as time passes, more often where room is short, and after so much was committed",
  async (t) => {
    const place = new Place();
    const { world } = place;
    const room = await place.open(gibi);
    await world.pass(60_000);
    t.equal(place.looks, 13, "every 5 s");
    place.usedBytes = 0.95 * gibi;
    await world.pass(5000);
    place.looks = 0;
    await world.pass(10_000);
    t.equal(place.looks, 10, "every second");
    place.looks = 0;
    for (let commits = 0; commits < 16; commits += 1) {
      room.noteCommitted(mebi);
      await new Promise(setImmediate);
    }
    t.equal(place.looks, 4, "every 4 MiB");
    await room.close();
    t.equal(world.pending, 0);
    room.noteCommitted(gibi);
    await world.pass(60_000);
    t.equal(place.looks, 4, "not when it is closed");
  },
);

t.test("a small log is looked at more often", async (t) => {
  const place = new Place();
  const room = await place.open(16 * mebi);
  place.looks = 0;
  room.noteCommitted(mebi / 4);
  await place.world.settle();
  t.equal(place.looks, 1);
});

t.test("what can't be measured is said once, and is not taken for no room", async (t) => {
  const place = new Place();
  const room = await place.open(gibi);
  await place.pressure(room, { usedBytes: gibi });
  place.usedBytes = new Error("not to be read");
  place.freeBytes = new Error("not to be asked");
  await room.measure();
  await room.measure();
  t.equal(room.pressure, 0);
  t.equal(room.refusal([draft("message")]), undefined);
  t.match(room.state, { usedBytes: undefined, freeBytes: undefined });
  t.same(
    place.world.lines.filter(({ message }) => /measured/.test(message)).map(({ fields }) => fields),
    [
      { of: "the log", reason: "not to be read" },
      { of: "the disk", reason: "not to be asked" },
    ],
  );
  t.equal(await place.pressure(room, { usedBytes: gibi, freeBytes: gibi }), 3);
  t.equal(await place.pressure(room, { usedBytes: 0 }), 0);
});

t.test(
  "the reserve is written where there is ample room for it, and again when it was given up",
  async (t) => {
    const place = new Place();
    const { reserve, world } = place;
    reserve.isThere = false;
    place.freeBytes = 400 * mebi;
    const room = await place.open();
    t.equal(reserve.writes, 0, "not where it would leave too little");
    t.notOk(room.state.reserve);
    await place.pressure(room, { freeBytes: gibi });
    await world.settle();
    t.equal(reserve.writes, 1);
    t.ok(room.state.reserve);
    await room.measure();
    t.equal(reserve.writes, 1);
    await room.failed(new TidemarkError("LOG_COMMIT_FAILED", "of another cause"));
    t.ok(reserve.isThere);
    await room.failed(new TidemarkError("DISK_FULL", "full"));
    t.notOk(reserve.isThere);
    t.ok(place.messages.includes("warn: the reserve was given up, so that the log can go on"));
    await world.pass(10_000);
    t.equal(reserve.writes, 1, "not before the store was opened again");
    const again = await place.open();
    await world.settle();
    t.equal(reserve.writes, 2);
    t.ok(again.state.reserve);
  },
);

t.test("a reserve that can't be written is said once, and tried again", async (t) => {
  const place = new Place();
  const { reserve, world } = place;
  reserve.isThere = false;
  reserve.failure = new Error("not allowed");
  const room = await place.open();
  await world.pass(20_000);
  t.ok(reserve.writes > 2);
  t.notOk(room.state.reserve);
  t.same(place.messages, ["warn: the reserve could not be written"]);
  reserve.failure = undefined;
  await world.pass(10_000);
  t.ok(room.state.reserve);
});

t.test("a log asks before it appends, and takes what the peer sent, and what it says itself", async (t) => {
  const world = new World();
  const full = new TidemarkError("LOG_FULL", "full");
  let isFull = false;
  class FullSite extends Site {
    override logOptions(...args: Parameters<Site["logOptions"]>): ReturnType<Site["logOptions"]> {
      const isRefused = ({ class: kind }: Draft): boolean => isFull && kind !== "twin";
      return {
        ...super.logOptions(...args),
        refuses: (drafts) => (drafts.some(isRefused) ? full : undefined),
      };
    }
  }
  const cloud = await Site.open(world, "cloud");
  const node = new FullSite(world, "node");
  await node.open();
  const [life] = await cloud.append(applied());
  isFull = true;
  t.throws(() => node.log.append([said("more")]), full);
  await t.rejects(node.log.appended([said("more")]), full);
  t.same(await node.events(), [], "nothing was staged");
  const [segment] = await cloud.log.readOrigin(cloud.log.incarnation, 1, 1e6);
  let isDurable = false;
  if (segment !== undefined) node.log.receive(segment, () => (isDurable = true));
  await world.pass(20);
  t.ok(isDurable);
  // A clock that was put right: the log notes that first, whatever is appended.
  world.wallMs -= 86_400_000;
  if (life !== undefined) await node.append(reported("20", life));
  const types = (await node.events()).map(({ type }) => type);
  t.same(types, ["resource.applied", "clock.corrected", "twin.reported"]);
  isFull = false;
  await node.append(said("more"));
  t.notOk(hasCode(node.committer.failure, "LOG_FULL"));
});

t.test("a store's commits are counted", async (t) => {
  const node = await Site.open(new World(), "node");
  const told: number[] = [];
  node.committer.onCommitted((bytes) => told.push(bytes));
  await node.append(said("x".repeat(10_000)));
  t.equal(told.length, 1);
  t.ok((told[0] ?? 0) > 10_000 && (told[0] ?? 0) < 11_000);
});

t.test("bytes are given back only where the disk has the room that it takes", async (t) => {
  const place = new Place();
  const room = await place.open();
  for (const [usedBytes, freeBytes, can] of [
    [100 * mebi, 10 * gibi, true],
    [100 * mebi, 101 * mebi, false],
    [100 * mebi, 20 * mebi, false],
    [1 * mebi, 200 * mebi, true],
  ] as const) {
    await place.pressure(room, { usedBytes, freeBytes });
    t.equal(room.canReclaim, can, `${usedBytes} used, ${freeBytes} free`);
  }
  await room.close();
});
