import { parse } from "yaml";
import { TidemarkError, messageOf } from "../../core/errors.ts";
import type { Credentials } from "./credentials.ts";
import { readTextIfPresent } from "./files.ts";

/** Whom a kubeconfig reaches, and as whom. */
export interface AdminAccess {
  /** The API's URL, without a slash at its end. */
  readonly server: string;
  readonly credentials: Credentials;
}

/**
 * The current context of a kubeconfig with embedded credentials, as `adminKubeconfig` writes them.
 * @throws TidemarkError NOT_FOUND without the file, CONFIGURATION when it is something else
 */
export async function readKubeconfig(file: string): Promise<AdminAccess> {
  const text = await readTextIfPresent(file);
  if (text === undefined) {
    throw new TidemarkError(
      "NOT_FOUND",
      `there is no kubeconfig ${file}: has the cloud run with this data directory?`,
      {
        data: { file },
      },
    );
  }
  try {
    return accessOf(parse(text));
  } catch (cause) {
    throw new TidemarkError("CONFIGURATION", `the kubeconfig ${file} can't be used: ${messageOf(cause)}`, {
      cause,
      data: { file },
    });
  }
}

function accessOf(config: unknown): AdminAccess {
  const context = named(config, "contexts", member(config, "current-context"));
  const cluster = member(named(config, "clusters", member(member(context, "context"), "cluster")), "cluster");
  const user = member(named(config, "users", member(member(context, "context"), "user")), "user");
  const text = (base64: unknown): string => Buffer.from(textOf(base64), "base64").toString();
  return {
    server: textOf(member(cluster, "server")).replace(/\/+$/, ""),
    credentials: {
      ca: text(member(cluster, "certificate-authority-data")),
      cert: text(member(user, "client-certificate-data")),
      key: text(member(user, "client-key-data")),
    },
  };
}

function member(value: unknown, name: string): unknown {
  const found: unknown = Object.entries(Object(value)).find(([key]) => key === name)?.[1];
  if (found === undefined) throw new Error(`it has no ${name}`);
  return found;
}

function named(config: unknown, list: string, name: unknown): unknown {
  const entries = member(config, list);
  const found: unknown = Array.isArray(entries)
    ? entries.find((entry) => member(entry, "name") === name)
    : undefined;
  if (found === undefined) throw new Error(`its ${list} do not hold ${textOf(name)}`);
  return found;
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw new Error("a value that should be text is not");
  return value;
}
