export const node = "edge-node-1";
export const namespace = "default";
export const property = "temperature";

export function deviceName(index: number): string {
  return `dev-${index}`;
}
