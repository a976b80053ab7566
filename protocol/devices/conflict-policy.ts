/**
 * How a conflict over what is wanted is decided, as an annotation of a Device or of its DeviceModel says it:
 *
 *     tidemark.io/conflict-policy: edge                    for all properties
 *     tidemark.io/conflict-policy: latest interval=edge    and otherwise for one
 *
 * It travels to the node with the object, so both sides go by the same policy.
 */
import { type ConflictPolicy, conflictPolicies } from "../../core/registers.ts";
import { refuseName } from "./values.ts";

export const conflictPolicyAnnotation = "tidemark.io/conflict-policy";

export interface PolicySaid {
  /** For the properties that are not named; undefined where nothing is said of them. */
  readonly others: ConflictPolicy | undefined;
  readonly byProperty: ReadonlyMap<string, ConflictPolicy>;
}

/** @returns why, when the text says no policy */
export function parsePolicies(text: string): PolicySaid | string {
  const byProperty = new Map<string, ConflictPolicy>();
  let others: ConflictPolicy | undefined;
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    const equals = word.lastIndexOf("=");
    const policy = word.slice(equals + 1);
    if (!isPolicy(policy)) {
      return `${JSON.stringify(policy)} is no policy: write ${conflictPolicies.join(", ")}, or PROPERTY=POLICY for one property`;
    }
    if (equals === -1) {
      if (others !== undefined) return "two policies for all properties: write one, or PROPERTY=POLICY";
      others = policy;
      continue;
    }
    const property = word.slice(0, equals);
    const reason = refuseName(property);
    if (reason !== undefined) return reason;
    if (byProperty.has(property)) return `two policies for ${property}`;
    byProperty.set(property, policy);
  }
  if (others === undefined && byProperty.size === 0) return "it says no policy";
  return { others, byProperty };
}

/** What the first of the texts that says something of this property says; `latest` when none does. */
export function policyOf(said: readonly PolicySaid[], property: string): ConflictPolicy {
  for (const { others, byProperty } of said) {
    const policy = byProperty.get(property) ?? others;
    if (policy !== undefined) return policy;
  }
  return "latest";
}

function isPolicy(text: string): text is ConflictPolicy {
  return conflictPolicies.some((policy) => policy === text);
}
