/** What every store does when a log is erased. */
import type { Test } from "tap";
import { type MakeMedium, opened } from "./store-medium.ts";
import {
  blockOf,
  bytes,
  cloud,
  cluster,
  manyBytes,
  node,
  node1,
  node10,
  plain,
  plainAll,
  stored,
} from "./store-segments.ts";

export async function erasing(t: Test, makeMedium: MakeMedium): Promise<void> {
  const values = [
    `identity!${node1}`,
    `checkpoint!${node1}!0001`,
    `cursor!${node1}!outbox`,
    `identity!${node10}`,
    "other",
  ];

  t.test("takes out all of one log and the values named after it, and nothing else", async (t) => {
    const medium = makeMedium(t);
    const store = await opened(t, medium);
    const kept = [stored({ log: node10, lo: 1 }), stored({ log: cluster, origin: cloud, lo: 1 })];
    await store.commit({
      segments: [stored({ lo: 1 }), ...kept, stored({ lo: 2, count: 3 })],
      values: new Map(values.map((name) => [name, bytes(name)])),
    });
    const merged = [stored({ lo: 5 }), stored({ lo: 6 })];
    await store.commit({ segments: [], blocks: [blockOf(merged)] });
    await store.erase(node1);
    t.same(await store.logs(), [cluster, node10]);
    t.same(await store.names(""), [`identity!${node10}`, "other"]);
    t.same(await store.read(node1, 1, manyBytes), []);
    t.same(await store.readOrigin(node1, node, 1, manyBytes), []);
    t.equal(await store.last(node1), undefined);
    for (const segment of kept) t.same(plain(await store.last(segment.log)), plain(segment));
  });

  t.test("a log that was erased may begin anew, before and after opening again", async (t) => {
    const medium = makeMedium(t);
    const store = await opened(t, medium);
    await store.commit({ segments: [stored({ lo: 1, count: 5 })] });
    await store.erase(node1);
    const again = stored({ lo: 1, padding: 20 });
    await store.commit({ segments: [again] });
    t.same(plainAll(await store.read(node1, 1, manyBytes)), [plain(again)]);
    await store.close();
    await store.open();
    t.same(plainAll(await store.read(node1, 1, manyBytes)), [plain(again)]);
  });

  t.test("a log that is not there is erased too", async (t) => {
    const store = await opened(t, makeMedium(t));
    await store.erase(node1);
    t.same(await store.logs(), []);
  });
}
