/** Reading Device and DeviceModel objects. */
import { modelKey } from "../../protocol/devices/topics.ts";
import { type JsonObject, type KubeObject, isJsonObject } from "../../protocol/rest/objects.ts";

/** The list `spec.properties` of a Device or a DeviceModel. */
export function propertiesOf(object: KubeObject | undefined): readonly JsonObject[] {
  const list = object?.spec?.["properties"];
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
}

/** The node that a Device is to be on. Without one it is stored, and goes nowhere. */
export function nodeOf(device: KubeObject): string | undefined {
  const node = device.spec?.["nodeName"];
  return typeof node === "string" && node !== "" ? node : undefined;
}

/** The name of the DeviceModel that a Device refers to, in its own namespace. */
export function modelNameOf(device: KubeObject): string | undefined {
  const reference = device.spec?.["deviceModelRef"];
  const name = isJsonObject(reference) ? reference["name"] : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

export function modelKeyOf(device: KubeObject): string | undefined {
  const name = modelNameOf(device);
  return name === undefined ? undefined : modelKey(device.metadata.namespace ?? "", name);
}
