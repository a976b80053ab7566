/** Breakages of how lives that are over are forgotten. Few runs of the simulator come so far. */
import type { Mutant } from "./mutant.ts";

const here = [
  "core/deletes.test",
  "core/deletes-any.test",
  "core/compaction.test",
  "core/registers.test",
  "core/ended.test",
] as const;

function rare(name: string, file: string, find: string, replace: string): Mutant {
  return { name, edits: [{ file, find, replace }], tests: here };
}

export const deleteMutants: readonly Mutant[] = [
  rare(
    "a life is said to be over for good though its delete is not stable",
    "core/say-ended.ts",
    "if (end !== undefined && isStable(end)) over.add(life.id);",
    "if (end !== undefined) over.add(life.id);",
  ),
  rare(
    "a delete is stable though an older incarnation of the node has more to say",
    "core/say-ended.ts",
    "origin === live?.origin || (hole === undefined && end >= (closedAt ?? Infinity));",
    "origin === live?.origin || hole === undefined || end >= (closedAt ?? Infinity);",
  ),
  rare(
    "a delete is stable though nothing of the node's live incarnation has come",
    "core/say-ended.ts",
    'sideOf(origin) === "node" && generation > (live?.generation ?? -1)',
    'histories.has(origin) && sideOf(origin) === "node" && generation > (live?.generation ?? -1)',
  ),
  rare(
    "a delete that retention protects is collected",
    "core/say-ended.ts",
    "const end = life.over ? survey.endOf(life.id, key) : undefined;",
    "const end = life.over ? { origin: log.incarnation, seq: 1 } : undefined;",
  ),
  rare(
    "the end of a life is let go before anything says it of all lives",
    "core/compaction.ts",
    "if (event.deletes === true) return isForgotten && this.#isWhole",
    "if (event.deletes === true) return this.#isWhole",
  ),
  rare(
    "the end of a life is let go before what is under it",
    "core/compaction.ts",
    "return isForgotten && this.#isWhole && !this.#under.has(life);",
    "return isForgotten && this.#isWhole;",
  ),
  rare(
    "the end of a life is let go though something that can't be read may be under it",
    "core/compaction.ts",
    "return isForgotten && this.#isWhole && !this.#under.has(life);",
    "return isForgotten && !this.#under.has(life);",
  ),
  rare(
    "a life that was forgotten is written to again",
    "core/registers.ts",
    "(isResetAway(state, began.origin) || isEnded(state.ended, began))",
    "(isResetAway(state, began.origin) || (isEnded(state.ended, began) && began.seq < 0))",
  ),
  rare(
    "what is said of lives that are over goes over one that goes on",
    "core/say-ended.ts",
    "if (last === undefined || (others[at] ?? Infinity) < range.from) result.push(range);",
    "if (last === undefined) result.push(range);",
  ),
  rare(
    "what a rolled-back cloud had said of lives counts for what others hold under their names",
    "core/ended.ts",
    '|| sideOf(origin) !== "cloud" || cause !== undefined)',
    '|| sideOf(origin) !== "cloud")',
  ),
  rare(
    "what says that lives are over is let go like a message",
    "core/compaction.ts",
    "event.slot !== undefined || event.deletes === true || readEnded(event) !== undefined;",
    "event.slot !== undefined || event.deletes === true;",
  ),
];
