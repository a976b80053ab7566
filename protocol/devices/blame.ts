/** Who said it last: of each facet of a device, the latest event of each side. */
import type { Event, EventId, Side } from "../../core/event.ts";
import { type Registers, currentLife, winner } from "../../core/registers.ts";
import { type HistoryItem, historyItem } from "./history.ts";
import type { DeviceName } from "./past.ts";
import { deviceKey } from "./topics.ts";
import { desiredSlot, reportedSlot } from "./twin-view.ts";

export interface BlameRow extends HistoryItem {
  /** `reported`, `desired`, `state`, `spec`: what the event replaced whole. */
  readonly facet: string;
  readonly side: Side;
  /** Whether this is what stands; of two sides one does. */
  readonly stands: boolean;
  /** The event that led to it. */
  readonly cause: EventId | null;
}

/** @returns none when the device does not exist in these registers, or nobody said anything of that property */
export function blame(
  registers: Registers,
  { namespace, name }: DeviceName,
  property: string | undefined,
): BlameRow[] {
  const life = currentLife(registers, deviceKey(namespace, name));
  const wanted = property === undefined ? undefined : [reportedSlot(property), desiredSlot(property)];
  const rows: BlameRow[] = [];
  for (const [slot, register] of [...(life?.slots ?? [])].toSorted(([a], [b]) => compareSlots(a, b))) {
    if (wanted !== undefined && !wanted.includes(slot)) continue;
    const standing = winner(registers, register);
    const row = (event: Event | undefined, side: Side): void => {
      if (event === undefined) return;
      const facet = slot.includes("/") ? slot.slice(0, slot.indexOf("/")) : slot;
      const { cause = null } = event;
      rows.push({ ...historyItem(registers, event), facet, side, stands: event === standing, cause });
    };
    row(register.cloud, "cloud");
    row(register.node, "node");
  }
  return rows;
}

/** The whole device first, then by property; what is reported after what is wanted. */
function compareSlots(a: string, b: string): number {
  const [first, second] = [propertyOf(a), propertyOf(b)];
  if (first !== second) return first < second ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}

function propertyOf(slot: string): string {
  return slot.includes("/") ? slot.slice(slot.indexOf("/") + 1) : "";
}
