/** A node's log on the level store, as the edge opens it. */
import { Committer } from "../../core/committer.ts";
import { type Draft, type EventId, eventId, nodeLog } from "../../core/event.ts";
import { mintIncarnation } from "../../core/incarnation.ts";
import { Log } from "../../core/log.ts";
import { LevelStore } from "../../core/store/level.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { nodeEnvironment, stderrLogger } from "../../protocol/adapters/environment.ts";
import { authority } from "../../protocol/link/authority.ts";
import { deviceKey } from "../../protocol/devices/topics.ts";
import { reportedSlot } from "../../protocol/devices/twin-view.ts";
import type { AppendTarget } from "../subject.ts";
import { deviceName, namespace, node, property } from "./names.ts";

const devices = 20;

export async function openProductLog(directory: string): Promise<AppendTarget> {
  const environment = nodeEnvironment(stderrLogger({ level: "warn" }), nodeDigest);
  const store = new LevelStore(directory);
  await store.open();
  const committer = new Committer(store, environment.timers);
  const log = await Log.open({ id: nodeLog(node), side: "node", committer, environment, authority });
  const life: EventId = eventId(mintIncarnation("cloud", environment.random), 1);
  const slot = reportedSlot(property);
  const keys = Array.from({ length: devices }, (_, index) => deviceKey(namespace, deviceName(index)));
  let next = 0;
  return {
    append(done) {
      next += 1;
      const key = keys[next % devices] as string;
      const draft: Draft = { type: "twin.reported", class: "twin", key, slot, life, body: [String(next)] };
      log.append([draft], (error) => {
        if (error !== undefined) throw error;
        done();
      });
    },
    async close() {
      await log.close();
      await store.close();
    },
  };
}
