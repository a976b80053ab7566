/** Rules for names, labels and annotations: Kubernetes' own. */
import type { ObjectMeta } from "./objects.ts";
import type { Schema } from "./schema.ts";
import { type Cause, invalidValue, requiredValue } from "./status.ts";

const annotationsBytesMax = 256 * 1024;

/** What a client may send. What the server sets is known, and not taken from the client. */
export const metadataSchema: Schema = {
  fields: {
    name: "string",
    generateName: "string",
    namespace: "string",
    labels: { map: "string" },
    annotations: { map: "string" },
    ownerReferences: {
      list: {
        fields: {
          apiVersion: "string",
          kind: "string",
          name: "string",
          uid: "string",
          controller: "boolean",
          blockOwnerDeletion: "boolean",
        },
        required: ["apiVersion", "kind", "name", "uid"],
      },
    },
    uid: "string",
    resourceVersion: "string",
    generation: "integer",
    creationTimestamp: "string",
    selfLink: "string",
    managedFields: { list: "object" },
  },
};

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedPart = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** @returns what is wrong with it as an object's name (DNS-1123 subdomain) */
export function nameProblem(name: string): string | undefined {
  if (name.length > 253) return "must be no more than 253 characters";
  if (subdomain.test(name)) return undefined;
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')";
}

/** @returns what is wrong with it as a namespace's name (DNS-1123 label) */
export function namespaceProblem(name: string): string | undefined {
  if (name.length > 63) return "must be no more than 63 characters";
  if (label.test(name)) return undefined;
  return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name')";
}

export function validateMetadata(metadata: ObjectMeta, namespaced: boolean): Cause[] {
  const causes: Cause[] = [];
  const { name, namespace, labels = {}, annotations = {} } = metadata;
  if (name === "") causes.push(requiredValue("metadata.name", "name or generateName is required"));
  else push(causes, "metadata.name", name, nameProblem(name));
  if (namespaced) push(causes, "metadata.namespace", namespace, namespaceProblem(namespace ?? ""));
  for (const [key, value] of Object.entries(labels)) {
    push(causes, "metadata.labels", key, qualifiedNameProblem(key));
    push(causes, "metadata.labels", value, labelValueProblem(value));
  }
  let annotationsBytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    push(causes, "metadata.annotations", key, qualifiedNameProblem(key));
    annotationsBytes += key.length + value.length;
  }
  if (annotationsBytes > annotationsBytesMax) {
    const message = `Too long: may not be more than ${annotationsBytesMax} bytes`;
    causes.push({ reason: "FieldValueTooLong", message, field: "metadata.annotations" });
  }
  return causes;
}

function push(causes: Cause[], field: string, value: unknown, problem: string | undefined): void {
  if (problem !== undefined) causes.push(invalidValue(field, value, problem));
}

function qualifiedNameProblem(key: string): string | undefined {
  const parts = key.split("/");
  const name = parts.at(-1) ?? "";
  if (parts.length === 2 && nameProblem(parts[0] ?? "") === undefined && isPart(name)) return undefined;
  if (parts.length === 1 && isPart(name)) return undefined;
  return "name part must consist of alphanumeric characters, '-', '_' or '.', at most 63 of them, and must start and end with an alphanumeric character; a DNS subdomain and '/' may come before it (e.g. 'example.com/MyName')";
}

function isPart(text: string): boolean {
  return text.length <= 63 && qualifiedPart.test(text);
}

function labelValueProblem(value: string): string | undefined {
  if (value === "" || isPart(value)) return undefined;
  return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', at most 63 of them, and must start and end with an alphanumeric character (e.g. 'MyValue')";
}
