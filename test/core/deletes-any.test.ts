/** Lives that come and go in any order, and are forgotten at any moment, on either side, perhaps not to the end. */
import * as fc from "fast-check";
import t from "tap";
import type { EventId } from "../../core/event.ts";
import { verifyLog } from "../../core/log-verify.ts";
import { currentLife } from "../../core/registers.ts";
import {
  alive,
  aliveInPast,
  compact,
  compactAndDie,
  create,
  ends,
  keys,
  liveAndDie,
  pair,
  podA,
  podB,
  podC,
  talk,
} from "./deleting.ts";
import { applied, deleted, folded, meet, reported, ship } from "./log-site.ts";

const anyKey = fc.constantFrom(podA, podB);
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("make" as const), key: anyKey }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("delete" as const), key: anyKey }) },
  fc.record({ do: fc.constant("late" as const), nth: fc.nat(9), cloud: fc.boolean() }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant("talk" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("churn" as const), count: fc.integer({ min: 1, max: 8 }) }),
  },
  fc.record({ do: fc.constant("ship" as const), cloud: fc.boolean() }),
  fc.record({ do: fc.constant("restart" as const), cloud: fc.boolean() }),
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("compact" as const),
      cloud: fc.boolean(),
      crashAfterMs: fc.option(fc.nat(40)),
      reached: fc.nat(2),
    }),
  },
);

t.test(
  "whenever each side collects, and wherever it is cut short, the same objects live on both",
  async () => {
    let collected = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 8, maxLength: 30, size: "max" }), async (actions) => {
        const { cloud, node, world } = await pair();
        const current = new Map<string, EventId>();
        const lives: { readonly life: EventId; readonly key: string }[] = [];
        let deletes = 0;
        let isPastPlain = true;
        for (const step of actions) {
          const [site, peer] = "cloud" in step && !step.cloud ? [node, cloud] : [cloud, node];
          if (step.do === "make") {
            if (current.has(step.key)) continue;
            const life = await create(cloud, step.key);
            current.set(step.key, life);
            lives.push({ life, key: step.key });
          } else if (step.do === "delete") {
            const life = current.get(step.key);
            if (life === undefined) continue;
            current.delete(step.key);
            await cloud.append(deleted(life, step.key));
            deletes += 1;
          } else if (step.do === "late") {
            const { life, key } = lives[step.nth % (lives.length || 1)] ?? {};
            if (life === undefined || key === undefined) continue;
            const isOver = current.get(key) !== life;
            // What the cloud says in ignorance of its own delete, a question about the past takes for what it says.
            isPastPlain &&= !(isOver && step.cloud);
            if (isOver && step.cloud) await cloud.append(applied({ spec: 9 }, life, key));
            else await node.append(reported("z", life, "phase", key));
          } else if (step.do === "churn") {
            for (let nth = 0; nth < step.count; nth += 1) {
              const life = await liveAndDie(cloud, node, podC);
              lives.push({ life, key: podC });
              deletes += 1;
            }
          } else if (step.do === "talk") await talk(cloud, node);
          else if (step.do === "ship") await ship(site, peer);
          else if (step.do === "restart") await site.restart();
          else if (step.crashAfterMs === null) await compact(site, peer);
          else {
            void compactAndDie(site, peer);
            await world.pass(step.crashAfterMs);
            await site.crash({ reached: step.reached });
          }
          const expected = keys.filter((key) => current.has(key));
          if (String(alive(cloud)) !== String(expected)) return false;
          if (isPastPlain && String(await aliveInPast(cloud)) !== String(expected)) return false;
        }
        for (let pass = 0; pass < 3; pass += 1) {
          if (pass === 0) for (let nth = 0; nth < 4; nth += 1) await liveAndDie(cloud, node, podC);
          await talk(cloud, node);
          await compact(cloud, node);
        }
        await meet(cloud, node);
        deletes += 4;
        collected += deletes - (await ends(cloud));
        for (const each of [cloud, node]) {
          const isWhole = (await verifyLog(each.log)).result.problems.length === 0;
          if (!isWhole || folded(await each.events()) !== each.hash) return false;
          for (const key of keys) {
            if (currentLife(each.log.registers, key)?.id !== current.get(key)) return false;
          }
          if (isPastPlain && String(await aliveInPast(each)) !== String(alive(each))) return false;
        }
        return cloud.hash === node.hash;
      }),
      { numRuns: 40 },
    );
    t.ok(collected > 50, "deletes were collected");
  },
);
