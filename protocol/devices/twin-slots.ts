/** Which slots of a device's log hold what of its twin. */
const reportedPrefix = "reported/";
const desiredPrefix = "desired/";

export const stateSlot = "state";

export function reportedSlot(property: string): string {
  return reportedPrefix + property;
}

export function desiredSlot(property: string): string {
  return desiredPrefix + property;
}

export function isDesiredSlot(slot: string): boolean {
  return slot.startsWith(desiredPrefix);
}

/** @returns undefined for any slot but those of desired values */
export function propertyOfDesired(slot: string | undefined): string | undefined {
  return slot?.startsWith(desiredPrefix) === true ? slot.slice(desiredPrefix.length) : undefined;
}

/** @returns undefined for a slot of no property */
export function propertyOfSlot(slot: string): string | undefined {
  return slot.startsWith(reportedPrefix) ? slot.slice(reportedPrefix.length) : propertyOfDesired(slot);
}
