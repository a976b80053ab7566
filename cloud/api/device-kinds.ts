/** DeviceModel and Device of `devices.kubeedge.io/v1beta1`: their shapes as KubeEdge has them, and their rules. */
import { conflictPolicyAnnotation, parsePolicies } from "../../protocol/devices/conflict-policy.ts";
import {
  isValueType,
  refuseDesired,
  refuseName,
  refuseValue,
  valueTypes,
} from "../../protocol/devices/values.ts";
import type { Kind } from "../../protocol/rest/kind.ts";
import { nameProblem } from "../../protocol/rest/metadata.ts";
import type { JsonObject, KubeObject } from "../../protocol/rest/objects.ts";
import type { Schema } from "../../protocol/rest/schema.ts";
import { type Cause, duplicateValue, invalidValue, requiredValue } from "../../protocol/rest/status.ts";
import { deviceConditions } from "./desired.ts";
import { modelKeyOf, modelNameOf, nodeOf, propertiesOf } from "./device-objects.ts";

const visitors: Schema = { fields: { protocolName: "string", configData: "object" } };

const modelProperty: Schema = {
  fields: {
    name: "string",
    description: "string",
    type: { oneOf: valueTypes },
    accessMode: { oneOf: ["ReadWrite", "ReadOnly"] },
    minimum: "string",
    maximum: "string",
    unit: "string",
    visitors,
  },
  required: ["name"],
};

const pushMethod: Schema = {
  fields: {
    http: { fields: { hostName: "string", port: "integer", requestPath: "string", timeout: "integer" } },
    mqtt: { fields: { address: "string", topic: "string", qos: "integer", retained: "boolean" } },
    otel: { fields: { endpointURL: "string" } },
    dbMethod: {
      fields: {
        influxdb2: {
          fields: {
            influxdb2ClientConfig: { fields: { url: "string", org: "string", bucket: "string" } },
            influxdb2DataConfig: {
              fields: { measurement: "string", tag: { map: "string" }, fieldKey: "string" },
            },
          },
        },
        redis: {
          fields: {
            redisClientConfig: {
              fields: { addr: "string", db: "integer", poolsize: "integer", minIdleConns: "integer" },
            },
          },
        },
        TDEngine: { fields: { TDEngineClientConfig: { fields: { addr: "string", dbName: "string" } } } },
        mysql: {
          fields: {
            mysqlClientConfig: { fields: { addr: "string", database: "string", userName: "string" } },
          },
        },
      },
    },
    anomalyDetection: "object",
  },
};

const deviceProperty: Schema = {
  fields: {
    name: "string",
    desired: { fields: { value: "string", metadata: { map: "string" } } },
    visitors,
    reportCycle: "integer",
    collectCycle: "integer",
    reportToCloud: "boolean",
    pushMethod,
  },
  required: ["name"],
};

const names = { group: "devices.kubeedge.io", version: "v1beta1", namespaced: true, shortNames: [] } as const;

export const deviceModelKind: Kind = {
  ...names,
  kind: "DeviceModel",
  plural: "devicemodels",
  singular: "devicemodel",
  spec: {
    fields: { protocol: "string", protocolConfigData: "object", properties: { list: modelProperty } },
    required: ["protocol"],
  },
  validate: validateModel,
};

export const deviceKind: Kind = {
  ...names,
  kind: "Device",
  plural: "devices",
  singular: "device",
  spec: {
    fields: {
      deviceModelRef: { fields: { name: "string" }, required: ["name"] },
      nodeName: "string",
      protocol: { fields: { protocolName: "string", configData: "object" } },
      properties: { list: deviceProperty },
      methods: {
        list: { fields: { name: "string", description: "string", propertyNames: { list: "string" } } },
      },
      stateReport: { fields: { reportToCloud: "boolean", reportCycle: "integer" } },
    },
    required: ["deviceModelRef"],
  },
  validate: validateDevice,
  status(device, find) {
    const model = modelKeyOf(device);
    return { conditions: deviceConditions(device, model === undefined ? undefined : find(model)) };
  },
};

function validateModel(model: KubeObject): readonly Cause[] {
  const causes = [...validatePropertyNames(model), ...validatePolicies(model)];
  propertiesOf(model).forEach((property, index) => {
    causes.push(...validateBounds(property, `spec.properties[${index}]`));
  });
  return causes;
}

function validateBounds(property: JsonObject, path: string): readonly Cause[] {
  const { type, minimum, maximum } = property;
  if (!isValueType(type)) return [];
  const causes: Cause[] = [];
  for (const [name, bound] of Object.entries({ minimum, maximum })) {
    if (typeof bound === "string" && bound !== "" && refuseValue(type, bound) !== undefined) {
      causes.push(invalidValue(`${path}.${name}`, bound, `must be a value of the type ${type}`));
    }
  }
  if (causes.length > 0 || typeof minimum !== "string" || typeof maximum !== "string") return causes;
  if (minimum === "" || maximum === "") return [];
  const atLeastMinimum = { name: "", type, readOnly: false, minimum, maximum: undefined };
  if (refuseDesired(atLeastMinimum, maximum) === undefined) return [];
  return [invalidValue(`${path}.minimum`, minimum, `must not be above the maximum ${maximum}`)];
}

function validateDevice(device: KubeObject): readonly Cause[] {
  const causes = [...validatePropertyNames(device), ...validatePolicies(device)];
  const model = modelNameOf(device);
  const modelProblem = model === undefined ? undefined : nameProblem(model);
  if (modelProblem !== undefined) causes.push(invalidValue("spec.deviceModelRef.name", model, modelProblem));
  const node = nodeOf(device);
  const nodeProblem = node === undefined ? undefined : nameProblem(node);
  if (nodeProblem !== undefined) causes.push(invalidValue("spec.nodeName", node, nodeProblem));
  return causes;
}

/** Which properties a device has is for its model to say, which may come later: a name can only be wrong in a model. */
function validatePolicies(object: KubeObject): Cause[] {
  const said = object.metadata.annotations?.[conflictPolicyAnnotation];
  if (said === undefined) return [];
  const field = `metadata.annotations[${conflictPolicyAnnotation}]`;
  const policies = parsePolicies(said);
  if (typeof policies === "string") return [invalidValue(field, said, policies)];
  if (object.kind !== deviceModelKind.kind) return [];
  const declared = new Set(propertiesOf(object).map(({ name }) => name));
  return [...policies.byProperty.keys()]
    .filter((property) => !declared.has(property))
    .map((property) => invalidValue(field, said, `the model declares no property ${property}`));
}

function validatePropertyNames(object: KubeObject): Cause[] {
  const causes: Cause[] = [];
  const seen = new Set<string>();
  propertiesOf(object).forEach(({ name }, index) => {
    const path = `spec.properties[${index}].name`;
    if (typeof name !== "string" || name === "") {
      causes.push(requiredValue(path));
      return;
    }
    const problem = refuseName(name);
    if (problem !== undefined) causes.push(invalidValue(path, name, problem));
    else if (seen.has(name)) causes.push(duplicateValue(path, name));
    seen.add(name);
  });
  return causes;
}
