/**
 * Whether what both sides say of each device is what its policy makes of all that was ever said of it: worked out from the
 * events and the text of the annotations alone.
 */
import type { Cloud } from "../../cloud/cloud.ts";
import { type Event, eventId } from "../../core/event.ts";
import { type Registers, currentLife } from "../../core/registers.ts";
import type { Edge } from "../../edge/edge.ts";
import { conflictPolicyAnnotation } from "../../protocol/devices/conflict-policy.ts";
import { deviceKey } from "../../protocol/devices/topics.ts";
import type { PropertyView } from "../../protocol/devices/twin-view.ts";
import { mayBeLost } from "./declared.ts";
import type { Model, ModelSlot } from "./model.ts";

interface Views {
  readonly node: string;
  readonly cloud: Cloud;
  readonly edge: Edge;
}

interface Annotated {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly deviceModelRef: { readonly name: string } };
}

/** @param model of all events of the node's log */
export function* wrongWinners({ node, cloud, edge }: Views, model: Model): Generator<string> {
  for (const { namespace, name, properties } of edge.devices.list(undefined)) {
    const there = cloud.devices.get(namespace, name)?.properties;
    if (there === undefined && mayBeLost(cloud.cluster, deviceKey(namespace, name))) continue;
    const texts = policyTexts(cloud.cluster.registers, name);
    for (const [slot, said] of model.slotsOf(`devices/${namespace}/${name}`)) {
      if (!slot.startsWith("desired/")) continue;
      const property = slot.slice("desired/".length);
      const policy = policyFor(property, texts);
      const { expected, isWanted } = decided(said, policy);
      for (const [side, view] of [
        ["cloud", there?.[property]],
        ["node", properties[property]],
      ] as const) {
        // Of a property that no model has any more nothing is said where nothing is wanted.
        if (view === undefined && !isWanted) continue;
        const answer = answerOf(view);
        if (answer !== expected)
          yield `${node}: of ${name} ${property}, under ${policy}, the ${side} says ${answer}, and should say ${expected}`;
      }
    }
  }
}

/** What is said of conflicts, by the device and then by its model. */
function policyTexts(cluster: Registers, name: string): string[] {
  const device = bodyOf(cluster, `devices/default/${name}`);
  const model = device && bodyOf(cluster, `devicemodels/default/${device.spec.deviceModelRef.name}`);
  return [device, model].flatMap((object) => object?.metadata.annotations?.[conflictPolicyAnnotation] ?? []);
}

function bodyOf(cluster: Registers, key: string): Annotated | undefined {
  return currentLife(cluster, key)?.slots.get("spec")?.cloud?.body as Annotated | undefined;
}

function policyFor(property: string, texts: readonly string[]): string {
  for (const text of texts) {
    const words = text.split(" ");
    const word =
      words.find((each) => each.startsWith(`${property}=`)) ?? words.find((each) => !each.includes("="));
    if (word !== undefined) return word.slice(word.indexOf("=") + 1);
  }
  return "latest";
}

/** What views should say: which event stands, and against which where the two differ. */
function decided(
  { cloud, node, winner, isDisputed }: ModelSlot,
  policy: string,
): { expected: string; isWanted: boolean } {
  const preferred = { cloud, edge: node }[policy] ?? winner;
  const won = isDisputed ? preferred : winner;
  const lost = won === cloud ? node : cloud;
  const isConflict = isDisputed && valueOf(won) !== valueOf(lost);
  const expected = `${shown(won)}${isConflict ? ` against ${shown(lost)} by ${policy}` : ""}`;
  return { expected, isWanted: valueOf(won) !== undefined };
}

function shown(event: Event | undefined): string {
  return event === undefined || valueOf(event) === undefined ? "nothing" : eventId(event.origin, event.seq);
}

function valueOf(event: Event | undefined): unknown {
  return Array.isArray(event?.body) ? event.body[0] : undefined;
}

function answerOf(view: PropertyView | undefined): string {
  const { desired, conflict } = view ?? {};
  const lost = conflict && ` against ${conflict.lost?.event ?? "nothing"} by ${conflict.policy}`;
  return `${desired?.event ?? "nothing"}${lost ?? ""}`;
}
