import * as fc from "fast-check";
import t from "tap";
import { type Body, type Event, type Seen, eventId } from "../../core/event.ts";
import { canonical, decodeSnapshot, encodeSnapshot } from "../../core/projection.ts";
import {
  type ConflictPolicy,
  type Registers,
  currentLife,
  registersProjection,
  winner,
} from "../../core/registers.ts";
import { calibratedTime, clockCorrected } from "../../core/clock.ts";
import { endedDraft } from "../../core/ended.ts";
import { anyBody, c1, c2, n1, n2, n3 } from "./drafts.ts";
import { anyHistories, anyPicks, event, fold, interleaved, keys, opened, reset } from "./histories.ts";
import { applied, deleted, desired, hashOf, reported, thermo } from "./log-site.ts";

const reportedSlot = "reported/temperature";
const desiredSlot = "desired/temperature";
const policies: readonly ConflictPolicy[] = ["latest", "cloud", "edge"];

function valueOf(state: Registers, slot: string, policy?: ConflictPolicy): unknown {
  const value = winner(state, currentLife(state, thermo)?.slots.get(slot), policy)?.body as
    | readonly Body[]
    | undefined;
  return value?.[0];
}

const life = eventId(c1, 1);
const born = event(c1, 1, applied());

t.test("lives", async (t) => {
  t.test("an object exists from its first resource event, until it is deleted", async (t) => {
    t.equal(currentLife(fold([]), thermo), undefined);
    t.equal(currentLife(fold([born]), thermo)?.id, life);
    t.equal(currentLife(fold([born, event(c1, 2, deleted(life))]), thermo), undefined);
  });

  t.test("a report never creates an object, and stands once the object exists", async (t) => {
    const early = fold([event(n1, 1, reported("20", life))]);
    t.equal(currentLife(early, thermo), undefined);
    t.equal(valueOf(fold([born], early), reportedSlot), "20");
  });

  t.test("an event under no life leaves nothing behind", async (t) => {
    const { life: _, ...bare } = reported("20", life);
    for (const stray of [
      event(n1, 1, bare),
      event(n1, 1, applied()),
      event(c1, 1, { ...desired("1", life), life: undefined }),
    ]) {
      t.equal(hashOf(fold([stray])), hashOf(fold([])));
    }
  });

  t.test("a node does not end a life", async (t) => {
    t.equal(currentLife(fold([born, event(n1, 1, deleted(life))]), thermo)?.id, life);
  });

  t.test("what comes under a life that is over counts for nothing", async (t) => {
    const over = [born, event(c1, 2, deleted(life))];
    const late = [event(n1, 1, reported("20", life)), event(c1, 3, applied({ spec: 2 }, life))];
    t.equal(hashOf(fold([...over, ...late])), hashOf(fold(over)));
  });

  t.test("an object made again does not meet its old reports", async (t) => {
    const events = [
      born,
      event(n1, 1, reported("20", life)),
      event(c1, 2, deleted(life)),
      event(c1, 3, applied()),
    ];
    const state = fold(events);
    t.equal(currentLife(state, thermo)?.id, eventId(c1, 3));
    t.equal(valueOf(state, reportedSlot), undefined);
    t.equal(valueOf(fold([event(n1, 2, reported("30", eventId(c1, 3)))], state), reportedSlot), "30");
  });

  t.test("what is said to be over for good leaves nothing behind, whenever it is said", async (t) => {
    const saying = event(c1, 9, endedDraft(new Map([[c1, [{ from: 1, to: 3 }]]])));
    const all = [born, event(n1, 1, reported("20", life)), event(c1, 2, deleted(life))];
    const alone = fold([saying]);
    for (const events of [
      [...all, saying],
      [saying, ...all],
      [saying, born],
      [event(n1, 1, reported("20", life)), saying],
      [born, saying, event(c1, 10, applied({ spec: 2 }, life))],
    ]) {
      t.equal(hashOf(fold(events)), hashOf(alone));
      t.equal(fold(events).objects.size, 0);
    }
    const later = eventId(c1, 4);
    t.equal(currentLife(fold([saying, event(c1, 4, applied())]), thermo)?.id, later, "others begin");
    t.not(hashOf(alone), hashOf(fold([])));
    t.equal(currentLife(fold([born, { ...saying, origin: n1 }]), thermo)?.id, life, "a node can't");
  });

  t.test("who still holds a life that is over for good finds that it is", async (t) => {
    const state = fold([born]);
    const held = currentLife(state, thermo);
    fold([event(c1, 9, endedDraft(new Map([[c1, [{ from: 1, to: 1 }]]])))], state);
    t.equal(held?.over, true);
  });

  t.test("a reset ends the lives of older generations, whenever they arrive", async (t) => {
    const resets = [event(c2, 1, opened(c2, 2, c1, 5)), event(c2, 2, reset), event(c2, 3, applied())];
    const saying = event(c1, 4, endedDraft(new Map([[c1, [{ from: 7, to: 9 }]]])));
    const older = [event(c1, 2, opened(c1, 1)), born, event(c1, 3, desired("1", life)), saying];
    for (const events of [
      [...older, ...resets],
      [...resets, ...older],
    ]) {
      t.equal(currentLife(fold(events), thermo)?.id, eventId(c2, 3));
      t.equal(fold(events).objects.get(thermo)?.get(life), undefined, "nothing is kept of them");
      t.equal(fold(events).ended.size, 0, "nor of those of them that were over");
    }
  });
});

t.test("generations", async (t) => {
  const start = [born, event(c1, 2, opened(n1, 1)), event(n1, 9, reported("20", life))];

  t.test("the value of an older generation stands until the slot is written again", async (t) => {
    const again = [...start, event(c1, 3, opened(n2, 2, n1, 9))];
    t.equal(valueOf(fold(again), reportedSlot), "20");
    t.equal(valueOf(fold([...again, event(n2, 1, reported("30", life))]), reportedSlot), "30");
  });

  t.test("an incarnation whose generation is not known is the newest of its side", async (t) => {
    const state = fold([...start, event(n2, 1, reported("30", life))]);
    t.equal(valueOf(state, reportedSlot), "30");
    t.equal(valueOf(fold([event(n1, 10, reported("21", life))], state), reportedSlot), "30");
  });

  t.test("what the generations turn out to be decides, whatever came first", async (t) => {
    const values = [
      event(n1, 9, reported("20", life)),
      event(n2, 1, reported("30", life)),
      event(n3, 1, reported("40", life)),
    ];
    const order = [
      event(c1, 2, opened(n1, 1)),
      event(c1, 3, opened(n2, 2, n1, 9)),
      event(c1, 4, opened(n3, 3, n2, 1)),
    ];
    const expected = hashOf(fold([born, ...order, ...values]));
    for (const events of [values, values.toReversed()]) {
      const state = fold([born, ...events, ...order]);
      t.equal(valueOf(state, reportedSlot), "40");
      t.equal(hashOf(state), expected);
    }
  });

  t.test("until then the one of the latest time stands, in any order", async (t) => {
    const [first, second] = [10, 3].map((time, index) =>
      event(n1, index + 1, reported(`${time}`, life), { time }),
    );
    const other = event(n2, 1, reported("5", life), { time: 5 });
    const orders = [
      [first, second, other],
      [first, other, second],
      [other, first, second],
    ].map((order) => fold([born, ...order.filter((each) => each !== undefined)]));
    for (const state of orders) {
      t.equal(valueOf(state, reportedSlot), "5");
      t.equal(hashOf(state), hashOf(orders[0] ?? state));
    }
  });

  t.test("of one generation given twice, it goes by name, in any order", async (t) => {
    const values = [event(n1, 9, reported("20", life)), event(n2, 1, reported("30", life))];
    const given = [event(c1, 2, opened(n1, 1)), event(c2, 1, opened(n2, 1))];
    for (const order of [
      [...values, ...given],
      [...given, ...values],
      [...given, ...values.toReversed()],
    ]) {
      t.equal(valueOf(fold([born, ...order]), reportedSlot), "30");
    }
  });

  t.test("only the cloud says which generation an incarnation is", async (t) => {
    const state = fold([event(n1, 1, opened(n1, 7))]);
    t.equal(state.generations.size, 0);
  });

  t.test("what is no generation is not taken for one", async (t) => {
    const bodies: Body[] = [null, "x", [], {}, { incarnation: n1 }, { incarnation: "x", generation: 1 }];
    for (const generation of [-1, 0.5, Number.NaN, "1"]) bodies.push({ incarnation: n1, generation });
    for (const body of bodies) t.equal(fold([event(c1, 1, { ...opened(n1, 1), body })]).generations.size, 0);
  });

  t.test("said twice and differently, the higher one counts, in any order", async (t) => {
    const said = [
      event(c1, 1, opened(n1, 1)),
      event(c2, 1, opened(n1, 3, n2, 5)),
      event(c2, 2, opened(n1, 3, n2, 4)),
    ];
    for (const order of [said, said.toReversed()]) {
      t.equal(fold(order).generations.get(n1), 3);
    }
  });
});

t.test("who wins", async (t) => {
  const byCloud = (seen: readonly Seen[], time: number): Event =>
    event(c1, 2, desired("cloud", life), { seen, time });
  const byNode = (seen: readonly Seen[], time: number): Event =>
    event(n1, 1, desired("node", life), { seen, time });
  const sawNode = [{ origin: n1, seq: 1 }];
  const sawCloud = [{ origin: c1, seq: 2 }];
  const decided = (cloud: Event, node: Event): unknown[] => {
    const [first, second] = [fold([born, cloud, node]), fold([born, node, cloud])];
    return policies.map((policy) => {
      const value = valueOf(first, desiredSlot, policy);
      t.equal(valueOf(second, desiredSlot, policy), value, "the same in any order");
      return value;
    });
  };

  t.test("one that had seen the other, by every policy", async (t) => {
    t.strictSame(decided(byCloud(sawNode, 1), byNode([], 9)), ["cloud", "cloud", "cloud"]);
    t.strictSame(decided(byCloud([], 9), byNode(sawCloud, 1)), ["node", "node", "node"]);
  });

  t.test("to have seen an earlier one is not to have seen this one", async (t) => {
    t.strictSame(decided(byCloud([], 1), byNode([{ origin: c1, seq: 1 }], 2)), ["node", "cloud", "node"]);
  });

  t.test("of concurrent ones: by time and then the cloud; the cloud; the edge", async (t) => {
    t.strictSame(decided(byCloud([], 1), byNode([], 2)), ["node", "cloud", "node"]);
    t.strictSame(decided(byCloud([], 2), byNode([], 1)), ["cloud", "cloud", "node"]);
    t.strictSame(decided(byCloud([], 2), byNode([], 2)), ["cloud", "cloud", "node"]);
  });

  t.test("to have seen a newer generation is to have seen all of an older one", async (t) => {
    const generations = [event(c1, 3, opened(n1, 1)), event(c1, 4, opened(n2, 2, n1, 5))];
    const state = fold([born, ...generations, byNode([], 9), byCloud([{ origin: n2, seq: 1 }], 1)]);
    for (const policy of policies) t.equal(valueOf(state, desiredSlot, policy), "cloud");
  });

  t.test("of one alone, that one; of none, none", async (t) => {
    t.equal(winner(fold([]), undefined), undefined);
    for (const policy of policies) {
      t.equal(valueOf(fold([born, byNode([], 1)]), desiredSlot, policy), "node");
      t.equal(valueOf(fold([born, byCloud([], 1)]), desiredSlot, policy), "cloud");
    }
  });

  t.test("times are compared as the corrected clock would have said them", async (t) => {
    const node = event(n1, 1, desired("node", life), { time: 1000 });
    const cloud = event(c1, 2, desired("cloud", life), { time: 5000 });
    const correction = event(n1, 2, {
      type: clockCorrected,
      class: "audit",
      key: "clock",
      body: { offset: 9000, since: 0 },
    });
    t.equal(valueOf(fold([born, cloud, node]), desiredSlot), "cloud");
    for (const order of [
      [cloud, node, correction],
      [correction, cloud, node],
    ]) {
      t.equal(valueOf(fold([born, ...order]), desiredSlot), "node");
    }
    const state = fold([correction]);
    t.equal(calibratedTime(state.eras, node), 10_000);
    t.equal(calibratedTime(state.eras, event(n1, 3, reported("1", life), { time: 1000 })), 1000);
  });
});

t.test("any order of arrival that keeps each origin's order makes the same state", async () => {
  fc.assert(
    fc.property(anyHistories, anyPicks, anyPicks, (histories, first, second) => {
      const [one, other] = [fold(interleaved(histories, first)), fold(interleaved(histories, second))];
      if (hashOf(one) !== hashOf(other)) return false;
      return keys.every((key) => {
        const [a, b] = [currentLife(one, key), currentLife(other, key)];
        if (a?.id !== b?.id) return false;
        return [...(a?.slots.keys() ?? [])].every((slot) =>
          policies.every((policy) => {
            const [x, y] = [
              winner(one, a?.slots.get(slot), policy),
              winner(other, b?.slots.get(slot), policy),
            ];
            return x?.origin === y?.origin && x?.seq === y?.seq;
          }),
        );
      });
    }),
    { numRuns: 500 },
  );
});

t.test("an event that comes again changes nothing", async () => {
  fc.assert(
    fc.property(anyHistories, anyPicks, fc.nat(100), (histories, picks, from) => {
      const events = interleaved(histories, picks);
      const prefix = events.slice(0, from);
      return hashOf(fold([...prefix, ...prefix, ...events, ...prefix])) === hashOf(fold(events));
    }),
    { numRuns: 200 },
  );
});

t.test("a snapshot and the tail make what the whole makes", async () => {
  fc.assert(
    fc.property(anyHistories, anyPicks, fc.nat(80), (histories, picks, at) => {
      const events = interleaved(histories, picks);
      const bytes = encodeSnapshot(registersProjection, fold(events.slice(0, at)), at);
      const snapshot = decodeSnapshot(registersProjection, bytes);
      if (snapshot === undefined || snapshot.position !== at) return false;
      return hashOf(fold(events.slice(at), snapshot.state)) === hashOf(fold(events));
    }),
    { numRuns: 200 },
  );
});

t.test("a snapshot that can't be used is none", async (t) => {
  const bytes = encodeSnapshot(registersProjection, fold([born]), 1);
  t.ok(decodeSnapshot(registersProjection, bytes));
  t.equal(decodeSnapshot({ ...registersProjection, version: 2 }, bytes), undefined);
  t.equal(decodeSnapshot({ ...registersProjection, name: "other" }, bytes), undefined);
  for (let length = 0; length < bytes.length; length += 1) {
    t.equal(decodeSnapshot(registersProjection, bytes.slice(0, length)), undefined, `cut to ${length}`);
  }
});

t.test("equal values have the same canonical bytes", async () => {
  const shuffled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shuffled);
    if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([name, field]) => [name, shuffled(field)]),
    );
  };
  fc.assert(
    fc.property(anyBody, (body) =>
      Buffer.from(canonical(body)).equals(Buffer.from(canonical(shuffled(body)))),
    ),
  );
});
