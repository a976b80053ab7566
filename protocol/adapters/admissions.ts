/**
 * `admissions.json`, beside the authority: of which admission a node's next certificate is. The cloud writes it from its
 * log, so that certificates can be issued while it does not run.
 */
import { join } from "node:path";
import { TidemarkError } from "../../core/errors.ts";
import { readTextIfPresent, writeFileAtomically } from "./files.ts";

const fileName = "admissions.json";

/** 1 for a node that was never removed. @throws TidemarkError CONFIGURATION */
export async function readAdmission(pkiDir: string, node: string): Promise<number> {
  return (await readAll(pkiDir)).get(node) ?? 1;
}

/** Notes that a node's certificates must be of that admission or a later one. */
export async function writeAdmission(pkiDir: string, node: string, admission: number): Promise<void> {
  const all = await readAll(pkiDir);
  if ((all.get(node) ?? 1) >= admission) return;
  all.set(node, admission);
  await writeFileAtomically(join(pkiDir, fileName), `${JSON.stringify(Object.fromEntries(all))}\n`);
}

async function readAll(pkiDir: string): Promise<Map<string, number>> {
  const text = (await readTextIfPresent(join(pkiDir, fileName))) ?? "{}";
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    if (entries.every(([, admission]) => Number.isSafeInteger(admission))) {
      return new Map(entries as [string, number][]);
    }
  } catch {
    // Said below, as what is JSON and no such table is.
  }
  throw new TidemarkError(
    "CONFIGURATION",
    `${join(pkiDir, fileName)} can't be read: remove it, and the cloud writes it again when it starts`,
  );
}
