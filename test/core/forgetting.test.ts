/** Forgetting in the background: what goes when, and that it keeps to what the other side has as long as it can. */
import t from "tap";
import { Committer } from "../../core/committer.ts";
import type { Event, Incarnation } from "../../core/event.ts";
import { Forgetting, type ForgettingOptions, type Shortage } from "../../core/forgetting.ts";
import { Merging } from "../../core/merging.ts";
import { HistoryIndex } from "../../core/history-index.ts";
import { living, sound, talk } from "./compacting.ts";
import { type Site, meet, reported, said } from "./log-site.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** A disk with room for so many events. */
class Disk implements Shortage {
  pressure: 0 | 1 | 2 | 3 = 0;
  measured = 0;
  readonly canReclaim = true;
  readonly #listeners = new Set<() => void>();
  readonly #count: () => Promise<number>;
  readonly #levels: readonly number[];

  /** @param levels how many events make it tight, short and full */
  constructor(site: Site, levels: readonly number[]) {
    this.#count = async () => (await site.events()).filter(({ class: of }) => of !== "audit").length;
    this.#levels = levels;
  }

  async measure(): Promise<void> {
    this.measured += 1;
    const count = await this.#count();
    const before = this.pressure;
    this.pressure = this.#levels.filter((level) => count >= level).length as 0 | 1 | 2 | 3;
    if (before !== this.pressure) for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function forgettingOf(site: Site, options: Partial<ForgettingOptions> & { acked?: number } = {}): Forgetting {
  const { committer, world, log } = site;
  const { acked = Number.POSITIVE_INFINITY, ...rest } = options;
  const forgetting = new Forgetting({ committer, environment: world.environment, ...rest });
  forgetting.add(log, () => new Map([[log.incarnation, acked]]));
  return forgetting;
}

/** All that is not covered becomes blocks. */
async function merge(site: Site): Promise<void> {
  const { committer, world, log } = site;
  const options = { committer, environment: world.environment, blockBytes: 2000 };
  const merging = new Merging({ ...options, indexOf: HistoryIndex.forAll() });
  merging.add(log);
  await world.run(merging.mergeAll());
  await world.run(merging.close());
}

function idsOf(events: readonly Event[]): string[] {
  return events.map(({ origin, seq }) => `${origin}/${seq}`);
}

t.test("once an hour what is past its age goes, and no sooner", async (t) => {
  const { cloud, node, life, world } = await living();
  const forgetting = forgettingOf(cloud);
  await talk(cloud, node, life, 60);
  await merge(cloud);
  const isMessage = ({ class: of }: Event): boolean => of === "message";
  const whole = idsOf((await cloud.events()).filter((event) => !isMessage(event)));
  await world.pass(29 * day);
  const messages = (await cloud.events()).filter(isMessage).length;
  t.ok(messages < 30, `${messages} of 60 messages are left`);
  await talk(cloud, node, life, 1);
  const before = idsOf(await cloud.events());
  t.strictSame(
    whole.filter((id) => !before.includes(id)),
    [],
    "reports are kept for thirty days, messages for seven",
  );
  await merge(cloud);
  await world.pass(2 * day);
  const left = await cloud.events();
  t.ok(left.length < whole.length / 2, `${left.length} of ${before.length}`);
  t.strictSame(idsOf(left).slice(-3), before.slice(-3), "what came since is there");
  const count = left.length;
  await world.run(forgetting.close());
  await sound(t, cloud);
  await cloud.restart();
  t.equal((await cloud.events()).length, count);
});

t.test("while the disk is short of room, ever younger events go, and then it stops", async (t) => {
  const { cloud, node, life, world } = await living();
  for (let round = 0; round < 8; round += 1) {
    await talk(cloud, node, life, 10);
    await world.pass(hour);
  }
  await merge(cloud);
  const whole = await cloud.events();
  const disk = new Disk(cloud, [whole.length - 40, whole.length + 20]);
  const forgetting = forgettingOf(cloud, { room: disk });
  await world.run(disk.measure());
  t.equal(disk.pressure, 1);
  await world.run(forgetting.forgetAll());
  t.equal(disk.pressure, 0);
  const left = await cloud.events();
  t.ok(
    left.length < whole.length - 40 && left.length > whole.length / 4,
    `${left.length} of ${whole.length}`,
  );
  const youngest = whole.slice(-20);
  t.strictSame(idsOf(left).slice(-20), idsOf(youngest));
  const before = disk.measured;
  await world.pass(hour / 2);
  t.equal(disk.measured, before, "with room, it rests");
  await world.run(forgetting.close());
  await sound(t, cloud);
});

t.test("what the other side has goes first; what it lacks only where that is not enough", async (t) => {
  for (const [level, needsMore] of [
    [60, false],
    [30, true],
  ] as const) {
    const { cloud, node, life, world } = await living();
    await talk(cloud, node, life, 30);
    const acked = node.log.histories.get(node.log.incarnation)?.end ?? 0;
    await world.pass(hour);
    for (let nth = 1; nth <= 30; nth += 1) {
      await node.append(reported(`${nth}`, life, `p${nth % 2}`));
      await world.pass(1000);
    }
    await merge(node);
    const disk = new Disk(node, [level - 10, level]);
    const forgetting = forgettingOf(node, { room: disk, acked });
    await world.run(disk.measure());
    t.equal(disk.pressure, 2);
    await world.run(forgetting.forgetAll());
    t.ok(disk.pressure < 2, `${(await node.events()).length} left`);
    const dropped = (await node.events()).filter(({ type }) => type === "log.dropped");
    t.equal(dropped.length > 0, needsMore);
    await world.run(forgetting.close());
    await meet(cloud, node);
    t.equal(cloud.hash, node.hash);
    await sound(t, node);
  }
});

t.test("where nothing more can go it waits, and tries again", async (t) => {
  const { node, life, world } = await living();
  for (let nth = 1; nth <= 20; nth += 1) await node.append(said(`${nth}`));
  await merge(node);
  const disk = new Disk(node, [5, 10]);
  const forgetting = forgettingOf(node, { room: disk, acked: 0 });
  await world.run(disk.measure());
  await world.run(forgetting.forgetAll());
  t.equal(disk.pressure, 2);
  t.equal((await node.events()).filter(({ type }) => type === "message.said").length, 20);
  const before = disk.measured;
  await world.pass(9000);
  t.equal(disk.measured, before);
  await world.pass(2000);
  const again = disk.measured;
  t.ok(again > before);
  await world.pass(10 * hour);
  t.ok(disk.measured < again * 20, "less and less often");
  t.ok(life);
  await world.run(forgetting.close());
});

t.test("how far the peer has it is known after a restart, before it has said anything", async (t) => {
  const { cloud, node, life, world } = await living();
  await talk(cloud, node, life, 20);
  await merge(node);
  const acked = node.log.histories.get(node.log.incarnation)?.end ?? 0;
  const first = forgettingOf(node, { acked });
  await world.run(first.forgetAll());
  await world.run(first.close());
  await node.crash();
  const policy = { resource: 0, twin: 0, telemetry: 0, message: 0, audit: 0 };
  const whole = (await node.events()).length;
  const { committer, log } = node;
  t.ok(committer instanceof Committer);
  const forgetting = new Forgetting({ committer, environment: world.environment, policy });
  forgetting.add(log, () => new Map<Incarnation, number>());
  await world.run(forgetting.forgetAll());
  t.ok((await node.events()).length < whole);
  await world.run(forgetting.close());
  await sound(t, node);
});

t.test("what it says while nothing is forgotten is kept with the next commit", async (t) => {
  const { cloud, node, life, world } = await living();
  await talk(cloud, node, life, 20);
  await merge(node);
  const acked = node.log.histories.get(node.log.incarnation)?.end ?? 0;
  const first = forgettingOf(node, { acked });
  const before = node.store.batches.length;
  first.noteAcks(node.log);
  await world.settle();
  t.equal(node.store.batches.length, before, "it makes no commit of its own");
  await node.append(reported("more", life));
  await node.crash();
  const whole = (await node.events()).length;
  const policy = { resource: 0, twin: 0, telemetry: 0, message: 0, audit: 0 };
  const { committer, log } = node;
  const forgetting = new Forgetting({ committer, environment: world.environment, policy });
  forgetting.add(log, () => new Map<Incarnation, number>());
  await world.run(forgetting.forgetAll());
  t.ok((await node.events()).length < whole);
  await world.run(forgetting.close());
});

t.test("a log that is taken out is left alone, and closing waits for what is under way", async (t) => {
  const { cloud, node, life, world } = await living();
  await talk(cloud, node, life, 30);
  await merge(cloud);
  const policy = { resource: 0, twin: 0, telemetry: 0, message: 0, audit: 0 };
  const forgetting = forgettingOf(cloud, { policy, runBytes: 100 });
  const all = forgetting.forgetAll();
  await world.settle();
  await world.run(forgetting.remove(cloud.log));
  await world.run(all);
  const count = cloud.store.batches.length;
  await world.pass(2 * hour);
  t.equal(cloud.store.batches.length, count);
  await world.run(forgetting.close());
  await sound(t, cloud);
});
