import * as fc from "fast-check";
import t from "tap";
import { ConflictReactor } from "../../cloud/conflict-reactor.ts";
import { type Draft, type Event, type EventId, eventId, sideOf } from "../../core/event.ts";
import { type ConflictPolicy, conflictPolicies } from "../../core/registers.ts";
import { type ConflictRecord, conflictResolved, readConflict } from "../../protocol/devices/conflicts.ts";
import { conflictPolicyAnnotation } from "../../protocol/devices/conflict-policy.ts";
import { deviceView } from "../../protocol/devices/twin-view.ts";
import type { Segment } from "../../core/segment.ts";
import { Site, World, applied, deleted, desired, meet, node1, ship, thermo } from "../core/log-site.ts";

function device(policy?: string): Draft["body"] {
  const annotations = policy === undefined ? {} : { [conflictPolicyAnnotation]: policy };
  return { metadata: { name: "thermo-1", annotations }, spec: { deviceModelRef: { name: "m1" } } };
}

/** A cloud and a node with one device, and the cloud's reactor. */
class Pair {
  readonly world: World = new World();
  cloud!: Site;
  node!: Site;
  life!: EventId;
  #reactor: ConflictReactor | undefined;

  static async open(policy?: string): Promise<Pair> {
    const pair = new Pair();
    pair.cloud = await Site.open(pair.world, "cloud", { macKey: new Uint8Array(32).fill(1) });
    pair.node = await Site.open(pair.world, "node");
    [pair.life] = (await pair.cloud.append(applied(device(policy)))) as [EventId];
    await meet(pair.cloud, pair.node);
    await pair.react();
    return pair;
  }

  async react(): Promise<void> {
    const { log: replica, committer } = this.cloud;
    const { environment } = this.world;
    this.#reactor = new ConflictReactor({ replica, committer, environment, after: Promise.resolve() });
    await this.world.run(this.#reactor.open());
  }

  async stopReacting(): Promise<void> {
    const reactor = this.#reactor;
    this.#reactor = undefined;
    if (reactor !== undefined) await this.world.run(reactor.close());
  }

  /** The cloud's process dies at some moment, and starts again. */
  async crashCloud(afterMs: number): Promise<void> {
    await this.world.pass(afterMs);
    this.#reactor = undefined;
    await this.cloud.crash();
    await this.react();
  }

  say(side: "cloud" | "node", value: string): Promise<readonly EventId[]> {
    return this[side].append(desired(value, this.life));
  }

  /** @param annotation what is said of conflicts from now on */
  setPolicy(annotation: string): Promise<readonly EventId[]> {
    return this.cloud.append(applied(device(annotation), this.life));
  }

  async records(site: Site = this.cloud): Promise<ConflictRecord[]> {
    return (await site.events()).flatMap((event) => readConflict(event) ?? []);
  }

  view(site: Site): ReturnType<typeof property> {
    return property(site);
  }
}

function property(site: Site): { value: string | undefined; lost: string | undefined } {
  const found = deviceView(site.log.registers, "default", "thermo-1", null)?.properties["temperature"];
  return { value: found?.desired?.value, lost: found?.conflict?.lost?.value };
}

const idOf = ({ origin, seq }: Event): EventId => eventId(origin, seq);

t.test("values that both sides set while apart: one wins on both sides, the other is kept", async (t) => {
  const pair = await Pair.open();
  const [first] = await pair.say("cloud", "20");
  await pair.world.pass(1000);
  const [second] = await pair.say("node", "30");
  await meet(pair.cloud, pair.node);
  await meet(pair.cloud, pair.node);
  t.same(pair.view(pair.cloud), { value: "30", lost: "20" });
  t.same(pair.view(pair.node), { value: "30", lost: "20" });
  t.match(await pair.records(), [
    {
      namespace: "default",
      name: "thermo-1",
      property: "temperature",
      life: pair.life,
      cloud: { event: first, value: "20" },
      edge: { event: second, value: "30" },
      policy: "latest",
      winner: "edge",
    },
  ]);
  t.same(await pair.records(pair.node), await pair.records(pair.cloud), "the node has the record too");
});

t.test("a value that was set in sight of the other ends the conflict, and makes none", async (t) => {
  const pair = await Pair.open("cloud");
  await pair.say("cloud", "20");
  await pair.say("node", "30");
  await meet(pair.cloud, pair.node);
  t.same(pair.view(pair.node), { value: "20", lost: "30" });
  await pair.say("node", "40");
  await meet(pair.cloud, pair.node);
  t.same(pair.view(pair.cloud), { value: "40", lost: undefined });
  t.equal((await pair.records()).length, 1);
});

t.test("both wanting the same is no conflict", async (t) => {
  const pair = await Pair.open();
  await pair.say("cloud", "20");
  await pair.say("node", "20");
  await meet(pair.cloud, pair.node);
  t.same(pair.view(pair.cloud), { value: "20", lost: undefined });
  t.same(await pair.records(), []);
});

t.test("a changed policy decides anew on both sides, and the record stays as it was made", async (t) => {
  const pair = await Pair.open("edge");
  await pair.say("cloud", "20");
  await pair.say("node", "30");
  await meet(pair.cloud, pair.node);
  await pair.setPolicy("edge temperature=cloud");
  await meet(pair.cloud, pair.node);
  t.same(pair.view(pair.cloud), { value: "20", lost: "30" });
  t.same(pair.view(pair.node), { value: "20", lost: "30" });
  t.match(await pair.records(), [{ policy: "edge", winner: "edge" }]);
});

t.test("each value of a side is compared with what the other had said by then", async (t) => {
  const pair = await Pair.open();
  // Nobody looks meanwhile.
  await pair.stopReacting();
  const [one] = await pair.say("cloud", "c1");
  const [two] = await pair.say("node", "n1");
  await ship(pair.node, pair.cloud);
  // In sight of n1.
  await pair.say("cloud", "c2");
  const [three] = await pair.say("node", "n2");
  await ship(pair.node, pair.cloud);
  await pair.say("cloud", "c3");
  await pair.react();
  await pair.world.pass(100);
  const pairs = (await pair.records()).map(({ cloud, edge }) => [cloud.value, edge.value]);
  t.same(pairs, [
    ["c1", "n1"],
    ["c2", "n2"],
  ]);
  t.match(await pair.records(), [
    { cloud: { event: one }, edge: { event: two } },
    { edge: { event: three } },
  ]);
});

t.test("a cursor that is lost makes no record again", async (t) => {
  const pair = await Pair.open();
  for (let round = 0; round < 20; round += 1) {
    await pair.say("cloud", `c${round}`);
    await pair.say("node", `n${round}`);
    await meet(pair.cloud, pair.node);
  }
  await pair.stopReacting();
  pair.cloud.committer.put(`cursor!${pair.cloud.log.id}!conflicts`, undefined);
  await pair.world.run(pair.cloud.committer.flush());
  await pair.react();
  await pair.world.pass(1000);
  t.equal((await pair.records()).length, 20);
});

t.test("a cloud that stops before it has looked at all of them goes on after its checkpoint", async (t) => {
  const pair = await Pair.open();
  await pair.stopReacting();
  for (let round = 0; round < 3; round += 1) {
    await pair.say("node", `n${round}`);
    // The node's comes while this one is written: neither has seen the other, and this one has the later position.
    const said = pair.cloud.log.appended([desired(`c${round}`, pair.life)]);
    await ship(pair.node, pair.cloud);
    await said;
    await ship(pair.cloud, pair.node);
  }
  await pair.cloud.restart();
  await pair.react();
  await pair.world.pass(100);
  const values = (await pair.records()).map(({ cloud, edge }) => [cloud.value, edge.value]);
  t.same(values, [
    ["c0", "n0"],
    ["c1", "n1"],
    ["c2", "n2"],
  ]);
});

t.test("what comes back before its record does is not recorded again", async (t) => {
  const pair = await Pair.open();
  const { cloud, node, world } = pair;
  await pair.say("cloud", "20");
  await pair.say("node", "30");
  await meet(cloud, node);
  await pair.setPolicy("latest");
  await meet(cloud, node);
  const lost = (await cloud.events()).filter(({ slot, type }) => slot !== "spec" && type !== "twin.reported");
  t.equal(lost.length, 3, "both values, and the record");
  await pair.stopReacting();
  for (const { position } of lost) cloud.disk.lose(node1, position);
  await cloud.crash();
  await pair.react();
  for (const { origin, seq } of lost) {
    const [segment] = await node.log.readOrigin(origin, seq, 1);
    cloud.log.receive(segment as Segment, () => {});
    await world.pass(100);
  }
  t.same(cloud.log.problems, []);
  t.equal((await pair.records()).length, 1);
});

t.test("a device that is gone has no conflicts any more", async (t) => {
  const pair = await Pair.open();
  await pair.say("cloud", "20");
  await pair.say("node", "30");
  await pair.cloud.append(deleted(pair.life));
  await meet(pair.cloud, pair.node);
  t.same(await pair.records(), []);
});

type Step =
  | { readonly kind: "say"; readonly side: "cloud" | "node"; readonly value: number }
  | { readonly kind: "ship"; readonly from: "cloud" | "node" }
  | { readonly kind: "policy"; readonly policy: ConflictPolicy; readonly one: boolean }
  | { readonly kind: "crash"; readonly afterMs: number }
  | { readonly kind: "pause" | "resume" | "restart" | "tick" };

const side = fc.constantFrom("cloud" as const, "node" as const);
const anySteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("say" as const), side, value: fc.nat(3) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("ship" as const), from: side }) },
    fc.record({
      kind: fc.constant("policy" as const),
      policy: fc.constantFrom(...conflictPolicies),
      one: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("crash" as const), afterMs: fc.nat(12) }),
    fc.record({
      kind: fc.constantFrom("pause" as const, "resume" as const, "restart" as const, "tick" as const),
    }),
  ),
  { maxLength: 40, size: "max" },
);

async function take(pair: Pair, step: Step): Promise<void> {
  switch (step.kind) {
    case "say":
      await pair.say(step.side, `${step.value}`);
      return;
    case "ship":
      await (step.from === "cloud" ? ship(pair.cloud, pair.node) : ship(pair.node, pair.cloud));
      return;
    case "policy":
      await pair.setPolicy(step.one ? `temperature=${step.policy}` : step.policy);
      return;
    case "crash":
      await pair.crashCloud(step.afterMs);
      return;
    case "pause":
      await pair.stopReacting();
      return;
    case "resume":
      await pair.stopReacting();
      await pair.react();
      return;
    case "restart":
      await pair.stopReacting();
      await pair.cloud.restart();
      await pair.react();
      return;
    case "tick":
      await pair.world.pass(3);
      return;
    default:
      step satisfies never;
  }
}

/** The model: all that either side said, in the order in which the cloud came to hold it, told by what each had seen. */
function expected(events: readonly Event[]): string[] {
  const last: { cloud?: Event; node?: Event } = {};
  const pairs: string[] = [];
  for (const event of events) {
    if (event.type !== "twin.desired") continue;
    const own = sideOf(event.origin);
    const other = last[own === "cloud" ? "node" : "cloud"];
    last[own] = event;
    if (other === undefined || JSON.stringify(event.body) === JSON.stringify(other.body)) continue;
    const hadSeen = event.seen.some(({ origin, seq }) => origin === other.origin && seq >= other.seq);
    const wasSeen = other.seen.some(({ origin, seq }) => origin === event.origin && seq >= event.seq);
    if (!hadSeen && !wasSeen) pairs.push([idOf(event), idOf(other)].toSorted().join(" "));
  }
  return pairs;
}

t.test(
  "for any writes, exchanges, policies and crashes: one winner, and one record of each pair in conflict",
  async (t) => {
    let conflicts = 0;
    await fc.assert(
      fc.asyncProperty(anySteps, async (steps) => {
        const pair = await Pair.open();
        for (const step of steps) await take(pair, step);
        await pair.stopReacting();
        await pair.react();
        for (let round = 0; round < 3; round += 1) {
          await meet(pair.cloud, pair.node);
          await pair.world.pass(1000);
        }
        const events = await pair.cloud.events();
        const records = await pair.records();
        const made = records.map(({ cloud, edge }) => [cloud.event, edge.event].toSorted().join(" "));
        conflicts += made.length;
        if (JSON.stringify(made.toSorted()) !== JSON.stringify(expected(events).toSorted())) return false;
        const [above, below] = [pair.view(pair.cloud), pair.view(pair.node)];
        const isOne = above.value === below.value && above.lost === below.lost;
        return isOne && pair.cloud.hash === pair.node.hash;
      }),
      { numRuns: 300 },
    );
    t.ok(conflicts > 300, "there were conflicts to record");
  },
);

t.test("a log that takes nothing now gets each record later, once", async (t) => {
  const pair = await Pair.open();
  await pair.stopReacting();
  for (let round = 0; round < 12; round += 1) await pair.say("node", `n${round}`);
  await pair.say("cloud", "c");
  await ship(pair.node, pair.cloud);
  const { log } = pair.cloud;
  const appended = log.appended.bind(log);
  let refusals = 0;
  // Full after the first few records.
  log.appended = (drafts) => {
    refusals += 1;
    return refusals === 2 ? Promise.reject(new Error("the log is full")) : appended(drafts);
  };
  await pair.react();
  await pair.world.pass(10_000);
  const records = (await pair.cloud.events()).filter(({ type }) => type === conflictResolved);
  t.equal(records.length, 12);
  t.equal(new Set(records.map(({ body }) => JSON.stringify(body))).size, 12);
});

t.test("a record names the object and the life it is about, and no slot", async (t) => {
  const pair = await Pair.open();
  await pair.say("cloud", "20");
  await pair.say("node", "30");
  await meet(pair.cloud, pair.node);
  const record = (await pair.cloud.events()).find(({ type }) => type === conflictResolved);
  t.match(record, { class: "audit", key: thermo, life: pair.life, slot: undefined });
});
