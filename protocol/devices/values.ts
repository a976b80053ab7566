/**
 * What a property's value may be. Values are text on every wire; a declared type says what the text must read as.
 *
 * KubeEdge takes values of at most 512 characters of a narrow class, without spaces, braces, `+`, `%` or anything
 * beyond ASCII. That keeps out readings people have, so here a value is any UTF-8 text of up to 64 KiB.
 */

export const maxValueBytes: number = 64 * 1024;

/** The types a device model declares (`devices.kubeedge.io/v1beta1`). */
export const valueTypes = ["INT", "FLOAT", "DOUBLE", "STRING", "BOOLEAN", "BYTES", "STREAM"] as const;
export type ValueType = (typeof valueTypes)[number];

/** A property as a device model and a device declare it. */
export interface Property {
  readonly name: string;
  /** Undefined while no model says it: then any text will do. */
  readonly type: ValueType | undefined;
  readonly readOnly: boolean;
  readonly minimum: string | undefined;
  readonly maximum: string | undefined;
}

const keyPattern = /^[a-zA-Z0-9\-_.,:/@#]{1,128}$/;
const intPattern = /^[+-]?[0-9]{1,19}$/;
const floatPattern = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$|^[+-]?inf(?:inity)?$|^nan$/i;
const loneSurrogate = /[\ud800-\udfff]/u;

const intMin = -(2n ** 63n);
const intMax = 2n ** 63n - 1n;

/** The names that MQTT payloads give to types: KubeEdge's, and those of the device models. */
const typesByMetadata = new Map<string, ValueType>([
  ...valueTypes.map((type) => [type.toLowerCase(), type] as const),
  ["integer", "INT"],
]);

/** KubeEdge's clients know four of these names; what they don't know comes as the one that fits. */
const metadataByType: Readonly<Record<ValueType, string>> = {
  INT: "int",
  FLOAT: "float",
  DOUBLE: "float",
  STRING: "string",
  BOOLEAN: "boolean",
  BYTES: "string",
  STREAM: "string",
};

/** The type a payload's `metadata.type` names. @returns undefined when it names none. */
export function typeOfMetadata(text: string): ValueType | undefined {
  return typesByMetadata.get(text.toLowerCase());
}

/** A type as MQTT payloads name it. */
export function metadataOfType(type: ValueType | undefined): string {
  return type === undefined ? "string" : metadataByType[type];
}

export function isValueType(text: unknown): text is ValueType {
  return valueTypes.includes(text as ValueType);
}

/** @returns why a property can't have this name, or undefined when it can. */
export function refuseName(name: string): string | undefined {
  if (keyPattern.test(name)) return undefined;
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  return `${JSON.stringify(shown)} is not a property name: use 1 to 128 of a-z A-Z 0-9 - _ . , : / @ #`;
}

/** @returns why this can't be a value of that type, or undefined when it can. */
export function refuseValue(type: ValueType | undefined, value: string): string | undefined {
  if (value.length * 3 > maxValueBytes && utf8Length(value) > maxValueBytes) {
    return `the value is longer than ${maxValueBytes} bytes`;
  }
  switch (type) {
    case "INT":
      return isInt(value) ? undefined : "the value is not a 64-bit integer";
    case "FLOAT":
    case "DOUBLE":
      return floatPattern.test(value) ? undefined : "the value is not a number";
    case "BOOLEAN":
      return value === "true" || value === "false" ? undefined : "the value is not true or false";
    case "STRING":
    case "BYTES":
    case "STREAM":
    case undefined:
      return loneSurrogate.test(value) ? "the value is not valid Unicode" : undefined;
  }
}

/** @returns why this property can't be wanted to have that value, or undefined when it can. */
export function refuseDesired(property: Property, value: string): string | undefined {
  if (property.readOnly) return "the property is read-only";
  const reason = refuseValue(property.type, value);
  if (reason !== undefined) return reason;
  const { type, minimum, maximum } = property;
  if (minimum !== undefined && !isOrdered(type, minimum, value))
    return `the value is below the minimum ${minimum}`;
  if (maximum !== undefined && !isOrdered(type, value, maximum))
    return `the value is above the maximum ${maximum}`;
  return undefined;
}

/** Whether two texts say the same value: `25` and `25.0` do for a number. */
export function sameValue(type: ValueType | undefined, a: string, b: string): boolean {
  if (a === b) return true;
  if (type === "INT") return isInt(a) && isInt(b) && BigInt(bare(a)) === BigInt(bare(b));
  if (type !== "FLOAT" && type !== "DOUBLE") return false;
  return floatPattern.test(a) && floatPattern.test(b) && toNumber(a) === toNumber(b);
}

/** Whether a <= b, for types that have an order. A bound that is not of the type binds nothing. */
function isOrdered(type: ValueType | undefined, a: string, b: string): boolean {
  if (type === "INT" && isInt(a) && isInt(b)) return BigInt(bare(a)) <= BigInt(bare(b));
  if (type !== "INT" && type !== "FLOAT" && type !== "DOUBLE") return true;
  return !floatPattern.test(a) || !floatPattern.test(b) || toNumber(a) <= toNumber(b);
}

function isInt(text: string): boolean {
  if (!intPattern.test(text)) return false;
  if (text.length < 19) return true;
  const value = BigInt(bare(text));
  return value >= intMin && value <= intMax;
}

/** `BigInt` and `Number` don't read a leading plus before every form. */
function bare(text: string): string {
  return text.startsWith("+") ? text.slice(1) : text;
}

function toNumber(text: string): number {
  const lower = bare(text).toLowerCase();
  if (lower.startsWith("inf")) return Number.POSITIVE_INFINITY;
  if (lower.startsWith("-inf")) return Number.NEGATIVE_INFINITY;
  return Number(lower);
}

function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
  }
  return length;
}
