/** `labelSelector` and `fieldSelector` of lists and watches. */
import type { ObjectMeta } from "./objects.ts";

/** Whether an object's metadata is asked for. */
export type Selector = (metadata: ObjectMeta) => boolean;

export const everything: Selector = () => true;

const name = "[-A-Za-z0-9_./]+";
const setBased = new RegExp(`^(${name})\\s+(in|notin)\\s+\\(([^()]*)\\)$`);
const equality = new RegExp(`^(${name})\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`);
const existence = new RegExp(`^(!?)\\s*(${name})$`);

/** `a=b,c!=d,e in (f,g),!h`. @returns undefined when it is not a selector */
export function labelSelector(text: string): Selector | undefined {
  const requirements: Selector[] = [];
  for (const part of splitOutsideParentheses(text)) {
    const requirement = labelRequirement(part.trim());
    if (requirement === undefined) return undefined;
    requirements.push(requirement);
  }
  return (metadata) => requirements.every((requirement) => requirement(metadata));
}

function labelRequirement(text: string): Selector | undefined {
  const exists = existence.exec(text);
  if (exists !== null) {
    const [, not, key = ""] = exists;
    return (metadata) => (labelOf(metadata, key) !== undefined) !== (not === "!");
  }
  const [, key = "", operator, list = ""] = setBased.exec(text) ?? equality.exec(text) ?? [];
  if (operator === undefined) return undefined;
  const values = list.split(",").map((value) => value.trim());
  const wanted = operator === "in" || operator === "=" || operator === "==";
  return (metadata) => {
    const value = labelOf(metadata, key);
    return (value !== undefined && values.includes(value)) === wanted;
  };
}

function labelOf({ labels }: ObjectMeta, key: string): string | undefined {
  return labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function splitOutsideParentheses(text: string): string[] {
  return text === "" ? [] : text.split(/,(?![^(]*\))/);
}

/** `metadata.name=x,metadata.namespace!=y`: no other field is indexed. @returns the part that is not understood */
export function fieldSelector(text: string): Selector | { readonly unsupported: string } {
  const requirements: Selector[] = [];
  for (const part of text === "" ? [] : text.split(",")) {
    const match = /^metadata\.(name|namespace)\s*(==|=|!=)\s*(.*)$/.exec(part.trim());
    if (match === null) return { unsupported: part.trim() };
    const [, field, operator, value] = match as unknown as [string, "name" | "namespace", string, string];
    requirements.push((metadata) => ((metadata[field] ?? "") === value) === (operator !== "!="));
  }
  return (metadata) => requirements.every((requirement) => requirement(metadata));
}
