/** What the product says of itself, and what its stopped logs hold. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { Committer } from "../../core/committer.ts";
import { type LogId, nodeLog } from "../../core/event.ts";
import { Log } from "../../core/log.ts";
import { stateHash } from "../../core/projection.ts";
import { registersProjection } from "../../core/registers.ts";
import { LevelStore } from "../../core/store/level.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";
import { type AdminAccess, readKubeconfig } from "../../protocol/adapters/admin-access.ts";
import { nodeEnvironment } from "../../protocol/adapters/environment.ts";
import { requestJson, requestLines } from "../../protocol/adapters/http-client.ts";
import { authority } from "../../protocol/link/authority.ts";
import type { EventRow, StatsRow, VerifyRow } from "../../protocol/rest/log-api.ts";
import type { StatusRow } from "../../protocol/rest/status-api.ts";

/** Longer than anything that is done to a process takes: what is asked ends when it is answered, or its connection does. */
const answerWithinMs = 120_000;

/** The API of a cloud, or of a node. */
export class Api {
  readonly #access: () => Promise<Partial<AdminAccess> & { readonly server: string }>;

  private constructor(access: () => Promise<Partial<AdminAccess> & { readonly server: string }>) {
    this.#access = access;
  }

  static ofCloud(dataDir: string): Api {
    return new Api(() => readKubeconfig(join(dataDir, "cloud", "admin.kubeconfig")));
  }

  static ofNode(server: string): Api {
    return new Api(() => Promise.resolve({ server }));
  }

  async ask<Answer>(path: string, method = "GET", body?: unknown): Promise<Answer> {
    const access = await this.#access();
    const request = {
      ...access,
      path,
      method,
      timeoutMs: answerWithinMs,
      ...(body !== undefined && { body }),
    };
    return (await requestJson(request)) as Answer;
  }

  status(): Promise<StatusRow> {
    return this.ask("/tidemark/v1/status");
  }

  stats(node: string): Promise<StatsRow> {
    return this.ask(`/tidemark/v1/logs/${node}/stats`);
  }

  verify(node: string): Promise<VerifyRow> {
    return this.ask(`/tidemark/v1/logs/${node}/verify`);
  }

  async events(node: string): Promise<EventRow[]> {
    const access = await this.#access();
    const path = `/tidemark/v1/logs/${node}/events`;
    const rows: EventRow[] = [];
    for await (const row of requestLines({ ...access, path, timeoutMs: answerWithinMs }))
      rows.push(row as EventRow);
    return rows;
  }

  /** Confirmed when it returns. */
  async want(device: string, property: string, value: string): Promise<void> {
    await this.ask(`/tidemark/v1/namespaces/default/devices/${device}/desired/${property}`, "PUT", { value });
  }
}

/**
 * The hash of what a stopped side has made of a node's log, by node. Read from a copy in `scratch`: LevelDB writes as it
 * opens.
 */
export async function stateHashes(
  log: { readonly directory: string; readonly side: "cloud" | "node" },
  nodes: readonly string[],
  scratch: string,
): Promise<Map<string, string>> {
  await cp(log.directory, scratch, { recursive: true });
  const store = new LevelStore(scratch);
  await store.open();
  try {
    const environment = nodeEnvironment({ log: () => {} }, nodeDigest);
    const committer = new Committer(store, environment.timers);
    const hashes = new Map<string, string>();
    for (const node of nodes) {
      const id: LogId = nodeLog(node);
      const opened = await Log.open({
        id,
        side: log.side,
        committer,
        environment,
        authority,
      });
      hashes.set(node, stateHash(registersProjection, opened.registers, nodeDigest));
    }
    return hashes;
  } finally {
    await store.close();
  }
}
