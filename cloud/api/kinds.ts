import { type Kind, apiVersionOf } from "../../protocol/rest/kind.ts";
import { deviceKind, deviceModelKind } from "./device-kinds.ts";

/** Every kind that the embedded API server serves: to serve another, add its row. */
export const kinds: readonly Kind[] = [deviceModelKind, deviceKind];

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

export function findKind(rows: readonly Kind[], at: GroupVersion, plural: string): Kind | undefined {
  return rows.find(
    (kind) => kind.group === at.group && kind.version === at.version && kind.plural === plural,
  );
}

/** The groups and versions that have a kind, each once, in the table's order. */
export function groupVersions(rows: readonly Kind[]): readonly GroupVersion[] {
  return [
    ...new Map(
      rows.map(({ group, version }) => [apiVersionOf({ group, version }), { group, version }]),
    ).values(),
  ];
}
