/**
 * The device topics. A device is named by two levels, `$hw/events/device/{namespace}/{name}/…`, or by one,
 * `$hw/events/device/{name}/…`, which means the namespace `default`. Whoever asks in one form is answered in it.
 */

export const defaultNamespace = "default";

const devicePrefix = "$hw/events/device/";
const nodePrefix = "$hw/events/node/";
const membershipGet = "/membership/get";

export type DeviceAction = "twin/get" | "twin/update" | "state/update";

/** What a device, or an application beside it, asks for by publishing to a topic. */
export type Command = DeviceCommand | MembershipCommand;

export interface DeviceCommand {
  readonly action: DeviceAction;
  readonly namespace: string;
  readonly name: string;
  /** The device's key in the log. */
  readonly key: string;
  /** Where the answer goes, in the form in which was asked. */
  readonly result: string;
  /** Where before and after go, for `twin/update`. */
  readonly document: string;
}

export interface MembershipCommand {
  readonly action: "membership/get";
  readonly node: string;
  readonly result: string;
}

/** @returns undefined for a topic that is no command: its message is ordinary MQTT. */
export function parseTopic(topic: string): Command | undefined {
  if (topic.startsWith(devicePrefix)) return parseDeviceTopic(topic);
  if (!topic.startsWith(nodePrefix) || !topic.endsWith(membershipGet)) return undefined;
  const node = topic.slice(nodePrefix.length, -membershipGet.length);
  if (node === "" || node.includes("/")) return undefined;
  return { action: "membership/get", node, result: `${topic}/result` };
}

function parseDeviceTopic(topic: string): DeviceCommand | undefined {
  const levels = topic.slice(devicePrefix.length).split("/");
  if (levels.length !== 3 && levels.length !== 4) return undefined;
  const action = `${levels.at(-2)}/${levels.at(-1)}`;
  if (action !== "twin/get" && action !== "twin/update" && action !== "state/update") return undefined;
  const [first = "", second = ""] = levels;
  const [namespace, name] = levels.length === 4 ? [first, second] : [defaultNamespace, first];
  if (namespace === "" || name === "") return undefined;
  return {
    action,
    namespace,
    name,
    key: deviceKey(namespace, name),
    result: `${topic}/result`,
    document: `${topic}/document`,
  };
}

/**
 * Reads topics, and remembers the latest ones that were commands: devices publish to the same few topics over and over.
 */
export class TopicReader {
  readonly #capacity: number;
  #known = new Map<string, Command>();
  /** What was known before `#known` last filled up; forgotten at the next time. */
  #older = new Map<string, Command>();

  /** @param capacity how many topics are remembered: at most twice as many */
  constructor(capacity: number = 8192) {
    this.#capacity = capacity;
  }

  read(topic: string): Command | undefined {
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    if (!topic.startsWith("$hw/")) return undefined;
    const command = this.#older.get(topic) ?? parseTopic(topic);
    if (command === undefined) return undefined;
    if (this.#known.size >= this.#capacity) {
      this.#older = this.#known;
      this.#known = new Map();
    }
    this.#known.set(topic, command);
    return command;
  }
}

export function deviceKey(namespace: string, name: string): string {
  return `devices/${namespace}/${name}`;
}

export function modelKey(namespace: string, name: string): string {
  return `devicemodels/${namespace}/${name}`;
}

/** @returns undefined when the key is not a device's. */
export function parseDeviceKey(key: string): { namespace: string; name: string } | undefined {
  if (!key.startsWith("devices/")) return undefined;
  const [namespace, name, ...rest] = key.slice("devices/".length).split("/");
  if (namespace === undefined || name === undefined || rest.length > 0) return undefined;
  return { namespace, name };
}

/** The topics that say what a device should do and does not yet: in two levels and, in `default`, in one as well. */
export function deltaTopics(namespace: string, name: string): { full: string; short: string | undefined } {
  const action = "twin/update/delta";
  return {
    full: `${devicePrefix}${namespace}/${name}/${action}`,
    short: namespace === defaultNamespace ? `${devicePrefix}${name}/${action}` : undefined,
  };
}

export function membershipUpdatedTopic(node: string): string {
  return `${nodePrefix}${node}/membership/updated`;
}
